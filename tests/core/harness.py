"""What runs a random program: on the core, and on a board of QEMU's."""

RAM, RAM_SIZE, FLASH_STORES = 0x20000000, 0x20000, 0x00380000
DATA, DATA_SIZE, RESULT, RESULT_SIZE = 0x20010000, 0x4000, 0x2000FF00, 0x100
PROGRAM, HOOK = 0x2000FE00, 0x2000FE04
DEVICE = 0x40000000

HARNESS = f"""
    .syntax unified
    .thumb
    .text
    .word 0x20008000, reset
    .rept 9
    .word fault
    .endr
    .word svc
    .rept 4
    .word fault
    .endr
    .word irq0, irq1, irq2, irq3

    .thumb_func
fault:
    b .

    .thumb_func
svc:
    ldr r3, [sp]
    adds r3, #1
    str r3, [sp]
    bx lr

    .thumb_func
irq0:
    ldr r0, =0x20018000
    ldr r1, [r0, #8]
    adds r1, #1
    str r1, [r0, #8]
    tst r1, #1
    itee eq
    ldreq r2, [r0, #0x400]
    strne r1, [r0, #0x800]
    ldrne r2, [r0, #0xC00]
    movs r3, #0
    msr apsr_nzcvq, r3
    mov r12, r3
    bx lr

    .thumb_func
irq1:
    ldr r0, =0x20019000
    vldr s0, [r0]
    vmov.f64 d1, #-1.5
    vadd.f64 d7, d1, d1
    vcmp.f32 s0, s3
    vmrs apsr_nzcv, fpscr
    ittt le
    vmovle.f32 s15, s14
    vstrle s15, [r0, #4]
    addle r1, r1, #1
    bx lr

    .thumb_func
irq2: @ raises a line of higher priority, which comes before the next instruction or two
    ldr r0, =0xE000E200
    movs r1, #8
    lsls r2, r1, #30
    ite cs
    strcs r1, [r0]
    strcc r1, [r0]
    isb
    nop
    b irq0

    .thumb_func
irq3:
    ldr r0, =0x2001A000
    cmp r0, #0
    it ne
    ldrne r1, [r0]
    movs r2, #0
    bx lr

    .thumb_func
reset:
    ldr r0, =0xE000ED88
    ldr r1, =0xF00000
    str r1, [r0]
    ldr r0, =0xE000E100
    movs r1, #15
    str r1, [r0]
    ldr r0, =0xE000E400
    ldr r1, =0x00404040
    str r1, [r0]
    dsb
    isb
    movs r0, #0
    vmsr fpscr, r0
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmov d\\n, r0, r0
    .endr
    msr apsr_nzcvqg, r0
    ldr r1, =0x20008000
    mov sp, r1
    ldr r1, ={PROGRAM}
    ldr r1, [r1]
    cbz r1, 1f
    bx r1
1:  b.w on_qemu

    .thumb_func
finish:
    ldr lr, ={RESULT}
    stm lr, {{r0-r12}}
    mrs r0, apsr
    str r0, [lr, #52]
    mov r0, sp
    str r0, [lr, #56]
    add lr, #64
    vstm lr!, {{d0-d15}}
    vmrs r0, fpscr
    str r0, [lr]
    ldr r0, ={HOOK}
    ldr pc, [r0]

    .thumb_func
stop_here:
    ldr r0, ={DEVICE}
    str r0, [r0]
    b .

    .thumb_func
leaf0:
    cmp r0, r1
    ite hi
    subhi r0, r0, r1
    addls r0, r0, #7
    bx lr
    .thumb_func
leaf1:
    push {{r4, r5, lr}}
    ldr r4, [r8]
    eors r0, r4
    it mi
    strmi r0, [r8, #4]
    pop {{r4, r5, pc}}
    .thumb_func
leaf2:
    push {{r6, lr}}
    bl leaf0
    clz r1, r0
    pop {{r6, pc}}
    .ltorg
"""

#: runs all programs on a board of QEMU's, and writes what each leaves behind to a file
QEMU = f"""
    .thumb_func
    .global on_qemu
on_qemu:
    ldr r1, =open_args
    movs r0, #1
    bkpt 0xAB
    ldr r1, =0x2001F000
    str r0, [r1]
    movs r0, #0
    str r0, [r1, #4]
on_qemu_next:
    ldr r1, =0x2001F000
    ldr r0, [r1, #4]
    ldr r2, =table
    ldr r3, [r2, r0, lsl #2]
    cbz r3, 9f
    adds r0, #1
    str r0, [r1, #4]
    ldr r1, ={PROGRAM}
    str r3, [r1]
    ldr r0, =on_qemu_done
    str r0, [r1, #4]
    ldr r0, ={DATA}
    ldr r1, ={DATA + DATA_SIZE}
    ldr r2, =0x9E3779B1
    mov r3, r2
1:  str r3, [r0], #4
    add r3, r3, r2
    cmp r0, r1
    bne 1b
    b.w reset
9:  ldr r1, =0x20026
    movs r0, #0x18
    bkpt 0xAB
    b .
    .thumb_func
on_qemu_done:
    ldr r1, =0x2001F000
    ldr r0, [r1]
    ldr r2, ={RESULT}
    ldr r3, ={RESULT_SIZE + DATA_SIZE}
    str r0, [r1, #16]
    str r2, [r1, #20]
    str r3, [r1, #24]
    add r1, #16
    movs r0, #5
    bkpt 0xAB
    b on_qemu_next
    .ltorg
    .balign 4
open_args:
    .word file_name, 5, 7
file_name:
    .asciz "out.bin"
    .balign 4
table:
"""

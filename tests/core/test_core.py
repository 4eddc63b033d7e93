"""The Cortex-M7 core by small assembled programs; behaviour from DDI 0403 (ARMv7-M)."""

import gc
import weakref

import pytest

DEV = "ldr r4, =0x40000000\n"
DONE = "ldr r4, =0x40000000\n mov r5, #99\n str r5, [r4]\n b .\n"


def test_instructions_are_counted_exactly(program):
    """Three instructions, then a loop of two taken ten times, then a jump to itself."""
    p = program("""
    .thumb_func
reset:
    movs r0, #10
    ldr.w r4, =0x40000000
    nop
1:  subs r0, #1
    bne 1b
    str r0, [r4]
    b .
    """)
    stamps = []
    p.on_write = lambda *_: (stamps.append(p.core.now), p.core.stop())
    assert p.run() == "stop"
    assert stamps == [3 + 10 * 2 + 2]  # the storing block is counted to its end


def test_run_stops_at_the_limit_and_continues(program):
    p = program(".thumb_func\nreset: b reset\n")
    assert p.run(1000) == "limit"
    assert p.core.now == 1000
    assert p.run(500) == "limit"
    assert p.core.now == 1500


def test_double_precision(program):
    p = program("""
    .thumb_func
reset:
    ldr r0, =0xE000ED88
    ldr r1, =0xF00000
    str r1, [r0]
    vmov.f64 d0, #1.5
    vmov.f64 d1, #2.0
    vmul.f64 d2, d0, d1
    vcvt.s32.f64 s0, d2
    vmov r5, s0
    ldr r4, =0x40000000
    str r5, [r4]
    b .
    """)
    p.run()
    assert p.writes == [3]
    assert not p.unmodelled


def test_write_one_to_clear(program):
    p = program("""
    .thumb_func
reset:
    ldr r4, =0x40000008
    movs r5, #0x0F
    str r5, [r4]
    b .
    """)
    p.mem[2] = 0xFF
    p.run()
    assert p.mem[2] & 0xFF == 0


def test_svc_frame_and_return(program):
    p = program("""
    .thumb_func
reset:
    movs r0, #1
    movs r1, #2
    svc #5
    ldr r4, =0x40000000
    str r0, [r4]
    mrs r0, ipsr
    str r0, [r4]
    b .
    .thumb_func
svc:
    mrs r2, ipsr
    ldr r4, =0x40000000
    str r2, [r4]
    str lr, [r4]
    ldr r3, [sp]
    adds r3, #41
    str r3, [sp]
    bx lr
    """)
    p.run()
    assert p.writes == [11, 0xFFFFFFF9, 42, 0]


def test_psp_thread_returns_to_psp(program):
    p = program("""
    .thumb_func
reset:
    ldr r0, =0x20004000
    msr psp, r0
    movs r0, #2
    msr control, r0
    isb
    svc #0
    ldr r4, =0x40000000
    mov r0, sp
    str r0, [r4]
    mrs r0, control
    str r0, [r4]
    b .
    .thumb_func
svc:
    ldr r4, =0x40000000
    str lr, [r4]
    mov r0, sp
    str r0, [r4]
    mrs r0, psp
    str r0, [r4]
    bx lr
    """)
    p.run()
    assert p.writes == [0xFFFFFFFD, 0x20008000, 0x20004000 - 32, 0x20004000, 2]


def test_extended_frame_keeps_the_fpu_state(program):
    p = program("""
    .thumb_func
reset:
    ldr r0, =0xE000ED88
    ldr r1, =0xF00000
    str r1, [r0]
    vmov.f32 s1, #1.0
    vmov.f32 s15, #2.0
    svc #0
    ldr r4, =0x40000000
    vmov r0, s15
    str r0, [r4]
    mov r0, sp
    str r0, [r4]
    b .
    .thumb_func
svc:
    ldr r4, =0x40000000
    str lr, [r4]
    mov r0, sp
    str r0, [r4]
    vmov.f32 s15, #4.0
    bx lr
    """)
    p.run()
    assert p.writes == [0xFFFFFFE9, 0x20008000 - 104, 0x40000000, 0x20008000]


INTERRUPTS = """
    .thumb_func
enable:
    ldr r0, =0xE000E100
    movs r1, #7
    str r1, [r0]
    ldr r0, =0xE000E400
    ldr r1, ={priorities}
    str r1, [r0]
    bx lr
    .macro pend mask
    ldr r0, =0xE000E200
    movs r1, #\\mask
    str r1, [r0]
    dsb
    isb
    .endm
    .macro mark value
    ldr r4, =0x40000000
    movs r5, #\\value
    str r5, [r4]
    .endm
"""


def test_higher_priority_preempts_lower_and_equal_waits(program):
    p = program(
        INTERRUPTS.format(priorities="0x408040")
        + """
    .thumb_func
reset:
    bl enable
    pend 2
    mark 9
    b .
    .thumb_func
irq1:
    mark 1
    pend 1
    mark 2
    bx lr
    .thumb_func
irq0:
    mark 3
    pend 4
    mark 4
    bx lr
    .thumb_func
irq2:
    mark 5
    bx lr
    """
    )
    p.run()
    assert p.writes == [1, 3, 4, 5, 2, 9]


def test_tail_chaining_runs_no_thread_instruction_between(program):
    p = program(
        INTERRUPTS.format(priorities="0x404040")
        + """
    .thumb_func
reset:
    bl enable
    cpsid i
    pend 7
    mark 8
    cpsie i
    mark 9
    b .
    .thumb_func
irq0:
    mark 1
    bx lr
    .thumb_func
irq1:
    mark 2
    bx lr
    .thumb_func
irq2:
    mark 3
    bx lr
    """
    )
    p.run()
    assert p.writes == [8, 1, 2, 3, 9]


def test_basepri_masks_until_lowered(program):
    p = program(
        INTERRUPTS.format(priorities="0x104080")
        + """
    .thumb_func
reset:
    bl enable
    movs r2, #0x40
    msr basepri, r2
    pend 7
    mark 8
    movs r2, #0
    msr basepri, r2
    mark 9
    b .
    .thumb_func
irq0:
    mark 1
    bx lr
    .thumb_func
irq1:
    mark 2
    bx lr
    .thumb_func
irq2:
    mark 3
    bx lr
    """
    )
    p.run()
    assert p.writes == [3, 8, 2, 1, 9]


def test_line_level_pends_again_after_return(program):
    p = program(
        INTERRUPTS.format(priorities="0")
        + """
    .thumb_func
reset:
    bl enable
    wfi
    mark 9
    b .
    .thumb_func
irq0:
    mark 1
    bx lr
    """
    )
    p.on_write = lambda o, v, s: (p.writes.append(v), p.core.set_line(0, len(p.writes) < 3))
    p.run(100)
    p.core.set_line(0, True)
    p.run(2000)
    assert p.writes == [1, 1, 1, 9]


def test_wfe_consumes_the_event_register(program):
    p = program("""
    .thumb_func
reset:
    svc #0
    wfe
    ldr r4, =0x40000000
    movs r5, #1
    str r5, [r4]
    wfe
    str r5, [r4]
    b .
    .thumb_func
svc: bx lr
    """)
    p.run()
    assert p.writes == [1]  # the first WFE finds the event of the exception, the second sleeps


def test_store_to_flash_reaches_only_the_controller(program):
    p = program("""
    .thumb_func
reset:
    ldr r0, =0x08008000
    ldr r1, =0x12345678
    str r1, [r0]
    strb r1, [r0, #5]
    ldr r4, =0x40000000
    ldr r1, [r0]
    str r1, [r4]
    b .
    """)
    p.run()
    assert p.flash_writes == [(0x08008000, 4, 0x12345678), (0x08008005, 1, 0x78)]
    assert p.writes == [0xFFFFFFFF]


def test_function_in_ram(program):
    p = program("""
    .thumb_func
reset:
    ldr r0, =0x20000100
    ldr r1, =0x47702007
    str r1, [r0]
    adds r0, #1
    blx r0
    ldr r4, =0x40000000
    str r0, [r4]
    b .
    """)  # movs r0, #7; bx lr
    p.run()
    assert p.writes == [7]


def test_code_changed_from_outside_is_seen_after_invalidate(program):
    p = program("""
    .thumb_func
reset:
    ldr r4, =0x40000000
1:  movs r0, #1
    str r0, [r4]
    b 1b
    """)
    p.on_write = lambda o, v, s: (p.writes.append(v), p.core.stop())
    assert p.run() == "stop"
    assert p.run() == "stop"
    address = 0x08000000 + p.core.read(0x08000000, 0x1000).index(b"\x01\x20\x20\x60")
    p.core.write(address, b"\x02")
    p.core.invalidate(address, 2)
    assert p.run() == "stop"
    assert p.writes == [1, 1, 2]


def test_sysresetreq_is_reported(program):
    p = program("""
    .thumb_func
reset:
    ldr r0, =0xE000ED0C
    ldr r1, =0x05FA0004
    str r1, [r0]
    dsb
    b .
    """)
    assert p.run() == "reset"
    assert p.core.reset(0x08000000)
    assert p.run() == "reset"


def test_it_block_survives_an_interrupt_in_its_middle(program):
    """The store inside the IT block raises the line; the rest of the block still runs."""
    p = program(
        INTERRUPTS.format(priorities="0")
        + """
    .thumb_func
reset:
    bl enable
    ldr r4, =0x40000000
    movs r5, #6
    cmp r5, #6
    ittte eq
    streq r5, [r4]
    addeq r5, #1
    streq r5, [r4]
    movne r5, #0
    str r5, [r4]
    b .
    .thumb_func
irq0:
    push {r4, r5}
    mark 1
    pop {r4, r5}
    cmp r4, #0
    bx lr
    """
    )
    p.on_write = lambda o, v, s: (p.writes.append(v), p.core.set_line(0, v == 6))
    p.run()
    assert sorted(p.writes) == [1, 6, 7, 7]


def test_python_error_in_a_hook_comes_out_of_run(program):
    p = program(".thumb_func\nreset:\n" + DONE)

    def fail(*_):
        raise ValueError("model")

    p.on_write = fail
    with pytest.raises(ValueError, match="model"):
        p.run()


def test_count_is_the_same_in_two_cores(program):
    source = """
    .thumb_func
reset:
    movs r0, #0
1:  adds r0, #1
    ldr r4, =0x40000000
    str r0, [r4]
    b 1b
    """
    stamps = []
    for chunk in (50, 777):
        p = program(source)
        seen = []
        p.on_write = lambda o, v, s, p=p, seen=seen: seen.append((v, p.core.now))
        while p.core.now < 5000:
            p.run(chunk)
        stamps.append([s for s in seen if s[1] < 5000])
    assert stamps[0] == stamps[1]


def test_a_core_that_nobody_uses_gives_its_memory_back(program):
    """It holds what it calls, and that holds the core: 300 tests of a worker left 300 cores."""
    owner = weakref.ref(program(".thumb_func\nreset: b reset\n"))
    gc.collect()
    assert owner() is None

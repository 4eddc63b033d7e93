"""Faults, escalation, lock-up and the MPU by small programs (DDI 0403 B1.5, B3.5)."""

import pytest

DONE = "ldr r4, =0x40000000\n mov r5, #99\n str r5, [r4]\n b .\n"


@pytest.mark.parametrize(
    ("code", "cfsr", "bar"),
    [
        ("ldr r0, =0x60000000\n1: ldr r1, [r0]\n", 0x8200, 0x60000000),
        ("ldr r0, =0x60000010\n1: str r1, [r0]\n movs r2, #77\n", 0x8200, 0x60000010),
        ("1: udf #0\n", 1 << 16, None),
    ],
)
def test_fault_is_taken_as_hard_fault_with_its_pc(program, code, cfsr, bar):
    p = program(".thumb_func\nreset:\n movs r2, #5\n" + code + """
    b .
    .thumb_func
hardfault:
    ldr r4, =0x40000000
    ldr r5, [sp, #24]
    ldr r6, =1b
    subs r5, r5, r6
    str r5, [r4]
    ldr r5, [sp, #8]
    str r5, [r4]
    ldr r5, =0xE000ED28
    ldr r5, [r5]
    str r5, [r4]
    ldr r5, =0xE000ED2C
    ldr r5, [r5]
    str r5, [r4]
    b .
    """)  # fmt: skip
    assert p.run() == "fault"
    p.run()
    assert p.writes == [0, 5, cfsr, 1 << 30]
    fault = p.core.fault
    assert fault["exception"] == 3
    assert fault["cfsr"] == cfsr
    if bar is not None:
        assert fault["bfar"] == bar


def test_enabled_bus_fault_has_its_own_handler(program):
    p = program(
        """
    .thumb_func
reset:
    ldr r0, =0xE000ED24
    ldr r1, =0x70000
    str r1, [r0]
    ldr r0, =0x60000000
    ldr r1, [r0]
    b .
    .thumb_func
busfault:
"""
        + DONE
    )
    assert p.run() == "fault"
    p.run()
    assert p.writes == [99]
    assert p.core.fault["exception"] == 5


def test_fault_in_hard_fault_locks_up(program):
    p = program("""
    .thumb_func
reset:
    udf #0
    .thumb_func
hardfault:
    udf #1
    """)
    assert p.run() == "fault"
    assert p.run() == "lockup"
    assert p.run() == "lockup"


def test_mpu_region_without_access_faults(program):
    """Region 0: 4 KiB at RAM + 0x1000, AP 0 (no access), PRIVDEFENA."""
    p = program(
        """
    .thumb_func
reset:
    ldr r0, =0xE000ED94
    ldr r1, =0x20001010
    str r1, [r0, #8]
    ldr r1, =0x00000017
    str r1, [r0, #12]
    movs r1, #5
    str r1, [r0]
    dsb
    isb
    ldr r0, =0x20000FFC
    str r1, [r0]
    str r1, [r0, #4]
    b .
    .thumb_func
hardfault:
"""
        + DONE
    )
    assert p.run() == "fault"
    p.run()
    assert p.writes == [99]
    assert p.core.fault["cfsr"] == 0x82
    assert p.core.fault["mmfar"] == 0x20001000
    assert p.word(0x20000FFC) == 5
    assert p.word(0x20001000) == 0


@pytest.mark.parametrize(
    ("access", "address", "cfsr"),
    [("str r2, [r1]", 0x40000020, 0x82), ("ldr r2, [r1]", 0x40000020, 0x82),
     ("ldrb r2, [r1], #4", 0x4000003F, 0x82), ("str r2, [r1, #4]!", 0x4000001C, 0x82)],
)  # fmt: skip
def test_the_mpu_denies_peripherals(program, access, address, cfsr):
    """Region 0: 32 bytes at 0x40000020, AP 0; what stands behind the access is not executed."""
    p = program(
        f"""
    .thumb_func
reset:
    ldr r0, =0xE000ED94
    ldr r1, =0x40000030
    str r1, [r0, #8]
    movs r1, #9
    str r1, [r0, #12]
    movs r1, #5
    str r1, [r0]
    dsb
    isb
    ldr r4, =0x40000000
    ldr r7, =0x20000100
    ldr r1, ={address}
    movs r2, #7
    movs r3, #1
    adds r3, r3, #2
1:  {access}
    str r3, [r7]
    str r3, [r4]
    b .
    .thumb_func
hardfault:
    ldr r5, [sp, #24]
    ldr r6, =1b
    subs r5, r5, r6
    str r5, [r4]
    ldr r5, [sp, #4]
    str r5, [r4]
    str r2, [r4]
    str r3, [r4]
    b .
    """
    )
    assert p.run() == "fault"
    assert (p.core.fault["cfsr"], p.core.fault["mmfar"]) == (cfsr, address + 4 * ("!" in access))
    p.run()
    assert p.writes == [0, address, 7, 3]
    assert p.word(0x20000100) == 0
    assert not p.unmodelled
    p.core.read_register(0x40000020, 4)  # as a DMA does, which no MPU minds
    assert len(p.unmodelled) == 1


@pytest.mark.parametrize("cpacr", [0, 2 << 20])
@pytest.mark.parametrize("before", ["", " movs r2, #5\n adds r2, #1\n"])
def test_an_fpu_that_is_off_faults(program, cpacr, before):
    """NOCP, at the instruction; a handler may switch it on, and it is executed then."""
    p = program(f"""
    .thumb_func
reset:
    ldr r0, =0xE000ED88
    ldr r1, ={cpacr}
    str r1, [r0]
    movs r7, #0
    b 2f
2:  {before}
1:  vmov.f32 s0, #1.0
    vmov r3, s0
    ldr r4, =0x40000000
    str r3, [r4]
    str r7, [r4]
    str r2, [r4]
    b .
    .thumb_func
hardfault:
    adds r7, #1
    ldr r4, =0x40000000
    ldr r5, [sp, #24]
    ldr r6, =1b
    subs r5, r5, r6
    str r5, [r4]
    ldr r5, =0xE000ED28
    ldr r6, [r5]
    str r6, [r4]
    str r6, [r5]
    ldr r1, =0xF00000
    str r1, [r0]
    bx lr
    """)
    assert p.run() == "fault"
    p.run()
    assert p.writes[:4] == [0, 1 << 19, 0x3F800000, 1]
    assert p.writes[4] == (6 if before else 0)


@pytest.mark.parametrize("before", ["", " adds r6, #1\n"])
def test_an_fpu_that_is_off_is_not_missed_where_the_condition_fails(program, before):
    """An instruction of an IT block that is not executed does not fault (DDI 0403 A7.3.1)."""
    p = program(f"""
    .thumb_func
reset:
    ldr r0, =0xE000ED88
    movs r6, #0
    str r6, [r0]
    ldr r4, =0x40000000
    movs r3, #1
    movs r2, #2
    b 1f
1:  {before}
    cmp r6, #9
    itttt gt
    vmovgt.f32 s0, #1.0
    movgt r3, #11
    vmovgt.f32 s1, #2.0
    movgt r2, #12
    ite eq
    vmoveq.f32 s0, #1.0
    addne r3, #20
    str r3, [r4]
    str r2, [r4]
    cmp r6, #9
    it lt
    vmovlt.f32 s0, #3.0
    b .
    .thumb_func
hardfault:
    ldr r5, =0xE000ED28
    ldr r6, [r5]
    str r6, [r4]
    b .
    """)
    assert p.run() == "fault"
    p.run()
    assert p.writes == [21, 2, 1 << 19]


def test_an_fpu_for_privileged_code_alone(program):
    p = program("""
    .thumb_func
reset:
    ldr r0, =0xE000ED88
    ldr r1, =0x500000
    str r1, [r0]
    vmov.f32 s0, #1.0
    ldr r4, =0x40000000
    str r1, [r4]
    mrs r2, control
    orr r2, #1
    msr control, r2
    vmov.f32 s0, #2.0
    str r2, [r4]
    b .
    .thumb_func
hardfault:
    ldr r5, =0xE000ED28
    ldr r5, [r5]
    str r5, [r4]
    b .
    """)
    assert p.run() == "fault"
    p.run()
    assert p.writes == [0x500000, 1 << 19]

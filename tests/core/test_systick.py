"""SysTick (DDI 0403 B3.3), and sleep until it ticks."""

DEV = "ldr r4, =0x40000000\n"
DONE = "ldr r4, =0x40000000\n mov r5, #99\n str r5, [r4]\n b .\n"


def test_wfi_skips_to_systick_and_wakes_with_primask(program):
    """SysTick every 1000 clocks; with PRIMASK set WFI ends but the handler waits."""
    p = program("""
    .thumb_func
reset:
    ldr r0, =0xE000E010
    ldr r1, =999
    str r1, [r0, #4]
    str r1, [r0, #8]
    movs r1, #7
    str r1, [r0]
    cpsid i
    wfi
    ldr r4, =0x40000000
    movs r5, #1
    str r5, [r4]
    cpsie i
    movs r5, #3
    str r5, [r4]
    b .
    .thumb_func
systick:
    ldr r4, =0x40000000
    movs r5, #2
    str r5, [r4]
    bx lr
    """)
    stamps = []
    p.on_write = lambda o, v, s: stamps.append((v, p.core.now))
    p.run(1900)
    assert [v for v, _ in stamps] == [1, 2, 3]
    assert 1000 <= stamps[0][1] < 1030
    assert p.core.idle > 900


SYSTICK = """
    .equ MARK, 0x40000000
    .macro note from
    ldr r7, =MARK
    str \\from, [r7]
    .endm
    .thumb_func
reset:
    ldr r0, =0xE000E010
    movs r6, #0
"""


def test_systick_takes_a_new_reload_value_when_it_has_come_to_0(program):
    """DDI 0403 B3.3.4: a write to SYST_RVR leaves the period that runs as it is."""
    p = program(
        SYSTICK
        + """
    ldr r1, =9999
    str r1, [r0, #4]
    str r6, [r0, #8]
    movs r1, #7
    str r1, [r0]
    movs r1, #99
    str r1, [r0, #4]
    ldr r2, [r0, #8]
    note r2
    ldr r2, [r0, #4]
    note r2
1:  wfi
    b 1b
    .thumb_func
systick:
    note r6
    bx lr
    """
    )
    seen = []
    p.on_write = lambda o, v, s: seen.append((v, p.core.now))
    p.run(10_250)
    (counter, _), (reload, _), *ticks = seen
    assert 9900 < counter < 10_000
    assert reload == 99
    first, second, third = (now for _, now in ticks)
    assert 10_000 <= first <= 10_030
    assert (second - first, third - second) == (100, 100)


def test_systick_holds_its_counter_while_it_stands(program):
    """B3.3.2: ENABLE stops and goes on; COUNTFLAG is kept until it is read or CVR written."""
    p = program(
        SYSTICK
        + """
    ldr r1, =199
    str r1, [r0, #4]
    str r6, [r0, #8]
    movs r1, #5
    str r1, [r0]
    movs r5, #120
1:  subs r5, #1
    bne 1b
    str r6, [r0]
    ldr r2, [r0, #8]
    note r2
    movs r5, #100
1:  subs r5, #1
    bne 1b
    ldr r2, [r0, #8]
    note r2
    ldr r2, [r0]
    note r2
    ldr r2, [r0]
    note r2
    movs r1, #7
    str r1, [r0]
    b 2f
2:  ldr r2, [r0, #8]
    note r2
    str r6, [r0]
    str r6, [r0, #8]
    ldr r2, [r0, #8]
    note r2
    b .
    .thumb_func
systick:
    b .
    """
    )
    p.run(2000)
    held, later, status, again, on, cleared = p.writes
    assert 0 < held < 200
    assert later == held
    assert (status, again) == (1 << 16, 0)
    assert held - 10 < on < held
    assert cleared == 0


def test_a_systick_that_asked_for_nothing_is_not_made_up_for(program):
    """B3.3.3: the exception becomes pending as the counter comes to 0 with TICKINT set."""
    p = program(
        SYSTICK
        + """
    movs r1, #99
    str r1, [r0, #4]
    str r6, [r0, #8]
    movs r1, #5
    str r1, [r0]
    movs r5, #150
1:  subs r5, #1
    bne 1b
    cpsid i
    movs r1, #7
    str r1, [r0]
    b 2f
2:  ldr r4, =0xE000ED04
    ldr r2, [r4]
    note r2
    b .
    .thumb_func
systick:
    b .
    """
    )
    p.run(1000)
    assert [word >> 26 & 1 for word in p.writes] == [0]

"""Registers of a peripheral, as the core serves them."""

from omvsim.peripherals.base import MODELLED, QUEUED, WRITE_HOOK


def test_device_word_masks_and_unmodelled(program):
    p = program("""
    .thumb_func
reset:
    ldr r4, =0x40000000
    ldr r5, =0x11223344
    str r5, [r4, #4]
    movs r5, #0x99
    strb r5, [r4, #5]
    ldrh r6, [r4, #6]
    str r6, [r4]
    ldr r6, [r4, #12]
    str r6, [r4]
    b .
    """)
    p.run()
    assert p.mem[1] == 0x11229944
    assert p.writes == [0x1122, 0]
    assert [(a, s, w) for a, s, w, _, _ in p.unmodelled] == [(0x4000000C, 4, False)]


def test_writes_that_queue_call_no_hook(program):
    p = program("""
    .thumb_func
reset:
    ldr r4, =0x40000000
    movs r5, #1
1:  str r5, [r4]
    adds r5, #1
    cmp r5, #5
    bne 1b
    b .
    """)
    p.flags[0] += 2 * QUEUED
    p.run()
    assert (p.queue, p.writes, p.flags[0]) == ([1, 2], [3, 4], MODELLED | WRITE_HOOK)

"""Registers of a peripheral, as the core serves them."""

import pytest
from omvsim.peripherals.base import MODELLED, QUEUED, WRITE_HOOK

DEVICE = 0x40000000


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


def test_a_dma_reaches_registers_as_the_core_does(program):
    """Of a narrow access the bits beside stay; hooks hear of it; what nothing models is told."""
    p = program(".thumb_func\nreset: b .")
    core = p.core
    core.write_register(DEVICE, 0x11223344, 4)
    core.write_register(DEVICE + 1, 0xAA, 1)
    core.write_register(DEVICE + 2, 0xBBCC, 2)
    assert p.writes == [0x11223344, 0x1122AA44, 0xBBCCAA44]
    assert [core.read_register(DEVICE + n, 1) for n in range(4)] == [0x44, 0xAA, 0xCC, 0xBB]
    assert core.read_register(DEVICE, 4) == 0xBBCCAA44
    core.write_register(DEVICE + 12, 7, 4)
    assert [access[:4] for access in p.unmodelled] == [(DEVICE + 12, 4, True, 7)]
    for address, size in ((0x20000000, 4), (0x60000000, 4), (DEVICE, 8), (DEVICE, 0)):
        with pytest.raises(LookupError):
            core.read_register(address, size)
        with pytest.raises(LookupError):
            core.write_register(address, 0, size)


def test_a_hook_that_fails_fails_a_dma_too(program):
    p = program(".thumb_func\nreset: b .")

    def fails(*_):
        raise ZeroDivisionError

    p.on_write = fails
    with pytest.raises(ZeroDivisionError):
        p.core.write_register(DEVICE, 1, 4)

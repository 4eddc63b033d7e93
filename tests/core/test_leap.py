"""Loops that wait are leapt over, and nothing tells it but the time that it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from random_programs import Batch

END = 3_000_000  # core clocks
HEAD = """
    .thumb_func
reset:
    ldr r4, =0x40000000
    ldr r6, =0x20001000
    ldr r7, =0xE000E010
    movs r0, #0
    movs r5, #7
"""
TICKS = """
    ldr r1, =99999
    str r1, [r7, #4]
    str r0, [r7, #8]
    movs r1, #7
    str r1, [r7]
"""
HANDLER = """
    .thumb_func
systick:
    ldr r2, =0x20001000
    ldr r3, [r2, #4]
    adds r3, #1
    str r3, [r2, #4]
    bx lr
"""
#: wait for what an event or an interrupt brings: each pass is like the one before
WAITS = {
    "polls a register": "1: ldr r1, [r4, #4]\n cmp r1, #0\n beq 1b\n str r1, [r4]\n b .",
    "calls a function that polls": """
1:  bl look
    cmp r1, #0
    beq 1b
    str r1, [r4]
    b .
    .thumb_func
look: push {r0, r2, r5, lr}
    ldr r1, [r4, #4]
    pop {r0, r2, r5, pc}
""",
    "writes a byte and what it was": """
1:  str r5, [r6]
    str r0, [r6]
    ldr r1, [r4, #4]
    cmp r1, #0
    beq 1b
    str r1, [r4]
    b .
""",
    "waits for a flag in memory": TICKS
    + """
1:  ldr r1, [r6, #4]
    cmp r1, #20
    bne 1b
    str r1, [r4]
    b .
"""
    + HANDLER,
    "stores what is there already": """
1:  str r5, [r4, #4]
    b 1b
""",
}
#: change something with each pass, or look at the time
WORKS = {
    "counts in a register": "1: adds r0, #1\n ldr r1, [r4, #4]\n b 1b",
    "counts in memory": "1: ldr r1, [r6]\n adds r1, #1\n str r1, [r6]\n ldr r1, [r4, #4]\n b 1b",
    "counts in a register of the FPU": """
    ldr r1, =0xE000ED88
    ldr r2, =0xF00000
    str r2, [r1]
    vmov.f64 d1, #1.0
    vmov.f64 d2, #1.0
1:  vadd.f64 d2, d2, d1
    ldr r1, [r4, #4]
    b 1b
""",
    "reads SysTick's counter": TICKS + """
1:  ldr r1, [r7, #8]
    movs r1, #0
    b 1b
""" + HANDLER,
    "alternates a register of a peripheral": """
1:  str r5, [r4, #4]
    str r0, [r4, #4]
    b 1b
""",
    "writes to a peripheral": "1: str r0, [r4]\n b 1b",
    "reads what has an effect": "1: ldr r1, [r4]\n b 1b",
    "reads what nothing models": "1: ldr r1, [r4, #12]\n b 1b",
}  # fmt: skip


def told(program: Callable[[str], object], source: str, leap: int, pieces: int = 1) -> tuple:
    """All that a run leaves behind, and the clocks that were counted."""
    p = program(HEAD + source)
    p.flags[0] |= 2  # READ_HOOK
    p.core.leap = leap
    p.core.reset(0x08000000)
    p.core.schedule(END // 2 + 12_345, lambda: p.mem.__setitem__(1, 3))
    reason = "limit"
    for piece in range(pieces):
        reason = p.core.run(END * (piece + 1) // pieces)
    memory = p.core.read(0x20000000, 0x10000)
    left = (reason, p.core.now, p.core.registers(), p.writes, p.unmodelled, list(p.mem), memory)
    return left, p.core.leapt


@pytest.mark.parametrize("name", WAITS)
def test_a_loop_that_waits(program: Callable[[str], object], name: str) -> None:
    left, leapt = told(program, WAITS[name], 16)
    assert left == told(program, WAITS[name], 0)[0]
    assert leapt > END // 4
    assert left == told(program, WAITS[name], 1, 37)[0]


@pytest.mark.parametrize(("period", "whole"), [(4_000, False), (40_000, True)])
def test_a_proof_has_to_be_worth_it(
    program: Callable[[str], object], period: int, whole: bool
) -> None:
    """It costs as much of the host as some thousand clocks."""
    p = program(HEAD + "1: ldr r1, [r4, #4]\n cmp r1, #0\n beq 1b\n b .")
    p.core.leap = 16
    p.core.reset(0x08000000)

    def again() -> None:
        p.core.schedule(p.core.now + period, again)

    again()
    assert p.core.run(END) == "limit"
    assert (p.core.leapt > END // 2) is whole
    assert whole or p.core.leapt == 0


@pytest.mark.parametrize("name", WORKS)
def test_a_loop_that_works(program: Callable[[str], object], name: str) -> None:
    left, leapt = told(program, WORKS[name], 1)
    assert left == told(program, WORKS[name], 0)[0]
    assert leapt == 0


@pytest.mark.parametrize("first", range(0, 1000, 250))
def test_random_programs_compute_the_same(first: int, tmp_path: Path) -> None:
    batch = Batch(range(first, first + 250), tmp_path)
    for seed in batch.seeds:
        ends = []
        for leap in (0, 1):
            batch.core.leap = leap
            batch.start(seed)
            began = batch.core.now
            ends.append((batch.end(), batch.core.now - began))
        assert ends[0] == ends[1]

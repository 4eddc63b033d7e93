"""What option bytes choose at a reset: which bank is first, and where the core starts."""

from pathlib import Path

import pytest
from omvsim.testbed import SECOND, ScriptReset, Testbed

#: program eight words of bank 2; unlock the option bytes, program one, wait, and reset
CHOOSE = """
import machine
from machine import mem32
def program(words):
    mem32[0x52002104] = 0x45670123
    mem32[0x52002104] = 0xCDEF89AB
    mem32[0x5200210C] = 1 << 2 | 3 << 4 | 1 << 7            # SER, PSIZE, START
    while mem32[0x52002110] & 4: pass
    mem32[0x5200210C] = 1 << 1 | 3 << 4                     # PG
    for i, word in enumerate(words): mem32[0x08100000 + 4 * i] = word
    while mem32[0x52002110] & 4: pass
def choose(current, programmed, clear, put):
    mem32[0x52002008] = 0x08192A3B
    mem32[0x52002008] = 0x4C5D6E7F
    mem32[programmed] = mem32[current] & ~clear | put
    mem32[0x52002018] = 2
    while mem32[0x52002010] & 1: pass
    machine.reset()
"""
#: stack, start; ldr r3, ldr r2, str r2, [r3], b .: marks SRAM4 and waits for ever
MARK = [0x20020000, 0, 0x4A024B01, 0xE7FE601A, 0x38000000, 0xCA01, 0, 0]


@pytest.mark.parametrize(
    ("option", "first"),
    [
        ("choose(0x5200201C, 0x52002020, 0, 1 << 31)", 0x08000000),  # SWAP_BANK_OPT
        ("choose(0x52002040, 0x52002044, 0xFFFF, 0x0810)", 0x08100000),  # BOOT_ADD0
    ],
)
def test_the_other_bank_runs(option: str, first: int, image: Path) -> None:
    words = [*MARK[:1], first + 9, *MARK[2:]]
    with Testbed() as testbed:
        testbed.boot()
        testbed.exec(f"{CHOOSE}program({words})")
        with pytest.raises(ScriptReset):
            testbed.exec(option)
        testbed.run_for(SECOND)
        assert testbed.engine.memory(0x38000000, 4) == bytes.fromhex("01ca0000")
        held = testbed.engine.memory(first, 32)
        assert held == b"".join(word.to_bytes(4, "little") for word in words)

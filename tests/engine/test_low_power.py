"""Stop and Standby modes (RM0433 section 6.7): WFI with SLEEPDEEP, and the RTC to wake the core."""

from collections.abc import Iterator

import pytest
from omvsim.testbed import SECOND, ScriptReset, Testbed

#: WFI until the RTC's wake-up timer, in whole seconds; with interrupts off, as drivers do it
SLEEP = """
from machine import RTC, disable_irq, enable_irq, idle, mem32
import time
RCC, PWR, EXTI, RTCR, SCR = 0x58024400, 0x58024800, 0x58000000, 0x58004000, 0xE000ED10
def bits(address, clear, put):
    mem32[address] = mem32[address] & ~clear | put
def deep(seconds, standby=0):
    bits(PWR, 0, 1 << 8)                                    # CR1.DBP
    mem32[RTCR + 0x24] = 0xCA
    mem32[RTCR + 0x24] = 0x53
    bits(RTCR + 8, 1 << 10 | 7, 0)                          # CR.WUTE off
    while not mem32[RTCR + 0x0C] & 4: pass                  # ISR.WUTWF
    mem32[RTCR + 0x14] = seconds - 1                        # WUTR
    bits(RTCR + 0x0C, 1 << 10, 0)                           # WUTF
    bits(RTCR + 8, 0, 1 << 14 | 1 << 10 | 4)                # WUTIE, WUTE, ck_spre
    bits(EXTI, 0, 1 << 19)                                  # RTSR1
    bits(EXTI + 0x80, 0, 1 << 19)                           # CPUIMR1
    mem32[0xE000E100] = 1 << 3                              # RTC_WKUP in the NVIC
    bits(PWR + 0x10, 7, standby)                            # PDDS_D1, D2, D3
    bits(SCR, 0, 4)
    state = disable_irq()
    idle()
    bits(SCR, 4, 0)
    bits(RTCR + 0x0C, 1 << 10, 0)
    mem32[EXTI + 0x88] = 1 << 19                            # CPUPR1
    mem32[0xE000E180] = mem32[0xE000E280] = 1 << 3
    enable_irq(state)
"""


@pytest.fixture
def testbed(image: object) -> Iterator[Testbed]:
    with Testbed() as made:
        made.boot()
        yield made


def test_in_stop_mode_the_core_stands_still(testbed: Testbed) -> None:
    """The calendar goes on, SysTick does not; it wakes with HSI, and STOPF tells."""
    testbed.exec(SLEEP)
    printed = testbed.exec(
        "before, ticks = RTC().datetime(), time.ticks_ms()\n"
        "deep(5)\n"
        "slept = (RTC().datetime()[6] - before[6]) % 60\n"
        "print(slept, time.ticks_diff(time.ticks_ms(), ticks), hex(mem32[PWR + 0x10] & 0x1E0))\n"
        "print(mem32[RCC + 0x10] & 0x3F, [mem32[RCC] >> n & 1 for n in (0, 16, 24, 25)])\n"
    )
    slept, state = printed.splitlines()
    assert slept in ("5 0 0x20", "5 1 0x20")
    assert state == "0 [1, 0, 0, 0]"  # SW, SWS; HSION, HSEON, PLL1ON, PLL1RDY
    testbed.exec("bits(PWR + 0x10, 0, 1 << 9)")  # CSSF
    assert testbed.exec("print(mem32[PWR + 0x10] & 0x1E0)") == "0\n"
    began = testbed.now
    testbed.exec("time.sleep(1)")  # SysTick counts again
    assert SECOND <= testbed.now - began < 1.1 * SECOND


def test_frames_and_characters_in_stop_mode_are_lost(testbed: Testbed) -> None:
    testbed.exec(SLEEP)
    execution = testbed.start("deep(3)\nprint('awake')")
    testbed.run_for(SECOND)
    testbed.engine.console_write(b"print('lost')\r")
    with pytest.raises(Exception, match="an echo reply"):
        testbed.ping()
    assert testbed.finish(execution) == "awake\n"
    testbed.run_for(3 * SECOND)  # the gateway gives up what it asked
    assert testbed.ping() > 0
    assert b"lost" not in testbed.console


def test_a_pending_line_of_the_exti_keeps_it_from_stop_mode(testbed: Testbed) -> None:
    """Then WFI is ignored (6.7.8)."""
    testbed.exec(SLEEP)
    printed = testbed.exec(
        "bits(EXTI, 0, 1 << 21); bits(EXTI + 0x80, 0, 1 << 21)\n"
        "mem32[EXTI + 8] = 1 << 21\n"  # SWIER1: pending, and nobody's interrupt in the NVIC
        "before = time.ticks_ms()\n"
        "bits(SCR, 0, 4)\n"
        "for _ in range(3): idle()\n"  # SysTick wakes it
        "bits(SCR, 4, 0)\n"
        "print(time.ticks_diff(time.ticks_ms(), before) > 0, mem32[PWR + 0x10] & 0x1E0)\n"
    )
    assert printed == "True 0\n"


def test_standby_ends_in_a_reset_without_memory(testbed: Testbed) -> None:
    testbed.exec(SLEEP)
    testbed.exec("mem32[0x38000000] = mem32[0x38800000] = 0x1234\nmem32[RCC + 0xD0] = 1 << 16")
    start, began = len(testbed.console), testbed.now
    with pytest.raises(ScriptReset):
        testbed.exec("deep(7, standby=7)")
    assert 6 * SECOND <= testbed.now - began <= 8 * SECOND
    testbed.expect(">>> $", start=start)
    printed = testbed.exec(
        "from machine import mem32\n"
        "print([hex(mem32[a]) for a in (0x38000000, 0x38800000)])\n"
        "print(hex(mem32[0x58024810] & 0x1E0))\n"
    )
    memory, flags = printed.splitlines()
    assert memory == "['0x0', '0x1234']"  # SRAM4 is lost, the backup SRAM is not
    assert flags == "0x1c0"  # SBF, SBF_D1, SBF_D2

"""Window watchdog and low-power timers, by RM0433 sections 45 and 43."""

import pytest
from fake import Bus, FakeMachine
from omvsim.peripherals.lptim import Lptim
from omvsim.peripherals.wwdg import Wwdg

CR, CFR, SR = 0x00, 0x04, 0x08
WDGA, EWI = 1 << 7, 1 << 9
ISR, ICR, IER, CFGR, LPTIM_CR, CMP, ARR, CNT = range(0x00, 0x20, 4)
CMPM, ARRM, CMPOK, ARROK = 1 << 0, 1 << 1, 1 << 3, 1 << 4
ENABLE, SNGSTRT, CNTSTRT, COUNTRST = 1 << 0, 1 << 1, 1 << 2, 1 << 3


@pytest.mark.parametrize(("wdgtb", "first"), [(0, 0x7F), (3, 0x50), (7, 0x40)])
def test_it_bites_when_t6_falls(machine: FakeMachine, wdgtb: int, first: int) -> None:
    """After PCLK / 4096 / 2^WDGTB, T[5:0] + 1 times (45.3.5), and warns one such tick before."""
    watchdog = Wwdg(machine, apbFrequency=100_000_000)
    bus = Bus(watchdog)
    bus.write(CFR, wdgtb << 11 | EWI | 0x7F)
    bus.write(CR, WDGA | first)
    tick = 40_960 << wdgtb
    end = tick * (first % 64 + 1)
    if first % 64:
        machine.run(end - tick - 1)
        assert (bus.read(SR), watchdog.IRQ.level) == (0, False)
    machine.run(end - tick)
    assert (bus.read(SR), watchdog.IRQ.level) == (1, True)
    assert bus.read(CR) == WDGA | 0x40
    bus.write(SR, 0)
    assert not watchdog.IRQ.level
    machine.run(end - 1)
    assert machine.resets == []
    machine.run(end)
    assert machine.resets == ["WWDG1RSTF"]


def test_the_window(machine: FakeMachine) -> None:
    """A reload resets while the counter is above W, and what has no T6 always does (45.3.4)."""
    bus = Bus(Wwdg(machine, apbFrequency=100_000_000))
    bus.write(CFR, 0x60)
    bus.write(CR, WDGA | 0x7F)
    for _ in range(3):
        machine.run(machine.now + 40_960 * 31)
        assert bus.read(CR) == WDGA | 0x60
        bus.write(CR, 0x7F)  # WDGA stays
    assert machine.resets == []
    machine.run(machine.now + 40_960 * 30)
    bus.write(CR, 0x7F)
    assert machine.resets == ["WWDG1RSTF"]


def test_without_t6_it_bites_at_once(machine: FakeMachine) -> None:
    bus = Bus(Wwdg(machine, apbFrequency=100_000_000))
    bus.write(CR, 0x3F)
    machine.run(10**9)
    assert machine.resets == []  # it is off
    bus.write(CR, WDGA | 0x3F)
    assert machine.resets == ["WWDG1RSTF"]


def test_the_counter_runs_also_while_it_is_off(machine: FakeMachine) -> None:
    bus = Bus(Wwdg(machine, apbFrequency=100_000_000))
    machine.run(40_960 * 5)
    assert bus.read(CR) == 0x7F - 5


def test_a_low_power_timer_counts_and_matches(machine: FakeMachine) -> None:
    """Prescaler 32; ARRM when the counter is at ARR, CMPM at CMP; then it starts anew (43.4)."""
    timer = Lptim(machine, frequency=32_000)
    bus = Bus(timer)
    bus.write(CFGR, 5 << 9)  # 1 ms a tick
    bus.write(IER, ARRM | CMPM)
    bus.write(LPTIM_CR, ENABLE)
    bus.write(ARR, 99)
    bus.write(CMP, 40)
    assert bus.read(ISR) == ARROK | CMPOK
    bus.write(ICR, ARROK | CMPOK)
    machine.run(machine.now + 10**9)
    assert bus.read(CNT) == 0  # not started
    bus.write(LPTIM_CR, ENABLE | CNTSTRT)
    began = machine.now
    machine.run(began + 40_000_000 - 1)
    assert (bus.read(CNT), bus.read(ISR), timer.IRQ.level) == (39, 0, False)
    machine.run(began + 40_000_000)
    assert (bus.read(CNT), bus.read(ISR), timer.IRQ.level) == (40, CMPM, True)
    bus.write(ICR, CMPM)
    assert not timer.IRQ.level
    machine.run(began + 99_000_000)
    assert (bus.read(CNT), bus.read(ISR)) == (99, ARRM)
    machine.run(began + 130_000_000)
    assert (bus.read(CNT), bus.read(ISR)) == (30, ARRM)
    machine.run(began + 140_000_000)
    assert bus.read(ISR) == ARRM | CMPM
    bus.write(LPTIM_CR, ENABLE | COUNTRST)
    assert bus.read(CNT) == 0
    bus.write(LPTIM_CR, 0)
    machine.run(machine.now + 10**9)
    assert bus.read(CNT) == 0


def test_a_single_start_stops_at_its_end(machine: FakeMachine) -> None:
    bus = Bus(Lptim(machine, frequency=1_000_000))
    bus.write(LPTIM_CR, ENABLE)
    bus.write(ARR, 9)
    for _ in range(2):
        bus.write(ICR, 0x7F)
        bus.write(LPTIM_CR, ENABLE | SNGSTRT)
        machine.run(machine.now + 9_000)
        assert bus.read(ISR) & ARRM
        machine.run(machine.now + 50_000)
        assert bus.read(CNT) == 0


def test_a_trigger_that_never_comes(machine: FakeMachine) -> None:
    bus = Bus(Lptim(machine, frequency=1_000_000))
    bus.write(CFGR, 1 << 17)
    bus.write(LPTIM_CR, ENABLE)
    bus.write(ARR, 9)
    bus.write(LPTIM_CR, ENABLE | CNTSTRT)
    machine.run(10**9)
    assert (bus.read(CNT), bus.read(ISR)) == (0, ARROK)


def test_a_match_in_the_block_of_code_that_runs(machine: FakeMachine) -> None:
    """The core tells of time by blocks: what fell due before a write is not lost."""
    bus = Bus(Lptim(machine, frequency=1_000_000))
    for offset, value in ((LPTIM_CR, ENABLE), (ARR, 9), (CMP, 4), (LPTIM_CR, ENABLE | CNTSTRT)):
        bus.write(offset, value)
    bus.write(ICR, ARROK | CMPOK)
    machine.now += 6_000
    bus.write(ICR, 0)
    machine.run(machine.now + 1)
    assert (bus.read(CNT), bus.read(ISR)) == (6, CMPM)
    machine.run(machine.now + 3_000)
    assert bus.read(ISR) == CMPM | ARRM

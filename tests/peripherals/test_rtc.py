"""RTC, by RM0433 section 46."""

from datetime import datetime

import pytest
from fake import Bus, FakeMachine
from omvsim.peripherals.rcc import Rcc
from omvsim.peripherals.rtc import Rtc

TR, DR, CR, ISR, PRER, WUTR, ALRMAR, ALRMBR, WPR, SSR, ALRMASSR, BKP0R = (
    0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x1C, 0x20, 0x24, 0x28, 0x44, 0x50,
)  # fmt: skip
INITS, RSF, INITF, INIT, ALRAF, WUTF = (1 << n for n in (4, 5, 6, 7, 8, 10))
SECOND = 10**9


class Clock:
    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.rtc = Rtc(machine)
        self.bus = Bus(self.rtc)

    def unlock(self) -> None:
        self.bus.write(WPR, 0xCA)
        self.bus.write(WPR, 0x53)

    def wait(self, seconds: float) -> None:
        self.machine.run(self.machine.now + round(seconds * SECOND))

    def set(self, tr: int, dr: int) -> None:
        self.unlock()
        self.bus.write(ISR, self.bus.read(ISR) | INIT)
        self.wait(0.001)
        assert self.bus.read(ISR) & INITF
        self.bus.write(TR, tr)
        self.bus.write(DR, dr)
        self.bus.write(ISR, self.bus.read(ISR) & ~INIT)
        self.wait(0.001)

    def read(self) -> tuple[int, int]:
        return self.bus.read(TR), self.bus.read(DR)


@pytest.fixture
def clock(machine: FakeMachine) -> Clock:
    return Clock(machine)


def test_power_on(clock: Clock) -> None:
    assert clock.read() == (0x000000, 0x002101)  # RTC_DR's reset value
    assert not clock.bus.read(ISR) & INITS


def test_starts_at_the_scenario_time(machine: FakeMachine) -> None:
    machine.rtc_start = datetime(2026, 11, 23, 21, 59, 58)
    clock = Clock(machine)
    assert clock.read() == (0x215958, 0x263123)  # Monday
    clock.wait(3)
    assert clock.read() == (0x220001, 0x263123)
    assert clock.bus.read(ISR) & INITS


def test_init_mode_sets_the_calendar(clock: Clock) -> None:
    clock.set(0x235958, 0x244228)  # weekday 2, 2024-02-28: a leap year
    clock.wait(2.5)
    assert clock.read() == (0x000000, 0x246229)  # not March; the weekday counts on
    clock.wait(86400)
    assert clock.read()[1] == 0x248301


def test_no_leap_day_in_2023_and_year_turns(clock: Clock) -> None:
    clock.set(0x235959, 0x234228)
    clock.wait(1.5)
    assert clock.bus.read(DR) & 0xFF1FFF == 0x230301
    clock.set(0x235959, 0x23F231)
    clock.wait(1.5)
    clock.bus.read(TR)
    assert clock.bus.read(DR) & 0xFF1FFF == 0x240101


def test_write_protection(clock: Clock) -> None:
    clock.bus.write(ISR, INIT)
    clock.wait(0.001)
    assert not clock.bus.read(ISR) & INITF
    clock.bus.write(PRER, 0)
    assert clock.bus.read(PRER) == 0x007F00FF
    clock.bus.write(BKP0R, 0xCAFE)  # not protected
    assert clock.bus.read(BKP0R) == 0xCAFE
    clock.unlock()
    clock.bus.write(TR, 0x010101)  # unlocked, but not in init mode
    assert clock.bus.read(TR) == 0


def test_init_mode_takes_two_clocks_and_stops_the_calendar(clock: Clock) -> None:
    clock.unlock()
    clock.bus.write(ISR, INIT)
    assert not clock.bus.read(ISR) & INITF
    clock.wait(0.001)
    clock.wait(5)
    assert clock.bus.read(TR) == 0


def test_shadow_registers_hold_until_the_date_is_read(clock: Clock) -> None:
    clock.set(0x235959, 0x23F231)
    assert clock.bus.read(TR) == 0x235959
    clock.wait(2)
    assert clock.bus.read(DR) == 0x23F231  # still of the moment TR was read
    assert clock.bus.read(TR) == 0x000001


def test_subseconds_count_down(clock: Clock) -> None:
    clock.set(0, 0x2101)
    clock.wait(0.25 - 0.001)
    assert clock.bus.read(SSR) == pytest.approx(255 - 64, abs=1)


def test_prescaler_changes_the_rate(clock: Clock) -> None:
    clock.unlock()
    clock.bus.write(ISR, INIT)
    clock.wait(0.001)
    clock.bus.write(PRER, 0x007F007F)  # half: seconds twice as fast
    clock.bus.write(ISR, 0)
    clock.wait(10)
    clock.bus.read(SSR)
    assert clock.bus.read(TR) == 0x20


def test_twelve_hour_format(clock: Clock) -> None:
    clock.unlock()
    clock.bus.write(CR, 1 << 6)
    clock.set(0x400000 | 0x115959, 0x2101)  # 11:59:59 PM
    clock.wait(1.5)
    assert clock.bus.read(TR) == 0x120000  # 12:00:00 AM


def test_rsf_is_cleared_by_zero_and_comes_back(clock: Clock) -> None:
    assert clock.bus.read(ISR) & RSF
    clock.bus.write(ISR, clock.bus.read(ISR) & ~RSF)
    assert not clock.bus.read(ISR) & RSF
    clock.wait(0.001)
    assert clock.bus.read(ISR) & RSF


def test_alarm_at_a_time_of_day(clock: Clock) -> None:
    clock.set(0x100000, 0x2101)
    clock.bus.write(ALRMAR, 1 << 31 | 0x100005)  # any date
    clock.bus.write(CR, 1 << 8 | 1 << 12)
    clock.wait(4.9)
    assert not clock.rtc.AlarmIRQ.level
    clock.wait(0.2)
    assert clock.rtc.AlarmIRQ.level
    clock.bus.write(ISR, clock.bus.read(ISR) & ~ALRAF)
    assert not clock.rtc.AlarmIRQ.level


def test_alarm_on_another_weekday_stays_silent(clock: Clock) -> None:
    clock.set(0x100000, 0x2101)  # weekday 1
    clock.bus.write(ALRMAR, 1 << 30 | 2 << 24 | 1 << 23 | 1 << 15 | 1 << 7)
    clock.bus.write(CR, 1 << 8 | 1 << 12)
    clock.wait(10)
    assert not clock.rtc.AlarmIRQ.level


def test_wakeup_timer(clock: Clock) -> None:
    clock.unlock()
    clock.bus.write(WUTR, 2047)
    clock.bus.write(CR, 1 << 14 | 1 << 10)  # RTC/16: 2048 Hz
    clock.wait(0.99)
    assert not clock.rtc.WakeupIRQ.level
    clock.wait(0.02)
    assert clock.rtc.WakeupIRQ.level
    clock.bus.write(ISR, ~WUTF & 0xFFFFFFFF)
    assert not clock.rtc.WakeupIRQ.level
    clock.wait(1)
    assert clock.rtc.WakeupIRQ.level


def test_a_system_reset_leaves_the_calendar(clock: Clock) -> None:
    clock.set(0x120000, 0x2101)
    clock.bus.write(BKP0R, 7)
    clock.rtc.reset()
    clock.wait(5)
    assert clock.bus.read(TR) == 0x120005
    assert clock.bus.read(BKP0R) == 7
    clock.bus.write(ISR, INIT)  # locked again
    clock.wait(0.001)
    assert not clock.bus.read(ISR) & INITF


def test_clock_and_reset_come_from_the_rcc(machine: FakeMachine) -> None:
    rtc = Rtc(machine)
    rcc = Rcc(machine, rtc=rtc)
    clock, bus = Clock(machine), Bus(rcc)
    clock.rtc, clock.bus = rtc, Bus(rtc)
    clock.wait(5)
    assert clock.read() == (0, 0x2101)  # no RTCCLK
    bus.write(0x74, 1)  # LSION
    bus.write(0x70, 1 << 15 | 2 << 8)  # RTCEN, RTCSEL LSI
    clock.unlock()
    clock.bus.write(ISR, INIT)
    clock.wait(0.001)
    clock.bus.write(PRER, 127 << 16 | 249)  # 32 kHz to 1 Hz
    clock.bus.write(ISR, 0)
    clock.wait(1000.5)
    assert clock.bus.read(TR) == 0x001640
    clock.bus.write(BKP0R, 7)
    bus.write(0x70, 1 << 16)  # BDRST
    assert clock.bus.read(BKP0R) == 0
    clock.wait(5)
    assert clock.read() == (0, 0x2101)


def test_a_battery_keeps_the_rtc_enabled(machine: FakeMachine) -> None:
    machine.rtc_start = datetime(2026, 11, 23, 12, 0, 0)
    rtc = Rtc(machine)
    rcc = Rcc(machine, rtc=rtc)
    assert Bus(rcc).read(0x70) == 0x8103  # RTCEN, RTCSEL LSE, LSERDY, LSEON
    machine.run(10 * SECOND)
    assert Bus(rtc).read(TR) == 0x120010

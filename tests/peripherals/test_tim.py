"""Timers: the counter's directions, repetition, PWM and capture (RM0433 sections 38 and 39)."""

import pytest
from fake import Bus, FakeMachine
from omvsim.peripherals.exti import Exti
from omvsim.peripherals.gpio import Gpio
from omvsim.peripherals.pwr import Pwr
from omvsim.peripherals.tim import Tim
from omvsim.peripherals.wwdg import Wwdg

CR1, CR2, DIER, SR, EGR, CCMR1, CCMR2, CCER = 0, 4, 0x0C, 0x10, 0x14, 0x18, 0x1C, 0x20
CNT, PSC, ARR, RCR, CCR1, CCR2, BDTR = 0x24, 0x28, 0x2C, 0x30, 0x34, 0x38, 0x44
CEN, DIR, ARPE = 1 << 0, 1 << 4, 1 << 7
US = 1000  # ns; a tick of these timers
PWM_1, PWM_2, TOGGLE = 6 << 4, 7 << 4, 3 << 4  # OC1M
OC1PE = 1 << 3


@pytest.fixture
def timer(machine: FakeMachine) -> Tim:
    return Tim(machine, frequency=1_000_000)


def counts(machine: FakeMachine, bus: Bus, ticks: int) -> list[int]:
    """The counter at each of so many ticks, the first one now."""
    found, began = [], machine.now
    for tick in range(ticks):
        machine.run(began + tick * US)
        found.append(bus.read(CNT))
    return found


def levels(machine: FakeMachine, timer: Tim, ticks: int) -> str:
    """OC1 at each tick."""
    found, began = "", machine.now
    for tick in range(ticks):
        machine.run(began + tick * US)
        found += str(int(timer.outputs[0].level))
    return found


def test_counts_down(machine: FakeMachine, timer: Tim) -> None:
    """From ARR to 0, then an underflow (38.3.2)."""
    bus = Bus(timer)
    bus.write(ARR, 4)
    bus.write(CR1, DIR)
    bus.write(EGR, 1)
    bus.write(SR, 0)
    assert bus.read(CNT) == 4
    bus.write(CR1, DIR | CEN)
    assert counts(machine, bus, 5) == [4, 3, 2, 1, 0]
    assert bus.read(SR) == 0
    assert counts(machine, bus, 3)[1:] == [4, 3]
    assert bus.read(SR) == 1
    bus.write(CNT, 1)
    assert counts(machine, bus, 3) == [1, 0, 4]


def test_counts_up_and_down(machine: FakeMachine, timer: Tim) -> None:
    """Centre-aligned: 0 to ARR and back, an update event at either end, DIR tells the way."""
    bus = Bus(timer)
    bus.write(ARR, 3)
    bus.write(CR1, 1 << 5 | CEN)
    assert counts(machine, bus, 4) == [0, 1, 2, 3]
    assert (bus.read(SR) & 1, bus.read(CR1) & DIR) == (1, DIR)
    bus.write(SR, 0)
    assert counts(machine, bus, 4) == [3, 2, 1, 0]
    assert (bus.read(SR) & 1, bus.read(CR1) & DIR) == (1, 0)


def test_the_counter_shows_its_flag(machine: FakeMachine, timer: Tim) -> None:
    """UIFREMAP (38.4.9): so both are read at once."""
    bus = Bus(timer)
    for offset, value in ((ARR, 9), (CR1, 1 << 11 | CEN)):
        bus.write(offset, value)
    machine.run(9 * US)
    assert bus.read(CNT) == 9
    machine.run(12 * US)
    assert bus.read(CNT) == 1 << 31 | 2
    bus.write(CNT, bus.read(CNT))
    assert bus.read(CNT) == 1 << 31 | 2
    bus.write(SR, 0)
    assert bus.read(CNT) == 2


def test_the_way_down_begins_at_the_new_end(machine: FakeMachine, timer: Tim) -> None:
    """ARR is updated before the counter is reloaded (38.3.2, centre-aligned mode)."""
    bus = Bus(timer)
    for offset, value in ((ARR, 3), (CR1, 1 << 5 | ARPE | CEN), (ARR, 5)):
        bus.write(offset, value)
    assert counts(machine, bus, 10) == [0, 1, 2, 5, 4, 3, 2, 1, 0, 1]


@pytest.mark.parametrize(("cms", "ticks"), [(1, [8]), (2, [2]), (3, [2, 8])])
def test_centre_aligned_modes_differ_in_their_flags(
    machine: FakeMachine, timer: Tim, cms: int, ticks: list[int]
) -> None:
    """Compare flags while it counts down, up, or both (38.4.1, CMS)."""
    bus, found = Bus(timer), []
    for offset, value in ((ARR, 5), (CCR1, 2), (CR1, cms << 5 | CEN)):
        bus.write(offset, value)
    for tick in range(10):
        machine.run(tick * US)
        if bus.read(SR) & 2:
            found.append(tick)
            bus.write(SR, 0)
    assert found == ticks


def test_update_events_repeat(machine: FakeMachine, timer: Tim) -> None:
    """One in REP + 1 overflows (39.3.3), whether or not somebody looks."""
    bus, found = Bus(timer), []
    for offset, value in ((ARR, 9), (RCR, 2), (EGR, 1), (SR, 0), (CR1, CEN)):
        bus.write(offset, value)
    for tick in range(0, 100, 10):
        machine.run(tick * US)
        if bus.read(SR) & 1:
            found.append(tick)
            if tick < 60:  # the one at 90 finds its flag set
                bus.write(SR, 0)
    assert found == [30, 60, 70, 80, 90]
    bus.write(SR, 0)
    machine.run(119 * US)
    assert bus.read(SR) == 0
    machine.run(120 * US)
    assert bus.read(SR) == 1


def test_what_is_written_leaves_the_other_counters(machine: FakeMachine) -> None:
    """The prescaler's and the repetition counter go on where they are."""
    bus = Bus(Tim(machine, frequency=1_000_000))
    for offset, value in ((PSC, 99), (ARR, 9), (RCR, 2), (EGR, 1), (SR, 0), (CR1, CEN)):
        bus.write(offset, value)
    machine.run(1_550 * US)  # 15.5 ticks: one overflow, the counter is 5
    bus.write(ARR, 7)
    bus.write(CNT, bus.read(CNT) + 1)
    machine.run(1_599 * US)
    assert bus.read(CNT) == 6
    machine.run(1_600 * US)
    assert bus.read(CNT) == 7
    machine.run(1_700 * US)
    assert (bus.read(CNT), bus.read(SR)) == (0, 0)
    bus.write(CR1, 0)
    machine.run(10_000 * US)
    bus.write(CR1, CEN)
    machine.run(10_000 * US + 799 * US)
    assert (bus.read(CNT), bus.read(SR)) == (7, 0)
    machine.run(10_000 * US + 800 * US)
    assert (bus.read(CNT), bus.read(SR)) == (0, 1)


@pytest.mark.parametrize(
    ("control", "mode", "compare", "expected"),
    [
        (0, PWM_1, 3, "11100000" * 2),  # active as long as CNT < CCR1
        (0, PWM_2, 3, "00011111" * 2),
        (0, PWM_1, 0, "0" * 16),
        (0, PWM_1, 8, "1" * 16),  # beyond ARR
        (DIR, PWM_1, 3, "00001111" * 2),  # inactive as long as CNT > CCR1
        (1 << 5, PWM_1, 3, "11100000000111" + "11"),
        (0, TOGGLE, 2, "0011111111000000"),
        (0, 5 << 4, 2, "1" * 16),  # forced
    ],
)
def test_pulse_width(
    machine: FakeMachine, timer: Tim, control: int, mode: int, compare: int, expected: str
) -> None:
    timer.outputs[0].connect(lambda level: None)
    bus = Bus(timer)
    for offset, value in (
        (ARR, 7), (CCR1, compare), (CCMR1, mode), (CR1, control), (EGR, 1), (CCER, 1),
        (CR1, control | CEN),
    ):  # fmt: skip
        bus.write(offset, value)
    assert levels(machine, timer, 16) == expected
    bus.write(CCER, 3)  # CC1P
    machine.run(machine.now + 8 * US * 8)
    assert levels(machine, timer, 16) != expected
    bus.write(CCER, 0)
    assert levels(machine, timer, 16) == "0" * 16


@pytest.mark.parametrize(
    ("enables", "main", "other"),
    [
        (0b0001, "11100000", "00000000"),  # CC1E
        (0b0100, "00000000", "11100000"),  # CC1NE alone: OC1REF itself
        (0b0101, "11100000", "00011111"),
        (0b0111, "00011111", "00011111"),  # CC1P
        (0b1101, "11100000", "11100000"),  # CC1NP
        (0b1100, "00000000", "00011111"),
    ],
)
def test_complementary_outputs(
    machine: FakeMachine, timer: Tim, enables: int, main: str, other: str
) -> None:
    """The table of output control bits with MOE set; without it they are all off."""
    timer.complementary = 3
    timer.outputs[4].connect(lambda level: None)
    bus, found = Bus(timer), ["", ""]
    for offset, value in (
        (ARR, 7), (CCR1, 3), (CCMR1, PWM_1), (CCER, enables), (CR1, CEN),
    ):  # fmt: skip
        bus.write(offset, value)
    assert levels(machine, timer, 8) == "00000000"
    machine.run(8 * US)
    bus.write(BDTR, 1 << 15)  # MOE
    for tick in range(8):
        machine.run(8 * US + tick * US)
        for n in (0, 1):
            found[n] += str(int(timer.outputs[4 * n].level))
    assert found == [main, other]


def test_a_break_by_software_ends_the_outputs(machine: FakeMachine, timer: Tim) -> None:
    """And AOE lets them on at the next update event."""
    timer.complementary = 3
    timer.outputs[0].connect(lambda level: None)
    bus = Bus(timer)
    for offset, value in (
        (ARR, 7), (CCR1, 8), (CCMR1, PWM_1), (CCER, 1), (BDTR, 1 << 15), (DIER, 1 << 7),
        (CR1, CEN),
    ):  # fmt: skip
        bus.write(offset, value)
    assert timer.outputs[0].level
    bus.write(EGR, 1 << 7)  # BG
    assert (bus.read(SR), bus.read(BDTR)) == (1 << 7, 0)
    assert (timer.outputs[0].level, timer.BreakInterrupt.level) == (False, True)
    machine.run(10 * US)
    assert not timer.outputs[0].level
    bus.write(BDTR, 1 << 14)  # AOE
    machine.run(15 * US)
    assert not timer.outputs[0].level
    machine.run(16 * US)
    assert (timer.outputs[0].level, bus.read(BDTR)) == (True, 3 << 14)


def test_a_preloaded_width_waits_for_the_update(machine: FakeMachine, timer: Tim) -> None:
    timer.outputs[0].connect(lambda level: None)
    bus = Bus(timer)
    for offset, value in (
        (ARR, 7), (CCR1, 2), (CCMR1, PWM_1 | OC1PE), (CCER, 1), (EGR, 1), (CR1, CEN),
    ):  # fmt: skip
        bus.write(offset, value)
    machine.run(1 * US)
    bus.write(CCR1, 5)
    assert bus.read(CCR1) == 5
    assert levels(machine, timer, 15) == "1000000" + "11111000"


def test_a_pin_follows_its_alternate_function(machine: FakeMachine, timer: Tim) -> None:
    port, seen = Gpio(machine), []
    timer.outputs[0].connect(lambda level: port.on_gpio(16 + 5 * 16 + 2, level))  # pin 5, AF2
    port.outputs[5].connect(seen.append)
    bus, pins = Bus(timer), Bus(port)
    for offset, value in ((ARR, 7), (CCR1, 4), (CCMR1, PWM_1), (CCER, 1), (CR1, CEN)):
        bus.write(offset, value)
    pins.write(0x00, 2 << 10)  # MODER5: alternate function
    machine.run(8 * US)
    assert seen == []  # AF0 is selected
    pins.write(0x20, 2 << 20)
    assert (seen, pins.read(0x10)) == ([True], 1 << 5)
    machine.run(17 * US)
    assert seen == [True, False, True]
    pins.write(0x00, 1 << 10)  # an output again
    assert (seen[-1], pins.read(0x10)) == (False, 0)


def test_stands_still_in_stop_mode(machine: FakeMachine, timer: Tim) -> None:
    """And so does the window watchdog (RM0433 table 33)."""
    power, exti = Pwr(machine), Exti(machine)
    watchdog = Wwdg(machine, apbFrequency=1_000_000)
    power.connect([exti, timer, watchdog])
    bus, dog = Bus(timer), Bus(watchdog)
    for offset, value in ((ARR, 999), (RCR, 1), (EGR, 1), (SR, 0), (CR1, CEN)):
        bus.write(offset, value)
    dog.write(0, 0xFF)
    machine.run(8_000 * US)
    assert (bus.read(CNT), bus.read(SR), dog.read(0)) == (0, 1, 0xFF - 1)
    bus.write(SR, 0)
    machine.run(8_300 * US)
    power.sleep_deep()
    assert machine.deep
    machine.run(10**12)
    assert (bus.read(CNT), bus.read(SR), dog.read(0), machine.resets) == (300, 0, 0xFD, [])
    exti.wakeup.set(True)
    assert not machine.deep
    machine.run(machine.now + 1_699 * US)
    assert (bus.read(CNT), bus.read(SR)) == (999, 0)  # REP: the update is at the second overflow
    machine.run(machine.now + 1 * US)
    assert (bus.read(CNT), bus.read(SR)) == (0, 1)
    machine.run(machine.now + 63 * 4096 * US)
    assert machine.resets == ["WWDG1RSTF"]


def test_captures(machine: FakeMachine, timer: Tim) -> None:
    """Rising edges of TI1, falling ones by the other channel (38.3.7: PWM input mode)."""
    bus = Bus(timer)
    bus.write(CCMR1, 1 | 2 << 8)  # IC1 is TI1, IC2 is TI1, too
    bus.write(CCER, 1 | 1 << 4 | 1 << 5)  # CC2P: falling
    bus.write(DIER, 1 << 1)
    bus.write(CR1, CEN)
    machine.run(10 * US)
    timer.on_gpio(0, True)
    assert (bus.read(SR), timer.IRQ.level) == (1 << 1, True)
    machine.run(14 * US)
    timer.on_gpio(0, False)
    assert bus.read(SR) == 1 << 1 | 1 << 2
    assert (bus.read(CCR1), bus.read(CCR2)) == (10, 14)
    assert (bus.read(SR), timer.IRQ.level) == (0, False)  # to read them clears the flags
    bus.write(CCR1, 99)
    assert bus.read(CCR1) == 10
    for tick in (20, 30):
        machine.run(tick * US)
        timer.on_gpio(0, True)
        timer.on_gpio(0, False)
    assert bus.read(SR) == 1 << 1 | 1 << 2 | 1 << 9 | 1 << 10  # CC1OF, CC2OF
    assert bus.read(CCR1) == 30


def test_captures_each_eighth_edge(machine: FakeMachine, timer: Tim) -> None:
    bus = Bus(timer)
    bus.write(CCMR1, 1 | 3 << 2)  # IC1PSC
    bus.write(CCER, 1 | 1 << 1 | 1 << 3)  # either edge
    bus.write(CR1, CEN)
    for tick in range(1, 9):
        assert bus.read(SR) == 0
        machine.run(tick * US)
        timer.on_gpio(0, tick % 2 == 1)
    assert (bus.read(SR), bus.read(CCR1)) == (1 << 1, 8)


def test_three_inputs_make_one(machine: FakeMachine, timer: Tim) -> None:
    """TI1S: the Hall sensor's interface (38.3.24)."""
    bus = Bus(timer)
    for offset, value in ((CR2, 1 << 7), (CCMR1, 1), (CCER, 1 | 1 << 1 | 1 << 3), (CR1, CEN)):
        bus.write(offset, value)
    for tick, number in enumerate((2, 1, 0), 1):
        machine.run(tick * US)
        timer.on_gpio(number, True)
        assert bus.read(CCR1) == tick


def test_a_preloaded_compare_waits_for_the_update(machine: FakeMachine, timer: Tim) -> None:
    """Also where nothing else is due then: no pin, and a flag that is set."""
    bus = Bus(timer)
    for offset, value in ((ARR, 7), (CCR1, 2), (CCMR1, OC1PE), (EGR, 1), (CR1, CEN), (CCR1, 5)):
        bus.write(offset, value)
    machine.run(2 * US)
    assert bus.read(SR) == 1 | 1 << 1
    bus.write(SR, 1)
    machine.run((8 + 4) * US)
    assert bus.read(SR) == 1
    machine.run((8 + 5) * US)
    assert bus.read(SR) == 1 | 1 << 1


def test_a_late_event_costs_no_time(machine: FakeMachine, timer: Tim) -> None:
    """The core tells of time by blocks of code: periods stay what they are."""
    bus, updates = Bus(timer), 0
    for offset, value in ((ARR, 99), (DIER, 1), (CR1, CEN)):
        bus.write(offset, value)
    for tick in range(7, 10_000, 7):  # an update is seen up to 7 us late
        machine.now = tick * US
        machine.run(machine.now)
        updates += bus.read(SR)
        bus.write(SR, 0)
    assert (updates, bus.read(CNT)) == (99, tick % 100)
    for offset, value in ((CR1, ARPE | CEN), (CNT, 0), (ARR, 49)):
        bus.write(offset, value)
    machine.now += 107 * US  # past the update that makes the period shorter
    machine.run(machine.now)
    assert bus.read(CNT) == 7


def test_a_match_in_the_block_of_code_that_runs(machine: FakeMachine, timer: Tim) -> None:
    """What fell due before a write is not lost."""
    bus = Bus(timer)
    for offset, value in ((ARR, 99), (CCR1, 10), (CCR2, 20), (CR1, CEN)):
        bus.write(offset, value)
    machine.now = 25 * US
    bus.write(DIER, 1 << 1)
    for _ in range(3):
        machine.run(machine.now + 1)
    assert (bus.read(SR), timer.IRQ.level) == (1 << 1 | 1 << 2, True)

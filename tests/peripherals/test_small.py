"""GPIO, RNG, CRC, timer and PHY, by RM0433 and the LAN8742A's data sheet."""

import zlib

import pytest
from fake import Bus, FakeMachine
from omvsim.peripherals.crc import Crc
from omvsim.peripherals.gpio import Gpio
from omvsim.peripherals.led import Led
from omvsim.peripherals.phy import NEGOTIATION_NS, Phy
from omvsim.peripherals.rng import Rng
from omvsim.peripherals.tim import Tim

MODER, OTYPER, PUPDR, IDR, ODR, BSRR, AFRH = 0x00, 0x04, 0x0C, 0x10, 0x14, 0x18, 0x24


def test_output_pins_and_bsrr(machine: FakeMachine) -> None:
    port = Gpio(machine, modeResetValue=0xABFFFFFF)
    bus = Bus(port)
    assert bus.read(MODER) == 0xABFFFFFF
    bus.write(MODER, 0xFFFFFFFF & ~0xA)  # PA0 and PA1 outputs
    bus.write(BSRR, 0b11)
    assert bus.read(IDR) == 0b11
    assert port.outputs[0].level
    bus.write(BSRR, 1 << 16 | 1 << 17 | 1 << 1)  # set wins over reset
    assert bus.read(ODR) == 0b10
    assert not port.outputs[0].level


def test_inputs_follow_the_board_and_pulls(machine: FakeMachine) -> None:
    port = Gpio(machine)
    bus = Bus(port)
    port.on_gpio(3, True)
    assert bus.read(IDR) == 0  # analog
    bus.write(MODER, 0)
    assert bus.read(IDR) == 1 << 3
    bus.write(PUPDR, 1 << 10)  # pull-up on pin 5
    assert bus.read(IDR) == 1 << 3 | 1 << 5


def test_open_drain_only_pulls_down(machine: FakeMachine) -> None:
    port = Gpio(machine)
    bus = Bus(port)
    bus.write(OTYPER, 1)
    bus.write(MODER, 1)
    bus.write(ODR, 1)
    assert bus.read(IDR) & 1 == 0
    port.on_gpio(0, True)
    assert bus.read(IDR) & 1
    bus.write(ODR, 0)
    assert bus.read(IDR) & 1 == 0


def test_alternate_functions_keep(machine: FakeMachine) -> None:
    bus = Bus(Gpio(machine))
    bus.write(AFRH, 0x77)
    assert bus.read(AFRH) == 0x77


def test_lamp_at_high_level(machine: FakeMachine) -> None:
    port, lamp = Gpio(machine), Led(machine)
    port.outputs[2].connect(lambda level: lamp.on_gpio(0, level))
    bus = Bus(port)
    bus.write(MODER, 1 << 4)
    assert not lamp.lit
    bus.write(BSRR, 1 << 2)
    assert lamp.lit


def test_random_words_come_from_the_seed(machine: FakeMachine) -> None:
    rng = Rng(machine)
    bus = Bus(rng)
    assert bus.read(0x08) == 0
    bus.write(0x00, 1 << 2 | 1 << 3)
    assert bus.read(0x04) == 0
    machine.run(1_000)
    assert bus.read(0x04) == 1
    assert rng.IRQ.level
    first = bus.read(0x08)
    assert not rng.IRQ.level
    machine.run(2_000)
    other = FakeMachine()
    assert [first, bus.read(0x08)] == [other.random.getrandbits(32) for _ in range(2)]


def test_rng_stops_when_disabled(machine: FakeMachine) -> None:
    bus = Bus(Rng(machine))
    bus.write(0x00, 1 << 2)
    bus.write(0x00, 0)
    machine.run(10_000)
    assert bus.read(0x04) == 0


def test_crc_32_of_ethernet(machine: FakeMachine) -> None:
    bus = Bus(Crc(machine))
    bus.write(0x08, 1 | 1 << 5 | 1 << 7)  # reset, REV_IN by byte, REV_OUT
    for byte in b"123456789":
        bus.write(0x00, byte, 1)
    assert bus.read(0x00) ^ 0xFFFFFFFF == zlib.crc32(b"123456789") == 0xCBF43926


def test_crc_of_words_is_mpeg2_by_default(machine: FakeMachine) -> None:
    bus = Bus(Crc(machine))
    for byte in b"123456789":
        bus.write(0x00, byte, 1)
    assert bus.read(0x00) == 0x0376E6E7  # CRC-32/MPEG-2 check value
    bus.write(0x08, 1)
    bus.write(0x00, 0x31323334)
    bus.write(0x00, 0x35363738)
    bus.write(0x00, 0x39, 1)
    assert bus.read(0x00) == 0x0376E6E7


def test_crc_16_with_own_polynomial(machine: FakeMachine) -> None:
    bus = Bus(Crc(machine))
    bus.write(0x14, 0x1021)
    bus.write(0x10, 0xFFFF)
    bus.write(0x08, 1 | 1 << 3)
    for byte in b"123456789":
        bus.write(0x00, byte, 1)
    assert bus.read(0x00) == 0x29B1  # CRC-16/IBM-3740 check value


def test_timer_compares(machine: FakeMachine) -> None:
    """CC1IF is set when the counter is at CCR1 (38.4.5), once until it is cleared."""
    timer = Tim(machine, frequency=1_000_000)
    bus = Bus(timer)
    for offset, value in ((0x2C, 999), (0x34, 300), (0x3C, 700), (0x40, 5000), (0x0C, 1 << 1)):
        bus.write(offset, value)
    bus.write(0, 1)
    machine.run(300_000 - 1)
    assert (bus.read(0x10), timer.IRQ.level) == (0, False)
    machine.run(300_000)
    assert bus.read(0x10) == 1 << 1
    assert (timer.IRQ.level, timer.CaptureCompareInterrupt.level) == (True, True)
    assert not timer.UpdateInterrupt.level
    bus.write(0x10, 0)
    assert not timer.IRQ.level
    machine.run(700_000)
    assert (bus.read(0x10), timer.IRQ.level) == (1 << 3, False)  # channel 3 has no interrupt
    machine.run(1_300_000)
    assert bus.read(0x10) == 1 | 1 << 1 | 1 << 3  # 5000 is beyond ARR
    bus.write(0x10, 0)
    bus.write(0x34, 600)  # in this period still
    machine.run(1_600_000)
    assert bus.read(0x10) == 1 << 1
    bus.write(0x10, 0)
    bus.write(0x18, 1)  # CC1S: an input
    machine.run(2_600_000)
    assert not bus.read(0x10) & 1 << 1
    bus.write(0x14, 1 << 2)  # CC2G
    assert bus.read(0x10) & 1 << 2


def test_timer_counts_and_updates(machine: FakeMachine) -> None:
    timer = Tim(machine, frequency=240_000_000)
    bus = Bus(timer)
    bus.write(0x28, 239)  # PSC: 1 MHz
    bus.write(0x2C, 999)  # ARR
    bus.write(0x14, 1)  # UG loads the prescaler
    assert bus.read(0x10) == 1
    bus.write(0x10, 0)
    bus.write(0x0C, 1)
    bus.write(0x00, 1)
    machine.run(500_000)
    assert bus.read(0x24) == 500
    assert not timer.IRQ.level
    machine.run(1_000_000)
    assert bus.read(0x24) == 0
    assert timer.IRQ.level
    bus.write(0x10, ~1 & 0xFFFFFFFF)
    assert not timer.IRQ.level
    machine.run(2_000_000)
    assert timer.IRQ.level


def test_one_pulse_mode_stops(machine: FakeMachine) -> None:
    bus = Bus(Tim(machine, frequency=1_000_000))
    bus.write(0x2C, 9)
    bus.write(0x00, 1 | 1 << 3)
    machine.run(50_000)
    assert bus.read(0x00) & 1 == 0
    assert bus.read(0x24) == 0


@pytest.fixture
def phy(machine: FakeMachine) -> Phy:
    return Phy(machine)


def test_phy_negotiates_after_power_on(machine: FakeMachine, phy: Phy) -> None:
    assert phy.read(1) == 0x7809
    assert phy.read(31) & 1 << 12 == 0
    machine.run(NEGOTIATION_NS)
    assert phy.read(1) == 0x7809 | 1 << 5 | 1 << 2  # complete, link
    assert phy.read(31) & 0x101C == 0x1018  # Autodone, 100BASE-TX full duplex
    assert (phy.read(2), phy.read(3)) == (0x0007, 0xC131)


def test_phy_link_status_latches_low(machine: FakeMachine, phy: Phy) -> None:
    machine.run(NEGOTIATION_NS)
    phy.set_link(False)
    phy.set_link(True)
    machine.run(3 * NEGOTIATION_NS)
    assert not phy.read(1) & 4
    assert phy.read(1) & 4


def test_phy_common_mode_and_forced_mode(machine: FakeMachine, phy: Phy) -> None:
    phy.write(4, 0x0061)  # advertise 10BASE-T only
    phy.write(0, 1 << 12 | 1 << 9)
    machine.run(2 * NEGOTIATION_NS)
    assert phy.mode == (10, True)
    assert phy.read(31) & 0x1C == 0x14
    phy.write(0, 1 << 13)  # forced 100 half
    assert phy.mode == (100, False)


def test_phy_reset_and_interrupt_source(machine: FakeMachine, phy: Phy) -> None:
    machine.run(NEGOTIATION_NS)
    phy.write(0, 1 << 15)
    assert phy.read(0) == 0x3100
    assert not phy.read(1) & 4
    machine.run(3 * NEGOTIATION_NS)
    phy.set_link(False)
    assert phy.read(29) & 1 << 4
    assert phy.read(29) == 0


def test_phy_power_down_drops_the_link(machine: FakeMachine, phy: Phy) -> None:
    machine.run(NEGOTIATION_NS)
    phy.write(0, 0x3100 | 1 << 11)
    assert not phy.link
    phy.write(0, 0x3100)
    assert not phy.link
    machine.run(2 * NEGOTIATION_NS)
    assert phy.link


def test_a_fast_timer_costs_one_event_until_its_flag_is_cleared(machine: FakeMachine) -> None:
    timer = Tim(machine, frequency=240_000_000)
    bus = Bus(timer)
    bus.write(0x2C, 1)  # an update every 8 ns
    bus.write(0x00, 1)
    machine.run(10**12)  # would be 120,000,000,000 of them
    assert bus.read(0x10) == 1
    assert bus.read(0x24) == 10**12 * 240 // 1000 % 2

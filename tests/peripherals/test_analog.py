"""ADC, DAC and FMC, by RM0433 sections 25, 26 and 22."""

import pytest
from fake import Bus, FakeMachine
from omvsim.peripherals.adc import Adc
from omvsim.peripherals.dac import Dac
from omvsim.peripherals.fmc import Fmc

ISR, IER, CR, CFGR, CFGR2, SMPR1, SMPR2, PCSEL = range(0x00, 0x20, 4)
SQR1, SQR2, DR, JSQR, JDR1, CALFACT, CSR = 0x30, 0x34, 0x40, 0x4C, 0x80, 0xC4, 0x300
ADRDY, EOSMP, EOC, EOS, OVR, JEOC, JEOS, LDORDY = *(1 << n for n in range(7)), 1 << 12
ADEN, ADDIS, ADSTART, JADSTART, ADSTP = (1 << n for n in range(5))
ADVREGEN, DEEPPWD, ADCAL = 1 << 28, 1 << 29, 1 << 31
CLOCK_NS = 50  # of 20 MHz


@pytest.fixture
def adc3(machine: FakeMachine) -> Bus:
    """ADC3, switched on as 25.4.6 to 25.4.9 ask for it."""
    bus = Bus(Adc(machine, frequency=20_000_000, numberOfConverters=1))
    assert bus.read(CR) == DEEPPWD
    bus.write(CR, 0)
    bus.write(CR, ADVREGEN)
    assert bus.read(ISR) == LDORDY
    bus.write(CR, ADVREGEN | ADEN)
    assert bus.read(ISR) == LDORDY | ADRDY
    bus.write(ISR, ADRDY)
    return bus


@pytest.mark.parametrize(
    ("res", "bits", "smp", "clocks"),
    [(0, 16, 0, 10), (1, 14, 2, 16), (2, 12, 5, 71), (3, 10, 6, 393), (4, 8, 7, 815)],
)
def test_a_conversion(
    adc3: Bus, machine: FakeMachine, res: int, bits: int, smp: int, clocks: int
) -> None:
    """VREFINT at 3.3 V, after SMP and half a clock and half a clock a bit (25.4.13)."""
    adc3.write(CFGR, 1 << 31 | res << 2)
    adc3.write(SMPR2, smp << 27)
    adc3.write(SQR1, 19 << 6)
    adc3.write(IER, EOC)
    adc3.write(CR, ADVREGEN | ADSTART)
    machine.run(clocks * CLOCK_NS - 1)
    assert (adc3.read(ISR), adc3.read(CR)) == (LDORDY, ADVREGEN | ADEN | ADSTART)
    machine.run(clocks * CLOCK_NS)
    assert (adc3.read(ISR), adc3.read(CR)) == (LDORDY | EOSMP | EOC | EOS, ADVREGEN | ADEN)
    assert adc3.p.IRQ.level  # type: ignore[attr-defined]
    assert adc3.read(DR) == round(1.216 / 3.3 * (2**bits - 1))
    assert adc3.read(ISR) == LDORDY | EOSMP | EOS
    assert not adc3.p.IRQ.level  # type: ignore[attr-defined]


def test_a_sequence_of_six(adc3: Bus, machine: FakeMachine) -> None:
    """Over two registers: VBAT / 4, the sensor, VREFINT and pins, which are at 0 V."""
    adc3.write(SQR1, 5 | 17 << 6 | 18 << 12 | 19 << 18 | 0 << 24)
    adc3.write(SQR2, 19 | 17 << 6)
    adc3.write(CR, ADVREGEN | ADSTART)
    found = []
    for _ in range(6):
        machine.run(machine.now + 10 * CLOCK_NS)
        assert adc3.read(ISR) & EOC
        found.append(adc3.read(DR))
    assert found == [16384, 12114, 24149, 0, 24149, 16384]
    assert adc3.read(ISR) & (EOS | EOC) == EOS


def test_one_that_nobody_reads_overruns(adc3: Bus, machine: FakeMachine) -> None:
    adc3.write(CFGR, 1 << 31 | 1 << 13)  # CONT
    adc3.write(SQR1, 19 << 6)
    adc3.write(CR, ADVREGEN | ADSTART)
    machine.run(19 * CLOCK_NS)
    assert adc3.read(ISR) & OVR == 0
    machine.run(21 * CLOCK_NS)
    assert adc3.read(ISR) & OVR
    adc3.write(CR, ADVREGEN | ADSTP)
    adc3.write(ISR, 0x7FF)
    machine.run(10**6)
    assert (adc3.read(ISR), adc3.read(CR)) == (LDORDY, ADVREGEN | ADEN)


def test_injected_and_oversampled(adc3: Bus, machine: FakeMachine) -> None:
    """Two injected ones beside; 16 samples, shifted by 2, are two bits more (25.4.31)."""
    adc3.write(JSQR, 1 | 19 << 9 | 17 << 15)
    adc3.write(CFGR, 1 << 31 | 2 << 2)
    adc3.write(CFGR2, 1 | 15 << 16 | 2 << 5)
    adc3.write(SQR1, 19 << 6)
    adc3.write(CR, ADVREGEN | ADSTART | JADSTART)
    machine.run(16 * CLOCK_NS)
    assert adc3.read(ISR) == LDORDY | JEOC | JEOS
    assert [adc3.read(JDR1), adc3.read(JDR1 + 4)] == [1509, 1024]
    machine.run(16 * 8 * CLOCK_NS)
    assert adc3.read(DR) == 1509 * 16 >> 2


def test_a_calibration_takes_its_time(machine: FakeMachine) -> None:
    bus = Bus(Adc(machine, frequency=20_000_000))
    bus.write(CR, ADVREGEN)
    bus.write(CR, ADVREGEN | 1 << 16 | ADCAL)
    machine.run(165_010 * CLOCK_NS - 1)
    assert bus.read(CR) & ADCAL
    machine.run(165_010 * CLOCK_NS)
    assert bus.read(CR) == ADVREGEN | 1 << 16 | 0x3F << 22  # LINCALRDYW1 to 6


def test_off_it_converts_nothing(machine: FakeMachine) -> None:
    bus = Bus(Adc(machine))
    bus.write(CR, ADEN | ADSTART)  # in deep power-down
    machine.run(10**6)
    assert (bus.read(ISR), bus.read(CR)) == (0, 0)
    bus.write(0x100 + CR, ADVREGEN)
    bus.write(0x100 + CR, ADVREGEN | ADEN)
    assert bus.read(CSR) == ADRDY << 16  # of ADC2
    bus.write(0x100 + CFGR, 1 << 10)  # EXTEN: a trigger, which never comes
    bus.write(0x100 + CR, ADVREGEN | ADSTART)
    machine.run(2 * 10**6)
    assert bus.read(0x100 + ISR) == LDORDY | ADRDY


def test_the_names_of_what_the_dac_holds(machine: FakeMachine) -> None:
    bus = Bus(Dac(machine))
    bus.write(0x00, 1 | 1 << 16)  # EN1, EN2
    bus.write(0x08, 0xABC)  # DHR12R1
    bus.write(0x18, 0x1230)  # DHR12L2
    assert [bus.read(at) for at in range(0x08, 0x34, 4)] == [
        0xABC, 0xABC0, 0xAB, 0x123, 0x1230, 0x12, 0x0123_0ABC, 0x1230_ABC0, 0x12AB, 0xABC, 0x123,
    ]  # fmt: skip
    bus.write(0x28, 0x7F80)  # DHR8RD
    assert [bus.read(0x2C), bus.read(0x30)] == [0x800, 0x7F0]


def test_the_dac_waits_for_its_trigger(machine: FakeMachine) -> None:
    bus = Bus(Dac(machine))
    bus.write(0x08, 0x111)
    assert bus.read(0x2C) == 0  # off
    bus.write(0x00, 1)
    assert bus.read(0x2C) == 0x111
    bus.write(0x00, 1 | 1 << 1)  # TEN1, TSEL1 0: software
    bus.write(0x08, 0x222)
    assert bus.read(0x2C) == 0x111
    bus.write(0x04, 2)  # the other channel's
    assert bus.read(0x2C) == 0x111
    bus.write(0x04, 1)
    assert bus.read(0x2C) == 0x222


def test_sdram_banks_change_their_mode(machine: FakeMachine) -> None:
    bus = Bus(Fmc(machine))
    assert [bus.read(at) for at in (0x00, 0x08, 0x140, 0x148)] == [
        0x30DB, 0x30D2, 0x2D0, 0x0FFFFFFF,
    ]  # fmt: skip
    for command, status in ((0b10101, 1 << 1), (0b01110, 1 << 1 | 2 << 3), (0b11000, 0)):
        bus.write(0x150, command)
        assert bus.read(0x158) == status
    bus.write(0x154, 0x603)  # CRE reads 0
    assert bus.read(0x154) == 0x602

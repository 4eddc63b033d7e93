"""USART, by RM0433 section 48: a character takes its time, flags and interrupts follow."""

import random

import pytest
from fake import Bus, FakeMachine
from omvsim.peripherals.usart import Usart

CR1, CR2, CR3, BRR, RTOR, RQR, ISR, ICR, RDR, TDR, PRESC = (
    0x00, 0x04, 0x08, 0x0C, 0x14, 0x18, 0x1C, 0x20, 0x24, 0x28, 0x2C,
)  # fmt: skip
UE, RE, TE, IDLEIE, RXNEIE, TCIE, TXEIE, FIFOEN = (
    1 << n for n in (0, 2, 3, 4, 5, 6, 7, 29)
)  # fmt: skip
ORE, IDLE, RXNE, TC, TXE, RTOF, CMF, TEACK, REACK = (
    1 << n for n in (3, 4, 5, 6, 7, 11, 17, 21, 22)
)
TXFE, RXFF, RXFT = 1 << 23, 1 << 24, 1 << 26
FREQUENCY, BAUD = 120_000_000, 115_200
BIT_NS = 1e9 * round(FREQUENCY / BAUD) / FREQUENCY
CHARACTER_NS = round(10 * BIT_NS)


class Port:
    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.usart = Usart(machine, frequency=FREQUENCY)
        self.bus = Bus(self.usart)
        self.out: list[tuple[int, int]] = []
        self.usart.transmitted = self.transmitted
        self.bus.write(BRR, round(FREQUENCY / BAUD))

    def transmitted(self, characters: list[int], first: int) -> None:
        time = self.usart.character_ns
        self.out += [(first + n * time, c) for n, c in enumerate(characters)]

    def start(self, cr1: int = 0) -> None:
        self.bus.write(CR1, UE | RE | TE | cr1)

    def after(self, characters: float) -> None:
        self.machine.run(self.machine.now + round(characters * CHARACTER_NS))


@pytest.fixture
def port(machine: FakeMachine) -> Port:
    return Port(machine)


def test_reset_values(port: Port) -> None:
    assert port.bus.read(ISR) == 0xC0
    port.start()
    assert port.bus.read(ISR) == TC | TXE | TEACK | REACK


def test_transmit_at_the_baud_rate(port: Port) -> None:
    port.start()
    port.bus.write(TDR, 0x41)
    assert port.bus.read(ISR) & (TXE | TC) == TXE  # moved to the shift register
    port.bus.write(TDR, 0x42)
    assert not port.bus.read(ISR) & TXE
    port.after(1.01)
    assert port.bus.read(ISR) & (TXE | TC) == TXE
    port.after(1)
    assert port.bus.read(ISR) & TC
    assert [c for _, c in port.out] == [0x41, 0x42]
    assert [t for t, _ in port.out] == pytest.approx([CHARACTER_NS, 2 * CHARACTER_NS], abs=2)


@pytest.mark.parametrize(
    ("registers", "bits", "baud"),
    [
        ({}, 10, 120e6 / 1042),
        ({CR1: 1 << 12}, 11, 120e6 / 1042),  # M = 01: 9 data bits
        ({CR1: 1 << 28}, 9, 120e6 / 1042),  # M = 10: 7 data bits
        ({CR2: 2 << 12}, 11, 120e6 / 1042),  # two stop bits
        ({BRR: 0x0823, CR1: 1 << 15}, 10, 2 * 120e6 / 0x0826),  # OVER8: BRR[2:0] shifted left
        ({PRESC: 3}, 10, 20e6 / 1042),  # divided by 6
    ],
)
def test_character_time(port: Port, registers: dict[int, int], bits: int, baud: float) -> None:
    for offset, value in registers.items():
        port.bus.write(offset, value)
    port.start(registers.get(CR1, 0))
    assert port.usart.character_ns == round(bits * 1e9 / baud)


def test_receive_is_paced(port: Port) -> None:
    port.start(RXNEIE)
    port.usart.receive(b"hi")
    assert not port.bus.read(ISR) & RXNE
    port.after(1.01)
    assert port.usart.IRQ.level
    assert port.bus.read(RDR) == ord("h")
    assert not port.usart.IRQ.level
    port.after(1)
    assert port.bus.read(RDR) == ord("i")


def test_overrun_keeps_the_old_character(port: Port) -> None:
    port.start(RXNEIE)
    port.usart.receive(b"xyz")
    port.after(3.1)
    assert port.bus.read(ISR) & (ORE | RXNE) == ORE | RXNE
    assert port.bus.read(RDR) == ord("x")
    assert port.usart.IRQ.level  # RXNEIE also lets ORE through
    port.bus.write(ICR, ORE)
    assert not port.usart.IRQ.level


def test_idle_after_one_silent_frame(port: Port) -> None:
    port.start(IDLEIE)
    port.usart.receive(b"a")
    port.after(1.5)
    assert not port.bus.read(ISR) & IDLE
    port.after(0.6)
    assert port.bus.read(ISR) & IDLE
    assert port.usart.IRQ.level
    port.bus.write(ICR, IDLE)
    assert not port.usart.IRQ.level


def test_receiver_timeout_counts_bits(port: Port) -> None:
    port.bus.write(RTOR, 20)
    port.bus.write(CR2, 1 << 23)
    port.start(1 << 26)
    port.usart.receive(b"a")
    port.after(2.9)
    assert not port.bus.read(ISR) & RTOF
    port.after(0.2)
    assert port.bus.read(ISR) & RTOF
    assert port.usart.IRQ.level


def test_fifo_of_16_and_threshold(port: Port) -> None:
    port.bus.write(CR3, 2 << 25 | 1 << 28)  # RXFTCFG: 8 of 16, RXFTIE
    port.start(FIFOEN)
    assert port.bus.read(ISR) & TXFE
    port.usart.receive(bytes(range(17)))
    port.after(7.1)
    assert not port.bus.read(ISR) & RXFT
    port.after(1)
    assert port.bus.read(ISR) & RXFT
    assert port.usart.IRQ.level
    port.after(8)
    assert port.bus.read(ISR) & RXFF
    assert not port.bus.read(ISR) & ORE
    port.after(1)
    assert port.bus.read(ISR) & ORE
    assert [port.bus.read(RDR) for _ in range(16)] == list(range(16))
    assert not port.bus.read(ISR) & RXNE


def test_transmit_fifo_fills(port: Port) -> None:
    port.start(FIFOEN)
    for n in range(17):  # one leaves for the shift register at once
        assert port.bus.read(ISR) & TXE
        port.bus.write(TDR, n)
    assert not port.bus.read(ISR) & TXE
    port.after(17.1)
    assert [c for _, c in port.out] == list(range(17))
    assert port.bus.read(ISR) & (TC | TXFE) == TC | TXFE


def test_character_match(port: Port) -> None:
    port.bus.write(CR2, 0x0D << 24)
    port.start(1 << 14)
    port.usart.receive(b"a\r")
    port.after(1.1)
    assert not port.usart.IRQ.level
    port.after(1)
    assert port.bus.read(ISR) & CMF
    assert port.usart.IRQ.level


def test_transmit_interrupts(port: Port) -> None:
    port.start(TXEIE)
    assert port.usart.IRQ.level
    port.start(TCIE)
    assert port.usart.IRQ.level
    port.bus.write(ICR, TC)
    assert not port.usart.IRQ.level


def test_receive_flush_request(port: Port) -> None:
    port.start()
    port.usart.receive(b"a")
    port.after(1.1)
    port.bus.write(RQR, 1 << 3)
    assert not port.bus.read(ISR) & RXNE


def test_the_other_side_waits_for_the_receiver(port: Port) -> None:
    port.usart.receive(b"a")
    port.after(5)
    port.start()
    port.after(1.1)
    assert port.bus.read(RDR) == ord("a")


@pytest.mark.parametrize("seed", range(20))
def test_characters_that_come_together_change_no_flag(seed: int) -> None:
    """What is heard late left at the same time; ISR and the line are right at every moment."""
    ports = [Port(FakeMachine()) for _ in range(2)]
    ports[1].usart.together(True)
    chance = random.Random(seed)
    cr1 = chance.choice((0, FIFOEN, FIFOEN)) | UE | TE
    for _ in range(300):
        steps: list[tuple[int, int]] = [(TDR, n) for n in range(chance.choice((0, 1, 3, 20)))]
        match chance.randrange(8):
            case 0:
                steps.append((CR1, cr1 | chance.choice((0, TXEIE, TCIE, 1 << 30))))
            case 1:
                steps.append((CR3, chance.randrange(6) << 29 | 1 << 23))
            case 2:
                steps.append((RQR, 1 << 4))
            case 3:
                steps.append((CR1, cr1 & ~chance.choice((0, UE, TE))))
            case _:
                steps.append((CR1, cr1))
        time = chance.choice((0.1, 0.6, 1, 2.3, 7.1, 15.9, 20))
        for port in ports:
            for offset, value in steps:
                port.bus.write(offset, value)
            port.after(time)
        assert ports[0].bus.read(ISR) == ports[1].bus.read(ISR)
        assert ports[0].usart.IRQ.level == ports[1].usart.IRQ.level
    for port in ports:
        port.usart.together(False)
    assert ports[0].out == ports[1].out
    assert len(ports[0].out) > 200

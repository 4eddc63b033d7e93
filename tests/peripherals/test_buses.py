"""Serial buses on which nobody answers, and a flash that does (RM0433 sections 23, 47, 50, 55)."""

import pytest
from fake import Bus, FakeMachine
from omvsim.peripherals.base import Memory
from omvsim.peripherals.i2c import I2c
from omvsim.peripherals.quadspi import Quadspi
from omvsim.peripherals.sdmmc import Sdmmc
from omvsim.peripherals.spi import Spi
from omvsim.peripherals.spi_flash import SpiFlash

# I2C: CR1, CR2, TIMINGR, ISR, ICR
CR1, CR2, TIMINGR, ISR, ICR = 0x00, 0x04, 0x10, 0x18, 0x1C
START, STOP, AUTOEND = 1 << 13, 1 << 14, 1 << 25
TXE, NACKF, STOPF, BUSY = 1, 1 << 4, 1 << 5, 1 << 15


@pytest.fixture
def i2c(machine: FakeMachine) -> tuple[I2c, Bus]:
    block = I2c(machine, frequency=100_000_000)
    bus = Bus(block)
    bus.write(TIMINGR, 0x10C0_B7CF)  # PRESC 1, SCLH 0xB7, SCLL 0xCF: 130 kHz
    return block, bus


def test_no_device_acknowledges(machine: FakeMachine, i2c: tuple[I2c, Bus]) -> None:
    block, bus = i2c
    bus.write(CR1, 1)
    bus.write(CR2, 0x78 | AUTOEND | START)
    assert bus.read(ISR) == TXE | BUSY
    assert bus.read(CR2) & START
    period = (0xCF + 1 + 0xB7 + 1) * 2 * 10  # ns, without the edges' delays (47.4.10)
    machine.run(9 * period)
    assert bus.read(ISR) & BUSY
    machine.run(10 * period)
    assert bus.read(ISR) == TXE | NACKF | STOPF
    assert not bus.read(CR2) & (START | STOP)
    assert not block.EventInterrupt.level
    bus.write(CR1, 1 | 1 << 4)  # NACKIE
    assert block.EventInterrupt.level
    bus.write(ICR, NACKF)
    assert bus.read(ISR) == TXE | STOPF
    assert not block.EventInterrupt.level
    bus.write(CR1, 1 | 1 << 5)  # STOPIE
    assert block.EventInterrupt.level
    bus.write(ICR, 0xFFFFFFFF)
    assert bus.read(ISR) == TXE
    assert not block.EventInterrupt.level
    assert not block.ErrorInterrupt.level


def test_i2c_that_is_off_sends_nothing(machine: FakeMachine, i2c: tuple[I2c, Bus]) -> None:
    _, bus = i2c
    bus.write(CR2, 0x78 | START | STOP)
    assert not bus.read(CR2) & (START | STOP)
    bus.write(CR1, 1)
    bus.write(CR2, 0x78 | START)
    bus.write(CR1, 0)  # a software reset (47.4.6)
    assert bus.read(ISR) == TXE
    machine.run(10**9)
    assert bus.read(ISR) == TXE
    assert bus.read(CR2) == 0x78


# SPI: CR1, CR2, CFG1, CFG2, IER, SR, IFCR, TXDR, RXDR
SPI_CR2, CFG1, CFG2, IER, SR, IFCR, TXDR, RXDR = 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x20, 0x30
SPE, CSTART, CSUSP, MASTER = 1, 1 << 9, 1 << 10, 1 << 22
RXP, TXP, DXP, EOT, TXTF, OVR, SUSP, TXC = (1 << n for n in (0, 1, 2, 3, 4, 6, 11, 12))


@pytest.fixture
def spi(machine: FakeMachine) -> tuple[Spi, Bus]:
    block = Spi(machine, frequency=100_000_000)
    bus = Bus(block)
    assert bus.read(SR) == TXP | TXC  # 50.11.6: reset value 0x1002
    bus.write(CFG1, 7)  # DSIZE: 8 bits, MBR: half the clock
    bus.write(CFG2, MASTER)
    return block, bus


def test_a_transfer_of_known_length_ends(machine: FakeMachine, spi: tuple[Spi, Bus]) -> None:
    block, bus = spi
    bus.write(SPI_CR2, 3)
    bus.write(0, SPE)
    assert bus.read(SR) & TXC == 0
    for byte in (0x9F, 1, 2):
        bus.write(TXDR, byte, 1)
    bus.write(0, SPE | CSTART)
    machine.run(159)
    assert bus.read(SR) & (RXP | EOT) == 0
    machine.run(160)  # eight bits at 50 MHz
    assert bus.read(SR) & (RXP | DXP) == RXP | DXP
    assert bus.read(SR) >> 16 == 2  # CTSIZE
    assert bus.read(RXDR, 1) == 0xFF
    assert bus.read(SR) & RXP == 0
    machine.run(480)
    sr = bus.read(SR)
    assert sr & (EOT | TXTF | TXC | RXP) == EOT | TXTF | TXC | RXP
    assert not bus.read(0) & CSTART
    bus.write(IER, EOT)
    assert block.IRQ.level
    bus.write(IFCR, EOT | TXTF)
    assert bus.read(SR) & (EOT | TXTF) == 0
    assert not block.IRQ.level
    assert bus.read(RXDR, 2) == 0xFFFF  # two frames at once
    bus.write(0, 0)
    assert bus.read(SR) == TXP | TXC


def test_fifo_and_packets(machine: FakeMachine, spi: tuple[Spi, Bus]) -> None:
    _, bus = spi
    bus.write(CFG1, 7 | 3 << 5)  # FTHLV: packets of four
    bus.write(0, SPE)
    for _ in range(3):
        bus.write(TXDR, 0, 4)  # four frames each
    assert bus.read(SR) & TXP
    bus.write(TXDR, 0, 1)
    assert not bus.read(SR) & TXP  # no room for another packet: 16 bytes
    bus.write(0, SPE | CSTART)
    machine.run(160 * 6)
    assert bus.read(SR) & RXP
    assert bus.read(SR) >> 13 & 3 == 2  # RXPLVL: two frames behind the packet
    machine.run(10**6)
    assert bus.read(SR) & TXC  # TSIZE 0: nothing is left to be sent
    for _ in range(2):
        bus.write(TXDR, 0, 4)
    machine.run(2 * 10**6)
    assert bus.read(SR) & OVR  # 21 frames for 16 places


def test_a_transfer_is_suspended(machine: FakeMachine, spi: tuple[Spi, Bus]) -> None:
    _, bus = spi
    bus.write(0, SPE)
    bus.write(0, SPE | CSTART)
    bus.write(0, SPE | CSTART | CSUSP)
    assert bus.read(SR) & SUSP
    assert bus.read(0) == SPE
    bus.write(TXDR, 1, 1)
    machine.run(10**6)
    assert not bus.read(SR) & RXP


# QUADSPI

QCR, DCR, QSR, FCR, DLR, CCR, AR, DR, PSMKR, PSMAR = (
    0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x20, 0x24, 0x28,
)  # fmt: skip
TEF, TCF, FTF, SMF, QBUSY = 1, 2, 4, 8, 32
LINE, DATA, ADDRESS24, READ, POLL = 1 << 8, 1 << 24, 1 << 10 | 2 << 12, 1 << 26, 2 << 26


class Chip:
    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.memory = Memory(machine, size=1 << 24)
        self.flash = SpiFlash(
            machine, underlyingMemory=self.memory, manufacturerId=0xC2, memoryType=0x20
        )
        self.block = Quadspi(machine)
        self.block.attach(0, self.flash)
        self.bus = Bus(self.block)
        assert self.bus.read(QSR) == 0  # 23.5.3: its reset value
        self.bus.write(DCR, 23 << 16)
        self.bus.write(QCR, 1)

    def send(self, instruction: int, address: int | None = None, data: bytes = b"") -> None:
        self.bus.write(FCR, 0x1F)
        if data:
            self.bus.write(DLR, len(data) - 1)
        how = (ADDRESS24 if address is not None else 0) | (DATA if data else 0)
        self.bus.write(CCR, LINE | how | instruction)
        if address is not None:
            self.bus.write(AR, address)
        for byte in data:
            assert self.bus.read(QSR) & (FTF | TCF) == FTF
            self.bus.write(DR, byte, 1)
        clocks = 8 * (1 + (3 if address is not None else 0) + len(data))
        self.take(clocks * 5)  # ns: 200 MHz

    def receive(self, instruction: int, count: int, address: int | None = None) -> bytes:
        self.bus.write(FCR, 0x1F)
        self.bus.write(DLR, count - 1)
        how = ADDRESS24 if address is not None else 0
        self.bus.write(CCR, LINE | DATA | READ | how | instruction)
        if address is not None:
            self.bus.write(AR, address)
        self.take(8 * (1 + (3 if address is not None else 0) + count) * 5)
        return bytes(self.bus.read(DR, 1) for _ in range(count))

    def take(self, ns: int) -> None:
        """A transfer that ends then."""
        self.machine.run(self.machine.now + ns - 1)
        assert self.bus.read(QSR) & (TCF | QBUSY) == QBUSY
        self.machine.run(self.machine.now + 1)
        assert self.bus.read(QSR) & (TCF | QBUSY) == TCF

    @property
    def status(self) -> int:
        return self.receive(0x05, 1)[0]


@pytest.fixture
def chip(machine: FakeMachine) -> Chip:
    return Chip(machine)


def test_flash_tells_who_it_is(chip: Chip) -> None:
    assert chip.receive(0x9F, 3) == b"\xc2\x20\x18"  # Macronix, SPI, 2^24 bytes
    assert chip.receive(0x9F, 4)[3] == 0xC2
    assert chip.status == 0


def test_flash_is_programmed_and_erased(chip: Chip) -> None:
    chip.send(0x02, 0x1000, b"hello")  # not enabled
    assert chip.receive(0x03, 5, 0x1000) == b"\xff" * 5
    chip.send(0x06)
    assert chip.status == 2
    chip.send(0x02, 0x10FD, b"hello")  # goes on at the page's start
    assert chip.status & 1
    assert chip.receive(0x03, 3, 0x10FD) == b"\xff" * 3  # not yet
    chip.machine.run(chip.machine.now + 1_000_000)
    assert chip.status == 0
    assert chip.receive(0xEB, 3, 0x10FD) == b"hel"
    assert chip.receive(0x03, 2, 0x1000) == b"lo"
    chip.send(0x06)
    chip.send(0x02, 0x1000, b"\x0f")  # bits go to 0 only
    chip.machine.run(chip.machine.now + 1_000_000)
    assert chip.receive(0x03, 1, 0x1000)[0] == ord("l") & 0x0F
    for instruction, size in ((0x20, 0x1000), (0x52, 0x8000), (0xD8, 0x10000), (0xC7, 1 << 24)):
        chip.memory.data[0x20000 : 0x20000 + size] = bytes(size)[: (1 << 24) - 0x20000]
        chip.send(0x06)
        chip.send(instruction, None if instruction == 0xC7 else 0x20004)
        chip.machine.run(chip.machine.now + 10**11)
        assert chip.receive(0x03, 2, 0x20000 + min(size, 0x10000) - 2) == b"\xff\xff"
    assert chip.memory.data.tobytes() == b"\xff" * (1 << 24)


def test_status_is_written(chip: Chip) -> None:
    chip.send(0x06)
    chip.send(0x01, None, b"\x40\x02")
    chip.machine.run(chip.machine.now + 10**9)
    assert (chip.status, chip.receive(0x35, 1)) == (0x40, b"\x02")


def test_long_read_goes_through_the_fifo(chip: Chip) -> None:
    chip.memory.data[0:100] = bytes(range(100))
    chip.bus.write(QCR, 1 | 3 << 8)  # FTHRES: four bytes
    chip.bus.write(DLR, 99)
    chip.bus.write(CCR, LINE | DATA | READ | ADDRESS24 | 0x03)
    chip.bus.write(AR, 0)
    assert chip.bus.read(QSR) == QBUSY
    chip.machine.run(10**6)
    assert chip.bus.read(QSR) == FTF | QBUSY | 32 << 8  # the rest waits for room
    words = []
    while len(words) < 25:
        words.append(chip.bus.read(DR))
        chip.machine.run(chip.machine.now + 8 * 4 * 5)
    assert b"".join(word.to_bytes(4, "little") for word in words) == bytes(range(100))
    assert chip.bus.read(QSR) == TCF


def test_what_has_come_asks_the_mdma(chip: Chip) -> None:
    """FIFO threshold and end of transfer, with DMAEN."""
    lines = chip.block.ends
    chip.send(0x06)
    assert [line.level for line in lines] == [False, False]
    chip.bus.write(FCR, 0x1F)
    chip.bus.write(QCR, 1 | 1 << 2 | 3 << 8)  # DMAEN, FTHRES: four bytes
    chip.bus.write(DLR, 7)
    chip.bus.write(CCR, LINE | DATA | READ | 0x9F)
    assert [line.level for line in lines] == [False, False]
    chip.machine.run(chip.machine.now + 1000)
    assert [line.level for line in lines] == [True, True]
    for word in (2, 1):
        chip.bus.read(DR)
        assert lines[0].level == (word > 1)
    chip.bus.write(FCR, TCF)
    assert not lines[1].level


def test_automatic_polling_waits_for_the_flash(chip: Chip) -> None:
    chip.bus.write(PSMKR, 1)
    chip.bus.write(PSMAR, 0)
    chip.bus.write(QCR, 1 | 1 << 22 | 1 << 19)  # APMS, SMIE
    chip.send(0x06)
    chip.send(0x02, 0, b"x")
    chip.bus.write(FCR, 0x1F)
    chip.bus.write(DLR, 0)
    chip.bus.write(CCR, LINE | DATA | POLL | 0x05)
    assert chip.bus.read(QSR) & (SMF | QBUSY) == QBUSY
    chip.machine.run(chip.machine.now + 1_000_000)
    assert chip.bus.read(QSR) & (SMF | QBUSY) == SMF
    assert chip.block.IRQ.level


def test_abort_and_nothing_without_a_flash(machine: FakeMachine, chip: Chip) -> None:
    chip.bus.write(DLR, 999)
    chip.bus.write(CCR, LINE | DATA | READ | 0x9F)
    assert chip.bus.read(QSR) & QBUSY
    chip.bus.write(QCR, 3)
    assert chip.bus.read(QSR) & (QBUSY | TCF) == TCF
    assert chip.bus.read(QCR) == 1
    bare = Bus(Quadspi(machine))
    bare.write(QCR, 1)
    bare.write(DLR, 2)
    bare.write(CCR, LINE | DATA | READ | 0x9F)
    machine.run(machine.now + 1000)
    assert [bare.read(DR, 1) for _ in range(3)] == [0xFF] * 3


# SDMMC: CLKCR, CMDR, STAR, ICR, MASKR

CLKCR, CMDR, STAR, SICR, MASKR = 0x04, 0x0C, 0x34, 0x38, 0x3C


def test_without_a_card_a_command_times_out(machine: FakeMachine) -> None:
    block = Sdmmc(machine, frequency=50_000_000)
    bus = Bus(block)
    bus.write(CLKCR, 62)  # 403 kHz
    bus.write(MASKR, 1 << 2)
    bus.write(CMDR, 1 << 12)  # CMD0: no response
    machine.run(48 * 124 * 20 - 1)
    assert bus.read(STAR) == 1 << 13  # CPSMACT
    machine.run(48 * 124 * 20)
    assert bus.read(STAR) == 1 << 7  # CMDSENT
    assert not bus.read(CMDR) & 1 << 12
    bus.write(SICR, 1 << 7)
    assert bus.read(STAR) == 0
    bus.write(CMDR, 8 | 1 << 8 | 1 << 12)  # CMD8: a short response
    began = machine.now
    machine.run(began + 112 * 124 * 20 - 1)
    assert not bus.read(STAR) & 1 << 2
    machine.run(began + 112 * 124 * 20)  # 64 periods behind it (55.5.4)
    assert bus.read(STAR) == 1 << 2  # CTIMEOUT
    assert block.IRQ.level
    bus.write(SICR, 1 << 2)
    assert not block.IRQ.level

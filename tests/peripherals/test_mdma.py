"""The master DMA, by RM0433 section 14."""

import struct

import pytest
from fake import RAM, Bus, FakeMachine
from omvsim.peripherals.mdma import Mdma

ISR, IFCR, ESR, CR, TCR, BNDTR, SAR, DAR, BRUR, LAR, TBR = range(0x00, 0x2C, 4)
TEIF, CTCIF, BRTIF, BTIF, TCIF = (1 << n for n in range(5))
EN, TEIE, CTCIE, BEX, HEX, WEX, SWRQ = 1, 1 << 1, 1 << 2, 1 << 12, 1 << 13, 1 << 14, 1 << 16
SINC, DINC, SDEC, PKE, SWRM = 2, 2 << 2, 3, 1 << 25, 1 << 30
BUFFER, BLOCK, REPEATED, LIST = (n << 28 for n in range(4))
DATA = bytes(range(0xA0, 0xC0))


class Channel:
    """Channel 3; DATA lies at RAM, and goes to RAM + 0x100."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine, self.block = machine, Mdma(machine)
        self.bus = Bus(self.block)
        machine.ram[: len(DATA)] = DATA

    def write(self, register: int, value: int) -> None:
        self.bus.write(0x40 + 0x40 * 3 + register, value)

    def read(self, register: int) -> int:
        return self.bus.read(0x40 + 0x40 * 3 + register)

    def start(self, tcr: int, bndtr: int, cr: int = 0, source: int = RAM) -> None:
        for register, value in ((TCR, tcr | SWRM), (BNDTR, bndtr), (SAR, source), (DAR, RAM + 256)):
            self.write(register, value)
        self.write(CR, EN | cr)
        self.write(CR, EN | cr | SWRQ)

    def moved(self, size: int) -> bytes:
        return bytes(self.machine.ram[256 : 256 + size])


@pytest.fixture
def channel(machine: FakeMachine) -> Channel:
    return Channel(machine)


def sizes(width: int, room: int, tlen: int) -> int:
    """SSIZE, SINCOS, DSIZE, DINCOS and TLEN."""
    return width << 4 | width << 8 | room << 6 | room << 10 | tlen - 1 << 18


def test_a_block(channel: Channel) -> None:
    channel.start(SINC | DINC | sizes(2, 2, 16) | BLOCK, 32, CTCIE)
    assert channel.moved(33) == DATA + b"\0"
    assert channel.read(ISR) == CTCIF | BRTIF | BTIF | TCIF
    assert (channel.read(CR), channel.read(BNDTR)) == (CTCIE, 0)
    assert (channel.read(SAR), channel.read(DAR)) == (RAM + 32, RAM + 288)
    assert (channel.bus.read(0), channel.block.IRQ.level) == (1 << 3, True)
    channel.write(IFCR, 0x1F)
    assert (channel.read(ISR), channel.block.IRQ.level) == (0, False)


def test_a_buffer_for_each_request(channel: Channel) -> None:
    channel.start(SINC | DINC | sizes(0, 0, 12) | BUFFER, 32)
    for moved, left in ((12, 20), (24, 8)):
        assert channel.moved(33) == DATA[:moved].ljust(33, b"\0")
        assert (channel.read(ISR), channel.read(BNDTR)) == (TCIF, left)
        channel.write(IFCR, 0x1F)
        channel.write(CR, EN | SWRQ)
    assert channel.moved(32) == DATA
    assert channel.read(ISR) & CTCIF


@pytest.mark.parametrize(
    ("how", "width", "room", "expected"),
    [
        (PKE, 0, 2, "a0a1a2a3 a4a5a6a7"),
        (PKE, 2, 0, "a0 a1 a2 a3 a4 a5 a6 a7"),
        (0, 0, 1, "a000 a100 a200 a300"),  # right aligned, zeros
        (1 << 26, 0, 1, "a0ff a1ff a2ff a3ff"),  # and sign-extended
        (2 << 26, 0, 1, "00a0 00a1 00a2 00a3"),  # left aligned
        (0, 2, 1, "a0a1 a4a5"),
        (2 << 26, 2, 1, "a2a3 a6a7"),
    ],
)
def test_widths_that_differ(
    channel: Channel, how: int, width: int, room: int, expected: str
) -> None:
    """PKE and PAM (14.5.7)."""
    wanted = bytes.fromhex(expected)
    size = 4 if not width and room == 1 else 8
    channel.start(SINC | DINC | sizes(width, room, size) | how | BLOCK, size)
    assert channel.moved(len(wanted) + 1) == wanted + b"\0"


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (BEX, "a1a0a3a2a5a4a7a6"),
        (HEX, "a2a3a0a1a6a7a4a5"),
        (WEX, "a4a5a6a7a0a1a2a3"),
        (BEX | HEX | WEX, "a7a6a5a4a3a2a1a0"),
    ],
)
def test_endianness(channel: Channel, exchange: int, expected: str) -> None:
    channel.start(SINC | DINC | sizes(3, 3, 8) | BLOCK, 8, exchange)
    assert channel.moved(9) == bytes.fromhex(expected) + b"\0"


def test_blocks_repeated_with_an_offset(channel: Channel) -> None:
    """As cameras' lines are moved: back in the source, on in the target (BRSUM, BRUR)."""
    channel.write(BRUR, 4 << 16 | 8)
    channel.start(SINC | DINC | sizes(0, 0, 8) | REPEATED, 2 << 20 | 1 << 18 | 8)
    assert channel.moved(33) == (DATA[:8] + bytes(4)) * 2 + DATA[:8] + b"\0"
    assert channel.read(ISR) == CTCIF | BRTIF | BTIF | TCIF
    assert channel.read(BNDTR) >> 20 == 0


def test_a_linked_list(channel: Channel) -> None:
    node = (SINC | DINC | sizes(0, 0, 4) | LIST | SWRM, 4, RAM + 16, RAM + 264, 0, 0, 0, 0, 0, 0)
    channel.machine.write_memory(RAM + 0x200, struct.pack("<10I", *node))
    channel.write(LAR, RAM + 0x200)
    channel.start(SINC | DINC | sizes(0, 0, 8) | LIST, 8)
    assert channel.moved(13) == DATA[:8] + DATA[16:20] + b"\0"
    assert channel.read(ISR) == CTCIF | BRTIF | BTIF | TCIF


@pytest.mark.parametrize(("bus", "source"), [(0, 0x9000_0010), (1, RAM + 16)])
def test_what_it_cannot_reach(channel: Channel, bus: int, source: int) -> None:
    """Its bus to the core reaches the TCMs alone (SBUS)."""
    channel.write(TBR, bus << 16)
    channel.start(SINC | DINC | sizes(2, 2, 16) | BLOCK, 32, TEIE, source)
    assert (channel.read(ISR), channel.read(ESR)) == (TEIF, 1 << 7 | 0x10)
    assert not channel.read(CR) & EN
    assert channel.block.IRQ.level
    channel.write(IFCR, TEIF)
    assert channel.read(ESR) == 0


def test_without_swrm_software_asks_in_vain(channel: Channel) -> None:
    for register, value in (
        (TCR, SINC | DINC | sizes(2, 2, 16) | BLOCK), (BNDTR, 32), (SAR, RAM), (DAR, RAM + 256),
        (CR, EN), (CR, EN | SWRQ),
    ):  # fmt: skip
        channel.write(register, value)
    assert (channel.moved(32), channel.read(ISR)) == (bytes(32), 0)

"""The master DMA, by RM0433 section 14."""

import struct

import pytest
from fake import RAM, Bus, FakeMachine
from omvsim.peripherals.mdma import Mdma
from test_dma import DMA2

ISR, IFCR, ESR, CR, TCR, BNDTR, SAR, DAR, BRUR, LAR, TBR = range(0x00, 0x2C, 4)
MAR, MDR, MDMA = 0x30, 0x34, 0x52000000
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


def test_a_request_stands_until_the_mask_is_written(channel: Channel) -> None:
    """MDR to MAR (14.3.7); without them the request goes on asking."""
    request, mask = 9, channel.machine.ram
    writes: list[bytes] = []
    for register, value in (
        (TCR, SINC | DINC | sizes(2, 2, 8) | BUFFER), (BNDTR, 32), (SAR, RAM), (DAR, RAM + 256),
        (TBR, request), (MAR, RAM + 0x400), (MDR, 0x12345678), (CR, EN),
    ):  # fmt: skip
        channel.write(register, value)
    assert channel.moved(1) == b"\0"
    original = channel.machine.write_bus

    def write_bus(address: int, value: int, size: int, tcm: bool = False) -> None:
        original(address, value, size, tcm)
        if address == RAM + 0x400:
            writes.append(bytes(mask[0x400:0x404]))
            channel.block.on_gpio(request, False)  # as the flag that was cleared

    channel.machine.write_bus = write_bus  # type: ignore[method-assign]
    channel.block.on_gpio(request + 1, True)  # of another
    assert channel.moved(1) == b"\0"
    for moved in (8, 16):
        channel.block.on_gpio(request, True)
        assert channel.moved(33) == DATA[:moved].ljust(33, b"\0")
        assert channel.read(ISR) == TCIF
    assert writes == [bytes.fromhex("78563412")] * 2
    channel.write(MAR, 0)
    channel.block.on_gpio(request, True)
    assert (channel.moved(33), channel.read(ISR)) == (DATA + b"\0", CTCIF | BRTIF | BTIF | TCIF)


def test_a_large_one_lets_time_go_on(channel: Channel) -> None:
    """Nine blocks of 64 KiB in place; a request meanwhile changes nothing, and EN ends it."""
    blocks, at = 9, channel.machine.now
    tcr = sizes(2, 2, 128) | REPEATED
    channel.start(tcr, 1 << 16 | blocks - 1 << 20)
    assert channel.read(ISR) & CTCIF == 0
    assert channel.read(BNDTR) >> 20 == blocks - 4
    channel.write(CR, EN | SWRQ)
    assert channel.read(BNDTR) >> 20 == blocks - 4
    channel.machine.run(at + (1 << 18))
    assert channel.read(BNDTR) >> 20 == blocks - 8
    channel.machine.run(at + (2 << 18))
    assert channel.read(ISR) == CTCIF | BRTIF | BTIF | TCIF
    channel.write(IFCR, 0x1F)
    channel.start(tcr, 1 << 16 | blocks - 1 << 20)
    channel.write(CR, 0)
    channel.machine.run(at + (9 << 18))
    assert (channel.read(BNDTR) >> 20, channel.read(ISR)) == (blocks - 4, BTIF | TCIF)


def test_a_request_in_mid_transfer_waits(channel: Channel) -> None:
    """What is written may itself be what asks: streams that are begun anew."""
    original = channel.machine.write_bus

    def write_bus(address: int, value: int, size: int, tcm: bool = False) -> None:
        original(address, value, size, tcm)
        for level in (False, True):
            channel.block.on_gpio(0, level)

    channel.machine.write_bus = write_bus  # type: ignore[method-assign]
    for register, value in (
        (TCR, SINC | DINC | sizes(2, 2, 8) | BUFFER), (BNDTR, 32), (SAR, RAM), (DAR, RAM + 256),
        (CR, EN),
    ):  # fmt: skip
        channel.write(register, value)
    channel.block.on_gpio(0, True)
    assert (channel.moved(33), channel.read(BNDTR)) == (DATA + b"\0", 0)


def test_with_swrm_others_ask_in_vain(channel: Channel) -> None:
    for register, value in (
        (TCR, SINC | DINC | sizes(2, 2, 8) | BLOCK | SWRM), (BNDTR, 32), (SAR, RAM),
        (DAR, RAM + 256), (CR, EN),
    ):  # fmt: skip
        channel.write(register, value)
    channel.block.on_gpio(0, True)
    assert channel.moved(32) == bytes(32)


def test_a_request_waits_for_its_channel(channel: Channel) -> None:
    channel.block.on_gpio(0, True)
    for register, value in (
        (TCR, SINC | DINC | sizes(2, 2, 8) | BLOCK), (BNDTR, 32), (SAR, RAM), (DAR, RAM + 256),
        (CR, EN),
    ):  # fmt: skip
        channel.write(register, value)
    assert channel.moved(32) == DATA


def test_a_mask_that_nothing_answers_is_an_error(channel: Channel) -> None:
    for register, value in (
        (TCR, SINC | DINC | sizes(2, 2, 8) | BUFFER), (BNDTR, 32), (SAR, RAM), (DAR, RAM + 256),
        (MAR, 0x70000000), (CR, EN),
    ):  # fmt: skip
        channel.write(register, value)
    channel.block.on_gpio(0, True)
    assert (channel.read(ISR), channel.read(CR)) == (TCIF | TEIF, 0)


def test_a_stream_that_is_complete_asks(board: FakeMachine) -> None:
    """As a camera's lines go: DMA2's stream 1 is request 9, its flag is cleared by the mask."""
    board.ram[: len(DATA)] = DATA
    for offset, value in (
        (TCR, SINC | DINC | sizes(2, 2, 16) | BLOCK), (BNDTR, 16), (SAR, RAM + 64),
        (DAR, RAM + 128),
        (TBR, 9), (MAR, DMA2 + 0x08), (MDR, 1 << 11), (CR, EN),
    ):  # fmt: skip
        board.write_bus(MDMA + 0x40 + offset, value, 4)
    words, within = 2 << 13 | 2 << 11, 1 << 10 | 1 << 9 | 2 << 6  # MSIZE, PSIZE; MINC, PINC, DIR
    for offset, value in (
        (0x14, 4), (0x18, RAM), (0x1C, RAM + 64), (0x10, words | within | 1),
    ):  # fmt: skip
        board.write_bus(DMA2 + 0x18 + offset, value, 4)
    assert bytes(board.ram[64:80]) == DATA[:16] == bytes(board.ram[128:144])
    assert board.read_bus(DMA2, 4) & 1 << 11 == 0  # TCIF1
    assert board.read_bus(MDMA + 0x40, 4) == CTCIF | BRTIF | BTIF | TCIF

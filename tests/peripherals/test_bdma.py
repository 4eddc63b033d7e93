"""The basic DMA of the D3 domain and its multiplexer, by RM0433 sections 16 and 17."""

import pytest
from fake import FakeMachine

SRAM4, AXI = 0x38000000, 0x24000000
BDMA, MUX2, LPUART1 = 0x58025400, 0x58025800, 0x58000C00
ISR, IFCR, CCR, CNDTR, CPAR, CM0AR, CM1AR = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18
STRIDE = 0x14
EN, TCIE, HTIE, TEIE, DIR, CIRC, PINC, MINC = (1 << n for n in range(8))
PSIZE, MSIZE, MEM2MEM, DBM, CT = 1 << 8, 1 << 10, 1 << 14, 1 << 15, 1 << 16
GIF, TCIF, HTIF, TEIF = 1, 2, 4, 8


@pytest.fixture
def bus(board: FakeMachine) -> FakeMachine:
    """The board, with SRAM4 for its memory."""
    board.base = SRAM4
    return board


def start(
    bus: FakeMachine, channel: int, peripheral: int, memory: int, items: int, how: int
) -> None:
    for offset, value in ((CNDTR, items), (CPAR, peripheral), (CM0AR, memory), (CCR, how | EN)):
        bus.write_bus(BDMA + STRIDE * channel + offset, value, 4)


def test_memory_to_memory(bus: FakeMachine) -> None:
    bus.ram[0:20] = bytes(range(20))
    how = MEM2MEM | 2 * PSIZE | 2 * MSIZE | PINC | MINC | TCIE
    start(bus, 5, SRAM4, SRAM4 + 100, 5, how)
    assert bytes(bus.ram[100:120]) == bytes(range(20))
    assert bus.read_bus(BDMA + ISR, 4) == (TCIF | GIF) << 20
    assert bus.read_bus(BDMA + STRIDE * 5 + CNDTR, 4) == 0
    assert bus.irqs == {134: True}  # table 149
    bus.write_bus(BDMA + IFCR, GIF << 20, 4)
    assert bus.read_bus(BDMA + ISR, 4) == 0
    assert bus.irqs == {134: False}


@pytest.mark.parametrize(
    ("psize", "msize", "moved"),
    [
        (0, 1, "b000 b100 b200 b300"),
        (0, 2, "b0000000 b1000000 b2000000 b3000000"),
        (1, 0, "b0 b2 b4 b6"),
        (2, 1, "b0b1 b4b5 b8b9 bcbd"),
    ],
)
def test_widths_that_differ(bus: FakeMachine, psize: int, msize: int, moved: str) -> None:
    """Table 119: filled with zeros, or cut."""
    bus.ram[0:16] = bytes(range(0xB0, 0xC0))
    start(bus, 0, SRAM4, SRAM4 + 100, 4, MEM2MEM | psize * PSIZE | msize * MSIZE | PINC | MINC)
    expected = bytes.fromhex(moved)
    assert bytes(bus.ram[100 : 100 + len(expected)]) == expected


def test_half_of_it_and_a_ring_of_two_buffers(bus: FakeMachine) -> None:
    """LPUART1 sends from two buffers, one after the other, as long as it has room."""
    bus.ram[0:4], bus.ram[8:12] = b"abcd", b"efgh"
    sent = bytearray()
    uart = bus.devices[LPUART1].p
    uart.transmitted = lambda data, at: sent.extend(data)  # type: ignore[attr-defined]
    bus.write_bus(MUX2 + 4 * 2, 10, 4)  # DMAREQ_ID: lpuart1_tx_dma (table 124)
    bus.write_bus(BDMA + STRIDE * 2 + CM1AR, SRAM4 + 8, 4)
    start(bus, 2, LPUART1 + 0x28, SRAM4, 4, DIR | MINC | CIRC | DBM | HTIE)
    assert bus.read_bus(BDMA + ISR, 4) == 0
    bus.write_bus(LPUART1 + 0x0C, 0x300, 4)  # BRR
    bus.write_bus(LPUART1 + 0x08, 1 << 7, 4)  # CR3.DMAT
    bus.write_bus(LPUART1 + 0x00, 1 | 1 << 3, 4)  # UE, TE
    bus.run(10**6)
    assert bytes(sent[:12]) == b"abcdefghabcd"
    assert bus.read_bus(BDMA + ISR, 4) == (GIF | TCIF | HTIF) << 8


@pytest.mark.parametrize("where", [AXI, 0x40004428, 0x20000000])
def test_it_reaches_nothing_outside_of_its_domain(bus: FakeMachine, where: int) -> None:
    start(bus, 1, where, SRAM4, 1, MEM2MEM | MINC | TEIE)
    assert bus.read_bus(BDMA + ISR, 4) == (GIF | TEIF) << 4
    assert not bus.read_bus(BDMA + STRIDE + CCR, 4) & EN
    assert bus.irqs == {130: True}


def test_its_multiplexer_has_eight_channels(bus: FakeMachine) -> None:
    for channel in (7, 8):
        bus.write_bus(MUX2 + 4 * channel, 9, 4)
    assert [bus.read_bus(MUX2 + 4 * channel, 4) for channel in (7, 8)] == [9, 0]
    assert bus.devices[MUX2].unmodelled == [32, 32]

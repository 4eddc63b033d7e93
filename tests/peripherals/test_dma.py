"""The DMA controllers: within memory, and by request of a peripheral (RM0433 sections 15, 17)."""

import pytest
from fake import RAM, FakeMachine
from omvsim.peripherals.dma import Dma, DmaMux
from omvsim.peripherals.usart import Usart

DMA1, DMA2, MUX, SPI1, USART3 = 0x40020000, 0x40020400, 0x40020800, 0x40013000, 0x40004800
LISR, HISR, LIFCR, HIFCR = 0, 4, 8, 12
CR, NDTR, PAR, M0AR, M1AR = (0x10 + 4 * n for n in range(5))
STRIDE = 0x18
EN, TCIE, HTIE, CIRC, PINC, MINC, DBM = 1, 1 << 4, 1 << 3, 1 << 8, 1 << 9, 1 << 10, 1 << 18
OUT, WITHIN, HALFWORDS, WORDS = 1 << 6, 2 << 6, 1 << 11, 2 << 11
TEIF, HTIF, TCIF = 1 << 3, 1 << 4, 1 << 5


@pytest.fixture
def bus(board: FakeMachine) -> FakeMachine:
    return board


def start(bus: FakeMachine, at: int, peripheral: int, memory: int, items: int, how: int) -> None:
    for offset, value in ((NDTR, items), (PAR, peripheral), (M0AR, memory), (CR, how | EN)):
        bus.write_bus(at + offset, value, 4)


def test_memory_to_memory(bus: FakeMachine) -> None:
    bus.ram[0:40] = bytes(range(40))
    start(bus, DMA2 + 5 * STRIDE, RAM, RAM + 100, 10, WITHIN | WORDS | PINC | MINC | TCIE)
    assert bytes(bus.ram[100:140]) == bytes(range(40))
    assert bus.read_bus(DMA2 + HISR, 4) == (TCIF | HTIF) << 6  # stream 5
    assert bus.read_bus(DMA2 + LISR, 4) == 0
    assert bus.read_bus(DMA2 + 5 * STRIDE + NDTR, 4) == 0
    assert not bus.read_bus(DMA2 + 5 * STRIDE + CR, 4) & EN
    assert bus.irqs == {68: True}  # table 149
    bus.write_bus(DMA2 + HIFCR, TCIF << 6, 4)
    assert bus.read_bus(DMA2 + HISR, 4) == HTIF << 6
    assert bus.irqs == {68: False}


def test_without_items_it_is_off_again(bus: FakeMachine) -> None:
    """As MicroPython's `dma_nohal_init` writes a request's number to CR, where bit 0 is EN: on an
    STM32H743 its `DAC.write_timed` works (micropython pull request 17770)."""
    bus.write_bus(DMA1 + CR, 67, 4)
    assert bus.read_bus(DMA1 + CR, 4) == 66
    bus.ram[0:4] = b"abcd"
    start(bus, DMA1, RAM, RAM + 100, 4, WITHIN | PINC | MINC)
    assert bytes(bus.ram[100:104]) == b"abcd"


def test_one_without_an_end_lets_time_go_on(bus: FakeMachine) -> None:
    """A circular stream whose request stands, as what it reads does not take it back."""
    bus.ram[0:4] = b"abcd"
    bus.write_bus(MUX, 43, 4)
    start(bus, DMA1, RAM, RAM + 100, 4, CIRC | PINC | MINC)
    mux = bus.devices[MUX].p
    assert isinstance(mux, DmaMux)
    mux.on_gpio(43, True)
    bus.run(3 * 655_360)
    assert bytes(bus.ram[100:104]) == b"abcd"
    assert bus.read_bus(DMA1 + CR, 4) & EN
    bus.write_bus(DMA1 + CR, 0, 4)
    bus.ram[0:4] = b"efgh"
    bus.run(10 * 655_360)
    assert bytes(bus.ram[100:104]) == b"abcd"


def test_spi_asks_for_both_directions(bus: FakeMachine) -> None:
    """As ST's HAL does it: receive stream first, then the other, then the transfer."""
    sent = bytes(range(1, 41))
    bus.ram[0:40] = sent
    bus.write_bus(SPI1 + 0x08, 7, 4)  # CFG1: bytes at half of 120 MHz
    bus.write_bus(SPI1 + 0x0C, 1 << 22, 4)  # CFG2.MASTER
    bus.write_bus(SPI1 + 0x04, 40, 4)  # CR2.TSIZE
    bus.write_bus(MUX + 0, 37, 4)
    bus.write_bus(MUX + 4 * 3, 38, 4)
    start(bus, DMA1, SPI1 + 0x30, RAM + 100, 40, MINC | TCIE | HTIE)
    bus.write_bus(SPI1 + 0x08, 7 | 1 << 14, 4)
    start(bus, DMA1 + 3 * STRIDE, SPI1 + 0x20, RAM, 40, OUT | MINC)
    bus.write_bus(SPI1 + 0x08, 7 | 3 << 14, 4)
    assert bus.read_bus(DMA1 + 3 * STRIDE + NDTR, 4) == 40  # nothing before SPE
    bus.write_bus(SPI1, 1, 4)
    assert bus.read_bus(DMA1 + 3 * STRIDE + NDTR, 4) == 24  # the FIFO has 16 bytes
    bus.write_bus(SPI1, 1 | 1 << 9, 4)  # CSTART
    byte_ns = 16 * 10**9 // 120_000_000
    bus.run(20 * byte_ns - 1)
    assert bus.read_bus(DMA1 + LISR, 4) == HTIF << 22  # the other one is ahead
    bus.run(20 * byte_ns)
    assert bus.read_bus(DMA1 + LISR, 4) == HTIF << 22 | HTIF
    assert bus.irqs[11]
    bus.run(40 * byte_ns)
    assert bus.read_bus(DMA1 + LISR, 4) == HTIF | TCIF | (HTIF | TCIF) << 22
    assert bytes(bus.ram[100:141]) == b"\xff" * 40 + b"\0"
    assert bus.read_bus(SPI1 + 0x14, 4) & 1 << 3  # EOT


def test_a_uart_is_fed(bus: FakeMachine) -> None:
    uart = bus.devices[USART3].p
    assert isinstance(uart, Usart)
    out: list[int] = []
    uart.transmitted = lambda characters, at: out.extend(characters)
    bus.ram[0:11] = b"hello world"
    bus.write_bus(USART3 + 0x0C, 1042, 4)  # BRR: 115200
    bus.write_bus(USART3, 1 | 1 << 3, 4)  # UE, TE
    bus.write_bus(MUX + 4 * 9, 46, 4)  # channel 9: DMA2's stream 1
    start(bus, DMA2 + STRIDE, USART3 + 0x28, RAM, 11, OUT | MINC | TCIE)
    assert not out
    bus.write_bus(USART3 + 0x08, 1 << 7, 4)  # DMAT
    bus.run(10**7)
    assert bytes(out) == b"hello world"
    assert bus.irqs[57]
    bus.write_bus(USART3 + 0x08, 0, 4)
    assert not uart.room.level


def test_a_uart_is_read_in_a_circle(bus: FakeMachine) -> None:
    uart = bus.devices[USART3].p
    assert isinstance(uart, Usart)
    bus.write_bus(USART3 + 0x0C, 1042, 4)
    bus.write_bus(USART3 + 0x08, 1 << 6, 4)  # DMAR
    bus.write_bus(USART3, 1 | 1 << 2, 4)  # UE, RE
    bus.write_bus(MUX, 45, 4)
    start(bus, DMA1, USART3 + 0x24, RAM, 4, MINC | CIRC)
    uart.receive(b"abcdef")
    bus.run(10**7)
    assert bytes(bus.ram[0:5]) == b"efcd\0"
    assert bus.read_bus(DMA1 + NDTR, 4) == 2
    assert bus.read_bus(DMA1 + CR, 4) & EN
    bus.write_bus(DMA1 + NDTR, 9, 4)  # fixed while the stream is enabled
    assert bus.read_bus(DMA1 + NDTR, 4) == 2


def test_two_buffers_take_turns(bus: FakeMachine) -> None:
    uart = bus.devices[USART3].p
    assert isinstance(uart, Usart)
    bus.write_bus(USART3 + 0x0C, 1042, 4)
    bus.write_bus(USART3 + 0x08, 1 << 6, 4)
    bus.write_bus(USART3, 1 | 1 << 2, 4)
    bus.write_bus(MUX, 45, 4)
    bus.write_bus(DMA1 + M1AR, RAM + 16, 4)
    start(bus, DMA1, USART3 + 0x24, RAM, 2, MINC | DBM)
    uart.receive(b"abcde")
    bus.run(10**7)
    assert (bytes(bus.ram[0:2]), bytes(bus.ram[16:18])) == (b"eb", b"cd")


def test_an_address_that_nothing_answers_ends_the_stream(bus: FakeMachine) -> None:
    start(bus, DMA1 + 2 * STRIDE, 0x10, RAM, 4, WITHIN | WORDS | PINC | MINC)
    assert bus.read_bus(DMA1 + LISR, 4) == TEIF << 16
    assert not bus.read_bus(DMA1 + 2 * STRIDE + CR, 4) & EN


def test_halfwords_from_one_register(bus: FakeMachine) -> None:
    bus.ram[0:4] = b"\x11\x22\x33\x44"
    start(bus, DMA1, RAM, RAM + 8, 3, WITHIN | HALFWORDS | MINC)
    assert bytes(bus.ram[8:16]) == b"\x11\x22" * 3 + b"\0\0"
    assert isinstance(bus.devices[DMA1].p, Dma)


def test_a_multiplexer_that_the_chip_has_not(bus: FakeMachine) -> None:
    with pytest.raises(ValueError, match="16 channels or 8, and 8 generators"):
        DmaMux(bus, numberOfOutputRequestChannels=9)

"""The embedded engine: the C core, the board's peripherals, and the clock they share."""

from __future__ import annotations

import heapq
import mmap
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import Protocol

from omvsim.engine import EXCEPTIONS, Fault, Stop, Unmodelled
from omvsim.engine.unicorn import Core
from omvsim.errors import UserError
from omvsim.peripherals.base import BusError, Peripheral
from omvsim.peripherals.eth import SynopsysDWCEthernetQualityOfService
from omvsim.peripherals.flash import STM32H7_FlashController
from omvsim.peripherals.rcc import STM32H7_RCC
from omvsim.peripherals.usart import STM32F7_USART
from omvsim.repl import Board

SECOND = 1_000_000_000
NEVER = 2**64 - 1
BOOT_ADDRESS = 0x08000000  # BOOT_CM7_ADD0 from the factory (RM0433 2.6)
#: The ETH DMA is a master of the D2 domain: it reaches neither ITCM nor DTCM (RM0433 2.1).
TIGHTLY_COUPLED = ((0x00000000, 0x00010000), (0x20000000, 0x20020000))


class Image(Protocol):
    """What a firmware image must tell: (address, bytes) of its segments."""

    @property
    def segments(self) -> Iterable[tuple[int, bytes]]: ...


@dataclass(order=True)
class Event:
    """A callback at a core clock; cancelled by `cancel`."""

    clock: int
    order: int
    callback: Callable[[], object] | None = field(compare=False)

    def cancel(self) -> None:
        self.callback = None


class Machine:
    """What a peripheral sees of the world around it."""

    def __init__(self, core: Core, frequency: int, seed: int, rtc_start: datetime) -> None:
        self.core = core
        self.frequency = frequency
        self.random = random.Random(seed)
        self.rtc_start = rtc_start
        self.reset_reason: str | None = None
        self.messages: list[tuple[int, str]] = []
        self._events: list[Event] = []
        self._order = 0

    @property
    def now(self) -> int:
        return self.core.now * SECOND // self.frequency

    def clock(self, nanoseconds: int) -> int:
        """The first core clock at or after a time in ns."""
        return -(-nanoseconds * self.frequency // SECOND)

    def schedule(self, at: int, callback: Callable[[], object]) -> Event:
        event = Event(max(self.clock(at), self.core.now), self._order, callback)
        self._order += 1
        heapq.heappush(self._events, event)
        self.core.event = self._events[0].clock
        return event

    def run_events(self) -> None:
        """Call what is due; a cancelled event costs only its pop."""
        while self._events and self._events[0].clock <= self.core.now:
            callback = heapq.heappop(self._events).callback
            if callback is not None:
                callback()
        self.core.event = self._events[0].clock if self._events else NEVER

    def read_memory(self, address: int, size: int) -> bytes:
        self._check_master(address)
        try:
            return self.core.read(address, size)
        except LookupError:
            raise BusError(address) from None

    def write_memory(self, address: int, data: bytes) -> None:
        self._check_master(address)
        try:
            self.core.write(address, data)
        except LookupError:
            raise BusError(address) from None

    @staticmethod
    def _check_master(address: int) -> None:
        if any(start <= address < end for start, end in TIGHTLY_COUPLED):
            raise BusError(address)

    def log(self, message: str) -> None:
        self.messages.append((self.now, message))

    def reset(self, reason: str) -> None:
        self.reset_reason = reason
        self.core.stop()

    def stop(self) -> None:
        self.core.stop()


class Embedded:
    """An `Engine` in this process. The same board, image, seed and input give the same run."""

    name = "embedded"

    def __init__(
        self,
        board: Board,
        image: Image,
        *,
        seed: int = 1,
        rtc_start: datetime = datetime(2000, 1, 1),
        console: str = "usart3",
    ) -> None:
        self.version = f"unicorn {version('unicorn')}"
        self._core = Core(self._on_unmodelled, self._on_flash_write)
        self._frequency = board.cpu_frequency
        self._machine = Machine(self._core, self._frequency, seed, rtc_start)
        self._unmodelled: dict[tuple[int, bool], list[int]] = {}
        self._printed = bytearray()
        self._frames: list[tuple[int, bytes]] = []
        self._memories: list[tuple[int, mmap.mmap]] = []
        for memory in board.memories:
            data = mmap.mmap(-1, memory.size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            flash = memory.name in board.flash_banks
            if flash:
                data[:] = b"\xff" * memory.size
            for offset, content in memory.init:
                data[offset : offset + len(content)] = content
            self._core.map_memory(memory.base, data, flash=flash, code=flash)
            self._memories.append((memory.base, data))
        self._devices = board.build(
            self._machine, self._core.set_line, {m.name: d for m, (_, d) in zip(board.memories, self._memories, strict=True)}
        )
        for device in self._devices.values():
            self._map(device)
        self._flash = self._only(STM32H7_FlashController)
        self._rcc = self._only(STM32H7_RCC)
        self._ethernet = self._only(SynopsysDWCEthernetQualityOfService)
        self._ethernet.frame_ready = self._on_frame
        uart = self._devices.get(console)
        if not isinstance(uart, STM32F7_USART):
            raise UserError(f"{board.path}: no UART named {console} for the console")
        self._uart = uart
        uart.transmitted = self._on_printed
        for address, content in image.segments:
            try:
                self._core.write(address, content)
            except LookupError:
                raise UserError(
                    f"image: {len(content)} bytes at 0x{address:08X} fit no memory of {board.path}"
                ) from None
        if not self._core.reset(BOOT_ADDRESS):
            raise UserError(f"{board.path}: no memory at the boot address 0x{BOOT_ADDRESS:08X}")

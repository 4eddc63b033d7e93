"""The embedded engine: the C core, the board's peripherals, and the clock they share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from omvsim.board import Board
from omvsim.engine import EXCEPTIONS, Engine, Fault, Stop, Unmodelled
from omvsim.engine.machine import SECOND, Machine
from omvsim.engine.snapshot import Whole
from omvsim.engine.unicorn import Core, Event, doze
from omvsim.errors import UserError
from omvsim.image import BOOT_ADDRESS, Image
from omvsim.peripherals.base import COLD_RTC, Component, Memory, Part
from omvsim.peripherals.cortex import CortexM
from omvsim.peripherals.eth.mac import Eth
from omvsim.peripherals.flash import Flash
from omvsim.peripherals.phy import Phy
from omvsim.peripherals.pwr import Pwr
from omvsim.peripherals.rcc import Rcc
from omvsim.peripherals.rtc import Rtc
from omvsim.peripherals.usart import Usart

MOST_TOGETHER = 64  # cameras that the core takes at once
PLACES = 1000  # unmodelled ones that are listed
REASONS = {"limit": Stop.DEADLINE, "host": Stop.HOST, "fault": Stop.FAULT, "lockup": Stop.LOCKUP}
LOST = ("itcm", "dtcm", "axiSram", "sram1", "sram2", "sram3", "sram4")  # in Standby mode
OWN = ("_unmodelled", "unmodelled_beyond", "_printed", "_told", "_frames", "_hold_ns",
       "hold_until", "_telling")  # fmt: skip
Kind = TypeVar("Kind", bound=Component)


class Embedded(Part):
    """An `Engine` in this process. The same board, image, seed and input give the same run."""

    name = "embedded"

    def __init__(
        self,
        board: Board,
        image: Image,
        *,
        seed: int = 1,
        rtc_start: datetime | None = None,
        leap: bool = True,
    ) -> None:
        """With `leap`, passes of loops that wait for an event are counted, not executed."""
        self.evidence: Path | None = None
        self.patience_ns = self._hold_ns = 0
        self.hold_until = b""
        self._telling: Event | None = None  # what is held is told then
        self.version = f"unicorn {version('unicorn')}"
        self._core = Core(self._on_unmodelled, self._on_flash_write)
        self._core.leap *= leap
        self._machine = Machine(self._core, seed, rtc_start or COLD_RTC.replace(tzinfo=UTC))
        self._board = board.path
        self._tags = [tag for tag in board.tags if tag.value]
        self._unmodelled: dict[tuple[int, bool], list[int]] = {}
        self.unmodelled_beyond = 0
        self._printed, self._told = bytearray(), False
        self._frames: list[tuple[int, bytes]] = []
        self._hardware = board.build(self._machine)
        self._machine.frequency = self._only(CortexM).clock_mhz * 1_000_000
        flash = self._flash = self._only(Flash)
        flash.changed = self._on_flash_changed
        self._flash_write = flash.flash_write
        self._banks: dict[int, int] = {}  # base address: bank
        self._bank_bases: dict[Memory, int] = {}
        banks = [bank.memory for bank in flash.banks]
        # flash first: the core looks code up in the order of the memories
        for memory in sorted(self._hardware.memories, key=lambda m: m.component not in banks):
            if memory.component in banks:
                self._banks[memory.base] = banks.index(memory.component)
                self._bank_bases[memory.component] = memory.base
            in_flash = memory.base in self._banks
            self._core.map_memory(memory.base, memory.component.data, flash=in_flash, code=in_flash)
        for d in self._hardware.devices:
            self._core.map_device(
                d.base, d.size, d.mem, d.wmask, d.w1c, d.flags, d.bus_read, d.bus_write, d.queue
            )  # fmt: skip
        self._rcc = self._only(Rcc)
        self._pwr = self._only(Pwr)
        self._ethernet = self._only(Eth)
        self._ethernet.frame_ready = self._on_frame
        uart = self._hardware.components.get(board.console)
        if not isinstance(uart, Usart):
            raise UserError(f"{board.path}: no UART named {board.console} for the console")
        self._uart = uart
        uart.transmitted = self._on_printed
        for address, content in (*image.under, *image.segments, *image.added):
            if not self._load(address, content):
                raise UserError(
                    f"image: {len(content)} bytes at 0x{address:08X} fit no memory of {board.path}"
                )
        self._whole = Whole(
            self, OWN, self._core, self._machine, self._hardware.components, image, board,
            self._bank_bases, self._on_flash_changed,
        )  # fmt: skip
        self._boot = image.boot
        if not self._core.reset(self._boot):
            raise UserError(f"{board.path}: no memory at the boot address 0x{self._boot:08X}")

    def _load(self, address: int, content: bytes) -> bool:
        """Put bytes into the memories that lie there side by side; False where one is missing."""
        while content:
            for memory in self._hardware.memories:
                if 0 <= address - memory.base < memory.size:
                    part = content[: memory.base + memory.size - address]
                    self._core.write(address, part)
                    address, content = address + len(part), content[len(part) :]
                    break
            else:
                return False
        return True

    # What the rest of the testbed calls

    @property
    def now(self) -> int:
        return self._core.now * SECOND // self._machine.frequency

    @property
    def hertz(self) -> int:
        return self._machine.frequency

    @property
    def programmed_hertz(self) -> int:
        return self._rcc.core_clock

    @property
    def instructions(self) -> int:
        return self._core.now - self._core.idle

    @property
    def fault(self) -> Fault | None:
        f = self._core.fault
        if f is None:
            return None
        return Fault(
            EXCEPTIONS[f["exception"]],
            f["clock"] * SECOND // self._machine.frequency,
            f["r"],
            f["xpsr"],
            f["cfsr"],
            f["hfsr"],
            f["mmfar"],
            f["bfar"],
        )

    def memory(self, address: int, size: int) -> bytes | None:
        try:
            return self._core.read(address, size)
        except LookupError:
            return None

    @property
    def clock(self) -> datetime | None:
        clocks = list(self._hardware.all(Rtc))
        return clocks[0].time.replace(tzinfo=UTC) if clocks else None

    @property
    def unmodelled(self) -> list[Unmodelled]:
        return [
            Unmodelled(address, write, pc, value, count)
            for (address, write), (pc, value, count) in sorted(self._unmodelled.items())
        ]

    def run(self, until: int) -> Stop:
        limit = self._machine.clock(until)
        host_end = time.monotonic_ns() + self.patience_ns if self.patience_ns else 0
        while True:
            if stop := self._stop(self._core.run(limit, host_end)):
                return stop

    def _stop(self, reason: str) -> Stop | None:
        """Do what the core has come back for; why `run` is to come back, too."""
        match reason:
            case "limit" | "fault" | "lockup" | "host":
                self._told = self._told or reason == "lockup"  # where time stands still
                return REASONS[reason]
            case "deep":
                self._pwr.sleep_deep()
            case "reset":
                self._reset("SFTRSTF")
                return Stop.RESET
            case "stop" if self._machine.reset_reason is not None:
                self._reset(self._machine.reset_reason)
                return Stop.RESET
            case "stop" if self._frames or self._told:
                return Stop.FRAME if self._frames else Stop.CONSOLE
        return None

    @property
    def wake(self) -> int:
        return self._core.wake * SECOND // self._machine.frequency

    def doze(
        self, others: Sequence[tuple[Engine, int]], until: int, lookahead: int
    ) -> tuple[Engine, Stop] | None:
        cameras = [(engine, on) for engine, on in others if isinstance(engine, Embedded)]
        if len(cameras) < len(others) or len(cameras) > MOST_TOGETHER:
            return None
        cores = [(engine._core, on, engine._machine.frequency) for engine, on in cameras]
        host_end = time.monotonic_ns() + self.patience_ns if self.patience_ns else 0
        while told := doze(cores, until, lookahead, host_end):
            engine = cameras[told[0]][0]
            if stop := engine._stop(told[1]):
                return engine, stop
        return None

    @property
    def hold_ns(self) -> int:
        return self._hold_ns

    @hold_ns.setter
    def hold_ns(self, value: int) -> None:
        self._hold_ns = value
        self._uart.together(value > 0)

    def console_write(self, data: bytes) -> None:
        if not self._core.deep:
            self._uart.receive(data)

    def console_read(self, rest: bool = False) -> bytes:
        if not (self._told or rest):
            return b""
        self._told = False
        data = bytes(self._printed)
        self._printed.clear()
        return data

    def frames(self) -> list[tuple[int, bytes]]:
        frames, self._frames = self._frames, []
        return frames

    def send_frame(self, frame: bytes) -> None:
        if not self._core.deep:
            self._ethernet.receive_frame(frame)

    def set_link(self, up: bool) -> None:
        for phy in self._hardware.all(Phy):
            phy.set_link(up)

    def reset(self) -> None:
        self._reset("PINRSTF")

    def snapshot(self) -> bytes:
        return self._whole.take()

    def restore(self, state: bytes) -> None:
        self._whole.put(state)

    def keep(self, last: bool = False) -> None:
        """Each of its runs boots by itself."""

    def close(self) -> None:
        """Nothing runs and nothing is open outside this process."""

    def forget(self) -> None:
        """It keeps what it was."""

    # What the core and the peripherals call

    def _on_unmodelled(self, address: int, size: int, write: bool, value: int, pc: int) -> int:
        """Count it; what a read gives, by the board's tags."""
        if (address, write) in self._unmodelled or len(self._unmodelled) < PLACES:
            self._unmodelled.setdefault((address, write), [pc, value, 0])[2] += 1
        else:
            self.unmodelled_beyond += 1
        known = (tag.value for tag in self._tags if tag.first <= address <= tag.last)
        return next(known, 0) >> 8 * (address & 3) & (1 << 8 * size) - 1

    def _on_flash_write(self, address: int, size: int, value: int) -> None:
        base = max(base for base in self._banks if base <= address)
        self._flash_write(self._banks[base], address - base, value, size)

    def _on_flash_changed(self, memory: Memory, offset: int, size: int) -> None:
        self._core.invalidate(self._bank_bases[memory] + offset, size)

    def _on_printed(self, characters: list[int], at: int) -> None:
        printed = bytes([character & 0xFF for character in characters])
        if not self._hold_ns or any(byte in self.hold_until for byte in printed):
            self._tell()
        elif not self._printed:
            self._telling = self._machine.schedule(at + self._hold_ns, self._tell)
        self._printed += printed

    def _tell(self) -> None:
        """What is printed is to be read now, wherever the host's clock has made `run` come back."""
        if self._telling:
            self._telling.cancel()
            self._telling = None
        self._told = True
        self._core.stop()

    def _on_frame(self, now: int, frame: bytes) -> None:
        self._frames.append((now, frame))
        self._core.stop()

    def _only(self, kind: type[Kind]) -> Kind:
        found = list(self._hardware.all(kind))
        if len(found) != 1:
            raise UserError(f"{self._board}: {len(found)} of {kind.__name__}, needs exactly one")
        return found[0]

    def _reset(self, reason: str) -> None:
        """A system reset: memories keep their content (RM0433 8.4.2), but not in Standby."""
        self._machine.reset_reason = None
        for name in LOST if reason == "STANDBY" else ():
            memory = self._hardware.components.get(name)
            if isinstance(memory, Memory):
                base = next(m.base for m in self._hardware.memories if m.component is memory)
                self._core.write(base, bytes(memory.size))
        self._hardware.reset()
        self._rcc.note_reset(reason)
        chosen = self._flash.boot_address  # by option bytes
        if chosen == BOOT_ADDRESS or not self._core.reset(chosen):
            self._core.reset(self._boot)

"""What the board's peripherals see of the world around them."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from omvsim.engine.unicorn import Core
from omvsim.peripherals.base import BusError

SECOND = 1_000_000_000
NEVER = 2**64 - 1
PERIPHERALS, WORD = range(0x40000000, 0x60000000), 4  # bytes that a register has
#: The ETH DMA is a master of the D2 domain: it reaches neither ITCM nor DTCM (RM0433 2.1).
TIGHTLY_COUPLED = ((0x00000000, 0x00010000), (0x20000000, 0x20020000))


@dataclass(slots=True)
class Event:
    """A callback at a core clock; cancelled by `cancel`."""

    callback: Callable[[], object] | None

    def cancel(self) -> None:
        self.callback = None


class Machine:
    """What a peripheral sees of the world around it."""

    def __init__(self, core: Core, seed: int, rtc_start: datetime) -> None:
        self.core = core
        self.set_line = core.set_line
        self.frequency = 1_000_000  # core clocks a second; the board tells
        self.random = random.Random(seed)
        self.rtc_start = rtc_start.astimezone(UTC).replace(tzinfo=None)
        self.reset_reason: str | None = None
        self.messages: list[tuple[int, str]] = []
        self.events: list[tuple[int, int, Event]] = []  # a heap, by clock, then by order
        self._order = 0

    @property
    def now(self) -> int:
        return self.core.now * SECOND // self.frequency

    def clock(self, nanoseconds: int) -> int:
        """The first core clock at or after a time in ns."""
        return -(-nanoseconds * self.frequency // SECOND)

    def schedule(self, at: int, callback: Callable[[], object]) -> Event:
        event, core, events = Event(callback), self.core, self.events
        heapq.heappush(events, (max(self.clock(at), core.now), self._order, event))
        self._order += 1
        core.event = events[0][0]
        return event

    def run_events(self) -> None:
        """Call what is due; a cancelled event costs only its pop."""
        events, core = self.events, self.core
        while events and events[0][0] <= core.now:
            callback = heapq.heappop(events)[2].callback
            if callback is not None:
                callback()
        core.event = events[0][0] if events else NEVER

    def state(self) -> dict[str, Any]:
        """What changes while it runs, but the events."""
        return {
            "random": self.random.getstate(),
            "reset_reason": self.reset_reason,
            "messages": self.messages,
            "_order": self._order,
        }

    def resume(self, events: list[tuple[int, int, Event]], state: Mapping[str, Any]) -> None:
        """Go on from `state`, with events in their order."""
        self.random.setstate(state["random"])
        self.reset_reason, self.messages = state["reset_reason"], state["messages"]
        self._order, self.events[:] = state["_order"], events
        self.core.event = events[0][0] if events else NEVER

    def read_memory(self, address: int, size: int, tcm: bool = False) -> bytes:
        self._check_master(address, tcm)
        try:
            return self.core.read(address, size)
        except LookupError:
            raise BusError(address) from None

    def write_memory(self, address: int, data: bytes, tcm: bool = False) -> None:
        self._check_master(address, tcm)
        try:
            self.core.write(address, data)
        except LookupError:
            raise BusError(address) from None

    def read_bus(self, address: int, size: int, tcm: bool = False) -> int:
        if address in PERIPHERALS and size <= WORD and not tcm:
            return self.core.read_register(address, size)
        return int.from_bytes(self.read_memory(address, size, tcm), "little")

    def write_bus(self, address: int, value: int, size: int, tcm: bool = False) -> None:
        if address in PERIPHERALS and size <= WORD and not tcm:
            self.core.write_register(address, value, size)
        else:
            self.write_memory(address, value.to_bytes(size, "little"), tcm)

    @staticmethod
    def _check_master(address: int, tcm: bool) -> None:
        if any(start <= address < end for start, end in TIGHTLY_COUPLED) is not tcm:
            raise BusError(address)

    def log(self, message: str) -> None:
        self.messages.append((self.now, message))

    def reset(self, reason: str) -> None:
        self.reset_reason = reason
        self.core.stop()

    def stop(self) -> None:
        self.core.stop()

    @property
    def deep(self) -> bool:
        return self.core.deep

    @deep.setter
    def deep(self, deep: bool) -> None:
        self.core.deep = deep

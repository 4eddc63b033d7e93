"""What the board's peripherals see of the world around them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from omvsim.engine.unicorn import Core, Event
from omvsim.peripherals.base import BusError

SECOND = 1_000_000_000
PERIPHERALS, WORD = range(0x40000000, 0x60000000), 4  # bytes that a register has
#: The ETH DMA is a master of the D2 domain: it reaches neither ITCM nor DTCM (RM0433 2.1).
TIGHTLY_COUPLED = ((0x00000000, 0x00010000), (0x20000000, 0x20020000))


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

    @property
    def now(self) -> int:
        return self.core.now * SECOND // self.frequency

    def clock(self, nanoseconds: int) -> int:
        """The first core clock at or after a time in ns."""
        return -(-nanoseconds * self.frequency // SECOND)

    def schedule(self, at: int, callback: Callable[[], object]) -> Event:
        """Call it at a time in ns, or at once in the past."""
        return self.core.schedule(self.clock(at), callback)

    def state(self) -> dict[str, Any]:
        """What changes while it runs, but the events."""
        return {
            "random": self.random.getstate(),
            "reset_reason": self.reset_reason,
            "messages": self.messages,
            "order": self.core.order,
        }

    def resume(self, events: list[tuple[int, int, Event]], state: Mapping[str, Any]) -> None:
        """Go on from `state`, with events in their order."""
        self.random.setstate(state["random"])
        self.reset_reason, self.messages = state["reset_reason"], state["messages"]
        self.core.order, self.core.events = state["order"], events

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

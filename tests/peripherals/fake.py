"""A machine in pure Python: clock, memory and the core's rules for register accesses."""

import heapq
from collections.abc import Callable
from datetime import datetime
from itertools import count
from random import Random

from omvsim.peripherals.base import MODELLED, QUEUED, READ_HOOK, WRITE_HOOK, BusError, Peripheral

RAM, RAM_SIZE = 0x24000000, 0x80000


class Due:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeMachine:
    def __init__(self) -> None:
        self.now = 0
        self.random = Random(1)
        self.rtc_start = datetime(2000, 1, 1)
        self.deep = False
        self.base, self.ram = RAM, bytearray(RAM_SIZE)
        self.resets: list[str] = []
        self.logged: list[str] = []
        self.irqs: dict[int, bool] = {}
        self.stops = 0
        self.devices: dict[int, Bus] = {}  # by base address
        self._due: list[tuple[int, int, Due]] = []
        self._order = count()

    def schedule(self, at: int, callback: Callable[[], object]) -> Due:
        due = Due(callback)
        heapq.heappush(self._due, (at, next(self._order), due))
        return due

    def run(self, until: int) -> None:
        while self._due and self._due[0][0] <= until:
            at, _, due = heapq.heappop(self._due)
            self.now = max(self.now, at)
            if due.callback:
                due.callback()
        self.now = until

    def read_memory(self, address: int, size: int) -> bytes:
        if not self.base <= address <= self.base + RAM_SIZE - size:
            raise BusError(address)
        return bytes(self.ram[address - self.base : address - self.base + size])

    def write_memory(self, address: int, data: bytes) -> None:
        if not self.base <= address <= self.base + RAM_SIZE - len(data):
            raise BusError(address)
        self.ram[address - self.base : address - self.base + len(data)] = data

    def read_bus(self, address: int, size: int, tcm: bool = False) -> int:
        if tcm:
            raise BusError(address)
        for base, bus in self.devices.items():
            if base <= address < base + bus.p.size:
                return bus.read(address - base, size)
        return int.from_bytes(self.read_memory(address, size), "little")

    def write_bus(self, address: int, value: int, size: int, tcm: bool = False) -> None:
        if tcm:
            raise BusError(address)
        for base, bus in self.devices.items():
            if base <= address < base + bus.p.size:
                bus.write(address - base, value, size)
                return
        self.write_memory(address, value.to_bytes(size, "little"))

    def set_line(self, irq: int, level: bool) -> None:
        self.irqs[irq] = level

    def log(self, message: str) -> None:
        self.logged.append(message)

    def reset(self, reason: str) -> None:
        self.resets.append(reason)

    def stop(self) -> None:
        self.stops += 1


class Bus:
    """Reads and writes as the C core does them (see omvsim.peripherals.base)."""

    def __init__(self, peripheral: Peripheral) -> None:
        self.p = peripheral
        self.unmodelled: list[int] = []

    def read(self, offset: int, size: int = 4) -> int:
        i, p = offset // 4, self.p
        if not p.flags[i] & MODELLED:
            self.unmodelled.append(offset)
            return 0
        value = p.bus_read(i * 4, size) if p.flags[i] & READ_HOOK else p.mem[i]
        assert 0 <= value <= 0xFFFFFFFF
        return int(value >> 8 * (offset & 3) & ((1 << 8 * size) - 1))

    def write(self, offset: int, value: int, size: int = 4) -> None:
        i, p = offset // 4, self.p
        if not p.flags[i] & MODELLED:
            self.unmodelled.append(offset)
            return
        if size < 4:
            shift = 8 * (offset & 3)
            lanes = ((1 << 8 * size) - 1) << shift
            value = p.mem[i] & ~lanes & ~p.w1c[i] | value << shift & lanes
        p.mem[i] = (p.mem[i] & ~p.wmask[i] | value & p.wmask[i]) & ~(value & p.w1c[i])
        if p.flags[i] >= QUEUED:
            p.flags[i] -= QUEUED
            p.queue.append(value)
        elif p.flags[i] & WRITE_HOOK:
            p.bus_write(i * 4, value, size)

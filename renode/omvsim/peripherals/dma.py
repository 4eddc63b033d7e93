"""DMA controllers and their request multiplexer (RM0433 sections 15 and 17).

An item is moved as soon as it is asked for: while a request's level stands, or one item by a
timer's pulse; where that has no end, time goes on between many. Not modelled: bursts and the FIFO's
thresholds (its errors never come), synchronization and request generators of the multiplexer.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from omvsim.peripherals.base import (
    BusError,
    Handle,
    Line,
    Machine,
    Peripheral,
    Reg,
    RegArray,
    bit,
    bits,
)

STREAMS = 8
MOST, ITEM_NS = 1 << 16, 10  # items at once, and how long each takes where there are more
TEIF, HTIF, TCIF = 1 << 3, 1 << 4, 1 << 5
SHIFTS = (0, 6, 16, 22)  # of a stream's flags in LISR, HISR
PERIPHERAL_TO_MEMORY, MEMORY_TO_PERIPHERAL, MEMORY_TO_MEMORY = 0, 1, 2  # CR.DIR
CHANNELS, GENERATORS, INPUTS = 16, 8, 128  # of DMAMUX1; DMAMUX2 has half the channels


class Requested(Peripheral):
    """Eight streams, or channels, that move items while a peripheral asks for them."""

    error: ClassVar[int]  # the flag of a bus error

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.outputs = [Line() for _ in range(STREAMS)]
        self._asked = [False] * STREAMS
        self._once = [False] * STREAMS  # for one item
        self._items = [0] * STREAMS  # of a whole transfer
        self._busy = [False] * STREAMS
        self._later: list[Handle | None] = [None] * STREAMS

    def reset(self) -> None:
        super().reset()
        self._items = [0] * STREAMS
        self._once = [False] * STREAMS
        for waiting in filter(None, self._later):
            waiting.cancel()
        self._later = [None] * STREAMS
        for stream in range(STREAMS):
            self._update_irq(stream)

    def has_input(self, number: int) -> bool:
        return 0 <= number < STREAMS

    def on_gpio(self, number: int, level: bool) -> None:
        """A peripheral asks a stream for items, as long as the level stands."""
        self._asked[number] = level
        self._serve(number)

    def pulse(self, stream: int) -> None:
        """One item is asked for."""
        self._once[stream] = True
        self._serve(stream)

    def _requested(self, stream: int) -> bool:
        return self._asked[stream] or self._once[stream]

    def _begin(self, stream: int, items: int) -> None:
        """EN was set, with so many items to be moved."""
        self._items[stream] = items
        self._serve(stream)

    def _serve(self, stream: int) -> None:
        """Move items while they are asked for; what it reads and writes may change that."""
        if self._busy[stream] or self._later[stream]:
            return
        self._busy[stream] = True
        try:
            for _ in range(MOST):
                if not self._goes_on(stream):
                    return
                self._once[stream] = False
                self._move(stream)
            self._later[stream] = self.machine.schedule(
                self.machine.now + MOST * ITEM_NS, partial(self._go_on, stream)
            )
        except BusError:
            self._disable(stream)
            self._flag(stream, self.error)
        finally:
            self._busy[stream] = False

    def _go_on(self, stream: int) -> None:
        self._later[stream] = None
        self._serve(stream)

    @abstractmethod
    def _goes_on(self, stream: int) -> bool:
        """Is it enabled, and asked for an item?"""

    @abstractmethod
    def _move(self, stream: int) -> None:
        """Move one item; raises BusError."""

    @abstractmethod
    def _disable(self, stream: int) -> None:
        """Clear EN."""

    @abstractmethod
    def _flag(self, stream: int, flag: int) -> None:
        """Set a flag of its status."""

    @abstractmethod
    def _update_irq(self, stream: int) -> None:
        """Its output follows its flags."""


class Dma(Requested):
    error = TEIF
    isr = RegArray(0x00, 2, access="r")
    ifcr = RegArray(0x08, 2, access="w")
    cr = RegArray(
        0x10, STREAMS, stride=0x18, en=bit(0), interrupts=bits(1, 4), pfctrl=bit(5),
        dir=bits(6, 2), circ=bit(8), pinc=bit(9), minc=bit(10), psize=bits(11, 2),
        msize=bits(13, 2), pincos=bit(15), pl=bits(16, 2), dbm=bit(18), ct=bit(19),
        bursts=bits(21, 4),
    )  # fmt: skip
    ndtr = RegArray(0x14, STREAMS, stride=0x18, ndt=bits(0, 16))
    par = RegArray(0x18, STREAMS, stride=0x18)
    m0ar = RegArray(0x1C, STREAMS, stride=0x18)
    m1ar = RegArray(0x20, STREAMS, stride=0x18)
    fcr = RegArray(
        0x24, STREAMS, reset=0x21, stride=0x18, fth=bits(0, 2), dmdis=bit(2), feie=bit(7)
    )

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.ends = [Line() for _ in range(STREAMS)]  # TCIF, for the MDMA

    @cr.on_write
    def _control(self, index: int, old: int) -> None:
        """With no item to move it ends at once: MicroPython's driver of the DAC sets EN too early,
        and works on the chip."""
        if not self.ndtr[index].ndt:
            self.cr[index].en = 0
        elif self.cr[index].en and not old & 1:
            self._begin(index, self.ndtr[index].ndt)
        self._update_irq(index)

    @ndtr.on_write
    def _count(self, index: int, old: int) -> None:
        """Fixed while the stream is enabled, as the addresses are (15.5.6)."""
        if self.cr[index].en:
            self.ndtr[index].value = old

    def _goes_on(self, stream: int) -> bool:
        cr = self.cr[stream]
        return bool(cr.en and (self._requested(stream) or cr.dir == MEMORY_TO_MEMORY))

    def _disable(self, stream: int) -> None:
        self.cr[stream].en = 0

    def _move(self, stream: int) -> None:
        cr, left = self.cr[stream], self.ndtr[stream].ndt
        size, done = 1 << cr.psize, self._items[stream] - left
        peripheral = self.par[stream].value + (done * size if cr.pinc else 0)
        memory = (self.m1ar if cr.dbm and cr.ct else self.m0ar)[stream].value
        memory += done * size if cr.minc else 0
        out = cr.dir == MEMORY_TO_PERIPHERAL
        source, target = (memory, peripheral) if out else (peripheral, memory)
        self.ndtr[stream].ndt = left - 1
        self.machine.write_bus(target, self.machine.read_bus(source, size), size)
        if 2 * (done + 1) == self._items[stream]:
            self._flag(stream, HTIF)
        if left == 1:
            if cr.circ or cr.dbm:
                self.ndtr[stream].ndt = self._items[stream]
                cr.ct ^= cr.dbm
            else:
                cr.en = 0
            self._flag(stream, TCIF)

    def _flag(self, stream: int, flag: int) -> None:
        self.isr[stream // 4].value |= flag << SHIFTS[stream % 4]
        self._update_irq(stream)

    @ifcr.on_write
    def _clear(self, index: int, value: int) -> None:
        self.isr[index].value &= ~value
        for stream in range(4 * index, 4 * index + 4):
            self._update_irq(stream)

    def _update_irq(self, stream: int) -> None:
        """DMEIE to TCIE are one bit below their flags."""
        flags = self.isr[stream // 4].value >> SHIFTS[stream % 4]
        self.outputs[stream].set(flags & self.cr[stream].interrupts << 2 & (TEIF | HTIF | TCIF))
        self.ends[stream].set(flags & TCIF)


class DmaMux(Peripheral):
    ccr = RegArray(
        0x00, CHANNELS, dmareq_id=bits(0, 7), soie=bit(8), ege=bit(9), se=bit(16),
        spol=bits(17, 2), nbreq=bits(19, 5), sync_id=bits(24, 5),
    )  # fmt: skip
    csr = Reg(0x80, access="r")
    cfr = Reg(0x84, access="w")
    rgcr = RegArray(0x100, GENERATORS)
    rgsr = Reg(0x140, access="r")
    rgcfr = Reg(0x144, access="w")

    def __init__(
        self,
        machine: Machine,
        *,
        numberOfOutputRequestChannels: int = CHANNELS,
        numberOfRequestGeneratorChannels: int = GENERATORS,
    ) -> None:
        super().__init__(machine)
        has = numberOfOutputRequestChannels
        if has not in (CHANNELS, CHANNELS // 2) or numberOfRequestGeneratorChannels != GENERATORS:
            raise ValueError("a DMAMUX has 16 channels or 8, and 8 generators")
        self.outputs = [Line() for _ in range(has)]
        self.pulses: list[Callable[[], object]] = []  # what asks each output's stream for one item
        self._without(4 * has, 4 * CHANNELS)
        self._levels = [False] * INPUTS

    def has_input(self, number: int) -> bool:
        return 0 < number < INPUTS

    def on_gpio(self, number: int, level: bool) -> None:
        self._levels[number] = level
        for output, ccr in zip(self.outputs, self.ccr, strict=False):
            if ccr.dmareq_id == number:
                output.set(level)

    def pulse(self, number: int) -> None:
        """A request for one item."""
        for ccr, pulse in zip(self.ccr, self.pulses, strict=False):
            if ccr.dmareq_id == number:
                pulse()

    @ccr.on_write
    def _select(self, index: int) -> None:
        self.outputs[index].set(self._levels[self.ccr[index].dmareq_id])

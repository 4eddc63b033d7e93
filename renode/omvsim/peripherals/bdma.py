"""Basic DMA of the D3 domain (RM0433 section 16): it reaches nothing outside of it.

An item is moved as soon as it is asked for; a channel without a request asks for itself (MEM2MEM).
"""

from __future__ import annotations

from omvsim.peripherals.base import (
    BusError,
    Line,
    Machine,
    Peripheral,
    Reg,
    RegArray,
    bit,
    bits,
)

CHANNELS = 8
GIF, TCIF, HTIF, TEIF = 1, 2, 4, 8  # four bits a channel
#: SRAM4, backup SRAM; AHB4 and APB4
DOMAIN = (range(0x38000000, 0x40000000), range(0x58000000, 0x5C000000))


class Bdma(Peripheral):
    isr = Reg(0x00, access="r")
    ifcr = Reg(0x04, access="w")
    cr = RegArray(
        0x08, CHANNELS, stride=0x14, en=bit(0), interrupts=bits(1, 3), dir=bit(4), circ=bit(5),
        pinc=bit(6), minc=bit(7), psize=bits(8, 2), msize=bits(10, 2), pl=bits(12, 2),
        mem2mem=bit(14), dbm=bit(15), ct=bit(16),
    )  # fmt: skip
    ndtr = RegArray(0x0C, CHANNELS, stride=0x14, ndt=bits(0, 16))
    par = RegArray(0x10, CHANNELS, stride=0x14)
    m0ar = RegArray(0x14, CHANNELS, stride=0x14)
    m1ar = RegArray(0x18, CHANNELS, stride=0x14)

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.outputs = [Line() for _ in range(CHANNELS)]
        self._asked = [False] * CHANNELS
        self._items = [0] * CHANNELS  # of a whole transfer
        self._busy = [False] * CHANNELS

    def reset(self) -> None:
        super().reset()
        self._items = [0] * CHANNELS
        for channel in range(CHANNELS):
            self._update(channel)

    def has_input(self, number: int) -> bool:
        return 0 <= number < CHANNELS

    def on_gpio(self, number: int, level: bool) -> None:
        """A peripheral asks a channel for items, as long as the level stands."""
        self._asked[number] = level
        self._serve(number)

    @cr.on_write
    def _control(self, index: int, old: int) -> None:
        if self.cr[index].en and not old & 1:
            self._items[index] = self.ndtr[index].ndt
            self._serve(index)
        self._update(index)

    def _serve(self, channel: int) -> None:
        """Move items while they are asked for; what it reads and writes may change that."""
        cr = self.cr[channel]
        if self._busy[channel]:
            return
        self._busy[channel] = True
        try:
            while cr.en and self.ndtr[channel].ndt and (self._asked[channel] or cr.mem2mem):
                self._move(channel)
        except BusError:
            cr.en = 0
            self._flag(channel, TEIF)
        finally:
            self._busy[channel] = False

    def _move(self, channel: int) -> None:
        """One item: a wider target is filled with zeros, a narrower one cut (table 119)."""
        cr, left = self.cr[channel], self.ndtr[channel].ndt
        done = self._items[channel] - left
        memory = (self.m1ar if cr.dbm and cr.ct else self.m0ar)[channel].value
        ends = [
            (self.par[channel].value + (done << cr.psize) * cr.pinc, 1 << cr.psize),
            (memory + (done << cr.msize) * cr.minc, 1 << cr.msize),
        ]
        (source, width), (target, room) = ends[:: -1 if cr.dir else 1]
        for address in (source, target):
            if not any(address in reach for reach in DOMAIN):
                raise BusError(address)
        self.ndtr[channel].ndt = left - 1
        value = self.machine.read_bus(source, width) & (1 << 8 * room) - 1
        self.machine.write_bus(target, value, room)
        if 2 * (done + 1) == self._items[channel]:
            self._flag(channel, HTIF)
        if left == 1:
            if cr.circ:
                self.ndtr[channel].ndt = self._items[channel]
                cr.ct ^= cr.dbm
            self._flag(channel, TCIF)

    def _flag(self, channel: int, flag: int) -> None:
        self.isr.value |= (flag | GIF) << 4 * channel
        self._update(channel)

    @ifcr.on_write
    def _clear(self, value: int) -> None:
        for channel in range(CHANNELS):
            cleared = value >> 4 * channel & 0xF
            cleared = 0xF if cleared & GIF else cleared
            left = self.isr.value >> 4 * channel & ~cleared & (TCIF | HTIF | TEIF)
            self.isr.value &= ~(0xF << 4 * channel)
            self.isr.value |= (left | GIF if left else 0) << 4 * channel
            self._update(channel)

    def _update(self, channel: int) -> None:
        flags = self.isr.value >> 4 * channel
        self.outputs[channel].set(flags & self.cr[channel].interrupts << 1)

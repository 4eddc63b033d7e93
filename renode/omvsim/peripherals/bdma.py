"""Basic DMA of the D3 domain (RM0433 section 16): it reaches nothing outside of it.

An item is moved as soon as it is asked for; a channel without a request asks for itself (MEM2MEM).
"""

from __future__ import annotations

from omvsim.peripherals.base import BusError, Reg, RegArray, bit, bits
from omvsim.peripherals.dma import STREAMS, Requested

CHANNELS = STREAMS
GIF, TCIF, HTIF, TEIF = 1, 2, 4, 8  # four bits a channel
#: SRAM4, backup SRAM; AHB4 and APB4
DOMAIN = (range(0x38000000, 0x40000000), range(0x58000000, 0x5C000000))


class Bdma(Requested):
    error = TEIF
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

    @cr.on_write
    def _control(self, index: int, old: int) -> None:
        if self.cr[index].en and not old & 1:
            self._begin(index, self.ndtr[index].ndt)
        self._update_irq(index)

    def _goes_on(self, stream: int) -> bool:
        cr = self.cr[stream]
        return bool(cr.en and self.ndtr[stream].ndt and (self._requested(stream) or cr.mem2mem))

    def _disable(self, stream: int) -> None:
        self.cr[stream].en = 0

    def _move(self, stream: int) -> None:
        """One item: a wider target is filled with zeros, a narrower one cut (table 119)."""
        cr, left = self.cr[stream], self.ndtr[stream].ndt
        done = self._items[stream] - left
        memory = (self.m1ar if cr.dbm and cr.ct else self.m0ar)[stream].value
        ends = [
            (self.par[stream].value + (done << cr.psize) * cr.pinc, 1 << cr.psize),
            (memory + (done << cr.msize) * cr.minc, 1 << cr.msize),
        ]
        (source, width), (target, room) = ends[:: -1 if cr.dir else 1]
        for address in (source, target):
            if not any(address in reach for reach in DOMAIN):
                raise BusError(address)
        self.ndtr[stream].ndt = left - 1
        value = self.machine.read_bus(source, width) & (1 << 8 * room) - 1
        self.machine.write_bus(target, value, room)
        if 2 * (done + 1) == self._items[stream]:
            self._flag(stream, HTIF)
        if left == 1:
            if cr.circ:
                self.ndtr[stream].ndt = self._items[stream]
                cr.ct ^= cr.dbm
            self._flag(stream, TCIF)

    def _flag(self, stream: int, flag: int) -> None:
        self.isr.value |= (flag | GIF) << 4 * stream
        self._update_irq(stream)

    @ifcr.on_write
    def _clear(self, value: int) -> None:
        for channel in range(CHANNELS):
            cleared = value >> 4 * channel & 0xF
            cleared = 0xF if cleared & GIF else cleared
            left = self.isr.value >> 4 * channel & ~cleared & (TCIF | HTIF | TEIF)
            self.isr.value &= ~(0xF << 4 * channel)
            self.isr.value |= (left | GIF if left else 0) << 4 * channel
            self._update_irq(channel)

    def _update_irq(self, stream: int) -> None:
        flags = self.isr.value >> 4 * stream
        self.outputs[stream].set(flags & self.cr[stream].interrupts << 1)

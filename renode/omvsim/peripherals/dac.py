"""Digital-to-analog converter (RM0433 section 26), two channels.

Not modelled: triggers but software's and timers' TRGO, waves, sample and hold, the interrupt; their
bits keep their values.
"""

from __future__ import annotations

from omvsim.peripherals.base import Line, Machine, Peripheral, Reg, RegArray, bits

#: holding registers from 0x08 on: by alignment, and of which channels
HOLDING = [(which, shift) for which in ((0,), (1,), (0, 1)) for shift in (0, 4, -4)]
MASKS = {0: 0xFFF, 4: 0xFFF0, -4: 0xFF}  # of a channel, by the alignment's shift
EN, TEN, DMAEN, DMAUDR = 1, 1 << 1, 1 << 12, 1 << 13  # of channel 1; of channel 2 16 bits above
SOFTWARE = 0  # TSEL


class Dac(Peripheral):
    cr = Reg(0x00, channel1=bits(0, 15), channel2=bits(16, 15))
    swtrigr = Reg(0x04, access="w")
    dhr = RegArray(0x08, 9, access="w")  # they read as what `_put` made of it
    dor = RegArray(0x2C, 2, access="r")
    sr = Reg(0x34, flags=bits(13, 1, "w1c"), flags2=bits(29, 1, "w1c"))  # DMAUDR: of DMA alone
    ccr = Reg(0x38, otrim1=bits(0, 5), otrim2=bits(16, 5))
    mcr = Reg(0x3C, mode1=bits(0, 3), mode2=bits(16, 3))
    shsr = RegArray(0x40, 2, tsample=bits(0, 10))
    shhr = Reg(0x48, reset=0x00010001, thold1=bits(0, 10), thold2=bits(16, 10))
    shrr = Reg(0x4C, reset=0x00010001, trefresh1=bits(0, 8), trefresh2=bits(16, 8))

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.requests = [Line(), Line()]  # to the DMA, of each channel

    def reset(self) -> None:
        super().reset()
        for line in self.requests:
            line.set(False)

    @dhr.on_write
    def _hold(self, index: int, value: int) -> None:
        """Nine names of two values of 12 bits (26.4.6)."""
        which, shift = HOLDING[index]
        step = 8 if shift == -4 else 16
        for place, channel in enumerate(which):
            part = value >> place * step & MASKS[shift]
            self._put(channel, part << 4 if shift == -4 else part >> shift)

    def _put(self, channel: int, value: int) -> None:
        for index, (which, shift) in enumerate(HOLDING):
            step = 8 if shift == -4 else 16
            for place, held in enumerate(which):
                if held == channel:
                    part = value >> 4 if shift == -4 else value << shift
                    kept = self.dhr[index].value & ~(MASKS[shift] << place * step)
                    self.dhr[index].value = kept | part << place * step
        self.requests[channel].set(False)
        if not self.cr.value >> 16 * channel & TEN:
            self._convert(channel)

    def _convert(self, channel: int) -> None:
        if self.cr.value >> 16 * channel & EN:
            self.dor[channel].value = self.dhr[3 * channel].value

    def on_trigger(self, source: int, level: bool) -> None:
        """An edge of what TSEL may choose."""
        for channel in (0, 1) if level else ():
            self._triggered(channel, source)

    def _triggered(self, channel: int, source: int) -> None:
        """The value goes out, and DMA is asked for the next one, which is an underrun where the
        last has not come (26.4.8)."""
        cr = self.cr.value >> 16 * channel
        if cr & (EN | TEN) != EN | TEN or cr >> 2 & 0xF != source:
            return
        self._convert(channel)
        if not cr & DMAEN or self.sr.value >> 16 * channel & DMAUDR:
            return
        if self.requests[channel].level:
            self.sr.value |= DMAUDR << 16 * channel
        self.requests[channel].set(True)

    @cr.on_write
    def _control(self, old: int) -> None:
        for channel in (0, 1):
            now, before = (v >> 16 * channel for v in (self.cr.value, old))
            if now & EN and not before & EN and not now & TEN:
                self._convert(channel)

    @swtrigr.on_write
    def _trigger(self, value: int) -> None:
        for channel in (0, 1):
            if value >> channel & 1:
                self._triggered(channel, SOFTWARE)

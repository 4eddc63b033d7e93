"""Analog-to-digital converters (RM0433 section 25): ADC1 with ADC2, or ADC3.

Their pins are at 0 V; ADC3 sees what the chip has inside: VBAT, the temperature sensor, VREFINT.
Not modelled: triggers but timers' TRGO, discontinuous and dual modes, analog watchdogs, offsets.
"""

from __future__ import annotations

from functools import partial

from omvsim.peripherals.base import Handle, Line, Machine, Peripheral, Reg, RegArray, bit, bits

ADRDY, EOSMP, EOC, EOS, OVR, JEOC, JEOS = (1 << n for n in range(7))
ADEN, ADDIS, ADSTART, JADSTART, ADSTP, JADSTP = (1 << n for n in range(6))
ADVREGEN, DEEPPWD, ADCAL = 1 << 28, 1 << 29, 1 << 31
SETTINGS = 0x7FC10300  # of CR: what keeps its value, beside the bits that begin something
RESOLUTIONS = (16, 14, 12, 10, 8, 14, 12, 8)  # bits, by CFGR.RES
SAMPLING = (1.5, 2.5, 8.5, 16.5, 32.5, 64.5, 387.5, 810.5)  # clocks, by SMP
CALIBRATION, LINEARITY = 5_700, 165_010  # clocks of a calibration
VREF = 3.3
#: volts at ADC3's channels: a quarter of VBAT; 25 degrees Celsius; VREFINT (datasheet 6.3.24)
INTERNAL = {17: VREF / 4, 18: 0.61, 19: 1.216}


class Adc(Peripheral):
    isr = RegArray(0x00, 2, stride=0x100, flags=bits(0, 11, "w1c"), ldordy=bit(12, "r"))
    ier = RegArray(0x04, 2, stride=0x100, enables=bits(0, 11))
    cr = RegArray(0x08, 2, reset=DEEPPWD, stride=0x100)
    cfgr = RegArray(
        0x0C, 2, reset=1 << 31, stride=0x100, dmngt=bits(0, 2), res=bits(2, 3), extsel=bits(5, 5),
        exten=bits(10, 2), ovrmod=bit(12), cont=bit(13), autdly=bit(14), discen=bit(16),
        discnum=bits(17, 3), jdiscen=bit(20), jqm=bit(21), watchdog=bits(22, 9), jqdis=bit(31),
    )  # fmt: skip
    cfgr2 = RegArray(
        0x10, 2, stride=0x100, rovse=bit(0), jovse=bit(1), ovss=bits(5, 4), trovs=bit(9),
        rovsm=bit(10), rshift=bits(11, 4), osvr=bits(16, 10), lshift=bits(28, 4),
    )  # fmt: skip
    smpr1 = RegArray(0x14, 2, stride=0x100, smp=bits(0, 30))
    smpr2 = RegArray(0x18, 2, stride=0x100, smp=bits(0, 30))
    pcsel = RegArray(0x1C, 2, stride=0x100, pcsel=bits(0, 20))
    ltr1 = RegArray(0x20, 2, stride=0x100, ltr=bits(0, 26))
    htr1 = RegArray(0x24, 2, reset=0x03FFFFFF, stride=0x100, htr=bits(0, 26))
    sqr1 = RegArray(0x30, 2, stride=0x100, l=bits(0, 4), sq1=bits(6, 5), sq2=bits(12, 5),
                    sq3=bits(18, 5), sq4=bits(24, 5))  # fmt: skip
    sqr2 = RegArray(0x34, 2, stride=0x100, sq5=bits(0, 5), sq6=bits(6, 5), sq7=bits(12, 5),
                    sq8=bits(18, 5), sq9=bits(24, 5))  # fmt: skip
    sqr3 = RegArray(0x38, 2, stride=0x100, sq10=bits(0, 5), sq11=bits(6, 5), sq12=bits(12, 5),
                    sq13=bits(18, 5), sq14=bits(24, 5))  # fmt: skip
    sqr4 = RegArray(0x3C, 2, stride=0x100, sq15=bits(0, 5), sq16=bits(6, 5))
    dr = RegArray(0x40, 2, access="r", stride=0x100)
    jsqr = RegArray(
        0x4C, 2, stride=0x100, jl=bits(0, 2), jextsel=bits(2, 5), jexten=bits(7, 2),
        jsq1=bits(9, 5), jsq2=bits(15, 5), jsq3=bits(21, 5), jsq4=bits(27, 5),
    )  # fmt: skip
    ofr = RegArray(0x60, 4)
    ofr_2 = RegArray(0x160, 4)
    jdr = RegArray(0x80, 4, access="r")
    jdr_2 = RegArray(0x180, 4, access="r")
    awd2cr = RegArray(0xA0, 2, stride=0x100, awd=bits(0, 20))
    awd3cr = RegArray(0xA4, 2, stride=0x100, awd=bits(0, 20))
    ltr2 = RegArray(0xB0, 2, stride=0x100, ltr=bits(0, 26))
    htr2 = RegArray(0xB4, 2, reset=0x03FFFFFF, stride=0x100, htr=bits(0, 26))
    ltr3 = RegArray(0xB8, 2, stride=0x100, ltr=bits(0, 26))
    htr3 = RegArray(0xBC, 2, reset=0x03FFFFFF, stride=0x100, htr=bits(0, 26))
    difsel = RegArray(0xC0, 2, stride=0x100, difsel=bits(0, 20))
    calfact = RegArray(0xC4, 2, stride=0x100, s=bits(0, 11), d=bits(16, 11))
    calfact2 = RegArray(0xC8, 2, stride=0x100, lin=bits(0, 30))
    csr = Reg(0x300, access="r")
    ccr = Reg(0x308, dual=bits(0, 5), delay=bits(8, 4), damdf=bits(14, 2), ckmode=bits(16, 2),
              presc=bits(18, 4), vrefen=bit(22), tsen=bit(23), vbaten=bit(24))  # fmt: skip
    cdr = Reg(0x30C, access="r")
    cdr2 = Reg(0x310, access="r")

    def __init__(
        self, machine: Machine, *, frequency: int = 32_000_000, numberOfConverters: int = 2
    ) -> None:
        """`frequency` is the converters' clock in Hz; one converter is ADC3."""
        super().__init__(machine)
        self.IRQ = Line()
        self.frequency = frequency
        self._inputs = INTERNAL if numberOfConverters == 1 else {}
        if numberOfConverters == 1:
            self._without(0x100, 0x200)
        self.requests = [Line(), Line()]  # to the DMA, of each converter
        self._running: dict[tuple[int, bool], Handle] = {}

    def reset(self) -> None:
        super().reset()
        for handle in self._running.values():
            handle.cancel()
        self._running.clear()
        self._update()

    @cr.on_write
    def _control(self, index: int, value: int, old: int) -> None:
        """Bits that begin something are set by software and cleared by hardware (25.6.3)."""
        new = old & ~SETTINGS | value & SETTINGS
        if new & DEEPPWD:
            new &= ~(ADVREGEN | ADEN)
        self.isr[index].ldordy = bool(new & ADVREGEN)
        if value & ADEN and new & ADVREGEN and not old & (ADEN | ADCAL):
            new |= ADEN
            self.isr[index].value |= ADRDY
        if value & ADDIS and not old & (ADSTART | JADSTART):
            new &= ~ADEN
        if value & ADCAL and new & ADVREGEN and not old & (ADEN | ADCAL):
            new |= ADCAL
            clocks = LINEARITY if new >> 16 & 1 else CALIBRATION
            self._after(index, False, clocks, partial(self._calibrated, index))
        self.cr[index].value = new
        for start, stop, injected in ((ADSTART, ADSTP, False), (JADSTART, JADSTP, True)):
            if value & stop and old & start:
                if running := self._running.pop((index, injected), None):
                    running.cancel()
                self.cr[index].value &= ~start
            if value & start and new & ADEN and not old & start:
                self.cr[index].value |= start
                if not self._trigger(index, injected)[0]:
                    self._convert(index, injected, 0)
        self._update()

    def _trigger(self, index: int, injected: bool) -> tuple[int, int]:
        """EXTEN, EXTSEL, or those of injected channels."""
        cfgr, jsqr = self.cfgr[index], self.jsqr[index]
        return (jsqr.jexten, jsqr.jextsel) if injected else (cfgr.exten, cfgr.extsel)

    def on_trigger(self, injected: bool, source: int, level: bool) -> None:
        """An edge of what EXTSEL or JEXTSEL may choose; EXTEN has a bit for each kind of edge."""
        start = JADSTART if injected else ADSTART
        for index in (0, 1):
            enable, chosen = self._trigger(index, injected)
            waits = self.cr[index].value & start and (index, injected) not in self._running
            if waits and chosen == source and enable & (1 if level else 2):
                self._convert(index, injected, 0)

    def _calibrated(self, index: int) -> None:
        cr = self.cr[index]
        if cr.value >> 16 & 1:
            cr.value |= 0x3F << 22  # LINCALRDYW1 to 6
        cr.value &= ~ADCAL

    def _after(self, index: int, injected: bool, clocks: float, call: partial[None]) -> None:
        at = self.machine.now + round(clocks * 1e9 / self.frequency)
        self._running[index, injected] = self.machine.schedule(at, call)

    def _channels(self, index: int, injected: bool) -> list[int]:
        """The sequence."""
        if injected:
            jsqr = self.jsqr[index]
            return [jsqr.jsq1, jsqr.jsq2, jsqr.jsq3, jsqr.jsq4][: jsqr.jl + 1]
        words = [r[index].value for r in (self.sqr1, self.sqr2, self.sqr3, self.sqr4)]
        ranks = [word >> shift & 31 for word in words for shift in range(0, 30, 6)]
        return ranks[1 : self.sqr1[index].l + 2]

    def _convert(self, index: int, injected: bool, rank: int) -> None:
        """Sample and convert (25.4.13); the result comes then."""
        channel = self._channels(index, injected)[rank]
        smpr = (self.smpr1 if channel < 10 else self.smpr2)[index].value
        bits_ = RESOLUTIONS[self.cfgr[index].res]
        clocks = SAMPLING[smpr >> 3 * (channel % 10) & 7] + 0.5 + bits_ / 2
        clocks *= self._ratio(index, injected)
        self._after(index, injected, clocks, partial(self._done, index, injected, rank))

    def _ratio(self, index: int, injected: bool) -> int:
        cfgr2 = self.cfgr2[index]
        return cfgr2.osvr + 1 if (cfgr2.jovse if injected else cfgr2.rovse) else 1

    def _value(self, index: int, injected: bool, channel: int) -> int:
        top, cfgr2 = (1 << RESOLUTIONS[self.cfgr[index].res]) - 1, self.cfgr2[index]
        value = round(self._inputs.get(channel, 0.0) / VREF * top)
        if (ratio := self._ratio(index, injected)) > 1:
            value = value * ratio >> cfgr2.ovss
        return value << cfgr2.lshift & 0xFFFFFFFF

    def _done(self, index: int, injected: bool, rank: int) -> None:
        isr, channels = self.isr[index], self._channels(index, injected)
        value = self._value(index, injected, channels[min(rank, len(channels) - 1)])
        last = rank + 1 >= len(channels)
        if injected:
            (self.jdr_2 if index else self.jdr)[rank].value = value
            isr.value |= JEOC | (JEOS if last else 0)
        else:
            if isr.value & EOC:
                isr.value |= OVR
            if not isr.value & OVR or self.cfgr[index].ovrmod:
                self.dr[index].value = value
            isr.value |= EOSMP | EOC | (EOS if last else 0)
        if not last or (self.cfgr[index].cont and not injected):
            self._convert(index, injected, 0 if last else rank + 1)
        else:
            del self._running[index, injected]
            if not self._trigger(index, injected)[0]:
                self.cr[index].value &= ~(JADSTART if injected else ADSTART)
        self._update()

    @dr.on_read
    def _read(self, index: int) -> int:
        """Reading the result clears EOC."""
        self.isr[index].value &= ~EOC
        self._update()
        return self.dr[index].value

    @csr.on_read
    def _both(self) -> int:
        return self.isr[0].value & 0x7FF | (self.isr[1].value & 0x7FF) << 16

    @isr.on_write
    @ier.on_write
    @cfgr.on_write
    def _update(self) -> None:
        for isr, cfgr, line in zip(self.isr, self.cfgr, self.requests, strict=True):
            line.set(isr.value & EOC and cfgr.dmngt & 1)
        self.IRQ.set(any(i.value & e.value for i, e in zip(self.isr, self.ier, strict=True)))

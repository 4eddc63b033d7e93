"""Reset and clock control (RM0433 section 8).

Oscillators and PLLs are ready at once. Not modelled: clocks while the core sleeps (LPENR), those
and resets of memories; a block is reset as RSTR's bit is set, and answers while it stays so.
"""

from __future__ import annotations

from collections.abc import Mapping

from omvsim.peripherals.base import (
    COLD_RTC,
    Line,
    Machine,
    Peripheral,
    Reg,
    RegArray,
    bit,
    bits,
)
from omvsim.peripherals.rtc import Rtc

HSI, CSI, LSI, LSE, HSI48 = 64_000_000, 4_000_000, 32_000, 32_768, 48_000_000

#: oscillator: (ON bit, RDY bit) of RCC_CR, and its RDYF bit of RCC_CIFR
OSCILLATORS = {
    "HSI": (0, 2, 2),
    "CSI": (7, 8, 4),
    "HSI48": (12, 13, 5),
    "HSE": (16, 17, 3),
    "PLL1": (24, 25, 6),
    "PLL2": (26, 27, 7),
    "PLL3": (28, 29, 8),
}
SYSTEM_CLOCKS = ("HSI", "CSI", "HSE", "PLL1")

#: flags of RCC_RSR
RESET_FLAGS = {
    "CPURSTF": 17, "D1RSTF": 19, "D2RSTF": 20, "BORRSTF": 21, "PINRSTF": 22, "PORRSTF": 23,
    "SFTRSTF": 24, "IWDG1RSTF": 26, "WWDG1RSTF": 28, "LPWRRSTF": 30,
}  # fmt: skip

AHB3, AHB1, AHB2, AHB4, APB3, APB1L, APB1H, APB2, APB4 = range(9)
#: enable bits of xxENR (RM0433 8.7.40 to 8.7.48) by the names of entries; one of several will do
CLOCKS = {
    "mdma": [(AHB3, 0)], "fmc": [(AHB3, 12)], "quadspi": [(AHB3, 14)], "sdmmc1": [(AHB3, 16)],
    "dma1": [(AHB1, 0)], "dma2": [(AHB1, 1)], "dmamux1": [(AHB1, 0), (AHB1, 1)],
    "adc12": [(AHB1, 5)], "ethernet": [(AHB1, 15)], "usb1OtgHs": [(AHB1, 25)],
    "usb2OtgFs": [(AHB1, 27)],
    "rng": [(AHB2, 6)], "sdmmc2": [(AHB2, 9)],
    **{f"gpioPort{port}": [(AHB4, bit)] for bit, port in enumerate("ABCDEFGHIJK")},
    "crc": [(AHB4, 19)], "bdma": [(AHB4, 21)], "dmamux2": [(AHB4, 21)], "adc3": [(AHB4, 24)],
    "hsem": [(AHB4, 25)],
    "watchdog1": [(APB3, 6)],
    **{f"timer{n}": [(APB1L, bit)] for bit, n in enumerate((2, 3, 4, 5, 6, 7, 12, 13, 14))},
    "lptim1": [(APB1L, 9)], "dac": [(APB1L, 29)],
    "spi2": [(APB1L, 14)], "spi3": [(APB1L, 15)], "usart2": [(APB1L, 17)], "usart3": [(APB1L, 18)],
    "uart4": [(APB1L, 19)], "uart5": [(APB1L, 20)], "i2c1": [(APB1L, 21)], "i2c2": [(APB1L, 22)],
    "i2c3": [(APB1L, 23)], "uart7": [(APB1L, 30)], "uart8": [(APB1L, 31)],
    "timer1": [(APB2, 0)], "timer8": [(APB2, 1)], "usart1": [(APB2, 4)], "usart6": [(APB2, 5)],
    "spi1": [(APB2, 12)], "spi4": [(APB2, 13)], "timer15": [(APB2, 16)], "timer16": [(APB2, 17)],
    "timer17": [(APB2, 18)], "spi5": [(APB2, 20)],
    "syscfg": [(APB4, 1)], "lpuart1": [(APB4, 3)], "spi6": [(APB4, 5)], "i2c4": [(APB4, 7)],
    **{f"lptim{n}": [(APB4, n + 7)] for n in (2, 3, 4, 5)},
    "rtc": [(APB4, 16)],
}  # fmt: skip


class Rcc(Peripheral):
    cr = Reg(
        0x00, reset=0x00000083, hsion=bit(0), hsikeron=bit(1), hsirdy=bit(2, "r"),
        hsidiv=bits(3, 2), hsidivf=bit(5, "r"), csion=bit(7), csirdy=bit(8, "r"), csikeron=bit(9),
        hsi48on=bit(12), hsi48rdy=bit(13, "r"), d1ckrdy=bit(14, "r"), d2ckrdy=bit(15, "r"),
        hseon=bit(16), hserdy=bit(17, "r"), hsebyp=bit(18), hsecsson=bit(19), pll1on=bit(24),
        pll1rdy=bit(25, "r"), pll2on=bit(26), pll2rdy=bit(27, "r"), pll3on=bit(28),
        pll3rdy=bit(29, "r"),
    )  # fmt: skip
    hsicfgr = Reg(0x04, reset=0x40000000, hsical=bits(0, 12, "r"), hsitrim=bits(24, 7))
    crrcr = Reg(0x08, access="r", hsi48cal=bits(0, 10))
    csicfgr = Reg(0x0C, reset=0x20000000, csical=bits(0, 8, "r"), csitrim=bits(24, 6))
    cfgr = Reg(
        0x10, sw=bits(0, 3), sws=bits(3, 3, "r"), stopwuck=bit(6), stopkerwuck=bit(7),
        rtcpre=bits(8, 6), hrtimsel=bit(14), timpre=bit(15), mco1pre=bits(18, 4), mco1=bits(22, 3),
        mco2pre=bits(25, 4), mco2=bits(29, 3),
    )  # fmt: skip
    d1cfgr = Reg(0x18, hpre=bits(0, 4), d1ppre=bits(4, 3), d1cpre=bits(8, 4))
    d2cfgr = Reg(0x1C, d2ppre1=bits(4, 3), d2ppre2=bits(8, 3))
    d3cfgr = Reg(0x20, d3ppre=bits(4, 3))
    pllckselr = Reg(
        0x28, reset=0x02020200, pllsrc=bits(0, 2), divm1=bits(4, 6), divm2=bits(12, 6),
        divm3=bits(20, 6),
    )  # fmt: skip
    pllcfgr = Reg(0x2C, reset=0x01FF0000, pll1fracen=bit(0), rest=bits(1, 24))
    plldivr = RegArray(
        0x30, 3, reset=0x01010280, stride=8, n=bits(0, 9), p=bits(9, 7), q=bits(16, 7),
        r=bits(24, 7),
    )  # fmt: skip
    pllfracr = RegArray(0x34, 3, stride=8, fracn=bits(3, 13))
    ccipr = RegArray(0x4C, 4)  # D1CCIPR, D2CCIP1R, D2CCIP2R, D3CCIPR
    cier = Reg(0x60, enable=bits(0, 10))
    cifr = Reg(0x64, access="r")
    cicr = Reg(0x68, access="w")
    bdcr = Reg(
        0x70, lseon=bit(0), lserdy=bit(1, "r"), lsebyp=bit(2), lsedrv=bits(3, 2), lsecsson=bit(5),
        lsecssd=bit(6, "r"), rtcsel=bits(8, 2), rtcen=bit(15), bdrst=bit(16),
    )  # fmt: skip
    csr = Reg(0x74, lsion=bit(0), lsirdy=bit(1, "r"))
    rstr = RegArray(0x7C, 9)  # AHB3, AHB1, AHB2, AHB4, APB3, APB1L, APB1H, APB2, APB4
    gcr = Reg(0xA0, ww1rsc=bit(0))
    d3amr = Reg(0xA8)
    rsr = Reg(0xD0, reset=0x00E80000, access="r", rmvf=bit(16, "w"), flags=bits(17, 15))
    enr = RegArray(0xD4, 8)  # in the order of rstr
    apb4enr = Reg(0xF4, reset=0x00010000)
    lpenr = RegArray(0xFC, 9)
    c1_rsr = Reg(0x130, access="r", rmvf=bit(16, "w"))
    c1_enr = RegArray(0x134, 9)
    c1_lpenr = RegArray(0x15C, 9)

    #: registers that a system reset leaves alone (RM0433 8.7.34 to 8.7.40)
    KEPT = (0x70 // 4, 0x74 // 4, 0xD0 // 4)
    #: RCC_AHB3LPENR.. after reset
    LPENR = (
        0xF0015131, 0x1E03C023, 0xE0000271, 0x312807FF, 0x00000058, 0xE8FFCBFF, 0x00000136,
        0x31D73033, 0x0421DEAA,
    )  # fmt: skip

    def __init__(
        self, machine: Machine, *, rtc: Rtc | None = None, hseFrequency: int = 12_000_000
    ) -> None:
        """`rtc` gets its clock from here; `hseFrequency` is in Hz."""
        super().__init__(machine)
        self.IRQ = Line()
        self.rtc, self.hse = rtc, hseFrequency
        self.gated: dict[str, Peripheral] = {}  # blocks by the names of their entries
        if machine.rtc_start != COLD_RTC:
            self.bdcr.value = 0x8103  # a battery kept LSE and RTC running
        self._defaults()
        self._tell_rtc()

    def reset(self) -> None:
        kept = {i: self.mem[i] for i in self.KEPT}
        super().reset()
        for i, value in kept.items():
            self.mem[i] = value
        self._defaults()

    def _defaults(self) -> None:
        for view, value in zip(self.lpenr, self.LPENR, strict=True):
            view.value = value
        self._enables()
        self.cr.hsidivf = self.cr.d1ckrdy = self.cr.d2ckrdy = 1
        self._oscillators()

    def note_reset(self, reason: str) -> None:
        """A reset happened for this reason, a flag such as "SFTRSTF" (RM0433 table 57); the end of
        Standby is one of the domains."""
        domains = reason == "STANDBY"
        for flag in ("D1RSTF", "D2RSTF", "CPURSTF") if domains else (reason, "PINRSTF", "CPURSTF"):
            self.rsr.value |= 1 << RESET_FLAGS[flag]

    @cr.on_write
    def _oscillators(self) -> None:
        """Ready bits follow the on bits; the clock in use cannot be switched off."""
        used = SYSTEM_CLOCKS[self.cfgr.sws]
        value = self.cr.value | 1 << OSCILLATORS[used][0]
        before = value
        for on, ready, flag in OSCILLATORS.values():
            if value >> on & 1:
                if not value >> ready & 1:
                    self.cifr.value |= self.cier.value & 1 << flag
                value |= 1 << ready
            else:
                value &= ~(1 << ready)
        if value != before or value != self.cr.value:
            self.cr.value = value
        self._switch()
        self.update_irq()

    @cfgr.on_write
    def _switch(self) -> None:
        """SWS follows SW as soon as the chosen clock is ready."""
        wanted = self.cfgr.sw
        if wanted < len(SYSTEM_CLOCKS):
            ready = OSCILLATORS[SYSTEM_CLOCKS[wanted]][1]
            if self.cr.value >> ready & 1:
                self.cfgr.sws = wanted

    def stopped(self) -> None:
        """After Stop mode HSI is the system's clock, or CSI by STOPWUCK; the others are off."""
        wakes = "CSI" if self.cfgr.stopwuck else "HSI"
        self.cfgr.sw = self.cfgr.sws = SYSTEM_CLOCKS.index(wakes)
        for name, (on, _, _) in OSCILLATORS.items():
            self.cr.value &= ~(1 << on)
            self.cr.value |= (name == wakes) << on
        self._oscillators()

    @bdcr.on_write
    def _backup_domain(self) -> None:
        if self.bdcr.bdrst:
            self.bdcr.value = 1 << 16
            if self.rtc:
                self.rtc.backup_reset()
        if self.bdcr.lseon and not self.bdcr.lserdy:
            self.cifr.value |= self.cier.value & 1 << 1
        self.bdcr.lserdy = self.bdcr.lseon
        self._tell_rtc()
        self.update_irq()

    def _tell_rtc(self) -> None:
        """RTCCLK may have changed."""
        if self.rtc:
            self.rtc.set_clock(self.rtc_clock)

    @csr.on_write
    def _lsi(self) -> None:
        if self.csr.lsion and not self.csr.lsirdy:
            self.cifr.value |= self.cier.value & 1
        self.csr.lsirdy = self.csr.lsion
        self._tell_rtc()
        self.update_irq()

    @cicr.on_write
    def _clear(self, value: int) -> None:
        self.cifr.value &= ~value
        self.update_irq()

    @rsr.on_write
    @c1_rsr.on_write
    def _remove_flags(self, value: int) -> None:
        if value >> 16 & 1:
            self.rsr.value = 0

    @c1_rsr.on_read
    def _c1_rsr(self) -> int:
        return self.rsr.value

    # RCC_C1_xxENR, the CPU's own names, are the same registers as RCC_xxENR

    @enr.on_write
    @lpenr.on_write
    @apb4enr.on_write
    def _enables(self) -> None:
        for alias, view in zip(self.c1_enr, [*self.enr, self.apb4enr], strict=True):
            alias.value = view.value
        for alias, view in zip(self.c1_lpenr, self.lpenr, strict=True):
            alias.value = view.value
        self._clock()

    @c1_enr.on_write
    @c1_lpenr.on_write
    def _own_enables(self) -> None:
        for view, alias in zip([*self.enr, self.apb4enr], self.c1_enr, strict=True):
            view.value = alias.value
        for view, alias in zip(self.lpenr, self.c1_lpenr, strict=True):
            view.value = alias.value
        self._clock()

    @rstr.on_write
    def _reset_blocks(self, index: int, value: int, old: int) -> None:
        """RSTR has the bits of ENR, but for what the backup domain keeps."""
        for name, block in self.gated.items():
            [(register, bit), *others] = CLOCKS[name]
            if register == index and (value & ~old) >> bit & 1 and not others and name != "rtc":
                block.reset()

    def gate(self, blocks: Mapping[str, Peripheral]) -> None:
        """These answer while one of their bits in CLOCKS is set."""
        self.gated = {name: block for name, block in blocks.items() if name in CLOCKS}
        self._clock()

    def _clock(self) -> None:
        for name, block in self.gated.items():
            block.clock(any(self.c1_enr[n].value >> bit & 1 for n, bit in CLOCKS[name]))

    @cier.on_write
    def update_irq(self) -> None:
        self.IRQ.set(self.cifr.value & self.cier.value)

    # clocks, in Hz

    def _source(self, name: str) -> int:
        if name == "PLL1":
            return self.pll1_p
        return {"HSI": HSI >> self.cr.hsidiv, "CSI": CSI, "HSE": self.hse}[name]

    @property
    def rtc_clock(self) -> int:
        """RTCCLK by RTCSEL; 0 while it is off."""
        if not self.bdcr.rtcen:
            return 0
        divider = self.cfgr.rtcpre
        return (
            0,
            LSE if self.bdcr.lserdy else 0,
            LSI if self.csr.lsirdy else 0,
            self.hse // divider if divider > 1 and self.cr.hserdy else 0,
        )[self.bdcr.rtcsel]

    @property
    def pll1_p(self) -> int:
        """Output P of PLL1 (RM0433 8.5.5)."""
        select = self.pllckselr
        if select.pllsrc == 3 or not select.divm1:
            return 0
        reference = self._source(("HSI", "CSI", "HSE")[select.pllsrc])
        divider = self.plldivr[0]
        fraction = self.pllfracr[0].fracn if self.pllcfgr.pll1fracen else 0
        vco = reference * ((divider.n + 1) * 8192 + fraction) // (select.divm1 * 8192)
        return vco // (divider.p + 1)

    @property
    def core_clock(self) -> int:
        """The CPU's clock as programmed: SYSCLK through D1CPRE."""
        prescaler = self.d1cfgr.d1cpre
        shift = (1, 2, 3, 4, 6, 7, 8, 9)[prescaler & 7] if prescaler & 8 else 0
        return self._source(SYSTEM_CLOCKS[self.cfgr.sws]) >> shift

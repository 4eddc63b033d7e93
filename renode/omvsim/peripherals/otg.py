"""USB on-the-go cores (RM0433 section 57) with nothing plugged in: resets and flushes end,
endpoints and channels can be disabled, no host resets the device, the host sees no device.

A device that takes its session for valid (BVALOVAL) is suspended, as its bus is idle. Not modelled:
the FIFOs' windows, from 0x1000 on, and the interrupts of endpoint 1 alone.
"""

from __future__ import annotations

from omvsim.peripherals.base import Handle, Line, Machine, Peripheral, Reg, RegArray, bit, bits

ENDPOINTS, CHANNELS, TX_FIFOS, STRIDE = 9, 16, 8, 0x20
CSRST, TXFNUM = 1 << 0, 0x1F << 6  # of GRSTCTL
ESUSP, USBSUSP = 1 << 10, 1 << 11  # of GINTSTS
TXFE = 1 << 7  # of DIEPINT
CNAK, SNAK, SD0PID, SD1PID, EPDIS, EPENA = (1 << n for n in range(26, 32))  # of DIEPCTL, DOEPCTL
NAKSTS, DPID, USBAEP = 1 << 17, 1 << 16, 1 << 15
SETTINGS, SETTINGS_0 = 0x03FC87FF, 0x03F00003  # of both: what stays as written; of endpoint 0
EPDISD, INEPNE = 1 << 1, 1 << 6  # of DIEPINT, DOEPINT
CHDIS, CHENA, CHH = 1 << 30, 1 << 31, 1 << 1  # of HCCHAR, HCINT
IDLE = 3_000_000  # ns on an idle bus until a device is suspended (USB 2.0 section 7.1.7.6)


class Otg(Peripheral):
    size = 0x1000
    gotgctl = Reg(
        0x00, 1 << 16, srq=bit(1), overrides=bits(2, 4), bvaloen=bit(6), bvaloval=bit(7),
        hnp=bits(9, 4), cidsts=bit(16, "r"), dbct=bit(17, "r"), asvld=bit(18, "r"),
        bsvld=bit(19, "r"), otgver=bit(20), curmod=bit(21, "r"),
    )  # fmt: skip
    gotgint = Reg(0x04, sedet=bit(2, "w1c"), changes=bits(8, 2, "w1c"), more=bits(17, 4, "w1c"))
    gahbcfg = Reg(0x08, gint=bit(0), dma=bits(1, 5), levels=bits(7, 2))
    gusbcfg = Reg(0x0C, 0x1400, phy=bits(0, 5), physel=bit(6), protocols=bits(8, 6), phylpc=bit(15),
                  ulpi=bits(17, 9), fhmod=bit(29), fdmod=bit(30))  # fmt: skip
    grstctl = Reg(0x10, 1 << 31, resets=bits(0, 6), txfnum=bits(6, 5), ahbidl=bit(31, "r"))
    gintsts = Reg(
        0x14, 0x04000020, cmod=bit(0, "r"), mmis=bit(1, "w1c"), otgint=bit(2, "r"),
        sof=bit(3, "w1c"), rxflvl=bit(4, "r"), nptxfe=bit(5, "r"), ginakeff=bit(6, "r"),
        gonakeff=bit(7, "r"), bus=bits(10, 6, "w1c"), iepint=bit(18, "r"), oepint=bit(19, "r"),
        incomplete=bits(20, 4, "w1c"), hprtint=bit(24, "r"), hcint=bit(25, "r"), ptxfe=bit(26, "r"),
        session=bits(27, 5, "w1c"),
    )  # fmt: skip
    gintmsk = Reg(0x18, device=bits(1, 7), bus=bits(10, 6), more=bits(17, 15))
    grxstsr = Reg(0x1C, access="r")
    grxstsp = Reg(0x20, access="r")
    grxfsiz = Reg(0x24, 0x200, rxfd=bits(0, 16))
    dieptxf0 = Reg(0x28, 0x02000200)  # HNPTXFSIZ of a host
    hnptxsts = Reg(0x2C, 0x00080200, access="r")
    gccfg = Reg(0x38, pwrdwn=bit(16), detection=bits(17, 5))
    cid = Reg(0x3C, 0x2300)
    # in the silicon, not in the manual: as TinyUSB's dwc2_info.md has them, read off an H743
    gsnpsid = Reg(0x40, 0x4F54330A, access="r")
    ghwcfg1 = Reg(0x44, access="r")
    ghwcfg2 = Reg(0x48, 0x229FE190, access="r")
    ghwcfg3 = Reg(0x4C, 0x03B8D2E8, access="r")
    ghwcfg4 = Reg(0x50, 0xE3F00030, access="r")
    glpmcfg = Reg(0x54, lpm=bits(0, 2), l1=bits(7, 6), channel=bits(17, 8), enbesl=bit(28))
    hptxfsiz = Reg(0x100, 0x02000600)
    dieptxf = RegArray(0x104, TX_FIFOS)

    hcfg = Reg(0x400, fslspcs=bits(0, 2), fslss=bit(2))
    hfir = Reg(0x404, 0xEA60, frivl=bits(0, 16))
    hfnum = Reg(0x408, 0x3FFF, access="r")
    hptxsts = Reg(0x410, 0x00080100, access="r")
    haint = Reg(0x414, access="r")
    haintmsk = Reg(0x418, haintm=bits(0, 16))
    hprt = Reg(0x440, changes=bits(1, 3, "w1c"), pocchng=bit(5, "w1c"), resume=bits(6, 3),
               power=bits(12, 5))  # fmt: skip
    hcchar = RegArray(0x500, CHANNELS, stride=STRIDE)
    hcsplt = RegArray(0x504, CHANNELS, stride=STRIDE, split=bits(0, 17), spliten=bit(31))
    hcint = RegArray(0x508, CHANNELS, stride=STRIDE, flags=bits(0, 11, "w1c"))
    hcintmsk = RegArray(0x50C, CHANNELS, stride=STRIDE, enables=bits(0, 11))
    hctsiz = RegArray(0x510, CHANNELS, stride=STRIDE)
    hcdma = RegArray(0x514, CHANNELS, stride=STRIDE)

    dcfg = Reg(0x800, 0x02200000, speed=bits(0, 3), dad=bits(4, 9), phy=bits(14, 2),
               perschivl=bits(24, 2))  # fmt: skip
    dctl = Reg(
        0x804, 2, rwusig=bit(0), sdis=bit(1), ginsts=bit(2, "r"), gonsts=bit(3, "r"),
        tctl=bits(4, 3), sginak=bit(7, "w"), cginak=bit(8, "w"), sgonak=bit(9, "w"),
        cgonak=bit(10, "w"), poprgdne=bit(11), babble=bits(17, 2),
    )  # fmt: skip
    dsts = Reg(0x808, 0x10, access="r", suspsts=bit(0), enumspd=bits(1, 2), fnsof=bits(8, 14))
    diepmsk = Reg(0x810, enables=bits(0, 7), more=bits(8, 2), nakm=bit(13))
    doepmsk = Reg(0x814, enables=bits(0, 7), more=bits(8, 2), errors=bits(12, 3))
    daint = Reg(0x818, access="r")
    daintmsk = Reg(0x81C)
    dvbusdis = Reg(0x828, 0x17D7, vbusdt=bits(0, 16))
    dvbuspulse = Reg(0x82C, 0x5B8, dvbusp=bits(0, 12))
    dthrctl = Reg(0x830, tx=bits(0, 11), rx=bits(16, 10), arpen=bit(27))
    diepempmsk = Reg(0x834, ineptxfem=bits(0, 16))
    deachint = Reg(0x838, access="r")
    deachintmsk = Reg(0x83C, iep1intm=bit(1), oep1intm=bit(17))
    diepctl = RegArray(0x900, ENDPOINTS, stride=STRIDE)
    diepint = RegArray(0x908, ENDPOINTS, TXFE, stride=STRIDE, flags=bits(0, 7, "w1c"),
                       more=bits(8, 2, "w1c"), pktdrpsts=bit(11, "w1c"),
                       nak=bit(13, "w1c"))  # fmt: skip
    dieptsiz = RegArray(0x910, ENDPOINTS, stride=STRIDE, size=bits(0, 31))
    diepdma = RegArray(0x914, ENDPOINTS, stride=STRIDE)
    dtxfsts = RegArray(0x918, ENDPOINTS, 0x200, access="r", stride=STRIDE)
    doepctl = RegArray(0xB00, ENDPOINTS, stride=STRIDE)
    doepint = RegArray(0xB08, ENDPOINTS, 1 << 7, stride=STRIDE, flags=bits(0, 7, "w1c"),
                       more=bits(8, 2, "w1c"), errors=bits(12, 4, "w1c"))  # fmt: skip
    doeptsiz = RegArray(0xB10, ENDPOINTS, stride=STRIDE, size=bits(0, 31))
    doepdma = RegArray(0xB14, ENDPOINTS, stride=STRIDE)
    pcgcctl = Reg(0xE00, gates=bits(0, 2), enl1gtg=bit(5))

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.IRQ = Line()
        self._idle: Handle | None = None
        self.reset()

    def reset(self) -> None:
        super().reset()
        for n, fifo in enumerate(self.dieptxf):
            fifo.value = 0x02000400 + 0x200 * n
        self.diepctl[0].value = self.doepctl[0].value = USBAEP
        self._update()

    @grstctl.on_write
    def _begin(self, value: int, old: int) -> None:
        """What begins here has ended at once; a core reset leaves some bits alone (57.14.5)."""
        if value & CSRST:
            clocks, phy, speed = self.pcgcctl.value, self.hcfg.value, self.dcfg.speed
            disconnected, charger = self.dctl.sdis, self.gccfg.value
            self.reset()
            self.pcgcctl.value, self.hcfg.value, self.gccfg.value = clocks, phy, charger
            self.dcfg.speed, self.dctl.sdis = speed & 3, disconnected
        self.grstctl.value = 1 << 31 | value & TXFNUM
        self._update()

    @dctl.on_write
    def _control(self, value: int) -> None:
        for name, lo in (("ginsts", 7), ("gonsts", 9)):  # SGINAK, CGINAK; SGONAK, CGONAK
            if value >> lo & 3:
                setattr(self.dctl, name, value >> lo & 1)
        self._update()

    @diepctl.on_write
    def _in(self, index: int, value: int, old: int) -> None:
        if value & SNAK:
            self.diepint[index].value |= INEPNE
        if value & EPDIS and (value | old) & EPENA:
            self.diepint[index].value |= EPDISD
        self.diepctl[index].value = _endpoint(index, value, old)
        self._update()

    @doepctl.on_write
    def _out(self, index: int, value: int, old: int) -> None:
        """Endpoint 0 cannot be disabled."""
        if not index:
            value &= ~EPDIS
        elif value & EPDIS and (value | old) & EPENA:
            self.doepint[index].value |= EPDISD
        self.doepctl[index].value = _endpoint(index, value, old)
        self._update()

    @hcchar.on_write
    def _channel(self, index: int, value: int, old: int) -> None:
        if value & CHDIS:
            if (value | old) & CHENA:
                self.hcint[index].value |= CHH
            value &= ~(CHENA | CHDIS)
        self.hcchar[index].value = value
        self._update()

    @gotgctl.on_write
    @gotgint.on_write
    @gahbcfg.on_write
    @gusbcfg.on_write
    @gintsts.on_write
    @gintmsk.on_write
    @dieptxf0.on_write
    @dieptxf.on_write
    @gccfg.on_write
    @haintmsk.on_write
    @hcint.on_write
    @hcintmsk.on_write
    @diepmsk.on_write
    @doepmsk.on_write
    @daintmsk.on_write
    @diepempmsk.on_write
    @diepint.on_write
    @doepint.on_write
    def _update(self) -> None:
        """What other registers follow, and the interrupt."""
        host, overridden = self.gusbcfg.fhmod, self.gotgctl
        overridden.bsvld = overridden.bvaloen and overridden.bvaloval
        overridden.asvld = overridden.overrides >> 2 == 0b11  # AVALOEN, AVALOVAL
        overridden.curmod = host
        fifos = [self.dieptxf0, *self.dieptxf]
        self.hnptxsts.value = 0x00080000 | fifos[0].value >> 16
        for ctl, sts in zip(self.diepctl, self.dtxfsts, strict=True):
            number = ctl.value >> 22 & 0xF
            sts.value = fifos[number].value >> 16 if number < len(fifos) else 0
        ins = outs = channels = 0
        for n in range(ENDPOINTS):
            mask = self.diepmsk.value | (self.diepempmsk.value >> n & 1) << 7
            ins |= bool(self.diepint[n].value & mask) << n
            outs |= bool(self.doepint[n].value & self.doepmsk.value) << n
        for n in range(CHANNELS):
            channels |= bool(self.hcint[n].value & self.hcintmsk[n].value) << n
        self.daint.value, self.haint.value = ins | outs << 16, channels
        sts, told = self.gintsts, self.daint.value & self.daintmsk.value
        sts.cmod, sts.otgint = host, self.gotgint.value > 0
        sts.ginakeff, sts.gonakeff = self.dctl.ginsts, self.dctl.gonsts
        sts.iepint, sts.oepint = told & 0xFFFF > 0, told >> 16 > 0
        sts.hcint = channels & self.haintmsk.value > 0
        self._sense()
        self.IRQ.set(self.gahbcfg.gint and sts.value & self.gintmsk.value)

    def _sense(self) -> None:
        """A device that is connected to nothing sees an idle bus."""
        powered = self.gccfg.pwrdwn or not self.gusbcfg.physel
        connected = powered and self.gotgctl.bsvld and not (self.dctl.sdis or self.gusbcfg.fhmod)
        if not connected:
            self.dsts.suspsts = 0
            if self._idle:
                self._idle.cancel()
                self._idle = None
        elif not (self._idle or self.dsts.suspsts):
            self._idle = self.machine.schedule(self.machine.now + IDLE, self._suspend)

    def _suspend(self) -> None:
        self._idle = None
        self.dsts.suspsts = 1
        self.gintsts.value |= ESUSP | USBSUSP
        self._update()


def _endpoint(index: int, value: int, old: int) -> int:
    """DIEPCTL or DOEPCTL after a write: EPENA stays until EPDIS ends it."""
    settings = SETTINGS if index else SETTINGS_0
    new = value & settings | old & (NAKSTS | DPID) | (value | old) & EPENA
    for on, off, state in ((SNAK, CNAK, NAKSTS), (SD1PID, SD0PID, DPID)):
        if value & off:
            new &= ~state
        if value & on:
            new |= state
    if value & EPDIS:
        new &= ~EPENA
    return new if index else new | USBAEP

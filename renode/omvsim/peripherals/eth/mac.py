"""Ethernet MAC with DMA (RM0433 section 58): registers, MDIO, filter, interrupts, counters.

Frames on the wire take their time at the PHY's speed. Not modelled: VLAN tags and filters of layer
3 and 4, flow control, PTP, power management, EEE.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import ClassVar

from omvsim.peripherals.base import (
    BusError,
    Component,
    Handle,
    Line,
    Machine,
    Peripheral,
    Reg,
    RegArray,
    bit,
    bits,
)
from omvsim.peripherals.eth import checksum as eth_checksum
from omvsim.peripherals.eth.dma import (
    CDE,
    FBE,
    RBU,
    RI,
    RPS,
    TBU,
    TI,
    TPS,
    Receiver,
    Transmitter,
)
from omvsim.peripherals.eth.filter import CONTROL, AddressFilter
from omvsim.peripherals.phy import Phy

NORMAL = TI | TBU | RI
ABNORMAL = TPS | RBU | RPS | FBE | CDE
AIS, NIS = 1 << 14, 1 << 15
MDC_DIVIDERS = (42, 62, 16, 26, 102, 124)  # MACMDIOAR.CR
MDIO_BITS = 64  # preamble and frame
SWR_NS = 1_000
WRITE, READ = 1, 3  # MACMDIOAR.GOC


class Eth(Peripheral):
    size = 0x1400
    regions: ClassVar[dict[str, tuple[int, int]]] = {
        "": (0, 0xC00), "mtl": (0xC00, 0x200), "dma": (0x1000, 0x200),
    }  # fmt: skip

    maccr = Reg(
        0x000, reset=0x8000, re=bit(0), te=bit(1), prelen=bits(2, 2), dc=bit(4), bl=bits(5, 2),
        dr=bit(8), dcrs=bit(9), do=bit(10), ecrsfd=bit(11), lm=bit(12), dm=bit(13), fes=bit(14),
        je=bit(16), jd=bit(17), wd=bit(19), acs=bit(20), cst=bit(21), s2kp=bit(22),
        gpslce=bit(23), ipg=bits(24, 3), ipc=bit(27), sarc=bits(28, 3), arpen=bit(31),
    )  # fmt: skip
    macecr = Reg(0x004, gpsl=bits(0, 14), others=bits(16, 14))
    macpfr = Reg(
        0x008, pr=bit(0), huc=bit(1), hmc=bit(2), daif=bit(3), pm=bit(4), dbf=bit(5),
        pcf=bits(6, 2), saif=bit(8), saf=bit(9), hpf=bit(10), vtfe=bit(16), ipfe=bit(20),
        dntu=bit(21), ra=bit(31),
    )  # fmt: skip
    macwtr = Reg(0x00C, wto=bits(0, 4), pwe=bit(8))
    macht = RegArray(0x010, 2)
    macvtr = Reg(0x050)
    macvhtr = Reg(0x058)
    macvir = Reg(0x060)
    macivir = Reg(0x064)
    macqtxfcr = Reg(0x070)
    macrxfcr = Reg(0x090)
    macisr = Reg(0x0B0, access="r")
    macier = Reg(0x0B4)
    macrxtxsr = Reg(0x0B8, access="r")
    macpcsr = Reg(0x0C0)
    macrwkpfr = Reg(0x0C4)
    maclcsr = Reg(0x0D0)
    macltcr = Reg(0x0D4, reset=0x03E80000)
    macletr = Reg(0x0D8)
    mac1ustcr = Reg(0x0DC)
    macvr = Reg(0x110, reset=0x00003041, access="r")
    macdr = Reg(0x114, access="r")
    machwf0r = Reg(0x11C, reset=0x0A0D73F7, access="r")
    machwf1r = Reg(0x120, reset=0x11841904, access="r")
    machwf2r = Reg(0x124, reset=0x41000000, access="r")
    macmdioar = Reg(
        0x200, gb=bit(0), c45e=bit(1), goc=bits(2, 2), skap=bit(4), cr=bits(8, 4),
        ntc=bits(12, 3), rda=bits(16, 5), pa=bits(21, 5), btb=bit(26), pse=bit(27),
    )  # fmt: skip
    macmdiodr = Reg(0x204, md=bits(0, 16), ra=bits(16, 16))
    macahr = RegArray(
        0x300, 4, reset=0xFFFF, stride=8, addrhi=bits(0, 16), mbc=bits(24, 6), sa=bit(30),
        ae=bit(31),
    )  # fmt: skip
    macalr = RegArray(0x304, 4, reset=0xFFFFFFFF, stride=8)
    mmc_control = Reg(0x700, cntrst=bit(0), cntstopro=bit(1), rstonrd=bit(2), cntfreez=bit(3))
    mmc_interrupts = RegArray(0x704, 2, access="r")
    mmc_masks = RegArray(0x70C, 2)
    tx_packet_count_good = Reg(0x768, access="r")
    rx_errors = RegArray(0x794, 2, access="r")
    rx_unicast_packets_good = Reg(0x7C4, access="r")

    mtlomr = Reg(0xC00)
    mtlisr = Reg(0xC20, access="r")
    mtltxqomr = Reg(0xD00, reset=0x00070008, ftq=bit(0), tsf=bit(1), txqen=bits(2, 2, "r"),
                    ttc=bits(4, 3), tqs=bits(16, 3))  # fmt: skip
    mtltxqur = Reg(0xD04, access="r")
    mtltxqdr = Reg(0xD08, access="r")
    mtlqicsr = Reg(0xD2C, txunfis=bit(0, "w1c"), txuie=bit(8), rxovfis=bit(16, "w1c"),
                   rxoie=bit(24))  # fmt: skip
    mtlrxqomr = Reg(
        0xD30, reset=0x00700000, rtc=bits(0, 2), fup=bit(3), fep=bit(4), rsf=bit(5),
        dis_tcp_ef=bit(6), ehfc=bit(7), rfa=bits(8, 3), rfd=bits(14, 3), rqs=bits(20, 3),
    )  # fmt: skip
    mtlrxqmpocr = Reg(0xD34, access="r", ovfpktcnt=bits(0, 11), ovfcntovf=bit(11))
    mtlrxqdr = Reg(0xD38, access="r")

    dmamr = Reg(0x1000, swr=bit(0), da=bit(1), txpr=bit(11), pr=bits(12, 3), intm=bits(16, 2))
    dmasbmr = Reg(0x1004, reset=0x01010000, fb=bit(0), aal=bit(12), mb=bit(14), rb=bit(15))
    dmaisr = Reg(0x1008, access="r", dc0is=bit(0), mtlis=bit(16), macis=bit(17))
    dmadsr = Reg(0x100C, access="r", rps0=bits(8, 4), tps0=bits(12, 4))
    dmaccr = Reg(0x1100, mss=bits(0, 14), pblx8=bit(16), dsl=bits(18, 3))
    dmactxcr = Reg(0x1104, st=bit(0), osf=bit(4), tse=bit(12), txpbl=bits(16, 6))
    dmacrxcr = Reg(0x1108, sr=bit(0), rbsz=bits(1, 14), rxpbl=bits(16, 6), rpf=bit(31))
    dmactxdlar = Reg(0x1114)
    dmacrxdlar = Reg(0x111C)
    dmactxdtpr = Reg(0x1120)
    dmacrxdtpr = Reg(0x1128)
    dmactxrlr = Reg(0x112C, tdrl=bits(0, 10))
    dmacrxrlr = Reg(0x1130, rdrl=bits(0, 10))
    dmacier = Reg(0x1134, low=bits(0, 3), high=bits(6, 8), aie=bit(14), nie=bit(15))
    dmacrxiwtr = Reg(0x1138, rwt=bits(0, 8))
    dmaccatxdr = Reg(0x1144, access="r")
    dmaccarxdr = Reg(0x114C, access="r")
    dmaccatxbr = Reg(0x1154, access="r")
    dmaccarxbr = Reg(0x115C, access="r")
    dmacsr = Reg(0x1160, low=bits(0, 3, "w1c"), high=bits(6, 10, "w1c"), teb=bits(16, 3, "r"),
                 reb=bits(19, 3, "r"))  # fmt: skip
    dmacmfcr = Reg(0x116C, access="r")

    def __init__(
        self, machine: Machine, *, systemClockFrequency: int, dmaBusWidth: str = "Bits32"
    ) -> None:
        """`systemClockFrequency` is HCLK in Hz; MDC is derived from it."""
        super().__init__(machine)
        self.IRQ = Line()
        self.hclk = systemClockFrequency
        #: called with (now in ns, frame without FCS) when a frame has left
        self.frame_ready: Callable[[int, bytes], object] | None = None
        self.phys: dict[int, Phy] = {}
        self._tx, self._rx = Transmitter(self), Receiver(self)
        self._filter = AddressFilter(self)
        self._watchdog: Handle | None = None
        self._address_enable(0)

    def attach(self, address: int, child: Component) -> None:
        """A PHY at an MDIO address."""
        if not isinstance(child, Phy) or not 0 <= address < 32:
            raise ValueError("an Ethernet MAC takes PHYs at addresses 0 to 31")
        self.phys[address] = child

    def reset(self) -> None:
        super().reset()
        self._tx.reset()
        self._rx.reset()
        if self._watchdog:
            self._watchdog.cancel()
            self._watchdog = None
        self._address_enable(0)
        self.IRQ.set(False)

    # the wire

    @property
    def _phy(self) -> Phy | None:
        return next(iter(self.phys.values()), None)

    @property
    def speed(self) -> int:
        """Mbit/s on the wire."""
        return self._phy.mode[0] if self._phy else 100

    def receive_frame(self, frame: bytes) -> None:
        """A frame without FCS has arrived; the sender pads it to the minimum."""
        if not self.maccr.re or not self._phy or not self._phy.link or self.maccr.lm:
            return
        self._accept(frame.ljust(60, b"\0"))

    def sent(self, frame: bytes) -> None:
        """A frame has left the transmitter."""
        if not self.mmc_control.cntfreez:
            self.tx_packet_count_good.value = (self.tx_packet_count_good.value + 1) & 0xFFFFFFFF
        if self.maccr.lm:
            self._accept(frame)
        elif self.frame_ready and self._phy and self._phy.link:
            self.frame_ready(self.machine.now, frame)

    def _accept(self, frame: bytes) -> None:
        if not self.maccr.re or not (self.macpfr.ra or self._filter.passes(frame)):
            return
        drops = not self.mtlrxqomr.dis_tcp_ef and not self.mtlrxqomr.fep
        if self.maccr.ipc and drops:
            errors = eth_checksum.IPHE | eth_checksum.IPCE
            if eth_checksum.status(frame) & errors:
                return
        self._rx.arrive(frame)

    # what the DMA asks of the MAC

    def source_address(self, frame: bytearray, descriptor: int) -> None:
        """Insert (2) or replace (3) the source address, as TDES3.SAIC or MACCR.SARC says."""
        control = self.maccr.sarc or (descriptor + 1 if descriptor & 3 else 0)
        if control & 3 < 2 or len(frame) < 12:
            return
        own = self._filter.address(control >> 2 & 1)
        frame[6 : 6 if control & 1 == 0 else 12] = own

    def with_fcs(self, frame: bytes) -> bytes:
        """What the queue holds: the FCS is stripped by CST from type frames, by ACS with the pad
        from length frames."""
        length = int.from_bytes(frame[12:14], "big")
        if length < 0x600 and self.maccr.acs:
            return frame[: 14 + length]
        if length >= 0x600 and self.maccr.cst:
            return frame
        return frame + zlib.crc32(frame).to_bytes(4, "little")

    def is_giant(self, frame: bytes) -> bool:
        tagged = frame[12:14] == b"\x81\x00"
        limit = 9018 if self.maccr.je else 2000 if self.maccr.s2kp else 1518
        return len(frame) + 4 > limit + 4 * tagged

    @staticmethod
    def frame_kind(frame: bytes) -> int:
        """RDES3.LT."""
        kind = int.from_bytes(frame[12:14], "big")
        if kind < 0x600:
            return 0
        return {0x0806: 3, 0x8100: 4, CONTROL: 6}.get(kind, 1)

    def count_overflow(self) -> None:
        """The receive queue lost a frame."""
        if self.mtlrxqmpocr.ovfpktcnt == 0x7FF:
            self.mtlrxqmpocr.ovfcntovf = 1
        self.mtlrxqmpocr.ovfpktcnt = (self.mtlrxqmpocr.ovfpktcnt + 1) & 0x7FF
        self.mtlqicsr.value |= 1 << 16

    def received(self, frame: bytes, interrupt: bool) -> None:
        """A frame is in memory; without IOC the receive watchdog may tell (DMACRXIWTR)."""
        if not frame[0] & 1 and not self.mmc_control.cntfreez:
            self.rx_unicast_packets_good.value = (
                self.rx_unicast_packets_good.value + 1
            ) & 0xFFFFFFFF
        if interrupt:
            self.event(RI)
        elif self.dmacrxiwtr.rwt and not self._watchdog:
            delay = self.dmacrxiwtr.rwt * 256 * 10**9 // self.hclk
            self._watchdog = self.machine.schedule(self.machine.now + delay, self._waited)

    def _waited(self) -> None:
        self._watchdog = None
        self.event(RI)

    def bus_error(self, error: BusError, transmit: bool) -> None:
        """The DMA cannot reach an address: it stops (RM0433 58.11.4, FBE)."""
        self.machine.log(f"Ethernet DMA: {error}")
        if transmit:
            self.dmactxcr.st = 0
            self.dmacsr.teb = 0b011
        else:
            self.dmacrxcr.sr = 0
            self.dmacsr.reb = 0b011
        self.event(FBE)

    # interrupts

    def event(self, flags: int) -> None:
        """Set status bits; summaries follow those that are enabled."""
        sr, enabled = self.dmacsr.value | flags, self.dmacier.value
        if sr & enabled & NORMAL:
            sr |= NIS
        if sr & enabled & ABNORMAL:
            sr |= AIS
        self.dmacsr.value = sr
        self._update_irq()

    @dmacier.on_write
    def _enabled(self) -> None:
        self.event(0)

    @dmacsr.on_write
    def _update_irq(self) -> None:
        active = self.dmacsr.value & self.dmacier.value & (NIS | AIS)
        self.dmaisr.dc0is = bool(active)
        self.IRQ.set(active)

    # DMA registers

    @dmamr.on_write
    def _software_reset(self, value: int) -> None:
        """SWR resets MAC, MTL and DMA and clears itself (RM0433 58.11.1)."""
        if value & 1:
            self.reset()
            self.dmamr.swr = 1
            self.machine.schedule(self.machine.now + SWR_NS, self._reset_done)

    def _reset_done(self) -> None:
        self.dmamr.swr = 0

    @dmactxdlar.on_write
    def _tx_list(self, value: int) -> None:
        self._tx.ring.start(value & ~3)

    @dmacrxdlar.on_write
    def _rx_list(self, value: int) -> None:
        self._rx.ring.start(value & ~3)

    @dmactxrlr.on_write
    @dmacrxrlr.on_write
    @dmaccr.on_write
    def _ring_lengths(self) -> None:
        for ring, length in (
            (self._tx.ring, self.dmactxrlr.tdrl), (self._rx.ring, self.dmacrxrlr.rdrl),
        ):  # fmt: skip
            ring.count, ring.stride = length + 1, 16 + 4 * self.dmaccr.dsl

    @dmactxcr.on_write
    def _tx_control(self, old: int) -> None:
        if old & 1 and not self.dmactxcr.st:
            self.event(TPS)
        self._tx.run()

    @dmacrxcr.on_write
    def _rx_control(self, old: int) -> None:
        if old & 1 and not self.dmacrxcr.sr:
            self.event(RPS)
        if not self.dmacrxcr.sr and self.dmacrxcr.rpf:
            self._rx.flush()
        self._rx.run()

    @dmactxdtpr.on_write
    @maccr.on_write
    def _tx_poll(self) -> None:
        self._tx.run()

    @dmacrxdtpr.on_write
    def _rx_poll(self) -> None:
        self._rx.run()

    @mtltxqomr.on_write
    def _flush_tx(self) -> None:
        self.mtltxqomr.ftq = 0

    @mtlrxqmpocr.on_read
    def _overflows(self) -> int:
        """Reading clears the counter."""
        value = self.mtlrxqmpocr.value
        self.mtlrxqmpocr.value = 0
        return value

    # MAC registers

    @mmc_control.on_write
    def _counters(self) -> None:
        if self.mmc_control.cntrst:
            self.mmc_control.cntrst = 0
            self.tx_packet_count_good.value = self.rx_unicast_packets_good.value = 0

    @macahr.on_write
    def _address_enable(self, index: int) -> None:
        if index == 0:
            self.macahr[0].value = self.macahr[0].addrhi | 1 << 31  # AE of address 0 is fixed

    @macmdioar.on_write
    def _mdio(self, old: int) -> None:
        """GB starts an access; registers are fixed until it clears."""
        if old & 1:
            self.macmdioar.value = old
        elif self.macmdioar.gb:
            divider = MDC_DIVIDERS[min(self.macmdioar.cr, len(MDC_DIVIDERS) - 1)]
            duration = MDIO_BITS * divider * 10**9 // self.hclk
            self.machine.schedule(self.machine.now + duration, self._mdio_done)

    def _mdio_done(self) -> None:
        access = self.macmdioar
        phy = self.phys.get(access.pa)
        if access.goc == READ:
            self.macmdiodr.md = phy.read(access.rda) if phy else 0xFFFF
        elif access.goc == WRITE and phy:
            phy.write(access.rda, self.macmdiodr.md)
        access.gb = 0

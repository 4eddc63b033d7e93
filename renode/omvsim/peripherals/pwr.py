"""Power control (RM0433 section 6). Regulators settle at once; there are no low-power modes."""

from __future__ import annotations

from omvsim.peripherals.base import Peripheral, Reg, bit, bits


class Pwr(Peripheral):
    cr1 = Reg(
        0x00, reset=0xF000C000, lpds=bit(0), pvde=bit(4), pls=bits(5, 3), dbp=bit(8), flps=bit(9),
        svos=bits(14, 2), avden=bit(16), als=bits(17, 2),
    )  # fmt: skip
    csr1 = Reg(
        0x04, reset=0x00006000, access="r", pvdo=bit(4), actvosrdy=bit(13), actvos=bits(14, 2),
        avdo=bit(16),
    )  # fmt: skip
    cr2 = Reg(
        0x08, bren=bit(0), monen=bit(4), brrdy=bit(16, "r"), vbatl=bit(20, "r"), vbath=bit(21, "r"),
        templ=bit(22, "r"), temph=bit(23, "r"),
    )  # fmt: skip
    cr3 = Reg(
        0x0C, reset=0x00000006, bypass=bit(0), ldoen=bit(1), scuen=bit(2), vbe=bit(8), vbrs=bit(9),
        usb33den=bit(24), usbregen=bit(25), usb33rdy=bit(26, "r"),
    )  # fmt: skip
    cpucr = Reg(
        0x10, pdds_d1=bit(0), pdds_d2=bit(1), pdds_d3=bit(2), stopf=bit(5, "r"), sbf=bit(6, "r"),
        sbf_d1=bit(7, "r"), sbf_d2=bit(8, "r"), cssf=bit(9, "w"), run_d3=bit(11),
    )  # fmt: skip
    d3cr = Reg(0x18, reset=0x00006000, vosrdy=bit(13, "r"), vos=bits(14, 2))
    wkupcr = Reg(0x20, access="w")
    wkupfr = Reg(0x24, access="r", wkupf=bits(0, 6))
    wkupepr = Reg(0x28, wkupen=bits(0, 6), wkupp=bits(8, 6), wkuppupd=bits(16, 12))

    @d3cr.on_write
    def _scale(self) -> None:
        """The voltage is what was asked for; VOSRDY and ACTVOSRDY stay set."""
        self.csr1.actvos = self.d3cr.vos

    @cr2.on_write
    def _backup_regulator(self) -> None:
        self.cr2.brrdy = self.cr2.bren

    @cr3.on_write
    def _usb_supply(self) -> None:
        """VDD33USB is there as soon as its detector or the regulator is on."""
        self.cr3.usb33rdy = self.cr3.usb33den or self.cr3.usbregen

    @wkupcr.on_write
    def _clear_wakeup(self, value: int) -> None:
        self.wkupfr.wkupf &= ~value

    def reset(self) -> None:
        """CR3 and WKUPEPR keep their values through a system reset (RM0433 6.8.4)."""
        kept = self.cr3.value, self.wkupepr.value
        super().reset()
        self.cr3.value, self.wkupepr.value = kept

"""Power control (RM0433 section 6): voltages, which settle at once, and Stop and Standby modes.

What ends Stop mode are configurable lines of the EXTI, and Standby the RTC's alarms and wake-up
timer; timers and the window watchdog stand still meanwhile. Not modelled: DStop and DStandby of
single domains, and wake-up pins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from omvsim.peripherals.base import Component, Line, Machine, Peripheral, Reg, bit, bits
from omvsim.peripherals.exti import Exti
from omvsim.peripherals.rcc import Rcc
from omvsim.peripherals.rtc import Rtc
from omvsim.peripherals.tim import Tim
from omvsim.peripherals.wwdg import Wwdg

FLAGS = 0b1111 << 5  # STOPF, SBF, SBF_D1, SBF_D2


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

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._pending = Line()
        self._stopped: Callable[[], object] = lambda: None
        self._hold: Callable[[bool], object] = lambda still: None
        self._standby = False

    def connect(self, blocks: Iterable[Component]) -> None:
        """What wakes the core, whose clocks it wakes with, and what stands still before."""
        standing = []
        for block in blocks:
            match block:
                case Tim() | Wwdg():
                    standing.append(block.hold)
                case Exti():
                    self._pending = block.wakeup
                    block.wakeup.connect(partial(self._wake, standby=False))
                case Rtc():
                    for line in (block.AlarmIRQ, block.WakeupIRQ):
                        line.connect(partial(self._wake, standby=True))
                case Rcc():
                    self._stopped = block.stopped
        self._hold = lambda still: [hold(still) for hold in standing]

    def sleep_deep(self) -> None:
        """The core waits with SLEEPDEEP set: Standby where all domains may, else Stop (6.7.7)."""
        cpucr = self.cpucr
        self._standby = bool(cpucr.pdds_d1 and cpucr.pdds_d2 and cpucr.pdds_d3)
        self.machine.deep = self._standby or not self._pending.level
        self._hold(self.machine.deep)

    def _wake(self, level: bool, standby: bool) -> None:
        if not (level and self.machine.deep) or standby is not self._standby:
            return
        if standby:
            self.cpucr.sbf = self.cpucr.sbf_d1 = self.cpucr.sbf_d2 = 1
            self.machine.reset("STANDBY")
            return
        self.cpucr.stopf = 1
        self.machine.deep = False
        self._hold(False)
        self._stopped()

    @cpucr.on_write
    def _clear_flags(self, value: int) -> None:
        if value >> 9 & 1:
            self.cpucr.value &= ~FLAGS

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
        """CR3, WKUPEPR and flags of CPUCR outlive a system reset (RM0433 6.8.4 to 6.8.8)."""
        kept = self.cr3.value, self.wkupepr.value, self.cpucr.value & FLAGS
        super().reset()
        self.cr3.value, self.wkupepr.value, self.cpucr.value = kept

"""Secure digital and MultiMediaCard interface (RM0433 section 55) without a card: a command that
waits for a response times out.

Not modelled: cards, data, DMA.
"""

from __future__ import annotations

from omvsim.peripherals.base import Handle, Line, Machine, Peripheral, Reg, RegArray, bit, bits

CTIMEOUT, CMDSENT, CPSMACT = 1 << 2, 1 << 7, 1 << 13
CLEARABLE = 0x1FE00FFF
COMMAND_BITS, TIMEOUT = 48, 64  # periods of SDMMC_CK (55.5.4)


class Sdmmc(Peripheral):
    power = Reg(0x00, pwrctrl=bits(0, 2), vswitch=bits(2, 2), dirpol=bit(4))
    clkcr = Reg(0x04, clkdiv=bits(0, 10), pwrsav=bit(12), modes=bits(14, 8))
    argr = Reg(0x08)
    cmdr = Reg(
        0x0C, cmdindex=bits(0, 6), cmdtrans=bit(6), cmdstop=bit(7), waitresp=bits(8, 2),
        waiting=bits(10, 2), cpsmen=bit(12), more=bits(13, 4),
    )  # fmt: skip
    respcmdr = Reg(0x10, access="r")
    respr = RegArray(0x14, 4, access="r")
    dtimer = Reg(0x24)
    dlenr = Reg(0x28, datalength=bits(0, 25))
    dctrl = Reg(0x2C, control=bits(0, 14))
    dcntr = Reg(0x30, access="r")
    star = Reg(0x34, access="r")
    icr = Reg(0x38, access="w")
    maskr = Reg(0x3C, enables=bits(0, 29))
    acktimer = Reg(0x40, acktime=bits(0, 25))
    idmactrlr = Reg(0x50, idma=bits(0, 3))
    idmabsizer = Reg(0x54, idmabndt=bits(5, 8))
    idmabase = RegArray(0x58, 2)
    fifor = RegArray(0x80, 16)

    def __init__(self, machine: Machine, *, frequency: int) -> None:
        """`frequency` is sdmmc_ker_ck in Hz."""
        super().__init__(machine)
        self.IRQ = Line()
        self.frequency = frequency
        self._due: Handle | None = None

    def reset(self) -> None:
        super().reset()
        if self._due:
            self._due.cancel()
        self._due = None
        self._update()

    @cmdr.on_write
    def _command(self) -> None:
        if not self.cmdr.cpsmen or self._due:
            return
        waits = self.cmdr.waitresp != 0
        periods = COMMAND_BITS + (TIMEOUT if waits else 0)
        period_ns = max(1, 2 * self.clkcr.clkdiv) * 10**9 / self.frequency
        self.star.value |= CPSMACT
        self._due = self.machine.schedule(
            self.machine.now + round(periods * period_ns), self._timeout if waits else self._sent
        )

    def _timeout(self) -> None:
        self._end(CTIMEOUT)

    def _sent(self) -> None:
        self._end(CMDSENT)

    def _end(self, flag: int) -> None:
        self._due = None
        self.cmdr.cpsmen = 0  # hardware clears it when the state machine is idle again
        self.star.value = self.star.value & ~CPSMACT | flag
        self._update()

    @icr.on_write
    def _clear(self, value: int) -> None:
        self.star.value &= ~(value & CLEARABLE)
        self._update()

    @maskr.on_write
    def _update(self) -> None:
        self.IRQ.set(self.star.value & self.maskr.value)

"""Random number generator (RM0433 section 34). Its numbers come from the scenario's seed."""

from __future__ import annotations

from omvsim.peripherals.base import Handle, Line, Machine, Peripheral, Reg, bit

#: a new word needs about 40 periods of the 48 MHz rng_clk
WORD_NS = 833


class Rng(Peripheral):
    cr = Reg(0x00, rngen=bit(2), ie=bit(3), ced=bit(5))
    sr = Reg(
        0x04, drdy=bit(0, "r"), cecs=bit(1, "r"), secs=bit(2, "r"), ceis=bit(5, "rc_w0"),
        seis=bit(6, "rc_w0"),
    )  # fmt: skip
    dr = Reg(0x08, access="r")

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.IRQ = Line()
        self._due: Handle | None = None

    def reset(self) -> None:
        super().reset()
        self._enable()

    @cr.on_write
    def _enable(self) -> None:
        if not self.cr.rngen:
            if self._due:
                self._due.cancel()
                self._due = None
            self.sr.drdy = 0
        elif not self.sr.drdy and not self._due:
            self._next()
        self.update_irq()

    def _next(self) -> None:
        self._due = self.machine.schedule(self.machine.now + WORD_NS, self._ready)

    def _ready(self) -> None:
        self._due = None
        self.dr.value = self.machine.random.getrandbits(32)
        self.sr.drdy = 1
        self.update_irq()

    @dr.on_read
    def _take(self) -> int:
        """A word is given once; without DRDY the register reads 0."""
        if not self.sr.drdy:
            return 0
        self.sr.drdy = 0
        self._next()
        self.update_irq()
        return self.dr.value

    @sr.on_write
    def update_irq(self) -> None:
        self.IRQ.set(self.cr.ie and (self.sr.drdy or self.sr.ceis or self.sr.seis))

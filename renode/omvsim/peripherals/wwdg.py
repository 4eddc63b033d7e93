"""System window watchdog (RM0433 section 45). It resets the system, whatever WW1RSC says."""

from __future__ import annotations

from omvsim.peripherals.base import Handle, Line, Machine, Peripheral, Reg, bit, bits, ns_of, ticks

EARLY, LAST = 0x40, 0x3F  # the counter at the early wake-up, and at the reset
CYCLES = 4096  # of PCLK, that a tick takes at least


class Wwdg(Peripheral):
    size = 0x1000
    cr = Reg(0x00, reset=0x7F, t=bits(0, 7), wdga=bit(7))
    cfr = Reg(0x04, reset=0x7F, w=bits(0, 7), ewi=bit(9), wdgtb=bits(11, 3))
    sr = Reg(0x08, ewif=bit(0, "rc_w0"))

    def __init__(self, machine: Machine, *, apbFrequency: int) -> None:
        """`apbFrequency` is PCLK3's in Hz."""
        super().__init__(machine)
        self.IRQ = Line()
        self.frequency = apbFrequency
        self._due: Handle | None = None
        self._started = 0  # when CR.T was as it is kept, in ns
        self._still = False  # its clock is

    def reset(self) -> None:
        super().reset()
        self._still = False
        self._load()
        self._update()

    @property
    def _division(self) -> int:
        return CYCLES << self.cfr.wdgtb

    @property
    def _count(self) -> int:
        """The counter runs on also while the watchdog is off (45.3.2)."""
        passed = 0 if self._still else self.machine.now - self._started
        return (self.cr.t - ticks(passed, self.frequency, self._division)) & 0x7F

    @cr.on_read
    def _control(self) -> int:
        return self.cr.wdga << 7 | self._count

    @cr.on_write
    def _reload(self, value: int, old: int) -> None:
        """Only a reset clears WDGA; a value without T6, or one written too early, resets."""
        active = old >> 7
        self.cr.value = old
        early = active and self._count > self.cfr.w
        self.cr.value = value & 0xFF | active << 7
        self._load()
        if self.cr.wdga and (early or not value & EARLY):
            self._bite()

    def _load(self, first: int = EARLY) -> None:
        if self._due:
            self._due.cancel()
            self._due = None
        self._started = self.machine.now
        if self.cr.wdga and not self._still:
            self._await(first)

    def hold(self, still: bool) -> None:
        """In Stop mode its clock stands still."""
        self.cr.t = self._count
        self._still = still
        self._load(EARLY if self.cr.t > EARLY else LAST)  # which has been told

    def _await(self, count: int) -> None:
        wait = ns_of((self.cr.t - count) & 0x7F, self.frequency, self._division)
        call = self._wake if count == EARLY else self._bite
        self._due = self.machine.schedule(self._started + wait, call)

    def _wake(self) -> None:
        self.sr.ewif = 1
        self._update()
        self._await(LAST)

    def _bite(self) -> None:
        self._due = None
        self.machine.reset("WWDG1RSTF")

    @cfr.on_write
    def _configure(self, old: int) -> None:
        """A new prescaler counts on from here; EWI cannot be cleared by software."""
        new = self.cfr.value
        self.cfr.value = old
        count = self._count
        self.cfr.value = new | old & 1 << 9
        self.cr.t = count
        self._load()
        self._update()

    @sr.on_write
    def _update(self) -> None:
        self.IRQ.set(self.sr.ewif and self.cfr.ewi)

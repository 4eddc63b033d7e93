"""Timer (RM0433 sections 38 to 42): counter up, prescaler, update events, compare matches.

A channel takes part once it has a value to compare with or an enable bit. Not modelled: down and
centre-aligned counting, slave modes, capture, output pins, break, preloaded compare values; their
registers keep what is written.
"""

from __future__ import annotations

from functools import partial

from omvsim.peripherals.base import Handle, Line, Machine, Peripheral, Reg, RegArray, bit, bits

CC_FLAGS = 0b11110  # CC1IF to CC4IF, and their bits in DIER and EGR


class Tim(Peripheral):
    cr1 = Reg(0x00, cen=bit(0), udis=bit(1), urs=bit(2), opm=bit(3), dir=bit(4), cms=bits(5, 2),
              arpe=bit(7), ckd=bits(8, 2), uifremap=bit(11))  # fmt: skip
    cr2 = Reg(0x04)
    smcr = Reg(0x08)
    dier = Reg(0x0C, uie=bit(0), ccie=bits(1, 4), others=bits(5, 10))
    sr = Reg(0x10, uif=bit(0, "rc_w0"), others=bits(1, 23, "rc_w0"))
    egr = Reg(0x14, access="w")
    ccmr = RegArray(0x18, 2)
    ccer = Reg(0x20)
    cnt = Reg(0x24)
    psc = Reg(0x28, psc=bits(0, 16))
    arr = Reg(0x2C)
    rcr = Reg(0x30, rep=bits(0, 16))
    ccr = RegArray(0x34, 4)
    bdtr = Reg(0x44)
    dcr = Reg(0x48)
    ccmr3 = Reg(0x54)
    ccr56 = RegArray(0x58, 2)
    af1 = Reg(0x60)
    tisel = Reg(0x68)

    def __init__(self, machine: Machine, *, frequency: int, initialLimit: int = 0xFFFF) -> None:
        """`frequency` is the timer clock in Hz; `initialLimit` the widest ARR and its reset."""
        super().__init__(machine)
        self.IRQ = Line()  # of timers that have one for all
        self.UpdateInterrupt, self.CaptureCompareInterrupt = Line(), Line()
        # kept so that boards can wire them; nothing here raises them
        self.BreakInterrupt, self.TriggerInterrupt = Line(), Line()
        self.CommutationInterrupt = Line()
        self.frequency, self.limit = frequency, initialLimit
        self._due: Handle | None = None
        self._match: Handle | None = None
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.arr.value = self.limit
        self._prescaler, self._reload = 1, self.limit  # what the counter works with now
        self._base_ns = self._base = 0
        self._running = False
        self._schedule()
        self._update_irq()

    @property
    def _tick_ns(self) -> float:
        return self._prescaler * 1e9 / self.frequency

    @cnt.on_read
    def _count(self) -> int:
        if not self._running:
            return self._base
        ticks = int((self.machine.now - self._base_ns) / self._tick_ns)
        return (self._base + ticks) % (self._reload + 1)

    @cnt.on_write
    def _set_count(self, value: int) -> None:
        self._rebase(value & self.limit)

    def _rebase(self, count: int) -> None:
        self._base, self._base_ns = count, self.machine.now
        self._schedule()

    @cr1.on_write
    def _control(self) -> None:
        count = self._count()
        self._running = bool(self.cr1.cen)
        self._rebase(count)

    @arr.on_write
    def _auto_reload(self, value: int) -> None:
        """Without ARPE the new period counts at once."""
        self.arr.value = value & self.limit
        if not self.cr1.arpe:
            count = self._count()
            self._reload = self.arr.value
            self._rebase(count)
        self._schedule()

    @egr.on_write
    def _generate(self, value: int) -> None:
        if value & 1 and not self.cr1.udis:
            self._load()
            self._rebase(0)
            if not self.cr1.urs:
                self.sr.uif = 1
        self.sr.value |= value & CC_FLAGS  # CCxG
        self._schedule_match()
        self._update_irq()

    def _load(self) -> None:
        """An update event: preloaded registers take effect."""
        self._prescaler, self._reload = self.psc.psc + 1, self.arr.value

    def _schedule(self) -> None:
        """The next overflow is an event only if it changes anything but the counter."""
        if self._due:
            self._due.cancel()
            self._due = None
        preloaded = (self._prescaler, self._reload) != (self.psc.psc + 1, self.arr.value)
        matters = not self.cr1.udis and (not self.sr.uif or self.cr1.opm or preloaded)
        if self._running and self._reload and matters:
            elapsed = int((self.machine.now - self._base_ns) / self._tick_ns) + self._base
            left = (elapsed // (self._reload + 1) + 1) * (self._reload + 1) - self._base
            at = self._base_ns + round(left * self._tick_ns)
            self._due = self.machine.schedule(max(at, self.machine.now + 1), self._overflow)
        self._schedule_match()

    @property
    def _compared(self) -> dict[int, int]:
        """Value by flag, of channels that compare and have not told yet."""
        enables, modes = self.ccer.value, self.ccmr[0].value | self.ccmr[1].value << 16
        found = {}
        for n, ccr in enumerate(self.ccr):
            flag, output = 2 << n, modes >> 8 * n & 3 == 0
            used = ccr.value or enables >> 4 * n & 1 or self.dier.value & flag
            if used and output and not self.sr.value & flag and ccr.value <= self._reload:
                found[flag] = ccr.value
        return found

    def _schedule_match(self) -> None:
        if self._match:
            self._match.cancel()
            self._match = None
        if not self._running or not (compared := self._compared):
            return
        ticks, period = int((self.machine.now - self._base_ns) / self._tick_ns), self._reload + 1
        count = (self._base + ticks) % period
        left = {flag: (value - count - 1) % period + 1 for flag, value in compared.items()}
        soon = min(left.values())
        at = self._base_ns + round((ticks + soon) * self._tick_ns)
        flags = sum(flag for flag, ticks in left.items() if ticks == soon)
        self._match = self.machine.schedule(at, partial(self._matched, flags))

    def _matched(self, flags: int) -> None:
        self._match = None
        self.sr.value |= flags
        self._schedule_match()
        self._update_irq()

    def _overflow(self) -> None:
        self._due = None
        self._load()
        self.sr.uif = 1
        if self.cr1.opm:
            self.cr1.cen = 0
            self._running = False
        self._rebase(0)
        self._update_irq()

    @psc.on_write
    @sr.on_write
    @ccmr.on_write
    @ccer.on_write
    @ccr.on_write
    def _flags(self) -> None:
        self._schedule()
        self._update_irq()

    @dier.on_write
    def _enable(self) -> None:
        self._schedule_match()
        self._update_irq()

    def _update_irq(self) -> None:
        active = self.sr.value & self.dier.value
        self.UpdateInterrupt.set(active & 1)
        self.CaptureCompareInterrupt.set(active & CC_FLAGS)
        self.IRQ.set(active & (1 | CC_FLAGS))

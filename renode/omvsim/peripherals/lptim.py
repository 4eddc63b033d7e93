"""Low-power timer (RM0433 section 43), which counts its kernel clock.

Not modelled: external clock and triggers, the encoder, output pins, preloaded registers; a timer
that waits for a trigger, or counts edges of its input, stands still.
"""

from __future__ import annotations

from functools import partial

from omvsim.peripherals.base import Handle, Line, Machine, Peripheral, Reg, bit, bits, ns_of, ticks

CMPM, ARRM, CMPOK, ARROK = 1 << 0, 1 << 1, 1 << 3, 1 << 4
SNGSTRT, CNTSTRT, COUNTRST = 1 << 1, 1 << 2, 1 << 3


class Lptim(Peripheral):
    isr = Reg(0x00, access="r")
    icr = Reg(0x04, access="w", flags=bits(0, 7, "w"))
    ier = Reg(0x08, enables=bits(0, 7))
    cfgr = Reg(
        0x0C, cksel=bit(0), ckpol=bits(1, 2), ckflt=bits(3, 2), trgflt=bits(6, 2), presc=bits(9, 3),
        trigsel=bits(13, 3), trigen=bits(17, 2), timout=bit(19), wave=bit(20), wavpol=bit(21),
        preload=bit(22), countmode=bit(23), enc=bit(24),
    )  # fmt: skip
    cr = Reg(0x10, enable=bit(0), start=bits(1, 3, "w"), rstare=bit(4))
    cmp = Reg(0x14, cmp=bits(0, 16))
    arr = Reg(0x18, reset=1, arr=bits(0, 16))
    cnt = Reg(0x1C, access="r", cnt=bits(0, 16))
    cfgr2 = Reg(0x24, in1sel=bits(0, 2), in2sel=bits(4, 2))

    def __init__(self, machine: Machine, *, frequency: int) -> None:
        """`frequency` is the kernel clock's in Hz."""
        super().__init__(machine)
        self.IRQ = Line()
        self.frequency = frequency
        self._due: Handle | None = None
        self._due_ticks = 0
        self._stop()

    def reset(self) -> None:
        super().reset()
        self._stop()
        self._update()

    def _stop(self) -> None:
        self._running = self._once = False
        self._base = self._since = 0  # the count, and when it was that, in ns
        self._plan()

    @property
    def _ticks(self) -> int:
        passed = self.machine.now - self._since
        return ticks(passed, self.frequency, 1 << self.cfgr.presc) if self._running else 0

    @cnt.on_read
    def _count(self) -> int:
        return (self._base + self._ticks) % (self.arr.arr + 1)

    def _plan(self) -> None:
        """The next match is an event only if its flag is not set yet, or ends the counting. What
        is due since the block of code that runs began has not come yet."""
        passed = self._ticks
        if self._due:
            passed = min(passed, self._due_ticks - 1)
            self._due.cancel()
            self._due = None
        if not self._running:
            return
        period = self.arr.arr + 1
        count = (self._base + passed) % period
        wanted = {ARRM: self.arr.arr, CMPM: self.cmp.cmp}
        left = {
            flag: (value - count - 1) % period + 1
            for flag, value in wanted.items()
            if value < period and (not self.isr.value & flag or (self._once and flag == ARRM))
        }
        if left:
            soon = min(left.values())
            self._due_ticks = passed + soon
            at = self._since + ns_of(self._due_ticks, self.frequency, 1 << self.cfgr.presc)
            flags = sum(flag for flag, wait in left.items() if wait == soon)
            call = partial(self._match, flags)
            self._due = self.machine.schedule(max(at, self.machine.now + 1), call)

    def _match(self, flags: int) -> None:
        self._due = None
        if flags & ARRM and self._once:
            self._stop()
        self._raise(flags)

    def _raise(self, flags: int) -> None:
        self.isr.value |= flags
        self._plan()
        self._update()

    @cr.on_write
    def _control(self, value: int, old: int) -> None:
        if not value & 1 or not old & 1:
            self._stop()  # which also enabling does
        if not value & 1:
            return
        if value & COUNTRST:
            self._base, self._since = 0, self.machine.now
        standing = self.cfgr.trigen or self.cfgr.countmode or self.cfgr.cksel
        if value & (SNGSTRT | CNTSTRT) and not standing:
            if not self._running:
                self._since = self.machine.now
            self._running, self._once = True, not value & CNTSTRT
        self._plan()

    @cmp.on_write
    def _compare(self) -> None:
        self._raise(CMPOK if self.cr.enable else 0)

    @arr.on_write
    def _auto_reload(self, value: int, old: int) -> None:
        self.arr.value = old
        self._base, self._since = self._count(), self.machine.now
        self.arr.value = value & 0xFFFF
        self._raise(ARROK if self.cr.enable else 0)

    @icr.on_write
    def _clear(self, value: int) -> None:
        self.isr.value &= ~value
        self._plan()
        self._update()

    @ier.on_write
    def _update(self) -> None:
        self.IRQ.set(self.isr.value & self.ier.value)

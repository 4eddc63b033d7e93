"""The time-base unit of a timer (RM0433 sections 38.3.1, 39.3.1): counter in all its directions,
prescaler, repetition, update events; clocked by time, or from outside."""

from __future__ import annotations

from abc import abstractmethod

from omvsim.peripherals.base import Machine, Peripheral, Reg, bit, bits, ns_of, ticks


class TimeBase(Peripheral):
    cr1 = Reg(0x00, cen=bit(0), udis=bit(1), urs=bit(2), opm=bit(3), dir=bit(4), cms=bits(5, 2),
              arpe=bit(7), ckd=bits(8, 2), uifremap=bit(11))  # fmt: skip
    sr = Reg(0x10, uif=bit(0, "rc_w0"), others=bits(1, 23, "rc_w0"))
    cnt = Reg(0x24)
    psc = Reg(0x28, psc=bits(0, 16))
    arr = Reg(0x2C)
    rcr = Reg(0x30, rep=bits(0, 16))

    def __init__(self, machine: Machine, frequency: int, limit: int) -> None:
        super().__init__(machine)
        self.frequency, self.limit = frequency, limit

    def reset(self) -> None:
        super().reset()
        self.arr.value = self.limit
        self._centred = self._down = self._running = False  # CMS, DIR, CEN at work
        self._still = self._gated = False  # in Stop mode; by the slave controller
        self._outside = False  # clocked by `_clock_in`
        self._since = self._outer = 0  # such clocks since `_base`
        self._held = 0, False  # the counter while it stands, and does it count down?
        self._load()
        self._place(0)

    @psc.on_write
    @sr.on_write
    @rcr.on_write
    @abstractmethod
    def _changed(self) -> None:
        """Registers are not what they were."""

    @abstractmethod
    def _pass(self, place: int) -> None:
        """What happens at a place."""

    # Its place is in ticks since it was 0, or ARR where it counts down, and goes on
    # behind the period's end; each `_span` ticks there is an overflow or underflow.

    @property
    def _span(self) -> int:
        return self._reload if self._centred else self._reload + 1

    @property
    def _period(self) -> int:
        return self._span * 2 if self._centred else self._span

    @property
    def _moves(self) -> bool:
        return self._running and self._reload > 0 and not (self._still or self._gated)

    def _now(self) -> int:
        """The place now."""
        if self._outside:
            return self._base + self._outer // self._prescaler
        ns = self.machine.now - self._base_ns
        return self._base + ticks(ns, self.frequency, self._prescaler)

    def _ns_of(self, place: int) -> int:
        """When it is there, at the earliest."""
        return self._base_ns + ns_of(place - self._base, self.frequency, self._prescaler)

    def _count_at(self, place: int) -> tuple[int, bool]:
        """The counter at a place, and does it count down there?"""
        place %= self._period
        if self._centred and place < self._reload:
            return place, False
        if self._centred:
            return 2 * self._reload - place, True
        return (self._reload - place, True) if self._down else (place, False)

    def _places_of(self, count: int) -> dict[bool, int]:
        """Where in a period the counter has this value: counting up, counting down."""
        if count > self._reload or not self._reload:
            return {}
        if self._centred:
            return {False: count, True: -count % self._period}
        return {True: self._reload - count} if self._down else {False: count}

    def _counter(self) -> tuple[int, bool]:
        return self._count_at(self._now()) if self._moves else self._held

    def _place(self, place: int) -> None:
        """Go on from there; the next update event is as many overflows away as REP says."""
        self._base, self._base_ns, self._outer = place, self.machine.now, 0
        self._repeats = self._repetition + 1

    def _stand(self) -> tuple[int, bool]:
        """The counter; with it the repetition counter and the prescaler's are kept, so that what
        they are kept by may change."""
        counter, self._since = self._counter(), self.machine.now
        if self._moves:
            now = self._now()
            self._repeats = self._next_update(now) // self._span - now // self._span
            if not self._outside:
                self._since = self._ns_of(now)
        return counter

    def _go_on(self, count: int, down: bool) -> None:
        """After `_stand`."""
        places, repeats, outer = self._places_of(count), self._repeats, self._outer
        self._held = count, down
        self._place(places.get(down, next(iter(places.values()), count)))
        self._base_ns, self._repeats = self._since, repeats
        self._outer = outer % self._prescaler
        self._changed()

    @cnt.on_read
    def _count(self) -> int:
        """With UIFREMAP its last bit is UIF (38.4.9)."""
        count = self._counter()[0]
        return count & 0x7FFFFFFF | self.sr.uif << 31 if self.cr1.uifremap else count

    @cnt.on_write
    def _set_count(self, value: int) -> None:
        self._go_on(value & self.limit, self._stand()[1])

    @cr1.on_read
    def _control_now(self) -> int:
        """DIR tells where a centre-aligned counter is going."""
        value = self.cr1.value
        return value & ~(1 << 4) | self._counter()[1] << 4 if self._centred else value

    @cr1.on_write
    def _control(self) -> None:
        count, down = self._stand()
        self._centred, self._down = self.cr1.cms > 0, self.cr1.dir > 0
        self._running = self.cr1.cen > 0
        self._go_on(count, down if self._centred else self._down)

    @arr.on_write
    def _auto_reload(self, value: int) -> None:
        """Without ARPE the new period counts at once."""
        self.arr.value = value & self.limit
        if self.cr1.arpe:
            self._changed()
            return
        counter = self._stand()
        self._reload = self.arr.value
        self._go_on(*counter)

    def hold(self, still: bool) -> None:
        """In Stop mode its clock stands still."""
        counter = self._stand()
        self._still, self._since = still, self.machine.now
        self._go_on(*counter)

    def _clock_in(self) -> None:
        """A clock from outside, which the prescaler divides."""
        if not self._moves:
            return
        before = self._now()
        self._outer += 1
        if (now := self._now()) != before:
            self._pass(now)

    def _turn(self, down: bool) -> None:
        """Count the other way (DIR)."""
        count, _ = self._stand()
        self.cr1.dir = self._down = down
        self._go_on(count, down)

    # Update events

    def _load(self) -> None:
        """An update event: preloaded registers take effect."""
        self._prescaler, self._reload = self.psc.psc + 1, self.arr.value
        self._repetition = self.rcr.rep

    @property
    def _preloaded(self) -> bool:
        """Does anything wait for the next update event?"""
        active = self._prescaler - 1, self._reload, self._repetition
        return active != (self.psc.psc, self.arr.value, self.rcr.rep)

    def _next_update(self, place: int) -> int:
        """The first place of an update event behind a place."""
        first = (self._base // self._span + self._repeats) * self._span
        step = (self._repetition + 1) * self._span
        return max(first, first + ((place - first) // step + 1) * step)

    def _update(self, place: int) -> int:
        """An update event at a place; the same place as it is called since."""
        before = self._prescaler, self._reload, self._repetition
        turned, ns = place // self._span % 2 > 0, self._ns_of(place)
        self._load()
        self.sr.uif = 1
        if self.cr1.opm:
            self.cr1.cen = 0
            self._running = False
            self._held = (self._reload if self._down else 0), self._down
        if before == (self._prescaler, self._reload, self._repetition):
            return place
        self._place(self._reload if self._centred and turned else 0)
        self._base_ns = ns
        return self._base

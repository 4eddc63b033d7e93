"""Timer (RM0433 sections 38 to 42): counter in all its directions, prescaler, repetition, update
events, compare, PWM and capture.

A channel takes part in compare once it has a value to compare with or an enable bit, and drives a
pin where the board wires one. Not modelled: slave modes and triggers, complementary outputs, main
output enable, break, filters, channels 5 and 6, combined and asymmetric PWM; their registers keep
what is written.
"""

from __future__ import annotations

from collections.abc import Iterator

from omvsim.peripherals.base import (
    Handle,
    Line,
    Machine,
    Peripheral,
    Reg,
    RegArray,
    bit,
    bits,
    ns_of,
    ticks,
)

CHANNELS = 4
CC_FLAGS = 0b11110  # CC1IF to CC4IF, and their bits in DIER and EGR
OVERCAPTURE = 9  # CC1OF
ACTIVE, INACTIVE, TOGGLE, FORCE_INACTIVE, FORCE_ACTIVE, PWM_1, PWM_2 = range(1, 8)  # OCxM


class Tim(Peripheral):
    """Output N is OC(N+1), input N is TI(N+1)."""

    cr1 = Reg(0x00, cen=bit(0), udis=bit(1), urs=bit(2), opm=bit(3), dir=bit(4), cms=bits(5, 2),
              arpe=bit(7), ckd=bits(8, 2), uifremap=bit(11))  # fmt: skip
    cr2 = Reg(0x04, others=bits(0, 7), ti1s=bit(7), more=bits(8, 24))
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
    ccr = RegArray(0x34, CHANNELS)
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
        self.outputs = [Line() for _ in range(CHANNELS)]
        self.frequency, self.limit = frequency, initialLimit
        self._due: Handle | None = None
        self._due_place = self._since = 0
        self._inputs = [False] * CHANNELS
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.arr.value = self.limit
        self._centred = self._down = self._running = False  # CMS, DIR, CEN at work
        self._still = False  # its clock is
        self._held = 0, False  # the counter while it stands, and does it count down?
        self._edges = [0] * CHANNELS  # since the last capture
        self._reference = [False] * CHANNELS  # OCxREF
        self._load()
        self._place(0)
        self._changed()

    # The counter. Its place is in ticks since it was 0, or ARR where it counts down, and goes on
    # behind the period's end; each `_span` ticks there is an overflow or underflow.

    @property
    def _span(self) -> int:
        return self._reload if self._centred else self._reload + 1

    @property
    def _period(self) -> int:
        return self._span * 2 if self._centred else self._span

    @property
    def _moves(self) -> bool:
        return self._running and self._reload > 0 and not self._still

    def _now(self) -> int:
        """The place now."""
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
        self._base, self._base_ns = place, self.machine.now
        self._repeats = self._repetition + 1

    def _stand(self) -> tuple[int, bool]:
        """The counter; with it the repetition counter and the prescaler's are kept, so that what
        they are kept by may change."""
        counter, self._since = self._counter(), self.machine.now
        if self._moves:
            now = self._now()
            self._repeats = self._next_update(now) // self._span - now // self._span
            self._since = self._ns_of(now)
        return counter

    def _go_on(self, count: int, down: bool) -> None:
        """After `_stand`."""
        places, repeats = self._places_of(count), self._repeats
        self._held = count, down
        self._place(places.get(down, next(iter(places.values()), count)))
        self._base_ns, self._repeats = self._since, repeats
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

    @egr.on_write
    def _generate(self, value: int) -> None:
        if value & 1 and not self.cr1.udis:
            self._load()
            self._held = (self._reload if self._down else 0), self._down
            self._place(0)
            if not self.cr1.urs:
                self.sr.uif = 1
        self.sr.value |= value & CC_FLAGS  # CCxG
        self._changed()

    def hold(self, still: bool) -> None:
        """In Stop mode its clock stands still."""
        counter = self._stand()
        self._still, self._since = still, self.machine.now
        self._go_on(*counter)

    # Update events

    def _load(self) -> None:
        """An update event: preloaded registers take effect."""
        self._prescaler, self._reload = self.psc.psc + 1, self.arr.value
        self._repetition = self.rcr.rep
        self._compare = [ccr.value for ccr in self.ccr]

    @property
    def _preloaded(self) -> bool:
        """Does anything wait for the next update event?"""
        active = (self._prescaler - 1, self._reload, self._repetition, self._compare)
        return active != (self.psc.psc, self.arr.value, self.rcr.rep, [c.value for c in self.ccr])

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

    # Compare and capture

    def _mode(self, channel: int) -> int:
        """CCxS, and from bit 2 on what an output or a capture has there."""
        return self._modes >> 8 * channel & 0xFF

    def _enabled(self, channel: int) -> bool:
        return self.ccer.value >> 4 * channel & 1 > 0

    def _told(self, channel: int) -> Iterator[int]:
        """Where a compare flag is set (CMS: by which way in centre-aligned modes)."""
        ways = {1: (True,), 2: (False,)}.get(self.cr1.cms, (False, True))
        places = self._places_of(self._compare[channel])
        return (place for down, place in places.items() if down in ways)

    def _compares(self, channel: int) -> bool:
        used = self.ccr[channel].value or self._enabled(channel)
        return not self._mode(channel) & 3 and bool(used or self.dier.value & 2 << channel)

    def _drives(self, channel: int) -> bool:
        """Is there a pin for its output?"""
        return bool(self.outputs[channel].sinks) and not self._mode(channel) & 3

    def _events(self, after: int) -> Iterator[int]:
        """Places of what has to happen next; what changes nothing but the counter has none."""
        period = self._period

        def ahead(place: int) -> int:
            return after + (place - after - 1) % period + 1

        if not self.cr1.udis and (not self.sr.uif or self.cr1.opm or self._preloaded):
            yield self._next_update(after)
        for channel in range(CHANNELS):
            if self._compares(channel) and not self.sr.value & 2 << channel:
                yield from map(ahead, self._told(channel))
            if self._drives(channel) and self._enabled(channel):
                yield from map(ahead, (0, *self._places_of(self._compare[channel]).values()))

    @psc.on_write
    @sr.on_write
    @dier.on_write
    @ccmr.on_write
    @ccer.on_write
    @rcr.on_write
    def _changed(self) -> None:
        """Registers are not what they were. What is due since the block of code that runs began
        has not come yet."""
        now = self._now()
        self._settle(min(now, self._due_place - 1) if self._due else now)

    def _settle(self, after: int) -> None:
        """What follows a place."""
        self._modes = self.ccmr[0].value & 0xFFFF | self.ccmr[1].value << 16
        for channel, ccr in enumerate(self.ccr):
            if not self._mode(channel) & 1 << 3:  # OCxPE
                self._compare[channel] = ccr.value
        if self._due:
            self._due.cancel()
            self._due = None
        if self._moves and (places := [*self._events(after)]):
            self._due_place = min(places)
            at = max(self._ns_of(self._due_place), self.machine.now + 1)
            self._due = self.machine.schedule(at, self._reach)
        self._drive()
        active = self.sr.value & self.dier.value
        self.UpdateInterrupt.set(active & 1)
        self.CaptureCompareInterrupt.set(active & CC_FLAGS)
        self.IRQ.set(active & (1 | CC_FLAGS))

    @ccr.on_write
    def _set_compare(self, index: int, old: int, value: int) -> None:
        """Of an input it can only be read (CCxS)."""
        self.ccr[index].value = old if self._mode(index) & 3 else value & self.limit
        self._changed()

    @ccr.on_read
    def _compare_or_capture(self, index: int) -> int:
        """To read what was captured clears the flag (38.4.14)."""
        if self._mode(index) & 3 and self.sr.value & 2 << index:
            self.sr.value &= ~(2 << index)
            self._changed()
        return self.ccr[index].value

    def has_input(self, number: int) -> bool:
        return 0 <= number < CHANNELS

    def on_gpio(self, number: int, level: bool) -> None:
        """TI1S makes TI1 the exclusive or of the first three (38.4.2)."""
        before = self._selected()
        self._inputs[number] = level
        for channel, (was, now) in enumerate(zip(before, self._selected(), strict=True)):
            polarity = self.ccer.value >> 4 * channel & 0b1010  # CCxP, CCxNP: both is any edge
            edge = polarity == 0b1010 or (polarity == 0b0010) != now
            if was != now and edge and self._enabled(channel):
                every = 1 << (self._mode(channel) >> 2 & 3)  # ICxPSC
                self._edges[channel] = (self._edges[channel] + 1) % every
                if not self._edges[channel]:
                    self._capture(channel)
        self._changed()

    def _selected(self) -> list[bool]:
        """The level that each channel looks at, if it is an input."""
        first, second, third, fourth = self._inputs
        levels = [first ^ second ^ third if self.cr2.ti1s else first, second, third, fourth]
        chosen = [self._mode(channel) & 3 for channel in range(CHANNELS)]
        return [
            levels[channel ^ (source - 1)] if source in (1, 2) else False
            for channel, source in enumerate(chosen)
        ]

    def _capture(self, channel: int) -> None:
        if self.sr.value & 2 << channel:
            self.sr.value |= 1 << OVERCAPTURE + channel
        self.sr.value |= 2 << channel
        self.ccr[channel].value = self._counter()[0]

    def _reach(self) -> None:
        self._due, place = None, self._due_place
        for channel in range(CHANNELS):
            if self._compares(channel) and place % self._period in self._told(channel):
                self.sr.value |= 2 << channel
            if place % self._period in self._places_of(self._compare[channel]).values():
                mode = self._mode(channel) >> 4 & 7
                if mode in (ACTIVE, INACTIVE, TOGGLE):
                    before = self._reference[channel]
                    self._reference[channel] = mode == ACTIVE or (mode == TOGGLE and not before)
        if not self.cr1.udis and place == self._next_update(place - 1):
            place = self._update(place)
        self._settle(place)

    def _drive(self) -> None:
        """The pins, from OCxREF, polarity and enable bit."""
        for channel in filter(self._drives, range(CHANNELS)):
            mode = self._mode(channel) >> 4 & 7
            if mode in (PWM_1, PWM_2):
                count, down = self._counter()
                value = self._compare[channel]
                active = count <= value if down else count < value
                self._reference[channel] = active == (mode == PWM_1)
            elif mode in (FORCE_INACTIVE, FORCE_ACTIVE):
                self._reference[channel] = mode == FORCE_ACTIVE
            inverted = self.ccer.value >> 4 * channel + 1 & 1 > 0
            level = self._reference[channel] != inverted
            self.outputs[channel].set(level and self._enabled(channel))

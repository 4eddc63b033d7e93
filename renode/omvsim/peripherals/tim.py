"""Timer (RM0433 sections 38 to 42): counter in all its directions, prescaler, repetition, update
events, compare, PWM, capture, slave modes and encoder, triggers and DMA requests for others.

A channel takes part in compare once it has a value to compare with or an enable bit, and drives a
pin where the board wires one. Not modelled: dead times, break inputs, filters, channels 5 and 6,
combined and asymmetric PWM; their registers keep what is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from omvsim.peripherals.base import Handle, Line, Machine, Reg, RegArray, bit, bits
from omvsim.peripherals.time_base import TimeBase

CHANNELS, COMPLEMENTARY = 4, 3
CC_FLAGS = 0b11110  # CC1IF to CC4IF, and their bits in DIER and EGR
TIF, BIF = 1 << 6, 1 << 7  # and TIE, TG; BIE, BG
UPDATE, TRIGGER = 0, 6  # numbers of DMA requests, as their bits in SR; 1 to 4 are the channels'
DE = 8  # DIER: a request's enable bit is so far above its number
OVERCAPTURE = 9  # CC1OF
ACTIVE, INACTIVE, TOGGLE, FORCE_INACTIVE, FORCE_ACTIVE, PWM_1, PWM_2 = range(1, 8)  # OCxM


MMS_RESET, MMS_ENABLE, MMS_UPDATE, MMS_PULSE, MMS_REFERENCE = range(5)  # 4 to 7: OC1REF to OC4REF
SMS_RESET, SMS_GATED, SMS_TRIGGER, SMS_CLOCK, SMS_RESET_TRIGGER = range(4, 9)  # 1 to 3: encoder
TS_EDGES, TS_TI1, TS_TI2, TS_ETR = range(4, 8)  # TS; 0 to 3: ITR0 to ITR3
ETR = CHANNELS  # its input


class Tim(TimeBase):
    """Output N is OC(N+1), from 4 on OC1N and its like; input N is TI(N+1), or ETR."""

    cr2 = Reg(0x04, preload=bits(0, 3), ccds=bit(3), mms=bits(4, 3), ti1s=bit(7), idle=bits(8, 12),
              mms2=bits(20, 4), more=bits(24, 8))  # fmt: skip
    smcr = Reg(0x08, sms=bits(0, 3), occs=bit(3), ts=bits(4, 3), msm=bit(7), etf=bits(8, 4),
               etps=bits(12, 2), ece=bit(14), etp=bit(15), sms_3=bit(16), ts_43=bits(20, 2),
               more=bits(22, 10))  # fmt: skip
    dier = Reg(0x0C, uie=bit(0), ccie=bits(1, 4), others=bits(5, 10))
    egr = Reg(0x14, access="w")
    ccmr = RegArray(0x18, 2)
    ccer = Reg(0x20)
    ccr = RegArray(0x34, CHANNELS)
    bdtr = Reg(0x44, others=bits(0, 14), aoe=bit(14), moe=bit(15), more=bits(16, 16))
    dcr = Reg(0x48)
    ccmr3 = Reg(0x54)
    ccr56 = RegArray(0x58, 2)
    af1 = Reg(0x60)
    tisel = Reg(0x68)

    def __init__(self, machine: Machine, *, frequency: int, initialLimit: int = 0xFFFF) -> None:
        """`frequency` is the timer clock in Hz; `initialLimit` the widest ARR and its reset."""
        super().__init__(machine, frequency, initialLimit)
        self.IRQ = Line()  # of timers that have one for all
        self.UpdateInterrupt, self.CaptureCompareInterrupt = Line(), Line()
        self.TriggerInterrupt, self.BreakInterrupt = Line(), Line()
        self.CommutationInterrupt = Line()  # which nothing raises
        self.triggers = [Line(), Line()]  # TRGO, TRGO2
        self.dma_requests: dict[int, Callable[[], object]] = {}  # DMA requests by number
        self.outputs = [Line() for _ in range(CHANNELS + COMPLEMENTARY)]
        self.complementary = 0  # channels with such an output, whose MOE lets all through
        self._due: Handle | None = None
        self._due_place = 0
        self._inputs = [False] * (CHANNELS + 1)
        self._internal = [False] * 4  # ITR0 to ITR3
        self._trigger = False  # TRGI
        self.reset()

    def reset(self) -> None:
        super().reset()
        self._divided = 0  # edges of ETR
        self._edges = [0] * CHANNELS  # since the last capture
        self._reference = [False] * CHANNELS  # OCxREF
        self._news: list[Callable[[], object]] = []  # what others are told when all is settled
        self._changed()

    @egr.on_write
    def _generate(self, value: int) -> None:
        if value & 1:
            self._begin_again()
        for channel in range(CHANNELS):
            if value & 2 << channel:  # CCxG
                self._matched(channel)
        if value & TIF:  # TG
            self._told_trigger()
        if value & BIF and self.complementary:  # BG
            self.bdtr.moe = 0
            self.sr.value |= BIF
        self._changed()

    def _begin_again(self) -> None:
        """The counter is initialized, by UG or by a trigger (38.3.2)."""
        self._tell(MMS_RESET)
        if self.cr1.udis:
            return
        self._load()
        self._held = (self._reload if self._down else 0), self._down
        self._place(0)
        self._tell(MMS_UPDATE)
        if not self.cr1.urs:
            self.sr.uif = 1
            self._ask_for_update()

    def _load(self) -> None:
        super()._load()
        self._compare = [ccr.value for ccr in self.ccr]
        self.bdtr.moe |= self.bdtr.aoe

    @property
    def _preloaded(self) -> bool:
        return super()._preloaded or self._compare != [ccr.value for ccr in self.ccr]

    def _update(self, place: int) -> int:
        self._tell(MMS_UPDATE)
        self._ask_for_update()
        return super()._update(place)

    # For others: triggers and DMA requests. They may write here, so all is settled first.

    def _tell(self, mode: int) -> None:
        """A pulse on the triggers that are chosen to be of this kind (MMS, MMS2)."""
        for line, chosen in zip(self.triggers, self._chosen, strict=True):
            if chosen == mode:
                self._news += [partial(line.set, True), partial(line.set, False)]

    @property
    def _chosen(self) -> tuple[int, int]:
        return self.cr2.mms, self.cr2.mms2

    def _ask(self, number: int) -> None:
        if self._asks(number) and number in self.dma_requests:
            self._news.append(self.dma_requests[number])

    def _asks(self, number: int) -> bool:
        return self.dier.value >> DE + number & 1 > 0

    def _ask_for_update(self) -> None:
        for number in range(1 + CHANNELS if self.cr2.ccds else 1):
            self._ask(number)

    def _publish(self) -> None:
        for line, chosen in zip(self.triggers, self._chosen, strict=True):
            if chosen == MMS_ENABLE:
                line.set(self.cr1.cen)
            elif MMS_REFERENCE <= chosen < MMS_REFERENCE + CHANNELS:
                line.set(self._reference[chosen - MMS_REFERENCE])
        news, self._news = self._news, []
        for tell in news:
            tell()

    def _matched(self, channel: int) -> None:
        """Compare or capture sets the flag."""
        self.sr.value |= 2 << channel
        if channel == 0:
            self._tell(MMS_PULSE)
        if not self.cr2.ccds:
            self._ask(1 + channel)

    # By others: the slave controller

    @property
    def _slave_mode(self) -> int:
        return self.smcr.sms | self.smcr.sms_3 << 3

    @smcr.on_write
    def _slave(self) -> None:
        counter, mode = self._stand(), self._slave_mode
        self._outside = 1 <= mode <= 3 or mode == SMS_CLOCK or self.smcr.ece > 0
        self._trigger = self._trgi()
        self._gated = mode == SMS_GATED and not self._trigger
        self._go_on(*counter)

    def _trgi(self) -> bool:
        """The level of the trigger that TS chooses."""
        source = self.smcr.ts | self.smcr.ts_43 << 3
        if source < TS_EDGES:
            return self._internal[source]
        if source in (TS_TI1, TS_TI2):
            return self._filtered(source - TS_TI1)
        return source == TS_ETR and self._inputs[ETR] != (self.smcr.etp > 0) and not self._divided

    def _filtered(self, channel: int) -> bool:
        """TIxFPx: with its polarity (CCxP)."""
        return self._ti()[channel] != (self.ccer.value >> 4 * channel + 1 & 1 > 0)

    def on_trigger(self, number: int, level: bool) -> None:
        """ITR0 to ITR3 change."""
        self._internal[number] = level
        self._look()

    def _look(self) -> None:
        """TRGI may have changed."""
        was, self._trigger = self._trigger, self._trgi()
        if was == self._trigger:
            return
        if self._slave_mode == SMS_GATED:
            counter = self._stand()
            self._gated, self._since = not self._trigger, self.machine.now
            self._go_on(*counter)
            self._told_trigger()
        elif self._trigger:
            self._triggered()

    def _triggered(self) -> None:
        """An active edge of TRGI."""
        mode = self._slave_mode
        if mode < SMS_RESET:
            return
        self._told_trigger()
        if mode in (SMS_RESET, SMS_RESET_TRIGGER):
            self._begin_again()
        if mode in (SMS_TRIGGER, SMS_RESET_TRIGGER):
            self.cr1.cen = 1
            self._control()
        if mode == SMS_CLOCK:
            self._clock_in()
        self._changed()

    def _told_trigger(self) -> None:
        self.sr.value |= TIF
        self._ask(TRIGGER)
        self._changed()

    def _encode(self, number: int) -> None:
        """An edge of TI1 or TI2: which way it counts is of both (encoder interface mode)."""
        down = (self._filtered(0) == self._filtered(1)) != (number == 1)
        if down != self._down:
            self._turn(down)
        self._clock_in()

    def _control(self) -> None:
        if 1 <= self._slave_mode <= 3:
            self.cr1.dir = self._down  # the encoder's
        super()._control()

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
        """Is there a pin for its output, or for the complementary one?"""
        wired = self.outputs[channel].sinks or (
            channel < self.complementary and self.outputs[CHANNELS + channel].sinks
        )
        return bool(wired) and not self._mode(channel) & 3

    def _refers(self, channel: int) -> bool:
        """Does anybody look at its OCxREF?"""
        trigger = MMS_REFERENCE + channel in self._chosen and not self._mode(channel) & 3
        return trigger or (self._drives(channel) and self.ccer.value >> 4 * channel & 5 > 0)

    def _events(self, after: int) -> Iterator[int]:
        """Places of what has to happen next; what changes nothing but the counter has none."""
        period = self._period

        def ahead(place: int) -> int:
            return after + (place - after - 1) % period + 1

        told = MMS_UPDATE in self._chosen or self._asks(UPDATE) or self.cr2.ccds
        if not self.cr1.udis and (not self.sr.uif or self.cr1.opm or self._preloaded or told):
            yield self._next_update(after)
        for channel in range(CHANNELS):
            told = self._asks(1 + channel) or (channel == 0 and MMS_PULSE in self._chosen)
            if self._compares(channel) and (told or not self.sr.value & 2 << channel):
                yield from map(ahead, self._told(channel))
            if self._refers(channel):
                yield from map(ahead, (0, *self._places_of(self._compare[channel]).values()))

    @cr2.on_write
    @dier.on_write
    @ccmr.on_write
    @ccer.on_write
    @bdtr.on_write
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
        if self._moves and not self._outside and (places := [*self._events(after)]):
            self._due_place = min(places)
            at = max(self._ns_of(self._due_place), self.machine.now + 1)
            self._due = self.machine.schedule(at, self._reach)
        self._drive()
        active = self.sr.value & self.dier.value
        self.UpdateInterrupt.set(active & 1)
        self.CaptureCompareInterrupt.set(active & CC_FLAGS)
        self.TriggerInterrupt.set(active & TIF)
        self.BreakInterrupt.set(active & BIF)
        self.IRQ.set(active & (1 | CC_FLAGS | TIF | BIF))
        self._publish()

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
        return 0 <= number <= ETR

    def on_gpio(self, number: int, level: bool) -> None:
        if level == self._inputs[number]:
            return
        before, first = self._selected(), self._ti()[0]
        self._inputs[number] = level
        for channel, (was, now) in enumerate(zip(before, self._selected(), strict=True)):
            polarity = self.ccer.value >> 4 * channel & 0b1010  # CCxP, CCxNP: both is any edge
            edge = polarity == 0b1010 or (polarity == 0b0010) != now
            if was != now and edge and self._enabled(channel):
                every = 1 << (self._mode(channel) >> 2 & 3)  # ICxPSC
                self._edges[channel] = (self._edges[channel] + 1) % every
                if not self._edges[channel]:
                    self._capture(channel)
        if number == ETR and level != (self.smcr.etp > 0):
            self._divided = (self._divided + 1) % (1 << self.smcr.etps)
            if self.smcr.ece and not self._divided:
                self._clock_in()
        if self._slave_mode <= 3 and self._slave_mode >> number & 1:
            self._encode(number)
        self._look()
        if self.smcr.ts | self.smcr.ts_43 << 3 == TS_EDGES and self._ti()[0] != first:
            self._triggered()
        self._changed()

    def _ti(self) -> list[bool]:
        """TI1S makes TI1 the exclusive or of the first three (38.4.2)."""
        first, second, third, fourth, _ = self._inputs
        return [first ^ second ^ third if self.cr2.ti1s else first, second, third, fourth]

    def _selected(self) -> list[bool]:
        """The level that each channel looks at, if it is an input."""
        levels = self._ti()
        chosen = [self._mode(channel) & 3 for channel in range(CHANNELS)]
        return [
            levels[channel ^ (source - 1)] if source in (1, 2) else False
            for channel, source in enumerate(chosen)
        ]

    def _capture(self, channel: int) -> None:
        if self.sr.value & 2 << channel:
            self.sr.value |= 1 << OVERCAPTURE + channel
        self.ccr[channel].value = self._counter()[0]
        self._matched(channel)

    def _reach(self) -> None:
        self._due = None
        self._pass(self._due_place)

    def _pass(self, place: int) -> None:
        """What happens at a place."""
        for channel in range(CHANNELS):
            if self._compares(channel) and place % self._period in self._told(channel):
                self._matched(channel)
            if place % self._period in self._places_of(self._compare[channel]).values():
                mode = self._mode(channel) >> 4 & 7
                if mode in (ACTIVE, INACTIVE, TOGGLE):
                    before = self._reference[channel]
                    self._reference[channel] = mode == ACTIVE or (mode == TOGGLE and not before)
        if not self.cr1.udis and place == self._next_update(place - 1):
            place = self._update(place)
        self._settle(place)

    def _drive(self) -> None:
        """The pins, from OCxREF, polarities and enable bits (table of OCx and OCxN)."""
        through = self.bdtr.moe or not self.complementary
        for channel in range(CHANNELS):
            if not (self._drives(channel) or self._refers(channel)):
                continue
            mode = self._mode(channel) >> 4 & 7
            if mode in (PWM_1, PWM_2):
                count, down = self._counter()
                value = self._compare[channel]
                active = count <= value if down else count < value
                self._reference[channel] = active == (mode == PWM_1)
            elif mode in (FORCE_INACTIVE, FORCE_ACTIVE):
                self._reference[channel] = mode == FORCE_ACTIVE
            on, inverted, other_on, other_inverted = (
                self.ccer.value >> 4 * channel + n & 1 > 0 for n in range(4)
            )
            reference = self._reference[channel]
            self.outputs[channel].set(through and on and reference != inverted)
            if channel < self.complementary:
                level = (reference != on) != other_inverted  # the inverse of one that is on, too
                self.outputs[CHANNELS + channel].set(through and other_on and level)

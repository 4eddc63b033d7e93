"""Real-time clock (RM0433 section 46): calendar, alarms, wake-up timer, backup registers.

RTCCLK comes from the RCC (RTCEN, RTCSEL): without it the calendar stands still. Not modelled:
tamper, timestamp and calibration; DBP in PWR is not asked.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from omvsim.peripherals.base import (
    COLD_RTC,
    Handle,
    Line,
    Machine,
    Peripheral,
    Reg,
    RegArray,
    bit,
    bits,
)

LSE = 32_768
UNLOCK = (0xCA, 0x53)
TIME_MASK, DATE_MASK = 0x007F7F7F, 0x00FFFF3F


def _bcd(value: int) -> int:
    return value // 10 << 4 | value % 10


def _number(bcd: int) -> int:
    return (bcd >> 4) * 10 + (bcd & 0xF)


class Rtc(Peripheral):
    tr = Reg(0x00, access="rw")
    dr = Reg(0x04, reset=0x00002101)
    cr = Reg(
        0x08, wucksel=bits(0, 3), tsedge=bit(3), refckon=bit(4), bypshad=bit(5), fmt=bit(6),
        alrae=bit(8), alrbe=bit(9), wute=bit(10), tse=bit(11), alraie=bit(12), alrbie=bit(13),
        wutie=bit(14), tsie=bit(15), add1h=bit(16), sub1h=bit(17), bkp=bit(18), cosel=bit(19),
        pol=bit(20), osel=bits(21, 2), coe=bit(23), itse=bit(24),
    )  # fmt: skip
    isr = Reg(
        0x0C, reset=0x7, alrawf=bit(0, "r"), alrbwf=bit(1, "r"), wutwf=bit(2, "r"),
        shpf=bit(3, "r"), inits=bit(4, "r"), rsf=bit(5, "rc_w0"), initf=bit(6, "r"), init=bit(7),
        alraf=bit(8, "rc_w0"), alrbf=bit(9, "rc_w0"), wutf=bit(10, "rc_w0"),
        others=bits(11, 7, "r"),
    )  # fmt: skip
    prer = Reg(0x10, reset=0x007F00FF, prediv_s=bits(0, 15), prediv_a=bits(16, 7))
    wutr = Reg(0x14, reset=0xFFFF, wut=bits(0, 16))
    alrmar = Reg(0x1C)
    alrmbr = Reg(0x20)
    wpr = Reg(0x24, access="w")
    ssr = Reg(0x28, access="r")
    shiftr = Reg(0x2C, access="w")
    timestamp = RegArray(0x30, 3, access="r")
    calr = Reg(0x3C, calm=bits(0, 9), calw16=bit(13), calw8=bit(14), calp=bit(15))
    tampcr = Reg(0x40)
    alrmassr = Reg(0x44, ss=bits(0, 15), maskss=bits(24, 4))
    alrmbssr = Reg(0x48, ss=bits(0, 15), maskss=bits(24, 4))
    option = Reg(0x4C)
    bkpr = RegArray(0x50, 32)

    def __init__(self, machine: Machine, *, wakeupTimerFrequency: int = LSE) -> None:
        """`wakeupTimerFrequency` is RTCCLK in Hz where no RCC drives it."""
        super().__init__(machine)
        self.AlarmIRQ, self.WakeupIRQ = Line(), Line()
        self.hz = wakeupTimerFrequency
        self._keys = 0
        self._locked = True
        self._frozen: tuple[int, int, int] | None = None  # TR, DR, SSR held for the reader
        self._stopped = False  # in initialisation mode
        self._tick: Handle | None = None
        self._wakeup: Handle | None = None
        self._set(machine.rtc_start.replace(microsecond=0, tzinfo=None))

    def _set(self, start: datetime) -> None:
        """The calendar counts from here. The power-on value is no Saturday, as it should be."""
        self._start, self._start_ns = start, self.machine.now
        self._weekday = 1 if start == COLD_RTC else start.isoweekday()
        self.isr.rsf = 1
        self.isr.inits = start.year % 100 != 0

    def set_clock(self, hz: int) -> None:
        """RTCCLK changes, or stops with 0; the calendar goes on from where it is."""
        if hz == self.hz:
            return
        days = -self._start.toordinal()
        self._start = self.time
        days += self._start.toordinal()
        self._weekday = (self._weekday - 1 + days) % 7 + 1
        self._start_ns, self.hz = self.machine.now, hz
        self._watch()
        self._start_wakeup()

    def backup_reset(self) -> None:
        """BDRST of the RCC: everything is as after power-on without a battery."""
        super().reset()
        self._stopped = False
        self._frozen = None
        self._set(COLD_RTC)
        self._watch()
        self._start_wakeup()
        self._update_irq()

    @property
    def _sync_ns(self) -> int:
        """Shadow registers and INITF follow within two periods of RTCCLK."""
        return 2 * 10**9 // (self.hz or LSE)

    def reset(self) -> None:
        """The backup domain keeps everything; only the write protection closes."""
        self._keys, self._locked = 0, True
        self._frozen = None

    # calendar

    def _elapsed(self) -> tuple[int, int]:
        """Whole seconds since the calendar was set, and SSR now (RM0433 46.3.4)."""
        if self._stopped or not self.hz:
            return 0, self.prer.prediv_s
        ticks = (self.machine.now - self._start_ns) * self.hz // ((self.prer.prediv_a + 1) * 10**9)
        seconds, part = divmod(ticks, self.prer.prediv_s + 1)
        return seconds, self.prer.prediv_s - part

    @property
    def time(self) -> datetime:
        """What the calendar shows now; it wraps after 2099."""
        moment = self._start + timedelta(seconds=self._elapsed()[0])
        return moment if moment.year < 2100 else moment.replace(year=2000 + moment.year % 100)

    def _read(self) -> tuple[int, int, int]:
        if self._stopped:
            return self.tr.value, self.dr.value, self.prer.prediv_s
        seconds, subsecond = self._elapsed()
        now = self.time
        hour, pm = now.hour, 0
        if self.cr.fmt:
            hour, pm = (hour - 1) % 12 + 1, hour // 12
        days = ((self._start + timedelta(seconds=seconds)).date() - self._start.date()).days
        weekday = (self._weekday - 1 + days) % 7 + 1
        tr = pm << 22 | _bcd(hour) << 16 | _bcd(now.minute) << 8 | _bcd(now.second)
        dr = _bcd(now.year % 100) << 16 | weekday << 13 | _bcd(now.month) << 8 | _bcd(now.day)
        return tr, dr, subsecond

    def _shadow(self, which: int) -> int:
        """Reading SSR or TR locks the higher ones until DR is read (RM0433 46.3.9)."""
        if self.cr.bypshad:
            return self._read()[which]
        if self._frozen is None:
            self._frozen = self._read()
        value = self._frozen[which]
        if which == 1:
            self._frozen = None
        return value

    @tr.on_read
    def _time_read(self) -> int:
        return self._shadow(0)

    @dr.on_read
    def _date_read(self) -> int:
        return self._shadow(1)

    @ssr.on_read
    def _subsecond_read(self) -> int:
        return self._shadow(2)

    @tr.on_write
    def _time_write(self, old: int) -> None:
        self.tr.value = self.tr.value & TIME_MASK if self._writable else old

    @dr.on_write
    def _date_write(self, old: int) -> None:
        self.dr.value = self.dr.value & DATE_MASK if self._writable else old

    @prer.on_write
    def _prescaler_write(self, old: int) -> None:
        if not self._writable:
            self.prer.value = old

    @property
    def _writable(self) -> bool:
        return self._stopped and not self._locked

    @wpr.on_write
    def _unlock(self, value: int) -> None:
        self._keys = self._keys + 1 if value & 0xFF == UNLOCK[self._keys] else 0
        self._locked = self._keys < len(UNLOCK)
        self._keys %= len(UNLOCK)

    @isr.on_write
    def _status(self, old: int) -> None:
        isr = self.isr
        if self._locked:
            isr.init = old >> 7 & 1
        if isr.init and not old >> 7 & 1:
            self.machine.schedule(self.machine.now + self._sync_ns, self._enter_init)
        elif not isr.init and self._stopped:
            self._leave_init()
        if old >> 5 & 1 and not isr.rsf:
            self.machine.schedule(self.machine.now + self._sync_ns, self._synchronised)
        self._update_irq()

    def _enter_init(self) -> None:
        if self.isr.init and not self._stopped and self.hz:
            self.tr.value, self.dr.value, _ = self._read()
            self._stopped = True
            self.isr.initf = 1
            self.isr.rsf = 0

    def _leave_init(self) -> None:
        """The calendar counts on from what TR and DR hold."""
        tr, dr = self.tr.value, self.dr.value
        hour = _number(tr >> 16 & 0x3F)
        if self.cr.fmt:
            hour = hour % 12 + 12 * (tr >> 22 & 1)
        try:
            self._start = datetime(
                2000 + _number(dr >> 16 & 0xFF), _number(dr >> 8 & 0x1F), _number(dr & 0x3F),
                hour, _number(tr >> 8 & 0x7F), _number(tr & 0x7F),
            )  # fmt: skip
        except ValueError:
            self.machine.log(f"RTC set to no valid date: DR 0x{dr:08X}, TR 0x{tr:08X}")
        self._weekday = dr >> 13 & 7 or 1
        self._start_ns = self.machine.now
        self._stopped = False
        self._frozen = None
        self.isr.initf = 0
        self.isr.inits = dr >> 16 & 0xFF != 0
        self.machine.schedule(self.machine.now + self._sync_ns, self._synchronised)
        self._watch()

    def _synchronised(self) -> None:
        if not self._stopped:
            self._frozen = None
            self.isr.rsf = 1

    # control, alarms, wake-up

    @cr.on_write
    def _control(self, value: int, old: int) -> None:
        if self._locked:
            self.cr.value = old
            return
        hours = self.cr.add1h - self.cr.sub1h
        self.cr.add1h = self.cr.sub1h = 0
        self._start += timedelta(hours=hours)
        self.isr.alrawf, self.isr.alrbwf = not self.cr.alrae, not self.cr.alrbe
        self.isr.wutwf = not self.cr.wute
        if (value ^ old) >> 10 & 1:
            self._start_wakeup()
        self._watch()
        self._update_irq()

    @alrmar.on_write
    def _alarm_a(self, old: int) -> None:
        if self._locked or self.cr.alrae:
            self.alrmar.value = old

    @alrmbr.on_write
    def _alarm_b(self, old: int) -> None:
        if self._locked or self.cr.alrbe:
            self.alrmbr.value = old

    @wutr.on_write
    def _wakeup_value(self, old: int) -> None:
        if self._locked or self.cr.wute:
            self.wutr.value = old

    def _second_at(self, seconds: int) -> int:
        """When the calendar's second number `seconds` begins, in ns."""
        period = (self.prer.prediv_a + 1) * (self.prer.prediv_s + 1) * 10**9
        return self._start_ns - (-seconds * period // self.hz)

    def _watch(self) -> None:
        """Look at the alarms at each second's begin, while one is on."""
        if self._tick:
            self._tick.cancel()
            self._tick = None
        if (self.cr.alrae or self.cr.alrbe) and self.hz and not self._stopped:
            at = self._second_at(self._elapsed()[0] + 1)
            self._tick = self.machine.schedule(at, self._second)

    def _second(self) -> None:
        tr, dr, _ = self._read()
        for name, alarm, subsecond in (
            ("alra", self.alrmar.value, self.alrmassr),
            ("alrb", self.alrmbr.value, self.alrmbssr),
        ):
            if getattr(self.cr, name + "e") and self._matches(alarm, tr, dr):
                mask = (1 << subsecond.maskss) - 1
                ticks = (self.prer.prediv_s - subsecond.ss) & mask
                delay = ticks * (self.prer.prediv_a + 1) * 10**9 // self.hz
                flag = 8 if name == "alra" else 9
                self.machine.schedule(self.machine.now + delay, partial(self._alarm, flag))
        self._watch()

    @staticmethod
    def _matches(alarm: int, tr: int, dr: int) -> bool:
        """RM0433 46.6.7: a set mask bit ignores its field."""
        for shift, mask in ((0, 0x7F), (8, 0x7F), (16, 0x7F)):
            if not alarm >> shift + 7 & 1 and (alarm ^ tr) >> shift & mask:
                return False
        if alarm >> 31 & 1:
            return True
        if alarm >> 30 & 1:
            return alarm >> 24 & 0xF == dr >> 13 & 7
        return alarm >> 24 & 0x3F == dr & 0x3F

    def _alarm(self, flag: int) -> None:
        if self.cr.value >> flag & 1:  # ALRAE, ALRBE have the flags' numbers
            self.isr.value |= 1 << flag
            self._update_irq()

    def _start_wakeup(self) -> None:
        if self._wakeup:
            self._wakeup.cancel()
            self._wakeup = None
        if not self.cr.wute or not self.hz:
            return
        select, count = self.cr.wucksel, self.wutr.wut + 1
        if select < 4:
            ticks = count * (16 >> select)
        else:
            seconds = count + (0x10000 if select >= 6 else 0)
            ticks = seconds * (self.prer.prediv_a + 1) * (self.prer.prediv_s + 1)
        period = ticks * 10**9 // self.hz
        self._wakeup = self.machine.schedule(self.machine.now + period, self._woken)

    def _woken(self) -> None:
        self.isr.wutf = 1
        self._update_irq()
        self._start_wakeup()

    def _update_irq(self) -> None:
        isr, cr = self.isr, self.cr
        self.AlarmIRQ.set(isr.alraf & cr.alraie | isr.alrbf & cr.alrbie)
        self.WakeupIRQ.set(isr.wutf & cr.wutie)

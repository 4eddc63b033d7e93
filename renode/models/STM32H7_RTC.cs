//
// Real-time clock of the STM32H7 (RM0433 section 46) for Renode, whose STM32F4_RTC takes a date
// digit by digit, so that many dates end Renode. Same behaviour as omvsim.peripherals.rtc: no
// tamper, timestamp and calibration; DBP in PWR is not asked.
//
using System;
using System.Globalization;

using Antmicro.Renode.Core;
using Antmicro.Renode.Logging;
using Antmicro.Renode.Peripherals.Bus;
using Antmicro.Renode.Time;

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class STM32H7_RTC : IDoubleWordPeripheral, IKnownSize
    {
        public STM32H7_RTC(IMachine machine, ulong wakeupTimerFrequency = 32768)
        {
            this.machine = machine;
            hz = wakeupTimerFrequency;
            AlarmIRQ = new GPIO();
            WakeupIRQ = new GPIO();
            BackupReset();
        }

        // The backup domain keeps everything; only the write protection closes.
        public void Reset()
        {
            keys = 0;
            locked = true;
            frozen = null;
        }

        // The calendar as a battery has kept it: 2026-11-23T21:59:58.
        public void Keep(string time)
        {
            Set(DateTime.ParseExact(time, "s", CultureInfo.InvariantCulture));
        }

        // RTCCLK changes, or stops with 0; the calendar goes on from where it is.
        public void SetClock(ulong frequency)
        {
            if(frequency == hz)
            {
                return;
            }
            var moment = Time;
            weekday = Weekday((moment.Date - start.Date).Days);
            start = moment;
            startsAt = Now;
            hz = frequency;
            Watch();
            StartWakeup();
        }

        // BDRST of the RCC: as after power-on without a battery.
        public void BackupReset()
        {
            Array.Clear(plain, 0, plain.Length);
            plain[Date / 4] = 0x00002101;
            plain[Prescaler / 4] = 0x007F00FF;
            plain[WakeupValue / 4] = 0xFFFF;
            flags = 0;
            initialising = stopped = false;
            Reset();
            Set(new DateTime(2000, 1, 1));
            weekday = 1; // the power-on value is no Saturday, as it should be
            Watch();
            StartWakeup();
            Update();
        }

        public uint ReadDoubleWord(long offset)
        {
            switch(offset)
            {
            case TimeOfDay:
                return Shadow(0);
            case Date:
                return Shadow(1);
            case Subsecond:
                return Shadow(2);
            case Status:
                return StatusNow;
            case WriteProtection:
            case Shift:
                return 0;
            default:
                return offset < 4 * plain.Length ? plain[offset / 4] : 0;
            }
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            var index = offset / 4;
            switch(offset)
            {
            case TimeOfDay:
            case Date:
                if(Writable)
                {
                    plain[index] = value & (offset == Date ? 0x00FFFF3Fu : 0x007F7F7Fu);
                }
                break;
            case Control:
                if(!locked)
                {
                    WriteControl(value & 0x01FFFF7F);
                }
                break;
            case Status:
                WriteStatus(value);
                break;
            case Prescaler:
                if(Writable)
                {
                    plain[index] = value & 0x007F7FFF;
                }
                break;
            case WakeupValue:
                if(!locked && (plain[Control / 4] & WakeupEnable) == 0)
                {
                    plain[index] = value & 0xFFFF;
                }
                break;
            case AlarmA:
            case AlarmB:
                if(!locked && (plain[Control / 4] & (offset == AlarmA ? AlarmAEnable : AlarmBEnable)) == 0)
                {
                    plain[index] = value;
                }
                break;
            case WriteProtection:
                keys = (value & 0xFF) == (keys == 0 ? 0xCAu : 0x53u) ? keys + 1 : 0;
                locked = keys < 2;
                keys %= 2;
                break;
            case Subsecond:
            case Shift:
            case 0x30:
            case 0x34:
            case 0x38:
                break;
            case Calibration:
                plain[index] = value & 0xE1FF;
                break;
            case AlarmASubsecond:
            case AlarmBSubsecond:
                plain[index] = value & 0x0F007FFF;
                break;
            default:
                if(index < plain.Length)
                {
                    plain[index] = value;
                }
                break;
            }
        }

        public long Size => 0x400;

        public GPIO AlarmIRQ { get; }

        public GPIO WakeupIRQ { get; }

        private void Set(DateTime moment)
        {
            start = moment;
            startsAt = synchronisedAt = Now;
            weekday = ((int)moment.DayOfWeek + 6) % 7 + 1;
            yearSet = moment.Year % 100 != 0;
        }

        private uint StatusNow
        {
            get
            {
                var control = plain[Control / 4];
                EnterInitialisation();
                return flags | ((control & AlarmAEnable) == 0 ? 1u : 0) | ((control & AlarmBEnable) == 0 ? 2u : 0)
                    | ((control & WakeupEnable) == 0 ? 4u : 0) | (yearSet ? 1u << 4 : 0)
                    | (!stopped && Now >= synchronisedAt ? 1u << 5 : 0) | (stopped ? 1u << 6 : 0)
                    | (initialising ? Initialise : 0);
            }
        }

        private void WriteStatus(uint value)
        {
            EnterInitialisation();
            var old = StatusNow;
            if(!locked && (value & Initialise) != 0 && !initialising)
            {
                initialising = true;
                initialisedAt = Now + Synchronisation;
            }
            else if(!locked && (value & Initialise) == 0 && initialising)
            {
                initialising = false;
                if(stopped)
                {
                    LeaveInitialisation();
                }
            }
            if((old & (1u << 5)) != 0 && (value & (1u << 5)) == 0)
            {
                frozen = null;
                synchronisedAt = Now + Synchronisation;
            }
            flags &= value;
            Update();
        }

        // INITF follows INIT within two periods of RTCCLK; then the calendar stands.
        private void EnterInitialisation()
        {
            if(initialising && !stopped && hz != 0 && Now >= initialisedAt)
            {
                var read = ReadCalendar();
                plain[TimeOfDay / 4] = read[0];
                plain[Date / 4] = read[1];
                stopped = true;
            }
        }

        // The calendar counts on from what TR and DR hold.
        private void LeaveInitialisation()
        {
            uint time = plain[TimeOfDay / 4], date = plain[Date / 4];
            var hour = Number((time >> 16) & 0x3F);
            if((plain[Control / 4] & TwelveHours) != 0)
            {
                hour = hour % 12 + 12 * (int)((time >> 22) & 1);
            }
            try
            {
                start = new DateTime(2000 + Number((date >> 16) & 0xFF), Number((date >> 8) & 0x1F), Number(date & 0x3F),
                    hour, Number((time >> 8) & 0x7F), Number(time & 0x7F), 0);
            }
            catch(ArgumentOutOfRangeException)
            {
                this.Log(LogLevel.Warning, "set to no valid date: DR 0x{0:X8}, TR 0x{1:X8}", date, time);
            }
            weekday = Math.Max(1, (int)((date >> 13) & 7));
            startsAt = Now;
            stopped = false;
            frozen = null;
            yearSet = ((date >> 16) & 0xFF) != 0;
            synchronisedAt = Now + Synchronisation;
            Watch();
        }

        private void WriteControl(uint value)
        {
            var old = plain[Control / 4];
            start = start.AddHours((int)((value >> 16) & 1) - (int)((value >> 17) & 1)); // ADD1H, SUB1H
            plain[Control / 4] = value & ~0x30000u;
            if(((value ^ old) & WakeupEnable) != 0)
            {
                StartWakeup();
            }
            Watch();
            Update();
        }

        // Reading SSR or TR locks the higher ones until DR is read (RM0433 46.3.9).
        private uint Shadow(int which)
        {
            EnterInitialisation();
            if((plain[Control / 4] & BypassShadow) != 0)
            {
                return ReadCalendar()[which];
            }
            frozen = frozen ?? ReadCalendar();
            var value = frozen[which];
            if(which == 1)
            {
                frozen = null;
            }
            return value;
        }

        private uint[] ReadCalendar()
        {
            if(stopped)
            {
                return new[] { plain[TimeOfDay / 4], plain[Date / 4], SynchronousPrescaler };
            }
            var ticks = Ticks;
            var days = (start.AddSeconds((double)(ticks / (SynchronousPrescaler + 1))).Date - start.Date).Days;
            var moment = Time;
            var hour = moment.Hour;
            var afternoon = 0u;
            if((plain[Control / 4] & TwelveHours) != 0)
            {
                afternoon = (uint)hour / 12;
                hour = (hour + 11) % 12 + 1;
            }
            return new[]
            {
                (afternoon << 22) | (Bcd(hour) << 16) | (Bcd(moment.Minute) << 8) | Bcd(moment.Second),
                (Bcd(moment.Year % 100) << 16) | ((uint)Weekday(days) << 13) | (Bcd(moment.Month) << 8) | Bcd(moment.Day),
                SynchronousPrescaler - (uint)(ticks % (SynchronousPrescaler + 1)),
            };
        }

        // What the calendar shows now; it wraps after 2099.
        private DateTime Time
        {
            get
            {
                var moment = start.AddSeconds((double)(Ticks / (SynchronousPrescaler + 1)));
                return moment.Year < 2100 ? moment : moment.AddYears(-100);
            }
        }

        private int Weekday(int days) => ((weekday - 1 + days) % 7 + 7) % 7 + 1;

        // Periods of ck_apre since the calendar was set.
        private ulong Ticks
        {
            get
            {
                if(stopped || hz == 0)
                {
                    return 0;
                }
                var divider = (decimal)(((plain[Prescaler / 4] >> 16) & 0x7F) + 1) * 1000000000m;
                return (ulong)Math.Floor((decimal)(Now - startsAt) * hz / divider);
            }
        }

        // Looks at the alarms at each second's begin, while one is on.
        private void Watch()
        {
            var own = ++watch;
            if((plain[Control / 4] & (AlarmAEnable | AlarmBEnable)) == 0 || hz == 0 || stopped)
            {
                return;
            }
            var next = Ticks / (SynchronousPrescaler + 1) + 1;
            var at = startsAt + (ulong)Math.Ceiling((decimal)next * TicksOfASecond * 1000000000m / hz);
            After(at - Now, () =>
            {
                if(own == watch)
                {
                    Second();
                }
            });
        }

        private void Second()
        {
            var read = ReadCalendar();
            foreach(var alarm in new[] { 0, 1 })
            {
                var enable = alarm == 0 ? AlarmAEnable : AlarmBEnable;
                if((plain[Control / 4] & enable) == 0 || !Matches(plain[(AlarmA + 4 * alarm) / 4], read[0], read[1]))
                {
                    continue;
                }
                var subsecond = plain[(AlarmASubsecond + 4 * alarm) / 4];
                var ticks = (SynchronousPrescaler - (subsecond & 0x7FFF)) & ((1u << (int)((subsecond >> 24) & 0xF)) - 1);
                After(ticks * (((plain[Prescaler / 4] >> 16) & 0x7F) + 1UL) * 1000000000 / hz, () =>
                {
                    if((plain[Control / 4] & enable) != 0) // the flags have the numbers of ALRAE, ALRBE
                    {
                        flags |= enable;
                        Update();
                    }
                });
            }
            Watch();
        }

        // A set mask bit ignores its field (RM0433 46.6.7).
        private static bool Matches(uint alarm, uint time, uint date)
        {
            foreach(var shift in new[] { 0, 8, 16 })
            {
                if(((alarm >> (shift + 7)) & 1) == 0 && (((alarm ^ time) >> shift) & 0x7F) != 0)
                {
                    return false;
                }
            }
            if((alarm >> 31) != 0)
            {
                return true;
            }
            return ((alarm >> 30) & 1) != 0
                ? ((alarm >> 24) & 0xF) == ((date >> 13) & 7)
                : ((alarm >> 24) & 0x3F) == (date & 0x3F);
        }

        private void StartWakeup()
        {
            var own = ++wakeup;
            if((plain[Control / 4] & WakeupEnable) == 0 || hz == 0)
            {
                return;
            }
            var select = (int)(plain[Control / 4] & 7);
            var count = (ulong)(plain[WakeupValue / 4] & 0xFFFF) + 1;
            var ticks = select < 4 ? count * (16UL >> select) : (count + (select >= 6 ? 0x10000UL : 0)) * TicksOfASecond;
            After((ulong)Math.Floor((decimal)ticks * 1000000000m / hz), () =>
            {
                if(own == wakeup)
                {
                    flags |= WakeupEnable; // WUTF has the number of WUTE
                    Update();
                    StartWakeup();
                }
            });
        }

        private void Update()
        {
            var control = plain[Control / 4];
            AlarmIRQ.Set((flags & (control >> 4) & (AlarmAEnable | AlarmBEnable)) != 0); // ALRAIE, ALRBIE
            WakeupIRQ.Set((flags & (control >> 4) & WakeupEnable) != 0);
        }

        private void After(ulong nanoseconds, Action action)
        {
            machine.ScheduleAction(TimeInterval.FromNanoseconds(Math.Max(1, nanoseconds)), _ => action());
        }

        private bool Writable => !locked && (StatusNow & (1u << 6)) != 0;

        private uint SynchronousPrescaler => plain[Prescaler / 4] & 0x7FFF;

        private ulong TicksOfASecond => (((plain[Prescaler / 4] >> 16) & 0x7F) + 1UL) * (SynchronousPrescaler + 1UL);

        private ulong Synchronisation => 2000000000 / (hz == 0 ? 32768 : hz);

        private ulong Now
        {
            get
            {
                if(machine.SystemBus.TryGetCurrentCPU(out var cpu))
                {
                    cpu.SyncTime();
                }
                return machine.ElapsedVirtualTime.TimeElapsed.TotalNanoseconds;
            }
        }

        private static uint Bcd(int value) => (uint)(value / 10 << 4 | value % 10);

        private static int Number(uint bcd) => (int)((bcd >> 4) * 10 + (bcd & 0xF));

        private ulong hz;
        private DateTime start;
        private ulong startsAt, synchronisedAt, initialisedAt;
        private int weekday, keys, watch, wakeup;
        private bool locked, initialising, stopped, yearSet;
        private uint flags;
        private uint[] frozen; // TR, DR, SSR, held for the reader

        private readonly IMachine machine;
        private readonly uint[] plain = new uint[0xD0 / 4];

        private const uint Initialise = 1 << 7;
        private const uint AlarmAEnable = 1 << 8;
        private const uint AlarmBEnable = 1 << 9;
        private const uint WakeupEnable = 1 << 10;
        private const uint BypassShadow = 1 << 5;
        private const uint TwelveHours = 1 << 6;
        private const long TimeOfDay = 0x00;
        private const long Date = 0x04;
        private const long Control = 0x08;
        private const long Status = 0x0C;
        private const long Prescaler = 0x10;
        private const long WakeupValue = 0x14;
        private const long AlarmA = 0x1C;
        private const long AlarmB = 0x20;
        private const long WriteProtection = 0x24;
        private const long Subsecond = 0x28;
        private const long Shift = 0x2C;
        private const long Calibration = 0x3C;
        private const long AlarmASubsecond = 0x44;
        private const long AlarmBSubsecond = 0x48;
    }
}

//
// Reset and clock control of the STM32H743 (RM0433 section 8) for Renode: unlike Renode's own
// STM32H7_RCC every register keeps what is written, PLL dividers too, so that firmware computes
// the clocks it has set. Oscillators are ready at once. Same behaviour as omvsim.peripherals.rcc.
//
using System.Collections.Generic;
using Antmicro.Renode.Core;
using Antmicro.Renode.Peripherals.Bus;

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class STM32H743_RCC : IDoubleWordPeripheral, IKnownSize
    {
        public STM32H743_RCC(STM32H7_RTC rtc, ulong hseFrequency = 12000000)
        {
            this.rtc = rtc;
            HseFrequency = hseFrequency;
            IRQ = new GPIO();
            registers[ResetStatus] = 0x00E80000;
            Cause = None;
            Reset();
        }

        public void Reset()
        {
            // the backup domain, CSR and RSR keep their values
            var kept = new Dictionary<long, uint>();
            foreach(var offset in new long[] { BackupDomain, ControlStatus, ResetStatus })
            {
                registers.TryGetValue(offset, out var value);
                kept[offset] = value;
            }
            registers.Clear();
            foreach(var pair in resetValues)
            {
                registers[pair.Key] = pair.Value;
            }
            foreach(var pair in kept)
            {
                registers[pair.Key] = pair.Value;
            }
            WriteDoubleWord(Control, registers[Control]);
            registers[ResetStatus] |= Cause;
            Cause = SoftwareReset;
            TellRtc();
        }

        // The flags of RCC_RSR (RM0433 table 57) that the next reset sets; each sets its own anew.
        public uint Cause { get; set; }

        public uint ReadDoubleWord(long offset)
        {
            registers.TryGetValue(offset == CpuResetStatus ? ResetStatus : offset, out var value);
            return value;
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            switch(offset)
            {
            case Control:
                registers[Control] = (value & ~ReadyBits) | 0xC020 | ((value & OnBits[0]) << 2)
                    | ((value & OnBits[1]) << 1);
                break;
            case Configuration:
                registers[Configuration] = (value & ~0x38u) | ((value & 7) << 3);
                break;
            case BackupDomain:
                if((value & 0x10000) != 0)
                {
                    value = 0x10000;
                    rtc.BackupReset();
                }
                registers[BackupDomain] = (value & 0x1833D) | ((value & 1) << 1);
                TellRtc();
                break;
            case ControlStatus:
                registers[ControlStatus] = (value & 1) | ((value & 1) << 1);
                TellRtc();
                break;
            case ResetStatus:
            case CpuResetStatus:
                if((value & 0x10000) != 0)
                {
                    registers[ResetStatus] = 0;
                }
                break;
            case InterruptFlags:
            case InterruptClear:
                break;
            default:
                registers[offset] = value;
                break;
            }
        }

        public long Size => 0x400;

        public ulong HseFrequency { get; }

        public GPIO IRQ { get; }

        // RTCCLK by RTCEN and RTCSEL, in Hz
        private void TellRtc()
        {
            registers.TryGetValue(BackupDomain, out var backup);
            registers.TryGetValue(ControlStatus, out var status);
            registers.TryGetValue(Configuration, out var configuration);
            var divider = (configuration >> 8) & 0x3F;
            var selected = (backup & 0x8000) != 0 ? (backup >> 8) & 3 : 0;
            rtc.SetClock(selected == 1 && (backup & 2) != 0 ? 32768
                : selected == 2 && (status & 2) != 0 ? 32000
                : selected == 3 && divider > 1 && (registers[Control] & 0x20000) != 0 ? HseFrequency / divider
                : 0);
        }

        private readonly STM32H7_RTC rtc;
        private readonly Dictionary<long, uint> registers = new Dictionary<long, uint>();

        private static readonly Dictionary<long, uint> resetValues = new Dictionary<long, uint>
        {
            { Control, 0x83 },
            { 0x04, 0x40000000 },
            { 0x0C, 0x20000000 },
            { 0x28, 0x02020200 },
            { 0x2C, 0x01FF0000 },
            { 0x30, 0x01010280 },
            { 0x38, 0x01010280 },
            { 0x40, 0x01010280 },
            { 0xF4, 0x00010000 },
        };

        // HSION's ready bit is two above it; the others' (CSI, HSI48, HSE, PLL1 to 3) is one above
        private static readonly uint[] OnBits = { 0x1, 0x15011080 };
        private const uint ReadyBits = 0x2A02E124;

        private const uint None = 0;
        private const uint SoftwareReset = 0x01420000; // SFTRSTF, PINRSTF, CPURSTF
        private const long Control = 0x00;
        private const long Configuration = 0x10;
        private const long InterruptFlags = 0x64;
        private const long InterruptClear = 0x68;
        private const long BackupDomain = 0x70;
        private const long ControlStatus = 0x74;
        private const long ResetStatus = 0xD0;
        private const long CpuResetStatus = 0x130;
    }
}

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
            Reset();
            registers[ResetStatus / 4] = 0x00E80000;
        }

        // The backup domain, CSR and RSR keep their values.
        public void Reset()
        {
            foreach(var pair in resetValues)
            {
                for(var offset = pair.Key; offset < pair.Key + 4 * pair.Value.Length; offset += 4)
                {
                    registers[offset / 4] = pair.Value[(offset - pair.Key) / 4];
                }
            }
            registers[ResetStatus / 4] |= Cause;
            Cause = SoftwareReset;
            Oscillators();
            TellRtc();
        }

        // The flags of RCC_RSR (RM0433 table 57) that the next reset sets; a reset of Renode's that
        // nobody has announced is the firmware's own.
        public uint Cause { get; set; }

        public uint ReadDoubleWord(long offset) => offset < 4 * registers.Length ? registers[Own(offset) / 4] : 0;

        public void WriteDoubleWord(long offset, uint value)
        {
            offset = Own(offset);
            if(offset >= 4 * registers.Length)
            {
                return;
            }
            if(!writable.TryGetValue(offset, out var mask))
            {
                mask = offset == Calibration48 || offset == InterruptFlags || offset == InterruptClear || offset == ResetStatus
                    ? 0 : 0xFFFFFFFF;
            }
            var old = registers[offset / 4];
            registers[offset / 4] = (old & ~mask) | (value & mask);
            switch(offset)
            {
            case Control:
            case Configuration:
                Oscillators();
                break;
            case InterruptClear:
                registers[InterruptFlags / 4] &= ~value;
                break;
            case BackupDomain:
                if((value & 0x10000) != 0)
                {
                    registers[offset / 4] = 0x10000;
                    rtc.BackupReset();
                }
                Ready(offset, 0, 1, 1);
                break;
            case ControlStatus:
                Ready(offset, 0, 1, 0);
                break;
            case ResetStatus:
                if((value & 0x10000) != 0)
                {
                    registers[offset / 4] = 0;
                }
                break;
            }
            TellRtc();
            IRQ.Set((registers[InterruptFlags / 4] & registers[InterruptEnable / 4]) != 0);
        }

        public long Size => 0x400;

        public ulong HseFrequency { get; }

        public GPIO IRQ { get; }

        // RCC_C1_xxENR and its like, the CPU's own names, are the same registers.
        private static long Own(long offset)
        {
            return offset == 0x130 ? ResetStatus
                : offset >= 0x134 && offset <= 0x154 ? offset - 0x60
                : offset >= 0x15C && offset <= 0x17C ? offset - 0x60
                : offset;
        }

        // Ready bits follow the on bits; the clock in use cannot be switched off; SWS follows SW as
        // soon as the chosen clock is ready.
        private void Oscillators()
        {
            registers[Control / 4] |= 0xC020u | (1u << systemClocks[(registers[Configuration / 4] >> 3) & 3]);
            Ready(Control, 0, 2, 2); // HSI
            Ready(Control, 7, 8, 4); // CSI
            Ready(Control, 12, 13, 5); // HSI48
            Ready(Control, 16, 17, 3); // HSE
            Ready(Control, 24, 25, 6); // PLL1 to 3
            Ready(Control, 26, 27, 7);
            Ready(Control, 28, 29, 8);
            var configuration = registers[Configuration / 4];
            var wanted = configuration & 7;
            if(wanted < 4 && (registers[Control / 4] & (1u << systemClocks[wanted])) != 0)
            {
                registers[Configuration / 4] = (configuration & ~0x38u) | (wanted << 3);
            }
        }

        private void Ready(long offset, int on, int ready, int flag)
        {
            var value = registers[offset / 4];
            var isOn = ((value >> on) & 1) != 0;
            if(isOn && ((value >> ready) & 1) == 0)
            {
                registers[InterruptFlags / 4] |= registers[InterruptEnable / 4] & (1u << flag);
            }
            registers[offset / 4] = isOn ? value | (1u << ready) : value & ~(1u << ready);
        }

        // RTCCLK by RTCEN and RTCSEL, in Hz
        private void TellRtc()
        {
            var backup = registers[BackupDomain / 4];
            var divider = (registers[Configuration / 4] >> 8) & 0x3F;
            var selected = (backup & 0x8000) != 0 ? (backup >> 8) & 3 : 0;
            rtc.SetClock(selected == 1 && (backup & 2) != 0 ? 32768
                : selected == 2 && (registers[ControlStatus / 4] & 2) != 0 ? 32000
                : selected == 3 && divider > 1 && (registers[Control / 4] & 0x20000) != 0 ? HseFrequency / divider
                : 0);
        }

        private readonly STM32H7_RTC rtc;
        private readonly uint[] registers = new uint[0x180 / 4];

        // from an offset on
        private static readonly Dictionary<long, uint[]> resetValues = new Dictionary<long, uint[]>
        {
            { 0x00, new uint[] { 0x83, 0x40000000, 0, 0x20000000, 0, 0, 0, 0, 0, 0, 0x02020200, 0x01FF0000 } },
            { 0x30, new uint[] { 0x01010280, 0, 0x01010280, 0, 0x01010280, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 } },
            { 0x78, new uint[(0xD0 - 0x78) / 4] },
            { 0xD4, new uint[] { 0, 0, 0, 0, 0, 0, 0, 0, 0x00010000, 0 } },
            { 0xFC, new uint[] { 0xF0015131, 0x1E03C023, 0xE0000271, 0x312807FF, 0x58, 0xE8FFCBFF, 0x136, 0x31D73033, 0x0421DEAA } },
        };

        // which bits of a register, where not all
        private static readonly Dictionary<long, uint> writable = new Dictionary<long, uint>
        {
            { Control, 0x150D129B }, { 0x04, 0x7F000000 }, { 0x0C, 0x3F000000 }, { Configuration, 0xFFFCFFC7 },
            { 0x18, 0xF7F }, { 0x1C, 0x770 }, { 0x20, 0x70 }, { 0x28, 0x03F3F3F3 }, { 0x2C, 0x01FFFFFF },
            { 0x30, 0x7F7FFFFF }, { 0x38, 0x7F7FFFFF }, { 0x40, 0x7F7FFFFF },
            { 0x34, 0xFFF8 }, { 0x3C, 0xFFF8 }, { 0x44, 0xFFF8 },
            { InterruptEnable, 0x3FF }, { BackupDomain, 0x1833D }, { ControlStatus, 1 }, { 0xA0, 1 },
        };

        // HSION, CSION, HSEON, PLL1ON in the order of SW
        private static readonly int[] systemClocks = { 0, 7, 16, 24 };

        private const uint SoftwareReset = 0x01420000; // SFTRSTF, PINRSTF, CPURSTF
        private const long Control = 0x00;
        private const long Calibration48 = 0x08;
        private const long Configuration = 0x10;
        private const long InterruptEnable = 0x60;
        private const long InterruptFlags = 0x64;
        private const long InterruptClear = 0x68;
        private const long BackupDomain = 0x70;
        private const long ControlStatus = 0x74;
        private const long ResetStatus = 0xD0;
    }
}

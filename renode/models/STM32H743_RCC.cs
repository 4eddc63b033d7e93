//
// Reset and clock control of the STM32H743 (RM0433 section 8) for Renode: unlike Renode's own
// STM32H7_RCC every register keeps what is written, PLL dividers too, so that firmware computes
// the clocks it has set. Oscillators are ready at once. Same behaviour as omvsim.peripherals.rcc.
//
using System;
using System.Collections.Generic;
using System.Linq;

using Antmicro.Renode.Core;
using Antmicro.Renode.Peripherals.Bus;

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class STM32H743_RCC : IDoubleWordPeripheral, IKnownSize
    {
        public STM32H743_RCC(IMachine machine, STM32H7_RTC rtc, ulong hseFrequency = 12000000)
        {
            this.machine = machine;
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
            gated = false;
        }

        // The flags of RCC_RSR (RM0433 table 57) that the next reset sets; a reset of Renode's that
        // nobody has announced is the firmware's own.
        public uint Cause { get; set; }

        public uint ReadDoubleWord(long offset)
        {
            Gate();
            return offset < 4 * registers.Length ? registers[Own(offset) / 4] : 0;
        }

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
            if(offset >= FirstReset && offset <= LastReset)
            {
                ResetBlocks(offset, registers[offset / 4] & ~old);
            }
            gated = gated && (offset < FirstEnable || offset > FirstEnable + LastReset - FirstReset);
            Gate();
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

        // A block without a clock answers nothing. What is there is known when firmware first comes here.
        private void Gate()
        {
            if(gated)
            {
                return;
            }
            gated = true;
            foreach(var gate in gates)
            {
                if(machine.TryGetByName<IPeripheral>($"sysbus.{gate.Key}", out var block))
                {
                    var on = gate.Value.Any(at => ((registers[at.Item1 / 4] >> at.Item2) & 1) != 0);
                    machine.SystemBus.SetPeripheralEnabled(block, on);
                }
            }
        }

        // RSTR has the bits of ENR, but for what the backup domain keeps.
        private void ResetBlocks(long offset, uint bits)
        {
            foreach(var gate in gates.Where(one => one.Value.Length == 1 && one.Key != "rtc"))
            {
                var at = gate.Value[0];
                if(at.Item1 == offset - FirstReset + FirstEnable && ((bits >> at.Item2) & 1) != 0
                    && machine.TryGetByName<IPeripheral>($"sysbus.{gate.Key}", out var block))
                {
                    block.Reset();
                }
            }
        }

        private static Dictionary<string, Tuple<long, int>[]> Gates()
        {
            var all = new Dictionary<string, Tuple<long, int>[]>();
            foreach(var register in enables)
            {
                foreach(var gate in register.Value.Split(' ').Select(gate => gate.Split('=')))
                {
                    all.TryGetValue(gate[0], out var known);
                    all[gate[0]] = (known ?? new Tuple<long, int>[0]).Append(Tuple.Create(register.Key, int.Parse(gate[1]))).ToArray();
                }
            }
            return all;
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

        private bool gated;

        private readonly IMachine machine;
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

        // enable bits of AHB3ENR to APB4ENR by the names of the board's entries; one of several will do
        private static readonly Dictionary<long, string> enables = new Dictionary<long, string>
        {
            { 0xD4, "mdma=0 fmc=12 quadspi=14 sdmmc1=16" },
            { 0xD8, "dma1=0 dmamux1=0 dma2=1 dmamux1=1 adc12=5 ethernet=15 usb1OtgHs=25 usb2OtgFs=27" },
            { 0xDC, "rng=6 sdmmc2=9" },
            { 0xE0, "gpioPortA=0 gpioPortB=1 gpioPortC=2 gpioPortD=3 gpioPortE=4 gpioPortF=5 gpioPortG=6 "
                + "gpioPortH=7 gpioPortI=8 gpioPortJ=9 gpioPortK=10 crc=19 bdma=21 dmamux2=21 adc3=24 "
                + "hsem=25" },
            { 0xE4, "watchdog1=6" },
            { 0xE8, "timer2=0 timer3=1 timer4=2 timer5=3 timer6=4 timer7=5 timer12=6 timer13=7 timer14=8 "
                + "lptim1=9 spi2=14 spi3=15 usart2=17 usart3=18 uart4=19 uart5=20 i2c1=21 i2c2=22 i2c3=23 "
                + "dac=29 uart7=30 uart8=31" },
            { 0xF0, "timer1=0 timer8=1 usart1=4 usart6=5 spi1=12 spi4=13 timer15=16 timer16=17 timer17=18 "
                + "spi5=20" },
            { 0xF4, "syscfg=1 lpuart1=3 spi6=5 i2c4=7 lptim2=9 lptim3=10 lptim4=11 lptim5=12 rtc=16" },
        };
        private static readonly Dictionary<string, Tuple<long, int>[]> gates = Gates();

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
        private const long FirstReset = 0x7C;
        private const long LastReset = 0x9C;
        private const long FirstEnable = 0xD4;
    }
}

//
// Flexible memory controller of the STM32H7 (RM0433 section 22) for Renode, which has none: its
// registers. Same behaviour as omvsim.peripherals.fmc.
//
using System.Collections.Generic;

using Antmicro.Renode.Core;
using Antmicro.Renode.Peripherals.Bus;

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class STM32H7_FMC : IDoubleWordPeripheral, IKnownSize
    {
        public STM32H7_FMC(IMachine machine)
        {
            IRQ = new GPIO();
            Reset();
        }

        public void Reset()
        {
            values.Clear();
            for(var bank = 0; bank < 4; bank++)
            {
                values[8 * bank] = bank == 0 ? 0x30DBu : 0x30D2u;
                values[0x04 + 8 * bank] = 0x0FFFFFFF;
                values[0x104 + 8 * bank] = 0x0FFFFFFF;
            }
            values[0x80] = 0x18;
            values[0x84] = 0x40;
            values[0x88] = values[0x8C] = 0xFCFCFCFC;
            values[0x140] = values[0x144] = 0x2D0;
            values[0x148] = values[0x14C] = 0x0FFFFFFF;
            values[Command] = values[Refresh] = values[Status] = 0;
        }

        public uint ReadDoubleWord(long offset)
        {
            return values.TryGetValue(offset, out var value) ? value : 0;
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            if(offset == Status || !values.ContainsKey(offset))
            {
                return;
            }
            switch(offset)
            {
            case Command:
                value &= 0x7FFFFF;
                var mode = (value & 7) == SelfRefresh ? 1u : (value & 7) == PowerDown ? 2u : 0;
                for(var bank = 0; bank < 2; bank++)
                {
                    if((value >> (4 - bank) & 1) != 0)
                    {
                        values[Status] = (values[Status] & ~(3u << (1 + 2 * bank))) | (mode << (1 + 2 * bank));
                    }
                }
                break;
            case Refresh:
                value &= 0x7FFE;
                break;
            case 0x140:
            case 0x144:
                value &= 0x7FFF;
                break;
            case 0x148:
            case 0x14C:
                value &= 0x0FFFFFFF;
                break;
            }
            values[offset] = value;
        }

        public long Size => 0x1000;

        public GPIO IRQ { get; }

        private readonly Dictionary<long, uint> values = new Dictionary<long, uint>();

        private const uint SelfRefresh = 5;
        private const uint PowerDown = 6;
        private const long Command = 0x150;
        private const long Refresh = 0x154;
        private const long Status = 0x158;
    }
}

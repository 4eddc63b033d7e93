//
// Digital-to-analog converter of the STM32H7 (RM0433 section 26) for Renode, which has none. Same
// behaviour as omvsim.peripherals.dac.
//
using System;

using Antmicro.Renode.Core;
using Antmicro.Renode.Peripherals.Bus;

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class STM32H7_DAC : IDoubleWordPeripheral, IKnownSize
    {
        public STM32H7_DAC(IMachine machine)
        {
            Reset();
        }

        public void Reset()
        {
            Array.Clear(held, 0, held.Length);
            Array.Clear(converted, 0, converted.Length);
            Array.Clear(others, 0, others.Length);
            others[(HoldTime - Trimming) / 4] = others[(RefreshTime - Trimming) / 4] = 0x10001;
            control = 0;
        }

        public uint ReadDoubleWord(long offset)
        {
            if(offset == Control)
            {
                return control;
            }
            if(offset >= Holding && offset < Outputs)
            {
                var index = (offset - Holding) / 4;
                var result = 0u;
                for(var channel = 0; channel < 2; channel++)
                {
                    if(index / 3 == 2 || index / 3 == channel)
                    {
                        var place = index / 3 == 2 ? channel : 0;
                        result |= index % 3 == 2 ? held[channel] >> 4 << (8 * place)
                            : held[channel] << (index % 3 == 1 ? 4 : 0) << (16 * place);
                    }
                }
                return result;
            }
            if(offset == Outputs || offset == Outputs + 4)
            {
                return converted[(offset - Outputs) / 4];
            }
            return offset >= Trimming && offset <= RefreshTime ? others[(offset - Trimming) / 4] : 0;
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            if(offset == Control)
            {
                var before = control;
                control = value & 0x7FFF7FFF;
                for(var channel = 0; channel < 2; channel++)
                {
                    if((control & ~before & (Enable << 16 * channel)) != 0 && !Triggered(channel))
                    {
                        Convert(channel);
                    }
                }
            }
            else if(offset == SoftwareTrigger)
            {
                for(var channel = 0; channel < 2; channel++)
                {
                    var selected = control & (TriggerSelection << 16 * channel);
                    if((value >> channel & 1) != 0 && Triggered(channel) && selected == 0)
                    {
                        Convert(channel);
                    }
                }
            }
            else if(offset >= Holding && offset < Outputs)
            {
                var index = (offset - Holding) / 4;
                for(var channel = 0; channel < 2; channel++)
                {
                    if(index / 3 == 2 || index / 3 == channel)
                    {
                        var place = index / 3 == 2 ? channel : 0;
                        held[channel] = index % 3 == 2 ? (value >> (8 * place) & 0xFF) << 4
                            : value >> (16 * place + (index % 3 == 1 ? 4 : 0)) & 0xFFF;
                        if(!Triggered(channel))
                        {
                            Convert(channel);
                        }
                    }
                }
            }
            else if(offset >= Trimming && offset <= RefreshTime)
            {
                var number = (offset - Trimming) / 4;
                others[number] = value & Masks[number];
            }
        }

        public long Size => 0x400;

        private bool Triggered(int channel)
        {
            return (control & (TriggerEnable << 16 * channel)) != 0;
        }

        private void Convert(int channel)
        {
            if((control & (Enable << 16 * channel)) != 0)
            {
                converted[channel] = held[channel];
            }
        }

        private uint control;

        private readonly uint[] held = new uint[2];
        private readonly uint[] converted = new uint[2];
        private readonly uint[] others = new uint[6];

        private static readonly uint[] Masks = { 0x1F001F, 0x70007, 0x3FF, 0x3FF, 0x3FF03FF, 0xFF00FF };

        private const uint Enable = 1 << 0;
        private const uint TriggerEnable = 1 << 1;
        private const uint TriggerSelection = 0xF << 2;
        private const long Control = 0x00;
        private const long SoftwareTrigger = 0x04;
        private const long Holding = 0x08;
        private const long Outputs = 0x2C;
        private const long Trimming = 0x38;
        private const long HoldTime = 0x48;
        private const long RefreshTime = 0x4C;
    }
}

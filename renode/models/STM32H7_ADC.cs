//
// Analog-to-digital converters of the STM32H7 (RM0433 section 25) for Renode, which has none of them:
// ADC1 with ADC2, or ADC3. Same behaviour as omvsim.peripherals.adc, but for triggers and DMA.
//
using System;
using System.Collections.Generic;
using System.Linq;

using Antmicro.Renode.Core;
using Antmicro.Renode.Peripherals.Bus;
using Antmicro.Renode.Time;

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class STM32H7_ADC : IDoubleWordPeripheral, IKnownSize
    {
        public STM32H7_ADC(IMachine machine, int frequency = 32000000, int numberOfConverters = 2)
        {
            this.machine = machine;
            this.frequency = frequency;
            IRQ = new GPIO();
            end = Stride * numberOfConverters;
            if(numberOfConverters == 1)
            {
                inputs = new Dictionary<uint, double> { { 17, Reference / 4 }, { 18, 0.61 }, { 19, 1.216 } };
            }
            for(var i = 0; i < converters.Length; i++)
            {
                converters[i] = new Converter(this);
            }
        }

        public void Reset()
        {
            common = 0;
            foreach(var converter in converters)
            {
                converter.Reset();
            }
            Update();
        }

        public uint ReadDoubleWord(long offset)
        {
            switch(offset)
            {
            case CommonStatus:
                return (converters[0].Status & 0x7FF) | ((converters[1].Status & 0x7FF) << 16);
            case CommonControl:
                return common;
            default:
                return offset < end ? converters[offset / Stride].Read(offset % Stride) : 0;
            }
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            if(offset == CommonControl)
            {
                common = value & 0x01FFCF1F;
            }
            else if(offset < end)
            {
                converters[offset / Stride].Write(offset % Stride, value);
            }
            Update();
        }

        public long Size => 0x400;

        public GPIO IRQ { get; }

        private void Update()
        {
            IRQ.Set(converters.Any(converter => (converter.Status & converter.Enabled) != 0));
        }

        private uint common;

        private readonly IMachine machine;
        private readonly int frequency;
        private readonly long end; // of the converters' registers
        private readonly Dictionary<uint, double> inputs = new Dictionary<uint, double>();
        private readonly Converter[] converters = new Converter[2];

        private const double Reference = 3.3;
        private const long Stride = 0x100;
        private const long CommonStatus = 0x300;
        private const long CommonControl = 0x308;

        private class Converter
        {
            public Converter(STM32H7_ADC parent)
            {
                this.parent = parent;
                Reset();
            }

            public void Reset()
            {
                generation[0]++;
                generation[1]++;
                values.Clear();
                foreach(var offset in Writable.Keys)
                {
                    values[offset] = 0;
                }
                values[Control] = DeepPowerDown;
                values[Configuration] = 1u << 31;
                values[0x24] = values[0xB4] = values[0xBC] = 0x03FFFFFF;
                for(var i = 0; i < 4; i++)
                {
                    values[InjectedData + 4 * i] = 0;
                }
                Status = values[Data] = 0;
            }

            public uint Read(long offset)
            {
                if(offset == 0)
                {
                    return Status;
                }
                if(offset == Data)
                {
                    Status &= ~EndOfConversion;
                    parent.Update();
                }
                return values.TryGetValue(offset, out var value) ? value : 0;
            }

            public void Write(long offset, uint value)
            {
                if(offset == 0)
                {
                    Status &= ~(value & 0x7FF);
                }
                else if(offset == Control)
                {
                    Command(value);
                }
                else if(Writable.TryGetValue(offset, out var mask))
                {
                    values[offset] = value & mask;
                }
            }

            public uint Status { get; private set; }

            public uint Enabled => values[4];

            private void Command(uint value)
            {
                var old = values[Control];
                var next = (old & ~Settings) | (value & Settings);
                if((next & DeepPowerDown) != 0)
                {
                    next &= ~(Regulator | Enable);
                }
                var supplied = (next & Regulator) != 0;
                Status = (Status & ~SupplyReady) | (supplied ? SupplyReady : 0);
                if((value & Enable) != 0 && supplied && (old & (Enable | Calibrate)) == 0)
                {
                    next |= Enable;
                    Status |= 1;
                }
                if((value & Disable) != 0 && (old & (Start[0] | Start[1])) == 0)
                {
                    next &= ~Enable;
                }
                if((value & Calibrate) != 0 && supplied && (old & (Enable | Calibrate)) == 0)
                {
                    next |= Calibrate;
                    After(0, (next >> 16 & 1) != 0 ? 165010 : 5700, () =>
                    {
                        values[Control] = (values[Control] & ~Calibrate)
                            | ((values[Control] >> 16 & 1) != 0 ? 0x3Fu << 22 : 0);
                    });
                }
                values[Control] = next;
                for(var kind = 0; kind < 2; kind++)
                {
                    if((value & Stop[kind]) != 0 && (old & Start[kind]) != 0)
                    {
                        generation[kind]++;
                        values[Control] &= ~Start[kind];
                    }
                    else if((value & Start[kind]) != 0 && (next & Enable) != 0 && (old & Start[kind]) == 0)
                    {
                        values[Control] |= Start[kind];
                        if(!WaitsForTrigger(kind))
                        {
                            Convert(kind, 0);
                        }
                    }
                }
            }

            // None comes here: Renode's timers have no outputs for it
            private bool WaitsForTrigger(int kind)
            {
                return (kind == 0 ? values[Configuration] >> 10 & 3 : values[InjectedSequence] >> 7 & 3) != 0;
            }

            private void After(int kind, double clocks, Action action)
            {
                var mine = ++generation[kind];
                var duration = (ulong)Math.Round(clocks * 1e9 / parent.frequency);
                parent.machine.ScheduleAction(TimeInterval.FromNanoseconds(duration), _ =>
                {
                    if(mine == generation[kind])
                    {
                        action();
                        parent.Update();
                    }
                });
            }

            private List<uint> Channels(int kind)
            {
                if(kind == 1)
                {
                    var sequence = values[InjectedSequence];
                    return Enumerable.Range(0, (int)(sequence & 3) + 1)
                        .Select(i => sequence >> (9 + 6 * i) & 31).ToList();
                }
                return Enumerable.Range(1, (int)(values[Sequence] & 15) + 1)
                    .Select(i => values[Sequence + 4 * (i / 5)] >> (6 * (i % 5)) & 31).ToList();
            }

            private int Bits => Resolutions[values[Configuration] >> 2 & 7];

            private uint Ratio(int kind)
            {
                var settings = values[Oversampling];
                return (settings >> kind & 1) != 0 ? (settings >> 16 & 0x3FF) + 1 : 1;
            }

            private void Convert(int kind, int rank)
            {
                var channel = Channels(kind)[rank];
                var sampling = values[channel < 10 ? 0x14 : 0x18] >> (int)(3 * (channel % 10)) & 7;
                var clocks = (Sampling[sampling] + 0.5 + Bits / 2.0) * Ratio(kind);
                After(kind, clocks, () => Done(kind, rank));
            }

            private void Done(int kind, int rank)
            {
                var channels = Channels(kind);
                var last = rank + 1 >= channels.Count;
                parent.inputs.TryGetValue(channels[Math.Min(rank, channels.Count - 1)], out var volts);
                var value = (uint)Math.Round(volts / Reference * ((1 << Bits) - 1));
                if(Ratio(kind) > 1)
                {
                    value = value * Ratio(kind) >> (int)(values[Oversampling] >> 5 & 15);
                }
                value <<= (int)(values[Oversampling] >> 28);
                if(kind == 1)
                {
                    values[InjectedData + 4 * rank] = value;
                    Status |= (1u << 5) | (last ? 1u << 6 : 0);
                }
                else
                {
                    Status |= (Status & EndOfConversion) != 0 ? Overrun : 0;
                    if((Status & Overrun) == 0 || (values[Configuration] >> 12 & 1) != 0)
                    {
                        values[Data] = value;
                    }
                    Status |= (1u << 1) | EndOfConversion | (last ? 1u << 3 : 0);
                }
                if(!last || (kind == 0 && (values[Configuration] >> 13 & 1) != 0))
                {
                    Convert(kind, last ? 0 : rank + 1);
                }
                else if(!WaitsForTrigger(kind))
                {
                    values[Control] &= ~Start[kind];
                }
            }

            private readonly STM32H7_ADC parent;
            private readonly int[] generation = new int[2]; // of what waits, regular and injected
            private readonly Dictionary<long, uint> values = new Dictionary<long, uint>();

            private static readonly Dictionary<long, uint> Writable = new Dictionary<long, uint>
            {
                { 0x04, 0x7FF }, { 0x0C, 0xFFFF7FFF }, { 0x10, 0xF3FF7FE3 }, { 0x14, 0x3FFFFFFF },
                { 0x18, 0x3FFFFFFF }, { 0x1C, 0xFFFFF }, { 0x20, 0x03FFFFFF }, { 0x24, 0x03FFFFFF },
                { 0x30, 0x1F7DF7CF }, { 0x34, 0x1F7DF7DF }, { 0x38, 0x1F7DF7DF }, { 0x3C, 0x7DF },
                { 0x4C, 0xFBEFBFFF }, { 0x60, ~0u }, { 0x64, ~0u }, { 0x68, ~0u }, { 0x6C, ~0u },
                { 0xA0, 0xFFFFF }, { 0xA4, 0xFFFFF }, { 0xB0, 0x03FFFFFF }, { 0xB4, 0x03FFFFFF },
                { 0xB8, 0x03FFFFFF }, { 0xBC, 0x03FFFFFF }, { 0xC0, 0xFFFFF }, { 0xC4, 0x07FF07FF },
                { 0xC8, 0x3FFFFFFF },
            };
            private static readonly int[] Resolutions = { 16, 14, 12, 10, 8, 14, 12, 8 };
            private static readonly double[] Sampling = { 1.5, 2.5, 8.5, 16.5, 32.5, 64.5, 387.5, 810.5 };
            private static readonly uint[] Start = { 1 << 2, 1 << 3 };
            private static readonly uint[] Stop = { 1 << 4, 1 << 5 };

            private const uint Enable = 1 << 0;
            private const uint Disable = 1 << 1;
            private const uint Regulator = 1 << 28;
            private const uint DeepPowerDown = 1 << 29;
            private const uint Calibrate = 1u << 31;
            private const uint Settings = 0x7FC10300;
            private const uint EndOfConversion = 1 << 2;
            private const uint Overrun = 1 << 4;
            private const uint SupplyReady = 1 << 12;
            private const long Control = 0x08;
            private const long Configuration = 0x0C;
            private const long Oversampling = 0x10;
            private const long Sequence = 0x30;
            private const long Data = 0x40;
            private const long InjectedSequence = 0x4C;
            private const long InjectedData = 0x80;
        }
    }
}

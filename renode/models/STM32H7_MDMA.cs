//
// Master DMA of the STM32H7 (RM0433 section 14) for Renode, which has none: by request of software.
// Same behaviour as omvsim.peripherals.mdma.
//
using System;
using System.Collections.Generic;
using System.Linq;

using Antmicro.Renode.Core;
using Antmicro.Renode.Peripherals.Bus;

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class STM32H7_MDMA : IDoubleWordPeripheral, IKnownSize
    {
        public STM32H7_MDMA(IMachine machine)
        {
            this.machine = machine;
            IRQ = new GPIO();
        }

        public void Reset()
        {
            Array.Clear(values, 0, values.Length);
            Array.Clear(whole, 0, whole.Length);
            Update();
        }

        public uint ReadDoubleWord(long offset)
        {
            if(offset == 0)
            {
                return active;
            }
            var place = offset - First;
            return place >= 0 && place < Stride * Channels ? values[place / Stride, place % Stride / 4] : 0;
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            var place = offset - First;
            if(place < 0 || place >= Stride * Channels)
            {
                return;
            }
            var channel = place / Stride;
            var register = place % Stride / 4;
            if(register == Clear)
            {
                values[channel, Status] &= ~value;
                values[channel, Error] = (value & 1) != 0 ? 0 : values[channel, Error];
            }
            else if(Masks.TryGetValue(register, out var mask))
            {
                var old = values[channel, register];
                values[channel, register] = value & mask;
                if(register == Control)
                {
                    Command(channel, value, old);
                }
            }
            Update();
        }

        public long Size => 0x1000;

        public GPIO IRQ { get; }

        private void Command(long channel, uint value, uint old)
        {
            if((value & ~old & 1) != 0)
            {
                whole[channel] = values[channel, Count] & Bytes;
            }
            if((value & 1) == 0 || (value >> 16 & 1) == 0 || (values[channel, Transfer] >> 30 & 1) == 0)
            {
                return;
            }
            for(var i = 0; i < Most && Serve(channel); i++);
        }

        // A block; is there more to be done for this request?
        private bool Serve(long channel)
        {
            var how = values[channel, Transfer] >> 28 & 3;
            while((values[channel, Count] & Bytes) != 0)
            {
                if(!Buffer(channel))
                {
                    values[channel, Status] |= 1;
                    values[channel, Control] &= ~1u;
                    return false;
                }
                values[channel, Status] |= 1u << 4;
                if(how == 0 && (values[channel, Count] & Bytes) != 0)
                {
                    return false;
                }
            }
            values[channel, Status] |= 1u << 3;
            if(values[channel, Count] >> 20 != 0)
            {
                var count = values[channel, Count];
                var steps = values[channel, Steps];
                values[channel, Source] += (count >> 18 & 1) != 0 ? 0 - (steps & 0xFFFF) : steps & 0xFFFF;
                values[channel, Target] += (count >> 19 & 1) != 0 ? 0 - (steps >> 16) : steps >> 16;
                values[channel, Count] = (count & ~Bytes) - (1u << 20) + whole[channel];
                return how >= 2;
            }
            values[channel, Status] |= 1u << 2;
            var node = values[channel, Link];
            if(node == 0)
            {
                values[channel, Status] |= 1u << 1;
                values[channel, Control] &= ~1u;
                return false;
            }
            for(var n = 0; n < Node.Length; n++)
            {
                if(Node[n] != 0)
                {
                    values[channel, Node[n]] = machine.SystemBus.ReadDoubleWord(node + 4 * (ulong)n);
                }
            }
            whole[channel] = values[channel, Count] & Bytes;
            return how == 3;
        }

        // At most TLEN + 1 bytes; false where one of them is nowhere.
        private bool Buffer(long channel)
        {
            var transfer = values[channel, Transfer];
            var length = Math.Min((transfer >> 18 & 0x7F) + 1, values[channel, Count] & Bytes);
            var width = 1 << (int)(transfer >> 4 & 3);
            var room = 1 << (int)(transfer >> 6 & 3);
            var items = new List<byte[]>();
            for(var i = 0; i < (length + width - 1) / width; i++)
            {
                if(!Reaches(channel, Source, 16))
                {
                    return false;
                }
                items.Add(machine.SystemBus.ReadBytes(values[channel, Source], width));
                values[channel, Source] = Stepped(values[channel, Source], transfer & 3, transfer >> 8 & 3);
            }
            foreach(var item in Packed(items, width, room, transfer))
            {
                if(!Reaches(channel, Target, 17))
                {
                    return false;
                }
                machine.SystemBus.WriteBytes(Swapped(item, values[channel, Control]), values[channel, Target]);
                values[channel, Target] = Stepped(values[channel, Target], transfer >> 2 & 3, transfer >> 10 & 3);
            }
            values[channel, Count] -= length;
            return true;
        }

        // SBUS and DBUS: the AHB bus reaches the TCMs, and nothing else does.
        private bool Reaches(long channel, long register, int bus)
        {
            var address = values[channel, register];
            var coupled = address < 0x10000 || (address >= 0x20000000 && address < 0x20020000);
            if(coupled == ((values[channel, Trigger] >> bus & 1) != 0)
                && machine.SystemBus.WhatIsAt(address) != null)
            {
                return true;
            }
            values[channel, Error] = (address & 0x7F) | (register == Source ? 1u << 7 : 0);
            return false;
        }

        private static uint Stepped(uint address, uint increment, uint offset)
        {
            var step = 1u << (int)offset;
            return increment == 2 ? address + step : increment == 3 ? address - step : address;
        }

        private static IEnumerable<byte[]> Packed(List<byte[]> items, int width, int room, uint transfer)
        {
            if((transfer >> 25 & 1) != 0 || width == room)
            {
                var bytes = items.SelectMany(item => item).ToArray();
                return Enumerable.Range(0, (bytes.Length + room - 1) / room)
                    .Select(n => Sized(bytes.Skip(n * room).Take(room), room, 0));
            }
            var alignment = transfer >> 26 & 3;
            if(alignment == 2)
            {
                return items.Select(item => width > room ? item.Skip(width - room).ToArray()
                    : new byte[room - width].Concat(item).ToArray());
            }
            return items.Select(item => Sized(item.Take(room), room,
                alignment == 1 && (item[width - 1] & 0x80) != 0 ? (byte)0xFF : (byte)0));
        }

        private static byte[] Sized(IEnumerable<byte> item, int room, byte fill)
        {
            var result = item.ToList();
            while(result.Count < room)
            {
                result.Add(fill);
            }
            return result.ToArray();
        }

        // BEX, HEX and WEX exchange bytes, half words and words.
        private static byte[] Swapped(byte[] item, uint control)
        {
            for(var level = 0; level < 3; level++)
            {
                var size = 1 << level;
                if((control >> (12 + level) & 1) != 0 && item.Length >= 2 * size)
                {
                    item = Enumerable.Range(0, item.Length).Select(n => item[n ^ size]).ToArray();
                }
            }
            return item;
        }

        private void Update()
        {
            active = 0;
            for(var channel = 0; channel < Channels; channel++)
            {
                if((values[channel, Status] & values[channel, Control] >> 1 & 0x1F) != 0)
                {
                    active |= 1u << channel;
                }
            }
            IRQ.Set(active != 0);
        }

        private uint active;

        private readonly IMachine machine;
        private readonly uint[,] values = new uint[Channels, Stride / 4];
        private readonly uint[] whole = new uint[Channels]; // bytes of a block

        private static readonly Dictionary<long, uint> Masks = new Dictionary<long, uint>
        {
            { Control, 0x70FF }, { Transfer, 0xFFFFFFFF }, { Count, 0xFFFDFFFF }, { Source, ~0u },
            { Target, ~0u }, { Steps, ~0u }, { Link, ~0u }, { Trigger, 0x3003F }, { 12, ~0u }, { 13, ~0u },
        };
        private static readonly long[] Node = { Transfer, Count, Source, Target, Steps, Link, Trigger, 0, 12, 13 };

        private const int Channels = 16;
        private const int Stride = 0x40;
        private const int Most = 1 << 12; // blocks after which a list that has no end gives way
        private const long First = 0x40;
        private const uint Bytes = 0x1FFFF;
        private const long Status = 0;
        private const long Clear = 1;
        private const long Error = 2;
        private const long Control = 3;
        private const long Transfer = 4;
        private const long Count = 5;
        private const long Source = 6;
        private const long Target = 7;
        private const long Steps = 8;
        private const long Link = 9;
        private const long Trigger = 10;
    }
}

//
// USB on-the-go core of the STM32H7 (RM0433 section 57) with nothing plugged in, for Renode, which
// has none. Same behaviour as omvsim.peripherals.otg.
//
using System.Collections.Generic;
using System.Linq;

using Antmicro.Renode.Core;
using Antmicro.Renode.Peripherals.Bus;
using Antmicro.Renode.Time;

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class STM32H7_OTG : IDoubleWordPeripheral, IKnownSize
    {
        public STM32H7_OTG(IMachine machine)
        {
            this.machine = machine;
            IRQ = new GPIO();
            Reset();
        }

        public void Reset()
        {
            foreach(var register in Registers)
            {
                values[register.Key] = register.Value.Item1;
            }
            Update();
        }

        public uint ReadDoubleWord(long offset)
        {
            return values.TryGetValue(offset, out var value) ? value : 0;
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            if(!Registers.TryGetValue(offset, out var register))
            {
                return;
            }
            var old = values[offset];
            values[offset] = (old & ~register.Item2 | value & register.Item2) & ~(value & register.Item3);
            var place = (offset & 0x1F);
            if(offset == CoreReset)
            {
                Begin(value);
            }
            else if(offset == DeviceControl)
            {
                Toggle(value >> 7, 1u << 2);
                Toggle(value >> 9, 1u << 3);
            }
            else if(place == 0 && offset >= HostChannels && offset < HostChannels + Channels * Stride)
            {
                values[offset] = value;
                if((value & Disable) != 0)
                {
                    values[offset + 8] |= ((value | old) & Enable) >> 30;
                    values[offset] &= ~(Enable | Disable);
                }
            }
            else if(place == 0 && IsEndpoint(offset, In))
            {
                values[offset + 8] |= (value & SetNak) != 0 ? 1u << 6 : 0;
                Endpoint(offset, value, old, offset == In);
            }
            else if(place == 0 && IsEndpoint(offset, Out))
            {
                Endpoint(offset, offset == Out ? value & ~Disable : value, old, offset == Out);
            }
            Update();
        }

        public long Size => 0x1000;

        public GPIO IRQ { get; }

        private static bool IsEndpoint(long offset, long first)
        {
            return offset >= first && offset < first + Endpoints * Stride;
        }

        private void Begin(uint value)
        {
            if((value & 1) != 0)
            {
                var kept = Kept.ToDictionary(one => one.Key, one => values[one.Key] & one.Value);
                Reset();
                foreach(var one in kept)
                {
                    values[one.Key] = values[one.Key] & ~Kept[one.Key] | one.Value;
                }
            }
            values[CoreReset] = 1u << 31 | value & 0x7C0;
        }

        private void Toggle(uint bits, uint state)
        {
            if((bits & 3) != 0)
            {
                values[DeviceControl] = values[DeviceControl] & ~state | ((bits & 1) != 0 ? state : 0);
            }
        }

        // DIEPCTL or DOEPCTL
        private void Endpoint(long offset, uint value, uint old, bool zero)
        {
            var now = value & (zero ? 0x03F00003u : 0x03FC87FFu) | old & 0x00030000 | (value | old) & Enable;
            now = Change(now, value, SetNak, 1u << 26, 1u << 17);
            now = Change(now, value, 1u << 29, 1u << 28, 1u << 16);
            if((value & Disable) != 0)
            {
                values[offset + 8] |= ((value | old) & Enable) >> 30;
                now &= ~Enable;
            }
            values[offset] = zero ? now | 1u << 15 : now;
        }

        private static uint Change(uint now, uint value, uint on, uint off, uint state)
        {
            now = (value & off) != 0 ? now & ~state : now;
            return (value & on) != 0 ? now | state : now;
        }

        private void Set(long offset, uint bits, bool on)
        {
            values[offset] = on ? values[offset] | bits : values[offset] & ~bits;
        }

        private void Update()
        {
            var host = (values[Usb] & 1u << 29) != 0;
            var session = (values[Otg] & 0xC0) == 0xC0;
            Set(Otg, 1u << 19, session);
            Set(Otg, 1u << 18, (values[Otg] & 0x30) == 0x30);
            Set(Otg, 1u << 21, host);
            values[0x2C] = 0x00080000 | values[0x28] >> 16;
            uint endpoints = 0, channels = 0;
            for(var n = 0; n < Endpoints; n++)
            {
                var at = n * Stride;
                var fifo = values[In + at] >> 22 & 15;
                values[In + at + 0x18] = (fifo == 0 ? values[0x28] : fifo <= 8 ? values[0x100 + 4 * fifo] : 0) >> 16;
                var mask = values[0x810] | (values[0x834] >> n & 1) << 7;
                endpoints |= (values[In + at + 8] & mask) != 0 ? 1u << n : 0;
                endpoints |= (values[Out + at + 8] & values[0x814]) != 0 ? 1u << n + 16 : 0;
            }
            for(var n = 0; n < Channels; n++)
            {
                var at = HostChannels + n * Stride;
                channels |= (values[at + 8] & values[at + 0xC]) != 0 ? 1u << n : 0;
            }
            values[0x818] = endpoints;
            values[0x414] = channels;
            var told = endpoints & values[0x81C];
            Set(Status, 1u, host);
            Set(Status, 1u << 2, values[4] != 0);
            Set(Status, 1u << 6, (values[DeviceControl] & 1u << 2) != 0);
            Set(Status, 1u << 7, (values[DeviceControl] & 1u << 3) != 0);
            Set(Status, 1u << 18, (told & 0xFFFF) != 0);
            Set(Status, 1u << 19, told >> 16 != 0);
            Set(Status, 1u << 25, (channels & values[0x418]) != 0);
            var powered = (values[Charger] & 1u << 16) != 0 || (values[Usb] & 1u << 6) == 0;
            Sense(powered && session && !host && (values[DeviceControl] & 2) == 0);
            IRQ.Set((values[8] & 1) != 0 && (values[Status] & values[0x18]) != 0);
        }

        private void Sense(bool connected)
        {
            if(connected && !idle)
            {
                var mine = ++times;
                machine.ScheduleAction(TimeInterval.FromMilliseconds(3), _ =>
                {
                    if(idle && mine == times)
                    {
                        values[DeviceStatus] |= 1;
                        values[Status] |= 3u << 10;
                        Update();
                    }
                });
            }
            idle = connected;
            values[DeviceStatus] &= connected ? ~0u : ~1u;
        }

        // by offset: what it is after a reset, what is written, and what a one clears
        private static Dictionary<long, (uint, uint, uint)> Describe()
        {
            var all = new Dictionary<long, (uint, uint, uint)>
            {
                { 0x00, (0x00010000, 0x00101EFE, 0) }, { 0x04, (0, 0, 0x001E0304) }, { 0x08, (0, 0x000001BF, 0) },
                { 0x0C, (0x1400, 0x63FEBF5F, 0) }, { 0x10, (0x80000000, 0, 0) },
                { 0x14, (0x04000020, 0, 0xF8F0FC0A) }, { 0x18, (0, 0xFFFEFCFE, 0) }, { 0x1C, (0, 0, 0) }, { 0x20, (0, 0, 0) },
                { 0x24, (0x200, 0xFFFF, 0) }, { 0x28, (0x02000200, ~0u, 0) }, { 0x2C, (0x00080200, 0, 0) },
                { 0x38, (0, 0x003F0000, 0) }, { 0x3C, (0x2300, ~0u, 0) }, { 0x40, (0x4F54330A, 0, 0) }, { 0x44, (0, 0, 0) },
                { 0x48, (0x229FE190, 0, 0) }, { 0x4C, (0x03B8D2E8, 0, 0) }, { 0x50, (0xE3F00030, 0, 0) },
                { 0x54, (0, 0x11FE1F83, 0) }, { 0x100, (0x02000600, ~0u, 0) },
                { 0x400, (0, 0x7, 0) }, { 0x404, (0xEA60, 0xFFFF, 0) }, { 0x408, (0x3FFF, 0, 0) }, { 0x410, (0x00080100, 0, 0) },
                { 0x414, (0, 0, 0) }, { 0x418, (0, 0xFFFF, 0) }, { 0x440, (0, 0x1F1C0, 0x2E) },
                { 0x800, (0x02200000, 0x0300DFF7, 0) }, { 0x804, (2, 0x00060873, 0) }, { 0x808, (0x10, 0, 0) },
                { 0x810, (0, 0x237F, 0) }, { 0x814, (0, 0x737F, 0) }, { 0x818, (0, 0, 0) }, { 0x81C, (0, ~0u, 0) },
                { 0x828, (0x17D7, 0xFFFF, 0) }, { 0x82C, (0x5B8, 0xFFF, 0) }, { 0x830, (0, 0x0BFF07FF, 0) },
                { 0x834, (0, 0xFFFF, 0) }, { 0x838, (0, 0, 0) }, { 0x83C, (0, 0x00020002, 0) }, { 0xE00, (0, 0x23, 0) },
            };
            for(uint n = 0; n < 8; n++)
            {
                all[0x104 + 4 * n] = (0x02000400 + 0x200 * n, ~0u, 0);
            }
            for(var n = 0; n < Channels; n++)
            {
                var masks = new uint[] { 0, 0x8001FFFF, 0, 0x7FF, ~0u, ~0u };
                for(var i = 0; i < masks.Length; i++)
                {
                    all[HostChannels + n * Stride + 4 * i] = (0, masks[i], i == 2 ? 0x7FFu : 0);
                }
            }
            for(var n = 0; n < Endpoints; n++)
            {
                foreach(var first in new[] { In, Out })
                {
                    var at = first + n * Stride;
                    all[at] = (n == 0 ? 1u << 15 : 0, 0, 0);
                    all[at + 8] = (1u << 7, 0, first == In ? 0x2B7Fu : 0xF37Fu);
                    all[at + 0x10] = (0, 0x7FFFFFFF, 0);
                    all[at + 0x14] = (0, ~0u, 0);
                }
                all[In + n * Stride + 0x18] = (0x200, 0, 0);
            }
            return all;
        }

        private ulong times;
        private bool idle;

        private readonly IMachine machine;
        private readonly Dictionary<long, uint> values = new Dictionary<long, uint>();

        private const uint SetNak = 1u << 27;
        private const uint Disable = 1u << 30;
        private const uint Enable = 1u << 31;
        private const long Otg = 0x00;
        private const long Usb = 0x0C;
        private const long CoreReset = 0x10;
        private const long Status = 0x14;
        private const long Charger = 0x38;
        private const long HostChannels = 0x500;
        private const long DeviceControl = 0x804;
        private const long DeviceStatus = 0x808;
        private const long In = 0x900;
        private const long Out = 0xB00;
        private const long Stride = 0x20;
        private const int Channels = 16;
        private const int Endpoints = 9;

        // what a reset of the core leaves as it is (57.14.5), by mask
        private static readonly Dictionary<long, uint> Kept = new Dictionary<long, uint>
        {
            { 0xE00, 0x23 }, { 0x400, 0x7 }, { Charger, 0x003F0000 }, { 0x800, 3 }, { DeviceControl, 2 },
        };
        private static readonly Dictionary<long, (uint, uint, uint)> Registers = Describe();
    }
}

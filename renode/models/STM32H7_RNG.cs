//
// Random number generator of the STM32H7 (RM0433 section 34) for Renode, whose own one begins anew
// with each CPU thread and never sets CED. Same numbers and times as omvsim.peripherals.rng.
//
using System;
using System.Globalization;

using Antmicro.Renode.Core;
using Antmicro.Renode.Exceptions;
using Antmicro.Renode.Peripherals.Bus;
using Antmicro.Renode.Time;

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class STM32H7_RNG : IDoubleWordPeripheral, IKnownSize
    {
        public STM32H7_RNG(IMachine machine)
        {
            this.machine = machine;
            IRQ = new GPIO();
            words[0] = 5489;
            for(var i = 1; i < Words; i++)
            {
                words[i] = 1812433253 * (words[i - 1] ^ (words[i - 1] >> 30)) + (uint)i;
            }
        }

        public void Reset()
        {
            control = 0;
            busy = false;
            Update();
        }

        // The state of a Mersenne Twister: 624 words and an index, each in 8 hexadecimal digits.
        public void Seed(string state)
        {
            if(state.Length != 8 * (Words + 1))
            {
                throw new RecoverableException($"{state.Length} digits, not {8 * (Words + 1)}");
            }
            for(var i = 0; i <= Words; i++)
            {
                var word = uint.Parse(state.Substring(8 * i, 8), NumberStyles.HexNumber);
                if(i < Words)
                {
                    words[i] = word;
                }
                else
                {
                    index = Math.Min((int)word, Words);
                }
            }
        }

        public uint ReadDoubleWord(long offset)
        {
            switch(offset)
            {
            case Control:
                return control;
            case Status:
                return Ready ? DataReady : 0;
            case Data:
                if(!Ready)
                {
                    return 0;
                }
                Begin();
                Update();
                return Next();
            default:
                return 0;
            }
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            if(offset != Control)
            {
                return; // no error ever is there to be cleared
            }
            var enabled = (control & Enable) != 0;
            control = value & (Enable | InterruptEnable | ClockErrorDetection);
            if((control & Enable) == 0)
            {
                busy = false;
            }
            else if(!enabled)
            {
                Begin();
            }
            Update();
        }

        public long Size => 0x400;

        public GPIO IRQ { get; }

        private void Begin()
        {
            busy = true;
            readyAt = Now + WordTime;
            if((control & InterruptEnable) != 0)
            {
                machine.ScheduleAction(TimeInterval.FromNanoseconds(WordTime), _ => Update());
            }
        }

        private void Update()
        {
            IRQ.Set((control & InterruptEnable) != 0 && Ready);
        }

        private uint Next()
        {
            if(index == Words)
            {
                for(var i = 0; i < Words; i++)
                {
                    var y = (words[i] & 0x80000000) | (words[(i + 1) % Words] & 0x7FFFFFFF);
                    words[i] = words[(i + 397) % Words] ^ (y >> 1) ^ ((y & 1) * 0x9908B0DF);
                }
                index = 0;
            }
            var x = words[index++];
            x ^= x >> 11;
            x ^= (x << 7) & 0x9D2C5680;
            x ^= (x << 15) & 0xEFC60000;
            return x ^ (x >> 18);
        }

        private bool Ready => busy && (control & Enable) != 0 && Now >= readyAt;

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

        private uint control;
        private bool busy; // a word is made, or there
        private ulong readyAt;
        private int index = Words;

        private readonly IMachine machine;
        private readonly uint[] words = new uint[Words];

        private const int Words = 624;
        private const ulong WordTime = 833; // ns: about 40 periods of the 48 MHz rng_clk
        private const uint Enable = 1 << 2;
        private const uint InterruptEnable = 1 << 3;
        private const uint ClockErrorDetection = 1 << 5;
        private const uint DataReady = 1;
        private const long Control = 0x00;
        private const long Status = 0x04;
        private const long Data = 0x08;
    }
}

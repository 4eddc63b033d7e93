//
// Hardware semaphores of the STM32H7 (RM0433 section 10) for Renode, which has none. Same behaviour
// as omvsim.peripherals.hsem.
//
using Antmicro.Renode.Core;
using Antmicro.Renode.Peripherals.Bus;

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class STM32H7_HSEM : IDoubleWordPeripheral, IKnownSize
    {
        public STM32H7_HSEM(IMachine machine)
        {
            IRQ = new GPIO();
        }

        public void Reset()
        {
            System.Array.Clear(semaphores, 0, semaphores.Length);
            enabled = freed = key = 0;
            Update();
        }

        public uint ReadDoubleWord(long offset)
        {
            if(offset < OneStep + 4 * semaphores.Length)
            {
                var index = offset / 4 % semaphores.Length;
                if(offset >= OneStep && (semaphores[index] & Lock) == 0)
                {
                    semaphores[index] = Lock | (Master << 8);
                }
                return semaphores[index];
            }
            switch(offset)
            {
            case InterruptEnable:
                return enabled;
            case InterruptStatus:
                return freed;
            case MaskedStatus:
                return freed & enabled;
            case Key:
                return key;
            default:
                return 0;
            }
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            if(offset < OneStep)
            {
                Take(offset / 4, value);
                return;
            }
            switch(offset)
            {
            case InterruptEnable:
                enabled = value;
                break;
            case InterruptClear:
                freed &= ~value;
                break;
            case Clear:
                for(var i = 0; i < semaphores.Length && value >> 16 == key >> 16; i++)
                {
                    if((semaphores[i] & Lock) != 0 && ((semaphores[i] ^ value) & 0xFF00) == 0)
                    {
                        Free(i);
                    }
                }
                break;
            case Key:
                key = value & 0xFFFF0000;
                break;
            }
            Update();
        }

        public long Size => 0x400;

        public GPIO IRQ { get; }

        private void Take(long index, uint value)
        {
            var old = semaphores[index];
            if((value & Lock) != 0 && (old & Lock) == 0 && ((value >> 8) & 0xFF) == Master)
            {
                semaphores[index] = Lock | (value & Owner);
            }
            else if((value & Lock) == 0 && (old & Lock) != 0 && ((value ^ old) & Owner) == 0)
            {
                Free(index);
                Update();
            }
        }

        private void Free(long index)
        {
            semaphores[index] = 0;
            freed |= 1u << (int)index;
        }

        private void Update()
        {
            IRQ.Set((freed & enabled) != 0);
        }

        private uint enabled, freed, key;

        private readonly uint[] semaphores = new uint[32];

        private const uint Lock = 1u << 31;
        private const uint Owner = 0xFFFF; // MASTERID and PROCID
        private const uint Master = 3; // the Cortex-M7
        private const long OneStep = 0x80;
        private const long InterruptEnable = 0x100;
        private const long InterruptClear = 0x104;
        private const long InterruptStatus = 0x108;
        private const long MaskedStatus = 0x10C;
        private const long Clear = 0x140;
        private const long Key = 0x144;
    }
}

//
// SDMMC of the STM32H7 (RM0433 section 55) without a card, for Renode: a command that waits for a
// response times out at once. Same behaviour as omvsim.peripherals.sdmmc, but for the time it takes.
//
using Antmicro.Renode.Core;
using Antmicro.Renode.Core.Structure.Registers;
using Antmicro.Renode.Peripherals.Bus;

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class STM32H7_SDMMC : BasicDoubleWordPeripheral, IKnownSize
    {
        public STM32H7_SDMMC(IMachine machine, uint frequency) : base(machine)
        {
            IRQ = new GPIO();

            Registers.Power.Define(this)
                .WithValueField(0, 5, name: "POWER");

            Registers.Clock.Define(this)
                .WithValueField(0, 10, name: "CLKDIV")
                .WithFlag(12, name: "PWRSAV")
                .WithValueField(14, 8, name: "WIDBUS to SELCLKRX");

            Registers.DataTimer.Define(this).WithValueField(0, 32, name: "DATATIME");
            Registers.DataLength.Define(this).WithValueField(0, 25, name: "DATALENGTH");
            Registers.DataControl.Define(this).WithValueField(0, 14, name: "DCTRL");
            Registers.AcknowledgeTimer.Define(this).WithValueField(0, 25, name: "ACKTIME");
            Registers.DmaControl.Define(this).WithValueField(0, 3, name: "IDMACTRL");
            Registers.DmaBufferSize.Define(this).WithValueField(5, 8, name: "IDMABNDT");
            Registers.DmaBuffer.DefineMany(this, 2, (register, _) => register.WithValueField(0, 32, name: "IDMABASE"));
            Registers.Fifo.DefineMany(this, 16, (register, _) => register.WithValueField(0, 32, name: "FIFODATA"));

            Registers.Argument.Define(this)
                .WithValueField(0, 32, name: "CMDARG");

            Registers.Command.Define(this)
                .WithValueField(0, 32, name: "CMDR")
                .WithWriteCallback((_, value) => Command(value));

            Registers.Status.Define(this)
                .WithValueField(0, 32, FieldMode.Read, valueProviderCallback: _ => status, name: "STAR");

            Registers.Clear.Define(this)
                .WithValueField(0, 32, FieldMode.Write, name: "ICR")
                .WithWriteCallback((_, value) => { status &= ~(value & Clearable); Update(); });

            Registers.Mask.Define(this)
                .WithValueField(0, 29, name: "MASKR")
                .WithWriteCallback((_, value) => { mask = value; Update(); });
        }

        public override void Reset()
        {
            base.Reset();
            status = 0;
            mask = 0;
            Update();
        }

        public GPIO IRQ { get; private set; }

        public long Size => 0x400;

        private void Command(uint value)
        {
            if((value & Enable) == 0)
            {
                return;
            }
            status |= (value & WaitsForResponse) == 0 ? CommandSent : CommandTimeout;
            Update();
        }

        private void Update()
        {
            IRQ.Set((status & mask) != 0);
        }

        private uint status;
        private uint mask;

        private const uint Enable = 1u << 12;
        private const uint WaitsForResponse = 3u << 8;
        private const uint CommandTimeout = 1u << 2;
        private const uint CommandSent = 1u << 7;
        private const uint Clearable = 0x1FE00FFF;

        private enum Registers
        {
            Power = 0x00,
            Clock = 0x04,
            Argument = 0x08,
            Command = 0x0C,
            DataTimer = 0x24,
            DataLength = 0x28,
            DataControl = 0x2C,
            Status = 0x34,
            Clear = 0x38,
            Mask = 0x3C,
            AcknowledgeTimer = 0x40,
            DmaControl = 0x50,
            DmaBufferSize = 0x54,
            DmaBuffer = 0x58,
            Fifo = 0x80,
        }
    }
}

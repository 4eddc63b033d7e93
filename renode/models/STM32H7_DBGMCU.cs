//
// Debug unit of the STM32H742, H743, H753 and H750 (RM0433 section 60.5.8) for Renode: the device
// identity. Same behaviour as omvsim.peripherals.dbgmcu.
//
using Antmicro.Renode.Core;
using Antmicro.Renode.Core.Structure.Registers;
using Antmicro.Renode.Peripherals.Bus;

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class STM32H7_DBGMCU : BasicDoubleWordPeripheral, IKnownSize
    {
        public STM32H7_DBGMCU(IMachine machine) : base(machine)
        {
            Registers.Identity.Define(this, RevisionV << 16 | Device)
                .WithValueField(0, 32, FieldMode.Read, name: "IDC");

            foreach(var register in new[] { Registers.Control, Registers.Freeze3, Registers.Freeze1L, Registers.Freeze2, Registers.Freeze4 })
            {
                register.Define(this).WithValueField(0, 32, name: register.ToString());
            }
        }

        public long Size => 0x400;

        private const uint Device = 0x450;
        private const uint RevisionV = 0x2003;

        private enum Registers
        {
            Identity = 0x00,
            Control = 0x04,
            Freeze3 = 0x34,
            Freeze1L = 0x3C,
            Freeze2 = 0x4C,
            Freeze4 = 0x54,
        }
    }
}

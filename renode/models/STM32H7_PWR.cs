//
// Power control of the STM32H7 (RM0433 section 6) for Renode, which has none: ready flags that
// firmware waits for. Same behaviour as omvsim.peripherals.pwr.
//
using Antmicro.Renode.Core;
using Antmicro.Renode.Core.Structure.Registers;
using Antmicro.Renode.Peripherals.Bus;

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    [AllowedTranslations(AllowedTranslation.ByteToDoubleWord | AllowedTranslation.WordToDoubleWord)]
    public class STM32H7_PWR : BasicDoubleWordPeripheral, IKnownSize
    {
        public STM32H7_PWR(IMachine machine) : base(machine)
        {
            Registers.Control1.Define(this, 0xF000C000)
                .WithFlag(0, name: "LPDS")
                .WithValueField(4, 6, name: "PVDE, PLS, DBP, FLPS")
                .WithValueField(14, 5, name: "SVOS, AVDEN, ALS")
                .WithValueField(28, 4, FieldMode.Read, name: "reserved, kept at reset value");

            Registers.ControlStatus1.Define(this)
                .WithFlag(13, FieldMode.Read, valueProviderCallback: _ => true, name: "ACTVOSRDY")
                .WithValueField(14, 2, FieldMode.Read, valueProviderCallback: _ => scale.Value, name: "ACTVOS");

            Registers.Control2.Define(this)
                .WithFlag(0, out var backupRegulator, name: "BREN")
                .WithFlag(4, name: "MONEN")
                .WithFlag(16, FieldMode.Read, valueProviderCallback: _ => backupRegulator.Value, name: "BRRDY");

            Registers.Control3.Define(this, 0x00000006, softResettable: false)
                .WithValueField(0, 3, name: "BYPASS, LDOEN, SCUEN")
                .WithValueField(8, 2, name: "VBE, VBRS")
                .WithFlag(24, out var detector, name: "USB33DEN")
                .WithFlag(25, out var regulator, name: "USBREGEN")
                .WithFlag(26, FieldMode.Read, valueProviderCallback: _ => detector.Value || regulator.Value, name: "USB33RDY");

            Registers.CpuControl.Define(this)
                .WithValueField(0, 3, name: "PDDS")
                .WithFlag(11, name: "RUN_D3");

            Registers.D3Control.Define(this, 0x00004000)
                .WithFlag(13, FieldMode.Read, valueProviderCallback: _ => true, name: "VOSRDY")
                .WithValueField(14, 2, out scale, name: "VOS");

            Registers.WakeupClear.Define(this)
                .WithValueField(0, 6, FieldMode.Write, name: "WKUPC");

            Registers.WakeupFlag.Define(this)
                .WithValueField(0, 6, FieldMode.Read, name: "WKUPF");

            Registers.WakeupEnable.Define(this, softResettable: false)
                .WithValueField(0, 6, name: "WKUPEN")
                .WithValueField(8, 6, name: "WKUPP")
                .WithValueField(16, 12, name: "WKUPPUPD");
        }

        public long Size => 0x400;

        private readonly IValueRegisterField scale;

        private enum Registers
        {
            Control1 = 0x00,
            ControlStatus1 = 0x04,
            Control2 = 0x08,
            Control3 = 0x0C,
            CpuControl = 0x10,
            D3Control = 0x18,
            WakeupClear = 0x20,
            WakeupFlag = 0x24,
            WakeupEnable = 0x28,
        }
    }
}

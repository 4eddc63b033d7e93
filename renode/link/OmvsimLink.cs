//
// What joins a camera in Renode to the testbed: it runs the emulation in slices of virtual time
// and hands over what came out of the camera meanwhile, each with its time. Renode itself can do
// this with TAP devices and sockets only, which need privileges and run in host time.
//
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;

using Antmicro.Renode.Core;
using Antmicro.Renode.Exceptions;
using Antmicro.Renode.Logging;
using Antmicro.Renode.Network;
using Antmicro.Renode.Peripherals;
using Antmicro.Renode.Peripherals.Bus;
using Antmicro.Renode.Peripherals.CPU;
using Antmicro.Renode.Peripherals.IRQControllers;
using Antmicro.Renode.Peripherals.Network;
using Antmicro.Renode.Peripherals.UART;
using Antmicro.Renode.Time;
using Antmicro.Renode.UserInterface;
using Antmicro.Renode.Utilities;

namespace Antmicro.Renode.Testbed
{
    public static class OmvsimLinkExtensions
    {
        public static void CreateOmvsimLink(this Emulation emulation, string name)
        {
            emulation.ExternalsManager.AddExternal(new OmvsimLink(), name);
        }
    }

    public class OmvsimLink : IExternal
    {
        public void Attach(CortexM cpu, IMACInterface ethernet, IUART console)
        {
            this.cpu = cpu;
            this.ethernet = ethernet;
            this.console = console;
            machine = cpu.GetMachine();
            nothing = new Nothing(machine, cpu, BusError);
            ethernet.FrameReady += frame => Note('f', Hex(frame.Bytes));
            console.CharReceived += value => Note('c', value.ToString("X2"));
            cpu.AddHookAtInterruptBegin(OnInterrupt);
            machine.StateChanged += (_, change) =>
            {
                if(change.CurrentState == MachineStateChangedEventArgs.State.Disposed)
                {
                    notes.Append("d\n");
                }
            };
            machine.MachineReset += _ => Note('r', "");
        }

        // Executes the monitor's commands that come through a pair of FIFOs, one a line, until the
        // other end is gone; then there is no more use for this process. (Renode's own servers
        // listen on every network interface.) From the first `link Step` on the emulation runs,
        // and commands are taken where all of it stands still between two slices: to start and
        // stop it for each slice takes longer than the slice.
        public void Serve(string folder)
        {
            monitor = ObjectCreator.Instance.GetSurrogate<Monitor>();
            // without a buffer of its own, which mono waits to be full
            var commands = new FileStream(folder + "/commands", FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 1);
            input = new StreamReader(commands, new UTF8Encoding(false), false, 1 << 16);
            output = new StreamWriter(folder + "/answers");
            Execute();
            var emulation = EmulationManager.Instance.CurrentEmulation;
            source = emulation.MasterTimeSource;
            source.SyncHook += Between;
            Pace();
            emulation.RunFor(TimeInterval.Maximal);
        }

        // Lines of a step: KIND TIME DATA, last `t` with the time reached.
        private void Between(TimeInterval elapsed)
        {
            FeedConsole();
            while(notes.Length > 0 || Now >= until)
            {
                Answer("PASS", notes.Append($"t {Now} {cpu.ExecutedInstructions}").ToString());
                notes.Clear();
                Execute();
                FeedConsole();
            }
            Pace();
        }

        // Commands, until `link Step UNTIL SLICE`: to a virtual time in ns, in slices of so many, at
        // most to the end of the slice in which something came out.
        private void Execute()
        {
            for(var line = input.ReadLine(); line != null; line = input.ReadLine())
            {
                var words = line.Split(' ');
                if(words.Length == 4 && words[0] == "link" && words[1] == "Step")
                {
                    until = ulong.Parse(words[2]);
                    slice = ulong.Parse(words[3]);
                    return;
                }
                var interaction = new CommandInteractionWrapper(new DummyCommandInteraction());
                string error;
                try
                {
                    var done = monitor.Parse(line, interaction);
                    error = interaction.GetError();
                    error = done || error.Length > 0 ? error : "not understood";
                }
                catch(Exception e)
                {
                    error = e.Message;
                }
                Answer(error.Length > 0 ? "FAIL" : "PASS", error.Length > 0 ? error : interaction.GetContents());
            }
            Environment.Exit(0);
        }

        private void Answer(string status, string told)
        {
            output.Write($"{status} {told.Split('\n').Length}\n{told}\n");
            output.Flush();
        }

        // The next slice: longer and longer while the core sleeps, when there is nobody to be late for.
        private void Pace()
        {
            var executed = cpu.ExecutedInstructions;
            var busy = typed.Count > 0 || (executed - lastExecuted) * 1000 * Busy > paced * cpu.PerformanceInMips;
            lastExecuted = executed;
            paced = busy ? slice : Math.Min(Math.Max(2 * paced, slice), Asleep);
            source.Quantum = TimeInterval.FromNanoseconds(Math.Max(1, Math.Min(paced, until - Now)));
        }

        // The button on the board.
        public void Reset()
        {
            machine.RequestReset();
        }

        // A frame without FCS arrives now.
        public void Frame(string hex)
        {
            // a driver may leave RBSZ at 0, which boards accept; Renode then stores nothing
            var control = machine.SystemBus.ReadDoubleWord(ReceiveControl);
            if((control & BufferSize) == 0)
            {
                machine.SystemBus.WriteDoubleWord(ReceiveControl, control | LargestFrame << 1);
            }
            try
            {
                if(EthernetFrame.TryCreateEthernetFrame(Bytes(hex), true, out var frame))
                {
                    ethernet.ReceiveFrame(frame);
                }
            }
            catch(Exception e) // Renode's dissector raises many kinds, of a frame that a fault has cut
            {
                this.Log(LogLevel.Warning, "A frame is lost: {0}", e.Message);
            }
        }

        // Bytes for the console; they arrive one at a time, as fast as its baud rate allows.
        public void Type(string hex)
        {
            foreach(var value in Bytes(hex))
            {
                typed.Enqueue(value);
            }
            FeedConsole();
        }

        // What reads give in a range of peripherals that nothing models.
        public void Tag(ulong first, ulong last, ulong value)
        {
            nothing.Tag(first, last, (uint)value);
        }

        // Accesses that nothing models: how many places are not listed, then a line for each that
        // is: address, 1 for a write, PC and value of the first access, count; in hexadecimal.
        public string Unmodelled()
        {
            return nothing.ToString();
        }

        private void FeedConsole()
        {
            while(typed.Count > 0 && Now >= nextByte)
            {
                console.WriteChar(typed.Dequeue());
                nextByte = Now + 10 * 1000000000UL / console.BaudRate;
            }
        }

        private void OnInterrupt(ulong exception)
        {
            // the core's own numbers: undefined instruction, prefetch abort, data abort
            if(exception == 1 || exception == 3 || exception == 4)
            {
                NoteFault((int)exception, 0);
            }
        }

        private void BusError(uint address)
        {
            const uint PreciseError = 1 << 9, AddressValid = 1 << 15; // of BFSR, in CFSR
            cpu.FaultStatus |= PreciseError | AddressValid;
            NoteFault(BusFault, address);
            var enabled = (machine.SystemBus.ReadDoubleWord(0xE000ED24) & (1 << 17)) != 0;
            nothing.Controller.SetPendingIRQ(enabled ? BusFault : HardFault);
        }

        private void NoteFault(int exception, uint address)
        {
            var bus = machine.SystemBus;
            var text = new StringBuilder($"{exception}");
            for(var i = 0; i < 16; i++)
            {
                text.Append($" {cpu.GetRegister(i).RawValue:X}");
            }
            text.Append($" {cpu.FaultStatus:X} {bus.ReadDoubleWord(0xE000ED2C):X}");
            text.Append($" {bus.ReadDoubleWord(0xE000ED34):X} {address:X}");
            Note('x', text.ToString());
        }

        private void Note(char kind, string data)
        {
            cpu.SyncTime();
            paced = slice;
            notes.Append($"{kind} {Now} {data}\n");
        }

        private ulong Now => machine.ElapsedVirtualTime.TimeElapsed.TotalNanoseconds;

        private static string Hex(byte[] data) => BitConverter.ToString(data).Replace("-", "");

        private static byte[] Bytes(string hex)
        {
            if(hex.Length % 2 != 0)
            {
                throw new RecoverableException("an odd number of hexadecimal digits");
            }
            var data = new byte[hex.Length / 2];
            for(var i = 0; i < data.Length; i++)
            {
                data[i] = Convert.ToByte(hex.Substring(2 * i, 2), 16);
            }
            return data;
        }

        private CortexM cpu;
        private IMACInterface ethernet;
        private IUART console;
        private IMachine machine;
        private Nothing nothing;
        private Monitor monitor;
        private StreamReader input;
        private StreamWriter output;
        private MasterTimeSource source;
        private ulong nextByte, until, slice, paced, lastExecuted;

        private readonly Queue<byte> typed = new Queue<byte>();
        private readonly StringBuilder notes = new StringBuilder();

        private const ulong ReceiveControl = 0x40029108; // ETH_DMACRXCR (RM0433 58.11)
        private const uint BufferSize = 0x3FFF << 1; // RBSZ
        private const uint LargestFrame = 1524;
        private const int HardFault = 3;
        private const int BusFault = 5;
        private const ulong Asleep = 5000000; // ns of the longest slice
        private const ulong Busy = 20; // a core that works more than one part in so many
    }

    // Answers where the board has nothing: among the peripherals such an access is listed and a tag
    // tells what is read, elsewhere it is a bus error. Renode itself reads 0 and writes to its log.
    [AllowedTranslations(AllowedTranslation.QuadWordToDoubleWord)]
    public class Nothing : IDoubleWordPeripheral, IWordPeripheral, IBytePeripheral
    {
        public Nothing(IMachine machine, CortexM cpu, Action<uint> busError)
        {
            this.cpu = cpu;
            this.busError = busError;
            bus = machine.SystemBus;
            var others = bus.GetRegisteredPeripherals().ToArray();
            Controller = others.Select(other => other.Peripheral).OfType<NVIC>().First();
            var next = 0UL;
            foreach(var range in others.Select(other => other.RegistrationPoint.Range).OrderBy(range => range.StartAddress))
            {
                Take(next, Math.Min(range.StartAddress, End));
                next = Math.Max(next, range.EndAddress + 1);
            }
            Take(next, End);
        }

        public void Reset()
        {
        }

        public void Tag(ulong first, ulong last, uint value)
        {
            tags.Add(Tuple.Create((long)first, (long)last, value));
        }

        public override string ToString()
        {
            var lines = places.Select(place => $"{place.Key.Item1:X} {(place.Key.Item2 ? 1 : 0)} {place.Value[0]:X} {place.Value[1]:X} {place.Value[2]:X}");
            return string.Join("\n", new[] { $"{beyond:X}" }.Concat(lines));
        }

        public uint ReadDoubleWord(long offset) => Read(offset);

        public ushort ReadWord(long offset) => (ushort)Read(offset);

        public byte ReadByte(long offset) => (byte)Read(offset);

        public void WriteDoubleWord(long offset, uint value) => Note(offset, true, value);

        public void WriteWord(long offset, ushort value) => Note(offset, true, value);

        public void WriteByte(long offset, byte value) => Note(offset, true, value);

        public NVIC Controller { get; }

        private void Take(ulong first, ulong end)
        {
            foreach(var border in new[] { Peripherals, PeripheralsEnd, End })
            {
                var until = Math.Min(border, end);
                if(first < until)
                {
                    bus.Register(this, new BusRangeRegistration(first, until - first, offset: first));
                    first = until;
                }
            }
        }

        private uint Read(long address)
        {
            Note(address, false, 0);
            var tag = tags.FirstOrDefault(found => found.Item1 <= address && address <= found.Item2);
            return tag == null ? 0 : tag.Item3 >> (int)(8 * (address & 3));
        }

        private void Note(long address, bool write, uint value)
        {
            if(!bus.TryGetCurrentCPU(out var _))
            {
                return;
            }
            if(address < (long)Peripherals || address >= (long)PeripheralsEnd)
            {
                busError((uint)address);
                return;
            }
            var key = Tuple.Create(address, write);
            if(!places.TryGetValue(key, out var place))
            {
                if(places.Count == Most)
                {
                    beyond++;
                    return;
                }
                places[key] = place = new[] { cpu.PC.RawValue, value, 0UL };
            }
            place[2]++;
        }

        private int beyond;

        private readonly CortexM cpu;
        private readonly IBusController bus;
        private readonly Action<uint> busError;
        private readonly List<Tuple<long, long, uint>> tags = new List<Tuple<long, long, uint>>();
        private readonly SortedDictionary<Tuple<long, bool>, ulong[]> places = new SortedDictionary<Tuple<long, bool>, ulong[]>();

        private const int Most = 1000;
        private const ulong Peripherals = 0x40000000;
        private const ulong PeripheralsEnd = 0x60000000;
        private const ulong End = 0xE0000000; // the core's own
    }
}

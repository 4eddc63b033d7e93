//
// What joins a camera in Renode to the testbed: it runs the emulation in slices of virtual time
// and hands over what came out of the camera meanwhile, each with its time. Renode itself can do
// this with TAP devices and sockets only, which need privileges and run in host time.
//
using System;
using System.Collections.Generic;
using System.IO;
using System.Text;

using Antmicro.Renode.Core;
using Antmicro.Renode.Exceptions;
using Antmicro.Renode.Network;
using Antmicro.Renode.Peripherals;
using Antmicro.Renode.Peripherals.Bus;
using Antmicro.Renode.Peripherals.CPU;
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
        // listen on every network interface.)
        public void Serve(string folder)
        {
            var monitor = ObjectCreator.Instance.GetSurrogate<Monitor>();
            // without a buffer of its own, which mono waits to be full
            var commands = new FileStream(folder + "/commands", FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 1);
            using(var input = new StreamReader(commands, new UTF8Encoding(false), false, 1 << 16))
            using(var output = new StreamWriter(folder + "/answers"))
            {
                for(var line = input.ReadLine(); line != null; line = input.ReadLine())
                {
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
                    var told = error.Length > 0 ? error : interaction.GetContents();
                    output.Write($"{(error.Length > 0 ? "FAIL" : "PASS")} {told.Split('\n').Length}\n{told}\n");
                    output.Flush();
                }
            }
            Environment.Exit(0);
        }

        // Runs to a virtual time in ns, at most to the end of the slice in which something came
        // out. Lines: KIND TIME DATA, last `t` with the time reached.
        public string Step(ulong until, ulong slice)
        {
            var emulation = EmulationManager.Instance.CurrentEmulation;
            while(notes.Length == 0)
            {
                var now = Now;
                if(now >= until)
                {
                    break;
                }
                emulation.RunFor(TimeInterval.FromNanoseconds(Math.Min(slice, until - now)));
                FeedConsole();
            }
            var told = notes.Append($"t {Now} {cpu.ExecutedInstructions}").ToString();
            notes.Clear();
            return told;
        }

        // A frame without FCS arrives now.
        public void Frame(string hex)
        {
            if(EthernetFrame.TryCreateEthernetFrame(Bytes(hex), true, out var frame))
            {
                ethernet.ReceiveFrame(frame);
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
                var bus = machine.SystemBus;
                var text = new StringBuilder($"{exception}");
                for(var i = 0; i < 16; i++)
                {
                    text.Append($" {cpu.GetRegister(i).RawValue:X}");
                }
                text.Append($" {bus.ReadDoubleWord(0xE000ED28):X} {bus.ReadDoubleWord(0xE000ED2C):X}");
                text.Append($" {bus.ReadDoubleWord(0xE000ED34):X} {bus.ReadDoubleWord(0xE000ED38):X}");
                Note('x', text.ToString());
            }
        }

        private void Note(char kind, string data)
        {
            cpu.SyncTime();
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
        private ulong nextByte;

        private readonly Queue<byte> typed = new Queue<byte>();
        private readonly StringBuilder notes = new StringBuilder();
    }
}

"""The engine that is Renode, in a process of its own: renode/link/OmvsimLink.cs is its other end.

The monitor's commands go through a pair of FIFOs in a folder that nobody else can enter: Renode's
own servers (monitor, robot server) listen on every network interface, and execute what they are
told. Virtual time goes on in slices: what the camera sends is told with its own time, what it
gets may come up to a slice late.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import select
import shutil
import subprocess
import tempfile
import time
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether

from netsim import paths
from omvsim import formats, processes
from omvsim.board import Board
from omvsim.engine import Engine, Fault, Stop, Unmodelled
from omvsim.errors import UserError
from omvsim.image import ROOT, Image
from omvsim.peripherals.base import COLD_RTC

RELEASE = "1.16.1"
RCC_BDCR = 0x58024470
PIN_RESET = 1 << 22 | 1 << 17  # RCC_RSR: PINRSTF, CPURSTF
LINK = ROOT / "renode/link/OmvsimLink.cs"
#: blocks, beside the console, of which Renode warns that it does not model bits that firmware may
#: write; their errors are still logged (ETH_MACCR.SARC is 0 from reset on, and called reserved)
QUIET = ("syscfg", "nvic", "ethernet", "ethernet.phy")
STRIDE = 100_000_000  # ns of virtual time between two looks at the host's clock
#: ns of virtual time between two looks at what came out. Of a TLS client: shorter ones change no
#: time and cost more, 0.2 ms saves a tenth of the host's and adds 70 ms to the camera's
SLICE = 100_000
ASLEEP = 5_000_000  # the longest, of a core that sleeps,
BUSY = 25  # which executes less than one instruction in so many ns
STALLED = 20.0  # host seconds in which Renode uses no core at all, and says nothing
MOST = 300.0  # seconds of a core for its start, or for one command
#: of what came in one slice, why a run has come back
GRAVITY = (Stop.DEADLINE, Stop.CONSOLE, Stop.FRAME, Stop.RESET, Stop.FAULT)
#: by what Renode's core calls them (5: the link's own), and the bits of CFSR that it sets only then
FAULTS = {
    1: ("UsageFault", 1 << 16), 3: ("MemManage", 1 << 0), 4: ("MemManage", 1 << 7 | 1 << 1),
    5: ("BusFault", 0),
}  # fmt: skip
#: what renode-run writes down: the default installation of each variant
RENODE_RUN = Path.home() / ".config/renode/renode-run.json"
HOW = (
    f"no Renode: set RENODE to its program, or install {RELEASE} with `omvsim renode install` "
    "(README: Renode)"
)


def find() -> Path:
    """The program: RENODE, else on PATH, else where renode-run puts it; UserError if nowhere."""
    if named := os.environ.get("RENODE"):
        path = Path(named).expanduser()
        program = path / "renode" if os.path.isdir(path) else path
        if not os.path.isfile(program) or not os.access(program, os.X_OK):
            raise UserError(f"RENODE={named}: no program there: name Renode's own, or unset it")
        return program
    if known := shutil.which("renode"):
        return Path(known)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        folders: dict[str, str] = json.loads(RENODE_RUN.read_text())["default"]
        for folder in folders.values():
            if os.path.isfile(program := Path(folder) / "renode"):
                return program
    raise UserError(HOW)


def version_of(program: Path) -> str:
    """What the program says of its version; UserError if it is no Renode."""
    with processes.folder() as own, (own / "said").open("w+", errors="replace") as said:
        try:
            process = subprocess.Popen(
                [program, "--version"], stdin=subprocess.DEVNULL, stdout=said,
                stderr=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, "TMPDIR": str(own)},
            )  # fmt: skip
        except OSError as error:
            raise UserError(f"{program}: cannot start it: {error.strerror}") from None
        try:
            watch = processes.Watch(process.pid, MOST, STALLED)
            while process.poll() is None:
                if watch.look():
                    raise UserError(f"{program}: {watch.verdict} at --version: is it Renode?")
                time.sleep(0.02)
        finally:
            processes.end(process)
        said.seek(0)
        text = said.read()
    found = re.search(r"Renode,? v?(?:ersion )?(\d+\.\d+\.\d+)", text)
    if not found:
        raise UserError(f"{program}: does not call itself Renode: set RENODE to Renode's program")
    return found[1]


@cache
def _version_as_of(program: Path, stamp: object) -> str:
    """For each camera of a process; as long as the program is the same file."""
    return version_of(program)


class Renode:
    """An `Engine` in another process. Times are virtual nanoseconds since power-on."""

    name = "renode"

    def __init__(
        self,
        board: Board,
        image: Image,
        *,
        seed: int = 1,
        rtc_start: datetime | None = None,
    ) -> None:
        script = board.path.with_suffix(".resc")
        if not os.path.isfile(script):
            raise UserError(f"{script}: missing: Renode needs the script beside the board")
        program = find()
        self.version = _version_as_of(program, paths.stamp(program))
        if self.version != RELEASE:
            raise UserError(f"{program}: Renode {self.version}, needs {RELEASE}: set RENODE")
        self.now = self.instructions = self.hertz = self.programmed_hertz = 0
        self._slice = SLICE
        self.evidence: Path | None = None  # a folder for Renode's log
        self.patience_ns = self.hold_ns = self.unmodelled_beyond = 0
        self.hold_until = b""
        self.fault: Fault | None = None
        self._printed = bytearray()
        self._unmodelled: list[Unmodelled] = []
        self._frames: list[tuple[int, bytes]] = []
        self._stopped: Stop | None = None
        self._own = Path(tempfile.mkdtemp(prefix="omvsim-renode-"))
        self.log = self._own / "renode.log"
        self._commands = self._answers = -1
        self._process = _start(program, self._own)
        self._watcher = processes.Watcher(group=self._process.pid, path=self._own)
        try:
            self._commands, self._answers = _connect(self._process, self._own)
            self._heard = b""
            self._do(f"logFile @{self.log}")
            self._do(f"emulation SetSeed {seed}")
            # never wait for the host's clock
            self._do("emulation SetGlobalAdvanceImmediately true")
            self._do(f"$bin=@{_plain(image, self._own)}")
            self._do(f"include @{script}")
            for address, content in image.added:
                (self._own / "added.bin").write_bytes(content)
                self._do(f"sysbus LoadBinary @{self._own / 'added.bin'} 0x{address:X}")
            words = random.Random(seed).getstate()[1]
            self._do(f'sysbus.rng Seed "{"".join(f"{word:08X}" for word in words)}"')
            if rtc_start and rtc_start.replace(tzinfo=None) != COLD_RTC:
                self._do(f'sysbus.rtc Keep "{rtc_start.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"')
                self._do(f"sysbus WriteDoubleWord {RCC_BDCR} 0x8103")  # LSE and RTC have run on
            self._do(f"link Attach sysbus.cpu sysbus.ethernet sysbus.{board.console}")
            for block in (*QUIET, board.console):
                self._do(f"logLevel 3 sysbus.{block}")
            for tag in (tag for tag in board.tags if tag.value):
                self._do(f"link Tag 0x{tag.first:X} 0x{tag.last:X} 0x{tag.value:X}")
        except BaseException:
            self.close()
            raise

    # What the rest of the testbed calls

    @property
    def unmodelled(self) -> list[Unmodelled]:
        """What came until now, also of a Renode that is no more."""
        with contextlib.suppress(UserError):
            told = (line.split() for line in self._do("link Unmodelled").splitlines())
            [self.unmodelled_beyond], *places = (
                [int(n, 16) for n in line] for line in told if line
            )
            self._unmodelled = [Unmodelled(at, bool(write), *rest) for at, write, *rest in places]
        return self._unmodelled

    def memory(self, address: int, size: int) -> bytes | None:
        return None

    @property
    def clock(self) -> datetime | None:
        return None

    def run(self, until: int) -> Stop:
        host_end = time.monotonic_ns() + self.patience_ns if self.patience_ns else None
        while True:
            stop = self._step(min(until, self.now + STRIDE))
            if stop is not Stop.DEADLINE or self.now >= until:
                return stop
            if host_end is not None and time.monotonic_ns() >= host_end:
                return Stop.HOST

    def _step(self, until: int) -> Stop:
        began = self.now, self.instructions
        told = self._do(f"link Step {until} {SLICE}")
        stops = [Stop.DEADLINE]
        for line in told.splitlines():
            kind, _, rest = line.strip().partition(" ")
            at, _, data = rest.partition(" ")
            match kind:
                case "t":
                    self.now, self.instructions = int(at), int(data)
                case "f":
                    self._frames.append((int(at), mended(bytes.fromhex(data))))
                    stops.append(Stop.FRAME)
                case "c":
                    self._printed += bytes.fromhex(data)
                    stops.append(Stop.CONSOLE)
                case "r":
                    stops.append(Stop.RESET)
                    if Stop.FAULT not in stops:
                        self.fault = None
                case "x":
                    self.fault = _fault(int(at), data)
                    stops.append(Stop.FAULT)
        idle = (self.instructions - began[1]) * BUSY < self.now - began[0] and len(stops) == 1
        self._slice = min(2 * self._slice, ASLEEP) if idle else SLICE
        return max(stops, key=GRAVITY.index)

    @property
    def wake(self) -> int:
        """What comes in may be late by a slice, asleep a longer one: nobody need ask before."""
        return self.now + self._slice

    def doze(
        self, others: Sequence[tuple[Engine, int]], until: int, lookahead: int
    ) -> tuple[Engine, Stop] | None:
        return None

    def console_write(self, data: bytes) -> None:
        if data:
            self._do(f'link Type "{data.hex()}"')

    def console_read(self, rest: bool = False) -> bytes:
        data = bytes(self._printed)
        self._printed.clear()
        return data

    def frames(self) -> list[tuple[int, bytes]]:
        frames, self._frames = self._frames, []
        return frames

    def send_frame(self, frame: bytes) -> None:
        self._do(f'link Frame "{frame.ljust(60, bytes(1)).hex()}"')

    def set_link(self, up: bool) -> None:
        self._do(f"sysbus.ethernet.phy BasicStatus {0x782D if up else 0x7809}")

    def reset(self) -> None:
        self._do(f"sysbus.rcc Cause 0x{PIN_RESET:X}")
        self._do("link Reset")

    def snapshot(self) -> bytes:
        raise UserError("engine renode takes no snapshots")

    def restore(self, state: bytes) -> None:
        raise UserError("engine renode takes no snapshots")

    def keep(self, last: bool = False) -> None:
        """Each of its runs boots by itself."""

    def close(self) -> None:
        """End Renode and what it has left in its folder."""
        if self.log.exists() and self.evidence:
            (self.evidence / "renode.log").unlink(missing_ok=True)  # never through a link
            shutil.copyfile(self.log, self.evidence / "renode.log")
        for end in (self._commands, self._answers):
            if end >= 0:
                os.close(end)
        self._commands = self._answers = -1
        processes.end(self._process)
        shutil.rmtree(self._own, ignore_errors=True)
        self._watcher.close()

    def forget(self) -> None:
        """Its process has ended."""

    def _do(self, command: str) -> str:
        """A command of the monitor; what it prints."""
        try:
            os.write(self._commands, command.encode() + b"\n")
            status, _, lines = self._line(command).partition(" ")
            told = "\n".join(self._line(command) for _ in range(int(lines)))
        except (OSError, ValueError) as error:
            code = _ended(self._process)
            how = f"ended with {code}" if code is not None else f"broke off: {error}"
            raise UserError(f"Renode {how} at `{command}`{_last_words(self._own)}") from None
        if status != "PASS":
            raise UserError(f"Renode refuses `{command}`: {' '.join(told.split())[:300]}")
        return told

    def _line(self, command: str) -> str:
        """The next line of an answer; EOFError if there is none to come."""
        watch: processes.Watch | None = None
        while b"\n" not in self._heard:
            if not select.select([self._answers], [], [], 0.5)[0]:
                watch = watch or processes.Watch(self._process.pid, MOST, STALLED)
                if watch.look():
                    raise UserError(f"Renode {watch.verdict} and does not answer: {command}")
                continue
            data = os.read(self._answers, 1 << 16)
            if not data:
                raise OSError("end of its answers")
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode(errors="replace").rstrip("\r")


def mended(frame: bytes) -> bytes:
    """A frame as the board would send it: Renode 1.16.1 does not pad, and appends 60 zero bytes
    where the descriptor asks for CRC and pad insertion (CPC 00 in TDES3, RM0433 58.10.3)."""
    if zlib.crc32(frame[:-4]).to_bytes(4, "little") == frame[-4:]:
        frame = frame[:-4]  # the FCS, which no other part of the testbed has
    if len(frame) > 60 and not any(frame[-60:]) and _longer(frame):
        frame = frame[:-60]
    return _summed(frame).ljust(60, b"\0")


def _summed(frame: bytes) -> bytes:
    """With the checksums that the descriptor asks the MAC for (CIC in TDES3): Renode leaves 0. The
    IP header's is always one of them; UDP may do without its own (RFC 768)."""
    if frame[12:14] != b"\x08\x00" or len(frame) < 34 or any(frame[24:26]):
        return frame
    packet = Ether(frame)
    if IP not in packet:
        return frame
    whole = not (packet[IP].flags.MF or packet[IP].frag)
    parts = [packet.getlayer(layer) for layer in ((IP, TCP, UDP, ICMP) if whole else (IP,))]
    for part in parts:
        if part is not None and part.chksum == 0:
            del part.chksum  # scapy fills it in
    return bytes(packet)


def _longer(frame: bytes) -> bool:
    """Do 60 bytes follow what IPv4's total length, or ARP, says is there?"""
    size = {b"\x08\x00": int.from_bytes(frame[16:18], "big"), b"\x08\x06": 28}.get(frame[12:14])
    return size is not None and len(frame) >= 14 + size + 60


def _plain(image: Image, own: Path) -> Path:
    """The image as Renode loads it."""
    path = own / "image.elf"
    if image.elfs == (image.path,):
        shutil.copyfile(image.path, path)
    else:
        path.write_bytes(formats.elf(image.segments))
    return path


def _fault(now: int, data: str) -> Fault:
    exception, *values = (int(word, 16) for word in data.split())
    r, (cfsr, hfsr, mmfar, bfar) = tuple(values[:16]), values[16:]
    name, causes = FAULTS[exception]
    return Fault(name, now, r, 0, cfsr | causes, hfsr, mmfar, bfar)


def _start(program: Path, own: Path) -> subprocess.Popen[bytes]:
    """Renode, which serves the FIFOs in its folder; it deletes $TMPDIR/renode-*."""
    for name in ("commands", "answers"):
        os.mkfifo(own / name)
    script = own / "start.resc"
    script.write_text(f'include @{LINK}\nemulation CreateOmvsimLink "link"\nlink Serve "{own}"\n')
    command = [str(program), "--disable-xwt", "--plain", "--hide-log", "--console", "-e",
               f"include @{script}"]  # fmt: skip
    with (own / "output").open("wb") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True, env={**os.environ, "TMPDIR": str(own)},
        )  # fmt: skip


def _connect(process: subprocess.Popen[bytes], own: Path) -> tuple[int, int]:
    """The FIFOs' file descriptors, as soon as Renode reads."""
    watch = processes.Watch(process.pid, MOST, STALLED)
    while not watch.look():
        if (code := process.poll()) is not None:
            raise UserError(f"Renode ended with {code} at its start{_last_words(own)}")
        with contextlib.suppress(OSError):  # ENXIO: nobody reads yet
            commands = os.open(own / "commands", os.O_WRONLY | os.O_NONBLOCK)
            os.set_blocking(commands, True)
            return commands, os.open(own / "answers", os.O_RDONLY | os.O_NONBLOCK)
        time.sleep(0.05)
    raise UserError(f"Renode {watch.verdict} and does not begin{_last_words(own)}")


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """Its exit code, if it is ending."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(1)
    return None


def _last_words(own: Path) -> str:
    """The last line that Renode printed, or the exception behind a stack, behind a colon."""
    with contextlib.suppress(OSError):
        text = (own / "output").read_text(errors="replace")
        lines = [line.strip() for line in text.splitlines()]
        lines = [line for line in lines if line and not line.startswith(("at ", "--- "))]
        if lines:
            return f": {lines[-1][:200]}"
    return ""

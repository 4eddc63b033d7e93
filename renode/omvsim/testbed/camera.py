"""A camera: its engine and console, the scripts and files on it, its cable."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import netsim
from omvsim import board as repl
from omvsim import image as images
from omvsim.engine import Stop
from omvsim.engine import choice as engines
from omvsim.errors import UserError
from omvsim.evidence import CONSOLE_LIMIT, Evidence, cause
from omvsim.testbed import ends, portable, rawrepl, record
from omvsim.testbed.flash import FlashFile
from omvsim.testbed.named import BOARD, BOARDS, find_board, find_scenario, read_script
from omvsim.testbed.rawrepl import CTRL_B, CTRL_C, MAY_EXIT, Execution, ProtocolError, State
from omvsim.testbed.world import MILLISECOND, SECOND, World

PROMPT = re.compile(rb">>> $")
LAST_WORDS = 200 * MILLISECOND  # for the firmware's own fault report
STRIDE = 10 * SECOND  # the longest run between two looks at limits and signals,
BOOT_LIMIT = 10 * SECOND
SPEAKS, LEASES = 3 * SECOND // 2, 5 * SECOND  # after the prompt, where it uses its network
PATIENCE = 20 * MILLISECOND  # and that in host time
HOLD, BURSTS = 5 * MILLISECOND, 4  # a printed byte may wait so long for more, and so often


class Camera:
    """A camera in a world of its own, or in one where others are, as `name` (which DNS knows).

    Times are virtual nanoseconds since the world's first camera was switched on.
    """

    __test__ = False  # not a test, whatever pytest makes of its name
    stride = STRIDE
    halted = False  # locked up: its time stands still
    source = b""  # of the last script

    def __init__(
        self,
        firmware: Path | str | None = None,
        scenario: netsim.Scenario | str | Path | None = None,
        *,
        board: Path | str = BOARD,
        seed: int | None = None,
        out: Path | str | None = None,
        script: str = "",
        world: World | None = None,
        name: str = "camera",
        engine: str | None = None,
        outside: bool = False,
        console_limit: int = CONSOLE_LIMIT,
        capture_limit: int = netsim.CAPTURE_LIMIT,
        files: Mapping[str, str | Path] | None = None,
        before: Path | str | None = None,
        boot_limit: int = BOOT_LIMIT,
        flash: Path | str | None = None,
    ) -> None:
        """The limits are of the evidence, in bytes; `files` go to the camera beside the scenario's:
        texts, and files of this computer. The script `before` is run at its first prompt, which
        comes within `boot_limit` ns; `flash` is a file that holds the flash between runs."""
        own = portable.with_files(find_scenario(scenario, outside), files or {})
        self.scenario = own if seed is None else own.with_seed(seed)
        self.name = name
        self.world = world or World()
        others = self.world.cameras
        if name in (camera.name for camera in others):
            raise UserError(f"two cameras named {name} in one network: name them differently")
        self.power_on = self.world.now
        self._before = read_script(Path(before)) if before else b""
        self.image = images.load(Path(firmware) if firmware else None)
        if others:
            self.image = images.renumbered(self.image, len(others))
        board = find_board(board)
        description = repl.load(board)
        images.check_vectors(self.image, description.memories)
        self._flash = FlashFile(Path(flash), description) if flash else None
        self.unwritten = self._place_files(description.memories)  # before the first prompt
        first = None if others or flash else {**self.unwritten, "": self._before}
        chance = self.scenario.seed + len(others), self.scenario.camera.rtc
        self.engine = engines.make(engine, description, self.image, *chance, first)
        self.engine.patience_ns = PATIENCE
        self._link = self.scenario.camera.link
        self.engine.set_link(self._link)
        self.console, self.booted, self.written = bytearray(), False, dict[str, bytes]()
        self.printed: Callable[[bytes], object] = lambda data: None
        self._told_beside: Callable[[bytes, int], object] = lambda data, now: None
        self.waiting: Callable[[], object] = lambda: None
        text, kept = portable.pack(self.scenario, description, BOARDS) if out else ("", {})
        self.result = record.begun(
            self.image, board, self.scenario, self.engine, scenario, script=script,
            console_limit=console_limit, capture_limit=capture_limit, boot_limit_ns=boot_limit,
        )  # fmt: skip
        self._began, self._spoke = time.monotonic(), False  # until the first prompt
        self._fault: ends.FirmwareFault | None = None
        self._execution: Execution | None = None
        self._script_printed: Callable[[bytes], object] | None = None
        #: of certificates; and bytes of the console that the execution has seen
        self._certified, self._fed = itertools.count(), 0
        kept |= {record.BEFORE: self._before} if before else {}
        self.evidence = Evidence(Path(out), self.result, text, kept) if out else None
        self.engine.evidence = self.evidence.folder if self.evidence else None
        capture = self.evidence.capture if self.evidence else None
        try:
            self.port = self.world.join(self, capture, capture_limit)
        except BaseException as error:
            self._finish(*ends.outcome_of(error))
            raise
        self._watch()

    def _place_files(self, memories: list[range]) -> dict[str, bytes]:
        """Put the scenario's files into the image, where its file system is known and not that of
        a kept flash; those that are to be put on the camera itself."""
        files = netsim.camera_files(self.scenario)
        self._exits = any(map(MAY_EXIT.search, files.values()))
        if self._flash:
            self.image = self._flash.under(self.image)
        elif files and (held := images.holding(self.image, files, memories)):
            self.image = held
            return {}
        return files

    def _watch(self) -> None:
        """Keep what happens, also in the evidence of the network's first camera."""
        if self.evidence:
            self.evidence.watch(self.port, self.engine, lambda: self.time)
        first = self.world.cameras[0]
        if first is not self and first.evidence:
            event, self._told_beside = first.evidence.beside(first.name, self.name)
            self.port.on_event = record.both(self.port.on_event, event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close(*ends.outcome_of(error))

    @property
    def now(self) -> int:
        """The network's virtual time: what all cameras that run have reached."""
        return self.world.now if self.world.cameras else self.time

    @property
    def time(self) -> int:
        """This camera's time, which may be a little ahead of the others'."""
        return self.engine.now + self.power_on

    @property
    def network(self) -> netsim.Network:
        return self.world.network

    @property
    def idle(self) -> bool:
        """Has the last script ended?"""
        return self._execution is None

    def close(self, outcome: str = "passed", detail: str = "") -> None:
        """Write the evidence and let the camera go; the network goes with its first camera."""
        try:
            self.world.leave(self)
        except UserError as error:
            self._finish(*ends.outcome_of(error))
            raise
        kept = "a file of --flash" if self._flash else ""
        self.result.unrepeatable = self.network.beyond or self.port.beyond or kept
        self._finish(outcome, detail)

    def _finish(self, outcome: str, detail: str) -> None:
        with suppress(ProtocolError):
            self.read(rest=True)
        self.engine.close()
        if self.evidence:
            case = record.ended(self, outcome, detail, self._began)
            capture = self.port.capture
            self.result.capture_beyond = capture.beyond if capture else 0
            self.evidence.finish(self.result, case)
            self.evidence = None
        if self._flash:
            self._flash.save(self.engine)

    def cause(self, error: BaseException) -> str:
        """Why the camera has come to this exception, in a sentence (evidence.cause)."""
        case = record.case_of(self, *ends.outcome_of(error))
        return cause.sentence(case) if case else ""

    def _record(self, call: str, **arguments: Any) -> None:
        """Keep what comes from outside, for `omvsim replay`."""
        if self.evidence:
            self.evidence.call(self.now, call, arguments)

    def step(self, until: int) -> Stop:
        """Run to `until`, or to the next thing that happens; why the camera has come back."""
        return self.world.step(until)[self]

    def go_on(self, target: int, alone: bool) -> Stop:
        """Run to `target`; a camera that is alone only to its next frame or byte."""
        for burst in itertools.count(1):
            until = rawrepl.awaited(self._execution, self._spoke) if alone else b""
            hold = HOLD if until or self._prints else 0  # what replay knows, too
            self.engine.hold_until, self.engine.hold_ns = until, hold
            stop = self.engine.run(target - self.power_on)
            self.read()
            if stop is Stop.CONSOLE and self._prints and burst < BURSTS and self.time < target:
                continue
            halts = stop in (Stop.FAULT, Stop.LOCKUP)
            if halts or alone or self.time >= target:
                break
        return stop

    @property
    def _prints(self) -> bool:
        """Does a script run, whose output nobody answers?"""
        return self._execution is not None and self._execution.state is State.OUTPUT

    def read(self, rest: bool = False) -> None:
        """Take over what the camera has printed."""
        if printed := self.engine.console_read(rest):
            self.console += printed
            self._spoke = self._spoke or PROMPT.search(self.console) is not None
            if self.evidence:
                self.evidence.console(printed, self.time)
            self._told_beside(printed, self.time)
            self.printed(printed)
            self._attend()

    def sent(self) -> list[tuple[int, bytes]]:
        """Frames that it has sent since it was asked last, and when."""
        frames = [(at + self.power_on, frame) for at, frame in self.engine.frames()]
        self.result.frames_sent += len(frames)
        return frames

    def hear(self) -> None:
        """Take over what the network has for the camera."""
        if self.port.link != self._link:
            self._link = self.port.link
            self.engine.set_link(self._link)
        for frame in self.port.take():
            self.result.frames_received += 1
            self.engine.send_frame(frame)

    def note(self, stop: Stop) -> None:
        """Act on why it has come back. Raises FirmwareFault at the first fault."""
        self.halted = stop is Stop.LOCKUP
        if stop is Stop.RESET and self._execution:
            self._execution.reset = True
        if stop in (Stop.FAULT, Stop.LOCKUP) and self._fault is None:
            self._report_fault(stop)

    def _report_fault(self, stop: Stop) -> None:
        """Let the firmware say what it says about a fault, then raise FirmwareFault."""
        fault = self.engine.fault
        self._fault = ends.FirmwareFault(fault, stop is Stop.LOCKUP)
        end = self.now + LAST_WORDS
        while stop not in (Stop.LOCKUP, Stop.RESET) and self.now < end:
            stop = self.step(end)
            self.waiting()
        if stop is Stop.LOCKUP:
            self._fault = ends.FirmwareFault(fault, True)
        raise self._fault

    def run_until(
        self, condition: Callable[[], object], limit: int = 10 * SECOND, what: str = "it"
    ) -> None:
        """Run until the condition holds; TimeLimit after `limit` ns."""
        end = self.now + limit
        while not condition():
            if self.now >= end:
                raise ends.TimeLimit(
                    f"{what} did not come within {limit / SECOND:g} s of virtual time"
                )
            if self.step(min(end, self.now + self.stride)) is Stop.LOCKUP and self._fault:
                raise self._fault  # time stands still for this camera
            self.waiting()

    def run_for(self, nanoseconds: int) -> None:
        """Let time pass."""
        end = self.now + nanoseconds
        self.run_until(lambda: self.now >= end, nanoseconds + 1)

    def expect(self, pattern: str, limit: int = 10 * SECOND, start: int = 0) -> re.Match[bytes]:
        """Run until the console, from byte `start` on, shows a match of the regular expression."""
        compiled = re.compile(pattern.encode())
        self.run_until(lambda: compiled.search(self.console, start), limit, repr(pattern))
        found = compiled.search(self.console, start)
        assert found is not None
        return found

    def _await_prompt(self, start: int, limit: int = 10 * SECOND) -> None:
        """Run until the console, from byte `start` on, ends in the prompt."""
        self.run_until(lambda: PROMPT.search(self.console, start), limit, "the prompt")

    def boot(self, limit: int | None = None) -> None:
        """Run to the prompt; where the network is up, until the camera uses the address that DHCP
        has for it. Then its files, and what is to run before all else."""
        self._await_prompt(0, limit or self.result.boot_limit_ns)
        self.booted, began = True, self.now
        while self.port.seen is None and self.scenario.dhcp.enabled and self.scenario.camera.link:
            end = began + (LEASES if self.result.frames_sent else SPEAKS)
            if self.now >= end:
                break
            self.step(end)
            self.waiting()
        self.engine.keep()
        for name, content in self.unwritten.items():
            self.put(name, content)
        if self._before:
            source = self.source
            self.exec(self._before, self.result.boot_limit_ns)
            self.source = source
        self.engine.keep(last=True)

    def start(
        self, source: str | bytes, printed: Callable[[bytes], object] | None = None
    ) -> Execution:
        """Begin to run source in the raw REPL; it goes on with whatever lets time pass."""
        content = source.encode() if isinstance(source, str) else source
        self.result.exit_status = None
        self._record("start", source=content.decode("latin-1"))
        execution = Execution(content, self._exits or MAY_EXIT.search(content) is not None)
        self._execution, self._fed, self._script_printed = execution, len(self.console), printed
        self.source = content
        self.engine.console_write(execution.start())
        return execution

    def type(self, data: bytes) -> None:
        """Bytes for the console, as somebody at a terminal types them."""
        self._record("type", data=data.decode("latin-1"))
        self.engine.console_write(data)

    def _attend(self) -> None:
        """Pass what the camera has printed to the script that runs, and its answers back."""
        execution = self._execution
        if execution is None:
            return
        before = len(execution.output)
        reply = execution.feed(bytes(self.console[self._fed :]))
        self._fed = len(self.console)
        if reply:
            self.engine.console_write(reply)
        if self._script_printed and len(execution.output) > before:
            self._script_printed(bytes(execution.output[before:]))
        if execution.state is State.DONE:
            self._execution = None

    def finish(self, execution: Execution, limit: int = 20 * SECOND) -> str:
        """Wait for a script's end; what it printed. Raises ScriptError, TimeLimit."""
        self.run_until(
            lambda: execution.state is State.DONE or execution.reset, limit, "the script's end"
        )
        if execution.reset:
            self._execution = None
            raise ends.ScriptReset
        if execution.status is not None:
            self.result.exit_status = execution.status
            raise ends.ScriptExit(execution.status)
        if execution.traceback:
            raise ends.ScriptError(rawrepl.shown(execution.traceback))
        return rawrepl.shown(execution.output)

    def interrupt(self, execution: Execution, limit: int = 20 * SECOND) -> str:
        """Press Ctrl-C, then the same."""
        self.type(CTRL_C)
        return self.finish(execution, limit)

    def exec(
        self,
        source: str | bytes,
        limit: int = 20 * SECOND,
        printed: Callable[[bytes], object] | None = None,
    ) -> str:
        """Run source in the raw REPL; what it printed. Raises ScriptError, TimeLimit."""
        execution = self.start(source, printed)
        try:
            return self.finish(execution, limit)
        except ends.TimeLimit as error:
            self.locate(execution, error)
            raise

    def locate(self, execution: Execution, error: ends.TimeLimit) -> None:
        """Press Ctrl-C, and keep in the error the traceback that the script ends with."""
        try:
            self.interrupt(execution, SECOND)
        except ends.ScriptError as ended:
            error.traceback = str(ended)
        except (ends.TimeLimit, ends.FirmwareFault, ProtocolError):
            return  # it does not listen

    def put(self, name: str, content: bytes) -> None:
        """Write a file on the camera."""
        self._exits = self._exits or MAY_EXIT.search(content) is not None
        self.written[name.lstrip("/")] = content
        source = self.source
        self.exec(rawrepl.writing(name, content), 60 * SECOND)
        self.source = source

    def get(self, name: str) -> bytes:
        """Read a file of the camera."""
        return bytes.fromhex(self.exec(rawrepl.reading(name)).strip()[2:-1])

    def run(
        self,
        script: Path | str,
        limit: int = 20 * SECOND,
        printed: Callable[[bytes], object] | None = None,
    ) -> str:
        """Run a script file; what it printed."""
        return self.exec(read_script(Path(script)), limit, printed)

    def play(
        self, source: bytes, limit: int, printed: Callable[[bytes], object] | None = None
    ) -> str:
        """Boot and run one script: all of a run, in a form that `omvsim replay` repeats."""
        if self.evidence:
            self.result.time_limit_ns = limit
            self.evidence.keep("script.py", source)
        self.boot()
        return self.exec(source, limit, printed)

    def friendly(self) -> None:
        """Back to the friendly prompt."""
        start = len(self.console)
        self.type(CTRL_B)
        self.expect(">>> $", start=start)

    def soft_reset(self) -> None:
        """Ctrl-D at the friendly prompt, up to the next prompt."""
        self.friendly()
        start = len(self.console)
        self.type(b"\x04")
        self.expect("soft reboot", start=start)
        self._await_prompt(start)

    def serve(self, **server: Any) -> None:
        """Put another server into the network: keys of a scenario's [[server]]."""
        self._record("serve", **server)
        self.world.extend("server", **server)

    def call(self, **client: Any) -> None:
        """Let another client call the camera from now on: keys of a scenario's [[client]]."""
        self._record("call", **client)
        self.world.extend("client", **client)

    def suffer(self, **fault: Any) -> None:
        """Let something go wrong on the cable from now on: keys of a scenario's [[fault]]."""
        self.scenario = self.scenario.with_one("fault", **self._from_now(fault))
        self._record("suffer", **fault)
        self.port.suffer(self.scenario.faults[-1:], ())
        self.hear()

    def rule(self, **rule: Any) -> None:
        """Let a rule hold on the cable from now on: keys of a scenario's [[rule]]."""
        self.scenario = self.scenario.with_one("rule", **self._from_now(rule))
        self._record("rule", **rule)
        self.port.suffer((), self.scenario.rules[-1:])

    def _from_now(self, options: dict[str, Any]) -> dict[str, Any]:
        """Times in mid run count from now."""
        now = -(-self.now // MILLISECOND)
        windows = {key: options[key] + now for key in ("from_ms", "until_ms") if options.get(key)}
        return options | windows

    def certify(self, name: str, file: Path, key_file: Path | None = None) -> None:
        """Let a certificate of the host be known to the network as `name`."""
        if self.evidence:
            number = next(self._certified)
            kept = record.certificates(self.evidence, number, file=file, key_file=key_file)
            self._record("certify", name=name, **kept)
        self.world.certify(name, file, key_file)

    def set_link(self, up: bool) -> None:
        """Plug the camera's cable in or out."""
        self._record("set_link", up=up)
        self.network.set_link(up, self.now, self.port)
        self.hear()

    def reset(self) -> None:
        """Press the reset button and wait for the prompt."""
        start = len(self.console)
        self._record("reset")
        self.engine.reset()
        self._await_prompt(start)

    def ping(self, size: int = 32, limit: int = 2 * SECOND) -> int:
        """Ping the camera from the gateway; the round trip in ns. Raises TimeLimit."""
        address = self.port.address
        if address is None:
            raise UserError("the camera has no address yet")
        sent = self.now
        self._record("ping", size=size)
        ping = self.network.ping(address, sent, size=size)
        self.run_until(lambda: ping.reply_ns is not None, limit, f"an echo reply from {address}")
        assert ping.reply_ns is not None
        return ping.reply_ns - sent

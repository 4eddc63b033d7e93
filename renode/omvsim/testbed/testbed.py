"""The camera in its network: engine and netsim in one virtual time.

with Testbed() as testbed:
    testbed.boot()
    print(testbed.run(Path("firmware/examples/tls_client.py")))
"""

from __future__ import annotations

import codecs
import hashlib
import itertools
import re
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import netsim
from netsim import Event, paths
from netsim import scenario as scenarios
from netsim.tls import certificates
from omvsim import board as repl
from omvsim import image as images
from omvsim.engine import Fault, Stop
from omvsim.engine import choice as engines
from omvsim.errors import UserError
from omvsim.evidence import CONSOLE_LIMIT, OUTCOMES, Evidence, Result, cause
from omvsim.evidence.case import Case, packets
from omvsim.evidence.places import call_stack
from omvsim.testbed import portable
from omvsim.testbed.rawrepl import CTRL_B, CTRL_C, MAY_EXIT, Execution, ProtocolError, State

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
BOARD = images.ROOT / "renode/openmv_h7.repl"
PROMPT = re.compile(rb">>> $")
LOCKUP = "lock-up after"
LARGEST_SCRIPT = 1 << 20  # bytes, from standard input
LAST_WORDS = 200 * MILLISECOND  # for the firmware's own fault report
STRIDE = 10 * SECOND  # the longest run between two looks at limits and signals,
PATIENCE = 20 * MILLISECOND  # and that in host time
LAST_EVENTS = 5  # of the conversation, that are told beside a fault
HOLD = 5 * MILLISECOND  # how long a printed byte may wait for more, where nobody answers it
BURSTS = 4  # of them before conditions are looked at


class FirmwareFault(Exception):
    """The firmware took a fault exception or locked up."""

    def __init__(self, text: str, fault: Fault | None) -> None:
        super().__init__(text)
        self.fault = fault


def both(
    one: Callable[[Event], None] | None, other: Callable[[Event], None]
) -> Callable[[Event], None]:
    """What passes each event on to two."""

    def tell(event: Event) -> None:
        if one:
            one(event)
        other(event)

    return tell


class TimeLimit(Exception):
    """What was waited for did not come in time."""

    traceback = ""  # of the script that Ctrl-C has ended then


class ScriptError(Exception):
    """The script raised; `str()` is the camera's traceback."""


class ScriptExit(ScriptError):
    """The script called sys.exit() with `status`, which is neither 0 nor None."""

    def __init__(self, status: int | str) -> None:
        super().__init__(f"the script exited with {status}")
        self.status = status


def _text(printed: bytes | bytearray) -> str:
    return printed.decode(errors="replace").replace("\r\n", "\n")


@cache
def testbed_version() -> str:
    """The version of the installed package; nothing in a bare checkout."""
    try:
        return version("openmv-testbed")
    except PackageNotFoundError:
        return ""


class ScriptReset(ScriptError):
    """The script has reset the camera."""

    def __init__(self) -> None:
        super().__init__("the script has reset the camera, and nothing runs there any more")


def outcome_of(error: BaseException | None) -> tuple[str, str]:
    """How a run ended that ended with this exception: a key of OUTCOMES, and what to tell."""
    match error:
        case None:
            return "passed", ""
        case ScriptExit():
            outcome = "exited"
        case ScriptReset():
            outcome = "reset"
        case ScriptError():
            outcome = "exception"
        case FirmwareFault():
            outcome = "lockup" if str(error).startswith(LOCKUP) else "fault"
        case ProtocolError():
            outcome = "no REPL"
        case TimeLimit():
            outcome = "time limit"
        case BrokenPipeError():
            return "interrupted", "standard output was closed"
        case KeyboardInterrupt() | SystemExit():
            outcome = "interrupted"
        case _:
            outcome = "error"
    where = error.traceback if isinstance(error, TimeLimit) else ""
    return outcome, f"{error}\n{where}".rstrip("\n")


def find_scenario(
    name: netsim.Scenario | str | Path | None, outside: bool = False
) -> netsim.Scenario:
    """A scenario by file, or by the name of a packaged one; None is the default one. Files that it
    names lie below its folder, unless they may be outside."""
    if isinstance(name, netsim.Scenario):
        return name
    if name is None:
        return scenarios.default()
    path = Path(name)
    return scenarios.load(path, outside) if path.suffix == ".toml" else scenarios.named(str(name))


class Testbed:
    """A camera with its network. Times are virtual nanoseconds since power-on.

    `beside` names the testbed of another camera whose network this one joins, as `name` (which
    DNS knows); of its scenario its own `[camera]`, `[[fault]]` and `[[rule]]` hold then. Cameras
    of one network run in lock-step: whichever is waited for, all go on.
    """

    __test__ = False  # not a test, whatever pytest makes of its name
    stride = STRIDE
    _halted = False  # locked up: its time stands still
    _source = b""  # of the last script

    def __init__(
        self,
        firmware: Path | str | None = None,
        scenario: netsim.Scenario | str | Path | None = None,
        *,
        board: Path | str = BOARD,
        seed: int | None = None,
        out: Path | str | None = None,
        script: str = "",
        beside: Testbed | None = None,
        name: str = "camera",
        engine: str | None = None,
        outside: bool = False,
        console_limit: int = CONSOLE_LIMIT,
        capture_limit: int = netsim.CAPTURE_LIMIT,
        files: Mapping[str, str | Path] | None = None,
    ) -> None:
        """The limits are of the evidence, in bytes; `files` go to the camera beside the scenario's:
        texts, and files of this computer."""
        world = portable.with_files(find_scenario(scenario, outside), files or {})
        self.scenario = world if seed is None else world.with_seed(seed)
        self.name = name
        self._cameras: list[Testbed] = beside._cameras if beside else []
        if name in (camera.name for camera in self._cameras):
            raise UserError(f"two cameras named {name} in one network: name them differently")
        self._power_on = beside.now if beside else 0
        self.image = images.load(Path(firmware) if firmware else None)
        if self._cameras:
            self.image = images.renumbered(self.image, len(self._cameras))
        self._unwritten = netsim.camera_files(self.scenario)
        self._exits = any(map(MAY_EXIT.search, self._unwritten.values()))
        if self._unwritten and self.image.littlefs:
            self.image = images.holding(self.image, self._unwritten)
            self._unwritten = {}
        description = repl.load(board)
        images.check_vectors(self.image, description.memories)
        seed = self.scenario.seed + len(self._cameras)
        self.engine = engines.make(engine, description, self.image, seed, self.scenario.camera.rtc)
        self.engine.patience_ns = PATIENCE
        self._link = self.scenario.camera.link
        self.engine.set_link(self._link)
        self.console, self.booted, self._put = bytearray(), False, dict[str, bytes]()
        self.printed: Callable[[bytes], object] = lambda data: None
        self._told_beside: Callable[[bytes, int], object] = lambda data, now: None
        self.waiting: Callable[[], object] = lambda: None
        text, kept = portable.pack(self.scenario, description, BOARD) if out else ("", {})
        self.result = Result(
            script=script,
            image=images.display(self.image.path),
            image_sha256=self.image.sha256,
            board=images.display(Path(board)),
            scenario=str(scenario if isinstance(scenario, (str, Path)) else "default"),
            seed=self.scenario.seed,
            engine=self.engine.name,
            engine_version=self.engine.version,
            started=self.scenario.time.isoformat(),
            image_path=str(self.image.path.resolve()),
            board_path=str(Path(board).resolve()),
            board_sha256=hashlib.sha256(paths.read(Path(board))).hexdigest(),
            testbed_version=testbed_version(),
            console_limit=console_limit,
            capture_limit=capture_limit,
        )
        self._began = time.monotonic()
        self._fault: FirmwareFault | None = None
        self._execution: Execution | None = None
        self._script_printed: Callable[[bytes], object] | None = None
        #: of certificates; and bytes of the console that the execution has seen
        self._certified, self._fed = count(), 0
        self.evidence = Evidence(Path(out), self.result, text, kept) if out else None
        self.engine.evidence = self.evidence.folder if self.evidence else None
        capture = self.evidence.capture if self.evidence else None
        try:
            self.network: netsim.Network
            if beside:
                self.network = beside.network
                self.port = self.network.join(name, self.scenario, capture, capture_limit)
            else:
                self.network = netsim.build(self.scenario, capture, capture_limit)
                self.port = self.network.camera
        except BaseException as error:
            self._finish(*outcome_of(error))
            raise
        self._cameras.append(self)
        self._watch()

    def _watch(self) -> None:
        """Keep what happens, also in the evidence of the network's first camera."""
        if self.evidence:
            self.evidence.watch(self.port, self.engine, lambda: self._own)
        first = self._cameras[0]
        if first is not self and first.evidence:
            event, self._told_beside = first.evidence.beside(first.name, self.name)
            self.port.on_event = both(self.port.on_event, event)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(*outcome_of(error))

    @property
    def now(self) -> int:
        """The network's virtual time: what all cameras that run have reached; 0 was when the first
        of them was switched on."""
        if len(self._cameras) < 2:
            return self._own
        return min((c._own for c in self._cameras if not c._halted), default=self._own)

    @property
    def _own(self) -> int:
        """This camera's time, which may be a little ahead of the others'."""
        return self.engine.now + self._power_on

    @property
    def idle(self) -> bool:
        """Has the last script ended?"""
        return self._execution is None

    def close(self, outcome: str = "passed", detail: str = "") -> None:
        """Write the evidence and let the camera go; the network goes with its first camera."""
        self._cameras.remove(self)
        try:
            self.network.leave(self.port)
        except UserError as error:
            self._finish(*outcome_of(error))
            raise
        self.result.unrepeatable = self.network.beyond or self.port.beyond
        self._finish(outcome, detail)

    def _finish(self, outcome: str, detail: str) -> None:
        with suppress(ProtocolError):
            self._read(rest=True)
        self.engine.close()
        if self.evidence:
            result = self.result
            result.outcome, result.detail = outcome, detail
            result.exit_code = OUTCOMES[outcome]
            case = self._case(outcome, detail)
            result.cause = cause.sentence(case) if case else ""
            result.virtual_ns, result.instructions = self.engine.now, self.engine.instructions
            result.host_seconds = round(time.monotonic() - self._began, 3)
            result.fault, result.unmodelled = self.engine.fault, self.engine.unmodelled
            if result.fault and outcome in ("fault", "lockup"):
                result.stack = call_stack(self.image.path, result.fault.r, self.engine.word)
                before = [e for e in self.port.events if e.time <= result.fault.now]
                result.wire = [str(event) for event in before[-LAST_EVENTS:]]
            result.unmodelled_beyond = self.engine.unmodelled_beyond
            result.capture_beyond = self.port.capture.beyond if self.port.capture else 0
            self.evidence.finish(result, case)
            self.evidence = None

    def cause(self, error: BaseException) -> str:
        """Why the camera has come to this exception, in a sentence (evidence.cause)."""
        case = self._case(*outcome_of(error))
        return cause.sentence(case) if case else ""

    def _case(self, outcome: str, detail: str) -> Case | None:
        """What is known of a run that ends so; None where it needs no cause."""
        if outcome in ("passed", "interrupted", "error"):
            return None
        own = self.scenario
        try:
            files = netsim.camera_files(own) | self._put
        except UserError:  # files that have gone meanwhile
            files = self._put
        world = replace(self.network.scenario, faults=own.faults, camera=own.camera)
        return Case(
            outcome, detail, self._source.decode("utf-8", "replace"), self.engine.now,
            self.engine.clock, world, files,
            packets(self.evidence.capture) if self.evidence else (),
            self.evidence.events if self.evidence else (), self.engine.fault,
            str(self.port.address or ""), self.engine.instructions, self.image.path,
        )  # fmt: skip

    def _record(self, call: str, **arguments: Any) -> None:
        """Keep what comes from outside, for `omvsim replay`."""
        if self.evidence:
            self.evidence.call(self.now, call, arguments)

    def step(self, until: int) -> Stop:
        """Run to `until`, or to the next thing that happens between camera and network."""
        deadline = self.network.next_deadline()
        target = until if deadline is None else min(until, deadline)
        cameras = tuple(self._cameras)
        early: dict[Testbed, Stop] = {}
        running = [camera for camera in cameras if not camera._halted]
        if len(running) > 1:  # the first that acts reaches the others no sooner
            early = self._doze(running, target)
            wake = min(
                camera._own if camera in early else camera.engine.wake + camera._power_on
                for camera in running
            )
            target = min(target, wake + self.network.lookahead)
        stops = {camera: camera._execute(max(target, camera._own)) for camera in cameras} | early
        sent = [(at, camera.port, f) for camera in cameras for at, f in camera._sent()]
        for at, port, frame in sorted(sent, key=lambda one: one[0]):
            self.network.receive(frame, at, port)
        self.network.run(max(camera._own for camera in running or cameras))
        for camera in cameras:
            camera._hear()
        for camera, stop in stops.items():
            camera._halted = stop is Stop.LOCKUP
            if stop is Stop.RESET and camera._execution:
                camera._execution.reset = True
            if stop in (Stop.FAULT, Stop.LOCKUP) and camera._fault is None:
                camera._report_fault(stop)
        return stops[self]

    def _doze(self, cameras: list[Testbed], target: int) -> dict[Testbed, Stop]:
        """Run cameras while they sleep; what one of them has come back for."""
        engines = [(camera.engine, camera._power_on) for camera in cameras]
        told = self.engine.doze(engines, target, self.network.lookahead)
        if told is None or told[1] is Stop.HOST:
            return {}
        engine, stop = told
        [camera] = [camera for camera in cameras if camera.engine is engine]
        camera._read()
        return {camera: stop}

    def _execute(self, target: int) -> Stop:
        """Run to `target`; a camera that is alone only to its next frame or byte."""
        for burst in itertools.count(1):
            self.engine.hold_ns = HOLD if self._prints else 0  # what replay knows, too
            stop = self.engine.run(target - self._power_on)
            self._read()
            if stop is Stop.CONSOLE and self._prints and burst < BURSTS and self._own < target:
                continue
            halts = stop in (Stop.FAULT, Stop.LOCKUP)
            if halts or len(self._cameras) == 1 or self._own >= target:
                break
        return stop

    @property
    def _prints(self) -> bool:
        """Does a script run, whose output nobody answers?"""
        return self._execution is not None and self._execution.state is State.OUTPUT

    def _read(self, rest: bool = False) -> None:
        """Take over what the camera has printed."""
        if printed := self.engine.console_read(rest):
            self.console += printed
            if self.evidence:
                self.evidence.console(printed, self._own)
            self._told_beside(printed, self._own)
            self.printed(printed)
            self._attend()

    def _sent(self) -> list[tuple[int, bytes]]:
        frames = [(at + self._power_on, frame) for at, frame in self.engine.frames()]
        self.result.frames_sent += len(frames)
        return frames

    def _hear(self) -> None:
        """Take over what the network has for the camera."""
        if self.port.link != self._link:
            self._link = self.port.link
            self.engine.set_link(self._link)
        for frame in self.port.take():
            self.result.frames_received += 1
            self.engine.send_frame(frame)

    def _report_fault(self, stop: Stop) -> None:
        """Let the firmware say what it says about a fault, then raise FirmwareFault."""
        fault = self.engine.fault
        told = str(fault) if fault else "no fault: the vector table lies in no memory"
        text = f"{LOCKUP} {told}" if stop is Stop.LOCKUP else told
        self._fault = FirmwareFault(text, fault)
        end = self.now + LAST_WORDS
        while stop not in (Stop.LOCKUP, Stop.RESET) and self.now < end:
            stop = self.step(end)
            self.waiting()
        if stop is Stop.LOCKUP and not text.startswith(LOCKUP):
            self._fault = FirmwareFault(f"{LOCKUP} {text}", fault)
        raise self._fault

    def run_until(
        self, condition: Callable[[], bool], limit: int = 10 * SECOND, what: str = "it"
    ) -> None:
        """Run until the condition holds; TimeLimit after `limit` ns."""
        end = self.now + limit
        while not condition():
            if self.now >= end:
                raise TimeLimit(f"{what} did not come within {limit / SECOND:g} s of virtual time")
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
        self.run_until(
            lambda: compiled.search(self.console, start) is not None, limit, repr(pattern)
        )
        found = compiled.search(self.console, start)
        assert found is not None
        return found

    def _await_prompt(self, start: int, limit: int = 10 * SECOND) -> None:
        """Run until the console, from byte `start` on, ends in the prompt."""
        self.run_until(lambda: PROMPT.search(self.console, start) is not None, limit, "the prompt")

    def boot(self, limit: int = 10 * SECOND) -> None:
        """Run to the prompt, then until the camera uses the address that DHCP has for it."""
        self._await_prompt(0, limit)
        self.booted = True
        if self.scenario.dhcp.enabled and self.scenario.camera.link:
            end = self.now + 5 * SECOND
            while self.port.seen is None and self.now < end:
                self.step(min(end, self.now + STRIDE))
                self.waiting()
        for name, content in self._unwritten.items():
            self.put(name, content)

    def start(
        self, source: str | bytes, printed: Callable[[bytes], object] | None = None
    ) -> Execution:
        """Begin to run source in the raw REPL; it goes on with whatever lets time pass."""
        content = source.encode() if isinstance(source, str) else source
        self.result.exit_status = None
        self._record("start", source=content.decode("latin-1"))
        execution = Execution(content, self._exits or MAY_EXIT.search(content) is not None)
        self._execution, self._fed, self._script_printed = execution, len(self.console), printed
        self._source = content
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
        shown = len(execution.output)
        reply = execution.feed(bytes(self.console[self._fed :]))
        self._fed = len(self.console)
        if reply:
            self.engine.console_write(reply)
        if self._script_printed and len(execution.output) > shown:
            self._script_printed(bytes(execution.output[shown:]))
        if execution.state is State.DONE:
            self._execution = None

    def finish(self, execution: Execution, limit: int = 20 * SECOND) -> str:
        """Wait for a script's end; what it printed. Raises ScriptError, TimeLimit."""
        self.run_until(
            lambda: execution.state is State.DONE or execution.reset, limit, "the script's end"
        )
        if execution.reset:
            self._execution = None
            raise ScriptReset
        if execution.status is not None:
            self.result.exit_status = execution.status
            raise ScriptExit(execution.status)
        if execution.traceback:
            raise ScriptError(_text(execution.traceback))
        return _text(execution.output)

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
        except TimeLimit as error:
            self.locate(execution, error)
            raise

    def locate(self, execution: Execution, error: TimeLimit) -> None:
        """Press Ctrl-C, and keep in the error the traceback that the script ends with."""
        try:
            self.interrupt(execution, SECOND)
        except ScriptError as ended:
            error.traceback = str(ended)
        except (TimeLimit, FirmwareFault, ProtocolError):
            return  # it does not listen

    def put(self, name: str, content: bytes) -> None:
        """Write a file on the camera."""
        self._exits = self._exits or MAY_EXIT.search(content) is not None
        self._put[name.lstrip("/")] = content
        lines = [f"f=open({name!r},'wb')", "w=f.write"]
        chunks = [content[i : i + 252] for i in range(0, len(content), 252)]
        if len(repr(content)) > len(content) * 4 / 3:  # each byte on the line costs host time
            lines.append("from binascii import a2b_base64 as a")
            lines += [f"w(a({b64encode(chunk)!r}))" for chunk in chunks]
        else:
            lines += [f"w({chunk!r})" for chunk in chunks]
        source = self._source
        self.exec("\n".join([*lines, "f.close()"]), 60 * SECOND)
        self._source = source

    def get(self, name: str) -> bytes:
        """Read a file of the camera."""
        text = self.exec(f"import binascii\nprint(binascii.hexlify(open({name!r},'rb').read()))")
        return bytes.fromhex(text.strip()[2:-1])

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

    def content(self, file: scenarios.File) -> bytes:
        """What a file of the scenario's [camera.files] kind holds."""
        return certificates.content(self._world, file)

    def serve(self, **server: Any) -> None:
        """Put another server into the network: keys of a scenario's [[server]]."""
        self._record("serve", **server)
        self._extend(self._world.with_one("server", **server))

    def call(self, **client: Any) -> None:
        """Let another client call the camera from now on: keys of a scenario's [[client]]."""
        self._record("call", **client)
        self._extend(self._world.with_one("client", **client))

    def suffer(self, **fault: Any) -> None:
        """Let something go wrong on the cable from now on: keys of a scenario's [[fault]]."""
        self.scenario = self.scenario.with_one("fault", **self._from_now(fault))
        self._record("suffer", **fault)
        self.port.suffer(self.scenario.faults[-1:], ())
        self._hear()

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
        key = str(key_file.resolve()) if key_file else None
        if self.evidence:
            kept = {
                role: self.evidence.keep(
                    f"{portable.FOLDER}/certified{next(self._certified)}-{path.name}",
                    paths.read(path),
                )
                for role, path in (("file", file), ("key_file", key_file))
                if path
            }
            self._record("certify", name=name, **kept)
        made = scenarios.CertificateOptions(file=str(file.resolve()), key_file=key)
        known = {**self._world.certificates, name: made}
        self._extend(replace(self._world, certificates=known, outside=True))

    @property
    def _world(self) -> netsim.Scenario:
        """The scenario whose servers, clients and certificates are the network's."""
        return self._cameras[0].scenario

    def _extend(self, scenario: netsim.Scenario) -> None:
        self._cameras[0].scenario = scenario
        self.network.extend(scenario)

    def set_link(self, up: bool) -> None:
        """Plug the camera's cable in or out."""
        self._record("set_link", up=up)
        self.network.set_link(up, self.now, self.port)
        self._hear()

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


def _standard_input() -> bytes:
    content = sys.stdin.buffer.read(LARGEST_SCRIPT + 1)
    if len(content) > LARGEST_SCRIPT:
        raise UserError(f"-: a script of more than {LARGEST_SCRIPT >> 20} MB: name its file")
    return content


def read_script(path: Path) -> bytes:
    """A camera script, without a byte-order mark; `-` is standard input. UserError if it is
    missing or not UTF-8."""
    try:
        content = _standard_input() if path == Path("-") else paths.read(path)
        content = content.removeprefix(codecs.BOM_UTF8)
        content.decode()
    except FileNotFoundError:
        raise UserError(f"{path}: no such script: check the path") from None
    except OSError as error:
        raise UserError(f"{path}: cannot read the script: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}:{line}: byte 0x{content[error.start]:02X} is not UTF-8: save it as UTF-8"
        ) from None
    return content

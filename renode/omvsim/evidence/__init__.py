"""The folder that a run leaves behind."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NoReturn, NotRequired, TypedDict

import msgspec

import netsim
from netsim import paths
from netsim.camera_port import CameraPort
from omvsim.engine import Engine, Fault, Unmodelled
from omvsim.errors import UserError
from omvsim.evidence import chain, report
from omvsim.evidence.case import BAD, Case
from omvsim.evidence.decoded import decoded
from omvsim.outputs import is_private

SCHEMA = 1
#: how a run ends, and the exit code for it
OUTCOMES = {
    "running": None,
    "passed": 0,
    "exception": 1,
    "exited": 1,
    "reset": 1,
    "error": 2,
    "fault": 3,
    "lockup": 3,
    "no REPL": 3,
    "time limit": 4,
    "interrupted": 130,
}
CONSOLE_LIMIT = 16 << 20  # bytes
CONSOLE_BESIDE = 1 << 20  # bytes of another camera's console that the page may show
PLACE = 16384  # bytes of result.json while the run goes on: room for how it ends
FOR_EVER = 1 << 62  # ns: what a virtual time stays below


@dataclass
class Result:
    """What a run was and how it ended."""

    script: str
    image: str
    image_sha256: str
    board: str
    scenario: str
    seed: int
    engine: str
    engine_version: str
    started: str
    schema: int = SCHEMA
    image_path: str = ""
    board_path: str = ""
    board_sha256: str = ""
    testbed_version: str = ""
    boot_limit_ns: int = 0
    time_limit_ns: int = 0  # 0: not one script from boot to end; its calls are in calls.jsonl
    unrepeatable: str = ""  # what took part that calls.jsonl does not hold
    outcome: str = "running"
    exit_code: int | None = None
    exit_status: int | str | None = None  # what sys.exit() was given, if it was a failure
    detail: str = ""
    cause: str = ""  # of a run that did not pass, in a sentence
    virtual_ns: int = 0
    instructions: int = 0
    host_seconds: float = 0.0
    frames_sent: int = 0
    frames_received: int = 0
    fault: Fault | None = None
    stack: list[str] = field(default_factory=list)  # who called, of a fault
    wire: list[str] = field(default_factory=list)  # the last words before it
    unmodelled: list[Unmodelled] = field(default_factory=list)
    unmodelled_beyond: int = 0  # accesses to more places than are listed
    console_limit: int = CONSOLE_LIMIT
    core_hz: int = 0  # what the image has set, where that is not what the board says
    console_beyond: int = 0  # bytes that console.log lacks
    capture_limit: int = netsim.CAPTURE_LIMIT
    capture_beyond: int = 0  # frames that net.pcapng lacks

    @property
    def beyond(self) -> list[str]:
        """What happened and is not in the folder, in words."""
        return [
            f"{name} ends at its limit: {count} more {what} (a larger --{option}-limit keeps them)"
            for name, count, what, option in (
                ("console.log", self.console_beyond, "bytes were printed", "console"),
                ("net.pcapng", self.capture_beyond, "frames passed", "capture"),
            )
            if count
        ]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"schema {self.schema} is another version's, this one reads {SCHEMA}")
        if self.outcome not in OUTCOMES:
            raise ValueError(f"outcome {self.outcome!r} is none of {', '.join(OUTCOMES)}")
        if not (0 <= self.virtual_ns < FOR_EVER and 0 <= self.time_limit_ns < FOR_EVER):
            raise ValueError("a time that no run reaches")


class Call(msgspec.Struct):
    """A line of calls.jsonl: what was done to a Testbed from outside, `at` ns."""

    at: Annotated[int, msgspec.Meta(ge=0, lt=FOR_EVER)]
    call: str
    arguments: dict[str, Any] = msgspec.field(name="with")

    def __post_init__(self) -> None:
        if self.call not in ARGUMENTS:
            raise ValueError(f"call {self.call!r} is none of {', '.join(ARGUMENTS)}")
        self.arguments = msgspec.convert(self.arguments, ARGUMENTS[self.call])


class _Start(TypedDict):
    source: str  # bytes as Latin-1


class _Type(TypedDict):
    data: str  # bytes as Latin-1


class _Certify(TypedDict):
    name: str
    file: str
    key_file: NotRequired[str]


class _Link(TypedDict):
    up: bool


class _Ping(TypedDict):
    size: int


#: what each call takes; serve, call, suffer and rule have keys of a scenario
ARGUMENTS: dict[str, Any] = {
    "start": _Start, "type": _Type, "certify": _Certify, "set_link": _Link, "ping": _Ping,
    **dict.fromkeys(("serve", "call", "suffer", "rule"), dict[str, Any]),
    "reset": dict[str, Any],
}  # fmt: skip


class Evidence:
    """Written as it happens: a run that is killed leaves files that open."""

    def __init__(
        self, folder: Path, result: Result, scenario: str, files: Mapping[str, bytes] | None = None
    ) -> None:
        """`files` are those that the scenario, a text in TOML, refers to."""
        self.folder = folder
        self._result, self._room = result, result.console_limit
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("console.log", "console.times", "calls.jsonl", "script.py", "net.pcapng"):
                (folder / name).unlink(missing_ok=True)  # of an earlier run, or a link
            self._console = (folder / "console.log").open("wb")
            self._times = (folder / "console.times").open("w")
            self._calls = (folder / "calls.jsonl").open("w")
        self.keys = [name for name, content in (files or {}).items() if is_private(name, content)]
        for name, content in (files or {}).items():
            self.keep(name, content)
        self.capture = folder / "net.pcapng"
        self._events: list[netsim.Event] = []
        self._mishaps: list[netsim.Event] = []
        self._others: list[netsim.Event] = []  # on other cameras' cables
        self._beside: dict[str, list[tuple[int, bytes]]] = {}  # other cameras' consoles
        self._beyond = 0
        self._hertz = 0
        self._done: Callable[[], tuple[int, int]] | None = None  # ns, instructions so far
        self._work: list[tuple[int, int]] = []
        self._replace("scenario.toml", scenario)
        try:
            self._write(result)
        except UserError as error:
            self._end(result, error)

    def console(self, data: bytes, now: int) -> None:
        """Bytes printed by `now`, in ns."""
        kept = data[: self._room]
        self._room -= len(kept)
        self._result.console_beyond += len(data) - len(kept)
        self._note_work()
        if kept:
            with self._writing():
                self._console.write(kept)
                self._console.flush()
                self._times.write(f"{now} {len(kept)}\n")
                self._times.flush()

    def call(self, now: int, name: str, arguments: Mapping[str, object]) -> None:
        """Something done to the camera or its network from outside, at `now`."""
        told = {"at": now, "call": name, "with": arguments}
        with self._writing():
            self._calls.write(json.dumps(told, default=str) + "\n")
            self._calls.flush()

    @property
    def events(self) -> list[netsim.Event]:
        """The steps of the conversation, of many only both ends."""
        return self._events

    def event(self, event: netsim.Event) -> None:
        """A step of the conversation."""
        self._note_work()
        self._events.append(event)
        if len(self._events) > 2 * report.SHOWN:  # the page shows both ends
            middle = slice(report.SHOWN // 2, -report.SHOWN // 2)
            self._beyond += len(self._events[middle])
            del self._events[middle]

    def watch(self, port: CameraPort, engine: Engine, now: Callable[[], int]) -> None:
        """Keep what happens on a camera's cable, and when its core works."""
        port.on_event = self.event
        port.watch(self._mishap)
        self._hertz = engine.hertz
        self._done = lambda: (now(), engine.instructions)

    def beside(
        self, own: str, name: str
    ) -> tuple[Callable[[netsim.Event], None], Callable[[bytes, int], None]]:
        """What hears of the cable and of the console of another camera, for this one's page; what
        concerns this one, called `own`, is told by its own cable."""
        heard = self._beside.setdefault(name, [])
        room = CONSOLE_BESIDE

        def event(event: netsim.Event) -> None:
            if not {own, "*"} & {event.source, event.target} and len(self._others) < report.SHOWN:
                self._others.append(event)

        def console(data: bytes, now: int) -> None:
            nonlocal room
            heard.append((now, data[:room]))
            room -= len(heard[-1][1])

        return event, console

    def _mishap(self, event: netsim.Event) -> None:
        """A frame that the cable's faults and rules have not just let pass."""
        if len(self._mishaps) < report.SHOWN:
            self._mishaps.append(event)

    def _note_work(self) -> None:
        if self._done:
            self._work.append(self._done())
            if len(self._work) > 4 * report.SHOWN:
                del self._work[1::2]

    def finish(self, result: Result, case: Case | None = None) -> None:
        """The run has ended as `result` says. Where the disk takes no more, result.json says so,
        in the place that it has had from the start."""
        failed: UserError | None = None
        for file in (self._console, self._times, self._calls):
            try:
                with self._writing():
                    file.close()
            except UserError as error:
                failed = error
        try:
            self._write(result, case)
        except UserError as error:
            failed = failed or error
        if failed:
            self._end(result, failed)

    def keep(self, name: str, content: bytes) -> str:
        """A file that the run's repetition needs; its name in the folder."""
        try:
            path = paths.below(self.folder.resolve(), name)
        except ValueError as error:  # through a folder that is a link
            raise UserError(f"{self.folder}: {error}: choose another --out") from None
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # never through a link
            path.touch(0o600 if is_private(name, content) else 0o666)
            path.write_bytes(content)
        return name

    def _end(self, result: Result, failed: UserError) -> NoReturn:
        """Raise it; the result tells of it in its old place, which needs no room."""
        if result.outcome in ("running", "passed"):
            result.outcome, result.exit_code = "error", OUTCOMES["error"]
            result.detail = str(failed)
        result.unmodelled = []
        with suppress(OSError):
            (self.folder / "report.html").unlink()
        with suppress(OSError), (self.folder / "result.json").open("r+b") as file:
            file.write(_json(result).encode())
            file.truncate()
        raise failed

    def _write(self, result: Result, case: Case | None = None) -> None:
        console = chunks(self.folder)
        more = report.More(str(self.folder))
        if case:
            with suppress(*BAD):
                more = report.More(
                    str(self.folder), case.source, case.line, chain.cards(case), case.clock,
                    case.true_time, decoded(case),
                )  # fmt: skip
        text = _json(result)
        self._replace("result.json", text.ljust(PLACE) if result.outcome == "running" else text)
        work = report.Work(self._work, self._hertz)
        events = sorted(self._events + self._others, key=lambda event: event.time)
        page = report.render(
            result, events, self._beyond, console, more, self._mishaps, work, self._beside
        )
        self._replace("report.html", page)

    def _replace(self, name: str, text: str) -> None:
        """A reader sees the old file or the new one, never half of either."""
        partial = self.folder / f"{name}.partial"
        try:
            with self._writing():
                partial.unlink(missing_ok=True)
                partial.write_text(text, encoding="utf-8", errors="backslashreplace")
                partial.replace(self.folder / name)
        finally:
            with suppress(OSError):
                partial.unlink()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"{self.folder}: {error.strerror}: choose another --out") from None


def _json(result: Result) -> str:
    text = json.dumps(dataclasses.asdict(result), indent=2, ensure_ascii=False) + "\n"
    return text.encode(errors="replace").decode()  # a name that is no UTF-8 is no JSON either


def chunks(folder: Path) -> list[tuple[int, bytes]]:
    """What the console printed, and when (ns); UserError where that is damaged."""
    log, times = folder / "console.log", folder / "console.times"
    found, start = [], 0
    try:
        printed = paths.read(log)
        for line in paths.read(times).decode().splitlines():
            now, size = map(int, line.split())
            found.append((now, printed[start : start + size]))
            start += size
    except OSError as error:
        raise UserError(f"{folder}: the console's files: {error.strerror}: run it anew") from None
    except ValueError:
        raise UserError(f"{times}: damaged: run it anew") from None
    return found

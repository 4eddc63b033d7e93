"""A run once more from its evidence, compared to the nanosecond."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from scapy.utils import RawPcapNgReader

import netsim
from netsim import paths
from netsim import scenario as scenarios
from netsim.paths import below
from omvsim import board as repl
from omvsim import documents
from omvsim import image as images
from omvsim.engine import Stop
from omvsim.errors import UserError
from omvsim.evidence import Call, Result, chunks
from omvsim.repeat.verdict import Verdict, judge
from omvsim.testbed import (
    BOARDS,
    BOOT_LIMIT,
    MILLISECOND,
    SECOND,
    FirmwareFault,
    Testbed,
    find_board,
    outcome_of,
    portable,
    read_script,
    testbed_version,
)
from omvsim.testbed.progress import HostLimit
from omvsim.testbed.rawrepl import ProtocolError
from omvsim.testbed.record import BEFORE

ANEW = "run it anew"
TOLD = ("outcome", "detail", "virtual_ns", "instructions", "fault", "unmodelled")


class HostStop(Exception):
    """The moment at which the host ended the first run."""


@dataclass(frozen=True)
class Recorded:
    """A run as its evidence tells it."""

    folder: Path
    result: Result
    image: Path
    board: Path
    scenario: netsim.Scenario
    source: bytes
    calls: list[Call]  # of a Testbed that ran more than one script; else nothing

    @property
    def prelude(self) -> dict[str, Any]:
        """What Testbed takes for the time before the script."""
        before = self.folder / BEFORE
        limit = self.result.boot_limit_ns or BOOT_LIMIT
        return {"before": before if os.path.isfile(before) else None, "boot_limit": limit}

    @property
    def has_dtls(self) -> bool:
        """Do peers take part that repeat no more than their outcome?"""
        peers: Sequence[Any] = (*self.scenario.servers, *self.scenario.clients)
        added = [call.arguments for call in self.calls if call.call in ("serve", "call")]
        return "dtls" in {*(peer.kind for peer in peers), *(peer.get("kind") for peer in added)}

    @property
    def verdict(self) -> Verdict:
        """How it ended."""
        return _verdict(self.result, self.image)


def recorded(folder: Path, firmware: Path | None = None, board: Path | None = None) -> Recorded:
    """Read an evidence folder; UserError where it holds no run that can be repeated here."""
    result = told(folder)
    for entry in folder.rglob("*"):
        if entry.is_symlink():
            try:
                below(folder, str(entry.relative_to(folder)))
            except ValueError as error:
                raise UserError(f"{folder}: the link {error}: take it away") from None
    outcome, limit = result.outcome, result.time_limit_ns
    if result.unrepeatable:
        raise UserError(
            f"{folder}: {result.unrepeatable} took part, which cannot be repeated: {ANEW}"
        )
    if outcome == "running" or (limit and outcome == "error"):
        raise UserError(f"{folder}: the run did not end by itself ({outcome}): {ANEW}")
    here = firmware or Path(result.image_path)
    try:
        image = images.load(here)
    except UserError as error:
        raise UserError(f"the run's image: {error}; or name it with --firmware") from None
    _same(here, image.sha256, result.image_sha256, "image", "--firmware")
    description = find_board(board) if board else _board(folder, result)
    _same(description, _sha256(description), result.board_sha256, "board", "--board")
    known = scenarios.load(folder / "scenario.toml").with_seed(result.seed)
    source = read_script(folder / "script.py") if limit else b""
    calls = [] if limit else _calls(folder)
    return Recorded(folder, result, here, description, known, source, calls)


def _board(folder: Path, result: Result) -> Path:
    """This installation's board, or the one that the folder carries: data, and nothing that lies
    beside it."""
    for ours in BOARDS.glob("*.repl"):
        if _sha256(ours) == result.board_sha256:
            return ours
    carried = folder / portable.BOARD / Path(result.board_path).name
    if not os.path.isfile(carried) or result.engine == "renode":  # which runs the script beside it
        raise UserError(f"{folder}: made on another board, which is not here: name it with --board")
    repl.load(carried, carried.parent)
    return carried


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(paths.read(path)).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: name the run's board with --board") from None


def _calls(folder: Path) -> list[Call]:
    """What was done to a Testbed from outside, with files where they are now."""
    path = folder / "calls.jsonl"
    calls = documents.read_lines(path, Call, "an evidence folder", ANEW)
    try:
        for call in calls:
            for key in {"file", "key_file"} & {*call.arguments} if call.call == "certify" else ():
                call.arguments[key] = below(folder, call.arguments[key])
    except ValueError as error:
        raise UserError(f"{path}: {error}: {ANEW}") from None
    return calls


def _same(path: Path, digest: str, wanted: str, what: str, option: str) -> None:
    if digest != wanted:
        raise UserError(
            f"{images.display(path)}: another {what} than the run's (sha256 {digest[:16]}, not "
            f"{wanted[:16]}): name that with {option}"
        )


class Repetition(NamedTuple):
    """How a second run went, beside the first."""

    difference: str  # the first one in console or frames; nothing where there is none
    verdict: Verdict
    same_console: bool


def repeat(run: Recorded, out: Path, check: Callable[[Testbed], object]) -> Repetition:
    """Run it again, with its evidence in another folder."""
    _repeat(run, out, check)
    same = printed(run.folder) == printed(out)
    second = _verdict(told(out), run.image)
    return Repetition(first_difference(run.folder, out), second, same)


def told(folder: Path) -> Result:
    """What result.json tells; UserError where it is none."""
    return documents.read(folder / "result.json", Result, "an evidence folder", ANEW)


def _verdict(result: Result, image: Path) -> Verdict:
    return judge(result.outcome, result.detail, result.fault, image)


def _repeat(run: Recorded, out: Path, check: Callable[[Testbed], object]) -> None:
    """The run once more, with evidence in `out`."""
    result = run.result
    by_host = result.outcome == "interrupted" or "host limit" in result.detail
    testbed = Testbed(
        run.image, run.scenario, board=run.board, out=out, script=result.script,
        engine=result.engine, console_limit=result.console_limit,
        capture_limit=result.capture_limit, **run.prelude,
    )  # fmt: skip
    engine = testbed.engine.version
    if (engine, testbed_version()) != (result.engine_version, result.testbed_version):
        testbed.close("interrupted")
        raise UserError(
            f"{run.folder}: made by omvsim {result.testbed_version or '?'} with "
            f"{result.engine_version}, this is {testbed_version() or '?'} with {engine}: "
            "install that version"
        )

    def waiting() -> None:
        check(testbed)
        if by_host and testbed.now >= result.virtual_ns:
            raise HostStop

    testbed.waiting = waiting
    error: BaseException | None = None
    try:
        if not result.time_limit_ns:
            _redo(testbed, run, lambda: check(testbed))
            raise HostStop
        testbed.play(run.source, result.time_limit_ns)
    except KeyboardInterrupt:
        testbed.close("interrupted")
        raise
    except HostLimit as limit:
        testbed.close("interrupted")
        raise UserError(str(limit)) from None
    except HostStop:
        testbed.close(result.outcome, result.detail)
        return
    except Exception as raised:
        error = raised
    outcome, detail = outcome_of(error)
    testbed.close(outcome, detail)
    if error and outcome == "error":
        raise error


def _redo(testbed: Testbed, run: Recorded, check: Callable[[], object]) -> None:
    """Every call again at its time; what it then waited for came by itself."""
    for call in run.calls:
        _reach(testbed, call.at, check)
        name, arguments = call.call, call.arguments
        match name:
            case "start":
                end = testbed.now + SECOND  # where times are not repeated, a script may end later
                while run.has_dtls and not testbed.idle and testbed.now < end:
                    _reach(testbed, testbed.now + MILLISECOND, check)
                testbed.start(arguments["source"].encode("latin-1"))
            case "type":
                testbed.type(arguments["data"].encode("latin-1"))
            case "reset":
                testbed.engine.reset()
            case "ping":
                address = testbed.port.address
                if address:
                    testbed.network.ping(address, testbed.now, **arguments)
            case _:
                getattr(testbed, name)(**arguments)
    _reach(testbed, run.result.virtual_ns, check)


def _reach(testbed: Testbed, until: int, check: Callable[[], object]) -> None:
    """Let time pass; a fault is no end here, for the first run went on after it."""
    while testbed.now < until:
        check()
        before = testbed.now
        with suppress(FirmwareFault, ProtocolError):
            stop = testbed.step(min(until, before + testbed.stride))
            if stop is Stop.LOCKUP and testbed.now == before:
                return  # no time passes any more


def printed(folder: Path) -> bytes:
    """What the camera printed, whole."""
    return _read(folder / "console.log")


def first_difference(first: Path, second: Path) -> str:
    """The earliest thing in which two evidence folders differ, or nothing."""
    found = [*_console(first, second), *_frames(first, second)]
    if found:
        return min(found)[1]
    results = [told(folder) for folder in (first, second)]
    for key in TOLD:
        ours, theirs = (getattr(result, key) for result in results)
        if ours != theirs:
            return f"{key} was {ours!r}, now {theirs!r}"
    return ""


def _console(first: Path, second: Path) -> list[tuple[int, str]]:
    pairs = zip_longest(chunks(first), chunks(second))
    for ours, theirs in pairs:
        if ours != theirs:
            now = min(chunk[0] for chunk in (ours, theirs) if chunk)
            return [(now, f"the console printed {_at(ours)}, now {_at(theirs)}")]
    return []


def _frames(first: Path, second: Path) -> list[tuple[int, str]]:
    start = power_on(first)
    pairs = zip_longest(frames(first / "net.pcapng"), frames(second / "net.pcapng"))
    for number, (ours, theirs) in enumerate(pairs, 1):
        if ours != theirs:
            now = min(frame[0] for frame in (ours, theirs) if frame) - start
            was, is_now = (_frame_at(f, start) for f in (ours, theirs))
            byte = ""
            if ours and theirs and ours[0] == theirs[0]:
                byte = f", from byte {unequal(ours[1], theirs[1])} on"
            return [(now, f"frame {number} was {was}, now {is_now}{byte}")]
    return []


def unequal(ours: bytes, theirs: bytes) -> int:
    """The first byte that differs."""
    both = enumerate(zip(ours, theirs, strict=False))
    return next((i for i, (a, b) in both if a != b), min(len(ours), len(theirs)))


def _at(chunk: tuple[int, bytes] | None) -> str:
    return f"{chunk[1][:60]!r} at {chunk[0]} ns" if chunk else "nothing more"


def _frame_at(frame: tuple[int, bytes] | None, start: int) -> str:
    return f"{len(frame[1])} bytes at {frame[0] - start} ns" if frame else "not there"


def power_on(folder: Path) -> int:
    """Nanoseconds since 1970 at virtual time 0."""
    since = scenarios.load(folder / "scenario.toml").time.timestamp()
    return round(since * 1_000_000) * 1000


def _read(path: Path) -> bytes:
    try:
        return paths.read(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: {ANEW}") from None


def frames(capture: Path) -> list[tuple[int, bytes]]:
    """A capture's frames in order, and their times (ns since 1970)."""
    found = []
    try:
        with RawPcapNgReader(str(capture)) as reader:
            about: Any
            for data, about in reader:
                ticks = about.tshigh << 32 | about.tslow
                found.append((ticks * 10**9 // about.tsresol, data))
    except Exception as error:  # whatever scapy makes of a damaged file
        raise UserError(f"{capture}: no readable capture ({error}): run it anew") from None
    return found

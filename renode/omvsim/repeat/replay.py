"""omvsim replay: a run once more from its evidence, compared to the nanosecond."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from scapy.utils import RawPcapNgReader

import netsim
from netsim import paths
from netsim import scenario as scenarios
from netsim.paths import below
from omvsim import board as repl
from omvsim import documents, processes
from omvsim import image as images
from omvsim.engine import Stop
from omvsim.errors import UserError
from omvsim.evidence import Call, Result, chunks
from omvsim.options import duration
from omvsim.repeat import shrink
from omvsim.repeat.verdict import Verdict, judge
from omvsim.testbed import (
    BOARD,
    MILLISECOND,
    SECOND,
    FirmwareFault,
    Testbed,
    outcome_of,
    portable,
    read_script,
    testbed_version,
)
from omvsim.testbed.progress import HostLimit, Progress
from omvsim.testbed.rawrepl import ProtocolError

ANEW = "run it anew"
TOLD = ("outcome", "detail", "virtual_ns", "instructions", "fault", "unmodelled")


def add_command(commands: Any) -> None:
    """The parser of omvsim replay."""
    command = commands.add_parser(
        "replay", help="repeat a run from its evidence folder",
        description="Run again what an evidence folder holds, of omvsim run, of a Robot test or of "
        "a pytest fixture, and compare console bytes and frames with their virtual times.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent("""\
            examples:
              omvsim replay runs/20260615-120000-tls_client
              omvsim replay --out runs/again runs/failed           keeps the second run's evidence
              omvsim replay --shrink --out robot/field/fault.toml runs/failed

            --shrink takes away tables and keys of the scenario while the verdict stays (outcome,
            exception, fault and its function), makes rules for single frames of random faults,
            and writes the smallest; Ctrl-C ends it early. It needs a run of omvsim run.

            exit codes:
              0    the same run; with --shrink: the smallest scenario is written
              1    another run: the first difference is told
              2    usage or bad input; the image, board or version of the run is not here
              130  interrupted by Ctrl-C; --shrink has written the smallest so far
            """),
    )  # fmt: skip
    command.add_argument("run", type=Path, metavar="RUN", help="evidence folder")
    command.add_argument(
        "--firmware", type=Path, metavar="IMAGE", help="the run's image, if it has moved"
    )
    command.add_argument(
        "--board", type=Path, metavar="FILE", help="the run's board description, if it has moved"
    )
    command.add_argument("--shrink", action="store_true", help="look for a smaller scenario")
    command.add_argument(
        "--out", type=Path, metavar="PATH",
        help="evidence folder of the repetition (default: not kept); with --shrink, the "
        "scenario file (default: RUN/shrunk.toml)",
    )  # fmt: skip
    command.add_argument(
        "--force", action="store_true", help="let --shrink overwrite files that are there"
    )
    command.add_argument(
        "--host-limit", type=duration, default="10m", metavar="TIME",
        help="host time that the repetition may take (default: 10m)",
    )  # fmt: skip
    command.set_defaults(call=replay)


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
    result = _told(folder)
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
    if not os.path.isfile(here):
        raise UserError(f"{here}: the run's image is not there: name it with --firmware")
    _same(here, images.load(here).sha256, result.image_sha256, "image", "--firmware")
    description = board or _board(folder, result)
    _same(description, _sha256(description), result.board_sha256, "board", "--board")
    known = scenarios.load(folder / "scenario.toml").with_seed(result.seed)
    source = read_script(folder / "script.py") if limit else b""
    calls = [] if limit else _calls(folder)
    return Recorded(folder, result, here, description, known, source, calls)


def _board(folder: Path, result: Result) -> Path:
    """This installation's board, or the one that the folder carries: data, and nothing that lies
    beside it."""
    if _sha256(BOARD) == result.board_sha256:
        return BOARD
    carried = folder / portable.BOARD / Path(result.board_path).name
    if not os.path.isfile(carried) or result.engine == "renode":  # which runs the script beside it
        raise UserError(f"{folder}: made on another board, which is not here: name it with --board")
    repl.load(carried, carried.parent)
    return carried


def _tell_board(run: Recorded) -> None:
    if run.board.is_relative_to(run.folder):
        digest = run.result.board_sha256[:16]
        print(f"omvsim: the board is the folder's own, {run.board.name} ({digest})",
              file=sys.stderr, flush=True)  # fmt: skip


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


def replay(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    run = recorded(options.run, options.firmware, options.board)
    if options.shrink:
        if not run.source:
            raise UserError(
                f"{run.folder}: not made by omvsim run: --shrink needs one script's run"
            )
        out = options.out or options.run / "shrunk.toml"
        shrink.refuse(run, out, options.force)
        _tell_board(run)
        return shrink.command(run, out, options.force, options.interrupt.check)
    _tell_board(run)
    with processes.folder() as temporary:
        out = options.out or temporary
        if out.resolve() == options.run.resolve():
            raise UserError(f"{out}: the first run's evidence lies there: choose another --out")
        progress = Progress(options.interrupt.check, options.host_limit / SECOND)
        try:
            _repeat(run, out, progress.tick)
        finally:
            progress.clear()
        difference = first_difference(options.run, out)
        second = _told(out)
        printed = [_printed(folder) for folder in (options.run, out)]
    seconds = run.result.virtual_ns / 1e9
    if not difference:
        told = f" and {len(run.calls)} calls" if run.calls else ""
        print(f"the same run, to the nanosecond: {run.verdict}, after {seconds:.9f} s{told}")
        return 0
    if run.has_dtls:
        verdict = _verdict(second, run.image)
        if verdict == run.verdict and (printed[0] == printed[1] or not run.calls):
            print(f"the same outcome: {verdict}; a run with DTLS peers repeats no more than that")
            return 0
        if verdict != run.verdict:
            difference = f"{run.verdict}, now {verdict}"
    print(f"another run: {difference}")
    return 1


def _told(folder: Path) -> Result:
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
        capture_limit=result.capture_limit,
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


def _printed(folder: Path) -> bytes:
    return _read(folder / "console.log")


def first_difference(first: Path, second: Path) -> str:
    """The earliest thing in which two evidence folders differ, or nothing."""
    found = [*_console(first, second), *_frames(first, second)]
    if found:
        return min(found)[1]
    results = [_told(folder) for folder in (first, second)]
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
    start = _power_on(first)
    pairs = zip_longest(frames(first / "net.pcapng"), frames(second / "net.pcapng"))
    for number, (ours, theirs) in enumerate(pairs, 1):
        if ours != theirs:
            now = min(frame[0] for frame in (ours, theirs) if frame) - start
            was, is_now = (_frame_at(f, start) for f in (ours, theirs))
            byte = ""
            if ours and theirs and ours[0] == theirs[0]:
                byte = f", from byte {_unequal(ours[1], theirs[1])} on"
            return [(now, f"frame {number} was {was}, now {is_now}{byte}")]
    return []


def _unequal(ours: bytes, theirs: bytes) -> int:
    both = enumerate(zip(ours, theirs, strict=False))
    return next((i for i, (a, b) in both if a != b), min(len(ours), len(theirs)))


def _at(chunk: tuple[int, bytes] | None) -> str:
    return f"{chunk[1][:60]!r} at {chunk[0]} ns" if chunk else "nothing more"


def _frame_at(frame: tuple[int, bytes] | None, start: int) -> str:
    return f"{len(frame[1])} bytes at {frame[0] - start} ns" if frame else "not there"


def _power_on(folder: Path) -> int:
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

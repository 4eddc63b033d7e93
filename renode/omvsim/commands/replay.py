"""omvsim replay: a run once more from its evidence, compared to the nanosecond."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path
from typing import Any

from omvsim import processes
from omvsim.commands.options import duration
from omvsim.errors import UserError
from omvsim.repeat import shrink
from omvsim.repeat.replay import Recorded, recorded, repeat
from omvsim.testbed import (
    SECOND,
)
from omvsim.testbed.progress import Progress


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
            again = repeat(run, out, progress.tick)
        finally:
            progress.clear()
    seconds = run.result.virtual_ns / 1e9
    difference = again.difference
    if not difference:
        told = f" and {len(run.calls)} calls" if run.calls else ""
        print(f"the same run, to the nanosecond: {run.verdict}, after {seconds:.9f} s{told}")
        return 0
    if run.has_dtls:
        if again.verdict == run.verdict and (again.same_console or not run.calls):
            told = "a run with DTLS peers repeats no more than that"
            print(f"the same outcome: {again.verdict}; {told}")
            return 0
        if again.verdict != run.verdict:
            difference = f"{run.verdict}, now {again.verdict}"
    print(f"another run: {difference}")
    return 1


def _tell_board(run: Recorded) -> None:
    if run.board.is_relative_to(run.folder):
        digest = run.result.board_sha256[:16]
        print(f"omvsim: the board is the folder's own, {run.board.name} ({digest})",
              file=sys.stderr, flush=True)  # fmt: skip

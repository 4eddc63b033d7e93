"""omvsim compare: one script on both engines, and how far they agree."""

from __future__ import annotations

import argparse
import textwrap
from datetime import datetime
from pathlib import Path
from typing import Any

from omvsim import image, outputs, terminal
from omvsim.commands import cameras
from omvsim.commands.options import duration, switched_on
from omvsim.engine import choice as engines
from omvsim.engine import renode
from omvsim.evidence import foreseen, report
from omvsim.repeat.agreement import Agreement, agreement
from omvsim.testbed import (
    SECOND,
    FirmwareFault,
    ScriptError,
    Testbed,
    TimeLimit,
    read_script,
)
from omvsim.testbed.progress import Progress
from omvsim.testbed.rawrepl import ProtocolError


def add_command(commands: Any) -> None:
    """The parser of omvsim compare."""
    command = commands.add_parser(
        "compare", parents=[cameras.world()], help="run a script on both engines and compare",
        description="Run SCRIPT on the embedded engine and on Renode, in one world and with one "
        "seed, and tell how far they agree: outcome, lines of the console, frames by their bytes "
        "and times, places of accesses that nothing models.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent("""\
            examples:
              omvsim compare firmware/examples/tls_client.py
              omvsim compare --firmware build/mine/openmv_h7.elf --at-least 90 soak.py
              omvsim compare --scenario expired --within 5ms client.py

            What depends on the time of day in its bytes (NTP, a Date header) differs where the
            engines' times do. The folder --out holds compare.html and the evidence of both runs.

            exit codes:
              0    they agree as far as --at-least asks
              1    they do not: the first differences are told
              2    usage or bad input; no Renode
              130  interrupted by Ctrl-C
            """),
    )  # fmt: skip
    command.add_argument("script", type=Path, metavar="SCRIPT", help="- is standard input")
    command.add_argument(
        "--within", type=duration, default="100ms", metavar="TIME",
        help="virtual time by which a frame, counted from the first, may be earlier or later "
        "(default: 100ms)",
    )  # fmt: skip
    command.add_argument(
        "--at-least", type=percent, default=100.0, metavar="PERCENT",
        help="of all that is compared (default: 100)",
    )  # fmt: skip
    command.add_argument(
        "--time-limit", type=duration, default="20s", metavar="TIME",
        help="virtual time that the script may take (default: 20s)",
    )  # fmt: skip
    command.add_argument(
        "--host-limit", type=duration, default="10m", metavar="TIME",
        help="host time that each of the runs may take (default: 10m)",
    )  # fmt: skip
    command.add_argument("--out", type=Path, metavar="DIR", help="default: runs/TIME-compare")
    command.set_defaults(call=compare)


def percent(text: str) -> float:
    """From 0 to 100."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number from 0 to 100")
    return number


def compare(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    source = read_script(options.script)
    renode.version_of(renode.find())  # before minutes are spent
    out = options.out or Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-compare"
    for name in engines.NAMES:
        _run(options, name, source, out / name)
    first, second = (out / name for name in engines.NAMES)
    found = agreement(first, second, options.within)
    _tell(found)
    page = report.environment.get_template("compare.html").render(
        found=found, engines=engines.NAMES, script=str(options.script), within=options.within
    )
    outputs.write({out / "compare.html": page.encode()}, True, "choose another --out")
    print(f"the page is {image.display(out / 'compare.html')}")
    return 0 if found.percent >= options.at_least else 1


def _run(options: argparse.Namespace, engine: str, source: bytes, out: Path) -> None:
    """The script on one engine; how it ends is in its evidence."""
    modules = foreseen.modules(options.script, source)
    files = cameras.files(options, modules)
    terminal.note(f"omvsim: engine {engine}")
    progress = Progress(options.interrupt.check, options.host_limit / SECOND)
    try:
        with Testbed(
            options.firmware, options.scenario, seed=options.seed, engine=engine, out=out,
            script=str(options.script), outside=options.allow_outside, files=files,
            **switched_on(options),
        ) as testbed:  # fmt: skip
            testbed.waiting = lambda: progress.tick(testbed)
            testbed.play(source, options.time_limit)
    except (ScriptError, FirmwareFault, ProtocolError, TimeLimit):
        pass  # which is an outcome to compare
    finally:
        progress.clear()


def _tell(found: Agreement) -> None:
    for share in found.shares:
        print(f"{share.name:18} {share.same:6} of {share.of:6}  {share.percent:5.1f} %")
        if share.first:
            print(terminal.visible(f"  {share.first}"))
    print(f"{'agreement':18} {'':16}  {found.percent:5.1f} %")
    print(f"the first frame comes {found.first} on {engines.NAMES[1]}, the others")
    print(f"up to {found.late / 1e6:.3f} ms earlier or later beside it")

"""omvsim check: the suites on a firmware image, in parallel, and the table of statements."""

from __future__ import annotations

import argparse
import os
import re
import textwrap
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from robot.api import TestSuiteBuilder

from omvsim import image
from omvsim.commands.options import camera_options, switched_on, whole
from omvsim.engine import choice as engines
from omvsim.engine.renode import find
from omvsim.errors import UserError
from omvsim.suites import comparison, conformance, github, selection
from omvsim.suites.check import WRITTEN, Pool, told, version_of_testbed, write
from omvsim.suites.conformance import Conformance, Known
from omvsim.suites.local import SUITES

BOTH = "both"  # engines


def add_command(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser(
        "check", help="check every statement of the ssl page on a firmware image",
        description="Run the suites on a firmware image, in parallel, and tell which statements\n"
        "of the ssl module's documentation hold. The exit code tells differences: from\n"
        "the failures that are known of the image, or from a baseline.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent("""\
            examples:
              omvsim check                                     the project's image
              omvsim check --firmware build/mine/openmv_h7.elf --baseline main/conformance.json
              omvsim check --suite dtls --suite 'ciphers.*'    suites, statements or tests
              omvsim check --suite hostile                     bad networks and bad peers
              omvsim check --put ssl.py                        with a changed module on the camera
              omvsim check --last-failed -x                    what differed last time
              omvsim check --shard 1/4 --out shard-1           a quarter, on one of four machines
              omvsim check --dask tcp://host:8786              on many machines, in one table
              omvsim check --engine both                       embedded and Renode, side by side
              omvsim check --compare old.json new.json         two runs, test by test

            The folder --out gets conformance.html, conformance.json (a baseline for later runs),
            junit.xml, Robot Framework's log.html, and the evidence of each test.

            exit codes:
              0    everything does what it is known to do, or what the baseline did
              1    differences: fixed and broken ones are listed apart
              2    usage or bad input
              130  interrupted by Ctrl-C; what has run by then is reported
            """),
    )  # fmt: skip
    camera_options(command)
    command.add_argument(
        "--suite", action="append", default=[], metavar="PATTERN",
        help="only these: a folder (ssl, field, hostile), a suite's file name, a statement's id "
        "or a test's name; * is a wildcard (default: ssl and field)",
    )  # fmt: skip
    command.add_argument(
        "--baseline", type=Path, metavar="FILE", help="conformance.json of an earlier run"
    )
    command.add_argument(
        "--expected", type=Path, metavar="FILE", default=conformance.KNOWN,
        help="known failures (default: robot/ssl/expected/known.toml, by the versions that the "
        "image tells)",
    )  # fmt: skip
    command.add_argument(
        "--put", type=Path, action="append", default=[], metavar="FILE",
        help="put a file on every camera: an ssl.py there wins over the image's",
    )  # fmt: skip
    command.add_argument(
        "--jobs", type=whole(1000, "number of cameras"), default=os.cpu_count() or 1, metavar="N",
        help="cameras at a time (default: one for each core)",
    )  # fmt: skip
    command.add_argument(
        "--dask", metavar="ADDRESS",
        help="run the tests on the workers of this Dask scheduler, such as tcp://host:8786; each "
        "has openmv-testbed[dask] installed, and gets the image from here",
    )  # fmt: skip
    command.add_argument(
        "-k", metavar="TEXT", help="only tests whose names have this in them, in any case"
    )
    command.add_argument(
        "--last-failed", type=Path, nargs="?", const=Path(), metavar="FILE",
        help="only what differed in that conformance.json (default: the newest of runs/)",
    )  # fmt: skip
    command.add_argument(
        "--shard", type=shard, metavar="I/N", help="only each Nth test from the Ith on"
    )
    command.add_argument(
        "-x", "--exitfirst", action="store_true", help="end at the first difference"
    )
    command.add_argument(
        "--compare", type=Path, nargs="+", metavar="FILE",
        help="run nothing: conformance.json of several runs side by side",
    )  # fmt: skip
    command.add_argument("--out", type=Path, metavar="DIR", help="default: runs/TIME-check")
    command.set_defaults(call=check)


def check(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    if options.compare:
        return comparison.compare(options.compare, options.out)
    out = options.out or Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-check"
    if options.engine == BOTH:
        return _both(options, out)
    return _check(options, out)


def _both(options: argparse.Namespace, out: Path) -> int:
    """The same on each engine, then side by side."""
    find()  # before minutes are spent
    codes, files = [], []
    for name in engines.NAMES:
        os.environ[engines.VARIABLE] = name
        print(f"engine {name}")
        codes.append(_check(options, out / name))
        if codes[-1] == 130:
            return 130
        files.append(out / name / "conformance.json")
        print()
    return max(*codes, comparison.compare(files, out))


def _check(options: argparse.Namespace, out: Path) -> int:
    """On the engine that is wanted."""
    firmware = image.load(options.firmware)
    if options.baseline:
        conformance.read_baseline(options.baseline)  # before minutes are spent
    for file in options.put:
        if not os.path.isfile(file):
            raise UserError(f"{file}: no such file to put on the camera")
    tests, part = selection.chosen(
        TestSuiteBuilder().build(SUITES), options.suite, options.k, options.last_failed,
        options.shard,
    )  # fmt: skip
    versions, missing = told(firmware.path, options.put, **switched_on(options))
    known, of = conformance.expectations(options.expected, versions)
    print(f"{image.display(firmware.path)}: {versions}")
    if of != versions.micropython:
        print(f"its known failures are not listed: those of MicroPython {of} are taken")
    try:
        (out / "robot").mkdir(parents=True, exist_ok=True)
        for stale in [*(out / "robot").glob("*.xml"), *(out / name for name in WRITTEN)]:
            stale.unlink(missing_ok=True)  # of an earlier run, or a link
    except OSError as error:
        raise UserError(f"{out}: {error.strerror}: choose another --out") from None
    began, started = time.monotonic(), datetime.now().astimezone()
    pool = Pool(
        tests, firmware.path, options.put, options.jobs, out, switched_on(options), options.dask
    )
    stopped = _run(pool, options, known)
    outcomes = sorted(pool.outcomes, key=lambda o: (o.suite, o.name))
    statements = conformance.catalogue()
    result = Conformance(
        image.display(firmware.path), firmware.sha256, versions, missing, statements, outcomes,
        part=part, began=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - began, 1), engine=engines.told(),
        testbed=version_of_testbed(),
    )  # fmt: skip
    conformance.judge(result, known)
    if options.baseline:
        conformance.compare(result, options.baseline, known)
    if len(outcomes) < len(tests):
        result.interrupted = f"{stopped}: {len(outcomes)} of {len(tests)} tests have run"
    write(result, out)
    _tell(result, out)
    github.tell(result)
    if stopped == "interrupted":
        return 130
    return 1 if result.differences else 0


def _run(pool: Pool, options: argparse.Namespace, known: Mapping[str, Known]) -> str:
    """Run the tests; what has ended them before the last."""
    try:
        for outcome in pool.run(options.interrupt.check):
            if options.exitfirst and conformance.unexpected(outcome, known.get(outcome.name)):
                return "ended at the first difference"
    except KeyboardInterrupt:
        print(f"omvsim: interrupted, {len(pool.outcomes)} tests have run")
        return "interrupted"
    finally:
        pool.close()
    return ""


def _tell(result: Conformance, out: Path) -> None:
    """The end of the run in words."""
    print()
    for kind, differences in conformance.kinds(result.differences).items():
        print(f"{kind}, compared with {result.against}:")
        for difference in differences:
            print(f"  {difference.test}")
            for line in difference.message.strip().splitlines()[:6]:
                print(f"    {line}")
    counts = ", ".join(f"{number} {verdict}" for verdict, number in result.counts.items())
    print(f"{len(result.tests)} tests in {result.seconds:.0f} s; statements: {counts}")
    print(f"the table is in {image.display(out / 'conformance.html')}")


def shard(text: str) -> tuple[int, int]:
    """From I/N, 1/4 to 4/4."""
    found = re.fullmatch("([0-9]{1,4})/([0-9]{1,4})", text)
    one, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= one <= of:
        raise argparse.ArgumentTypeError(f"{text!r}: write I/N, such as 1/4")
    return one, of

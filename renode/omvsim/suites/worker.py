"""A worker of `omvsim check`: runs Robot tests that it is told by name, one after the other.

Names come and answers go as lines of JSON; whatever else is printed goes to standard error.
"""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from robot.api import TestSuite, TestSuiteBuilder
from robot.result import TestCase
from robot.running.namespace import IMPORTER

from omvsim.processes import die_with

NAME = "omvsim-worker"  # of its process


def slug(longname: str) -> str:
    """A folder's name for a test."""
    return re.sub(r"[^a-z0-9]+", "-", longname.lower()).strip("-")


class _Name:
    """A listener that puts the statements that a test checks before its message."""

    ROBOT_LISTENER_API_VERSION = 3

    def end_test(self, data: TestCase, result: TestCase) -> None:
        if not result.passed and result.tags:
            result.message = f"[{', '.join(result.tags)}] {result.message}"


def _only(suite: TestSuite, longname: str) -> TestSuite:
    """A copy of the suite with that test alone; what is not copied is not written to by a run."""
    chosen = suite.copy()
    chosen.tests = [test.copy() for test in suite.tests if test.full_name == longname]
    chosen.suites = [
        _only(child, longname)
        for child in suite.suites
        if longname.startswith(f"{child.full_name}.")
    ]
    return chosen


def run(suite: TestSuite, longname: str, out: Path, variables: list[str]) -> dict[str, object]:
    """Run one test; what came of it. Its output.xml lies in the folder `robot`."""
    chosen = _only(suite, longname)
    output = out / "robot" / f"{slug(longname)}.xml"
    result = chosen.run(
        output=str(output), outputdir=str(out), variable=variables, listener=_Name(),
        stdout=sys.stderr, stderr=sys.stderr, console="none",
    )  # fmt: skip
    [test] = result.suite.all_tests
    return {
        "passed": test.passed,
        "message": test.message,
        "seconds": round(test.elapsed_time.total_seconds(), 3),
    }


def serve(
    order: Mapping[str, Any], names: Iterable[str], answers: TextIO, suite: TestSuite | None = None
) -> None:
    """Run each test that is named, until there are no more; `suite` holds all, if it is read."""
    for interrupt in (signal.SIGINT, signal.SIGHUP):
        signal.signal(interrupt, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with(order["parent"])
    Path("/proc/self/comm").write_text(NAME)
    if suite is None:
        suite = TestSuiteBuilder().build(*order["suites"])
    # as within one run: else each test makes the keywords of BuiltIn and ours anew, in 30 ms
    IMPORTER.reset = lambda: None
    gc.freeze()  # what stays is not searched for garbage again, and what comes less often
    gc.set_threshold(10_000, 20, 20)
    out = Path(order["out"])
    (out / "robot").mkdir(parents=True, exist_ok=True)
    for line in names:
        print(json.dumps(run(suite, json.loads(line), out, order["variables"])), file=answers)


def main() -> int:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    order = json.loads(sys.stdin.readline())
    serve(order, sys.stdin, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""omvsim check: the suites on a firmware image, in parallel, and the table of statements."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped
from junitparser import TestCase as TestCaseResult
from junitparser import TestSuite as JUnitSuite
from robot.rebot import rebot
from robot.running import TestCase

from omvsim import image, terminal
from omvsim.errors import UserError
from omvsim.evidence import report
from omvsim.suites import conformance, selection
from omvsim.suites.cluster import Cluster
from omvsim.suites.conformance import Conformance, Outcome, Versions
from omvsim.suites.local import Answer, Local, Order
from omvsim.suites.worker import slug
from omvsim.testbed import ScriptError, Testbed, testbed_version

WRITTEN = ("conformance.json", "conformance.html", "junit.xml", "log.html", "workers.log")
SLOW = 10.0  # host seconds without news before the running tests are named
PROBE = """
import ssl as m, sys, tls
print(sys.implementation.version, getattr(tls, "MBEDTLS_VERSION", ""), sep="\\n")
for name in {names}:
    if not hasattr(m, name): print(name)
for name in {methods}:
    if not hasattr(m.SSLContext, name): print("SSLContext." + name)
try:
    m.SSLContext(m.PROTOCOL_TLS_CLIENT).wrap_socket(None, client_id=None)
except TypeError as error:
    if "keyword" in str(error): print("client_id")
except Exception:
    pass
"""
NAMES = [
    "wrap_socket", "SSLContext", "SSLSocket", "CERT_NONE", "CERT_OPTIONAL", "CERT_REQUIRED",
    "PROTOCOL_TLS_CLIENT", "PROTOCOL_TLS_SERVER", "PROTOCOL_DTLS_CLIENT", "PROTOCOL_DTLS_SERVER",
]  # fmt: skip
METHODS = [
    "load_cert_chain", "load_verify_locations", "get_ciphers", "set_ciphers", "wrap_socket",
    "verify_mode",
]  # fmt: skip


def version_of_testbed() -> str:
    """The version of what checks, and the commit of a checkout."""
    with suppress(OSError):
        done = subprocess.run(
            ["git", "-C", image.ROOT, "describe", "--always", "--dirty"],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        if not image.INSTALLED and done.stdout:
            return f"{testbed_version()}, commit {done.stdout.strip()}"
    return testbed_version()


def told(firmware: Path, put: Sequence[Path], **camera: Any) -> tuple[Versions, list[str]]:
    """What the image says of its versions, and documented names that it lacks; raises UserError
    where it has no ssl at all."""
    with Testbed(firmware, files={file.name: file for file in put}, **camera) as testbed:
        testbed.boot()
        try:
            lines = testbed.exec(PROBE.format(names=NAMES, methods=METHODS)).splitlines()
        except ScriptError as error:
            last = str(error).strip().splitlines()[-1]
            raise UserError(
                f"{image.display(firmware)}: import ssl fails ({last}): build the firmware with "
                "MICROPY_PY_SSL and a frozen ssl.py"
            ) from None
    major, minor, micro, *stage = ast.literal_eval(lines[0])
    preview = ".dev0" if any(stage) else ""  # of what it will be
    missing = lines[2:]
    ssl = "upstream" if "SSLContext.get_ciphers" in missing else "page"
    mbedtls = lines[1].split()[-1] if lines[1] else "0"
    return Versions(f"{major}.{minor}.{micro}{preview}", mbedtls, ssl), missing


class Pool:
    """Hands tests to an executor; results come to `outcomes`."""

    def __init__(
        self, tests: Sequence[TestCase], firmware: Path, put: Sequence[Path], jobs: int, out: Path,
        camera: Mapping[str, Any], dask: str | None = None,
    ) -> None:  # fmt: skip
        """`camera` is what Testbed takes beside the firmware: board, before, boot_limit; `dask` the
        address of a scheduler (cluster.Cluster)."""
        self.outcomes: list[Outcome] = []
        self._tests = tests
        self._out = out
        order = Order(firmware, tuple(put), dict(camera))
        self._runner: Local | Cluster
        if dask:
            self._runner = Cluster(dask, order, out)
        else:
            suite = tests[0].parent
            while suite.parent:
                suite = suite.parent
            self._runner = Local(order, out, min(jobs, len(tests)), suite)

    def run(self, interrupted: Any) -> Iterator[Outcome]:
        """Each test as it has run; `interrupted` is called often and may raise."""
        to_come = {self._runner.submit(test.full_name): test for test in self._tests}
        news = time.monotonic()
        while to_come:
            interrupted()
            done = wait(to_come, timeout=0.2, return_when=FIRST_COMPLETED).done
            if not done and time.monotonic() - news > SLOW:
                news = time.monotonic()
                print(f"  {self._runner.doing()}", flush=True)
            for future in done:
                news = time.monotonic()
                test = to_come.pop(future)
                outcome = self._outcome(test, self._runner.answer(future))
                self.outcomes.append(outcome)
                self._tell(outcome)
                yield outcome

    def close(self) -> None:
        """End all workers."""
        self._runner.close()

    def _tell(self, outcome: Outcome) -> None:
        width = len(str(len(self._tests)))
        if terminal.Style.quiet:  # what differs is told at the end
            return
        word, color = ("pass", "green") if outcome.passed else ("FAIL", "red")
        terminal.say(
            f"{len(self.outcomes):{width}}/{len(self._tests)} ",
            (word, color),
            f" {outcome.seconds:5.1f} s  {outcome.suite}: {outcome.name}",
            stream=sys.stdout,
        )
        if terminal.Style.verbose and not outcome.passed:
            print(outcome.message, flush=True)

    def _outcome(self, test: TestCase, answer: Answer) -> Outcome:
        folder = f"evidence/{slug(test.full_name)}"
        if "passed" not in answer:  # the worker is no more
            tags = f"[{', '.join(test.tags)}]"
            answer = {**answer, "passed": False, "message": f"{tags} {answer['message']}"}
        return Outcome(
            folder=selection.folder(test), suite=selection.suite(test), name=test.name,
            statements=list(test.tags), **answer,
            evidence=folder if (self._out / folder).is_dir() else "",
        )  # fmt: skip


def write(result: Conformance, out: Path) -> None:
    """conformance.json and .html, junit.xml, log.html."""
    result.write(out / "conformance.json")
    page = report.environment.get_template("conformance.html").render(
        run=result, kinds=conformance.kinds(result.differences)
    )
    (out / "conformance.html").write_text(page)
    _junit(result).write(str(out / "junit.xml"))
    outputs = sorted(str(path) for path in (out / "robot").glob("*.xml"))
    if outputs:
        with (out / "workers.log").open("a") as log:
            rebot(
                *outputs, merge=True, outputdir=str(out), log="log.html", report=None,
                name=f"omvsim check, {result.interrupted}".rstrip(", "),
                stdout=log, stderr=log, loglevel="INFO",
            )  # fmt: skip


def _junit(result: Conformance) -> JUnitXml:
    """For CI: what fails as known is skipped, with the reason."""
    news = {difference.test for difference in result.differences}
    report = JUnitXml("omvsim check")
    for name in dict.fromkeys(test.suite for test in result.tests):
        suite = JUnitSuite(name)
        for test in result.tests:
            if test.suite != name:
                continue
            case = TestCaseResult(test.name, f"{test.folder}.{name}", test.seconds)
            if test.name in news:
                case.result = [Failure(test.message)]
            elif not test.passed:
                case.result = [Skipped(result.reason(test))]
            suite.add_testcase(case)
        report.add_testsuite(suite)
    if result.interrupted:
        suite, case = JUnitSuite("interrupted"), TestCaseResult("omvsim check")
        case.result = [Error(result.interrupted)]
        suite.add_testcase(case)
        report.add_testsuite(suite)
    report.update_statistics()  # type: ignore[no-untyped-call]
    return report

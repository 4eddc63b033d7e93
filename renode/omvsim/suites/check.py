"""omvsim check: the suites on a firmware image, in parallel, and the table of statements."""

from __future__ import annotations

import ast
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
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
from omvsim.image import ROOT, resolved
from omvsim.suites import conformance, selection
from omvsim.suites.conformance import Conformance, Outcome, Versions
from omvsim.suites.worker import slug
from omvsim.testbed import ScriptError, Testbed, find_board, testbed_version

SUITES = ROOT / "robot"
WRITTEN = ("conformance.json", "conformance.html", "junit.xml", "log.html", "workers.log")
CPU_LIMIT = 300.0  # seconds of a core for one test
STALLED = 300.0  # host seconds in which a test uses no core at all
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


def _absolute(value: object) -> object:
    """A path, from wherever a worker runs."""
    return find_board(value).resolve() if isinstance(value, Path) else value


def version_of_testbed() -> str:
    """The version of what checks, and the commit of a checkout."""
    with suppress(OSError):
        done = subprocess.run(
            ["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True,
            stdin=subprocess.DEVNULL, check=False,
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


class Watch:
    """Ends a worker whose test takes too much of a core, or none; a slow machine ends nothing."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.verdict = ""
        self._process = process
        self._began = self._used = _cpu(process.pid)
        self._moved = time.monotonic()

    def look(self) -> None:
        """To be called now and then."""
        used, now = _cpu(self._process.pid), time.monotonic()
        if used > self._used:
            self._used, self._moved = used, now
        if used - self._began > CPU_LIMIT:
            self.verdict = f"took more than {CPU_LIMIT:g} s of a core"
        elif now - self._moved > STALLED:
            self.verdict = f"did nothing for {STALLED:g} s"
        if self.verdict:
            self._process.kill()


def _cpu(pid: int) -> float:
    """Seconds of a core that a process and its ended children have used (proc(5), stat)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


class Pool:
    """Worker processes, each with a thread that feeds it; results come to `outcomes`."""

    def __init__(
        self, tests: Sequence[TestCase], firmware: Path, put: Sequence[Path], jobs: int, out: Path,
        camera: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """`camera` is what Testbed takes beside the firmware: board, before, boot_limit."""
        self.outcomes: list[Outcome] = []
        self._tests = tests
        self._out = out
        self._order = {
            "suites": [str(SUITES)],
            "out": str(out.resolve()),
            "parent": os.getpid(),
            "variables": [
                f"FIRMWARE:{resolved(firmware)}",
                f"PUT:{os.pathsep.join(str(file.resolve()) for file in put)}",
                *(f"{name.upper()}:{_absolute(value)}" for name, value in camera.items() if value),
            ],
        }
        self._todo: queue.SimpleQueue[TestCase] = queue.SimpleQueue()
        for test in tests:
            self._todo.put(test)
        self._done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._running: dict[str, Watch] = {}
        self._closing = False
        self._processes: set[subprocess.Popen[str]] = set()
        self._log = (out / "workers.log").open("w")
        self._threads = [
            threading.Thread(target=self._feed, daemon=True) for _ in range(min(jobs, len(tests)))
        ]

    def run(self, interrupted: Any) -> Iterator[Outcome]:
        """Each test as it has run; `interrupted` is called often and may raise."""
        for thread in self._threads:
            thread.start()
        news = time.monotonic()
        while len(self.outcomes) < len(self._tests):
            interrupted()
            for watch in list(self._running.values()):
                watch.look()
            try:
                outcome = self._done.get(timeout=0.2)
            except queue.Empty:
                if time.monotonic() - news > SLOW and self._running:
                    news = time.monotonic()
                    print(f"  running: {', '.join(sorted(self._running))}", flush=True)
                continue
            news = time.monotonic()
            self.outcomes.append(outcome)
            self._tell(outcome)
            yield outcome

    def close(self) -> None:
        """End all workers."""
        self._closing = True
        for process in list(self._processes):
            process.kill()
        for thread in self._threads:
            if thread.ident:
                thread.join()
        self._log.close()

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

    def _feed(self) -> None:
        """Give one worker test after test; a new one where it dies."""
        process: subprocess.Popen[str] | None = None
        while not self._closing:
            try:
                test = self._todo.get_nowait()
            except queue.Empty:
                break
            process = process or self._start()
            began = time.monotonic()
            self._running[test.name] = watch = Watch(process)
            answer = self._ask(process, test)
            if not answer:
                with suppress(OSError):
                    process.kill()
                self._processes.discard(process)
                # what is half written cannot be read, and log.html needs all of them
                (self._out / "robot" / f"{slug(test.full_name)}.xml").unlink(missing_ok=True)
                what = watch.verdict or "crashed the worker"
                code = process.wait()
                process = None
                answer = {
                    "passed": False,
                    "message": f"[{', '.join(test.tags)}] the test {what} (exit code {code}); "
                    "see workers.log",
                    "seconds": round(time.monotonic() - began, 3),
                }
            self._running.pop(test.name)
            if not self._closing:
                self._done.put(self._outcome(test, answer))
        if process:
            process.stdin.close()  # type: ignore[union-attr]
            process.wait()
            self._processes.discard(process)

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "omvsim.suites.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        self._processes.add(process)
        _say(process.stdin, self._order)
        return process

    def _ask(self, process: subprocess.Popen[str], test: TestCase) -> dict[str, Any]:
        """The worker's answer; nothing where it died or was ended."""
        try:
            _say(process.stdin, test.full_name)
            line = process.stdout.readline() if process.stdout else ""
        except OSError:
            line = ""
        return json.loads(line) if line.endswith("\n") else {}

    def _outcome(self, test: TestCase, answer: dict[str, Any]) -> Outcome:
        folder = f"evidence/{slug(test.full_name)}"
        return Outcome(
            folder=selection.folder(test), suite=selection.suite(test), name=test.name,
            statements=list(test.tags), **answer,
            evidence=folder if (self._out / folder).is_dir() else "",
        )  # fmt: skip


def _say(pipe: Any, what: object) -> None:
    pipe.write(json.dumps(what) + "\n")
    pipe.flush()


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

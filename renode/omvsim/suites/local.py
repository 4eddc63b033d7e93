"""The tests of `omvsim check` on this machine: worker processes that a watch ends."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from robot.api import TestSuite

from omvsim import processes
from omvsim.engine import choice as engines
from omvsim.image import ROOT, resolved
from omvsim.suites import worker
from omvsim.suites.worker import slug
from omvsim.testbed import find_board

SUITES = ROOT / "robot"
#: seconds of a core for one test, by its engine
CPU_LIMIT = {"embedded": 300.0, "renode": 1800.0}
STALLED = 300.0  # host seconds in which a test uses no core at all

Answer = dict[str, Any]  # of a worker: passed, message, seconds; no `passed` where it is no more


@dataclass(frozen=True)
class Order:
    """What the tests run on: an image, files for each camera, and what Testbed takes beside."""

    firmware: Path
    put: tuple[Path, ...]
    camera: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=engines.settings)

    def variables(self) -> list[str]:
        """For Robot, with paths from wherever a worker runs."""
        return [
            f"FIRMWARE:{resolved(self.firmware)}",
            f"PUT:{os.pathsep.join(str(file.resolve()) for file in self.put)}",
            # also those without a value: Robot looks long for others that are spelt alike
            *(f"{name.upper()}:{_absolute(value or '')}" for name, value in self.camera.items()),
        ]


def _absolute(value: object) -> object:
    return find_board(value).resolve() if isinstance(value, Path) else value


Process = subprocess.Popen[str] | processes.Forked


class Workers:
    """Processes that wait for tests; as many as there are calls of `run` at once."""

    def __init__(self, order: Order, out: Path) -> None:
        self._order = {
            "suites": [str(SUITES)],
            "out": str(out.resolve()),
            "parent": os.getpid(),
            "variables": order.variables(),
        }
        self._environment = {**os.environ, **order.environment}
        self._limit = CPU_LIMIT[self._environment.get(engines.VARIABLE) or engines.NAMES[0]]
        self._out = out
        self._idle: list[Process] = []
        self._all: set[Process] = set()
        self._closing = False
        self.running: set[str] = set()
        out.mkdir(parents=True, exist_ok=True)
        self._log = (out / "workers.log").open("w")

    def fork(self, number: int, suite: TestSuite) -> None:
        """So many at once, which know all that this process has read and imported; before it has
        threads."""

        def serve(names: TextIO, answers: TextIO) -> None:
            os.environ.update(self._environment)
            worker.serve(self._order, names, answers, suite)

        for _ in range(number):
            self._idle.append(processes.Forked(serve, self._log.fileno()))
        self._all.update(self._idle)

    def run(self, test: str) -> Answer:
        """One test by its full name."""
        began = time.monotonic()
        with self._named(test.rpartition(".")[2]):
            process = self._idle.pop() if self._idle else self._start()
            watch = processes.Watch(process.pid, self._limit, STALLED)
            answer = self._ask(process, test, watch)
            if answer:
                self._idle.append(process)
                return answer
            with suppress(OSError):
                process.kill()
            self._all.discard(process)
            # what is half written cannot be read, and log.html needs all of them
            (self._out / "robot" / f"{slug(test)}.xml").unlink(missing_ok=True)
            what, code = watch.verdict or "crashed the worker", process.wait()
        return {
            "message": f"the test {what} (exit code {code}); see workers.log",
            "seconds": round(time.monotonic() - began, 3),
        }

    def close(self) -> None:
        """End them all, also in the midst of a test."""
        self._closing = True
        for process in list(self._all):
            process.kill()
            process.wait()

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        self.running.add(name)
        try:
            yield
        finally:
            self.running.discard(name)

    def _start(self) -> Process:
        process = subprocess.Popen(
            [sys.executable, "-m", "omvsim.suites.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            env=self._environment,
        )  # fmt: skip
        self._all.add(process)
        if self._closing:
            process.kill()
        _say(process, self._order)
        return process

    def _ask(self, process: Process, test: str, watch: processes.Watch) -> Answer:
        """The worker's answer; nothing where it died or was ended."""
        assert process.stdout
        try:
            _say(process, test)
            while not select.select([process.stdout], [], [], 0.5)[0]:
                if watch.look():
                    return {}
            line = process.stdout.readline()
        except OSError:
            line = ""
        return json.loads(line) if line.endswith("\n") else {}


def _say(process: Process, what: object) -> None:
    assert process.stdin
    with suppress(OSError):  # it has died; who asks will hear nothing
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()


class Local:
    """So many workers, each with a thread that waits for it."""

    def __init__(self, order: Order, out: Path, jobs: int, suite: TestSuite) -> None:
        """`suite` holds all tests, as it was read from SUITES."""
        self._workers = Workers(order, out)
        self._workers.fork(jobs, suite)
        self._executor = ThreadPoolExecutor(jobs)

    def submit(self, test: str) -> Future[Any]:
        """A test by its full name."""
        return self._executor.submit(self._workers.run, test)

    def answer(self, future: Future[Any]) -> Answer:
        """What came of a test that has run."""
        answer: Answer = future.result()
        return answer

    def doing(self) -> str:
        """What a person who waits is told."""
        return f"running: {', '.join(sorted(self._workers.running))}"

    def close(self) -> None:
        """End the workers; tests that have not begun never will."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._workers.close()
        self._executor.shutdown()

"""Child processes and temporary folders, of which nothing outlives this process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, TextIO

PR_SET_PDEATHSIG = 1  # prctl(2)
#: waits for the end of its input, which is ours; what is left then goes
WATCHER = """\
trap '' HUP INT TERM
read -r _
[ -z "$1" ] || kill -KILL "-$1"
[ -z "$2" ] || rm -rf -- "$2"
"""


class Watcher:
    """Ends a process group and removes a file or folder, should this process be killed."""

    def __init__(self, *, group: int | None = None, path: Path | None = None) -> None:
        told = [str(group or ""), str(path.absolute()) if path else ""]
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", WATCHER, "omvsim-watcher", *told], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing is left to watch."""
        self._process.kill()
        self._process.communicate()


class Forked:
    """A process that goes on from here: no interpreter, no import anew. It has what is needed of
    subprocess.Popen; to be made while this process has one thread."""

    def __init__(self, serve: Callable[[TextIO, TextIO], object], log: int) -> None:
        """`serve` reads what is written to `stdin` and writes what `stdout` gives; what is printed
        beside goes to the file descriptor `log`."""
        (theirs, ours), (answers, tells) = os.pipe(), os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            os.close(ours)
            os.close(answers)
            _become(serve, log, theirs, tells)
        os.close(theirs)
        os.close(tells)
        self.stdin, self.stdout = open(ours, "w"), open(answers)  # noqa: SIM115
        self._code: int | None = None
        self._lock = threading.Lock()

    def kill(self) -> None:
        """End it, if it has not ended."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code; of one that a signal has ended, the signal's number, negative."""
        with self._lock:
            if self._code is None:
                self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            return self._code


def _become(
    serve: Callable[[TextIO, TextIO], object], log: int, asked: int, tells: int
) -> NoReturn:
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in (1, 2):
            os.dup2(log, number)
        with open(asked) as questions, open(tells, "w", buffering=1) as answers:
            sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
            serve(questions, answers)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)  # nothing of what is above in the stack is this process's


def cpu(pid: int) -> float:
    """Seconds of a core that a process, its descendants and those that have ended have used
    (proc(5), stat)."""
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            used[int(path.parent.name)] = sum(map(int, fields[11:15]))

    def below(process: int) -> bool:
        while process not in (pid, 0):
            process = parents.get(process, 0)
        return process == pid

    return sum(ticks for process, ticks in used.items() if below(process)) / os.sysconf(
        "SC_CLK_TCK"
    )


class Watch:
    """Whether a process takes too much of a core, or none: a slow machine ends nothing."""

    def __init__(self, pid: int, limit: float, stalled: float) -> None:
        """At most `limit` seconds of a core, and `stalled` of the host's without any, from the
        first look on."""
        self.verdict = ""
        self._pid, self._limit, self._stalled = pid, limit, stalled
        self._began: float | None = None
        self._used = self._moved = 0.0

    def look(self) -> str:
        """To be called now and then: the verdict, if there is one."""
        used, now = cpu(self._pid), time.monotonic()
        if self._began is None:
            self._began, self._used, self._moved = used, used, now
        elif used > self._used:
            self._used, self._moved = used, now
        if used - self._began > self._limit:
            self.verdict = f"took more than {self._limit:g} s of a core"
        elif now - self._moved > self._stalled:
            self.verdict = f"did nothing for {self._stalled:g} s"
        return self.verdict


@contextlib.contextmanager
def folder(prefix: str = "omvsim-") -> Iterator[Path]:
    """A temporary folder."""
    made = Path(tempfile.mkdtemp(prefix=prefix))
    watcher = Watcher(path=made)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        watcher.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a group of its own, and all others of the group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with contextlib.suppress(ProcessLookupError):  # also those that have outlived their leader
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(process: subprocess.Popen[bytes], check: Callable[[], object]) -> int:
    """Wait for a process that leads a group of its own; its exit code. `check` is called often and
    may raise, which ends the group."""
    watcher = Watcher(group=process.pid)
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(0.2)
            check()
    finally:
        end(process)
        watcher.close()


def die_with(parent: int) -> None:
    """Let this process be killed when that one, which has started it, ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)

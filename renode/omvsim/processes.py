"""Child processes and temporary folders, of which nothing outlives this process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

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

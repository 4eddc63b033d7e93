"""Of what omvsim starts and makes, nothing outlives it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import pytest
from omvsim import processes

#: leads a group whose other process ignores SIGTERM, and outlives it
STUBBORN = "(trap '' TERM; echo up; sleep 600) & wait"


def gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # ended meanwhile
            state, _, pgid, *_ = stat.read_text().rpartition(")")[2].split()
            if int(pgid) == group and state != "Z":
                return False
    return True


def wait(condition: Callable[[], bool]) -> bool:
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.05)
    return False


def stubborn() -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        ["sh", "-c", STUBBORN], start_new_session=True, stdout=subprocess.PIPE
    )
    assert process.stdout and process.stdout.readline() == b"up\n"
    process.stdout.close()
    return process


def test_a_group_ends_with_its_leader() -> None:
    process = stubborn()
    processes.end(process)
    assert wait(lambda: gone(process.pid))


def test_a_check_that_raises_ends_the_group() -> None:
    process = stubborn()

    def check() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        processes.run(process, check)
    assert wait(lambda: gone(process.pid))


def test_after_a_kill(tmp_path: Path) -> None:
    program = """
import subprocess, sys, time
from omvsim import processes
group = subprocess.Popen(["sleep", "600"], start_new_session=True)
watcher = processes.Watcher(group=group.pid)
with processes.folder() as folder:
    (folder / "x").write_text("x")
    print(group.pid, folder, flush=True)
    time.sleep(600)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stdout is not None
    group, folder = process.stdout.readline().split()
    assert Path(folder, "x").exists() and not gone(int(group))
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    process.wait()
    assert wait(lambda: gone(int(group)) and not list(tmp_path.iterdir()))


def _answer(questions: TextIO, answers: TextIO) -> None:
    for line in questions:
        if line == "end\n":
            return
        if line == "fail\n":
            raise ValueError("as asked")
        print(f"beside {line}", end="")
        print(line.upper(), end="", file=answers)


@pytest.mark.parametrize(
    ("last", "code", "printed"),
    [("end\n", 0, ""), ("fail\n", 1, "ValueError: as asked"), ("", -signal.SIGKILL, "")],
)
def test_a_process_that_goes_on_from_here(
    last: str, code: int, printed: str, tmp_path: Path
) -> None:
    """It is told and tells by its pipes, and what it prints is in the log."""
    log = tmp_path / "log"
    with log.open("w") as file:
        process = processes.Forked(_answer, file.fileno())
    process.stdin.write("one\ntwo\n")
    process.stdin.flush()
    assert [process.stdout.readline() for _ in range(2)] == ["ONE\n", "TWO\n"]
    process.stdin.write(last)
    process.stdin.flush()
    if not last:
        process.kill()
    assert process.wait() == process.wait() == code
    assert process.stdout.readline() == ""
    process.kill()  # it has ended, as whoever has its number now
    lines = log.read_text().splitlines()
    assert lines[:2] == ["beside one", "beside two"]
    assert (lines[-1] if lines[2:] else "") == printed

"""The omvsim program as a person starts it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import planted
import program
import pytest
from program import ROOT, Run, Start

IMAGE = ROOT / "build/firmware/openmv_h7.elf"


@pytest.fixture
def image() -> Path:
    if not IMAGE.exists():
        pytest.skip("no image: firmware/build makes it")
    return IMAGE


@pytest.fixture
def planted_image() -> Path:
    """tests/planted.py makes it; ci/test runs that."""
    if not planted.IMAGE.exists():
        pytest.skip("no image with planted faults: tests/planted.py makes it")
    return planted.IMAGE


@pytest.fixture
def example() -> Path:
    return ROOT / "firmware/examples/tls_client.py"


@pytest.fixture
def omvsim(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """omvsim(argument, ...) runs the program to its end."""
    folder = tmp_path_factory.mktemp("omvsim")
    return lambda *arguments: program.run(folder, *map(str, arguments))


@pytest.fixture
def start() -> Iterator[Start]:
    """start(argument, ...) starts the program in a process group of its own; none outlives it."""
    running: list[subprocess.Popen[str]] = []

    def popen(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "omvsim", *map(str, arguments)],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        running.append(process)
        return process

    yield popen
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def no_process_left() -> Callable[[subprocess.Popen[str]], None]:
    """Nothing of the process's group is there any more."""

    def check(process: subprocess.Popen[str]) -> None:
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)

    return check


@pytest.fixture
def tshark() -> Callable[..., str]:
    """tshark(capture, option, ...) gives what it prints."""
    program = shutil.which("tshark")
    if program is None:
        pytest.skip("no tshark: ci/setup --test installs it")

    def read(capture: Path, *options: str) -> str:
        done = subprocess.run(
            [program, "-r", capture, *options], capture_output=True, text=True, check=True
        )
        assert "cut short" not in done.stderr
        return done.stdout

    return read

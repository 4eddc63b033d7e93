"""The omvsim program in processes in which its libraries are imported already: they start with
half a second less of computing."""

from __future__ import annotations

import multiprocessing
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from omvsim.__main__ import main
from omvsim.cli import MODULES

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]
HANGS = 600  # seconds
READY = multiprocessing.get_context("forkserver")
READY.set_forkserver_preload(
    # not the shell's: it binds all of scapy's layers, which no other command may lean on
    ["omvsim.cli", "omvsim.suites.worker", "omvsim.engine.embedded"]
    + [f"omvsim.commands.{name}" for name in {*MODULES.values()} - {"shell"}]
)


def on_a_terminal(*arguments: object, **variables: str) -> tuple[int, bytes]:
    """Its exit code, and what it writes to a terminal that is its standard output and error."""
    ours, theirs = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [sys.executable, "-m", "omvsim", *map(str, arguments)], env=plain | variables,
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        told = b""
        try:
            while data := os.read(ours, 4096):
                told += data
        except OSError:  # Linux's end of a pseudo-terminal
            pass
    os.close(ours)
    return process.returncode, told


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, in the repository; what it prints lies in the folder for the while."""
    command = ["omvsim", *arguments]
    outputs = folder / "stdout", folder / "stderr"
    process = READY.Process(target=_omvsim, args=(command, dict(os.environ), outputs))
    process.start()
    process.join(HANGS)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired(command, HANGS)
    told = [path.read_text() for path in outputs]
    return subprocess.CompletedProcess(command, process.exitcode, *told)


def _omvsim(command: list[str], environment: dict[str, str], outputs: tuple[Path, Path]) -> None:
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate([Path(os.devnull), *outputs]):
        file = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR)
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    sys.argv = command
    sys.exit(main())

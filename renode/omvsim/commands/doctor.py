"""omvsim doctor: what is installed, and what to install for what."""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
from importlib.metadata import version
from typing import Any, NamedTuple

from omvsim import image
from omvsim.engine.renode import RELEASE, find, version_of
from omvsim.errors import UserError


class Program(NamedTuple):
    """A program that something needs."""

    name: str
    package: str  # of Debian
    purpose: str
    needed: bool = False  # by what everybody does


PROGRAMS = (
    Program(
        "arm-none-eabi-gcc", "gcc-arm-none-eabi libnewlib-arm-none-eabi", "omvsim firmware", True
    ),
    Program("make", "make", "omvsim firmware", True),
    Program("dpkg-source", "dpkg-dev", "omvsim firmware from Debian's sources", True),
    Program("git", "git", "omvsim firmware, for --sources"),
    Program("tshark", "tshark", "reading captures with their secrets"),
    Program("chromium", "chromium", "the project's own tests of pages"),
    Program("qemu-system-arm", "qemu-system-arm", "the project's own tests of the core"),
)
LIBRARIES = ("unicorn", "scapy", "cryptography", "pyOpenSSL", "robotframework", "mpremote")


def add_command(commands: Any) -> None:
    """The parser of omvsim doctor."""
    command = commands.add_parser(
        "doctor", help="what is installed, and what to install for what",
        description="Compilers, tools, libraries, Renode and the image, with versions.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="exit codes: 0 omvsim run and omvsim firmware have what they need, 1 something is\n"
        "missing\n",
    )  # fmt: skip
    command.set_defaults(call=doctor)


def doctor(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    good = True
    print(f"ok       Python {platform.python_version()}, omvsim {version('openmv-testbed')}")
    print(f"ok       {', '.join(f'{name} {version(name)}' for name in LIBRARIES)}")
    for program in PROGRAMS:
        if path := shutil.which(program.name):
            print(f"ok       {program.name}: {_version(path)}")
        else:
            word = "MISSING" if program.needed else "missing"
            how = f"apt install {program.package}"
            print(f"{word:8} {program.name}, for {program.purpose}: {how}")
            good = good and not program.needed
    try:
        renode = find()
        print(f"ok       Renode {version_of(renode)} (supported: {RELEASE}): {renode}")
    except UserError:
        print("missing  Renode, for --engine renode: omvsim renode install")
    if image.DEFAULT.exists():
        print(f"ok       the image {image.DEFAULT}")
    else:
        print(f"missing  the image {image.DEFAULT}: omvsim firmware builds it")
    return 0 if good else 1


def _version(path: str) -> str:
    """The first line that a program says of itself."""
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=20, check=False,
            stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return path
    return next(iter((done.stdout or done.stderr).splitlines()), path)

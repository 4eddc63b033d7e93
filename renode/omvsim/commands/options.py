"""What options of several commands take."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from omvsim.testbed import BOARD, SECOND, board_names

UNITS = {"ms": SECOND // 1000, "s": SECOND, "m": 60 * SECOND}
SHIFTS = {"kB": 10, "MB": 20, "GB": 30}
LONGEST = 365 * 86400 * SECOND  # a year; far below what 64 bits hold


class Parser(argparse.ArgumentParser):
    """Says what was meant where a command or an option is misspelt."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """A command's own parser tells of options that it does not know."""
        found, rest = super().parse_known_args(args, namespace)
        if rest and not self._subparsers:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Usage, the mistake and the nearest right word; exit code 2."""
        wrong, known = "", list[str]()
        if found := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            wrong, known = found[1], re.findall("[^', ]+", found[2])
        elif found := re.search(r"unrecognized arguments: (?:\S+ )*?(-[^ =]*)", message):
            wrong, known = found[1], list(self._option_string_actions)
        near = difflib.get_close_matches(wrong, known, 1) if wrong else []
        super().error(message + (f": did you mean {near[0]}?" if near else ""))


def camera_options(group: argparse._ActionsContainer) -> None:
    """What is switched on, and how."""
    group.add_argument(
        "--firmware", type=Path, metavar="IMAGE",
        help="ELF, HEX, DfuSe or FILE@ADDRESS, several with commas (default: build/firmware's)",
    )  # fmt: skip
    names = ", ".join(board_names())
    group.add_argument(
        "--board", type=Path, metavar="NAME", default=BOARD, help=f"{names}, or a .repl file"
    )
    group.add_argument(
        "--before", type=Path, metavar="SCRIPT",
        help="run this at the first prompt, such as what brings the network up",
    )  # fmt: skip
    group.add_argument(
        "--boot-limit", type=duration, default="10s", metavar="TIME",
        help="virtual time that the first prompt may take (default: 10s)",
    )  # fmt: skip


def switched_on(options: argparse.Namespace) -> dict[str, Any]:
    """These options, but the firmware, as Testbed takes them."""
    return {key: getattr(options, key) for key in ("board", "before", "boot_limit")}


def output_options(command: argparse.ArgumentParser) -> None:
    """What all commands take."""
    group = command.add_argument_group("output")
    group.add_argument(
        "-q", "--quiet", action="store_true", help="results and errors only: no notes, no progress"
    )
    group.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="more: run tells the conversation as it happens, check why a test fails",
    )
    group.add_argument(
        "--no-color", action="store_true",
        help="no colors, also where NO_COLOR is set or no terminal listens",
    )  # fmt: skip


def duration(text: str) -> int:
    """Nanoseconds from 20s, 500ms, 2m."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|s|m)", text)
    nanoseconds = round(float(found[1]) * UNITS[found[2]]) if found else 0
    if not 0 < nanoseconds <= LONGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no duration: write 500ms, 20s or 2m, up to a year"
        )
    return nanoseconds


def size(most: int) -> Callable[[str], int]:
    """Reads bytes from 500kB, 16MB, 1GB."""

    def read(text: str) -> int:
        found = re.fullmatch("([0-9]{1,4})(kB|MB|GB)", text)
        given = int(found[1]) << SHIFTS[found[2]] if found else 0
        if not 0 < given <= most:
            told = f"{text!r} is no size: write 500kB, 16MB or 1GB, up to {most >> 20}MB"
            raise argparse.ArgumentTypeError(told)
        return given

    return read


def whole(most: int, what: str) -> Callable[[str], int]:
    """Reads a whole number from 1 on."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not 0 < int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no {what}: write 1 to {most}")
        return int(text)

    return read

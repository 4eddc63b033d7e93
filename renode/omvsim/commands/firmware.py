"""omvsim firmware: build the camera's image."""

from __future__ import annotations

import argparse
from typing import Any

from omvsim import image


def add_command(commands: Any) -> None:
    """The parser of omvsim firmware."""
    command = commands.add_parser(
        "firmware", help="build the camera's image from upstream sources",
        description="Build the image from Debian's source packages, or from a MicroPython tree of "
        "yours: firmware/build, whose options follow (-- --help shows them). An image that is up "
        "to date is left alone.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  omvsim firmware                       where omvsim run looks for it\n"
        "  omvsim firmware -- --release 1.25 --output build/1.25\n"
        "  omvsim firmware -- --sources ~/micropython --output build/mine\n",
    )  # fmt: skip
    command.add_argument(
        "options", nargs="*", metavar="OPTION", help="behind --: of firmware/build"
    )
    command.set_defaults(call=firmware)


def firmware(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    return image.build(*options.options)

"""omvsim repl: cameras on pseudo-terminals."""

from __future__ import annotations

import argparse
import contextlib
import textwrap
from pathlib import Path
from typing import Any

from omvsim.commands import cameras
from omvsim.commands.options import switched_on
from omvsim.testbed import (
    Testbed,
    paced,
)


def add_command(commands: Any) -> None:
    """The parser of omvsim repl."""
    command = commands.add_parser(
        "repl", parents=[cameras.common()], help="the camera on a pseudo-terminal",
        description="Boot the camera and offer its console on a pseudo-terminal, in paced time.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent("""\
            examples:
              omvsim repl                             prints the terminal's name
              omvsim repl --pty /tmp/camera           then: mpremote connect /tmp/camera
              omvsim repl --unpaced --pty /tmp/a --beside b=/tmp/b
                                                      two, for MicroPython's run-multitests.py:
                                                      -t /tmp/a -t /tmp/b
            """),
    )  # fmt: skip
    command.add_argument("--pty", type=Path, metavar="PATH", help="also link the terminal to PATH")
    command.add_argument(
        "--beside", type=cameras.seat, action="append", default=[], metavar="NAME[=PTY][@IMAGE]",
        help="another camera in the same network, which DNS knows as NAME, on a terminal of its "
        "own (may be repeated)",
    )  # fmt: skip
    command.add_argument(
        "--unpaced", action="store_true",
        help="as fast as they run, not as the clock on the wall: for programs, not for persons",
    )  # fmt: skip
    command.set_defaults(call=repl)


def repl(options: argparse.Namespace) -> int:
    with Testbed(
        options.firmware, options.scenario, seed=options.seed, flash=options.flash,
            **switched_on(options),
        outside=options.allow_outside, files=cameras.files(options, {}),
    ) as testbed:  # fmt: skip
        testbed.waiting = options.interrupt.check
        testbed.boot()
        testbed.friendly()
        with cameras.bridged(testbed, options), contextlib.ExitStack() as stack:
            served = [(testbed, options.pty)]
            for other in options.beside:
                served.append((cameras.add_beside(stack, testbed, other, options), other.pty))
                served[-1][0].friendly()
            return paced.serve(served, paced=not options.unpaced)

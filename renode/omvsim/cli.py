"""The command line: the parser of all commands, and what ends one."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

from omvsim import interrupts, terminal
from omvsim.commands.options import Parser, output_options
from omvsim.engine import choice as engines
from omvsim.errors import UserError
from omvsim.testbed import testbed_version

#: commands and their modules, of which only the chosen one is imported
NAMES = (
    "run", "repl", "check", "docs", "certs", "shell", "replay", "compare", "bisect", "import",
    "renode", "demo", "doctor", "firmware", "init",
)  # fmt: skip
LISTS = ("scenarios", "misbehaviours", "keywords")
MODULES = {name: name for name in NAMES} | {"import": "import_"} | dict.fromkeys(LISTS, "lists")
NO_ENGINE = {"certs", "compare", "import", "renode", "demo", "doctor", "firmware", "init", *LISTS}
SHELLS = ("bash", "zsh", "tcsh")


class Completion(argparse.Action):
    """Prints the shell's completion script, for its start-up file to source."""

    def __call__(self, parser: argparse.ArgumentParser, *given: Any, **_: Any) -> None:
        """The shell's name is the second of what is given."""
        import shtab  # noqa: PLC0415 - a thirtieth of a second

        print(shtab.complete(parser, given[1]))
        parser.exit()


class Interrupt:
    """Ctrl-C, SIGTERM or SIGHUP: the run ends at its next `check`, a second one ends it at once.

    An exception raised by the handler itself would be lost inside a ctypes callback; where there
    are none, the run may end `at_once`.
    """

    def __init__(self) -> None:
        self.asked = self.at_once = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.asked or self.at_once:
            raise KeyboardInterrupt
        self.asked = True

    def check(self) -> None:
        if self.asked:
            raise KeyboardInterrupt


def _parser(chosen: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog="omvsim", description="The OpenMV camera, emulated, in a virtual network.",
        epilog="omvsim COMMAND --help shows a command's options, with examples.",
    )  # fmt: skip
    version = f"omvsim {testbed_version()}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    known = {name: [module] for name, module in MODULES.items()}
    for module in known.get(chosen, list(dict.fromkeys(MODULES.values()))):
        importlib.import_module(f"omvsim.commands.{module}").add_command(commands)
    parser.add_argument(
        "--print-completion", action=Completion, choices=SHELLS, metavar="SHELL",
        help=f"print what completes commands and options in {', '.join(SHELLS)}",
    )  # fmt: skip
    for command in commands.choices.values():
        output_options(command)
        if not NO_ENGINE & set(command.prog.split()):
            command.add_argument(
                "--engine", default=engines.wanted(),
                choices=(*engines.NAMES, *(["both"] if "check" in command.prog.split() else [])),
                help="what executes the camera (default: OMVSIM_ENGINE, else embedded)",
            )  # fmt: skip
            command.add_argument(
                "--no-leap", action="store_true",
                help="execute each pass of a loop that waits: the same run, slower",
            )  # fmt: skip
            command.add_argument(
                "--no-snapshot", action="store_true",
                help="execute each boot, whatever the cache has of it: the same run, slower",
            )  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    terminal.prepare()
    try:
        options = _parser(arguments[0] if arguments else "").parse_args(arguments)
    except UserError as error:
        print(f"omvsim: {terminal.visible(str(error))}", file=sys.stderr)
        return 2
    # of run, what the camera prints is given as it is to a file or another program
    guarded = (
        ("stderr", "stdout")
        if not getattr(options, "as_printed", False) or sys.stdout.isatty()
        else ("stderr",)
    )
    with terminal.guarded(() if arguments[0] in ("repl", "shell") else guarded):
        code = _call(options)
    return terminal.end(code)


def _call(options: argparse.Namespace) -> int:
    style = terminal.Style
    style.quiet, style.verbose, style.color = options.quiet, options.verbose, not options.no_color
    os.environ[engines.VARIABLE] = getattr(options, "engine", engines.NAMES[0])  # workers, too
    if getattr(options, "no_leap", False):
        os.environ[engines.NO_LEAP] = "1"
    if getattr(options, "no_snapshot", False):
        os.environ[engines.NO_SNAPSHOT] = "1"
    options.interrupt = Interrupt()
    interrupts.catch(options.interrupt)
    try:
        code: int = options.call(options)
    except UserError as error:
        print(f"omvsim: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("omvsim: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # its reader has seen enough, and is not told more
        return 130
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"omvsim: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    return code


if __name__ == "__main__":
    sys.exit(main())

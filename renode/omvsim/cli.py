"""The command line: omvsim run, repl, and the parser of all commands."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from netsim import Event, paths
from omvsim import image, interrupts, terminal
from omvsim.engine import choice as engines
from omvsim.errors import UserError
from omvsim.evidence import OUTCOMES, foreseen
from omvsim.options import Parser, duration, is_name, output_options, size
from omvsim.testbed import (
    BOARD,
    SECOND,
    FirmwareFault,
    ScriptError,
    ScriptExit,
    ScriptReset,
    Testbed,
    TimeLimit,
    both,
    bridge,
    outcome_of,
    paced,
    read_script,
    testbed_version,
)
from omvsim.testbed.progress import Progress
from omvsim.testbed.rawrepl import ProtocolError, State

#: commands that are slow to import, and their modules
OTHERS = {"check": "suites.check", "docs": "pages.docs", "shell": "testbed.shell"}
OTHERS |= {"replay": "repeat.replay", "bisect": "repeat.bisect", "import": "captures.importer"}
COMMANDS = ("certs", "renode", "demo", "doctor", "firmware", "init")
OTHERS |= {name: f"commands.{name}" for name in COMMANDS}
LISTS = ("scenarios", "misbehaviours", "keywords")
OTHERS |= dict.fromkeys(LISTS, "commands.lists")
NO_ENGINE = {"certs", "import", "renode", "demo", "doctor", "firmware", "init", *LISTS}
EXIT_CODES = """\
exit codes:
  0    the script ran to its end, or to sys.exit()
  1    it raised an exception (its traceback is on standard error), called
       sys.exit() with a status that is not 0, or reset the camera
  2    usage or bad input
  3    the firmware took a fault, locked up, or speaks no raw REPL
  4    a time limit passed
  130  interrupted by Ctrl-C, or nobody reads its output any more
"""


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


def run(options: argparse.Namespace) -> int:
    source = read_script(options.script)  # before anything is made
    for other in options.beside:
        read_script(other.script)
    modules = foreseen.modules(options.script, source)
    files: dict[str, str | Path] = {**modules, **{_to_put(f).name: f for f in options.put}}
    name = options.script.stem if options.script != Path("-") else "stdin"
    out = options.out or Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-{name}"
    code, result = 0, None
    progress = Progress(options.interrupt.check, options.host_limit / SECOND)
    console = terminal.Console()

    def printed(data: bytes) -> None:
        progress.output()
        console.write(data)

    try:
        with Testbed(
            options.firmware, options.scenario, board=options.board, seed=options.seed, out=out,
            script=str(options.script), outside=options.allow_outside,
            console_limit=options.console_limit, capture_limit=options.capture_limit,
            files=files,
        ) as testbed:  # fmt: skip
            result = testbed.result
            testbed.waiting = lambda: progress.tick(testbed)
            if terminal.Style.verbose:
                testbed.port.on_event = both(testbed.port.on_event, converse)
            forewarn(testbed, source, modules)
            if bridges(options) or options.beside:  # what replay does not repeat
                testbed.boot()
                with bridged(testbed, options), joined(testbed, options, out) as lines:
                    testbed.exec(source, options.time_limit, lines or printed)
            else:
                testbed.play(source, options.time_limit, printed)
    except (ScriptError, FirmwareFault, ProtocolError, TimeLimit, KeyboardInterrupt) as error:
        progress.clear()
        code = OUTCOMES[outcome_of(error)[0]] or 0
        if told := complaint(error):
            print(told, file=sys.stderr)
    progress.clear()
    if code != 130:
        console.end()
    for number, place in enumerate(result.stack if result else ()):
        print(f"omvsim:   {'called by' if number else 'in'} {place}", file=sys.stderr)
    if result and result.fault and code == OUTCOMES["fault"]:
        print(f"omvsim: stacked: {result.fault.frame}", file=sys.stderr)
        for line in result.wire:
            print(f"omvsim: on the wire before: {terminal.visible(line)}", file=sys.stderr)
    if result and result.cause and result.cause != result.detail:
        terminal.say("omvsim: ", ("why:", "red"), f" {result.cause}", stream=sys.stderr)
    for what in result.beyond if result else ():
        print(f"omvsim: {what}", file=sys.stderr)
    terminal.note(f"omvsim: evidence in {image.display(out)}")
    return code


def converse(event: Event) -> None:
    """Tell a step of the conversation on standard error."""
    print(f"omvsim: {terminal.visible(str(event))}", file=sys.stderr)


def _to_put(file: Path) -> Path:
    try:
        paths.read(file)
    except OSError as error:
        told = f"{file}: {error.strerror}: name a file to put on the camera"
        raise UserError(told) from None
    return file


def forewarn(testbed: Testbed, source: bytes, modules: Iterable[str]) -> None:
    """What a person should know before the run, on standard error."""
    told = [f"{name}, which the script imports, goes to the camera, too" for name in modules]
    if testbed.evidence:
        keys = (image.display(testbed.evidence.folder / name) for name in testbed.evidence.keys)
        told += [f"{key} holds a copy of a private key, for you alone to read" for key in keys]
    told += [f"warning: {text}" for text in foreseen.warnings(source, testbed.scenario)]
    for line in told:
        terminal.note(f"omvsim: {terminal.visible(line)}")


def complaint(error: BaseException) -> str:
    """What ended a run, for standard error."""
    told = f"omvsim: {error}"
    match error:
        case ScriptExit():
            pass
        case ScriptReset():
            told = ""  # its cause tells it
        case ScriptError():
            told = str(error)
        case FirmwareFault():
            told = f"omvsim: the firmware faulted: {error}"
        case ProtocolError():
            told = f"omvsim: the camera speaks no raw REPL: {error}"
        case TimeLimit():
            told += f"\n{error.traceback}"
        case KeyboardInterrupt():
            told = "omvsim: interrupted"
    return told.rstrip()


def repl(options: argparse.Namespace) -> int:
    with Testbed(
        options.firmware, options.scenario, board=options.board, seed=options.seed,
        outside=options.allow_outside, files={_to_put(f).name: f for f in options.put},
    ) as testbed:  # fmt: skip
        testbed.waiting = options.interrupt.check
        testbed.boot()
        testbed.friendly()
        with bridged(testbed, options), contextlib.ExitStack() as stack:
            cameras = [(testbed, options.pty)]
            for other in options.beside:
                cameras.append((_beside(stack, testbed, other, options), other.pty))
                cameras[-1][0].friendly()
            return paced.serve(cameras, paced=not options.unpaced)


def bridges(options: argparse.Namespace) -> bool:
    """Is this computer joined to the network?"""
    return bool(options.forward or options.reach) or options.tap is not None


class Beside(NamedTuple):
    """Another camera of the network."""

    name: str
    script: Path
    firmware: Path | None


class Seat(NamedTuple):
    """Another camera of the network, on a terminal of its own."""

    name: str
    pty: Path | None
    firmware: Path | None


def seat(text: str) -> Seat:
    """From NAME[=PTY][@IMAGE]."""
    place, _, firmware = text.partition("@")
    name, given, pty = place.partition("=")
    if not is_name(name) or (given and not pty):
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME, NAME=PTY or NAME=PTY@IMAGE")
    return Seat(name, Path(pty) if pty else None, Path(firmware) if firmware else None)


def beside(text: str) -> Beside:
    """From NAME=SCRIPT[@IMAGE]."""
    name, _, rest = text.partition("=")
    script, _, firmware = rest.partition("@")
    if not is_name(name) or not script:
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=SCRIPT or NAME=SCRIPT@IMAGE")
    return Beside(name, Path(script), Path(firmware) if firmware else None)


@contextlib.contextmanager
def joined(
    testbed: Testbed, options: argparse.Namespace, out: Path
) -> Iterator[Callable[[bytes], object] | None]:
    """With the cameras that --beside asks for; their scripts have had a second to begin. Gives
    what prints the first camera's lines then."""
    if not options.beside:
        yield None
        return
    with contextlib.ExitStack() as stack:
        scripts = []
        for other in options.beside:
            given = {"out": out / other.name, "script": str(other.script)}
            camera = _beside(stack, testbed, other, options, **given)
            printed = stack.enter_context(lines_of(other.name))
            scripts.append((camera, camera.start(read_script(other.script), printed)))
        testbed.run_for(SECOND)
        with lines_of(testbed.name) as printed:
            yield printed
        testbed.run_for(SECOND // 5)  # for their last words
        for camera, execution in scripts:
            if execution.state is State.DONE:
                camera.finish(execution)  # raises what the script raised


def _beside(
    stack: contextlib.ExitStack, testbed: Testbed, other: Beside | Seat,
    options: argparse.Namespace, **more: Any,
) -> Testbed:  # fmt: skip
    """Another camera in the network of the first, which has booted."""
    world = replace(testbed.scenario, faults=(), rules=())
    camera = stack.enter_context(Testbed(
        other.firmware or options.firmware, world, board=options.board, beside=testbed,
        name=other.name, **more,
    ))  # fmt: skip
    camera.waiting = testbed.waiting
    camera.boot()
    return camera


@contextlib.contextmanager
def lines_of(name: str) -> Iterator[Callable[[bytes], object]]:
    """Prints what a camera prints, line by line, behind the camera's name."""
    held = b""

    def printed(data: bytes) -> None:
        nonlocal held
        *lines, held = (held + data).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            print(f"{name}| {line.decode(errors='replace')}", flush=True)

    try:
        yield printed
    finally:
        printed(b"\n" if held else b"")


@contextlib.contextmanager
def bridged(testbed: Testbed, options: argparse.Namespace) -> Iterator[None]:
    """With the sockets that --forward, --reach and --tap ask for, if they do."""
    if not bridges(options):
        yield
        return
    made = bridge.Bridge(testbed, options.forward, options.reach, options.tap)
    try:
        yield
    finally:
        made.close()


def _parser(chosen: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog="omvsim", description="The OpenMV camera, emulated, in a virtual network.",
        epilog="omvsim COMMAND --help shows a command's options, with examples.",
    )  # fmt: skip
    version = f"omvsim {testbed_version()}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    common = Parser(add_help=False)
    world = common.add_argument_group("the camera and its world")
    world.add_argument(
        "--firmware", type=Path, metavar="IMAGE", help="ELF image (default: build/firmware's)"
    )
    world.add_argument(
        "--board", type=Path, metavar="FILE", default=BOARD, help="board description (.repl)"
    )
    world.add_argument(
        "--scenario", metavar="FILE",
        help="the world: a .toml file, or default, unknown_ca, wrong_name, expired",
    )  # fmt: skip
    world.add_argument(
        "--put", type=Path, action="append", default=[], metavar="FILE",
        help="put a file on the camera: a module or certificate (may be repeated)",
    )  # fmt: skip
    world.add_argument(
        "--allow-outside", action="store_true",
        help="let the scenario name files outside its own folder",
    )  # fmt: skip
    world.add_argument("--seed", type=int, metavar="N", help="instead of the scenario's seed")
    bridge.add_options(common.add_argument_group("this computer in the network"))

    command = commands.add_parser(
        "run", parents=[common], help="run a script on the camera",
        description="Boot the camera, put the scenario's files on it, run SCRIPT in its raw REPL.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent("""\
            examples:
              omvsim run firmware/examples/tls_client.py
              omvsim run --scenario expired --out evidence firmware/examples/tls_client.py
              omvsim run --firmware build/mine/openmv_h7.elf --time-limit 2m soak.py
              omvsim run --forward 8443:8443 --time-limit 10m firmware/examples/tls_server.py
              omvsim run --beside server.lan=firmware/examples/tls_server.py client.py
              omvsim run --put ca.der --put mylib.py client.py
              omvsim run --reach broker.lan=127.0.0.1:8883 mqtt.py

            """) + EXIT_CODES,
    )  # fmt: skip
    command.add_argument("script", type=Path, metavar="SCRIPT", help="- is standard input")
    command.add_argument(
        "--beside", type=beside, action="append", default=[], metavar="NAME=SCRIPT[@IMAGE]",
        help="another camera in the same network, which DNS knows as NAME; it begins a second "
        "before (may be repeated)",
    )  # fmt: skip
    limits = command.add_argument_group("limits")
    limits.add_argument(
        "--time-limit", type=duration, default="20s", metavar="TIME",
        help="virtual time that the script may take (default: 20s)",
    )  # fmt: skip
    limits.add_argument(
        "--host-limit", type=duration, default="10m", metavar="TIME",
        help="host time that the whole run may take (default: 10m)",
    )  # fmt: skip
    evidence = command.add_argument_group("evidence")
    evidence.add_argument(
        "--out", type=Path, metavar="DIR", help="evidence folder (default: runs/TIME-SCRIPT)"
    )
    evidence.add_argument(
        "--console-limit", type=size(paths.MOST), default="16MB", metavar="SIZE",
        help="of console.log (default: 16MB); what is printed beyond it is counted",
    )  # fmt: skip
    evidence.add_argument(
        "--capture-limit", type=size(1 << 40), default="256MB", metavar="SIZE",
        help="of net.pcapng (default: 256MB); frames beyond it are counted",
    )  # fmt: skip
    command.set_defaults(call=run)

    command = commands.add_parser(
        "repl", parents=[common], help="the camera on a pseudo-terminal",
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
        "--beside", type=seat, action="append", default=[], metavar="NAME[=PTY][@IMAGE]",
        help="another camera in the same network, which DNS knows as NAME, on a terminal of its "
        "own (may be repeated)",
    )  # fmt: skip
    command.add_argument(
        "--unpaced", action="store_true",
        help="as fast as they run, not as the clock on the wall: for programs, not for persons",
    )  # fmt: skip
    command.set_defaults(call=repl)
    known = {"run": [], "repl": [], **{name: [module] for name, module in OTHERS.items()}}
    for module in known.get(chosen, dict.fromkeys(OTHERS.values())):
        importlib.import_module(f"omvsim.{module}").add_command(commands)
    parser.add_argument(
        "--print-completion", action=Completion, choices=SHELLS, metavar="SHELL",
        help=f"print what completes commands and options in {', '.join(SHELLS)}",
    )  # fmt: skip
    for command in commands.choices.values():
        output_options(command)
        if not NO_ENGINE & set(command.prog.split()):
            command.add_argument(
                "--engine", choices=engines.NAMES, default=engines.wanted(),
                help="what executes the camera (default: OMVSIM_ENGINE, else embedded)",
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
        ("stderr", "stdout") if options.call is not run or sys.stdout.isatty() else ("stderr",)
    )
    with terminal.guarded(() if arguments[0] in ("repl", "shell") else guarded):
        code = _call(options)
    return terminal.end(code)


def _call(options: argparse.Namespace) -> int:
    style = terminal.Style
    style.quiet, style.verbose, style.color = options.quiet, options.verbose, not options.no_color
    os.environ[engines.VARIABLE] = getattr(options, "engine", engines.NAMES[0])  # workers, too
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

"""omvsim run: a script on the camera, to its end."""

from __future__ import annotations

import argparse
import itertools
import sys
import textwrap
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from netsim import Event, paths
from omvsim import board as boards
from omvsim import image, terminal
from omvsim.commands import cameras
from omvsim.commands.options import duration, size, switched_on
from omvsim.engine import Unmodelled
from omvsim.errors import UserError
from omvsim.evidence import OUTCOMES, Result, foreseen
from omvsim.evidence.places import function_at, place_at
from omvsim.testbed import (
    SECOND,
    FirmwareFault,
    ScriptError,
    ScriptExit,
    ScriptReset,
    Testbed,
    TimeLimit,
    both,
    outcome_of,
    read_script,
)
from omvsim.testbed.progress import Progress
from omvsim.testbed.rawrepl import ProtocolError

EXIT_CODES = """\
exit codes:
  0    the script ran to its end, or to sys.exit(); without one, --time-limit
       passed
  1    it raised an exception (its traceback is on standard error), called
       sys.exit() with a status that is not 0, or reset the camera
  2    usage or bad input
  3    the firmware took a fault, locked up, or speaks no raw REPL
  4    a time limit passed before the script's end
  130  interrupted by Ctrl-C, or nobody reads its output any more
"""


def add_command(commands: Any) -> None:
    """The parser of omvsim run."""
    command = commands.add_parser(
        "run", parents=[cameras.common()], help="run a script on the camera",
        description="Boot the camera, put the scenario's files on it, run SCRIPT in its raw REPL.\n"
        "Without SCRIPT its firmware, of any kind, runs until --time-limit.",
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
              omvsim run --put main.py --time-limit 1m
              omvsim run --board nucleo_h743zi --firmware zephyr.elf --forward 8080:80

            """) + EXIT_CODES,
    )  # fmt: skip
    command.add_argument(
        "script", type=Path, nargs="?", metavar="SCRIPT", help="- is standard input"
    )
    command.add_argument(
        "--beside", type=cameras.beside, action="append", default=[], metavar="NAME=SCRIPT[@IMAGE]",
        help="another camera in the same network, which DNS knows as NAME; it begins a second "
        "before (may be repeated)",
    )  # fmt: skip
    limits = command.add_argument_group("limits")
    limits.add_argument(
        "--time-limit", type=duration, default="20s", metavar="TIME",
        help="virtual time that the script may take, or that passes without one (default: 20s)",
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
    evidence.add_argument(
        "--trace", choices=["unmodelled"],
        help="at the end, tell each access that nothing models: block, function and line",
    )  # fmt: skip
    command.set_defaults(call=run, as_printed=True)


def run(options: argparse.Namespace) -> int:
    for option in ("before", "beside") if not options.script else ():
        if getattr(options, option):
            raise UserError(f"--{option} needs a prompt: name a SCRIPT, too")
    source = read_script(options.script) if options.script else b""  # before anything is made
    for other in options.beside:
        read_script(other.script)
    modules = foreseen.modules(options.script, source) if options.script else {}
    files = cameras.files(options, modules)
    named = options.script or Path(options.firmware or "firmware")
    name = named.stem if named != Path("-") else "stdin"
    out = options.out or Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-{name}"
    code, result = 0, None
    progress = Progress(options.interrupt.check, options.host_limit / SECOND)
    console = terminal.Console()

    def printed(data: bytes) -> None:
        progress.output()
        console.write(data)

    try:
        with Testbed(
            options.firmware, options.scenario, seed=options.seed, flash=options.flash,
            **switched_on(options), out=out,
            script=str(options.script or ""), outside=options.allow_outside,
            console_limit=options.console_limit, capture_limit=options.capture_limit,
            files=files,
        ) as testbed:  # fmt: skip
            result = testbed.result
            testbed.waiting = lambda: progress.tick(testbed)
            if terminal.Style.verbose:
                testbed.port.on_event = both(testbed.port.on_event, converse)
            forewarn(testbed, source, modules)
            if not options.script:
                refuse_unwritten(testbed, options)
                testbed.printed = printed
                with cameras.bridged(testbed, options):
                    testbed.run_for(options.time_limit)
            elif cameras.bridges(options) or options.beside:  # what replay does not repeat
                testbed.boot()
                with (
                    cameras.bridged(testbed, options),
                    cameras.joined(testbed, options, out) as lines,
                ):
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
    if result:
        tell(result, options.trace)
    terminal.note(f"omvsim: evidence in {image.display(out)}")
    return code


def refuse_unwritten(testbed: Testbed, options: argparse.Namespace) -> None:
    """Without a prompt, files go to the camera only where its file system is known."""
    for file in options.put:
        if file.name in testbed.unwritten:
            raise UserError(
                f"--put {file}: the image has no file system that is known, so that it takes a "
                "prompt to write there: name a SCRIPT, too"
            )


def tell(result: Result, trace: str | None) -> None:
    """What a person should know after the run, on standard error."""
    for number, place in enumerate(result.stack):
        print(f"omvsim:   {'called by' if number else 'in'} {place}", file=sys.stderr)
    if result.fault and result.outcome in ("fault", "lockup"):
        print(f"omvsim: stacked: {result.fault.frame}", file=sys.stderr)
        for line in result.wire:
            print(f"omvsim: on the wire before: {terminal.visible(line)}", file=sys.stderr)
    if result.cause and (result.cause != result.detail or result.outcome == "reset"):
        terminal.say("omvsim: ", ("why:", "red"), f" {result.cause}", stream=sys.stderr)
    if result.core_hz:
        print(
            f"omvsim: the image has set its core to {result.core_hz / 1e6:g} MHz, not to what "
            f"{Path(result.board).name} says: its times are wrong; choose its --board, or set "
            "hseFrequency and PerformanceInMips in one of yours",
            file=sys.stderr,
        )
    for line in (*(unmodelled(result) if trace else ()), *result.beyond):
        print(f"omvsim: {terminal.visible(line)}", file=sys.stderr)


def unmodelled(result: Result) -> Iterator[str]:
    """The accesses that nothing models, in words; a row of them by one function is one line."""
    board = boards.load(result.board_path)
    elfs = image.load(Path(result.image_path)).elfs

    def row(numbered: tuple[int, Unmodelled]) -> tuple[object, ...]:
        """What the accesses to words side by side have in common."""
        number, access = numbered
        block, _, register = board.at(access.address) or ("", 0, "")
        function = function_at(elfs, access.pc)
        return access.write, access.address - 4 * number, block, register, function

    by_kind = sorted(result.unmodelled, key=lambda access: (access.write, access.address))
    rows = [[a for _, a in found] for _, found in itertools.groupby(enumerate(by_kind), row)]
    for first, *more in sorted(rows, key=lambda row: (row[0].address, row[0].write)):
        to = f", and so to 0x{more[-1].address:08X}" if more else ""
        place = place_at(elfs, first.pc)
        yield f"{first}{to}{_block(board, first.address)}{', ' * bool(place)}{place}"


def _block(board: boards.Board, address: int) -> str:
    """What is there, and why it does not answer."""
    if at := board.at(address):
        name, offset, register = at
        if register:
            return f" ({register} of {name}: its clock in the RCC is off)"
        return f" ({name} + 0x{offset:X}: no register of it)"
    tag = next((tag for tag in board.tags if tag.first <= address <= tag.last), None)
    return f" ({tag.name} + 0x{address - tag.first:X})" if tag else ""


def forewarn(testbed: Testbed, source: bytes, modules: Iterable[str]) -> None:
    """What a person should know before the run, on standard error."""
    told = [f"{name}, which the script imports, goes to the camera, too" for name in modules]
    if testbed.evidence:
        keys = (image.display(testbed.evidence.folder / name) for name in testbed.evidence.keys)
        told += [f"{key} holds a copy of a private key, for you alone to read" for key in keys]
    own = testbed.image.own
    told += [f"warning: {text}" for text in foreseen.warnings(source, testbed.scenario, own)]
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


def converse(event: Event) -> None:
    """Tell a step of the conversation on standard error."""
    print(f"omvsim: {terminal.visible(str(event))}", file=sys.stderr)

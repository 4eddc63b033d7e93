"""What omvsim run and repl have in common: their options, other cameras, this computer."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from netsim import paths
from netsim.services.dns import is_name
from omvsim.commands.options import Parser, camera_options, switched_on
from omvsim.errors import UserError
from omvsim.testbed import (
    SECOND,
    Testbed,
    bridge,
    read_script,
)
from omvsim.testbed.bridge import Forward, Reach
from omvsim.testbed.rawrepl import State


def common() -> argparse.ArgumentParser:
    """What the commands take that boot a camera for a person."""
    parser = world()
    group = parser.add_argument_group("kept, and this computer in the network")
    group.add_argument(
        "--flash", type=Path, metavar="FILE",
        help="keep the flash there between runs: files, file system and what firmware wrote",
    )  # fmt: skip
    _join(group)
    return parser


def world() -> argparse.ArgumentParser:
    """The camera and what is around it."""
    parser = Parser(add_help=False)
    group = parser.add_argument_group("the camera and its world")
    camera_options(group)
    group.add_argument(
        "--scenario", metavar="FILE",
        help="the world: a .toml file, or default, unknown_ca, wrong_name, expired",
    )  # fmt: skip
    group.add_argument(
        "--put", type=Path, action="append", default=[], metavar="FILE",
        help="put a file on the camera: a module or certificate (may be repeated)",
    )  # fmt: skip
    group.add_argument(
        "--allow-outside", action="store_true",
        help="let the scenario name files outside its own folder",
    )  # fmt: skip
    group.add_argument("--seed", type=int, metavar="N", help="instead of the scenario's seed")
    return parser


def forward(text: str) -> Forward:
    """From [ADDRESS:]PORT:CAMERAPORT[/udp]."""
    found = re.fullmatch(r"(?:([^:]+):)?([0-9]{1,5}):([0-9]{1,5})(/udp)?", text)
    host = found[1] or "127.0.0.1" if found else ""
    ports = [int(found[i]) for i in (2, 3)] if found else [0]
    if not found or not is_name(host) or max(ports) > 65535 or not ports[-1]:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no forwarding: write 8443:443, 0.0.0.0:8443:443 or 5684:5684/udp"
        )
    return Forward(host, ports[0], ports[1], bool(found[4]))


def reach(text: str) -> Reach:
    """From NAME=HOST:PORT[/udp]."""
    found = re.fullmatch(r"([^=]+)=([^:]+):([0-9]{1,5})(/udp)?", text)
    if not found or not all(map(is_name, found.group(1, 2))) or not 0 < int(found[3]) < 65536:
        raise argparse.ArgumentTypeError(
            f"{text!r} reaches nothing: write broker.lan=127.0.0.1:8883 or NAME=HOST:PORT/udp"
        )
    return Reach(found[1], found[2], int(found[3]), bool(found[4]))


def _join(command: argparse._ActionsContainer) -> None:
    """--forward, --reach and --tap."""
    command.add_argument(
        "--forward", type=forward, action="append", default=[], metavar="PORT:CAMERAPORT",
        help="let programs here reach the camera's port (/udp for datagrams); loopback, unless "
        "ADDRESS: stands before it",
    )  # fmt: skip
    command.add_argument(
        "--reach", type=reach, action="append", default=[], metavar="NAME=HOST:PORT",
        help="let the camera reach a server of this computer by a name (/udp for datagrams)",
    )  # fmt: skip
    command.add_argument(
        "--tap", metavar="NAME", help="plug a TAP device of Linux into the camera's network"
    )


def to_put(file: Path) -> Path:
    try:
        paths.read(file)
    except OSError as error:
        told = f"{file}: {error.strerror}: name a file to put on the camera"
        raise UserError(told) from None
    return file


def bridges(options: argparse.Namespace) -> bool:
    """Is this computer joined to the network?"""
    return bool(options.forward or options.reach) or options.tap is not None


def files(options: argparse.Namespace, modules: Mapping[str, str]) -> dict[str, str | Path]:
    """What goes to the camera by name: the script's modules, and --put's files."""
    return {**modules, **{to_put(file).name: file for file in options.put}}


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


def beside(text: str) -> Beside:
    """From NAME=SCRIPT[@IMAGE]."""
    name, _, rest = text.partition("=")
    script, _, firmware = rest.partition("@")
    if not is_name(name) or not script:
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=SCRIPT or NAME=SCRIPT@IMAGE")
    return Beside(name, Path(script), Path(firmware) if firmware else None)


def seat(text: str) -> Seat:
    """From NAME[=PTY][@IMAGE]."""
    place, _, firmware = text.partition("@")
    name, given, pty = place.partition("=")
    if not is_name(name) or (given and not pty):
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME, NAME=PTY or NAME=PTY@IMAGE")
    return Seat(name, Path(pty) if pty else None, Path(firmware) if firmware else None)


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
            camera = add_beside(stack, testbed, other, options, **given)
            printed = stack.enter_context(lines_of(other.name))
            scripts.append((camera, camera.start(read_script(other.script), printed)))
        testbed.run_for(SECOND)
        with lines_of(testbed.name) as printed:
            yield printed
        testbed.run_for(SECOND // 5)  # for their last words
        for camera, execution in scripts:
            if execution.state is State.DONE:
                camera.finish(execution)  # raises what the script raised


def add_beside(
    stack: contextlib.ExitStack, testbed: Testbed, other: Beside | Seat,
    options: argparse.Namespace, **more: Any,
) -> Testbed:  # fmt: skip
    """Another camera in the network of the first, which has booted."""
    world = replace(testbed.scenario, faults=(), rules=())
    camera = stack.enter_context(Testbed(
        other.firmware or options.firmware, world, world=testbed.world, name=other.name,
        **switched_on(options), **more,
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

"""What a run will meet, seen from its script and its world before it begins."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from netsim import camera_files, paths
from netsim.scenario import Scenario
from netsim.tls.certificates import Authority
from omvsim.evidence.case import is_pem, listed, names_of
from omvsim.evidence.cause import NO_NETWORKS, NOT_HERE
from omvsim.evidence.chain import is_for

MOST = 50  # modules


def warnings(source: bytes, world: Scenario, own: bool = True) -> list[str]:
    """A sentence for each thing that is going to fail, or may; what an image lacks is known of this
    project's own."""
    script = _script(_parsed(source)) if own else ()
    return [*script, *_files(world), *_certificates(world)]


def modules(script: Path, source: bytes) -> dict[str, str]:
    """Files beside the script that it imports, and those that they import, by their names."""
    found: dict[str, str] = {}
    left = list(_imports(_parsed(source)))
    while left and len(found) < MOST:
        name = left.pop().replace(".", "/")
        for file in (f"{name}.py", f"{name}/__init__.py"):
            with suppress(OSError, ValueError):
                path = paths.below(script.resolve().parent, file)
                if file not in found and path.is_file():
                    content = paths.read(path)
                    found[file] = content.decode()
                    left += _imports(_parsed(content))
    return found


def _parsed(source: bytes) -> ast.Module:
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.parse(source)
    return ast.Module([], [])


def _imports(program: ast.Module) -> Iterator[str]:
    for node in ast.walk(program):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:  # with the packages that it lies in
            parts = name.split(".")
            yield from (".".join(parts[: n + 1]) for n in range(len(parts)))


def _script(program: ast.Module) -> Iterator[str]:
    for name in dict.fromkeys(n.partition(".")[0] for n in _imports(program)):
        if name in NOT_HERE:
            yield f"the script imports {name}: this board has no {NOT_HERE[name]}"
    for node in ast.walk(program):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in NO_NETWORKS
            and isinstance(node.value, ast.Name)
            and node.value.id == "network"
        ):
            here = f"network.{node.attr} (line {node.lineno})"
            yield f"the script uses {here}, and this board's network is network.LAN()"


def _files(world: Scenario) -> Iterator[str]:
    for name, content in camera_files(world).items():
        if is_pem(content):
            yield f"{name} is PEM, and the camera takes DER: `omvsim certs --convert` makes it"


def _certificates(world: Scenario) -> Iterator[str]:
    """Of servers that behave: those that misbehave are meant to."""
    authority = Authority(world)
    for server in world.servers:
        if server.certificate is None or server.kind not in ("tls", "https", "dtls"):
            continue
        made = authority[server.certificate].x509
        place = f"{server.name}:{server.listening_port}"
        first, last = made.not_valid_before_utc, made.not_valid_after_utc
        if not first <= world.time <= last:
            bound = f"from {first:%Y-%m-%d} on" if world.time < first else f"until {last:%Y-%m-%d}"
            told = f"{place}'s certificate is valid {bound}, and the scenario's time is "
            yield f"{told}{world.time:%Y-%m-%d}"
        if not is_for(made, server.name):
            names = listed(names_of(made))
            yield f"{place}'s certificate is for {names}, not for '{server.name}'"

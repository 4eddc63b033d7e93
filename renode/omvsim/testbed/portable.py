"""A scenario with the files that it refers to, so that it can move to another folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import tomlkit

import netsim
from netsim import paths
from netsim.scenario import File
from omvsim.board import Board

FOLDER, BOARD = "files", "board"  # in an evidence folder


def references(table: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Where a scenario's TOML names a file: the table and its key."""
    for file in table.get("camera", {}).get("files", {}).values():
        if "path" in file:
            yield file, "path"
    for certificate in table.get("certificates", {}).values():
        for key in ("file", "key_file"):
            if key in certificate:
                yield certificate, key


def _board(description: Board) -> dict[str, bytes]:
    """A board's files as board/NAME; nothing if one lies outside the first one's folder."""
    folder = description.path.resolve().parent
    files = [file.resolve() for file in description.files]
    if not all(file.is_relative_to(folder) for file in files):
        return {}
    return {f"{BOARD}/{file.relative_to(folder)}": paths.read(file) for file in files}


def pack(scenario: netsim.Scenario, board: Board, boards: Path) -> tuple[str, dict[str, bytes]]:
    """The scenario's text with its files as files/NAME, and these files by that name, with those
    of a board that is not one of ours, which lie in a folder."""
    text, sources = _pack(scenario.text)
    files = {name: paths.read(scenario.folder / path) for name, path in sources.items()}
    return text, files | ({} if board.path.resolve().parent == boards else _board(board))


def with_files(scenario: netsim.Scenario, files: Mapping[str, str | Path]) -> netsim.Scenario:
    """The same world with more files on the camera: those of this computer, in place of what is
    there, and texts that are not there yet."""
    there = scenario.camera.files
    more = {
        name: what for name, what in files.items() if isinstance(what, Path) or name not in there
    }
    if not more:
        return scenario
    document = tomlkit.parse(scenario.text)
    table = document.setdefault("camera", tomlkit.table()).setdefault("files", tomlkit.table())
    made = {
        name: File(path=str(what.resolve())) if isinstance(what, Path) else File(text=what)
        for name, what in more.items()
    }
    for name, file in made.items():
        table[name] = {"path": file.path} if file.path else {"text": file.text}
    camera = replace(scenario.camera, files=scenario.camera.files | made)
    return replace(scenario, text=tomlkit.dumps(document), camera=camera)


@lru_cache(maxsize=16)  # the suites run hundreds of tests in one world
def _pack(text: str) -> tuple[str, dict[str, Path]]:
    document = tomlkit.parse(text)
    sources: dict[str, Path] = {}
    for table, key in references(document):
        source = Path(table[key])
        name = f"{FOLDER}/{len(sources)}-{source.name}"
        sources[name], table[key] = source, name
    return (tomlkit.dumps(document) if sources else text), sources

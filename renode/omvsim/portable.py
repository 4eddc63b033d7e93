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
from omvsim.repl import Board

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


def pack(scenario: netsim.Scenario, board: Board, own: Path) -> tuple[str, dict[str, bytes]]:
    """The scenario's text with its files as files/NAME, and these files by that name, with those
    of a board that is not our own."""
    text, sources = _pack(scenario.text)
    files = {name: paths.read(scenario.folder / path) for name, path in sources.items()}
    return text, files | ({} if board.path.resolve() == own else _board(board))


def with_files(scenario: netsim.Scenario, files: Mapping[str, str]) -> netsim.Scenario:
    """The same world with more text files on the camera; those that are there stay."""
    more = {name: text for name, text in files.items() if name not in scenario.camera.files}
    if not more:
        return scenario
    document = tomlkit.parse(scenario.text)
    table = document.setdefault("camera", tomlkit.table()).setdefault("files", tomlkit.table())
    for name, text in more.items():
        table[name] = {"text": text}
    made = {name: File(text=text) for name, text in more.items()}
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

"""JSON from outside, through its schema: dataclasses and TypedDicts, read by msgspec."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

import msgspec

from netsim import paths
from omvsim.errors import UserError

T = TypeVar("T")
#: msgspec's messages: Expected `int`, got `str` - at `$.fault.r[2]`
AT = re.compile(r"^(.*) - at `\$\.?(.*)`$")


def read(path: Path, kind: type[T], what: str, remedy: str) -> T:
    """What a file holds; UserError with the file, the key and the remedy."""
    return decode(_content(path, what), kind, str(path), remedy)


def read_lines(path: Path, kind: type[T], what: str, remedy: str) -> list[T]:
    """The same, with a document in each line."""
    lines = _content(path, what).splitlines()
    return [decode(line, kind, f"{path}:{number}", remedy) for number, line in enumerate(lines, 1)]


def decode(content: bytes, kind: type[T], where: str, remedy: str) -> T:
    """A document that stands at `where`."""
    try:
        return msgspec.json.decode(content, type=kind)
    except RecursionError:
        told = "nested too deep"
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        found = AT.match(str(error))
        told = ": ".join(filter(None, (found[2], found[1]))) if found else str(error)
    raise UserError(f"{where}: {told.replace('`', '')}: {remedy}") from None


def _content(path: Path, what: str) -> bytes:
    try:
        return paths.read(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: name {what}") from None

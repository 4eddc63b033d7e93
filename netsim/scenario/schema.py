"""Turns TOML tables into frozen dataclasses, checking names and types on the way.

The dataclass is the schema: a field's type says what the key takes, a field without a
default is required. A wrong key or value raises `Problem` with the path of the key.
"""

import difflib
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from netsim.scenario.toml_lines import Path


class Problem(Exception):
    """Something at `path` is wrong; `what` says what, and what to write instead."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(what)
        self.path, self.what = path, what


Port = Annotated[int, "a TCP or UDP port"]
Records = Annotated[tuple[IPv4Address | str, ...], "addresses, or one name"]
Count = Annotated[int, "a number of 32 bits, not negative"]


def _address(value: str) -> IPv4Address:
    try:
        return IPv4Address(value)
    except ValueError:
        raise ValueError(f"{value!r} is no IPv4 address, write one like 192.168.1.10") from None


def _subnet(value: str) -> IPv4Network:
    try:
        return IPv4Network(value)
    except ValueError:
        raise ValueError(f"{value!r} is no IPv4 network, write one like 192.168.1.0/24") from None


def _port(value: int) -> int:
    if not 0 < value < 65536:
        raise ValueError(f"{value} is no port, write 1 to 65535")
    return value


def _count(value: int) -> int:
    if not 0 <= value < 1 << 32:
        raise ValueError(f"{value} is out of range, write 0 to {(1 << 32) - 1}")
    return value


def _records(value: str | list[Any]) -> tuple[IPv4Address | str, ...]:
    if isinstance(value, list):
        if not value or not all(isinstance(one, str) for one in value):
            raise ValueError("no list of addresses, write one like ['192.0.2.1', '192.0.2.2']")
        return tuple(map(_address, value))
    try:
        return (_address(value),)
    except ValueError:
        return (value.lower().rstrip("."),)


def _utc(value: datetime) -> datetime:
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{value} is outside the calendar in UTC, write a nearer one") from None


# What a field of some type takes in TOML, and how that is converted.
_SCALARS: dict[Any, tuple[type | tuple[type, ...], str, Callable[[Any], Any]]] = {
    str: (str, "a string", str),
    int: (int, "a whole number", int),
    bool: (bool, "true or false", bool),
    float: ((float, int), "a number", float),
    datetime: (datetime, "a date and time like 2026-06-15T12:00:00Z", _utc),
    Port: (int, "a port number", _port),
    Records: ((str, list), "an IPv4 address, a list of them, or another name", _records),
    Count: (int, "a whole number", _count),
    IPv4Address: (str, "an IPv4 address in quotes", _address),
    IPv4Network: (str, "an IPv4 network in quotes", _subnet),
}


def convert(kind: Any, value: Any, path: Path = ()) -> Any:
    """`value` as TOML gave it, as `kind`; raises Problem."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (UnionType, Union):
        [kind] = [a for a in arguments if a is not NoneType]
        return convert(kind, value, path)
    if origin is Literal:
        if value not in arguments:
            raise Problem(path, f"{value!r} is unknown, write one of {', '.join(arguments)}")
        return value
    if origin is dict:
        _expect(isinstance(value, dict), path, "a table")
        return {k: convert(arguments[1], v, (*path, k)) for k, v in value.items()}
    if origin is tuple:
        _expect(isinstance(value, list), path, "a list in brackets")
        return tuple(convert(arguments[0], v, (*path, i)) for i, v in enumerate(value))
    if is_dataclass(kind):
        _expect(isinstance(value, dict), path, "a table")
        return _table(kind, value, path)
    wanted, words, function = _SCALARS[kind]
    _expect(isinstance(value, wanted) and (wanted is bool or value is not True), path, words)
    try:
        return function(value)
    except ValueError as error:
        raise Problem(path, str(error)) from None


def _expect(good: bool, path: Path, words: str) -> None:
    if not good:
        raise Problem(path, f"wrong type, write {words}")


@cache
def keys(kind: Any) -> tuple[dict[str, Field[Any]], dict[str, Any]]:
    """Fields by key of a table in a file, and types by field."""
    known = {f.metadata.get("key", f.name): f for f in fields(kind)}
    return {key: f for key, f in known.items() if key}, get_type_hints(kind, include_extras=True)


def _table(kind: Any, table: dict[str, Any], path: Path) -> Any:
    known, hints = keys(kind)
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            remedy = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
            raise Problem((*path, name), f"unknown key, {remedy}")
    for name, field in known.items():
        if name not in table and field.default is field.default_factory is MISSING:
            raise Problem(path, f"{name} is missing, add {name} = ...")
    values = {
        field.name: convert(hints[field.name], table[name], (*path, name))
        for name, field in known.items()
        if name in table
    }
    return kind(**values)

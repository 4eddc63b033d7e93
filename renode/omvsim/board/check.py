"""Whether a board description makes sense: types, properties, references, addresses."""

from __future__ import annotations

import inspect
import types
import typing
from difflib import get_close_matches
from functools import cache

from omvsim.board.lexer import ReplError, Where
from omvsim.board.model import Entry, Enum, Property, Reference, Registration, Value
from omvsim.peripherals import TYPES
from omvsim.peripherals.base import Component, Memory, Peripheral

PERIPHERALS = range(0x40000000, 0x60000000)
DEVICE_BLOCK = 0x400  # the core finds a peripheral by KiB
PAGE = 0x1000  # the core maps memory by pages
NOWHERE = ("none", "sysbus")


def check(entries: dict[str, Entry]) -> None:
    """Raise ReplError for the first thing that is wrong."""
    for entry in entries.values():
        if entry.name == "sysbus":
            _check_sysbus(entry)
        else:
            _check_type(entry)
    for entry in entries.values():
        if entry.name != "sysbus":
            _check_properties(entry, entries)
            _check_references(entry, entries)
    _check_addresses(entries)


def properties_of(kind: type[Component]) -> dict[str, inspect.Parameter]:
    """Properties a type knows: the keyword arguments of its class."""
    parameters = inspect.signature(kind).parameters
    return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


def _hint(name: str, known: typing.Iterable[str], otherwise: str) -> str:
    close = get_close_matches(name, known, 1)
    return f"did you mean `{close[0]}`?" if close else otherwise


def _check_sysbus(entry: Entry) -> None:
    for found in entry.properties.values():
        raise ReplError(found.where, f"sysbus has no property `{found.name}` here; remove it")
    for wire in entry.connections:
        raise ReplError(wire.where, "sysbus has no outputs; remove the connection")
    for init in entry.init:
        match init.command, init.arguments:
            case "Tag", ((int(), int()), str()) | ((int(), int()), str(), int()):
                continue
        raise ReplError(init.where, 'sysbus takes only `Tag <first, last> "name"` here')


def _check_type(entry: Entry) -> None:
    kind = TYPES.get(entry.type)
    if kind is None:
        remedy = _hint(entry.type, TYPES, "see omvsim.peripherals.TYPES for what is modelled")
        raise ReplError(entry.where, f"unknown type `{entry.type}`; {remedy}")
    for init in entry.init:
        match init.command, init.arguments:
            case (("WriteDoubleWord" | "WriteWord" | "WriteByte"), (int(), int())) if issubclass(
                kind, Memory
            ):
                continue
        raise ReplError(
            init.where, f"`{init.command}` is no init statement of {entry.type}; "
            "memory takes WriteDoubleWord, WriteWord or WriteByte with offset and value",
        )  # fmt: skip


def _check_properties(entry: Entry, entries: dict[str, Entry]) -> None:
    known, hints = _known(entry.type)
    for name, found in entry.properties.items():
        if name not in known:
            remedy = _hint(name, known, f"known are: {', '.join(known) or 'none'}")
            raise ReplError(found.where, f"{entry.type} has no property `{name}`; {remedy}")
        _check_value(found, hints[name], entries)
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in entry.properties:
            raise ReplError(
                entry.where, f"`{entry.name}` needs property `{name}` ({entry.type}); add it"
            )


@cache
def _known(name: str) -> tuple[dict[str, inspect.Parameter], dict[str, typing.Any]]:
    """A type's properties, and what their values are."""
    kind = TYPES[name]
    return properties_of(kind), typing.get_type_hints(kind.__init__)


def _check_value(found: Property, hint: typing.Any, entries: dict[str, Entry]) -> None:
    value = found.value
    wanted = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if isinstance(value, Reference):
        target = entries.get(value.name)
        if target is None:
            remedy = _hint(value.name, entries, "add the entry")
            raise ReplError(found.where, f"no entry `{value.name}`; {remedy}")
        kind = TYPES[target.type]
        if any(isinstance(w, type) and issubclass(kind, w) for w in wanted):
            return
    elif any(_fits(value, w) for w in wanted):
        return
    names = " or ".join(_kind_name(w) for w in wanted if w is not types.NoneType)
    raise ReplError(found.where, f"property `{found.name}` takes {names}; change the value")


def _fits(value: Value, wanted: typing.Any) -> bool:
    if wanted is str:
        return isinstance(value, str | Enum)
    if wanted is types.NoneType:
        return value is None
    plain = typing.get_origin(wanted) or wanted
    if plain is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if plain is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64
    return isinstance(plain, type) and isinstance(value, plain)


def _kind_name(wanted: typing.Any) -> str:
    known = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}
    plain = typing.get_origin(wanted) or wanted
    if plain in known:
        return known[plain]
    return "a list" if plain is list else f"an entry of type {plain.__name__}"


def _check_references(entry: Entry, entries: dict[str, Entry]) -> None:
    for wire in entry.connections:
        if wire.target not in entries or wire.target == "sysbus":
            remedy = _hint(wire.target, entries, "add the entry")
            raise ReplError(wire.where, f"no entry `{wire.target}` to connect to; {remedy}")
    for place in entry.registrations:
        if place.bus not in NOWHERE and place.bus not in entries:
            remedy = _hint(place.bus, entries, "use sysbus or none")
            raise ReplError(place.where, f"no entry `{place.bus}` to register at; {remedy}")
        if place.bus == "sysbus":
            _check_place(entry, place)


def extent(kind: type[Component], entry: Entry, place: Registration) -> int:
    """Bytes that a registration on sysbus takes."""
    if place.size is not None:
        return place.size
    if issubclass(kind, Memory):
        size = entry.properties["size"].value
        return size if isinstance(size, int) else 0
    if place.region in kind.regions:
        return kind.regions[place.region][1]
    return 0


def _check_place(entry: Entry, place: Registration) -> None:
    kind, where = TYPES[entry.type], place.where
    if place.region and place.region not in kind.regions:
        regions = ", ".join(f'"{name}"' for name in kind.regions if name) or "no regions"
        raise ReplError(where, f'{entry.type} has no region "{place.region}"; it has {regions}')
    if place.address is None:
        if issubclass(kind, Memory | Peripheral):
            raise ReplError(where, f"`{entry.name}` needs an address; write `@ sysbus 0x...`")
        return
    size = extent(kind, entry, place)
    if place.address + size > 1 << 32:
        raise ReplError(where, f"`{entry.name}` ends beyond 0xFFFFFFFF; check address and size")
    if issubclass(kind, Memory) and (size <= 0 or place.address % PAGE or size % PAGE):
        raise ReplError(where, "memory has to start and end at a multiple of 0x1000")
    if issubclass(kind, Peripheral) and (
        place.address not in PERIPHERALS or place.address + size - 1 not in PERIPHERALS
        or place.address % 4
    ):  # fmt: skip
        raise ReplError(where, "peripherals have to be in 0x40000000 to 0x5FFFFFFF, word aligned")


def _check_addresses(entries: dict[str, Entry]) -> None:
    taken: list[tuple[int, int, Entry, Where]] = []
    for entry in entries.values():
        for place in entry.registrations if entry.name != "sysbus" else []:
            if place.bus == "sysbus" and place.address is not None:
                size = extent(TYPES[entry.type], entry, place)
                taken.append((place.address, place.address + size, entry, place.where))
    for i, (start, end, entry, where) in enumerate(taken):
        for other_start, other_end, other, other_where in taken[:i]:
            if start < other_end and other_start < end:
                raise ReplError(
                    where, f"`{entry.name}` (0x{start:08X} to 0x{end - 1:08X}) overlaps "
                    f"`{other.name}` (0x{other_start:08X} to 0x{other_end - 1:08X}, {other_where});"
                    " change an address or size",
                )  # fmt: skip
            if (
                start // DEVICE_BLOCK <= (other_end - 1) // DEVICE_BLOCK
                and other_start // DEVICE_BLOCK <= (end - 1) // DEVICE_BLOCK
                and entry is not other
            ):
                raise ReplError(
                    where, f"`{entry.name}` and `{other.name}` share a block of 0x400 bytes; "
                    "move one",
                )  # fmt: skip

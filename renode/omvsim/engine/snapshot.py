"""A machine at one moment, as plain data: what another process with the same image and board goes
on from.

Data, never code: a callback is the name of a method of one of the board's own parts.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache, partial
from importlib.metadata import version
from inspect import getattr_static
from operator import itemgetter
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import msgspec

from omvsim.board import Board
from omvsim.engine.machine import Machine
from omvsim.engine.unicorn import Core, Event
from omvsim.errors import UserError
from omvsim.image import Image, testbed_version
from omvsim.peripherals.base import Component, Line, Memory, Part, Peripheral, RegView

PAGE, MANY = 1 << 12, 1 << 18  # bytes
KIND = "omvsim snapshot 1"
MOST = 64 << 20  # bytes, unpacked; the memories of this chip have 3.3 MB
SEQUENCES = {kind.__name__: kind for kind in (list, tuple, deque, set)}
#: what a board's description makes once for all
FIXED = (Machine, memoryview, RegView)
PLAIN = frozenset({type(None), bool, int, float, str, bytes})
#: of a block of registers, and whom it asks
TABLES = ("flags", "_writers", "_readers", "dma_requests", "pulses")


class Snapshot(msgspec.Struct):
    """`made_by`, `image` and `board` have to be those of who goes on."""

    kind: str
    made_by: str
    image: str
    board: str
    core: bytes
    pages: dict[str, list[tuple[int, bytes]]]  # by memory: offset, content of what differs
    registers: dict[str, tuple[bytes, bytes, list[int]]]  # by block: values, flags, queue
    parts: dict[str, dict[str, Any]]  # by place: attributes
    events: list[tuple[int, int, Any]]  # core clock, order, callback
    own: dict[str, Any]  # of the engine
    machine: dict[str, Any]


@cache
def made_by() -> str:
    """What a state depends on beside image and board: the program itself."""
    package = Path(__file__).parents[1]
    files = sorted(
        file
        for room in ("board", "engine", "peripherals")
        for file in (package / room).rglob("*")
        if file.suffix in (".py", ".so")
    )
    stats = [(str(file), (found := file.stat()).st_mtime_ns, found.st_size) for file in files]
    digest = hashlib.sha256(repr(stats).encode()).hexdigest()
    return f"omvsim {testbed_version() or '?'} ({digest[:12]}), unicorn {version('unicorn')}"


@lru_cache(maxsize=2)
def _unpack(state: bytes) -> Snapshot:
    """Those of a prompt come again and again; nobody writes to what is unpacked."""
    try:
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(state, MOST)
        if not unpacking.eof:
            raise ValueError("its end is missing")
        return msgspec.msgpack.decode(content, type=Snapshot)
    except (zlib.error, ValueError) as error:
        raise UserError(f"no snapshot, or a damaged one ({error}): make it again") from None


def _differing(now: memoryview, then: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Offset, content now and then of pages that differ; `then` has zeros behind its end."""
    for begin in range(0, len(now), MANY):
        new = now[begin : begin + MANY].tobytes()
        old = then[begin : begin + MANY].ljust(len(new), b"\0")
        for n in range(0, len(new), PAGE) if new != old else ():
            if new[n : n + PAGE] != old[n : n + PAGE]:
                yield begin + n, new[n : n + PAGE], old[n : n + PAGE]


def _lines(value: Any) -> int | None:
    """How many lines a value is, as it is or saved: no matter of time. -1: one alone."""
    match value:
        case Line() | ["line", bool()]:
            return -1
        case [Line(), *_]:
            return len(value)
        case ["lines", [*levels]]:
            return len(levels)
    return None


class Places:
    """The parts of a board by name, which are made once, and values as plain data and back."""

    def __init__(self, components: Mapping[str, Component], engine: Part) -> None:
        self.parts: dict[str, Part] = {**components, "": engine}
        self._names = {id(part): name for name, part in self.parts.items()}
        for name, component in components.items():
            self._visit(name, component)
        self.scheduled(())

    def scheduled(self, events: Iterable[Event]) -> None:
        """Events that a value may be, by their numbers."""
        self.events = list(events)
        self._numbers = {id(event): number for number, event in enumerate(self.events)}

    def _visit(self, place: str, part: Part) -> None:
        for name, value in vars(part).items():
            if type(value) in PLAIN:
                continue
            inside = list(value.values()) if isinstance(value, dict) else value
            for n, found in enumerate(inside if isinstance(inside, (list, tuple)) else [inside]):
                if isinstance(found, Part) and id(found) not in self._names:
                    self._names[id(found)] = where = f"{place}.{name}.{n}"
                    self.parts[where] = found
                    self._visit(where, found)

    @staticmethod
    def _changing(part: Part) -> Iterator[tuple[str, Any]]:
        """Attributes that are no wiring, tables or registers."""
        for name, value in vars(part).items():
            if type(value) in PLAIN:
                yield name, value
                continue
            first = value[0] if isinstance(value, list) and value else value
            wiring = isinstance(first, FIXED) or (callable(value) and not isinstance(value, Part))
            table = isinstance(part, Peripheral) and (name in TABLES or value is part.queue)
            if not wiring and not table:
                yield name, value

    def save(self, part: Part) -> dict[str, Any]:
        """What changes of a part while it runs, as plain data."""
        return {name: self.plain(value) for name, value in self._changing(part)}

    def check(self, part: Part, saved: Mapping[str, Any]) -> None:
        """ValueError where this is not of such a part."""
        own = {name: _lines(value) for name, value in self._changing(part)}
        if own != {name: _lines(value) for name, value in saved.items()}:
            raise ValueError(f"not what {type(part).__name__} consists of")

    def load(self, part: Part, saved: Mapping[str, Any]) -> None:
        """Be what was saved of such a part."""
        own = vars(part)
        for name, value in saved.items():
            if type(value) in PLAIN:
                own[name] = value
            elif value[0] == "line":
                own[name].level = bool(value[1])
            elif value[0] == "lines":
                for line, level in zip(own[name], value[1], strict=True):
                    line.level = bool(level)
            else:
                own[name] = self.value(value)

    def plain(self, value: Any) -> Any:
        """A value of the kinds that parts have, for `value` to make again."""
        found: Any
        match value:
            case None | bool() | int() | float() | str() | bytes():
                found = value
            case Event():
                found = ["event", self._numbers.get(id(value), -1)]
            case Line():
                found = ["line", value.level]
            case list() if value and isinstance(value[0], Line):
                found = ["lines", [line.level for line in value]]
            case Part() if id(value) in self._names:
                found = ["part", self._names[id(value)]]
            case datetime():
                found = ["datetime", value.isoformat()]
            case bytearray():
                found = ["bytearray", bytes(value)]
            case dict():
                found = ["dict", [[self.plain(k), self.plain(v)] for k, v in value.items()]]
            case list() | tuple() | deque() | set():
                found = [type(value).__name__, [self.plain(item) for item in value]]
            case _:
                found = self.callback(value)
        return found

    def callback(self, value: Any) -> list[Any]:
        """A method of a part, by name, and what it is called with."""
        match value:
            case partial():
                made = self.callback(value.func)
                return [*made[:3], [*made[3], *(self.plain(item) for item in value.args)]]
            case MethodType() if id(value.__self__) in self._names:
                return ["method", self._names[id(value.__self__)], value.__name__, []]
        raise TypeError(f"{value!r} is no plain data: a snapshot cannot hold it")

    def value(self, plain: Any) -> Any:
        """What `plain` was given; ValueError where it cannot have made this."""
        if type(plain) in PLAIN:
            return plain
        found: Any = plain
        match plain:
            case ["event", int(number)]:
                found = self.events[number] if number >= 0 else Event(None)
            case ["part", str(name)] if name in self.parts:
                found = self.parts[name]
            case ["datetime", str(text)]:
                found = datetime.fromisoformat(text)
            case ["bytearray", bytes(content)]:
                found = bytearray(content)
            case ["dict", list(items)]:
                found = {self.value(k): self.value(v) for k, v in items}
            case ["method", str(place), str(name), list(given)] if place in self.parts:
                part = self.parts[place]
                if not isinstance(getattr_static(type(part), name, None), FunctionType):
                    raise ValueError(f"no method {name} of {type(part).__name__}")
                method = getattr(part, name)
                found = partial(method, *map(self.value, given)) if given else method
            case [str(kind), list(items)] if kind in SEQUENCES:
                made = (item if type(item) in PLAIN else self.value(item) for item in items)
                found = SEQUENCES[kind](made)
            case list():
                raise ValueError(f"{plain[:1]} is nothing that a snapshot holds")
        return found


@dataclass
class Whole:
    """All that a snapshot is of. `own` are the engine's attributes that change while it runs."""

    engine: Part
    own: tuple[str, ...]
    core: Core
    machine: Machine
    components: dict[str, Component]
    image: Image
    board: Board
    code: Container[Memory]  # of which the core has to be told what has changed
    changed: Callable[[Memory, int, int], None]

    def __post_init__(self) -> None:
        """The memories as they are now are those before the start."""
        self.fresh = {
            name: b"" if memory.data.tobytes() == bytes(memory.size) else memory.data.tobytes()
            for name, memory in self._memories()
        }
        self._places = Places(self.components, self.engine)
        self._fits: Snapshot | None = None

    def _memories(self) -> Iterator[tuple[str, Memory]]:
        return ((n, found) for n, found in self.components.items() if isinstance(found, Memory))

    def _blocks(self) -> Iterator[tuple[str, Peripheral]]:
        return ((n, found) for n, found in self.components.items() if isinstance(found, Peripheral))

    def take(self) -> bytes:
        """A snapshot. TypeError: a part has something that is no plain data."""
        waiting = [
            entry
            for entry in sorted(self.core.events, key=itemgetter(0, 1))
            if entry[2].callback is not None
        ]
        places = self._places
        places.scheduled(event for *_, event in waiting)
        saved = Snapshot(
            KIND, made_by(), self.image.digest, self.board.digest, self.core.save(),
            {
                name: [(at, new) for at, new, _ in _differing(memory.data, self.fresh[name])]
                for name, memory in self._memories()
            },
            {n: (b.mem.tobytes(), bytes(b.flags), b.queue) for n, b in self._blocks()},
            {place: places.save(part) for place, part in places.parts.items() if place},
            [(clock, order, places.callback(event.callback)) for clock, order, event in waiting],
            {name: places.plain(getattr(self.engine, name)) for name in self.own},
            {name: places.plain(value) for name, value in self.machine.state().items()},
        )  # fmt: skip
        return zlib.compress(msgspec.msgpack.encode(saved), 1)

    def put(self, state: bytes) -> None:
        """Be what the snapshot is of. UserError where it is of something else, or damaged."""
        saved = _unpack(state)
        if (saved.kind, saved.made_by) != (KIND, made_by()):
            raise UserError(f"a snapshot of {saved.made_by}, this is {made_by()}: make it again")
        for what, its, this in (
            ("image", saved.image, self.image.digest),
            ("board", saved.board, self.board.digest),
        ):
            if its != this:
                raise UserError(f"a snapshot of another {what}: make one of this")
        try:
            self._put(saved)
        except (LookupError, TypeError, ValueError) as error:
            raise UserError(f"a damaged snapshot ({error}): make it again") from None

    def _put(self, saved: Snapshot) -> None:
        for name, memory in self._memories():
            pages = {at: old for at, _, old in _differing(memory.data, self.fresh[name])}
            for at, content in (pages | dict(saved.pages[name])).items():
                if memory.data[at : at + PAGE] == content:
                    continue
                if memory in self.code:  # what is translated stays, where it is the same
                    self.changed(memory, at, PAGE)
                memory.data[at : at + PAGE] = content
        self.core.load(saved.core)
        for name, block in self._blocks():
            mem, flags, queue = saved.registers[name]
            block.mem.cast("B")[:] = mem
            memoryview(block.flags).cast("B")[:] = flags
            block.queue[:] = queue
        events, places = [Event(None) for _ in saved.events], self._places
        places.scheduled(events)
        if saved is not self._fits:  # else the one that was put the last time
            for place, attributes in saved.parts.items():
                places.check(places.parts[place], attributes)
        self._fits = saved
        for place, attributes in saved.parts.items():
            places.load(places.parts[place], attributes)
        for event, (*_, callback) in zip(events, saved.events, strict=True):
            event.callback = places.value(callback)
        for name in self.own:
            setattr(self.engine, name, places.value(saved.own[name]))
        times = [(clock, order) for clock, order, _ in saved.events]
        self.machine.resume(
            [(*time, event) for time, event in zip(times, events, strict=True)],
            {name: places.value(value) for name, value in saved.machine.items()},
        )

"""A checked board description, and the components it describes, wired."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from netsim import paths
from omvsim.board.check import check, extent
from omvsim.board.lexer import ReplError
from omvsim.board.model import Connection, Entry, Enum, Reference, Tag, Value
from omvsim.board.parser import parse
from omvsim.peripherals import TYPES
from omvsim.peripherals.base import Component, Machine, Memory, Peripheral
from omvsim.peripherals.connections import wire_up

CONSOLE = "usart3"
Kind = TypeVar("Kind", bound=Component)


@dataclass(frozen=True)
class MappedDevice:
    """Registers at a bus address, as the core's `map_device` takes them."""

    name: str
    component: Peripheral
    base: int
    size: int
    mem: memoryview
    wmask: memoryview
    w1c: memoryview
    flags: memoryview
    bus_read: Callable[[int, int], int]
    bus_write: Callable[[int, int, int], object]
    queue: list[int]


@dataclass(frozen=True)
class MappedMemory:
    """Memory at a bus address; one memory may appear at several."""

    name: str
    component: Memory
    base: int
    size: int


@dataclass
class Hardware:
    """The components of one board, by name, in the order of the description."""

    components: dict[str, Component] = field(default_factory=dict)
    devices: list[MappedDevice] = field(default_factory=list)
    memories: list[MappedMemory] = field(default_factory=list)

    def all(self, kind: type[Kind]) -> Iterator[Kind]:
        return (c for c in self.components.values() if isinstance(c, kind))

    def reset(self) -> None:
        """System reset of every component; memory keeps its contents."""
        for component in self.components.values():
            component.reset()


@dataclass(frozen=True)
class Board:
    """What a `.repl` file describes."""

    path: Path
    files: tuple[Path, ...]
    entries: dict[str, Entry]

    @property
    def tags(self) -> list[Tag]:
        """Ranges of the bus that are named but not modelled; the smaller one holds."""
        found = []
        for init in self.entries["sysbus"].init if "sysbus" in self.entries else []:
            match init.arguments:
                case ((int(first), int(size)), str(name)):
                    found.append(Tag(first, first + size - 1, name))
                case ((int(first), int(size)), str(name), int(value)):
                    found.append(Tag(first, first + size - 1, name, value))
        return sorted(found, key=lambda tag: tag.last - tag.first)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its files."""
        texts = [file.read_bytes() for file in self.files]
        return hashlib.sha256(b"".join(b"%d " % len(text) + text for text in texts)).hexdigest()

    @property
    def console(self) -> str:
        """The UART at whose first register there is a tag CONSOLE, USART3 without one."""
        tags = [tag.first for tag in self.tags if tag.name == "CONSOLE"]
        for entry in self.entries.values():
            if any(place.address in tags for place in entry.registrations):
                return entry.name
        return CONSOLE

    def at(self, address: int) -> tuple[str, int, str] | None:
        """The entry whose registers lie there, the offset in it, and the register's name if it has
        one there."""
        for entry in self.entries.values():
            for place in entry.registrations if entry.name != "sysbus" else ():
                if place.bus == "sysbus" and place.address is not None:
                    offset = address - place.address
                    kind = TYPES[entry.type]
                    if 0 <= offset < extent(kind, entry, place):
                        within = kind.regions.get(place.region, (0, 0))[0] + offset
                        named = issubclass(kind, Peripheral) and kind.named(within)
                        return entry.name, offset, named or ""
        return None

    @property
    def memories(self) -> list[range]:
        """Address ranges of the memories."""
        return [
            range(place.address, place.address + extent(TYPES[entry.type], entry, place))
            for entry in self.entries.values()
            if TYPES.get(entry.type) is Memory
            for place in entry.registrations
            if place.address is not None
        ]

    def build(self, machine: Machine) -> Hardware:
        """Make the components and wire them. Raises ReplError where a wire fits nowhere."""
        hardware = Hardware()
        entries = {name: e for name, e in self.entries.items() if name != "sysbus"}
        for entry in entries.values():
            _create(entry, entries, machine, hardware, ())
        for entry in entries.values():
            component = hardware.components[entry.name]
            _register(entry, component, hardware)
            for wire in entry.connections:
                _connect(entry, component, wire, hardware.components[wire.target])
            if isinstance(component, Memory):
                _fill(entry, component)
        hardware.components = {name: hardware.components[name] for name in entries}
        wire_up(hardware.components)
        return hardware


def load(path: Path | str, within: Path | None = None) -> Board:
    """Read and check a board description, whose files may have to lie in a folder; ReplError says
    file, line, column and remedy."""
    path = Path(path)
    stamps, board = _loaded.get((path, within), ((), None))
    if board is None or stamps != tuple(map(paths.stamp, board.files)):
        description = parse(path, within)
        check(description.entries)
        board = Board(path, tuple(description.files), description.entries)
        _loaded[path, within] = tuple(map(paths.stamp, board.files)), board
    return board


#: by path and folder: what the files were, and the board that they describe
_loaded: dict[tuple[Path, Path | None], tuple[tuple[object, ...], Board | None]] = {}


def _create(
    entry: Entry,
    entries: dict[str, Entry],
    machine: Machine,
    hardware: Hardware,
    users: tuple[str, ...],
) -> Component:
    """The component of an entry; those that its properties name come first."""
    if entry.name in hardware.components:
        return hardware.components[entry.name]
    if entry.name in users:
        raise ReplError(entry.where, f"`{entry.name}` needs itself through {', '.join(users)}")

    def plain(value: Value) -> Any:
        if isinstance(value, Reference):
            target = entries[value.name]
            return _create(target, entries, machine, hardware, (*users, entry.name))
        if isinstance(value, Enum):
            return value.name.rpartition(".")[2]
        return [plain(item) for item in value] if isinstance(value, list) else value

    given = {name: plain(p.value) for name, p in entry.properties.items()}
    try:
        component = TYPES[entry.type](machine, **given)
    except ValueError as error:  # a property outside its range
        raise ReplError(entry.where, f"`{entry.name}`: {error}") from None
    hardware.components[entry.name] = component
    return component


def _register(entry: Entry, component: Component, hardware: Hardware) -> None:
    for place in entry.registrations:
        if place.bus not in ("sysbus", "none"):
            try:
                hardware.components[place.bus].attach(place.address or 0, component)
            except (NotImplementedError, ValueError) as error:
                raise ReplError(place.where, f"{error}; register it elsewhere") from None
            continue
        if place.address is None:
            continue
        size = extent(type(component), entry, place)
        if isinstance(component, Memory):
            hardware.memories.append(MappedMemory(entry.name, component, place.address, size))
        elif isinstance(component, Peripheral):
            first, length = component.regions[place.region]
            hardware.devices.append(
                _device(entry.name, component, place.address, first, min(size, length))
            )


def _device(name: str, p: Peripheral, base: int, first: int, size: int) -> MappedDevice:
    words = slice(first // 4, (first + size) // 4)
    wmask, w1c, flags = (memoryview(table)[words] for table in (p.wmask, p.w1c, p.flags))

    def read(offset: int, size: int) -> int:
        return p.bus_read(first + offset, size)

    def write(offset: int, value: int, size: int) -> None:
        p.bus_write(first + offset, value, size)

    if not first:  # no detour where offsets are the component's own
        read, write = p.bus_read, p.bus_write
    return MappedDevice(name, p, base, size, p.mem[words], wmask, w1c, flags, read, write, p.queue)


def _connect(entry: Entry, component: Component, wire: Connection, target: Component) -> None:
    line = component.line(wire.source)
    if line is None:
        name = f"output `{wire.source}`" if wire.source else "default output"
        raise ReplError(wire.where, f"{entry.type} has no {name}; remove the connection")
    number = wire.number
    if wire.local is not None:
        number += target.local_first + wire.local * target.local_inputs
    if not target.has_input(number) or (wire.local is not None and not target.local_inputs):
        raise ReplError(wire.where, f"`{wire.target}` has no input {wire.number}; choose another")
    line.connect(target.sink(number))
    if wire.local is not None:  # which learns that something is wired there
        target.on_gpio(number, line.level)


def _fill(entry: Entry, memory: Memory) -> None:
    sizes = {"WriteDoubleWord": 4, "WriteWord": 2, "WriteByte": 1}
    for init in entry.init:
        offset, value = init.arguments
        size = sizes[init.command]
        if not (isinstance(offset, int) and isinstance(value, int)):
            continue  # refused by the check
        if offset + size > memory.size or value >= 1 << 8 * size:
            raise ReplError(init.where, f"`{init.command}` is outside `{entry.name}` or its width")
        memory.data[offset : offset + size] = value.to_bytes(size, "little")

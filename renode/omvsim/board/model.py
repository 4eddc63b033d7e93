"""What a board description says, as data."""

from __future__ import annotations

from dataclasses import dataclass, field

from omvsim.board.lexer import Where


@dataclass(frozen=True)
class Reference:
    """Another entry, by name."""

    name: str


@dataclass(frozen=True)
class Enum:
    """A value such as `STM32Series.H7`."""

    name: str


Value = int | float | str | bool | None | Reference | Enum | list["Value"]


@dataclass(frozen=True)
class Property:
    name: str
    value: Value
    where: Where


@dataclass(frozen=True)
class Registration:
    """Where an entry sits: on `bus` ("none" for nowhere) at `address`; sizes in bytes."""

    bus: str
    address: int | None
    size: int | None
    region: str
    where: Where


@dataclass(frozen=True)
class Connection:
    """One wire: output `source` ("" is the default) to input `number` of `target`.

    `local` is the local receiver of `target#local@number`.
    """

    source: str
    target: str
    local: int | None
    number: int
    where: Where


@dataclass(frozen=True)
class Init:
    """A statement of an `init:` block: command and arguments."""

    command: str
    arguments: tuple[int | str | tuple[int, int], ...]
    where: Where


@dataclass
class Entry:
    """A peripheral, memory or CPU of the board."""

    name: str
    type: str
    where: Where
    registrations: list[Registration] = field(default_factory=list)
    properties: dict[str, Property] = field(default_factory=dict)
    connections: list[Connection] = field(default_factory=list)
    init: list[Init] = field(default_factory=list)


@dataclass(frozen=True)
class Tag:
    """A named range of the bus that nothing models: first and last address, what reads give."""

    first: int
    last: int
    name: str
    value: int = 0

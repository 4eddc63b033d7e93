"""report.html: the conversation as a ladder beside the console, without scripts or network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined

from netsim import Event
from omvsim.terminal import visible

if TYPE_CHECKING:
    from omvsim.evidence import Result

SHOWN = 2000  # events or console lines; the middle of more stays in the files
EVERYBODY = "*"
Item = TypeVar("Item")
LONGEST = 4000  # characters of a console line

environment = Environment(
    loader=PackageLoader("omvsim"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Rung:
    """An event as an arrow: `left` and `width` in percent of the ladder's width."""

    event: Event
    left: float
    width: float
    towards_camera: bool


@dataclass(frozen=True)
class Line:
    """A line of the console and when its first byte came, in ns."""

    time: int
    text: str


def participants(events: Iterable[Event]) -> list[str]:
    """The camera, then hosts in the order of their appearance."""
    names = dict.fromkeys(["camera"])
    for event in events:
        names |= dict.fromkeys(n for n in (event.source, event.target) if n != EVERYBODY)
    return list(names)


def rung(event: Event, names: Sequence[str]) -> Rung:
    """Where the arrow of an event lies between the lifelines of `names`."""
    last = len(names) - 1
    start = names.index(event.source) if event.source != EVERYBODY else last
    end = names.index(event.target) if event.target != EVERYBODY else (0 if start else last)
    column = 100 / len(names)
    return Rung(event, (min(start, end) + 0.5) * column, abs(end - start) * column, end < start)


def console_lines(chunks: Iterable[tuple[int, bytes]]) -> list[Line]:
    """Lines of what was printed at (ns, bytes), control characters made visible."""
    lines: list[Line] = []
    started, pending = 0, bytearray()
    for time, data in chunks:
        for piece in data.splitlines(keepends=True):
            started = started if pending else time
            pending += piece
            if piece.endswith(b"\n"):
                lines.append(Line(started, _text(pending)))
                pending.clear()
    if pending:
        lines.append(Line(started, _text(pending)))
    return lines


def _text(data: bytes | bytearray) -> str:
    text = data.decode(errors="backslashreplace").rstrip("\r\n")
    more = len(text) - LONGEST
    return f"{text[:LONGEST]} ... {more} more characters" if more > 0 else text


def _ends(items: list[Item]) -> tuple[list[Item], int, list[Item]]:
    """First half, how many are left out, last half."""
    if len(items) <= SHOWN:
        return items, 0, []
    return items[: SHOWN // 2], len(items) - SHOWN, items[-SHOWN // 2 :]


def milliseconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:,.3f}"


environment.filters |= {"ms": milliseconds, "visible": visible}


def render(
    result: Result, events: list[Event], beyond: int, console: Iterable[tuple[int, bytes]]
) -> str:
    """The whole page; `beyond` events were left out amid those that are given."""
    names = participants(events)
    first, hidden, last = _ends(events)
    lines = _ends(console_lines(console))
    return environment.get_template("report.html").render(
        result=result,
        names=names,
        rungs=([rung(e, names) for e in first], hidden + beyond, [rung(e, names) for e in last]),
        lines=lines,
    )

"""report.html: the conversation as a ladder beside the console, without scripts or network."""

from __future__ import annotations

import bisect
import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined

from netsim import Event
from omvsim.terminal import visible

if TYPE_CHECKING:
    from omvsim.evidence import Result
    from omvsim.evidence.chain import Card

SHOWN = 2000  # events or console lines; the middle of more stays in the files
EVERYBODY = "*"
Item = TypeVar("Item")
LONGEST = 4000  # characters of a console line
ALARM = re.compile(r"alert(?!.*close_notify)|TCP RST|damaged|no such name|unreachable")
#: what the raw REPL says itself (reference/repl.html): banner, answer and window of raw-paste mode
PROTOCOL = re.compile(
    rb"(?:(?:>>> \r\n){0,4}raw REPL; CTRL-B to exit\r\n>?|\x04+>?)(?:R\x01..\x01*\x04?)?", re.DOTALL
)

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
    everybody: bool = False

    @property
    def alarm(self) -> bool:
        """Does it end something before its time?"""
        return ALARM.search(self.event.text) is not None


@dataclass(frozen=True)
class Line:
    """A line of the console and when its first byte came, in ns."""

    time: int
    text: str


@dataclass(frozen=True)
class Row:
    """A moment of the page, `after` ns behind the row before: an arrow, a line, or `more`, which
    is told of what is left out."""

    time: int
    after: int = 0
    rung: Rung | None = None
    line: Line | None = None
    more: str = ""
    busy: int | None = None  # percent of the time before it in which the core did not sleep

    @property
    def gap(self) -> float:
        """Room for the time before it, in rem: its logarithm."""
        return round(min(3.0, 0.25 * math.log2(1 + self.after / 1e6)), 2)


@dataclass(frozen=True)
class Work:
    """What the core had executed when: (ns, instructions), in order, and its clock in Hz."""

    samples: Sequence[tuple[int, int]] = ()
    hertz: int = 0

    def busy(self, start: int, end: int) -> int | None:
        """In percent; None where that is not known, or no time at all."""
        if not (self.samples and self.hertz and start < end):
            return None
        share = (self._at(end) - self._at(start)) / (end - start) * 1e9 / self.hertz
        return round(100 * min(1.0, max(0.0, share)))

    def _at(self, now: int) -> float:
        """Instructions by then; between two samples by time."""
        at = bisect.bisect_right(self.samples, (now, 1 << 62))
        if not at or at == len(self.samples):
            return self.samples[max(at - 1, 0)][1]
        (before, done), (after, later) = self.samples[at - 1], self.samples[at]
        return done + (later - done) * (now - before) / (after - before)


@dataclass(frozen=True)
class More:
    """What the page tells of a run that did not pass."""

    folder: str
    script: str = ""
    line: int = 0  # of the script, where it ended
    cards: Sequence[Card] = ()
    clock: datetime | None = None
    true_time: datetime | None = None
    decoded: Mapping[int, str] = field(default_factory=dict)  # what frames say, by number


def participants(events: Iterable[Event]) -> list[str]:
    """The camera, then hosts in the order of their appearance."""
    names = dict.fromkeys(["camera"])
    for event in events:
        names |= dict.fromkeys(n for n in (event.source, event.target) if n != EVERYBODY)
    return list(names)


def rung(event: Event, names: Sequence[str]) -> Rung:
    """Where the arrow of an event lies between the lifelines of `names`; what goes to everybody
    crosses them all."""
    column = 100 / len(names)
    if EVERYBODY in (event.source, event.target):
        start = names.index(event.source) if event.source != EVERYBODY else len(names) - 1
        left = (start + 0.5) * column
        return Rung(event, 0 if start else left, left if start else 100 - left, bool(start), True)
    start, end = names.index(event.source), names.index(event.target)
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


def without_protocol(chunks: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """What a person at the camera would have read: without the raw REPL's own bytes."""
    pieces = list(chunks)
    ends = deque(m.span() for m in PROTOCOL.finditer(b"".join(d for _, d in pieces)))
    at = 0
    for time, data in pieces:
        kept, start = bytearray(), at
        while ends and ends[0][1] <= at + len(data):
            kept += data[max(start - at, 0) : max(ends[0][0] - at, 0)]
            start = ends.popleft()[1]
        stop = min(ends[0][0] - at, len(data)) if ends else len(data)
        kept += data[max(start - at, 0) : max(stop, 0)]
        at += len(data)
        if kept:
            yield time, bytes(kept)


def _text(data: bytes | bytearray) -> str:
    text = data.decode(errors="backslashreplace").rstrip("\r\n")
    more = len(text) - LONGEST
    return f"{text[:LONGEST]} ... {more} more characters" if more > 0 else text


def _ends(items: list[Item]) -> tuple[list[Item], int, list[Item]]:
    """First half, how many are left out, last half."""
    if len(items) <= SHOWN:
        return items, 0, []
    return items[: SHOWN // 2], len(items) - SHOWN, items[-SHOWN // 2 :]


def rows(
    events: list[Event], beyond: int, console: Iterable[tuple[int, bytes]], names: Sequence[str],
    mishaps: Sequence[Event] = (), work: Work | None = None,
    beside: Mapping[str, Sequence[tuple[int, bytes]]] | None = None,
) -> list[Row]:  # fmt: skip
    """Arrows and lines in the order of their times; of many the middle is left out."""
    found: list[Row] = []
    first, hidden, last = _ends(events)
    found += [Row(e.time, rung=rung(e, names)) for e in (*first, *last, *mishaps)]
    if hidden + beyond:
        told = f"{hidden + beyond} events are left out here; net.pcapng holds every frame"
        found.append(Row(first[-1].time, more=told))
    printed = console_lines(without_protocol(console))
    for name, chunks in (beside or {}).items():
        theirs = console_lines(without_protocol(chunks))
        printed += [replace(line, text=f"{name}| {line.text}") for line in theirs]
    lines, hidden, rest = _ends(sorted(printed, key=lambda line: line.time))
    found += [Row(line.time, line=line) for line in (*lines, *rest)]
    if hidden:
        told = f"{hidden} lines are left out here; console.log holds them all"
        found.append(Row(lines[-1].time, more=told))
    found.sort(key=lambda row: row.time)
    before = [found[0].time if found else 0, *(row.time for row in found)]
    work = work or Work()
    return [
        replace(row, after=row.time - b, busy=work.busy(b, row.time))
        for row, b in zip(found, before, strict=False)
    ]


def milliseconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:,.3f}"


environment.filters |= {"ms": milliseconds, "visible": visible}


def render(
    result: Result,
    events: list[Event],
    beyond: int,
    console: Iterable[tuple[int, bytes]],
    more: More | None = None,
    mishaps: Sequence[Event] = (),
    work: Work | None = None,
    beside: Mapping[str, Sequence[tuple[int, bytes]]] | None = None,
) -> str:
    """The whole page; `beyond` events were left out amid those that are given; `beside` are the
    consoles of other cameras, by their names."""
    names = participants([*events, *mishaps])
    return environment.get_template("report.html").render(
        result=result,
        names=names,
        rows=rows(events, beyond, console, names, mishaps, work, beside),
        more=more or More("FOLDER"),
        everybody=EVERYBODY,
    )

"""A camera that need not boot again: what went into an engine and came out of it is on a tape, and
at some places what the engine was.

While the same goes in, the same comes out, and nothing is executed. At the tape's end, or where
something else goes in, an engine goes on from the last snapshot before: the run is always the one
that it would have been.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from weakref import ReferenceType, ref

import msgspec

from omvsim import kept
from omvsim.engine import Engine, Fault, Stop, Unmodelled
from omvsim.errors import UserError

MOST = 4000  # entries of a tape; a boot has some dozens
LARGEST = 64 << 20  # bytes of one, unpacked
FILES = 1000  # tapes that are kept, those used last
MOST_IDLE = 2
ENDS = (Stop.FAULT, Stop.LOCKUP)  # of what is worth to be kept


#: of cameras that are switched off, by the tape of their prompt: what they have translated serves
#: the next, too
_idle: OrderedDict[Path, tuple[Engine, ReferenceType[Taped] | None]] = OrderedDict()


class Entry(msgspec.Struct, array_like=True):
    """A call and what it was given; what came of it, where it was `run`."""

    call: str
    given: int | bytes
    now: int  # after it
    instructions: int
    stop: str = ""
    printed: bytes = b""
    frames: list[tuple[int, bytes]] = []


class Tape(msgspec.Struct):
    """`snapshots` are (entries before it, the state then)."""

    name: str
    version: str
    hertz: int
    entries: list[Entry]
    snapshots: list[tuple[int, bytes]]


class Taped:
    """An `Engine` around the one that `make` gives, when it is needed.

    `prompt` is the tape's file up to the prompt, `booted` to the end of what is to come before the
    first script.
    """

    def __init__(self, make: Callable[[], Engine], prompt: Path, booted: Path) -> None:
        self.evidence: Path | None = None
        self.patience_ns = 0
        self._make, self._files = make, (prompt, booted)
        self._position = self._hold_ns = 0
        self._hold_until = b""
        self._printed, self._frames = bytearray(), list[tuple[int, bytes]]()
        self._engine: Engine | None = None
        whole = _read(booted)
        self._records = whole is None
        tape = whole or _read(prompt)
        if tape is None:
            self._engine = engine = make()
            tape = Tape(engine.name, engine.version, engine.hertz, [], [])
        self._tape, self.name, self.version = tape, tape.name, tape.version

    def keep(self, last: bool = False) -> None:
        tape = self._tape
        had = tape.snapshots[-1][0] if tape.snapshots else 0
        if self._records and self._engine and had < len(tape.entries):
            tape.snapshots.append((len(tape.entries), self._engine.snapshot()))
            content = zlib.compress(msgspec.msgpack.encode(tape), 1)
            kept.write(self._files[last], content, FILES)
        if last and self._engine:
            self._end()

    def _end(self) -> None:
        """Nothing is played and nothing recorded from here on."""
        self._records = False
        self._tape.entries.clear()
        self._tape.snapshots.clear()

    def _live(self) -> Engine:
        """The engine, at the tape's place."""
        if self._engine is None:
            before = [one for one in self._tape.snapshots if one[0] <= self._position]
            start, state = before[-1] if before else (0, b"")
            engine = (_inherited(self._files[0]) if state else None) or self._make()
            try:
                if state:
                    engine.restore(state)
            except UserError:  # damaged
                start, engine = 0, self._make()
            for entry in self._tape.entries[start : self._position]:
                _repeat(engine, entry)
            self._engine = engine
            if self._position < len(self._tape.entries) or not self._records:
                self._end()
        return self._engine

    def _alone(self) -> Engine:
        """The engine, of which the tape hears no more."""
        engine = self._live()
        self._end()
        return engine

    def leave(self) -> None:
        """Go on without the engine; what the camera is now can still be asked for."""
        engine, tape = self._alone(), self._tape
        tape.entries.append(Entry("run", engine.now, engine.now, engine.instructions))
        tape.snapshots.append((1, engine.snapshot()))
        self._position, self._engine = 1, None

    def _input(self, call: str, given: int | bytes) -> None:
        entries = self._tape.entries
        if self._engine is None and self._position < len(entries):
            entry = entries[self._position]
            if (entry.call, entry.given) == (call, given):
                self._position += 1
                return
        engine = self._live()
        if self._records and call == "frame" and not self._tape.snapshots:
            # another network may say something else
            self._tape.snapshots.append((len(entries), engine.snapshot()))
        _apply(engine, call, given)
        if self._records:
            entries.append(Entry(call, given, engine.now, engine.instructions))

    def _played(self, until: int) -> Entry | None:
        """What came of a run to `until`, if the tape has it."""
        while self._engine is None and self._position < len(self._tape.entries):
            entry = self._tape.entries[self._position]
            looked = entry.stop == Stop.DEADLINE.value  # only at the time: nothing happened
            if entry.call != "run":
                return None
            if looked and entry.given != until:
                if entry.now >= until:
                    return None
            elif entry.now > until and not looked:
                return None
            else:
                self._position += 1
                return entry
            self._position += 1
        return None

    def run(self, until: int) -> Stop:
        if entry := self._played(until):
            self._printed += entry.printed
            self._frames += entry.frames
            return Stop(entry.stop)
        engine = self._live()
        engine.patience_ns = self.patience_ns
        stop = engine.run(until)
        if stop is Stop.HOST:
            return stop
        printed, frames = engine.console_read(), engine.frames()
        self._printed += printed
        self._frames += frames
        if self._records:
            self._tape.entries.append(
                Entry("run", until, engine.now, engine.instructions, stop.value, printed, frames)
            )
            if stop in ENDS or len(self._tape.entries) > MOST:
                self._end()
        return stop

    @property
    def _last(self) -> Entry | None:
        return self._tape.entries[self._position - 1] if self._position else None

    @property
    def now(self) -> int:
        if self._engine:
            return self._engine.now
        return self._last.now if self._last else 0

    @property
    def instructions(self) -> int:
        if self._engine:
            return self._engine.instructions
        return self._last.instructions if self._last else 0

    @property
    def hertz(self) -> int:
        return self._tape.hertz

    @property
    def hold_ns(self) -> int:
        return self._hold_ns

    @hold_ns.setter
    def hold_ns(self, value: int) -> None:
        if value != self._hold_ns:
            self._input("hold", value)
            self._hold_ns = value

    @property
    def hold_until(self) -> bytes:
        return self._hold_until

    @hold_until.setter
    def hold_until(self, value: bytes) -> None:
        if value != self._hold_until:
            self._input("until", value)
            self._hold_until = value

    def console_write(self, data: bytes) -> None:
        self._input("write", data)

    def send_frame(self, frame: bytes) -> None:
        self._input("frame", frame)

    def set_link(self, up: bool) -> None:
        self._input("link", int(up))

    def console_read(self, rest: bool = False) -> bytes:
        data = bytes(self._printed)
        self._printed.clear()
        return data + (self._live().console_read(True) if rest and self._hold_ns else b"")

    def frames(self) -> list[tuple[int, bytes]]:
        frames, self._frames = self._frames, []
        return frames

    # what is not on a tape

    @property
    def fault(self) -> Fault | None:
        return self._live().fault

    @property
    def programmed_hertz(self) -> int:
        return self._live().programmed_hertz

    @property
    def clock(self) -> datetime | None:
        return self._live().clock

    @property
    def unmodelled(self) -> list[Unmodelled]:
        return self._live().unmodelled

    @property
    def unmodelled_beyond(self) -> int:
        return self._live().unmodelled_beyond

    @property
    def wake(self) -> int:
        return self._live().wake

    def memory(self, address: int, size: int) -> bytes | None:
        return self._live().memory(address, size)

    def doze(
        self, others: Sequence[tuple[Engine, int]], until: int, lookahead: int
    ) -> tuple[Engine, Stop] | None:
        inner = [engine._alone() if isinstance(engine, Taped) else engine for engine, _ in others]
        times = [on for _, on in others]
        told = inner[0].doze(list(zip(inner, times, strict=True)), until, lookahead)
        if told is None:
            return None
        engine = others[inner.index(told[0])][0]
        if isinstance(engine, Taped):
            engine._printed += told[0].console_read()
            engine._frames += told[0].frames()
        return engine, told[1]

    def snapshot(self) -> bytes:
        return self._live().snapshot()

    def restore(self, state: bytes) -> None:
        self._alone().restore(state)

    def reset(self) -> None:
        self._alone().reset()

    def close(self) -> None:
        if self._engine:
            self._engine.close()
            _idle[self._files[0]] = self._engine, ref(self)
            if len(_idle) > MOST_IDLE:
                _idle.popitem(last=False)

    def forget(self) -> None:
        if _idle.get(self._files[0], (None,))[0] is self._engine and self._engine:
            _idle[self._files[0]] = self._engine, None
            self._engine = None


def _inherited(prompt: Path) -> Engine | None:
    """The engine of a camera that is switched off."""
    if prompt not in _idle:
        return None
    engine, last = _idle.pop(prompt)
    if user := last and last():
        user.leave()
    return engine


def _apply(engine: Engine, call: str, given: int | bytes) -> None:
    match call, given:
        case "hold", int():
            engine.hold_ns = given
        case "until", bytes():
            engine.hold_until = given
        case "link", int():
            engine.set_link(bool(given))
        case "write", bytes():
            engine.console_write(given)
        case "frame", bytes():
            engine.send_frame(given)


def _repeat(engine: Engine, entry: Entry) -> None:
    """Let the engine do what is on the tape, whose output is known."""
    if entry.call != "run" or isinstance(entry.given, bytes):
        _apply(engine, entry.call, entry.given)
        return
    while engine.run(entry.given) is Stop.HOST:
        pass
    engine.console_read()
    engine.frames()


def _read(file: Path) -> Tape | None:
    """None where there is none, or a damaged one."""
    try:
        content = zlib.decompressobj().decompress(kept.read(file) or b"", LARGEST)
        return msgspec.msgpack.decode(content, type=Tape)
    except (zlib.error, ValueError):
        return None

"""What goes wrong on the camera's cable: each fault is a stage that frames pass through.

A stage is a Port for one direction: frames go in by `receive`, come out of `advance`, later,
changed, twice or never. Everything random comes from the scenario's seed and the fault's
number, so that a fault does the same whatever others do.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Address
from itertools import count
from typing import TYPE_CHECKING

from netsim.stack.arp import REPLY, ArpMessage
from netsim.stack.deadlines import earliest
from netsim.stack.rto import MS, SECOND

if TYPE_CHECKING:
    from netsim.scenario import Fault, Rule

TO_CAMERA, FROM_CAMERA = "to_camera", "from_camera"
_HEADER = 14  # of Ethernet: addresses and type stay as they are
POISON = b"\x02\x00\xde\xad\xbe\xef"  # a station that is not there
_POISON_EVERY = SECOND
Timed = tuple[int, bytes]
Mishap = Callable[[bytes, int, str], None]  # a frame, when, and what became of it


class Stage:
    """Lets every frame pass. `from_ns` to `until_ns` is the time in which it acts."""

    def __init__(self, options: Fault | Rule, dice: random.Random) -> None:
        self.dice = dice
        self.from_ns = options.from_ms * MS
        self.until_ns = options.until_ms * MS or None
        self.met = 0  # frames that came in its time
        self.hits: list[int] = []  # those of them, from 1 on, that did not just pass

    def acts(self, now: int) -> bool:
        """Is it its time?"""
        return now >= self.from_ns and (self.until_ns is None or now < self.until_ns)

    def take(self, frame: bytes, now: int) -> Iterable[Timed]:
        """The frames that leave the stage for one that enters, and when."""
        if not self.acts(now):
            return [(now, frame)]
        self.met += 1
        taken = list(self.change(frame, now))
        if taken != [(now, frame)]:
            self.hits.append(self.met)
        return taken

    def change(self, frame: bytes, now: int) -> Iterable[Timed]:
        """The same while the stage acts."""
        return [(now, frame)]


class Loss(Stage):
    def __init__(self, options: Fault, dice: random.Random) -> None:
        super().__init__(options, dice)
        self._rate = options.rate

    def change(self, frame: bytes, now: int) -> Iterable[Timed]:
        return [] if self.dice.random() < self._rate else [(now, frame)]


class BurstLoss(Stage):
    """The model of Gilbert and Elliott: a bad state loses all, `burst` frames on average.

    `rate` is the share of frames lost in the long run.
    """

    def __init__(self, options: Fault, dice: random.Random) -> None:
        super().__init__(options, dice)
        self._recover = 1 / options.burst
        share = min(options.rate, 0.999)
        self._fail = share * self._recover / (1 - share)
        self._bad = False

    def change(self, frame: bytes, now: int) -> Iterable[Timed]:
        chance = self._recover if self._bad else self._fail
        if self.dice.random() < chance:
            self._bad = not self._bad
        return [] if self._bad else [(now, frame)]


class Delay(Stage):
    """`delay_ms`, and up to `jitter_ms` more; the order stays."""

    def __init__(self, options: Fault, dice: random.Random) -> None:
        super().__init__(options, dice)
        self._delay, self._jitter = options.delay_ms * MS, options.jitter_ms * MS
        self._last = 0

    def change(self, frame: bytes, now: int) -> Iterable[Timed]:
        self._last = max(self._last, now + self._delay + int(self._jitter * self.dice.random()))
        return [(self._last, frame)]


class Duplicate(Stage):
    """A share of the frames comes twice, the second `delay_ms` later."""

    def __init__(self, options: Fault, dice: random.Random) -> None:
        super().__init__(options, dice)
        self._rate, self._delay = options.rate, options.delay_ms * MS

    def change(self, frame: bytes, now: int) -> Iterable[Timed]:
        yield now, frame
        if self.dice.random() < self._rate:
            yield now + self._delay, frame


class Reorder(Stage):
    """A share of the frames is overtaken by those of the next `delay_ms`."""

    def __init__(self, options: Fault, dice: random.Random) -> None:
        super().__init__(options, dice)
        self._rate, self._delay = options.rate, options.delay_ms * MS

    def change(self, frame: bytes, now: int) -> Iterable[Timed]:
        late = self.dice.random() < self._rate
        return [(now + self._delay if late else now, frame)]


class BitErrors(Stage):
    """A share of the frames has a bit turned, which the frame check has not seen."""

    def __init__(self, options: Fault, dice: random.Random) -> None:
        super().__init__(options, dice)
        self._rate = options.rate

    def change(self, frame: bytes, now: int) -> Iterable[Timed]:
        if self.dice.random() < self._rate and len(frame) > _HEADER:
            damaged = bytearray(frame)
            damaged[self.dice.randrange(_HEADER, len(frame))] ^= 1 << self.dice.randrange(8)
            frame = bytes(damaged)
        return [(now, frame)]


class Truncate(Stage):
    """A share of the frames is cut to `size` bytes, or anywhere if that is 0."""

    def __init__(self, options: Fault, dice: random.Random) -> None:
        super().__init__(options, dice)
        self._rate, self._size = options.rate, options.size

    def change(self, frame: bytes, now: int) -> Iterable[Timed]:
        if self.dice.random() < self._rate and len(frame) > _HEADER:
            frame = frame[: self._size or self.dice.randrange(_HEADER, len(frame))]
        return [(now, frame)]


class MtuBlackHole(Stage):
    """Packets of more than `size` bytes vanish, and no ICMP tells of it."""

    def __init__(self, options: Fault, dice: random.Random) -> None:
        super().__init__(options, dice)
        self._size = options.size

    def change(self, frame: bytes, now: int) -> Iterable[Timed]:
        return [] if len(frame) - _HEADER > self._size else [(now, frame)]


class RateLimit(Stage):
    """A line of `kbit_s`, with a queue of `size` bytes; what finds it full is lost."""

    def __init__(self, options: Fault, dice: random.Random) -> None:
        super().__init__(options, dice)
        self._ns_per_byte = 8 * SECOND / (options.kbit_s * 1000)
        self._size = options.size
        self._free = 0  # when the line has sent all that is queued

    def change(self, frame: bytes, now: int) -> Iterable[Timed]:
        queued = max(0, self._free - now) / self._ns_per_byte
        if queued + len(frame) > self._size:
            return []
        self._free = max(self._free, now) + int(len(frame) * self._ns_per_byte)
        return [(self._free, frame)]


class LinkDown(Stage):
    """The cable is out; the network tells the camera's PHY."""

    def change(self, frame: bytes, now: int) -> Iterable[Timed]:
        return []


KINDS: dict[str, type[Stage]] = {
    "loss": Loss,
    "burst_loss": BurstLoss,
    "delay": Delay,
    "duplicate": Duplicate,
    "reorder": Reorder,
    "bit_errors": BitErrors,
    "truncate": Truncate,
    "mtu_black_hole": MtuBlackHole,
    "rate_limit": RateLimit,
    "link_down": LinkDown,
}


class Poison:
    """Tells the camera again and again that an address is where nobody is (RFC 826)."""

    def __init__(self, options: Fault) -> None:
        self._address = options.address
        self._next: int | None = options.from_ms * MS
        self._until = options.until_ms * MS or None

    def next_deadline(self) -> int | None:
        """When the next lie is due."""
        return self._next

    def due(self, now: int, camera: tuple[bytes, IPv4Address | None]) -> Iterator[bytes]:
        """The frames to the camera, whose addresses are given."""
        while self._next is not None and self._next <= now:
            mac, address = camera
            if address and self._address and any(mac):
                lie = ArpMessage(REPLY, POISON, self._address, mac, address)
                yield lie.build(mac)
            self._next += _POISON_EVERY
            if self._until is not None and self._next >= self._until:
                self._next = None


class Line:
    """A Port: the stages of one direction, in their order."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self.on_mishap: Mishap | None = None  # hears of each frame that does not just pass
        #: due, order, next stage, frame, what has become of it so far
        self._waiting: list[tuple[int, int, int, bytes, str]] = []
        self._order = count()

    def receive(self, frame: bytes, now: int) -> None:
        """A frame enters the first stage."""
        self._push(now, 0, frame)

    def slip_in(self, frame: bytes, now: int) -> None:
        """A frame comes in behind the last stage."""
        self._push(now, len(self.stages), frame)

    def advance(self, now: int) -> list[bytes]:
        """The frames that have left the last stage by `now`."""
        return [frame for frame, _ in self.noted(now)]

    def noted(self, now: int) -> list[tuple[bytes, str]]:
        """The same, with what the stages have done to each."""
        out = []
        while self._waiting and self._waiting[0][0] <= now:
            due, _, stage, frame, note = heapq.heappop(self._waiting)
            if stage >= len(self.stages):
                out.append((frame, note))
                continue
            taken = list(self.stages[stage].take(frame, due))
            for when, changed in taken:
                told = _note(frame, due, when, changed)
                self._push(when, stage + 1, changed, ", ".join(filter(None, (note, told))))
            if self.on_mishap and len(taken) != 1:
                self.on_mishap(frame, due, "comes twice" if taken else "lost")
            elif self.on_mishap and taken[0][1] != frame:
                self.on_mishap(frame, due, "changed")
        return out

    def next_deadline(self) -> int | None:
        """When `advance` has something to do."""
        return self._waiting[0][0] if self._waiting else None

    def _push(self, due: int, stage: int, frame: bytes, note: str = "") -> None:
        heapq.heappush(self._waiting, (due, next(self._order), stage, frame, note))


def _note(frame: bytes, due: int, when: int, taken: bytes) -> str:
    """What has become of a frame, in words; nothing if it just passes."""
    late = f"{(when - due) / MS:.3g} ms late" if when > due else ""
    return ", ".join(filter(None, (late, "changed" if taken != frame else "")))


class Faults:
    """All that the scenario does to the cable; `add` and `add_rule` are for mid run, too."""

    def __init__(self, seed: int, make_rule: Callable[[Rule, random.Random, Line], Stage]) -> None:
        self.lines = {TO_CAMERA: Line(), FROM_CAMERA: Line()}
        self._seed, self._make_rule = seed, make_rule
        self._numbers = count(1)
        self._poisons: list[Poison] = []
        self._made: list[tuple[Fault, str, Stage]] = []
        self._links: list[Stage] = []

    def add(self, fault: Fault) -> None:
        """Another fault behind those that are there."""
        number = next(self._numbers)
        if fault.kind == "arp_poison":
            self._poisons.append(Poison(fault))
            return
        for direction in _directions(fault.direction):
            dice = random.Random(f"fault/{self._seed}/{number}/{direction}")
            stage = KINDS[fault.kind](fault, dice)
            self.lines[direction].stages.append(stage)
            self._made.append((fault, direction, stage))
            if fault.kind == "link_down":
                self._links.append(stage)

    def add_rule(self, rule: Rule) -> None:
        """Another rule behind what is there."""
        number = next(self._numbers)
        for direction in _directions(rule.direction):
            dice = random.Random(f"rule/{self._seed}/{number}/{direction}")
            back = self.lines[FROM_CAMERA if direction == TO_CAMERA else TO_CAMERA]
            self.lines[direction].stages.append(self._make_rule(rule, dice, back))

    def hits(self, fault: Fault) -> dict[str, list[int]]:
        """The frames that a fault has really hit, by direction, counted in its time from 1 on."""
        return {direction: s.hits for made, direction, s in self._made if made is fault}

    def link(self, now: int) -> bool:
        """Is the cable in?"""
        return not any(stage.acts(now) for stage in self._links)

    def lies(self, now: int, camera: tuple[bytes, IPv4Address | None]) -> Sequence[bytes]:
        """Forged frames to the camera that are due."""
        return [frame for poison in self._poisons for frame in poison.due(now, camera)]

    def next_deadline(self, now: int) -> int | None:
        """When something is due after `now`: a frame, a lie, or the cable's end."""
        line = earliest(*[line.next_deadline() for line in self.lines.values()])
        if not (self._links or self._poisons):  # as nearly always, and asked at each step
            return line
        edges = (e for s in self._links for e in (s.from_ns, s.until_ns) if e and e > now)
        return earliest(*edges, line, *(p.next_deadline() for p in self._poisons))


def _directions(direction: str) -> tuple[str, ...]:
    return (TO_CAMERA, FROM_CAMERA) if direction == "both" else (direction,)

"""How far two runs of one script agree, such as of two engines: from their evidence folders."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from omvsim.evidence import Result
from omvsim.repeat.replay import frames, power_on, printed, told, unequal

Frame = tuple[int, bytes]


@dataclass(frozen=True)
class Share:
    """`same` things `of` so many, and the first that is not, in words."""

    name: str
    same: int
    of: int
    first: str

    @property
    def percent(self) -> float:
        """100 where there is nothing to compare."""
        return 100 * self.same / self.of if self.of else 100.0


@dataclass(frozen=True)
class Agreement:
    """`boot` is the difference of the first common frame's times, in ns: one engine may take no
    time for what the other does. `late` is the largest that any other has beyond it."""

    shares: list[Share]
    boot: int
    late: int

    @property
    def first(self) -> str:
        """When the first common frame comes in the second run."""
        return f"{abs(self.boot) / 1e6:.3f} ms {'earlier' if self.boot < 0 else 'later'}"

    @property
    def percent(self) -> float:
        """Of all things that were compared."""
        return Share(
            "", sum(s.same for s in self.shares), sum(s.of for s in self.shares), ""
        ).percent


def agreement(first: Path, second: Path, within: int) -> Agreement:
    """Compare outcome, console lines, frames (by their bytes and order, and by their time to
    `within` ns) and places of unmodelled accesses; UserError where a folder holds no run."""
    results = told(first), told(second)
    wire, boot, late = _frames(first, second, within)
    shares = [_outcome(*results), _console(first, second), wire, _places(*results)]
    return Agreement(shares, boot, late)


def _outcome(first: Result, second: Result) -> Share:
    ways = [f"{result.outcome} {result.detail}".strip() for result in (first, second)]
    differ = "" if ways[0] == ways[1] else f"{ways[0]}; {ways[1]}"
    return Share("outcome", not differ, 1, differ)


def _console(first: Path, second: Path) -> Share:
    ours, theirs = (printed(folder).splitlines() for folder in (first, second))
    same = sum(size for *_, size in _blocks(ours, theirs))
    differ = ""
    for number, (a, b) in enumerate(zip([*ours, b""], [*theirs, b""], strict=False), 1):
        if a != b:
            start = max(0, unequal(a, b) - 10)
            differ = f"line {number}, byte {start}: {_text(a[start:])}; {_text(b[start:])}"
            break
    return Share("console lines", same, max(len(ours), len(theirs)), differ)


def _text(line: bytes) -> str:
    return f'"{line[:60].decode(errors="replace")}"'


def _frames(first: Path, second: Path, within: int) -> tuple[Share, int, int]:
    starts = power_on(first), power_on(second)
    ours, theirs = (
        [(at - start, data) for at, data in frames(folder / "net.pcapng")]
        for folder, start in zip((first, second), starts, strict=True)
    )
    same = late = mine = other = 0
    boot: int | None = None
    differ = ""
    for a, b, size in _blocks([data for _, data in ours], [data for _, data in theirs]):
        if (a, b) != (mine, other):
            differ = differ or _differing(ours[mine : mine + 1], theirs[other : other + 1], mine)
        mine, other = a + size, b + size
        for n in range(size):
            apart = theirs[b + n][0] - ours[a + n][0]
            boot = apart if boot is None else boot
            apart = abs(apart - boot)
            late = max(late, apart)
            same += apart <= within
            if apart > within:
                differ = differ or f"frame {a + n + 1}: its times are {apart / 1e6:.3f} ms apart"
    return Share("frames", same, max(len(ours), len(theirs)), differ), boot or 0, late


def _differing(mine: Sequence[Frame], other: Sequence[Frame], before: int) -> str:
    told = ("; ".join(f"{len(data)} bytes at {at / 1e6:.3f} ms" for at, data in side) or "not there"
            for side in (mine, other))  # fmt: skip
    words = f"frame {before + 1}: {'; '.join(told)}"
    if mine and other:
        words += f"; from byte {unequal(mine[0][1], other[0][1])} on"
    return words


def _places(first: Result, second: Result) -> Share:
    sets = [{(a.address, a.write) for a in result.unmodelled} for result in (first, second)]
    apart = sorted(sets[0] ^ sets[1])
    differ = ""
    if apart:
        address, write = apart[0]
        which = "first" if apart[0] in sets[0] else "second"
        differ = f"{'write' if write else 'read'} at 0x{address:08X}: in the {which} alone"
    return Share("unmodelled places", len(sets[0] & sets[1]), len(sets[0] | sets[1]), differ)


def _blocks(a: Sequence[Hashable], b: Sequence[Hashable]) -> Iterable[tuple[int, int, int]]:
    """What two sequences have in common, in order, ended by an empty block behind both."""
    return SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()

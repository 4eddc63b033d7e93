"""The smallest scenario that ends as another does: delta debugging over its TOML."""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.items import Item

import netsim
from netsim import paths
from netsim import scenario as scenarios
from netsim.errors import UserError as NetsimError
from netsim.paths import below
from omvsim import outputs
from omvsim.errors import UserError
from omvsim.repeat.verdict import Verdict, try_out
from omvsim.testbed import Testbed
from omvsim.testbed.portable import references

if TYPE_CHECKING:
    from omvsim.repeat.replay import Recorded

Table = dict[str, Any]
Path_ = tuple[str | int, ...]  # of a table or key: ("fault", 0, "rate")
KINDS: dict[str, Any] = {
    "server": scenarios.Server, "client": scenarios.Client,
    "fault": scenarios.Fault, "rule": scenarios.Rule,
}  # fmt: skip
#: what a fault with a rate does to a frame, as a rule
ACTIONS = {"loss": "drop", "burst_loss": "drop", "duplicate": "duplicate", "reorder": "hold"}
MOST_LINES = 200  # of single frames to begin with


def units(table: Table) -> list[Path_]:
    """The tables that can go as a whole: each [[...]], each table of tables, each table."""
    found: list[Path_] = []
    for name, value in table.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            found += [(name, i) for i in range(len(value))]
        elif isinstance(value, dict):
            found.append((name,))
            for key, inner in value.items():
                if isinstance(inner, dict):
                    found.append((name, key))
                    found += [(name, key, k) for k, v in inner.items() if isinstance(v, dict)]
    return found


def keys(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Every key that holds no table."""
    items = enumerate(value) if isinstance(value, list) else value.items()
    for key, inner in items:
        here = (*at, key)
        tables = isinstance(inner, list) and inner and isinstance(inner[0], dict)
        if (isinstance(inner, dict) and inner) or tables:
            yield from keys(inner, here)
        elif isinstance(key, str):
            yield here


def without(table: Table, paths: Sequence[Path_]) -> Table:
    """The same without these tables and keys, and without what they leave empty."""
    gone = set(paths)

    def keep(value: Any, at: Path_) -> Any:
        if isinstance(value, dict):
            kept = {k: keep(v, (*at, k)) for k, v in value.items() if (*at, k) not in gone}
            return {k: v for k, v in kept.items() if v not in ({}, []) or v == value[k]}
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return [keep(v, (*at, i)) for i, v in enumerate(value) if (*at, i) not in gone]
        return value

    result: Table = keep(table, ())
    return result


def render(table: Table) -> str:
    """TOML: plain keys first, then tables, with their tables of tables; deeper ones in a line."""
    document = tomlkit.document()
    later: list[tuple[str, Any]] = []
    for key, value in table.items():
        tables = isinstance(value, list) and value and isinstance(value[0], dict)
        if isinstance(value, dict) or tables:
            later.append((key, value))
        else:
            document.add(key, value)
    for key, value in later:
        if isinstance(value, dict):
            document.add(key, _table(value, 1))
        else:
            array = tomlkit.aot()
            for entry in value:
                array.append(_table(entry, 0))
            document.add(key, array)
    return tomlkit.dumps(document).strip() + "\n"


def _table(value: Table, depth: int) -> Item:
    """`depth`: how many levels of tables below it get headers of their own."""
    inner = {k: v for k, v in value.items() if isinstance(v, dict)}
    made = tomlkit.table(is_super_table=bool(inner) and len(inner) == len(value) and depth > 0)
    for key, entry in sorted(value.items(), key=lambda pair: pair[0] in inner):
        if key not in inner:
            made.add(key, entry)
        elif depth:
            made.add(key, _table(entry, depth - 1))
        else:
            line = tomlkit.inline_table()
            line.update(entry)
            made.add(key, line)
    return made


def numbers(table: Table) -> Iterator[tuple[Path_, float]]:
    """What a number is half way (or, of an integer, nearly) to its default."""
    for name, kind in KINDS.items():
        for at, entry in enumerate(table.get(name, ())):
            for known in dataclasses.fields(kind):
                value, default = entry.get(known.name), known.default
                if known.name == "nth" or not isinstance(default, int | float) or value is None:
                    continue
                half = default + (value - default) / 2
                nearer = round(half, 2) if isinstance(value, float) else int(half)
                if abs(nearer - default) < abs(value - default) and nearer != default:
                    yield (name, at, known.name), nearer


def by_frames(table: Table, number: int, hits: dict[str, list[int]]) -> Table:
    """The fault of this number as rules for the single frames that it hit.

    Later frames come first: what a rule drops, the rules behind it do not count.
    """
    changed = copy.deepcopy(table)
    fault = changed["fault"].pop(number)
    if not changed["fault"]:
        del changed["fault"]
    kept = {key: fault[key] for key in ("from_ms", "until_ms", "delay_ms") if key in fault}
    rules = []
    for direction, frames in hits.items():
        runs: list[list[int]] = []  # first frame, how many
        for frame in frames:
            if runs and sum(runs[-1]) == frame:
                runs[-1][1] += 1
            else:
                runs.append([frame, 1])
        for nth, count in reversed(runs):
            about = {"match": "Ether", "action": ACTIONS[fault["kind"]], "direction": direction}
            rules.append({**about, "nth": nth, "count": count, **kept})
    if rules:
        changed["rule"] = rules + changed.get("rule", [])
    return changed


class Shrinker:
    """`smallest` always passes `holds`; `tell` hears of each step."""

    def __init__(
        self, table: Table, holds: Callable[[Table], bool], tell: Callable[[str], object]
    ) -> None:
        self.smallest = table
        self.runs = 0
        self._holds, self._tell = holds, tell
        self._failed: set[str] = set()

    def run(self) -> Table:
        """Until nothing more can go: first whole tables, then keys."""
        before = None
        while before != self.smallest:
            before = copy.deepcopy(self.smallest)
            for parts in (units, lambda table: list(keys(table))):
                self._reduce(parts)
            self._halve()
        return self.smallest

    def adopt(self, table: Table) -> None:
        """Go on from another scenario, if that comes to no more lines in the end."""
        if len(render(table).splitlines()) > MOST_LINES:
            return
        other = Shrinker(table, self._holds, self._tell)
        if self._holds(table):
            other.run()
            if len(render(other.smallest).splitlines()) <= len(render(self.smallest).splitlines()):
                self.smallest = other.smallest
        self.runs += other.runs + 1

    def _halve(self) -> None:
        """Numbers towards their defaults, each as far as it goes."""
        failed: set[Path_] = set()
        while found := next(((p, v) for p, v in numbers(self.smallest) if p not in failed), None):
            (name, at, key), nearer = found
            table = copy.deepcopy(self.smallest)
            table[str(name)][at][key] = nearer
            if not self._try(table):
                failed.add((name, at, key))

    def _reduce(self, parts: Callable[[Table], list[Path_]]) -> None:
        """Zeller's ddmin on complements: halves, quarters, down to single parts."""
        size = len(parts(self.smallest))
        while size:
            start = 0
            while start < len(known := parts(self.smallest)):
                if not self._try(without(self.smallest, known[start : start + size])):
                    start += size
            size //= 2

    def _try(self, table: Table) -> bool:
        text = render(table)
        if table == self.smallest or text in self._failed:
            return False
        self.runs += 1
        if not self._holds(table):
            self._failed.add(text)
            return False
        self.smallest = table
        self._tell(f"{self.runs} tried, {len(text.splitlines())} lines remain")
        return True


def refuse(run: Recorded, out: Path, force: bool) -> None:
    """UserError where --out cannot be written, before minutes are spent."""
    if out.suffix != ".toml":
        raise UserError(f"{out}: the smallest scenario is a file: name it NAME.toml")
    if out.resolve() == (run.folder / "scenario.toml").resolve():
        raise UserError(f"{out}: the run's own scenario lies there: choose another --out")
    beside = _beside(run, tomlkit.parse(run.scenario.text), out)
    outputs.refuse((out, *beside), force, "choose another --out")


def _beside(run: Recorded, table: Table, out: Path) -> dict[Path, bytes]:
    """The files that the scenario refers to, where they are to lie beside `out`."""
    names = [entry[key] for entry, key in references(table)]
    try:
        found = {below(out.parent, name): run.folder / name for name in names}
    except ValueError as error:
        raise UserError(f"{out.parent}: {error}: choose another --out") from None
    return {path: paths.read(own) for path, own in found.items() if path.resolve() != own.resolve()}


def command(run: Recorded, out: Path, force: bool, check: Callable[[], object]) -> int:
    """omvsim replay --shrink: its exit code."""
    wanted = run.verdict
    table = tomlkit.parse(run.scenario.text).unwrap()
    table["seed"] = run.scenario.seed  # also where omvsim run --seed gave it

    def ends_so(candidate: Table) -> bool:
        check()
        found = _verdict(run, candidate, check)
        return found == wanted

    def tell(text: str) -> None:
        print(f"omvsim: {text}", file=sys.stderr, flush=True)

    tell(f"the verdict to keep: {wanted}")
    if not ends_so(table):
        print(f"another run: not {wanted} when run again, so there is nothing to shrink")
        return 1
    shrinker = Shrinker(table, ends_so, tell)
    interrupted = False
    try:
        shrinker.run()
        for number in reversed(range(len(shrinker.smallest.get("fault", ())))):
            table = shrinker.smallest
            if table["fault"][number]["kind"] in ACTIONS:
                shrinker.adopt(by_frames(table, number, _hits(run, table, number, check)))
    except KeyboardInterrupt:
        interrupted = True
    text = f"# {wanted}\n{render(shrinker.smallest)}"
    files = {out: text.encode(), **_beside(run, shrinker.smallest, out)}
    outputs.write(files, force, "choose another --out")
    print(f"{out}: {len(text.splitlines())} lines, after {shrinker.runs} tries: {wanted}")
    if interrupted:
        print("omvsim: interrupted, that is the smallest so far", file=sys.stderr)
    return 130 if interrupted else 0


def _verdict(run: Recorded, table: Table, check: Callable[[], object]) -> Verdict | None:
    """How the run ends with this scenario; None where it is none."""
    try:
        world: netsim.Scenario = scenarios.loads(render(table), "smaller", run.folder)
        limit = run.result.time_limit_ns
        return try_out(run.image, world, run.source, limit, run.board, check, **run.prelude)
    except (NetsimError, UserError):
        return None


def _hits(
    run: Recorded, table: Table, number: int, check: Callable[[], object]
) -> dict[str, list[int]]:
    """The frames that a fault of the scenario hits."""
    found: dict[str, list[int]] = {}

    def look(testbed: Testbed) -> None:
        found.update(testbed.port.hits(testbed.scenario.faults[number]))

    world = scenarios.loads(render(table), "smaller", run.folder)
    limit = run.result.time_limit_ns
    try_out(run.image, world, run.source, limit, run.board, check, look, **run.prelude)
    return found

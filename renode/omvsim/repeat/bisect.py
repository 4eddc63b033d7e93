"""The first commit, or image of a folder, with another verdict."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import netsim
from netsim import paths
from netsim import scenario as scenarios
from omvsim import board as boards
from omvsim import documents, executors, processes
from omvsim import image as images
from omvsim.engine import choice
from omvsim.errors import UserError
from omvsim.repeat.verdict import Verdict, try_out
from omvsim.testbed import BOARD, find_board, testbed_version
from omvsim.testbed.portable import pack

SCENARIO = "scenario.toml"
Judge = Callable[[list[int]], list[Verdict | None]]  # None: skipped, which has been told


@dataclass(frozen=True)
class Work:
    """One trial with all that it needs, so that any process can do it."""

    version: str
    image: str  # like `scenario` and, if it is none of ours, `board` one of the files
    board: str
    files: dict[str, bytes]  # by relative path
    source: bytes
    seed: int
    limit: int
    engine: str


def attempt(work: Work) -> Verdict:
    """In a process of an executor: how the run ends."""
    executors.same_version(work.version)
    with processes.folder("omvsim-bisect-") as folder:
        executors.unpack(folder, work.files)
        board = folder / work.board if work.board in work.files else Path(work.board)
        try:
            world = scenarios.load(folder / SCENARIO).with_seed(work.seed)
            return try_out(
                folder / work.image, world, work.source, work.limit, find_board(board),
                engine=work.engine,
            )  # fmt: skip
        except UserError as error:
            raise UserError(str(error)) from None  # its own kind may not travel


@dataclass(frozen=True)
class Trial:
    """What is run on each image. `jobs` images are tried at once, or on the workers of the
    scheduler `dask`."""

    scenario: netsim.Scenario
    source: bytes
    limit: int
    board: Path
    jobs: int
    dask: str | None
    check: Callable[[], object]

    def work(self, path: Path) -> tuple[Work, Path]:
        """A trial, and where its verdict is kept; UserError if that is no image."""
        image, board = images.load(path), boards.load(find_board(self.board))
        text, files = pack(self.scenario, board, BOARD.parent)
        own = [name for name in files if name.endswith(f"/{board.path.name}")]
        files |= {SCENARIO: text.encode(), f"image/{path.name}": paths.read(path)}
        work = Work(
            testbed_version(), f"image/{path.name}", own[0] if own else board.path.stem, files,
            self.source, self.scenario.seed, self.limit, choice.wanted(),
        )  # fmt: skip
        told = asdict(work) | {"image": image.sha256, "files": sorted(
            (name, content.hex()) for name, content in files.items() if name != work.image
        ), "source": self.source.hex()}  # fmt: skip
        key = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        return work, images.cache() / "verdicts" / f"{key}.json"

    def verdicts(self, pool: Executor, named: dict[str, Path]) -> list[Verdict | None]:
        """How it ends on images; those that were known are not tried again."""
        entries: dict[str, Path] = {}
        tried: dict[str, Verdict | UserError | Future[Verdict]] = {}
        for name, path in named.items():
            try:
                work, entries[name] = self.work(path)
                tried[name] = _known(entries[name]) or pool.submit(attempt, work)
            except UserError as error:
                tried[name] = error
        return [self._told(name, what, entries.get(name)) for name, what in tried.items()]

    def _told(
        self, name: str, what: Verdict | UserError | Future[Verdict], entry: Path | None
    ) -> Verdict | None:
        known = " (known)" if isinstance(what, Verdict) else ""
        if isinstance(what, Future):
            while not wait([what], 0.2).done:
                self.check()
            try:
                what = what.result()
            except UserError as error:  # none for this board
                what = error
            except BrokenExecutor:
                raise UserError(f"{name}: the process that tried it died: use --jobs 1") from None
        if isinstance(what, UserError):
            print(f"  skipped  {name}: {what}", flush=True)
            return None
        if entry and not known:
            _keep(entry, what)
        print(f"  {what}  {name}{known}", flush=True)
        return what


def _known(entry: Path) -> Verdict | None:
    try:
        return documents.read(entry, Verdict, "a verdict", "take it away")
    except UserError:
        return None  # of another version, or none


def _keep(entry: Path, verdict: Verdict) -> None:
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        partial = entry.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(asdict(verdict)))
        partial.replace(entry)
    except OSError as error:
        raise UserError(f"{entry}: {error.strerror}: choose another $OMVSIM_CACHE") from None


def of_images(trial: Trial, folder: Path, good: str, bad: str) -> int:
    """Search the images of a folder; omvsim bisect's exit code."""
    found = _images(folder, good, bad)
    with executors.executor(trial.jobs, trial.dask) as pool:

        def judge(indexes: list[int]) -> list[Verdict | None]:
            return trial.verdicts(pool, {found[index].name: found[index] for index in indexes})

        return _search([path.name for path in found], judge, trial.jobs)


def of_commits(trial: Trial, repository: Path, command: str, good: str, bad: str) -> int:
    """Search commits, of which a shell command makes images, one after the other; omvsim bisect's
    exit code."""
    commits = _commits(repository, good, bad)
    names = [_git(repository, "log", "-1", "--format=%h %s", commit) for commit in commits]
    with (
        _worktree(repository, commits[0]) as (folder, tree),
        executors.executor(1, trial.dask) as pool,
    ):

        def judge(indexes: list[int]) -> list[Verdict | None]:
            made = {names[index]: path for index in indexes if (path := make(index))}
            ended = dict(zip(made, trial.verdicts(pool, made), strict=True))
            return [ended.get(names[index]) for index in indexes]

        def make(index: int) -> Path | None:
            _git(tree, "checkout", "--quiet", "--force", "--detach", commits[index])
            made = folder / f"{commits[index]}.elf"
            places = {"tree": shlex.quote(str(tree)), "image": shlex.quote(str(made))}
            line = command
            for name, place in places.items():
                line = line.replace(f"{{{name}}}", place)
            log = folder / "build.log"
            with log.open("wb") as sink:
                build = subprocess.Popen(
                    line, shell=True, stdin=subprocess.DEVNULL, stdout=sink,
                    stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
                code = processes.run(build, trial.check)
            trial.check()
            if code or not made.is_file():
                last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
                why = f"exit code {code}" if code else "no {image} was made"
                print(f"  skipped  {names[index]}: {why}: {last[0]}", flush=True)
                return None
            return made

        return _search(names, judge, 1)


def _search(names: Sequence[str], judge: Judge, width: int) -> int:
    """Narrow down to the first of `names` whose verdict is not the first's, `width` at once."""
    good, bad = 0, len(names) - 1
    wanted, changed = judge([good, bad])
    if wanted is None or changed is None:
        name = names[good if wanted is None else bad]
        raise UserError(f"{name}: GOOD and BAD have to build: choose a neighbour")
    if wanted == changed:
        print(f"no change: {names[good]} and {names[bad]} both end with {wanted}")
        return 1
    unbooted = not (wanted.booted and changed.booted)  # then that is what is looked for
    skipped: set[int] = set()
    while candidates := [i for i in range(good + 1, bad) if i not in skipped]:
        print(f"{bad - good - 1} left between", flush=True)
        parts = min(width, len(candidates)) + 1
        chosen = [candidates[len(candidates) * part // parts] for part in range(1, parts)]
        for index, found in zip(chosen, judge(chosen), strict=True):
            if found is None:
                skipped.add(index)
            elif not (found.booted or unbooted):
                print(f"  skipped  {names[index]}: it does not boot", flush=True)
                skipped.add(index)
            elif found == wanted:
                good = index
            else:
                bad, changed = index, found
                break
    between = names[good + 1 : bad]
    if between:
        print(f"first changed: {names[bad]}, or one between these, which could not be tried:")
        print("\n".join(f"  {name}" for name in (names[good], *between, names[bad])))
        return 1
    print(f"first changed: {names[bad]}")
    print(f"  before: {wanted}")
    print(f"  since:  {changed}")
    return 0


def _natural(path: Path) -> list[tuple[int, str]]:
    """fw2 before fw10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _images(folder: Path, good: str, bad: str) -> list[Path]:
    """The images from GOOD to BAD."""
    try:
        paths = sorted((path for path in folder.iterdir() if path.is_file()), key=_natural)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}: name a folder of images") from None
    names = [path.name for path in paths]
    for name in (good, bad):
        if name not in names:
            some = ", ".join(names[:3]) or "nothing"
            raise UserError(f"{folder}: no image {name}: it holds {some} and so on")
    if names.index(good) >= names.index(bad):
        raise UserError(f"{good} does not come before {bad} in {folder}: swap them")
    return paths[names.index(good) : names.index(bad) + 1]


def _git(tree: Path, *arguments: str) -> str:
    command = ["git", "-C", str(tree), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(f"git: {error.strerror}: install it") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UserError(f"{tree}: git {arguments[0]}: {lines[-1]}")
    return done.stdout.strip()


def _commits(tree: Path, good: str, bad: str) -> list[str]:
    """GOOD, and what came after it on BAD's line of first parents."""
    first, last = (
        _git(tree, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")
        for name in (good, bad)
    )
    later = _git(tree, "rev-list", "--reverse", "--first-parent", f"{first}..{last}").split()
    if not later or _git(tree, "merge-base", first, last) != first:
        raise UserError(f"{tree}: {good} is no ancestor of {bad}: swap or choose others")
    return [first, *later]


@contextmanager
def _worktree(tree: Path, commit: str) -> Iterator[tuple[Path, Path]]:
    """A temporary folder with a worktree in it; both go at the end."""
    with processes.folder("omvsim-bisect-") as folder:
        checkout = folder / "tree"
        _git(tree, "worktree", "add", "--quiet", "--detach", str(checkout), commit)
        try:
            yield folder, checkout
        finally:
            _git(tree, "worktree", "remove", "--force", str(checkout))

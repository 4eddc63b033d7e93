"""The first commit, or image of a folder, with another verdict."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import netsim
from netsim import paths
from omvsim import documents, processes
from omvsim import image as images
from omvsim.errors import UserError
from omvsim.repeat.verdict import Verdict, try_out
from omvsim.testbed import testbed_version

Judge = Callable[[int], Verdict | None]


@dataclass(frozen=True)
class Trial:
    """What is run on each image; verdicts by its digest and the image's."""

    scenario: netsim.Scenario
    source: bytes
    limit: int
    board: Path
    check: Callable[[], object]

    def verdict(self, path: Path) -> tuple[Verdict, bool]:
        """How it ends on an image, and whether that was known."""
        digest = images.load(path).sha256
        files = [content.hex() for content in netsim.camera_files(self.scenario).values()]
        what = [
            digest, testbed_version(), self.scenario.text, self.scenario.seed, files,
            self.source.hex(), self.limit, paths.read(self.board).hex(),
        ]  # fmt: skip
        key = hashlib.sha256(json.dumps(what).encode()).hexdigest()
        entry = images.cache() / "verdicts" / f"{key}.json"
        try:
            return documents.read(entry, Verdict, "a verdict", "take it away"), True
        except UserError:
            pass  # of another version, or none
        found = try_out(path, self.scenario, self.source, self.limit, self.board, self.check)
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            partial = entry.with_suffix(f".{os.getpid()}")
            partial.write_text(json.dumps(asdict(found)))
            partial.replace(entry)
        except OSError as error:
            raise UserError(f"{entry}: {error.strerror}: choose another $OMVSIM_CACHE") from None
        return found, False


def of_images(trial: Trial, folder: Path, good: str, bad: str) -> int:
    """Search the images of a folder; omvsim bisect's exit code."""
    paths = _images(folder, good, bad)
    names = [path.name for path in paths]
    return _search(names, lambda index: _judge(trial, paths[index], names[index]))


def of_commits(trial: Trial, repository: Path, command: str, good: str, bad: str) -> int:
    """Search commits, of which a shell command makes images; omvsim bisect's exit code."""
    commits = _commits(repository, good, bad)
    names = [_git(repository, "log", "-1", "--format=%h %s", commit) for commit in commits]
    with _worktree(repository, commits[0]) as (folder, tree):

        def judge(index: int) -> Verdict | None:
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
            return _judge(trial, made, names[index])

        return _search(names, judge)


def _judge(trial: Trial, path: Path, name: str) -> Verdict:
    found, known = trial.verdict(path)
    print(f"  {found}  {name}{' (known)' if known else ''}", flush=True)
    return found


def _search(names: Sequence[str], judge: Judge) -> int:
    """Narrow down to the first of `names` whose verdict is not the first's."""
    good, bad = 0, len(names) - 1
    wanted, changed = judge(good), judge(bad)
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
        index = candidates[len(candidates) // 2]
        try:
            found = judge(index)
        except UserError as error:  # no image, or none for this board
            print(f"  skipped  {names[index]}: {error}", flush=True)
            found = None
        if found and not (found.booted or unbooted):
            print(f"  skipped  {names[index]}: it does not boot", flush=True)
            found = None
        if found is None:
            skipped.add(index)
        elif found == wanted:
            good = index
        else:
            bad, changed = index, found
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

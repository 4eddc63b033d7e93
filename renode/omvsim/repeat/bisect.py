"""omvsim bisect: the first commit, or image of a folder, with another verdict."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import subprocess
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import netsim
from netsim import paths
from omvsim import documents, processes
from omvsim import image as images
from omvsim.errors import UserError
from omvsim.options import duration
from omvsim.repeat.verdict import Verdict, try_out
from omvsim.testbed import BOARD, find_scenario, read_script, testbed_version

SCRIPT = images.ROOT / "firmware/examples/tls_client.py"
Judge = Callable[[int], Verdict | None]


def add_command(commands: Any) -> None:
    """The parser of omvsim bisect."""
    command = commands.add_parser(
        "bisect", help="the first commit or image that ends a scenario otherwise",
        description="Find the first commit after GOOD, up to BAD, on which the scenario's verdict "
        "is another than on GOOD; or the first image of a folder.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent("""\
            examples:
              omvsim bisect v1.25 master --tree ~/micropython robot/field/fault.toml \\
                --build 'firmware/build --sources {tree} --output {image}.d &&
                         cp {image}.d/openmv_h7.elf {image}'
              omvsim bisect 2026-01.elf 2026-06.elf --images releases robot/field/fault.toml

            CMD is a shell command that finds the commit in {tree}, a temporary worktree, and makes
            {image}. What does not build, or not boot where GOOD and BAD do, is skipped, as git
            bisect skip does. Verdicts are kept by image, scenario and script in the cache
            ($OMVSIM_CACHE).

            exit codes:
              0    found
              1    GOOD and BAD end alike, or skipped commits hide the first
              2    usage or bad input
              130  interrupted by Ctrl-C
            """),
    )  # fmt: skip
    command.add_argument("good", metavar="GOOD", help="a commit, or the name of an image")
    command.add_argument("bad", metavar="BAD", help="a later one")
    command.add_argument("scenario", metavar="SCENARIO", help="a .toml file, or a packaged name")
    command.add_argument(
        "script", type=Path, nargs="?", default=SCRIPT, metavar="SCRIPT",
        help="what the camera runs (default: firmware/examples/tls_client.py)",
    )  # fmt: skip
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--build", metavar="CMD", help="makes {image} of the commit in {tree}")
    source.add_argument("--images", type=Path, metavar="DIR", help="images, in natural order")
    command.add_argument(
        "--tree", type=Path, default=Path(), metavar="DIR",
        help="the git repository of the firmware (default: here)",
    )  # fmt: skip
    command.add_argument("--board", type=Path, metavar="FILE", default=BOARD)
    command.add_argument("--allow-outside", action="store_true", help="see omvsim run --help")
    command.add_argument("--seed", type=int, metavar="N", help="instead of the scenario's seed")
    command.add_argument(
        "--time-limit", type=duration, default="20s", metavar="TIME",
        help="virtual time that the script may take (default: 20s)",
    )  # fmt: skip
    command.set_defaults(call=bisect)


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


def bisect(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    world = find_scenario(options.scenario, options.allow_outside)
    world = world if options.seed is None else world.with_seed(options.seed)
    source = read_script(options.script)
    trial = Trial(world, source, options.time_limit, options.board, options.interrupt.check)
    if options.images:
        paths = _images(options.images, options.good, options.bad)
        names = [path.name for path in paths]
        return _search(names, lambda index: _judge(trial, paths[index], names[index]))
    commits = _commits(options.tree, options.good, options.bad)
    names = [_git(options.tree, "log", "-1", "--format=%h %s", commit) for commit in commits]
    with _worktree(options.tree, commits[0]) as (folder, tree):

        def judge(index: int) -> Verdict | None:
            _git(tree, "checkout", "--quiet", "--force", "--detach", commits[index])
            made = folder / f"{commits[index]}.elf"
            places = {"tree": shlex.quote(str(tree)), "image": shlex.quote(str(made))}
            line = options.build
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

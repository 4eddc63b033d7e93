"""Which tests of the suites `omvsim check` runs."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from robot.api import TestSuite
from robot.running import TestCase

from omvsim.errors import UserError
from omvsim.suites import conformance

HOSTILE = "hostile"  # a folder of suites that run when they are asked for


def chosen(
    root: TestSuite,
    patterns: Sequence[str] = (),
    text: str | None = None,
    last_failed: Path | None = None,
    shard: tuple[int, int] | None = None,
) -> tuple[list[TestCase], str]:
    """The tests that check's options of these names ask for, and in words which part of all they
    are; raises UserError where none is left. `last_failed` is a conformance.json, Path() the
    newest."""
    tests, part = _of_suites(root, patterns), []
    if text:
        tests = [test for test in tests if text.lower() in test.name.lower()]
        part.append(f"-k {text!r}")
        if not tests:
            raise UserError(f"-k {text}: no test's name has that")
    if last_failed:
        before = last_failed if last_failed != Path() else _newest()
        names = conformance.read_differing(before)
        tests = [test for test in tests if test.name in names]
        part.append(f"what differed in {before}")
        if not tests:
            raise UserError(f"{before}: no test of these differed there: leave --last-failed")
    if shard:
        one, of = shard
        tests = tests[one - 1 :: of]
        part.append(f"shard {one}/{of}")
        if not tests:
            raise UserError(f"--shard {one}/{of}: there are fewer tests")
    return tests, ", ".join(part)


def _newest() -> Path:
    found = sorted(Path("runs").glob("*-check/conformance.json"))
    if not found:
        raise UserError("runs: no run of omvsim check is here: name its conformance.json")
    return found[-1]


def _of_suites(root: TestSuite, patterns: Sequence[str]) -> list[TestCase]:
    tests = list(root.all_tests)
    for pattern in patterns:
        if not any(_matches(test, pattern) for test in tests):
            suites = sorted({suite(test) for test in tests})
            raise UserError(
                f"--suite {pattern} matches nothing: use a suite ({', '.join(suites)}), "
                "a statement such as intro.der, or part of a test's name with *"
            )
    if not patterns:
        return [test for test in tests if folder(test) != HOSTILE]
    return [test for test in tests if any(_matches(test, pattern) for pattern in patterns)]


def folder(test: TestCase) -> str:
    """The folder of a test's suite: ssl, field, hostile."""
    return Path(str(test.source)).parent.name


def suite(test: TestCase) -> str:
    """The name of a test's suite file."""
    return Path(str(test.source)).stem


def _matches(test: TestCase, pattern: str) -> bool:
    names = (folder(test), suite(test), test.name, *test.tags)
    return any(fnmatchcase(name.lower(), pattern.lower()) for name in names)

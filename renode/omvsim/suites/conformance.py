"""What the documentation says and what a firmware image does: statements, tests, verdicts.

`robot/ssl/statements.toml` is the catalogue, `robot/ssl/expected/known.toml` what is known to
fail with which firmware. Nothing here runs anything.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from netsim import paths
from omvsim import documents
from omvsim.errors import UserError
from omvsim.image import ROOT

SCHEMA = 1
CATALOGUE = ROOT / "robot/ssl/statements.toml"
KNOWN = ROOT / "robot/ssl/expected/known.toml"
HOLDS, FAILS, BEYOND = "holds", "fails", "fails beyond the page"
ABSENT, NOT_RUN = "not on this image", "not run"


@dataclass
class Outcome:
    """One test. `statements` are its tags: ids that it checks, or numbers of bugs;
    `evidence` is its folder."""

    folder: str  # of the suite: ssl, field, hostile
    suite: str
    name: str
    statements: list[str]
    passed: bool
    message: str
    seconds: float
    evidence: str


@dataclass
class Statement:
    """One statement of the page and what has become of it."""

    id: str
    section: str
    text: str
    needs: list[str] = field(default_factory=list)
    beyond: bool = False  # asks more than the page says
    verdict: str = NOT_RUN
    reason: str = ""


@dataclass(frozen=True)
class Known:
    """A failure that is known: `message` is part of what the test then says."""

    statement: str
    message: str
    reason: str


@dataclass(frozen=True)
class Versions:
    """What an image says of itself while it runs; `ssl` tells whose ssl.py it has, "page" (the
    project's) or "upstream" (micropython-lib's)."""

    micropython: str
    mbedtls: str
    ssl: str

    def __str__(self) -> str:
        ssl = "the project's" if self.ssl == "page" else "upstream's"
        return f"MicroPython {self.micropython}, Mbed TLS {self.mbedtls}, {ssl} ssl.py"


@dataclass
class Difference:
    """A test that does not do what it is known to do."""

    kind: str  # "fixed", "broken" or "changed": it fails in another way
    test: str
    statements: list[str]
    message: str


@dataclass
class Conformance:
    """A run: of which image, against what, with which results."""

    image: str
    image_sha256: str
    versions: Versions
    missing: list[str]  # documented names that the image lacks
    statements: list[Statement]
    tests: list[Outcome]
    against: str = ""  # what differences are told from: expectations or a baseline
    differences: list[Difference] = field(default_factory=list)
    known: dict[str, Known] = field(default_factory=dict)  # failures, by test
    interrupted: str = ""  # how far it came
    part: str = ""  # which of all tests were to run, where it is not those of the suites
    began: str = ""  # ISO 8601
    seconds: float = 0.0
    engine: str = ""  # and its version
    testbed: str = ""  # its version, and commit

    def reason(self, test: Outcome) -> str:
        """Why it is known to fail, or that the baseline's did, too."""
        known = self.known.get(test.name)
        return f"known to fail: {known.reason}" if known else f"fails as in {self.against}"

    @property
    def counts(self) -> dict[str, int]:
        verdicts = [statement.verdict for statement in self.statements]
        return {
            v: verdicts.count(v) for v in (HOLDS, FAILS, BEYOND, ABSENT, NOT_RUN) if v in verdicts
        }

    def sections(self) -> dict[str, list[Statement]]:
        """The statements of each section of the page."""
        found: dict[str, list[Statement]] = {}
        for statement in self.statements:
            found.setdefault(statement.section, []).append(statement)
        return found

    def of(self, statement: Statement) -> list[Outcome]:
        """The tests of a statement."""
        return [test for test in self.tests if statement.id in test.statements]

    def others(self) -> dict[str, list[Outcome]]:
        """Tests that check no statement, by the folder of their suites."""
        known = {statement.id for statement in self.statements}
        found: dict[str, list[Outcome]] = {}
        for test in self.tests:
            if not known & set(test.statements):
                found.setdefault(test.folder, []).append(test)
        return found

    def write(self, path: Path) -> None:
        """conformance.json: a baseline for later runs."""
        told = {"schema": SCHEMA, "counts": self.counts, **asdict(self)}
        path.write_text(json.dumps(told, indent=1) + "\n")


@dataclass
class _Verdict:
    """What a baseline tells of a test."""

    name: str
    passed: bool


@dataclass
class _Differing:
    test: str


@dataclass
class _Baseline:
    schema: int
    tests: list[_Verdict]
    differences: list[_Differing] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"a baseline of version {self.schema}, not {SCHEMA}")


def catalogue(path: Path = CATALOGUE) -> list[Statement]:
    """The statements in their order on the page."""
    table = tomllib.loads(path.read_text())
    return [
        Statement(id, section["title"], text, table["needs"].get(id, []), id in table["beyond"])
        for section in table["section"]
        for id, text in section["statements"].items()
    ]


def expectations(path: Path, versions: Versions) -> tuple[dict[str, Known], str]:
    """Known failures by test of a firmware of these versions, and the MicroPython that they are
    known of: the nearest older one where the firmware's own was never run. Raises UserError."""
    try:
        table = tomllib.loads(paths.read(path).decode())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no valid TOML: {error}") from None
    try:
        micropython = _nearest(table["checked"], Version(versions.micropython))
        found: dict[str, Known] = {}
        for entry in table["known"]:
            applies = (
                _within(micropython, entry.get("versions", ""))
                and _within(Version(versions.mbedtls), entry.get("mbedtls", ""))
                and entry.get("ssl", versions.ssl) == versions.ssl
            )
            numbers = ", ".join(entry.get("upstream", []))
            reason = f"{entry['reason']} ({numbers})" if numbers else entry["reason"]
            for statement, tests in entry["tests"].items() if applies else ():
                for test, message in tests.items():
                    found[str(test)] = Known(str(statement), str(message), reason)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path}: {error!r}: write it as robot/ssl/expected/known.toml") from None
    return found, str(micropython)


def _nearest(checked: Iterable[str], version: Version) -> Version:
    """The version itself where its release was checked, else the newest one before, else the
    oldest."""
    known = sorted(map(Version, checked))
    if any(k.release[:2] == version.release[:2] for k in known):
        return version
    return max((k for k in known if k < version), default=known[0])


def _within(version: Version, specifier: str) -> bool:
    return SpecifierSet(specifier).contains(version, prereleases=True)


def judge(run: Conformance, known: Mapping[str, Known]) -> None:
    """Give each statement its verdict, and list what differs from the known failures."""
    run.known = dict(known)
    reasons = {entry.statement: entry.reason for entry in known.values()}
    for statement in run.statements:
        tests = run.of(statement)
        absent = set(statement.needs) & set(run.missing)
        if not tests:
            statement.verdict = NOT_RUN
        elif all(test.passed for test in tests):
            statement.verdict = HOLDS
        else:
            statement.verdict = ABSENT if absent else BEYOND if statement.beyond else FAILS
            lacks = f"the image has no {', '.join(sorted(absent))}" if absent else ""
            statement.reason = lacks or reasons.get(statement.id, "")
    run.against = f"the failures that are known of {run.versions}"
    run.differences = [d for test in run.tests if (d := _unexpected(test, known.get(test.name)))]


def _unexpected(test: Outcome, known: Known | None) -> Difference | None:
    if test.passed and known:
        return Difference("fixed", test.name, test.statements, f"known to fail: {known.reason}")
    if not test.passed and known is None:
        return Difference("broken", test.name, test.statements, test.message)
    if not test.passed and known and known.message not in test.message:
        return Difference("changed", test.name, test.statements, test.message)
    return None


def compare(run: Conformance, baseline: Path, known: Mapping[str, Known]) -> None:
    """List what differs from an earlier run instead; tests that it lacks stay as judged."""
    before = read_baseline(baseline)
    run.against = f"the baseline {baseline}"
    run.differences = [
        difference
        for test in run.tests
        if (
            difference := _changed(test, before[test.name])
            if test.name in before
            else _unexpected(test, known.get(test.name))
        )
    ]


def _changed(test: Outcome, passed: bool) -> Difference | None:
    if test.passed == passed:
        return None
    return Difference(
        "fixed" if test.passed else "broken", test.name, test.statements, test.message
    )


def read_differing(path: Path) -> set[str]:
    """Names of the tests that did not do what they were known to do, or failed newly."""
    told = documents.read(path, _Baseline, "a conformance.json", "make it anew with omvsim check")
    return {difference.test for difference in told.differences}


def unexpected(test: Outcome, known: Known | None) -> bool:
    """Whether a test does not do what it is known to do."""
    return _unexpected(test, known) is not None


def read_baseline(path: Path) -> dict[str, bool]:
    """Test name to whether it passed, from a conformance.json; raises UserError."""
    told = documents.read(path, _Baseline, "a conformance.json", "make it anew with omvsim check")
    return {test.name: test.passed for test in told.tests}


def kinds(differences: Iterable[Difference]) -> dict[str, list[Difference]]:
    """Broken, changed and fixed, apart."""
    sorted_: dict[str, list[Difference]] = {"broken": [], "changed": [], "fixed": []}
    for difference in differences:
        sorted_[difference.kind].append(difference)
    return {kind: found for kind, found in sorted_.items() if found}

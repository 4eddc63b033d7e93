"""The catalogue, the verdicts and what differences are."""

import json
from pathlib import Path

import pytest
from omvsim import conformance
from omvsim.check import SUITES
from omvsim.conformance import Conformance, Known, Outcome, Statement
from omvsim.errors import UserError

from robot import api

TESTS = list(api.TestSuiteBuilder().build(SUITES).all_tests)


def outcome(name: str, passed: bool, *ids: str, message: str = "") -> Outcome:
    return Outcome("ssl", "suite", name, list(ids), passed, message, 1.0, "")


def conformance_of(*tests: Outcome, missing: tuple[str, ...] = ()) -> Conformance:
    statements = [Statement("a", "A", "First."), Statement("b", "B", "Second.", ["get_ciphers"])]
    return Conformance("image.elf", "00", "image", list(missing), statements, list(tests))


def test_every_statement_has_a_test() -> None:
    tags = {tag for test in TESTS for tag in test.tags}
    assert {s.id for s in conformance.catalogue()} <= tags


def test_every_test_checks_a_statement_or_a_field_bug() -> None:
    known = {statement.id for statement in conformance.catalogue()}
    for test in TESTS:
        folder = Path(str(test.source)).parent.name
        assert test.tags, test.name
        ours = set(test.tags) & known
        assert ours == set(test.tags) if folder == "ssl" else not ours, test.name


def test_test_names_are_unique() -> None:
    """Known failures and baselines go by them."""
    names = [test.name for test in TESTS]
    assert len(set(names)) == len(names)


def test_needs_are_of_known_statements() -> None:
    assert len(conformance.catalogue()) > 96


@pytest.mark.parametrize("file", sorted(conformance.EXPECTED.glob("*.toml")), ids=lambda f: f.stem)
def test_known_failures_are_of_tests_that_exist(file: Path) -> None:
    checked = {test.name: set(test.tags) for test in TESTS}
    for name, known in conformance.expectations(str(file), given=True).items():
        assert known.statement in checked[name], name
        assert known.message and known.reason, name


def test_verdicts() -> None:
    run = conformance_of(outcome("one", True, "a"), outcome("two", False, "a"))
    conformance.judge(run, {})
    assert [s.verdict for s in run.statements] == ["fails", "not run"]
    run = conformance_of(outcome("one", True, "a"), outcome("two", False, "b"))
    conformance.judge(run, {})
    assert [s.verdict for s in run.statements] == ["holds", "fails"]


def test_a_statement_about_what_the_image_lacks_is_not_on_it() -> None:
    run = conformance_of(outcome("two", False, "b"), missing=("get_ciphers",))
    conformance.judge(run, {})
    assert run.statements[1].verdict == "not on this image"
    assert run.statements[1].reason == "the image has no get_ciphers"


def test_a_known_failure_is_no_difference() -> None:
    known = {"two": Known("a", "ValueError", "the C module raises it")}
    run = conformance_of(outcome("two", False, "a", message="[a] raised ValueError: no"))
    conformance.judge(run, known)
    assert run.statements[0].verdict == "fails"
    assert run.statements[0].reason == "the C module raises it"
    assert run.differences == []


@pytest.mark.parametrize(
    ("test", "kind"),
    [
        (outcome("two", True, "a"), "fixed"),
        (outcome("two", False, "a", message="[a] a crash"), "changed"),
        (outcome("other", False, "a", message="[a] a crash"), "broken"),
    ],
)
def test_differences_either_way(test: Outcome, kind: str) -> None:
    run = conformance_of(test)
    conformance.judge(run, {"two": Known("a", "ValueError", "why")})
    assert [d.kind for d in run.differences] == [kind]


def test_a_baseline_decides_instead(tmp_path: Path) -> None:
    before = conformance_of(
        outcome("stays", False, "a"), outcome("breaks", True, "a"), outcome("heals", False, "b")
    )
    before.write(tmp_path / "conformance.json")
    run = conformance_of(
        outcome("stays", False, "a"), outcome("breaks", False, "a"), outcome("heals", True, "b"),
        outcome("new and known", False, "b", message="no"), outcome("new", False, "b"),
    )  # fmt: skip
    known = {"new and known": Known("b", "no", "why")}
    conformance.judge(run, known)
    conformance.compare(run, tmp_path / "conformance.json", known)
    told = {
        kind: [d.test for d in found] for kind, found in conformance.kinds(run.differences).items()
    }
    assert told == {"broken": ["breaks", "new"], "fixed": ["heals"]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"schema": 7, "tests": []}', "a baseline of version 7, not 1"),
        ('{"schema": 1}', "no conformance.json"),
        ("[]", "a baseline of version None"),
        ("not json", "no conformance.json"),
    ],
)
def test_a_bad_baseline(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(UserError, match=complaint):
        conformance.read_baseline(tmp_path / "b.json")


def test_a_bad_list_of_known_failures(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file: use a file"):
        conformance.expectations("nowhere", given=True)
    assert conformance.expectations("nowhere", given=False) == {}
    (tmp_path / "a.toml").write_text("a = 1\n")
    with pytest.raises(UserError, match="a: write reason"):
        conformance.expectations(str(tmp_path / "a.toml"), given=True)
    (tmp_path / "a.toml").write_text("a = \n")
    with pytest.raises(UserError, match="no valid TOML"):
        conformance.expectations(str(tmp_path / "a.toml"), given=True)


def test_json_holds_everything(tmp_path: Path) -> None:
    run = conformance_of(outcome("one", True, "a"))
    conformance.judge(run, {})
    run.write(tmp_path / "conformance.json")
    told = json.loads((tmp_path / "conformance.json").read_text())
    assert told["counts"] == {"holds": 1, "not run": 1}
    assert told["tests"][0]["name"] == "one" and told["statements"][0]["verdict"] == "holds"

"""The catalogue, the verdicts and what differences are."""

import json
from pathlib import Path

import pytest
from omvsim.errors import UserError
from omvsim.suites import conformance
from omvsim.suites.conformance import KNOWN, Conformance, Known, Outcome, Statement, Versions
from omvsim.suites.local import SUITES

from robot import api

NOW = Versions("1.26.1", "3.6.6", "page")
TESTS = list(api.TestSuiteBuilder().build(SUITES).all_tests)


def outcome(name: str, passed: bool, *ids: str, message: str = "") -> Outcome:
    return Outcome("ssl", "suite", name, list(ids), passed, message, 1.0, "")


def conformance_of(*tests: Outcome, missing: tuple[str, ...] = ()) -> Conformance:
    statements = [Statement("a", "A", "First."), Statement("b", "B", "Second.", ["get_ciphers"])]
    return Conformance("image.elf", "00", NOW, list(missing), statements, list(tests))


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


@pytest.mark.parametrize("ssl", ["page", "upstream"])
@pytest.mark.parametrize("micropython", ["1.24.1", "1.25.0", "1.26.1", "1.28.0", "1.29.0.dev0"])
def test_known_failures_are_of_tests_that_exist(micropython: str, ssl: str) -> None:
    checked = {test.name: set(test.tags) for test in TESTS}
    found, of = conformance.expectations(KNOWN, Versions(micropython, "3.6.6", ssl))
    assert found and of == micropython
    for name, known in found.items():
        assert known.statement in checked[name], name
        assert known.message and known.reason, name


LISTED = """
checked = ["1.24", "1.26", "1.28"]

[[known]]
reason = "always"
[known.tests.a]
"one" = "1"

[[known]]
reason = "until it was mended"
upstream = ["micropython#18547"]
versions = "<1.28"
[known.tests.b]
"two" = "2"

[[known]]
reason = "a library"
mbedtls = ">=3.6"
ssl = "upstream"
[known.tests.c]
"three" = "3"
"""


@pytest.mark.parametrize(
    ("versions", "tests", "of"),
    [
        (Versions("1.26.1", "3.6.6", "page"), {"one", "two"}, "1.26.1"),
        (Versions("1.28.0", "3.6.6", "page"), {"one"}, "1.28.0"),
        (Versions("1.28.0", "3.6.6", "upstream"), {"one", "three"}, "1.28.0"),
        (Versions("1.28.0", "3.5.1", "upstream"), {"one"}, "1.28.0"),
        (Versions("1.27.0", "3.6.6", "page"), {"one", "two"}, "1.26"),
        (Versions("1.30.0", "3.6.6", "page"), {"one"}, "1.28"),
        (Versions("1.29.0.dev0", "3.6.6", "page"), {"one"}, "1.28"),
        (Versions("1.23.0", "3.6.6", "page"), {"one", "two"}, "1.24"),
    ],
)
def test_what_is_known_belongs_to_versions(
    versions: Versions, tests: set[str], of: str, tmp_path: Path
) -> None:
    """Of an unknown release the nearest older one's failures are expected."""
    (tmp_path / "known.toml").write_text(LISTED)
    found, taken = conformance.expectations(tmp_path / "known.toml", versions)
    assert (set(found), taken) == (tests, of)
    if "two" in found:
        assert found["two"] == Known("b", "2", "until it was mended (micropython#18547)")


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


def test_what_asks_more_than_the_page_does_not_contradict_it() -> None:
    run = conformance_of(outcome("one", False, "a"), outcome("two", False, "b"))
    run.statements[0].beyond = True
    conformance.judge(run, {})
    assert run.counts == {"fails": 1, "fails beyond the page": 1}


def test_the_catalogue_says_what_is_beyond_the_page() -> None:
    beyond = {s.id for s in conformance.catalogue() if s.beyond}
    assert beyond == {
        "context.protocol-values", "verify-mode.values", "load-verify.one-argument",
        "load-cert.correspond", "load-cert.chain", "implied.keep-alive",
    }  # fmt: skip


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
        ('{"schema": 1}', "b.json: Object missing required field tests: make it anew"),
        ('{"schema": 1, "tests": [{"name": 7}]}', "b.json: tests.0..name: Expected str, got int"),
        ("[]", "b.json: Expected object, got array: make it anew"),
        ("not json", "b.json: JSON is malformed"),
        ('{"x": ' + "[" * 100_000, "b.json: nested too deep: make it anew"),
    ],
)
def test_a_bad_baseline(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(UserError, match=complaint):
        conformance.read_baseline(tmp_path / "b.json")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a = \n", "no valid TOML"),
        ("a = 1\n", "KeyError..checked"),
        ("checked = ['new']\nknown = []\n", "Invalid version: 'new'"),
        ("checked = []\nknown = []\n", "IndexError|list index|empty"),
        ("checked = ['1.26']\n[[known]]\nreason = 'a'\n", "KeyError..tests"),
        ("checked = ['1.26']\n[[known]]\nversions = 5\n", "known.toml"),
    ],
)
def test_a_bad_list_of_known_failures(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(UserError, match=complaint):
        conformance.expectations(tmp_path / "a.toml", NOW)
    with pytest.raises(UserError, match="cannot be read"):
        conformance.expectations(tmp_path / "nowhere", NOW)


def test_json_holds_everything(tmp_path: Path) -> None:
    run = conformance_of(outcome("one", True, "a"))
    conformance.judge(run, {})
    run.write(tmp_path / "conformance.json")
    told = json.loads((tmp_path / "conformance.json").read_text())
    assert told["counts"] == {"holds": 1, "not run": 1}
    assert told["tests"][0]["name"] == "one" and told["statements"][0]["verdict"] == "holds"

"""Which tests omvsim check runs, and several of its runs side by side."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from omvsim import image as images
from omvsim.commands.check import shard
from omvsim.errors import UserError
from omvsim.suites import comparison, conformance, selection
from omvsim.suites.conformance import Difference
from omvsim.suites.local import SUITES
from program import Run
from test_conformance import conformance_of, outcome

from robot import api

ROOT = api.TestSuiteBuilder().build(SUITES)
ALL = [test.name for test in ROOT.all_tests if "robot/hostile/" not in str(test.source)]


def chosen(**given: Any) -> tuple[list[str], str]:
    tests, part = selection.chosen(ROOT, **given)
    return [test.name for test in tests], part


def test_the_shards_are_all_tests_once() -> None:
    parts = [chosen(shard=(n, 3)) for n in (1, 2, 3)]
    assert sorted(name for names, _ in parts for name in names) == sorted(ALL)
    assert max(len(names) for names, _ in parts) - min(len(names) for names, _ in parts) <= 1
    assert [part for _, part in parts] == ["shard 1/3", "shard 2/3", "shard 3/3"]


def test_a_part_of_a_name() -> None:
    names, part = chosen(text="EMPTY name")
    assert (names, part) == (["An Empty Name Is No Name"], "-k 'EMPTY name'")
    assert chosen() == (ALL, "")


def test_what_differed_last_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, differing in (("20260101-000000-check", ALL[:5]), ("20260102-000000-check", ALL[:2])):
        run = conformance_of()
        run.differences = [Difference("broken", test, [], "") for test in differing]
        (tmp_path / "runs" / name).mkdir(parents=True)
        run.write(tmp_path / "runs" / name / "conformance.json")
    newest = "what differed in runs/20260102-000000-check/conformance.json"
    assert chosen(last_failed=Path()) == (ALL[:2], newest)
    older = Path("runs/20260101-000000-check/conformance.json")
    assert chosen(last_failed=older)[0] == ALL[:5]
    assert chosen(last_failed=older, shard=(2, 2))[0] == ALL[1:4:2]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"text": "no such words"}, "-k no such words: no test's name has that"),
        ({"last_failed": Path()}, "runs: no run of omvsim check is here: name its conformance"),
        ({"text": "empty name", "shard": (2, 2)}, "--shard 2/2: there are fewer tests"),
    ],
)
def test_nothing_is_left(
    given: dict[str, object], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        chosen(**given)
    assert str(caught.value).startswith(complaint)


def test_nothing_differed(tmp_path: Path) -> None:
    conformance_of().write(tmp_path / "c.json")
    with pytest.raises(UserError, match="no test of these differed there: leave --last-failed"):
        chosen(last_failed=tmp_path / "c.json")


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4"])
def test_no_shard(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write I/N, such as 1/4"):
        shard(text)


def test_runs_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tests = [
        [outcome("stays", True, "a"), outcome("breaks", True, "a"), outcome("gone", True, "b")],
        [outcome("stays", True, "a"), outcome("breaks", False, "a", message="why\nit does")],
        [outcome("breaks", True, "a"), outcome("new", False, "b")],
    ]
    files = [tmp_path / f"{n}.json" for n in range(3)]
    for file, of in zip(files, tests, strict=True):
        run = conformance_of(*of)
        run.part = "shard 1/2" if file is files[2] else ""
        run.write(file)
    assert comparison.compare(files, tmp_path / "out") == 1
    told = capsys.readouterr().out.splitlines()
    assert told[2].endswith(", the project's ssl.py, shard 1/2")
    assert told[4:] == [
        "pass fail pass  breaks (a)",
        "1 of 4 tests differ",
        f"the page is {images.display(tmp_path / 'out/comparison.html')}",
    ]
    page = (tmp_path / "out/comparison.html").read_text()
    assert page.count("<pre>") == 1 and "<pre>why\nit does</pre>" in page
    (tmp_path / "link").mkdir()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link/comparison.html").symlink_to(tmp_path / "mine")
    comparison.compare(files, tmp_path / "link")
    assert (tmp_path / "mine").read_text() == "mine"
    assert comparison.compare(files[::2], None) == 0  # what only one has run tells nothing
    with pytest.raises(UserError, match="name two files or more"):
        comparison.compare(files[:1], None)


def test_the_first_difference_ends_the_run(omvsim: Run, tmp_path: Path, image: Path) -> None:
    broken = tmp_path / "ssl.py"
    broken.write_text("from tls import *\nPROTOCOL_TLS_SERVER = 0\n")
    done = omvsim("check", "--suite", "constants", "--jobs", "1", "-x", "--put", broken,
                  "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 1
    told = json.loads((tmp_path / "out/conformance.json").read_text())
    assert len(told["differences"]) == 1 and not told["tests"][-1]["passed"]
    number = len(told["tests"])
    all_of_them = done.stdout.splitlines()[1].split("/")[1].split()[0]
    assert told["interrupted"] == (
        f"ended at the first difference: {number} of {all_of_them} tests have run"
    )
    assert told["began"][:2] == "20" and told["engine"].startswith("embedded, unicorn ")
    names = conformance.read_differing(tmp_path / "out/conformance.json")
    assert names == {told["differences"][0]["test"]}

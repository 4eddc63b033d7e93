"""Annotations and the step summary of GitHub's Actions."""

from pathlib import Path

import pytest
from omvsim.suites import github
from omvsim.suites.conformance import Difference
from test_conformance import conformance_of, outcome


def test_differences_are_annotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A message with a command of its own stays a message: toolkit's escapeData, escapeProperty."""
    run = conformance_of(outcome("one", False, "a"))
    run.differences = [
        Difference("broken", "A: B, 100 %", ["a"], "no\r\n::set-output name=x::y\n"),
        Difference("changed", "two", ["b"], "now <b>so</b>"),
        Difference("fixed", "three", ["b"], ""),
    ]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    github.tell(run)
    assert capsys.readouterr().out.splitlines() == [
        "::error title=A%3A B%2C 100 %25::no%0D%0A::set-output name=x::y",
        "::warning title=two::now <b>so</b>",
        "::notice title=three::fixed",
    ]
    told = (tmp_path / "summary.md").read_text()
    assert "#### Broken: 1\n" in told and "#### Changed: 1\n" in told
    assert "<pre>now &lt;b&gt;so&lt;/b&gt;</pre>" in told


def test_the_summary_tells_what_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    run = conformance_of(outcome("one", True, "a"))
    run.part, run.interrupted, run.against = "shard 1/2", "interrupted: 1 of 2", "the baseline b"
    github.tell(run)
    assert (tmp_path / "summary.md").read_text() == (
        "### The ssl page on image.elf\n\n"
        "MicroPython 1.26.1, Mbed TLS 3.6.6, the project&#x27;s ssl.py: 1 tests; statements: "
        "2 not run.\n**interrupted: 1 of 2**\n**shard 1/2**\n\nNo difference from the baseline b.\n"
    )


def test_elsewhere_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    run = conformance_of()
    run.differences = [Difference("broken", "one", ["a"], "")]
    github.tell(run)
    assert capsys.readouterr().out == ""

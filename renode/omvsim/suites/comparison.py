"""Several runs of `omvsim check` side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from omvsim import documents, image
from omvsim.errors import UserError
from omvsim.evidence import report
from omvsim.suites import conformance
from omvsim.terminal import visible


@dataclass
class _Test:
    name: str
    passed: bool
    statements: list[str]
    message: str = ""


@dataclass
class Run:
    """What a conformance.json tells, as far as it is compared."""

    image: str
    image_sha256: str
    versions: conformance.Versions
    tests: list[_Test]
    began: str = ""
    engine: str = ""
    part: str = ""
    interrupted: str = ""

    def verdict(self, test: str) -> str:
        """pass, fail, or nothing where it was not run."""
        return next(("pass" if t.passed else "fail" for t in self.tests if t.name == test), "")

    def message(self, test: str) -> str:
        """Why it fails."""
        return next((t.message for t in self.tests if t.name == test and not t.passed), "")


@dataclass
class Row:
    """A test that passes in one run and fails in another."""

    test: str
    statements: list[str]
    verdicts: list[str]
    messages: list[str]


def compare(files: Sequence[Path], out: Path | None) -> int:
    """Print what differs, and write comparison.html where `out` asks for it; the exit code, 1
    where anything does."""
    if len(files) < 2:
        raise UserError(f"--compare {files[0]}: name two files or more")
    runs = [
        documents.read(f, Run, "a conformance.json", "make it with omvsim check") for f in files
    ]
    rows = list(_rows(runs))
    for number, run in enumerate(runs, 1):
        engine = f"engine {run.engine}" if run.engine else ""
        state = "".join(f", {what}" for what in (engine, run.part, run.interrupted) if what)
        print(visible(f"{number}: {files[number - 1]}: {run.versions}{state}"))
    print()
    for row in rows:
        words = " ".join(f"{verdict or '-':4}" for verdict in row.verdicts)
        print(visible(f"{words}  {row.test} ({', '.join(row.statements)})"))
    print(f"{len(rows)} of {len({t.name for run in runs for t in run.tests})} tests differ")
    if out:
        try:
            out.mkdir(parents=True, exist_ok=True)
            page = report.environment.get_template("comparison.html").render(
                runs=runs, files=files, rows=rows
            )
            (out / "comparison.html").unlink(missing_ok=True)  # a link is not followed
            (out / "comparison.html").write_text(page)
        except OSError as error:
            raise UserError(f"{out}: {error.strerror}: choose another --out") from None
        print(f"the page is {image.display(out / 'comparison.html')}")
    return 1 if rows else 0


def _rows(runs: Sequence[Run]) -> Iterator[Row]:
    """In the order of the newest run that has the test."""
    tests = {test.name: test for run in runs for test in run.tests}
    for name, test in tests.items():
        verdicts = [run.verdict(name) for run in runs]
        if {"pass", "fail"} <= set(verdicts):
            yield Row(name, test.statements, verdicts, [run.message(name) for run in runs])

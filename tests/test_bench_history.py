"""ci/bench --history: plots of what was measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from program import ROOT

pytest.importorskip("pygal")
BENCH = ROOT / "ci/bench"


def history(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, BENCH, "--history", folder], capture_output=True, text=True, check=False
    )


def measured(folder: Path, name: str, date: str, **median: float) -> None:
    (folder / f"{name}.json").write_text(
        json.dumps({"commit": name, "date": date, "median": median})
    )


def test_a_plot_for_each_figure_in_the_order_of_time(tmp_path: Path) -> None:
    measured(tmp_path, "b", "2026-01-01T00:00:00Z", boot_s=0.25, gone=1)
    measured(tmp_path, "a", "2026-02-01T00:00:00Z", boot_s=0.5, memory_mb=300)
    done = history(tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.glob("*.svg")) == ["boot_s.svg", "memory_mb.svg"]
    plot = (tmp_path / "boot_s.svg").read_text()
    assert plot.index(">b</text>") < plot.index(">a</text>")
    page = (tmp_path / "history.html").read_text()
    assert "2 measurements, b to a" in page
    assert page.count("<img") == 2


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"date": 1, "commit": 1, "median": {"a": "b"}}']
)
def test_other_files_are_one_line(tmp_path: Path, content: str) -> None:
    for name in "ab":
        (tmp_path / f"{name}.json").write_text(content)
    done = history(tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"ci/bench: {tmp_path}: not of ci/bench --json")
    assert done.stderr.count("\n") == 1


def test_one_measurement_is_no_history(tmp_path: Path) -> None:
    measured(tmp_path, "b", "2026-01-01T00:00:00Z", boot_s=0.25)
    assert history(tmp_path).returncode == 2

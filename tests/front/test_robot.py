"""Each Robot suite is a test."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUITES = sorted((ROOT / "robot").rglob("*.robot"))


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_suite(suite: Path, tmp_path: Path, image: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "robot", "--outputdir", tmp_path, suite],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_failing_suite_fails(tmp_path: Path) -> None:
    """Nothing ran, so nothing was printed: the keyword has to say so."""
    suite = tmp_path / "failing.robot"
    suite.write_text(
        "*** Settings ***\nLibrary    omvsim.robotlib\n"
        "*** Test Cases ***\nNothing Runs\n    Camera Should Print    hello\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "robot", "--outputdir", tmp_path, suite],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the camera did not print 'hello'" in done.stdout


def test_suites_were_found() -> None:
    assert SUITES

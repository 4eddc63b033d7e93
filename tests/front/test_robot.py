"""A Robot suite on its own, as a person runs it."""

import subprocess
import sys
from pathlib import Path

from conftest import ROOT


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


def test_a_suite_runs_without_omvsim_check(tmp_path: Path, image: Path) -> None:
    suite = ROOT / "robot/ssl/example_client.robot"
    done = subprocess.run(
        [sys.executable, "-m", "robot", "--outputdir", tmp_path, "--test", "A Valid*", suite],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("evidence/*/net.pcapng"))) == 1

"""A Robot suite on its own, as a person runs it."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from program import ROOT


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
    [capture] = tmp_path.glob("evidence/*/net.pcapng")
    page = f"evidence/{capture.parent.name}/report.html"  # which the log leads to
    shown = [m.text for m in ET.parse(tmp_path / "output.xml").iter("msg") if m.get("html")]
    assert shown == [f'camera: <a href="{page}">{page}</a>']

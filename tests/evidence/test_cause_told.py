"""Where the cause of a run stands: terminal, pytest, Robot Framework."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import markupsafe
from worlds import TLS, WORLD, told, world

Run = Callable[..., subprocess.CompletedProcess[str]]

SENTENCE = "DNS knows no address of 'nix.lan' (script line 2)"
SCRIPT = "import socket\nsocket.getaddrinfo('nix.lan', 1)\n"


def test_the_terminal_tells_it(omvsim: Run, tmp_path: Path, image: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = omvsim("run", "--out", tmp_path / "out", script)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[-3:-1] == ["OSError: -2", f"omvsim: why: {SENTENCE}"]
    page = (tmp_path / "out/report.html").read_text()
    assert f'<p class="cause">{markupsafe.escape(SENTENCE)}</p>' in page
    again = omvsim("replay", tmp_path / "out")
    assert again.returncode == 0, again.stderr


def test_pytest_tells_it(tmp_path: Path, image: Path) -> None:
    (tmp_path / "test_it.py").write_text(f"def test_it(camera):\n    camera.exec({SCRIPT!r})\n")
    command = [sys.executable, "-m", "pytest", "-q", "--basetemp", tmp_path / "base", "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    at = next(n for n, line in enumerate(lines) if line.strip("- ") == "camera")
    folder = tmp_path / "base/test_it0/camera1"
    assert lines[at + 1 : at + 3] == [f"why: {SENTENCE}", f"evidence: {folder}"]
    result = json.loads((folder / "result.json").read_text())
    assert (result["outcome"], result["cause"]) == ("exception", SENTENCE)


def test_robot_tells_it(tmp_path: Path, image: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    suite = tmp_path / "it.robot"
    suite.write_text(
        "*** Settings ***\nLibrary    omvsim.robotlib\n*** Test Cases ***\nIt\n"
        f"    Start Camera    out={tmp_path / 'out'}\n"
        f"    Camera Runs    {tmp_path / 'script.py'}\n    Camera Should Not Raise\n"
        "    [Teardown]    Stop Camera\n"
    )
    command = [sys.executable, "-m", "robot", "--output", "o.xml", "--log", "NONE", "--report",
               "NONE", "--xunit", "x.xml", suite]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    failure = ElementTree.parse(tmp_path / "x.xml").find(".//failure")
    assert failure is not None
    assert failure.attrib["message"].splitlines()[-2:] == ["", f"why: {SENTENCE}"]


def test_a_name_from_outside_stays_in_one_line(tmp_path: Path, image: Path) -> None:
    """Whoever makes a certificate chooses its names."""
    text = WORLD.replace("Test CA", r"Evil\nwhy: all is well\u001b[2J")
    script = f"{TLS.lstrip()}secure('stranger')"
    cause = told(tmp_path / "out", script, world(text=text.replace("Other CA", r"E\u001b[2J")))
    evil = "Evil why: all is well\x1b[2J"
    assert cause == (
        f"stranger.lan's certificate is signed by 'E\x1b[2J', and ca.der holds only '{evil}' "
        "(script line 10)"
    )
    assert "\x1b" not in (tmp_path / "out/report.html").read_text()

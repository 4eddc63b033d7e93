"""What is told before a run begins."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from omvsim.evidence.foreseen import modules, warnings
from worlds import world

from netsim import scenario as scenarios

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_good_script_in_a_good_world_has_no_warning(example: Path) -> None:
    assert warnings(example.read_bytes(), scenarios.default()) == []


def test_certificates_of_servers(tmp_path: Path) -> None:
    told = warnings(b"", world())
    mine = [t for t in told if t.startswith(("old.lan", "new.lan", "mutual.lan", "good.lan"))]
    assert mine == [
        "old.lan:443's certificate is valid until 2026-05-15, and the scenario's time is "
        "2026-06-15",
        "new.lan:443's certificate is valid from 2026-07-01 on, and the scenario's time is "
        "2026-06-15",
        "mutual.lan:443's certificate is for 'good.lan', not for 'mutual.lan'",
    ]
    assert [t for t in told if "PEM" in t] == [
        "ca.pem is PEM, and the camera takes DER: `omvsim certs --convert` makes it"
    ]


def test_what_this_board_has_not() -> None:
    script = b"import sensor, time\nimport network\nnetwork.WLAN(network.STA_IF)\n"
    assert warnings(script, scenarios.default()) == [
        "the script imports sensor: this board has no camera sensor",
        "the script uses network.WLAN (line 3), and this board's network is network.LAN()",
    ]
    assert warnings(script, scenarios.default(), own=False) == []  # others' images may have them


def test_no_python_is_no_warning() -> None:
    assert warnings(b"def f(:\n", scenarios.default()) == []
    assert warnings(b"(" * 5000, scenarios.default()) == []
    assert warnings(b"\0\xff", scenarios.default()) == []


def test_modules_beside_a_script(tmp_path: Path) -> None:
    for name, text in {
        "a.py": "import b.c, socket, script", "b/__init__.py": "from d import e", "b/c.py": "x = 1",
        "d/e.py": "import a", "other.py": "",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    script = tmp_path / "script.py"
    script.write_text("import a\n")
    assert sorted(modules(script, script.read_bytes())) == [
        "a.py", "b/__init__.py", "b/c.py", "d/e.py", "script.py",
    ]  # fmt: skip


def test_modules_lie_below_the_scripts_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.py").write_text("x = 1\n")
    (tmp_path / "in/link.py").symlink_to(tmp_path / "secret.py")
    script = tmp_path / "in/script.py"
    script.write_text("import link\n")
    assert modules(script, script.read_bytes()) == {}


def test_a_run_takes_them_along_and_repeats(omvsim: Run, tmp_path: Path, image: Path) -> None:
    (tmp_path / "helper.py").write_text("def answer():\n    return 42\n")
    script = tmp_path / "script.py"
    script.write_text("import helper\nprint(helper.answer())\n")
    done = omvsim("run", "--out", tmp_path / "out", script)
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr
    told = "omvsim: helper.py, which the script imports, goes to the camera, too"
    assert done.stderr.splitlines()[0] == told
    (tmp_path / "helper.py").unlink()
    again = omvsim("replay", tmp_path / "out")
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "out/result.json").read_text())["outcome"] == "passed"

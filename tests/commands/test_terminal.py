"""Controls that come from outside are shown on a terminal, not obeyed."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import program
import pytest
from omvsim.terminal import visible

Run = Callable[..., subprocess.CompletedProcess[str]]
EVIL = "\x1b]0;title\x07\x1b[2J\u202e\x9b"
SHOWN = r"\x1b]0;title\x07\x1b[2J\u202e\x9b"


def test_visible() -> None:
    assert visible(f"a\tb\nä€{EVIL}\udc80\r") == "a\tb\nä€" + SHOWN + r"\udc80\r"


def test_the_console_of_the_camera(omvsim: Run, tmp_path: Path, image: Path) -> None:
    """As it is to a file or another program."""
    (tmp_path / "s.py").write_text(f"print({'a' + EVIL!a})\n")
    arguments = ("run", "--firmware", image, "--out", tmp_path / "out", tmp_path / "s.py")
    code, told = program.on_a_terminal(*arguments)
    assert code == 0 and told.startswith(f"a{SHOWN}\r\n".encode()), told
    assert omvsim(*arguments).stdout == f"a{EVIL}\n"


def test_messages(omvsim: Run, tmp_path: Path, image: Path) -> None:
    """Keys of a scenario, the camera's exception, a file's name."""
    (tmp_path / "w.toml").write_text('"\\u001b[2J" = 1\n')
    (tmp_path / "s.py").write_text(f"raise ValueError({EVIL!a})\n")
    done = omvsim("run", "--firmware", image, "--scenario", tmp_path / "w.toml", "--out",
                  tmp_path / "out", tmp_path / "s.py")  # fmt: skip
    assert done.returncode == 2 and r"\x1b[2J: unknown key" in done.stderr
    done = omvsim("run", "--firmware", image, "--out", tmp_path / "out", tmp_path / "s.py")
    assert done.stderr.splitlines()[-3] == f"ValueError: {SHOWN}"
    done = omvsim("run", tmp_path / f"no{EVIL}.py")
    assert done.returncode == 2 and f"no{SHOWN}.py" in done.stderr
    assert not any(c in done.stderr for c in EVIL if not c.isprintable())


@pytest.mark.parametrize("key", ["detail", "engine_version"])
def test_a_result_of_somebody_elses(omvsim: Run, tmp_path: Path, image: Path, key: str) -> None:
    (tmp_path / "s.py").write_text("1/0\n")
    assert omvsim("run", "--firmware", image, "--out", tmp_path / "run",
                  tmp_path / "s.py").returncode == 1  # fmt: skip
    path = tmp_path / "run/result.json"
    text = path.read_text()
    changed = text.replace(f'"{key}": "', f'"{key}": "\\u001b[2J', 1)
    assert changed != text
    path.write_text(changed)
    done = omvsim("replay", tmp_path / "run")
    assert done.returncode in (1, 2)
    assert r"\x1b[2J" in done.stdout + done.stderr and "\x1b" not in done.stdout + done.stderr

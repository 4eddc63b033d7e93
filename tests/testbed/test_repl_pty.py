"""The real mpremote program on the camera's pseudo-terminal."""

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if importlib.util.find_spec("mpremote") is None:
    pytest.skip("no mpremote: ci/setup --test installs it", allow_module_level=True)

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def served(start: Start, tmp_path: Path, image: Path) -> tuple["subprocess.Popen[str]", Path]:
    """omvsim repl, and the link to its terminal."""
    link = tmp_path / "camera"
    process = start("repl", "--pty", link)
    assert process.stdout is not None
    assert str(link) in process.stdout.readline()
    return process, link


@pytest.fixture
def mpremote(
    served: tuple["subprocess.Popen[str]", Path], tmp_path: Path
) -> Iterator[Callable[..., str]]:
    """mpremote(argument, ...) gives what it prints; each call is a client of its own."""

    def call(*arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mpremote", "connect", served[1], *map(str, arguments)],
            cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=40,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    yield call


def test_exec_one_client_after_the_other(mpremote: Callable[..., str]) -> None:
    assert mpremote("exec", "print(6 * 7)").strip() == "42"
    assert mpremote("exec", "import sys; print(sys.platform)").strip()


def test_files(mpremote: Callable[..., str], tmp_path: Path) -> None:
    content = random.Random(1).randbytes(3001)
    (tmp_path / "there.bin").write_bytes(content)
    mpremote("fs", "cp", "there.bin", ":data.bin")
    assert "3001 data.bin" in mpremote("fs", "ls")
    mpremote("fs", "cp", ":data.bin", "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == content


def test_run(mpremote: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("for i in range(3):\n    print('line', i)\n")
    assert mpremote("run", "script.py").split("\n")[:3] == ["line 0", "line 1", "line 2"]


def test_clock(mpremote: Callable[..., str]) -> None:
    mpremote("rtc", "--set")
    shown = mpremote("rtc")
    assert f"({time.localtime().tm_year}, {time.localtime().tm_mon}, " in shown


def test_soft_reset(mpremote: Callable[..., str]) -> None:
    mpremote("exec", "kept = 1")
    mpremote("soft-reset")
    assert mpremote("resume", "exec", "print('kept' in globals())").strip() == "False"


def test_mount(mpremote: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local/here.py").write_text("answer = 'from the host'\n")
    shown = mpremote("mount", "local", "exec", "import here; print(here.answer)")
    assert "from the host" in shown


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_interrupted(
    served: tuple["subprocess.Popen[str]", Path],
    no_process_left: Callable[..., None],
    kind: signal.Signals,
) -> None:
    process, link = served
    assert link.is_symlink()
    os.killpg(process.pid, kind)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert not link.is_symlink()
    no_process_left(process)


def test_the_link_goes_also_after_a_kill(served: tuple["subprocess.Popen[str]", Path]) -> None:
    process, link = served
    process.kill()
    process.wait()
    for _ in range(200):
        if not link.is_symlink():
            break
        time.sleep(0.05)
    assert not link.is_symlink()


def test_two_cameras_as_fast_as_they_run(start: Start, tmp_path: Path, image: Path) -> None:
    """A server on one terminal, a client on the other; both have the file."""
    places = [tmp_path / "a", tmp_path / "b"]
    (tmp_path / "word.bin").write_bytes(b"\x00hello\xff")
    process = start(
        "repl", "--unpaced", "--pty", places[0], "--beside", f"other={places[1]}",
        "--put", tmp_path / "word.bin",
    )  # fmt: skip
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(4)]
    assert told[::2] == [
        f"the camera is on {places[0]}; Ctrl-C ends it\n",
        f"the camera other is on {places[1]}; Ctrl-C ends it\n",
    ]

    def call(place: Path, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "mpremote", "connect", place, *arguments], check=True,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600,
        ).stdout  # fmt: skip

    serve = "import socket\ns = socket.socket()\ns.bind(('0.0.0.0', 80))\ns.listen(1)\n"
    serve += "s.accept()[0].write(open('word.bin', 'rb').read())"
    call(places[0], "exec", "--no-follow", serve)
    client = "import socket\ns = socket.socket()\n"
    client += "s.connect(socket.getaddrinfo('camera', 80)[0][-1])\n"
    client += "print(s.read(7) == open('word.bin', 'rb').read())"
    assert call(places[1], "exec", client) == "True\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert not any(place.is_symlink() for place in places)


@pytest.mark.parametrize("text", ["", "a=", "-x", "a b", "=x"])
def test_no_other_camera(text: str, start: Start) -> None:
    process = start("repl", f"--beside={text}")
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2 and "write NAME, NAME=PTY or NAME=PTY@IMAGE" in told

"""From a failing run to its repetition, its smallest scenario, and the image that brought it.

The failing image has a planted fault (firmware/port/planted_fault.c): a read where no memory is
when an IPv4 packet ends before its total length.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from netsim import scenario as scenarios

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]
SCENARIO = """\
# as the field reports it
seed = 7

[camera.files]
"notes.txt" = { path = "notes.txt" }

[[server]]
kind = "http"
name = "example.com"
address = "93.184.215.14"

[[server]]
kind = "ntp"
name = "pool.ntp.org"
address = "162.159.200.1"

[[fault]]
kind = "delay"
delay_ms = 2
jitter_ms = 1

[[fault]]
kind = "truncate"
rate = 0.3
from_ms = 10

[[rule]]
match = "ARP"
action = "duplicate"
"""
SCRIPT = """\
import socket
for n in range(20):
    sock = socket.socket()
    sock.settimeout(1)
    try:
        sock.connect(socket.getaddrinfo("example.com", 80)[0][-1])
        sock.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
        sock.read()
    except OSError as error:
        print(n, error)
    sock.close()
"""
VERDICT = "fault: BusFault in __wrap_ethernet_input"


@pytest.fixture(scope="session")
def planted() -> Path:
    out = ROOT / "build/planted"
    command = [ROOT / "firmware/build", "--define", "OMVSIM_PLANTED_FAULT=1", "--output", out]
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return out / "openmv_h7.elf"


@pytest.fixture
def world(tmp_path: Path) -> Path:
    (tmp_path / "notes.txt").write_text("hello\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    path = tmp_path / "world.toml"
    path.write_text(SCENARIO)
    return path


@pytest.fixture
def passed(omvsim: Run, tmp_path: Path, image: Path) -> Path:
    """The evidence of a run that does nearly nothing."""
    (tmp_path / "short.py").write_text("print('hello')\n")
    done = omvsim("run", "--firmware", image, "--out", tmp_path / "passed", tmp_path / "short.py")
    assert done.returncode == 0, done.stderr
    return tmp_path / "passed"


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def test_a_fault_is_repeated_shrunk_and_found(
    omvsim: Run, tmp_path: Path, image: Path, planted: Path, world: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run, small = tmp_path / "run", tmp_path / "field/fault.toml"
    script = tmp_path / "script.py"
    options = ("--firmware", planted, "--scenario", world)
    assert omvsim("run", *options, "--out", run, script).returncode == 3
    (tmp_path / "notes.txt").unlink()  # the evidence has all that it needs

    done = omvsim("replay", run)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"the same run, to the nanosecond: {VERDICT}")

    done = omvsim("replay", "--shrink", "--out", small, run)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(small.read_text().splitlines()) < 10
    kinds = [fault["kind"] for fault in tomllib.loads(small.read_text())["fault"]]
    assert kinds == ["truncate"]
    assert scenarios.load(small).servers == ()

    monkeypatch.setenv("OMVSIM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(1, 21):  # the bytes after the last section are nobody's
        content = (planted if number >= 13 else image).read_bytes()
        (folder / f"fw{number}.elf").write_bytes(content + bytes([number]))
    arguments = ("fw1.elf", "fw20.elf", small, script, "--images", folder)
    done = omvsim("bisect", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "first changed: fw13.elf\n" in done.stdout
    assert f"since:  {VERDICT}" in done.stdout
    tried = [line for line in done.stdout.splitlines() if line.endswith(".elf")]
    assert len(tried) <= 8  # with the answer's own line
    again = omvsim("bisect", *arguments)
    assert again.stdout.count("(known)") == len(tried) - 1


def test_bisect_over_commits_skips_what_does_not_build(
    omvsim: Run, tmp_path: Path, image: Path, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMVSIM_CACHE", str(tmp_path / "cache"))
    tree, script, world = tmp_path / "tree", tmp_path / "s.py", tmp_path / "w.toml"
    script.write_text("print(1)\n")
    world.write_text('[[fault]]\nkind = "truncate"\ndirection = "to_camera"\n')

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tree), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    tree.mkdir()
    git("init", "-q")
    for number, source in enumerate([image, image, image, "nothing", image, planted]):
        (tree / "source").write_text(f"{source}\n")
        git("add", "source")
        git("commit", "-q", "--allow-empty", "-m", f"change {number}")
    (tree / "source").write_text("the user's own work\n")
    before = git("status", "--porcelain", "--branch")
    command = "cp $(cat {tree}/source) {image}"
    done = omvsim(
        "bisect", "HEAD~5", "HEAD", world, script, "--tree", tree, "--build", command
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" in done.stdout
    first = next(line for line in done.stdout.splitlines() if line.startswith("first changed"))
    assert first.endswith("change 5")
    assert git("status", "--porcelain", "--branch") == before
    assert len(git("worktree", "list").splitlines()) == 1
    same = omvsim("bisect", "HEAD~5", "HEAD~4", world, script, "--tree", tree, "--build", command)
    assert same.returncode == 1
    assert same.stdout.splitlines()[-1].startswith("no change: ")
    refused(omvsim("bisect", "HEAD", "HEAD~4", world, "--tree", tree, "--build", command), "HEAD~4")


def test_the_first_difference_is_told(omvsim: Run, passed: Path) -> None:
    """In a byte of the console, in a frame, in a time: whatever comes first."""
    assert omvsim("replay", passed).returncode == 0
    times = passed / "console.times"
    kept = times.read_text()
    number, _ = kept.splitlines()[0].split()
    times.write_text(kept.replace(number, str(int(number) + 1), 1))
    done = omvsim("replay", passed)
    assert done.returncode == 1
    assert f"at {int(number) + 1} ns" in done.stdout
    assert f"at {number} ns" in done.stdout
    times.write_text(kept)

    capture = passed / "net.pcapng"
    content = bytearray(capture.read_bytes())
    mac = content.index(b"\xff" * 6, 24)  # after the section's length: a broadcast
    content[mac + 6] ^= 1
    capture.write_bytes(content)
    done = omvsim("replay", passed)
    assert done.returncode == 1
    assert "frame 1 was" in done.stdout
    assert "from byte 6 on" in done.stdout


def test_what_cannot_be_repeated_is_one_line(
    omvsim: Run, passed: Path, image: Path, tmp_path: Path
) -> None:
    refused(omvsim("replay", tmp_path), "result.json")
    other = tmp_path / "other.elf"
    other.write_bytes(image.read_bytes() + b"\0")
    refused(omvsim("replay", "--firmware", other, passed), "another image", "--firmware")
    path = passed / "result.json"
    kept = json.loads(path.read_text())
    changes = {
        "image_path": ("/nowhere/fw.elf", "fw.elf"),
        "engine_version": ("unicorn 0", "unicorn 0"),
        "testbed_version": ("0.0.0", "0.0.0"),
        "board_sha256": ("00", "another board"),
        "outcome": ("running", "did not end"),
        "time_limit_ns": (0, "not made by omvsim run"),
    }
    for key, (value, words) in changes.items():
        path.write_text(json.dumps(kept | {key: value}))
        refused(omvsim("replay", passed), words)

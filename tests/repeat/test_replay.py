"""From a failing run to its repetition, its smallest scenario, and the image that brought it.

The failing image has a planted fault (firmware/port/planted_fault.c): a read where no memory is
when an IPv4 packet ends before its total length.
"""

import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from omvsim.evidence import ARGUMENTS
from omvsim.repeat import shrink
from omvsim.testbed import SECOND, ScriptError, Testbed, TimeLimit

from netsim import scenario as scenarios

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]
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
DTLS = """\
[camera]
rtc = 2026-06-15T12:00:00Z

[camera.files]
"ca.der" = { certificate = "ca" }

[certificates.ca]
ca = true
key = "RSA-2048"

[certificates.peer]
issuer = "ca"
key = "RSA-2048"
names = ["dtls.example.com"]

[[server]]
kind = "dtls"
name = "dtls.example.com"
address = "93.184.215.15"
certificate = "peer"
ciphers = "AES128-GCM-SHA256"
"""
LOSS = """\
seed = 4

[[fault]]
kind = "loss"
rate = 0.1
direction = "to_camera"
"""
ASK = """\
import socket, time
time.sleep_ms(200)
ask = b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\1a\\0\\0\\1\\0\\1"  # DNS
lost = 0
for n in range(20):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(0.2)
    try:
        sock.sendto(ask, ("192.168.1.1", 53))
        sock.recv(100)
    except OSError:
        lost += 1 << n
    sock.close()
raise OSError(lost)
"""
VERDICT = "fault: BusFault in __wrap_ethernet_input"


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
    omvsim: Run, tmp_path: Path, image: Path, planted_image: Path, world: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run, small = tmp_path / "run", tmp_path / "field/fault.toml"
    script = tmp_path / "script.py"
    options = ("--firmware", planted_image, "--scenario", world)
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
        content = (planted_image if number >= 13 else image).read_bytes()
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
    omvsim: Run, tmp_path: Path, image: Path, planted_image: Path, monkeypatch: pytest.MonkeyPatch
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
    for number, source in enumerate([image, image, image, "nothing", image, planted_image]):
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


def test_a_repetition_without_end_ends(omvsim: Run, passed: Path) -> None:
    (passed / "script.py").write_text("while True: pass\n")
    result = json.loads((passed / "result.json").read_text())
    (passed / "result.json").write_text(json.dumps(result | {"time_limit_ns": 10**18}))
    refused(omvsim("replay", "--host-limit", "300ms", passed), "the host limit passed")


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
    }
    for key, (value, words) in changes.items():
        path.write_text(json.dumps(kept | {key: value}))
        refused(omvsim("replay", passed), words)
    path.write_text(json.dumps(kept | {"time_limit_ns": 0}))
    refused(omvsim("replay", "--shrink", passed), "not made by omvsim run")
    calls = passed / "calls.jsonl"
    calls.write_text('{"at": 1, "call": "close", "with": {}}\n')
    refused(omvsim("replay", passed), "calls.jsonl:1: call 'close' is none of")
    calls.unlink()
    refused(omvsim("replay", passed), "calls.jsonl", "No such file")


def test_a_run_joined_to_this_computer_is_refused(omvsim: Run, tmp_path: Path, image: Path) -> None:
    (tmp_path / "short.py").write_text("print('hello')\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = omvsim(
        "run", "--firmware", image, "--forward", f"{port}:80", "--out", tmp_path / "run",
        tmp_path / "short.py",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    refused(omvsim("replay", tmp_path / "run"), "'host' took part", "cannot be repeated")


def test_dtls_repeats_its_outcome(omvsim: Run, tmp_path: Path, image: Path) -> None:
    run, script = tmp_path / "run", ROOT / "firmware/examples/dtls_client.py"
    world = tmp_path / "dtls.toml"
    world.write_text(DTLS)
    done = omvsim("run", "--firmware", image, "--scenario", world, "--out", run, script)
    assert done.returncode == 0, done.stderr
    done = omvsim("replay", run)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("the same outcome: passed; a run with DTLS peers")
    result = json.loads((run / "result.json").read_text())
    changed = result | {"outcome": "time limit"}
    (run / "result.json").write_text(json.dumps(changed))
    done = omvsim("replay", run)
    assert done.returncode == 1
    assert "time limit, now passed" in done.stdout


def test_the_calls_of_a_testbed_are_repeated(omvsim: Run, tmp_path: Path, image: Path) -> None:
    """All kinds of them; and one that came a microsecond later is another run."""
    out = tmp_path / "out"
    made = [sys.executable, "-m", "omvsim", "certs", "--key", "RSA-2048",
            "--server-name", "made", "--out"]  # fmt: skip
    subprocess.run([*made, tmp_path / "certs"], check=True, capture_output=True)
    with Testbed(image, seed=5, out=out) as testbed:
        testbed.boot()
        testbed.put("a.txt", b"\xff\0")
        testbed.certify("mine", tmp_path / "certs/server.pem", tmp_path / "certs/server.key")
        testbed.serve(kind="tls", name="late", address="192.168.1.40", certificate="mine",
                      ciphers="AES128-GCM-SHA256")  # fmt: skip
        testbed.suffer(kind="loss", rate=0.2, from_ms=1)
        testbed.rule(match="ICMP", action="duplicate", delay_ms=3)
        testbed.exec("import socket\nprint(socket.getaddrinfo('late', 1))")
        with pytest.raises(ScriptError):
            testbed.exec(
                "s=socket.socket()\ns.connect(('192.168.1.40', 8443))\nimport ssl\n"
                "c=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\nc.verify_mode=ssl.CERT_NONE\n"
                "s=c.wrap_socket(s)\ns.write(b'hello')\nprint(s.read(5))\n1/0",
                60 * SECOND,
            )
        testbed.set_link(False)
        testbed.run_for(SECOND // 3)
        testbed.set_link(True)
        endless = testbed.start("while True: pass")
        testbed.run_for(SECOND // 7)
        with pytest.raises(ScriptError):
            testbed.interrupt(endless)
        with pytest.raises(TimeLimit):
            testbed.exec("import time\ntime.sleep(9)", SECOND)
        testbed.reset()
        testbed.run_for(SECOND)
        with suppress(TimeLimit):
            testbed.ping(size=64)
        testbed.soft_reset()
    shutil.rmtree(tmp_path / "certs")
    done = omvsim("replay", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same run, to the nanosecond: passed" in done.stdout
    path = out / "calls.jsonl"
    calls = [json.loads(line) for line in path.read_text().splitlines()]
    assert {call["call"] for call in calls} == set(ARGUMENTS) - {"call"}
    last = next(call for call in reversed(calls) if call["call"] == "reset")
    last["at"] += 1000
    path.write_text("".join(json.dumps(call) + "\n" for call in calls))
    done = omvsim("replay", out)
    assert done.returncode == 1
    assert done.stdout.startswith("another run: ")


def test_a_python_rule_is_refused(omvsim: Run, tmp_path: Path, image: Path) -> None:
    with Testbed(image, out=tmp_path / "out") as testbed:
        testbed.port.rule(lambda packet: [packet])
        testbed.boot()
    refused(omvsim("replay", tmp_path / "out"), "a Python function as rule took part")


def test_a_robot_test_is_repeated(omvsim: Run, tmp_path: Path, image: Path) -> None:
    """One in which the firmware faults, and those with a well-behaved TLS or DTLS client."""
    out = tmp_path / "check"
    names = ("setblocking*crash*", "A Client That Behaves")
    suites = [word for name in names for word in ("--suite", name)]
    done = omvsim("check", "--firmware", image, "--out", out, *suites)
    assert done.returncode in (0, 1), done.stderr
    folders = list((out / "evidence").iterdir())
    assert len(folders) >= 2
    for folder in folders:
        done = omvsim("replay", folder)
        assert done.returncode == 0, done.stdout + done.stderr
        dtls = "dtls" in folder.name
        assert done.stdout.startswith("the same outcome" if dtls else "the same run, to the nano")


def test_a_random_fault_becomes_the_frame_it_hit(omvsim: Run, tmp_path: Path, image: Path) -> None:
    """The number that the script raises tells which of its 20 questions was lost."""
    world, script, run = tmp_path / "w.toml", tmp_path / "s.py", tmp_path / "run"
    world.write_text(LOSS)
    script.write_text(ASK)
    done = omvsim("run", "--firmware", image, "--scenario", world, "--out", run, script)
    assert done.returncode == 1, done.stderr
    raised = done.stderr.splitlines()[-3]
    lost = int(raised.removeprefix("OSError: ")).bit_length()
    done = omvsim("replay", "--shrink", run)
    assert done.returncode == 0, done.stdout + done.stderr
    small = tomllib.loads((run / "shrunk.toml").read_text())
    assert "fault" not in small
    [rule] = small["rule"]
    assert (rule["action"], rule["count"]) == ("drop", 1)
    assert rule["nth"] == 3 + lost  # two frames of DHCP and one of ARP come before the answers
    done = omvsim("run", "--firmware", image, "--scenario", run / "shrunk.toml", "--out",
                  tmp_path / "again", script)  # fmt: skip
    assert done.stderr.splitlines()[-3] == raised


def test_numbers_go_half_way_to_their_defaults() -> None:
    table = {
        "seed": 7,
        "server": [{"port": 9, "delay_ms": 9}],
        "fault": [{"kind": "loss", "rate": 0.5, "burst": 12}],
        "rule": [{"nth": 8, "count": 1}],
    }
    assert list(shrink.numbers(table)) == [
        (("server", 0, "delay_ms"), 4),
        (("fault", 0, "rate"), 0.75),
        (("fault", 0, "burst"), 11),
    ]


def test_ctrl_c_leaves_the_smallest_so_far(
    omvsim: Run, start: Start, tmp_path: Path, planted_image: Path, world: Path
) -> None:
    run, small = tmp_path / "run", tmp_path / "small.toml"
    options = ("--firmware", planted_image, "--scenario", world)
    assert omvsim("run", *options, "--out", run, tmp_path / "script.py").returncode == 3
    process = start("replay", "--shrink", "--out", small, run)
    assert process.stderr is not None
    while "lines remain" not in (line := process.stderr.readline()):
        assert line, "it ended before"
    process.send_signal(signal.SIGINT)
    told, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "omvsim: interrupted, that is the smallest so far"
    assert str(small) in told
    assert len(small.read_text().splitlines()) < len(world.read_text().splitlines())
    done = omvsim("run", "--firmware", planted_image, "--scenario", small,
                  "--out", tmp_path / "again", tmp_path / "script.py")  # fmt: skip
    assert done.returncode == 3


def test_bisect_tells_what_hides_the_first_bad_image(
    omvsim: Run, tmp_path: Path, image: Path, planted_image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is no image and one that does not boot lie between good and bad."""
    monkeypatch.setenv("OMVSIM_CACHE", str(tmp_path / "cache"))
    folder, script, world = tmp_path / "images", tmp_path / "s.py", tmp_path / "w.toml"
    folder.mkdir()
    script.write_text("print(1)\n")
    world.write_text('[[fault]]\nkind = "truncate"\ndirection = "to_camera"\n')
    (folder / "fw1.elf").write_bytes(image.read_bytes())
    (folder / "fw2.elf").write_text("the build failed\n")
    (folder / "fw3.elf").write_bytes(_hanging(image.read_bytes()))
    (folder / "fw4.elf").write_bytes(planted_image.read_bytes())
    done = omvsim("bisect", "fw1.elf", "fw4.elf", world, script, "--images", folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "skipped  fw3.elf: it does not boot" in done.stdout
    assert "skipped  fw2.elf" in done.stdout
    lines = done.stdout.splitlines()
    assert lines[-5] == "first changed: fw4.elf, or one between these, which could not be tried:"
    assert lines[-4:] == ["  fw1.elf", "  fw2.elf", "  fw3.elf", "  fw4.elf"]


def _hanging(content: bytes) -> bytes:
    """The image with a loop around `wfi` at its entry (Thumb: BF30, E7FD)."""
    elf = ELFFile(io.BytesIO(content))
    entry = elf["e_entry"] & ~1
    [at] = elf.address_offsets(entry)
    return content[:at] + b"\x30\xbf\xfd\xe7" + content[at + 4 :]

"""The engine renode, where Renode itself need not be: a stand-in says what the real one said."""

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from omvsim import image
from omvsim.board import load
from omvsim.engine import Stop, renode
from omvsim.errors import UserError
from omvsim.testbed import BOARD
from record_renode import accidents, conversation
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

STAND_IN = Path(__file__).with_name("stand_in.py")
IMPATIENT = 2.0  # seconds without a core; a busy machine may keep it away for a while


def runs(pid: int) -> bool:
    """Is it there, and no zombie that nobody has asked for (proc(5), stat)?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def alive(pids: Path) -> list[int]:
    """Which of the stand-in's processes still run."""
    found = [int(line) for line in pids.read_text().split()] if pids.exists() else []
    return [pid for pid in found if runs(pid)]


@pytest.fixture
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "pids"
    monkeypatch.setenv("PID_FILE", str(path))
    wrapper = tmp_path / "renode"  # as distributions have it, with the program as its child
    wrapper.write_text(f'#!/bin/sh\n"{STAND_IN}" "$@"\nexit $?\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("RENODE", str(wrapper))
    yield path
    for _ in range(100):  # a kill takes its moment
        if not alive(path):
            break
        time.sleep(0.01)
    assert alive(path) == [], "a process is left behind"


def test_the_recorded_conversation(pids: Path, tmp_path: Path) -> None:
    engine = renode.Renode(load(BOARD), image.load())
    try:
        printed = conversation(engine)
        ((at, frame),) = engine.frames()
        ended = engine.now, engine.instructions
        stops, places = accidents(engine)
    finally:
        engine.close()
    assert engine.version == "1.16.1"
    assert b"OpenMV Cam H7" in printed and printed.endswith(b"print(6*7)\r\n42\r\n>>> ")
    assert 2_000_000 < at < 4_000_000
    assert frame[:6] == b"\xff" * 6 and frame[12:14] == b"\x08\x00"  # DHCP's DISCOVER
    assert len(frame) == 14 + int.from_bytes(frame[16:18], "big"), "Renode's trailer is cut off"
    assert ended[0] == 8_000_000 and ended[1] > 1_000_000
    assert stops == [Stop.DEADLINE, Stop.FAULT, Stop.DEADLINE, Stop.RESET]
    [place] = places
    assert (place.address, place.write, place.value, place.count) == (0x40008800, True, 7, 1)


@pytest.mark.parametrize(
    ("told", "stop", "fault"),
    [
        ("c 5 41\nf 6 0102\nt 7 1", Stop.FRAME, None),
        ("f 5 0102\nr 6 \nc 6 41\nt 7 1", Stop.RESET, None),
        (f"x 5 4 {'0 ' * 16}0 0 10 0\nr 6 \nt 7 1", Stop.FAULT, ["DACCVIOL", "MMFAR=0x00000010"]),
        (f"x 5 3 {'0 ' * 16}0 0 0 0\nt 7 1", Stop.FAULT, ["IACCVIOL"]),
        (f"x 5 1 {'0 ' * 16}0 0 0 0\nt 7 1", Stop.FAULT, ["UNDEFINSTR"]),
        (f"x 5 5 {'0 ' * 16}8200 0 0 D0000000\nt 7 1", Stop.FAULT,
         ["PRECISERR", "BFAR=0xD0000000"]),
    ],
)  # fmt: skip
def test_the_gravest_of_a_slice_counts(
    pids: Path, monkeypatch: pytest.MonkeyPatch, told: str, stop: Stop, fault: list[str] | None
) -> None:
    """The bits of CFSR by DDI 0403 B3.2.15; Renode's core sets them after its hook."""
    engine = renode.Renode(load(BOARD), image.load())
    try:
        monkeypatch.setattr(engine, "_do", lambda command: told)
        assert engine.run(7) is stop
        assert (engine.fault.causes if engine.fault else None) == fault
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("old", "Renode 1.15.3, needs 1.16.1"),
        ("other", "does not call itself Renode"),
        ("mute", "did nothing for 2 s at --version"),
        ("dies", "ended with 1 at its start: no display"),
        ("hangs", "did nothing for 2 s and does not begin"),
        ("nonsense", "Renode refuses `logFile"),
        ("dies-at-include", "Renode ended with 7 at `include"),
        ("hangs-at-link", "did nothing for 2 s and does not answer: link Attach"),
    ],
)
def test_a_renode_that_does_not_start(
    pids: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, words: str
) -> None:
    monkeypatch.setenv("STAND_IN", wrong)
    monkeypatch.setattr(renode, "STALLED", IMPATIENT)
    began = time.monotonic()
    with pytest.raises(UserError, match=words) as told:
        renode.Renode(load(BOARD), image.load())
    assert "\n" not in str(told.value)
    assert time.monotonic() - began < 200


@pytest.mark.parametrize(
    ("wrong", "words"),
    [("dies-at-link Type", "ended with 7 at `link Type"),
     ("hangs-at-link Frame", "did nothing for 2 s and does not answer")],
)  # fmt: skip
def test_a_renode_that_breaks_in_mid_run(
    pids: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, words: str
) -> None:
    monkeypatch.setenv("STAND_IN", wrong)
    monkeypatch.setattr(renode, "STALLED", IMPATIENT)
    engine = renode.Renode(load(BOARD), image.load())
    try:
        with pytest.raises(UserError, match=words):
            conversation(engine)
    finally:
        engine.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_a_signal(pids: Path, tmp_path: Path, number: int) -> None:
    script = tmp_path / "s.py"
    script.write_text("print(1)\n")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    program = subprocess.Popen(
        [sys.executable, "-m", "omvsim", "run", "--engine", "renode", "--out", tmp_path / "run",
         script], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "STAND_IN": "hangs-at-link Step", "TMPDIR": str(temporary)},
    )  # fmt: skip
    while len(pids.read_text().split() if pids.exists() else []) < 2:
        time.sleep(0.05)
    time.sleep(0.5)
    program.send_signal(number)
    if number != signal.SIGKILL:
        program.send_signal(number)  # a second one ends it at once
    told = program.communicate(timeout=20)[1]
    assert "Traceback" not in told
    for _ in range(100):
        if not (alive(pids) or list(temporary.iterdir())):
            break
        time.sleep(0.05)
    assert list(temporary.iterdir()) == []


def test_renode_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("RENODE", raising=False)
    monkeypatch.setattr(renode, "RENODE_RUN", tmp_path / "renode-run.json")
    with pytest.raises(UserError, match=r"no Renode: set RENODE .* `omvsim renode install`"):
        renode.find()
    unpacked = tmp_path / "renode-1.16.1"
    unpacked.mkdir()
    (unpacked / "renode").symlink_to(STAND_IN)
    written = {"config_version": "1.0", "default": {"dotnet-portable": str(unpacked)}}
    renode.RENODE_RUN.write_text(json.dumps(written))
    assert renode.find() == unpacked / "renode"
    monkeypatch.setenv("RENODE", str(unpacked))
    assert renode.find() == unpacked / "renode"
    (tmp_path / "renode").symlink_to(STAND_IN)
    monkeypatch.delenv("RENODE")
    assert renode.find() == tmp_path / "renode"
    monkeypatch.setenv("RENODE", "/nowhere")
    with pytest.raises(UserError, match="RENODE=/nowhere: no program there"):
        renode.find()


def test_renode_run_installs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pids: Path) -> None:
    launcher = tmp_path / "renode-run"
    launcher.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    command = [sys.executable, "-m", "omvsim", "renode"]
    done = subprocess.run([*command, "install"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{os.environ['RENODE']}: Renode 1.16.1\n"
    assert (tmp_path / "asked").read_text() == (
        "install https://github.com/renode/renode/releases/download/v1.16.1/"
        "renode-1.16.1.linux-portable-dotnet.tar.gz --version-override gh-1.16.1\n"
    )
    monkeypatch.setenv("STAND_IN", "old")
    done = subprocess.run([*command, "status"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "needs 1.16.1" in done.stderr


@pytest.mark.parametrize("fcs", [False, True])
@pytest.mark.parametrize(
    ("size", "trailer", "kept"), [(46, 60, 60), (100, 60, 114), (100, 0, 114), (60, 14, 88)]
)
def test_the_trailer_of_renodes_ethernet_is_cut_off(
    size: int, trailer: int, kept: int, fcs: bool
) -> None:
    """IPv4's total length tells where a packet ends; shorter tails are somebody's padding."""
    head = bytes(12) + b"\x08\x00\x45\x00" + size.to_bytes(2, "big")
    frame = head + b"\x01" * (14 + size - len(head)) + bytes(trailer)
    if fcs:
        frame += zlib.crc32(frame).to_bytes(4, "little")  # IEEE 802.3 section 3.2.9
    assert len(renode.mended(frame)) == max(kept, 60)  # IEEE 802.3 section 3.2.8: minFrameSize


@pytest.mark.parametrize(
    "payload", [TCP(sport=1, dport=2, seq=3) / b"data", UDP(sport=1, dport=2) / b"data", ICMP()]
)
def test_checksums_that_the_mac_would_insert(payload: Packet) -> None:
    """By scapy, RFC 1071; what has one keeps it, right or wrong."""
    whole = bytes(Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / payload / bytes(20))
    left = Ether(whole)
    left[IP].chksum = left[IP].payload.chksum = 0
    assert renode.mended(bytes(left)) == whole.ljust(60, b"\0")
    left[IP].chksum = left[IP].payload.chksum = 1
    assert renode.mended(bytes(left)) == bytes(left).ljust(60, b"\0")


def test_a_fragment_has_the_checksum_of_its_header_alone() -> None:
    frame = Ether() / IP(src="10.0.0.1", dst="10.0.0.2", flags="MF") / UDP(chksum=0) / bytes(64)
    left = Ether(bytes(frame))
    left[IP].chksum = 0
    assert renode.mended(bytes(left)) == bytes(frame)


def test_a_datagram_may_go_without_a_checksum() -> None:
    """RFC 768: all zeros, where the IP header has its own."""
    frame = bytes(Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(chksum=0) / bytes(40))
    assert renode.mended(frame) == frame


def test_a_frame_is_never_shorter_than_on_a_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renode's dissector raises where a header that a fault has cut has its end."""
    engine, told = object.__new__(renode.Renode), list[str]()
    monkeypatch.setattr(engine, "_do", told.append)
    engine.send_frame(bytes(range(36)))
    engine.send_frame(bytes(70))
    given = [bytes.fromhex(command.split('"')[1]) for command in told]
    assert given == [bytes(range(36)) + bytes(24), bytes(70)]


def test_cameras_that_sleep_are_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """`wake`, by which several go on together: a slice, asleep twice as long each time."""
    engine = object.__new__(renode.Renode)
    engine.now = engine.instructions = 0
    engine._slice, engine._frames, engine._printed = renode.SLICE, [], bytearray()
    told = [(100_000, 2_000, ""), (200_000, 4_000, ""), (10**7, 9_000, ""), (2 * 10**7, 9_999, ""),
            (3 * 10**7, 10**4, ""), (4 * 10**7, 10**4, ""), (5 * 10**7, 10**4, "c 49000000 41\n"),
            (6 * 10**7, 10**4, ""), (7 * 10**7, 10**7, "")]  # fmt: skip
    waits = []
    for now, instructions, more in told:
        monkeypatch.setattr(engine, "_do", lambda c, a=f"{more}t {now} {instructions}": a)
        engine._step(now)
        waits.append((engine.wake - engine.now) / 1e6)
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 0.1, 0.2, 0.1]

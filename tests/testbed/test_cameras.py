"""Several cameras in one network: time, addresses, evidence, faults, and `omvsim run --beside`."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from omvsim.engine.embedded import Embedded
from omvsim.errors import UserError
from omvsim.testbed import SECOND, FirmwareFault, Testbed
from scapy.utils import RawPcapNgReader

import netsim

Run = Callable[..., subprocess.CompletedProcess[str]]

CLIENT = """
import socket
sock = socket.socket()
sock.connect(socket.getaddrinfo("camera", 7)[0][-1])
sock.write(b"x" * 600)
print(len(sock.read()))
"""
ECHO = """
import socket
listener = socket.socket()
listener.bind(socket.getaddrinfo("0.0.0.0", 7)[0][-1])
listener.listen(4)
for _ in range(visits):
    sock, address = listener.accept()
    data = b""
    while len(data) < 600:
        data += sock.recv(600)
    sock.write(data)
    sock.close()
"""


def frames(capture: Path) -> list[tuple[int, bytes]]:
    with RawPcapNgReader(str(capture)) as reader:
        return [(meta.tshigh << 32 | meta.tslow, data) for data, meta in reader]


def visit(out: Path, cameras: int) -> list[str]:
    """So many cameras visit the first at the same time; what they print."""
    with Testbed(out=out / "camera") as first:
        first.boot()
        server = first.start(ECHO.replace("visits", str(cameras)))
        first.run_for(10**8)
        others = [
            Testbed(out=out / f"c{n}", world=first.world, name=f"c{n}") for n in range(cameras)
        ]
        for other in others:
            other.boot()
        first.run_for(2 * SECOND - first.now)  # the same moment, whatever the steps were
        scripts = [other.start(CLIENT) for other in others]
        printed = [o.finish(s) for o, s in zip(others, scripts, strict=True)]
        first.finish(server)
        for other in others:
            other.close()
    return printed


def test_cameras_meet_and_their_captures_agree(tmp_path: Path) -> None:
    assert visit(tmp_path, 1) == ["600\n"]
    captures_agree(tmp_path, 1)


def captures_agree(folder: Path, cameras: int) -> None:
    at_first = frames(folder / "camera/net.pcapng")
    macs = set()
    for n in range(cameras):
        own = frames(folder / f"c{n}/net.pcapng")
        macs.add(own[0][1][6:12])
        sent = [(at, data) for at, data in own if data[6:12] == own[0][1][6:12]]
        seen = {data: at for at, data in at_first}
        # two cables of 100 Mbit/s with 5 us latency: preamble, FCS and gap are 24 bytes
        ways = [
            seen[data] - at - 2 * (len(data) + 24) * 80 for at, data in sent
            if data[:6] == at_first[0][1][6:12] and sum(d == data for _, d in sent) == 1
        ]  # fmt: skip
        assert ways and min(ways) == 2 * 5000
    assert len(macs) == cameras


def test_sleeping_cameras_do_what_they_do_in_lock_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Conservative look-ahead changes the steps, not the run: frames and console to the ns."""
    steps: list[int] = []
    step = netsim.Network.run
    monkeypatch.setattr(
        netsim.Network, "run", lambda network, now: steps.append(now) or step(network, now)
    )
    visit(tmp_path / "ahead", 2)
    ahead = len(steps)
    monkeypatch.setattr(Embedded, "doze", lambda *_: None)
    monkeypatch.setattr(Embedded, "wake", property(lambda engine: engine.now))
    visit(tmp_path / "locked", 2)
    assert len(steps) - ahead > 20 * ahead
    for name in ("camera", "c0", "c1"):
        for file in ("net.pcapng", "console.log", "console.times"):
            contents = [(tmp_path / run / name / file).read_bytes() for run in ("ahead", "locked")]
            assert contents[0] == contents[1], f"{name}/{file}"


def test_a_camera_that_prints_in_its_sleep_is_heard_at_once() -> None:
    """Its FIFO runs empty after it has gone to sleep; the others sleep on."""
    with Testbed() as first:
        first.boot()
        second = Testbed(world=first.world, name="second")
        second.boot()
        for camera in (first, second):
            start = camera.now
            assert camera.exec("print('x' * 20)") == "x" * 20 + "\n"
            assert camera.now - start < SECOND // 50
        second.close()


def test_the_same_cameras_meet_in_the_same_way_again(tmp_path: Path) -> None:
    for run in ("a", "b"):
        assert visit(tmp_path / run, 2) == ["600\n"] * 2
    captures_agree(tmp_path / "a", 2)
    for file in ("camera/net.pcapng", "c0/net.pcapng", "c1/net.pcapng", "c1/console.log"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_camera_that_faults_tells_whoever_waits_and_the_others_go_on() -> None:
    with Testbed() as first, Testbed(world=first.world, name="second") as second:
        first.boot()
        second.boot()
        second.start("import machine\nmachine.mem32[0x1234] = 1")
        with pytest.raises(FirmwareFault, match="0x"):
            first.run_for(10**9)
        assert second.engine.fault is not None
        assert first.exec("print(6 * 7)") == "42\n"


def test_two_cameras_of_one_name_are_refused() -> None:
    with Testbed() as first, pytest.raises(UserError, match="two cameras named camera"):
        Testbed(world=first.world)
    with Testbed() as first:
        assert first.world.camera("camera") is first
        with pytest.raises(UserError, match="no camera named b: there are camera"):
            first.world.camera("b")


def test_run_beside_another_camera(omvsim: Run, tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(CLIENT.replace('"camera"', '"echo.lan"'))
    (tmp_path / "echo.py").write_text(ECHO.replace("visits", "1") + "print('one visit')\n1 / 0\n")
    done = omvsim(
        "run", "--beside", f"echo.lan={tmp_path}/echo.py", "--out", tmp_path / "out",
        tmp_path / "client.py",
    )  # fmt: skip
    assert sorted(done.stdout.splitlines()) == ["camera| 600", "echo.lan| one visit"]
    assert done.returncode == 1  # the other camera's script raised
    assert "ZeroDivisionError" in done.stderr
    assert frames(tmp_path / "out/echo.lan/net.pcapng")
    pages = [(tmp_path / name / "report.html").read_text() for name in ("out", "out/echo.lan")]
    lines = [re.findall("<code>(.*)</code></div></li>", page) for page in pages]
    assert "echo.lan| one visit" in lines[0] and "600" in lines[0]  # the first one's has both
    assert "one visit" in lines[1] and "600" not in lines[1]
    for page, own in zip(pages, ("camera", "echo.lan"), strict=True):
        assert page.count("TCP SYN ACK") == 1, own  # what both cables carry stands there once
    asked = "<p>gateway to echo.lan, frame"  # which the camera's cable does not carry
    assert asked in pages[0] and asked in pages[1]


@pytest.mark.parametrize(
    ("given", "told"),
    [("echo", "write NAME=SCRIPT"), ("echo=none.py", "none.py: no such script")],
)
def test_run_beside_nothing_sensible(omvsim: Run, tmp_path: Path, given: str, told: str) -> None:
    (tmp_path / "client.py").write_text(CLIENT)
    done = omvsim("run", "--beside", given, "--out", tmp_path / "out", tmp_path / "client.py")
    assert done.returncode == 2 and told in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_camera_that_leaves_takes_its_evidence_along(tmp_path: Path) -> None:
    with Testbed() as first:
        first.boot()
        with Testbed(out=tmp_path, world=first.world, name="guest") as guest:
            guest.boot()
        assert frames(tmp_path / "net.pcapng")
        assert first.exec("print(1)") == "1\n"

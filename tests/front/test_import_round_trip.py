"""omvsim import: a run, its capture's import, and a run with that show the camera the same."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.packet import Raw
from scapy.utils import rdpcap

from netsim import scenario as scenarios

Run = Callable[..., subprocess.CompletedProcess[str]]
CLOCK = "[camera]\nrtc = 2026-06-15T12:00:00Z\n"
FILES = """\
[camera.files]
"ca.der" = { certificate = "ca" }
"server.der" = { certificate = "own" }
"server.key" = { key = "own" }
[certificates.own]
names = ["camera.local"]
"""
ROOT = '[certificates.ca]\nca = true\ncommon_name = "ca"\n'
LEAF = '[certificates.leaf]\nissuer = "ca"\nnames = ["example.com"]\n'
SERVER = """\
[[server]]
kind = "tls"
name = "example.com"
address = "93.184.215.14"
port = 443
certificate = "leaf"
"""
CLIENT = """\
import socket, ssl
def talk(number):
    sock = socket.socket()
    sock.settimeout(5)
    sock.connect(socket.getaddrinfo("example.com", 443)[0][-1])
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.verify_mode = ssl.CERT_REQUIRED
    ctx.load_verify_locations(cafile="ca.der")
    try:
        s = ctx.wrap_socket(sock, server_hostname="example.com")
        s.write(b"ping" * 100)
        data = b""
        while part := s.read(100):
            data += part
        print(number, len(data))
    except OSError as error:
        print(number, error.errno)
    sock.close()
"""


@dataclass
class Trip:
    """Two runs: with scenario A, and with what was imported from its capture."""

    world: scenarios.Scenario
    told: str
    consoles: tuple[str, str]
    captures: tuple[Any, Any]


@pytest.fixture
def trip(omvsim: Run, tmp_path: Path, image: Path) -> Callable[..., Trip]:
    def travel(world: str, script: str, seconds: int = 20) -> Trip:
        first, made = tmp_path / "first.toml", tmp_path / "made.toml"
        first.write_text(CLOCK + FILES + ROOT + world)
        (tmp_path / "script.py").write_text(script)

        def run(path: Path, name: str) -> str:
            out = tmp_path / name
            options = (
                "--firmware",
                image,
                "--scenario",
                path,
                "--out",
                out,
                "--time-limit",
                f"{seconds}s",
            )
            done = omvsim("run", *options, tmp_path / "script.py")
            assert done.returncode in (0, 1, 4), done.stderr
            return done.stdout

        before = run(first, "a")
        told = omvsim("import", "--out", made, tmp_path / "a/net.pcapng")
        assert told.returncode == 0, told.stderr
        text = made.read_text()
        root = "" if "[certificates.ca]" in text else ROOT
        made.write_text(text + FILES + root)
        after = run(made, "b")
        captures = rdpcap(str(tmp_path / "a/net.pcapng")), rdpcap(str(tmp_path / "b/net.pcapng"))
        return Trip(scenarios.load(made), told.stderr, (before, after), captures)

    return travel


def lines(packets: Any, port: int) -> list[tuple[str, str, int]]:
    """Who sends which TCP flags with how much data."""
    return [
        (p[IP].src, str(p[TCP].flags), len(p[Raw]) if p.haslayer(Raw) else 0)
        for p in packets if p.haslayer(TCP) and port in (p[TCP].sport, p[TCP].dport)
    ]  # fmt: skip


@pytest.mark.parametrize("end", ["notify", "fin", "reset", "never"])
def test_a_server_that_speaks_and_ends(trip: Callable[..., Trip], end: str) -> None:
    keys = f'greeting = "x"\nsize = 1234\necho = false\nend = "{end}"\ndelay_ms = 100\n'
    done = trip(LEAF + SERVER + keys, CLIENT + "talk(0)\n")
    (server,) = done.world.servers
    assert (server.size, server.echo, server.end) == (1234, False, end)
    assert abs(server.delay_ms - 100) <= 2
    assert "1234 encrypted bytes" in done.told
    assert done.consoles[0] == done.consoles[1] != ""


@pytest.mark.parametrize(
    "wrong",
    [
        "fatal_alert:0:40",
        "fatal_alert:3:80",
        "fatal_alert:4:42",
        "warning_alert:0:112",
        "fin:0",
        "fin:4",
        "reset:2",
        "stall:0",
        "stall:4",
        "no fatal_alert:0:40",
        "reset:0 no",
    ],
)
def test_a_handshake_that_the_server_ends(trip: Callable[..., Trip], wrong: str) -> None:
    script = CLIENT + "".join(f"talk({i})\n" for i in range(len(wrong.split())))
    done = trip(LEAF + SERVER + f'misbehave = "{wrong}"\n', script)
    (server,) = done.world.servers
    assert server.misbehave == wrong
    assert done.consoles[0] == done.consoles[1] != ""


def test_sizes_of_records_and_segments(trip: Callable[..., Trip]) -> None:
    done = trip(LEAF + SERVER + "record_size = 150\nmss = 200\n", CLIENT + "talk(0)\n")
    (server,) = done.world.servers
    assert (server.record_size, server.mss, server.echo) == (150, 200, True)
    for packets in done.captures:
        assert max(size for _, _, size in lines(packets, 443)) == 200


def test_round_trips_and_delays(trip: Callable[..., Trip]) -> None:
    slow = '[[rule]]\nmatch = "IP.src == 93.184.215.14"\naction = "hold"\ndelay_ms = 80\n'
    slow += '[[rule]]\nmatch = "UDP.sport == 53"\naction = "hold"\ndelay_ms = 40\n'
    keys = "handshake_delay_ms = 300\n"
    done = trip(LEAF + SERVER + keys + slow, CLIENT + "talk(0)\n")
    held = {rule.match: rule.delay_ms for rule in done.world.rules}
    assert held == {"IP.src == 93.184.215.14": 80, "UDP.sport == 53": 40}
    assert abs(done.world.servers[0].handshake_delay_ms - 300) <= 2
    assert abs(span(done.captures[0]) - span(done.captures[1])) < 0.005


def span(packets: Any) -> float:
    """From the first SYN to the server's first data."""
    segments = [p for p in packets if p.haslayer(TCP)]
    answer = next(p for p in segments if p[TCP].sport == 443 and p.haslayer(Raw))
    return float(answer.time - segments[0].time)


@pytest.mark.parametrize(
    "rule",
    [
        'match = "TCP.dport == 443 TCP.flags & S"\ndirection = "from_camera"\nnth = 1\ncount = 1',
        'match = "TCP.dport == 443 Raw"\ndirection = "from_camera"\nnth = 2\ncount = 1',
        'match = "TCP.sport == 443 Raw"\ndirection = "to_camera"\nnth = 2\ncount = 1',
    ],
)
def test_what_is_lost_is_lost_again(trip: Callable[..., Trip], rule: str) -> None:
    world = LEAF + SERVER + "mss = 200\n" + f'[[rule]]\naction = "drop"\n{rule}\n'
    done = trip(world, CLIENT + "talk(0)\n")
    assert done.world.rules
    first, second = (lines(packets, 443) for packets in done.captures)
    # a signature's size varies, and with it that of the segment at its end
    data = [[(who, flags) for who, flags, size in got if size] for got in (first, second)]
    assert data[0] == data[1]
    assert [f for _, f, _ in first].count("S") == [f for _, f, _ in second].count("S")
    assert done.consoles[0] == done.consoles[1] != ""

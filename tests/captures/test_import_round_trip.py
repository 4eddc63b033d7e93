"""omvsim import: a run, its capture's import, and a run with that show the camera the same."""

import struct
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from io import StringIO
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from omvsim.cli import Interrupt
from omvsim.commands.import_ import import_capture
from omvsim.testbed import SECOND, ScriptError, Testbed, TimeLimit
from scapy.layers.inet import IP, TCP
from scapy.packet import Raw
from scapy.utils import rdpcap

from netsim import scenario as scenarios

CLOCK = "[camera]\nrtc = 2026-06-15T12:00:00Z\n"
FILES = """\
[camera.files]
"ca.der" = { certificate = "ca" }
"server.der" = { certificate = "own" }
"server.key" = { key = "own" }
[certificates.own]
names = ["camera.local"]
"""
# RSA key exchange is the camera's quickest; netsim's own misbehaving peers know P-256 only
RSA, QUICK = 'key = "RSA-2048"\n', 'ciphers = "AES128-GCM-SHA256"\n'
ROOT = '[certificates.ca]\nca = true\ncommon_name = "ca"\n' + RSA
P256 = '[certificates.leaf]\nissuer = "ca"\nnames = ["example.com"]\n'
LEAF = P256 + RSA
SERVER = """\
[[server]]
kind = "tls"
name = "example.com"
address = "93.184.215.14"
port = 443
certificate = "leaf"
"""
TLS = LEAF + SERVER + QUICK
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


def without_secrets(content: bytes) -> bytes:
    """A pcapng (little-endian) as somebody without the keys has it."""
    kept, at = b"", 0
    while at < len(content):
        kind, size = struct.unpack_from("<II", content, at)
        kept += content[at : at + size] if kind != 10 else b""
        at += size
    return kept


@pytest.fixture
def trip(tmp_path: Path, image: Path) -> Callable[..., Trip]:
    def run(path: Path, name: str, script: str, seconds: int) -> str:
        """What the camera printed, whether or not it raised or went on."""
        printed = bytearray()
        with (
            suppress(ScriptError, TimeLimit),
            Testbed(image, path, out=tmp_path / name) as testbed,
        ):
            testbed.play(script.encode(), seconds * SECOND, printed.extend)
        return printed.decode().replace("\r\n", "\n")

    def travel(world: str, script: str, seconds: int = 20, secrets: bool = False) -> Trip:
        first, made = tmp_path / "first.toml", tmp_path / "made.toml"
        head, _, tables = world.partition("[")
        first.write_text(f"{head}{CLOCK}{FILES}{ROOT}[{tables}")
        before = run(first, "a", script, seconds)
        capture = tmp_path / "a/net.pcapng"
        if not secrets:
            capture = tmp_path / "outsider.pcapng"
            capture.write_bytes(without_secrets((tmp_path / "a/net.pcapng").read_bytes()))
        told, options = StringIO(), Namespace(
            capture=capture, camera=None, ca=None, keylog=None, out=made, force=False,
            interrupt=Interrupt(),
        )  # fmt: skip
        with redirect_stderr(told):
            assert import_capture(options) == 0
        assert "the suites of the device" not in told.getvalue()  # it has the camera's firmware
        text = made.read_text()
        root = "" if "[certificates.ca]" in text else ROOT
        made.write_text(text + FILES + root)
        after = run(made, "b", script, seconds)
        captures = rdpcap(str(tmp_path / "a/net.pcapng")), rdpcap(str(tmp_path / "b/net.pcapng"))
        return Trip(scenarios.load(made), told.getvalue(), (before, after), captures)

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
    done = trip(TLS + keys, CLIENT + "talk(0)\n")
    (server,) = done.world.servers
    assert (server.size, server.echo, server.end) == (1234, False, end)
    assert abs(server.delay_ms - 100) <= 2
    assert "1234 encrypted bytes" in done.told
    assert done.consoles[0] == done.consoles[1] != ""


@pytest.mark.parametrize(
    "wrong",
    [
        "fatal_alert:0:40 fatal_alert:3:80 fatal_alert:4:42 warning_alert:0:112",
        "reset:2 fin:0 fin:4 stall:0 stall:4",
        "reset:0 no",
        "stall:0",
    ],
)
def test_a_handshake_that_the_server_ends(trip: Callable[..., Trip], wrong: str) -> None:
    script = CLIENT + "".join(f"talk({i})\n" for i in range(len(wrong.split())))
    done = trip(P256 + SERVER + f'misbehave = "{wrong}"\n', script)
    (server,) = done.world.servers
    assert server.misbehave == wrong
    assert done.consoles[0] == done.consoles[1] != ""


def test_sizes_of_records_and_segments(trip: Callable[..., Trip]) -> None:
    done = trip(TLS + "record_size = 150\nmss = 200\n", CLIENT + "talk(0)\n")
    (server,) = done.world.servers
    assert (server.record_size, server.mss, server.echo) == (150, 200, True)
    for packets in done.captures:
        assert max(size for _, _, size in lines(packets, 443)) == 200


def test_round_trips_and_delays(trip: Callable[..., Trip]) -> None:
    slow = '[[rule]]\nmatch = "IP.src == 93.184.215.14"\naction = "hold"\ndelay_ms = 80\n'
    slow += '[[rule]]\nmatch = "UDP.sport == 53"\naction = "hold"\ndelay_ms = 40\n'
    keys = "handshake_delay_ms = 300\n"
    done = trip(TLS + keys + slow, CLIENT + "talk(0)\n")
    held = {rule.match: rule.delay_ms for rule in done.world.rules}
    assert held == {"IP.src == 93.184.215.14": 80 + 20, "UDP.sport == 53": 40}  # the way's 20 ms
    assert abs(done.world.servers[0].handshake_delay_ms - 300) <= 2
    assert abs(span(done.captures[0]) - span(done.captures[1])) < 0.005


@pytest.mark.parametrize("suite", ["ECDHE-RSA-AES256-GCM-SHA384", "AES128-SHA"])
def test_with_secrets_texts_are_carried_over(trip: Callable[..., Trip], suite: str) -> None:
    speech = f'greeting = "220 ready\\n"\necho = false\nciphers = "{suite}"\n'
    done = trip(LEAF + SERVER + speech, CLIENT + "talk(0)\n", secrets=True)
    [server] = done.world.servers
    assert (server.greeting, server.size, server.ciphers) == ("220 ready\n", 0, suite)
    assert "say" not in done.told
    assert done.consoles[0] == done.consoles[1] != ""


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
    world = TLS + "mss = 200\n" + f'[[rule]]\naction = "drop"\n{rule}\n'
    done = trip(world, CLIENT + "talk(0)\n")
    assert done.world.rules
    first, second = (lines(packets, 443) for packets in done.captures)
    # a signature's size varies, and with it that of the segment at its end
    data = [[(who, flags) for who, flags, size in got if size] for got in (first, second)]
    assert data[0] == data[1]
    assert [f for _, f, _ in first].count("S") == [f for _, f, _ in second].count("S")
    assert done.consoles[0] == done.consoles[1] != ""


SERVE = """\
import socket, ssl
sock = socket.socket()
sock.bind(socket.getaddrinfo("0.0.0.0", 8443)[0][-1])
sock.listen(1)
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ctx.load_cert_chain("server.der", "server.key")
for number in range(count):
    client, address = sock.accept()
    client.settimeout(5)
    try:
        s = ctx.wrap_socket(client, server_side=True)
        s.write(b"hello")
        print(number, address[0], len(s.read(77)), s.cipher()[0])
        print(s.read(1))
    except OSError as error:
        print(number, error.errno)
    client.close()
"""
VISITOR = """\
[[client]]
kind = "tls"
name = "pc"
address = "192.168.1.50"
port = 8443
"""


def test_clients_that_come_and_go(trip: Callable[..., Trip]) -> None:
    first = (
        'start_ms = 3000\nserver_name = "camera.local"\nciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"\n'
    )
    first += 'send = "x"\nsize = 77\nhold_ms = 700\nend = "fin"\n'
    second = "start_ms = 7000\nleave_ms = 200\n"
    third = 'start_ms = 9000\nmisbehave = "fatal_alert:1:48"\n'
    world = VISITOR + first
    world += VISITOR.replace(".50", ".51").replace("pc", "tab") + second
    world += VISITOR.replace(".50", ".52").replace("pc", "tv") + third
    done = trip(world, SERVE.replace("count", "3"))
    one, two, three = done.world.clients
    assert (str(one.address), one.port, one.server_name) == ("192.168.1.50", 8443, "camera.local")
    assert one.ciphers == "ECDHE-ECDSA-AES128-GCM-SHA256" and one.versions == ("TLSv1.2",)
    assert (one.size, one.end) == (77, "fin")
    assert abs(one.hold_ms - 700) <= 5
    assert abs(one.start_ms - 3000) <= 1 and abs(two.start_ms - 7000) <= 1
    assert abs(two.leave_ms - 200) <= 2
    assert three.misbehave == "fatal_alert:1:48"
    assert done.consoles[0] == done.consoles[1] != ""


def test_a_client_with_a_certificate(trip: Callable[..., Trip]) -> None:
    script = SERVE.replace("count", "1").replace(
        'ctx.load_cert_chain("server.der", "server.key")',
        'ctx.load_cert_chain("server.der", "server.key")\n'
        'ctx.verify_mode = ssl.CERT_REQUIRED\nctx.load_verify_locations(cafile="ca.der")',
    )
    world = LEAF.replace('names = ["example.com"]', 'common_name = "me"') + VISITOR
    done = trip(world + 'certificate = "leaf"\nsend = "x"\nsize = 77\nhold_ms = 700\n', script)
    (client,) = done.world.clients
    assert done.world.certificates[str(client.certificate)].common_name == "me"
    assert done.consoles[0] == done.consoles[1] != ""
    assert "0 192.168.1.50 77" in done.consoles[0]


def test_a_plain_client_and_server(trip: Callable[..., Trip]) -> None:
    script = """\
import socket
listener = socket.socket()
listener.bind(socket.getaddrinfo("0.0.0.0", 2000)[0][-1])
listener.listen(1)
client, address = listener.accept()
print(client.recv(100), address[0])
client.close()
sock = socket.socket()
sock.connect(socket.getaddrinfo("news.lan", 119)[0][-1])
while data := sock.recv(100):
    print(data)
"""
    world = VISITOR.replace("tls", "tcp").replace("8443", "2000") + 'send = "good day"\n'
    world += '[[server]]\nkind = "tcp"\nname = "news.lan"\naddress = "192.168.1.60"\nport = 119\n'
    world += 'greeting = "200 ready"\necho = false\ndelay_ms = 400\n'
    done = trip(world, script)
    (client,), (server,) = done.world.clients, done.world.servers
    assert (client.kind, client.send, client.port) == ("tcp", "good day", 2000)
    assert (server.name, server.greeting, server.echo) == ("news.lan", "200 ready", False)
    assert abs(server.delay_ms - 400) <= 2
    assert done.consoles[0] == done.consoles[1] != ""


DTLS_SERVER = """\
[[server]]
kind = "dtls"
name = "example.com"
address = "93.184.215.14"
certificate = "leaf"
"""
DTLS = """\
import socket, ssl, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(socket.getaddrinfo("example.com", 5684)[0][-1])
ctx = ssl.SSLContext(ssl.PROTOCOL_DTLS_CLIENT)
ctx.verify_mode = ssl.CERT_REQUIRED
ctx.load_verify_locations(cafile="ca.der")
sock.setblocking(False)  # a socket that blocks repeats nothing
s = ctx.wrap_socket(sock, server_hostname="example.com", do_handshake_on_connect=False)
while not s.write(b"hello"):
    time.sleep_ms(20)
while not (got := s.read(100)):
    time.sleep_ms(20)
print(got, s.cipher()[0])
s.close()
"""


def test_a_dtls_server(trip: Callable[..., Trip]) -> None:
    keys = 'ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"\nhandshake_delay_ms = 300\nignore = 1\n'
    done = trip(P256 + DTLS_SERVER + keys, DTLS)
    (server,) = done.world.servers
    assert (server.kind, server.port, server.ignore) == ("dtls", 5684, 1)
    assert server.ciphers == "ECDHE-ECDSA-AES256-GCM-SHA384"
    assert abs(server.handshake_delay_ms - 300) <= 5
    leaf = done.world.certificates[str(server.certificate)]
    assert leaf.names == ("example.com",)
    assert done.consoles[0] == done.consoles[1] != ""


def test_a_dtls_client(trip: Callable[..., Trip]) -> None:
    script = (Path(__file__).parents[2] / "firmware/examples/dtls_server.py").read_text()
    script = script.replace("    ssock.write", "    print('served')\n    ssock.write")
    world = VISITOR.replace("tls", "dtls").replace("8443", "5684")
    world += 'start_ms = 3000\nciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"\n'
    done = trip(world, script, 12)
    (client,) = done.world.clients
    assert (client.kind, str(client.address), client.port) == ("dtls", "192.168.1.50", 5684)
    assert client.ciphers == "ECDHE-ECDSA-AES128-GCM-SHA256"
    assert abs(client.start_ms - 3000) <= 1
    assert done.consoles[0] == done.consoles[1] == "served\n"


def test_the_network_and_its_services(trip: Callable[..., Trip]) -> None:
    world = """\
time = 2026-06-15T12:00:00Z
[network]
subnet = "10.1.2.0/25"
gateway = "10.1.2.126"
[dhcp]
first = "10.1.2.7"
last = "10.1.2.9"
lease_s = 777
[dns.zone]
"other.lan" = "10.1.2.33"
[[server]]
kind = "ntp"
name = "pool.ntp.org"
address = "162.159.200.1"
offset_s = -3600
[[server]]
kind = "tcp"
name = "echo.lan"
address = "10.1.2.50"
"""
    script = """\
import network, ntptime, socket, time
ntptime.settime()
print(time.gmtime()[:5], network.LAN().ifconfig())
for name in ("other.lan", "echo.lan"):
    print(socket.getaddrinfo(name, 7)[0][-1])
sock = socket.socket()
sock.connect(socket.getaddrinfo("echo.lan", 7)[0][-1])
sock.send(b"abc")
print(sock.recv(3))
"""
    done = trip(world, script)
    got = done.world
    assert (str(got.network.subnet), str(got.network.gateway)) == ("10.1.2.0/25", "10.1.2.126")
    assert (str(got.dhcp.first), str(got.dhcp.last), got.dhcp.lease_s) == (
        "10.1.2.7",
        "10.1.2.7",
        777,
    )
    assert got.dns.zone == {"other.lan": (IPv4Address("10.1.2.33"),)}
    assert {s.kind: s.offset_s for s in got.servers} == {"ntp": -3600, "tcp": 0}
    assert done.consoles[0] == done.consoles[1] != ""

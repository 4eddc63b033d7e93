"""The whole network, with a station of the stdlib's `ssl` at the camera's place."""

import hashlib
import shutil
import ssl
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from station import ADDRESS, Collector, OpenNetwork, SslClient, Station, lease

import netsim
from netsim import camera_port, endpoints
from netsim.errors import UserError
from netsim.stack.application import Stream
from netsim.stack.rto import MS, SECOND
from netsim.tls.openssl_random import Randomness

WEB = IPv4Address("93.184.215.14")
GET = b"GET / HTTP/1.0\r\nHost: example.com\r\n\r\n"


def context(world: netsim.Scenario) -> ssl.SSLContext:
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusted.load_verify_locations(cadata=netsim.camera_files(world)["ca.der"])
    return trusted


def example(
    world: netsim.Scenario, capture: Path | None = None, randomness: Randomness | None = None
) -> tuple[Station, SslClient]:
    """The ssl page's client example: DHCP, NTP, DNS, GET over TLS."""
    with netsim.build(world, capture) as network:
        station = Station(network)
        lease(station)
        station.ask_udp("162.159.200.1", 123, b"\x1b" + bytes(47))
        station.ask_udp("192.168.1.1", 53, bytes(DNS(id=3, qd=[DNSQR(qname="example.com")])))
        client = SslClient(context(world), "example.com", GET, randomness)
        station.host.connect(WEB, 443, client, station.now)
        station.run(5 * SECOND)
    return station, client


def test_the_example_gets_its_page() -> None:
    station, client = example(netsim.scenario.default())
    head, _, body = bytes(client.got).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"Example Domain" in body
    assert client.events[:2] == ["close_notify", "ended"]
    [peer] = station.network.peers
    assert (peer.version, peer.server_name, peer.error) == ("TLSv1.2", "example.com", None)
    assert peer.received == GET


def test_the_conversation_is_told() -> None:
    station, _ = example(netsim.scenario.default())
    texts = [e.text for e in station.network.camera.events if e.protocol != "ARP"]
    expected = [
        "DHCP DISCOVER",
        "DHCP OFFER 192.168.1.100",
        "DHCP REQUEST",
        "DHCP ACK 192.168.1.100",
        "NTP request",
        "NTP response",
        "DNS query example.com",
        "DNS example.com is 93.184.215.14",
        "TLS ClientHello example.com",
        "TLS ServerHello",
        "TLS Certificate",
        "TLS ServerKeyExchange",
        "TLS ServerHelloDone",
        "TLS ClientKeyExchange",
        "TLS Finished",
        "GET / HTTP/1.0",
        "200 OK",
    ]
    rest = iter(texts)
    assert [t for t in expected if t not in rest] == []
    times = [e.time for e in station.network.camera.events]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unknown_ca", "unable to get local issuer certificate"),
        ("wrong_name", "Hostname mismatch"),
        ("expired", "certificate has expired"),
    ],
)
def test_the_negatives_are_refused_by_openssl_too(name: str, message: str) -> None:
    station, client = example(netsim.scenario.named(name))
    assert isinstance(client.error, ssl.SSLCertVerificationError)
    assert message in client.error.verify_message
    assert client.got == b""
    assert "alert" in (station.network.peers[0].error or "")


def digest(seed: int, capture: Path) -> str:
    """Everything of a run: the frames with their times, and the capture."""
    station, client = example(netsim.scenario.default().with_seed(seed), capture, Randomness(3))
    assert b"Example Domain" in client.got
    return hashlib.sha256(repr(station.log).encode() + capture.read_bytes()).hexdigest()


def test_two_runs_are_equal_and_another_seed_is_not(tmp_path: Path) -> None:
    first, second, other = (digest(seed, tmp_path / "net.pcapng") for seed in (5, 5, 6))
    assert first == second != other


def test_processes_agree_byte_for_byte(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import pathlib, test_network as t\n"
        "print(t.digest(5, pathlib.Path(sys.argv[2])))\n"
    )
    run = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "a.pcapng")]
    digests = {subprocess.run(run, capture_output=True, check=True).stdout for _ in range(2)}
    assert digests == {digest(5, tmp_path / "a.pcapng").encode() + b"\n"}


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_tshark_decrypts_the_capture(tmp_path: Path) -> None:
    capture = tmp_path / "net.pcapng"
    example(netsim.scenario.default(), capture)
    fields = ["-T", "fields", "-e", "frame.time_epoch", "-e", "_ws.col.Protocol"]
    fields += ["-e", "_ws.col.Info"]
    run = ["tshark", "-r", str(capture), *fields]
    lines = subprocess.run(run, capture_output=True, check=True, text=True).stdout.splitlines()
    assert len(lines) > 15
    rows = [line.split("\t") for line in lines]
    protocols = {row[1] for row in rows}
    assert {"DHCP", "DNS", "NTP", "ARP", "TCP", "TLSv1.2", "HTTP"} <= protocols
    assert any("GET / HTTP/1.0" in row[2] for row in rows)
    assert any("200 OK" in row[2] for row in rows)
    times = [row[0] for row in rows]
    assert times == sorted(times)
    assert times[0].startswith("1781524800.000")  # 2026-06-15T12:00:00Z
    bad = ["tshark", "-r", str(capture), "-Y", "_ws.malformed || tcp.checksum.status == 0"]
    bad += ["-o", "tcp.check_checksum:TRUE"]
    assert subprocess.run(bad, capture_output=True, check=True).stdout == b""


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_a_killed_run_leaves_a_capture_that_opens(
    open_network: OpenNetwork, tmp_path: Path
) -> None:
    capture = tmp_path / "net.pcapng"
    network = open_network(netsim.scenario.default(), capture)
    station = Station(network)
    lease(station)
    run = ["tshark", "-r", str(capture)]  # not closed, as after a kill
    result = subprocess.run(run, capture_output=True, check=True, text=True)
    assert result.stdout.count("DHCP") == 4


def test_unknown_addresses_are_unreachable(open_network: OpenNetwork) -> None:
    network = open_network(netsim.scenario.default())
    station = Station(network)
    collector = Collector()
    station.host.connect(IPv4Address("8.8.8.8"), 80, collector, 0)
    station.run(SECOND)
    assert "ICMP host unreachable" in [e.text for e in network.camera.events]
    station.host.connect(WEB, 81, collector, station.now)
    station.run(SECOND)
    assert collector.events == ["lost refused"]


def test_ping_both_ways(open_network: OpenNetwork) -> None:
    network = open_network(netsim.scenario.default())
    station = Station(network)
    for size in (-1, 65508, 10**400):
        with pytest.raises(UserError, match="write 0 to 65507"):
            network.ping(ADDRESS, 0, size=size)
    there = station.host.ping(IPv4Address("192.168.1.1"), 0)
    far = station.host.ping(WEB, 0, size=4000)  # fragments
    back = network.ping(ADDRESS, 0)
    lost = network.ping("192.168.1.77", 0)
    station.run(5 * SECOND)
    assert there.reply_ns and far.reply_ns and back.reply_ns
    assert lost.reply_ns is None
    # Two cables of 100 Mbit/s each way, 74 bytes and overhead, 5 us each, and ARP before it.
    assert 50_000 < there.reply_ns < 200_000
    assert far.reply_ns > there.reply_ns + 4000 * 80


def test_without_link_nothing_passes(open_network: OpenNetwork) -> None:
    network = open_network(netsim.scenario.default())
    station = Station(network)
    network.set_link(False, 0)
    ping = station.host.ping(IPv4Address("192.168.1.1"), 0)
    station.run(SECOND)
    assert ping.reply_ns is None and network.camera.events == []
    network.set_link(True, station.now)
    ping = station.host.ping(IPv4Address("192.168.1.1"), station.now)
    station.run(3 * SECOND)
    assert ping.reply_ns is not None


def test_of_a_long_conversation_the_last_part_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_port, "MOST_EVENTS", 10)
    monkeypatch.setattr(endpoints, "MOST_PEERS", 4)
    with netsim.build(netsim.scenario.default()) as network:
        station, told = Station(network), list[netsim.Event]()
        network.camera.on_event = told.append
        for _ in range(20):
            station.host.connect(IPv4Address("93.184.215.14"), 443, Collector(b"?"), station.now)
            station.run(SECOND)
        assert len(told) > 40
        assert 5 <= len(network.camera.events) <= 10
        assert network.camera.events == told[-len(network.camera.events) :]
        assert 2 <= len(network.peers) <= 4


@pytest.mark.parametrize("seed", range(5))
def test_a_page_gets_through_a_lossy_cable(seed: int) -> None:
    page = "".join(chr(65 + i % 26) for i in range(100_000))
    world = netsim.scenario.default()
    web = replace(world.servers[1], body=page)
    world = replace(world, servers=(world.servers[0], web))
    with netsim.build(world) as network:
        station = Station(network, loss=0.1, seed=seed)
        client = SslClient(context(world), "example.com", GET)
        station.host.connect(WEB, 443, client, 0)
        station.run(300 * SECOND)
    assert bytes(client.got).partition(b"\r\n\r\n")[2] == page.encode()
    assert network.peers[0].error is None
    assert any("retransmission" in e.text for e in network.camera.events)


def test_a_server_with_small_segments_stays_open(open_network: OpenNetwork) -> None:
    world = netsim.scenario.loads(
        '[[server]]\nkind = "tcp"\nname = "a"\naddress = "10.9.8.7"\nmss = 300\n'
        'greeting = "x"\nsize = 1000\necho = false\nend = "never"\n'
    )
    station = Station(open_network(world))
    frames: list[bytes] = []
    station.network.camera.on_frame = lambda frame, _: frames.append(frame)
    lease(station)
    client = Collector(bytes(1000))
    station.host.connect(IPv4Address("10.9.8.7"), 7, client, station.now)
    station.run(5 * SECOND)
    assert (client.got, client.events) == (b"x" * 1000, ["opened"])
    segments = [packet[TCP] for packet in map(Ether, frames) if packet.haslayer(TCP)]
    sizes = {s.sport == 7: len(s[Raw]) for s in reversed(segments) if s.haslayer(Raw)}
    assert sizes == {True: 300, False: 300}  # the first of each side
    assert [dict(s.options)["MSS"] for s in segments if s.flags == "SA"] == [300]


def test_a_tcp_client_comes_and_hears(open_network: OpenNetwork) -> None:
    world = netsim.scenario.loads(
        '[[client]]\nkind = "tcp"\nname = "pc"\naddress = "10.9.8.7"\nport = 7\nsend = "hi"\n'
    )
    station = Station(open_network(world))
    told: list[netsim.Event] = []
    station.network.camera.on_event = told.append

    class Echo(Collector):
        def received(self, stream: Stream, data: bytes) -> None:
            super().received(stream, data)
            stream.write(data)
            stream.close()

    station.host.listen(7, lambda: Echo(b""))
    lease(station)
    station.run(5 * SECOND)
    [peer] = station.network.peers
    assert (peer.received, peer.error) == (b"hi", None) and peer.closed_ns
    assert told == station.network.camera.events[-len(told) :] != []


CLIENTS = """
[certificates.ca]
ca = true
[certificates.camera]
issuer = "ca"
names = ["camera.local"]
[certificates.pc]
issuer = "ca"
[[client]]
kind = "tls"
name = "pc"
address = "192.168.1.50"
port = 8443
server_name = "camera.local"
verify = "ca"
certificate = "pc"
start_ms = 100
retry_ms = 200
count = 3
send = "hi"
hold_ms = 50
"""


def test_clients_come_to_a_tls_server(open_network: OpenNetwork, tmp_path: Path) -> None:
    world = netsim.scenario.loads(CLIENTS)
    made = netsim.tls.certificates.Authority(world)
    network = open_network(world)
    station = Station(network)
    lease(station)
    station.run(SECOND)  # nobody listens yet
    assert network.peers == [] or network.peers[-1].opened_ns is None
    chain = tmp_path / "chain.pem"
    chain.write_bytes(made["camera"].key_pem + made["camera"].chain_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(cadata=made["ca"].der)
    seen: list[SslClient] = []

    class Accepting(SslClient):
        def __init__(self) -> None:
            Collector.__init__(self, b"hello\n")
            self.randomness = nullcontext()
            self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.ssl = server.wrap_bio(self.incoming, self.outgoing, server_side=True)
            self.ready, self.error = False, None
            seen.append(self)

    station.host.listen(8443, Accepting)
    station.run(5 * SECOND)
    assert [bytes(s.got) for s in seen] == [b"hi"] * 3
    assert [bytes(p.received) for p in network.peers] == [b"hello\n"] * 3
    assert all(p.verified and p.version == "TLSv1.2" for p in network.peers)
    assert network.peers[0].certificate == made["camera"].der


def test_a_port_in_time_wait_is_used_again(open_network: OpenNetwork) -> None:
    network = open_network(netsim.scenario.default())
    station = Station(network)
    hello = Collector(b"nonsense\r\n\r\n")  # the server closes first and keeps TIME-WAIT
    station.host.connect(WEB, 443, hello, 0)
    station.run(SECOND)
    station.host._ephemeral -= 1
    again = SslClient(context(network.scenario), "example.com", GET)
    station.host.connect(WEB, 443, again, station.now)
    station.run(SECOND)
    assert b"Example Domain" in again.got


def test_bulk_over_tcp_is_fast(open_network: OpenNetwork) -> None:
    text = "x" * (1 << 20)
    world = netsim.scenario.loads(
        '[[server]]\nkind = "tcp"\nname = "bulk"\naddress = "192.168.1.9"\nport = 9\n'
        f'echo = false\ngreeting = "{text}"\n'
    )
    network = open_network(world)
    station = Station(network)
    collector = Collector()
    station.host.connect(IPv4Address("192.168.1.9"), 9, collector, 0)
    began = time.perf_counter()
    station.run(60 * SECOND)
    took = time.perf_counter() - began
    assert len(collector.got) == 1 << 20
    assert took < 3
    done = next(t for t, f in reversed(station.log) if len(f) > 1000)
    assert 80 * MS < done < 200 * MS  # 100 Mbit/s carry a MiB in 90 ms


@pytest.mark.parametrize(("keys", "way"), [("", 20), ("round_trip_ms = 0\n", 0)])
def test_the_way_beyond_the_gateway_takes_its_time(keys: str, way: int) -> None:
    """And no other: the gateway answers at once."""
    server = '[[server]]\nkind = "tcp"\nname = "far"\naddress = "192.0.2.9"\n'
    world = netsim.scenario.loads(f"[network]\n{keys}" + server)
    with netsim.build(world) as network:
        station = Station(network)
        lease(station)
        times = []
        for target in ("192.168.1.1", "192.168.1.1", "192.0.2.9"):  # the first asks by ARP
            ping = station.host.ping(IPv4Address(target), station.now)
            station.run(SECOND)
            assert ping.reply_ns is not None
            times.append(ping.reply_ns - ping.sent_ns)
    assert times[2] - times[1] == way * MS

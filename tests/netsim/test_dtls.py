"""DTLS peers in both roles, against a plain pyOpenSSL connection."""

import shutil
import subprocess
from contextlib import suppress
from ipaddress import IPv4Address
from itertools import pairwise
from pathlib import Path

import pytest
from OpenSSL import SSL
from OpenSSL.crypto import X509
from station import Station, lease

import netsim
from netsim.stack.host import Host
from netsim.stack.rto import SECOND
from netsim.stack.wire import Datagram, Packet
from netsim.tls.certificates import Authority
from netsim.tls.records import dtls_records

ECHO = IPv4Address("192.168.1.9")
WORLD = """
[certificates.ca]
ca = true
[certificates.echo]
issuer = "ca"
names = ["echo.local"]
[certificates.camera]
issuer = "ca"
not_before = 2026-06-01T00:00:00Z
not_after = 2026-07-01T00:00:00Z
"""
SERVER = """
[[server]]
kind = "dtls"
name = "echo.local"
address = "192.168.1.9"
certificate = "echo"
"""
CLIENT = """
[[client]]
kind = "dtls"
name = "pc"
address = "192.168.1.50"
port = 5000
start_ms = 0
send = "hi"
verify = "ca"
count = 2
"""


class PlainDtls:
    """A service that runs one pyOpenSSL connection, record by record."""

    def __init__(self, context: SSL.Context, text: bytes = b"") -> None:
        self.ssl = SSL.Connection(context, None)
        self.ssl.set_ciphertext_mtu(1400)
        self.text, self.got = text, b""
        self.ready, self.error, self.closed = False, None, False

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        self.ssl.bio_write(datagram.payload)
        self.pump(host, packet.source, datagram.source_port, datagram.destination_port)

    def pump(self, host: Host, address: IPv4Address, port: int, own: int) -> None:
        try:
            if not self.ready:
                self.ssl.do_handshake()
                self.ready = True
                self.ssl.send(self.text)
            while True:
                self.got += self.ssl.recv(4096)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.closed = True
        except SSL.Error as error:
            self.error = error
        with suppress(SSL.WantReadError):
            host.send_udp((address, port), own, self.ssl.bio_read(65536))


def client_context(made: Authority) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(X509.from_cryptography(made["ca"].x509))
    context.set_verify(SSL.VERIFY_PEER)
    return context


def called_by(station: Station, context: SSL.Context, port: int = 6000) -> PlainDtls:
    """A client of pyOpenSSL at the station, which has said hello to ECHO."""
    client = PlainDtls(context, b"ping")
    client.ssl.set_connect_state()
    station.host.udp(port, client)
    client.pump(station.host, ECHO, 5684, port)
    return client


def visit(world: netsim.Scenario, capture: Path | None = None) -> tuple[PlainDtls, netsim.Network]:
    with netsim.build(world, capture) as network:
        station = Station(network)
        client = called_by(station, client_context(Authority(world)))
        station.run(5 * SECOND)
    return client, network


def test_server_echoes_after_a_cookie() -> None:
    client, network = visit(netsim.scenario.loads(WORLD + SERVER + 'greeting = "hello "\n'))
    assert client.got == b"hello ping"
    [peer] = network.peers
    assert (peer.version, peer.received, peer.error) == ("DTLSv1.2", b"ping", None)
    told = [e.text for e in network.camera.events if e.protocol == "DTLS"]
    assert told[:3] == ["DTLS ClientHello", "DTLS HelloVerifyRequest", "DTLS ClientHello"]
    assert told[3].startswith("DTLS ServerHello, Certificate")


def test_server_that_only_greets_closes() -> None:
    client, _ = visit(netsim.scenario.loads(WORLD + SERVER + 'greeting = "x"\necho = false\n'))
    assert client.got == b"x" and client.closed


def test_wrong_cookie_gets_no_session() -> None:
    with netsim.build(netsim.scenario.loads(WORLD + SERVER)) as network:
        station = Station(network)
        hello = bytes.fromhex("16feff0000000000000000002f010000230000000000000023fefd")
        hello += bytes(32) + b"\0\0\0\0\2\0\x2f\1\0"
        hello = hello[:11] + (len(hello) - 13).to_bytes(2, "big") + hello[13:]
        size = (len(hello) - 25).to_bytes(3, "big")
        hello = hello[:14] + size + hello[17:22] + size + hello[25:]
        for _ in range(3):
            answers = station.ask_udp(str(ECHO), 5684, hello)
            assert dtls_records(answers[-1]) == ["HelloVerifyRequest"]
        assert network.peers == []


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_tshark_decrypts_dtls(tmp_path: Path) -> None:
    capture = tmp_path / "net.pcapng"
    visit(netsim.scenario.loads(WORLD + SERVER), capture)
    run = ["tshark", "-r", str(capture), "-V"]  # takes port 5684 for CoAP over DTLS
    out = subprocess.run(run, capture_output=True, check=True, text=True).stdout
    assert "Decrypted DTLS (4 bytes)" in out or "Constrained Application Protocol" in out
    assert "Handshake Protocol: Finished" in out


@pytest.mark.parametrize(
    ("time", "error"),
    [("2026-06-15T12:00:00Z", None), ("2027-01-01T00:00:00Z", "certificate verify failed")],
)
def test_client_visits_and_judges_by_the_scenarios_time(time: str, error: str | None) -> None:
    world = netsim.scenario.loads(f"time = {time}\n" + WORLD + CLIENT)
    made = Authority(world)
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    context.use_certificate(made["camera"].x509)
    context.use_privatekey(made["camera"].key)
    servers: dict[int, PlainDtls] = {}

    class Accepting:
        def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
            if datagram.source_port not in servers:
                servers[datagram.source_port] = PlainDtls(context, b"bye")
                servers[datagram.source_port].ssl.set_accept_state()
            session = servers[datagram.source_port]
            session.datagram(host, packet, datagram)
            if session.got:
                with suppress(SSL.WantReadError):
                    session.ssl.shutdown()
                session.pump(host, packet.source, datagram.source_port, 5000)

    with netsim.build(world) as network:
        station = Station(network)
        lease(station)
        station.run(2 * SECOND)  # nobody answers yet
        assert [p for p in network.peers if p.opened_ns] == []
        station.host.udp(5000, Accepting())
        station.run(5 * SECOND)
        visits = [p for p in network.peers if p.opened_ns]
    assert [p.error for p in visits] == [error] * 2
    assert [p.verified for p in visits] == [error is None] * 2
    assert [s.got for s in servers.values()] == [b"hi" if error is None else b""] * 2


def test_records_of_damaged_datagrams() -> None:
    assert dtls_records(b"") == dtls_records(b"\x16\xfe\xfd") == []
    assert dtls_records(b"\x15\xfe\xfd" + bytes(8) + b"\0\2\2\x28") == ["alert, handshake_failure"]


class Forgetful:
    """A DTLS server behind a network that loses its first `lost` datagrams."""

    def __init__(self, context: SSL.Context, lost: int) -> None:
        self.context, self.lost = context, lost
        self.server: PlainDtls | None = None
        self.arrived: list[tuple[int, bytes]] = []

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        self.arrived.append((host.now, datagram.payload))
        if len(self.arrived) <= self.lost:
            return
        if self.server is None:
            self.server = PlainDtls(self.context, b"bye")
            self.server.ssl.set_accept_state()
        self.server.datagram(host, packet, datagram)


def called(lost: int, seconds: int, **options: object) -> tuple[Forgetful, netsim.Peer]:
    """What comes of a client's visit where the first datagrams are lost."""
    world = netsim.scenario.loads(WORLD).with_one(
        "client", kind="dtls", name="pc", address="192.168.1.50", port=5000, start_ms=5000,
        retry_ms=60000, send="hi", **options,
    )  # fmt: skip
    made = Authority(world)
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    context.use_certificate(made["camera"].x509)
    context.use_privatekey(made["camera"].key)
    service = Forgetful(context, lost)
    with netsim.build(world) as network:
        station = Station(network)
        lease(station)
        station.host.udp(5000, service)
        station.run((5 + seconds) * SECOND)
        return service, network.peers[0]


def test_a_client_repeats_its_flight_later_and_later() -> None:
    """RFC 6347 section 4.2.4.1: a second at first, then twice as long each time."""
    service, peer = called(lost=3, seconds=30)
    assert peer.error is None and service.server and service.server.got == b"hi"
    times = [time for time, _ in service.arrived[:4]]
    assert [round((b - a) / SECOND) for a, b in pairwise(times)] == [1, 2, 4]


def test_repeated_records_have_numbers_of_their_own() -> None:
    """Else the other end takes them for replayed ones (RFC 6347 section 4.1.2.6)."""
    service, _ = called(lost=2, seconds=20)
    numbers = [payload[5:11] for _, payload in service.arrived if payload[3:5] == b"\0\0"]
    assert len(set(numbers)) == len(numbers) >= 4
    bodies = [payload[13:] for _, payload in service.arrived[:3]]
    assert bodies[0] == bodies[1] == bodies[2]


def test_a_client_that_takes_its_time() -> None:
    service, peer = called(lost=0, seconds=20, handshake_delay_ms=5000)
    assert peer.secured_ns is not None
    times = [time for time, _ in service.arrived]
    assert 4.9 * SECOND < times[1] - times[0] < 5.1 * SECOND


def test_a_client_that_leaves() -> None:
    service, peer = called(lost=0, seconds=20, handshake_delay_ms=5000, leave_ms=1000)
    assert len(service.arrived) == 1 and peer.secured_ns is None


def test_a_server_that_ignores_the_first() -> None:
    world = netsim.scenario.loads(WORLD + SERVER + "ignore = 1\n")
    with netsim.build(world) as network:
        station = Station(network)
        client = called_by(station, client_context(Authority(world)))
        station.run(SECOND)
        assert network.peers == [] and not client.ready
        hello = next(frame for _, frame in station.log if b"\x16\xfe\xff" in frame)
        station.network.receive(hello, station.now)
        station.run(SECOND)
    assert client.got == b"ping"


def test_an_empty_datagram_is_none() -> None:
    """OpenSSL takes no bytes for the end of its input."""
    world = netsim.scenario.loads(WORLD + SERVER)
    with netsim.build(world) as network:
        station = Station(network)
        client = called_by(station, client_context(Authority(world)))
        station.run(SECOND)
        station.host.now = station.now
        station.host.send_udp((ECHO, 5684), 6000, b"")
        station.run(SECOND)
    assert client.got == b"ping"

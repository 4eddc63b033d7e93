"""Damaged handshakes and records, for netsim's eight ends of TLS and DTLS (ci/soak load)."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Iterator
from ipaddress import IPv4Address

from omvsim.testbed import MILLISECOND, SECOND
from OpenSSL import SSL
from station import Mailbox, SslClient, Station, lease
from test_dtls import PlainDtls, called_by, client_context
from test_tls12 import Server

import netsim
from netsim import scenario as scenarios
from netsim.fuzz import damaged
from netsim.stack.application import Address, Application, Stream
from netsim.stack.host import Host
from netsim.stack.wire import Datagram, Packet
from netsim.tls.certificates import Authority, Certificate
from netsim.tls.openssl import in_memory

Row = tuple[str, float, str, bool]  # what, the figure, its unit, is it within its bound?
SERVER = IPv4Address("192.168.1.9")
WORLD = """
[certificates.ca]
ca = true
[certificates.server]
issuer = "ca"
names = ["bulk.lan"]
[camera.files]
"ca.der" = { certificate = "ca" }
"server.der" = { certificate = "server" }
"server.key" = { key = "server" }
[[server]]
kind = "tcp"
name = "bulk.lan"
address = "192.168.1.9"
port = 9000
[[server]]
kind = "tls"
name = "bulk.lan"
address = "192.168.1.9"
port = 9443
certificate = "server"
"""


def tls_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with in_memory("server.pem") as file:
        file.write(certificate.key_pem + certificate.chain_pem)
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context


def dtls_context(certificate: Certificate) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    context.use_certificate(certificate.x509)
    context.use_privatekey(certificate.key)
    return context


def trusting() -> ssl.SSLContext:
    """A client that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Thrower(Application):
    """Sends something that is no handshake, and leaves."""

    def __init__(self, data: bytes) -> None:
        self._data, self.over = data, False

    def opened(self, stream: Stream) -> None:
        stream.write(self._data)
        stream.close()

    def ended(self, stream: Stream) -> None:
        self.over = True
        stream.close()

    def lost(self, stream: Stream, error: str | None) -> None:
        self.over = True


class Recorder(SslClient):
    """An honest client, and what it sends, by flight."""

    flights: list[bytes]

    def pump(self, stream: Stream) -> None:
        write = stream.write

        def noted(data: bytes) -> None:
            self.flights.append(data)
            write(data)

        stream.write = noted  # type: ignore[method-assign]
        super().pump(stream)
        stream.write = write  # type: ignore[method-assign]


def records(count: int = 20_000) -> Iterator[Row]:
    """Damaged handshakes for the servers of netsim, OpenSSL's and the one of its own: each ends."""
    for whose, more in (("OpenSSL", {}), ("netsim", {"misbehave": "no"})):
        world = scenarios.loads(WORLD.replace("port = 9443", "port = 9444")).with_one(
            "server", kind="tls", name="bulk.lan", address="192.168.1.9", port=9443,
            certificate="server", **more,
        )  # fmt: skip
        dice = random.Random(1)
        began = time.process_time()
        with netsim.build(world) as network:
            station = Station(network)
            context = trusting()
            honest = Recorder(context, "bulk.lan", b"ping")
            honest.flights = []
            station.host.connect(SERVER, 9443, honest, 0)
            station.run(SECOND)
            good = honest.ready
            wholes = [bytes(14) + flight for flight in honest.flights]
            for _ in range(count):
                flights = [
                    b"" if dice.random() < 0.2 else damaged(dice, w, wholes)[14:] for w in wholes
                ]
                station.host.connect(SERVER, 9443, Thrower(b"".join(flights)), station.now)
                station.run(SECOND)
            again = SslClient(context, "bulk.lan", b"ping")
            station.host.connect(SERVER, 9443, again, station.now)
            station.run(SECOND)
            good = good and bytes(again.got) == b"ping"
        seconds = time.process_time() - began
        yield f"{count} damaged handshakes for TLS of {whose}", seconds, "s of a core", good


def datagrams(count: int = 20_000) -> Iterator[Row]:
    """Damaged handshakes of DTLS, the same."""
    for whose, more in (("OpenSSL", {}), ("netsim", {"misbehave": "no"})):
        world = scenarios.loads(WORLD).with_one(
            "server", kind="dtls", name="d.lan", address="192.168.1.9", certificate="server", **more
        )
        began = time.process_time()
        with netsim.build(world) as network:
            good = _throw(Station(network), client_context(Authority(world)), count)
        seconds = time.process_time() - began
        yield f"{count} damaged handshakes for DTLS of {whose}", seconds, "s of a core", good


def _throw(station: Station, context: SSL.Context, count: int) -> bool:
    """Is an honest client served before damaged handshakes, and after?"""
    dice, host = random.Random(1), station.host
    wholes: list[bytes] = []
    send = host.send_udp

    def noted(target: Address, own: int, payload: bytes, mac: bytes | None = None) -> None:
        wholes.append(bytes(14) + payload)
        send(target, own, payload, mac)

    def visit(port: int) -> bool:
        client = called_by(station, context, port)
        station.run(5 * SECOND)
        return client.got == b"ping"

    host.send_udp = noted  # type: ignore[method-assign]
    good = visit(6000)
    host.send_udp = send  # type: ignore[method-assign]
    host.udp(6000, Mailbox())
    for _ in range(count):
        for whole in wholes:
            host.now = station.now
            data = damaged(dice, whole, wholes)[14:] if dice.random() < 0.5 else whole[14:]
            send((SERVER, 5684), 6000, data)
            station.run(10 * MILLISECOND)
    return visit(6001) and good


class Breaker:
    """Damages half of the flights while it is on."""

    def __init__(self) -> None:
        self.dice, self.on, self.wholes = random.Random(1), True, [bytes(15)]
        self.met = 0  # handshakes

    def __call__(self, flight: bytes) -> bytes:
        whole = bytes(14) + flight
        self.wholes = [*self.wholes[-20:], whole]
        broken = self.on and self.dice.random() < 0.5
        return damaged(self.dice, whole, self.wholes)[14:] if broken else flight


class BrokenServer(Server):
    """OpenSSL behind a breaker."""

    def __init__(self, context: ssl.SSLContext, breaker: Breaker) -> None:
        super().__init__(context)
        self._breaker = breaker
        breaker.met += 1

    def received(self, stream: Stream, data: bytes) -> None:
        write = stream.write
        stream.write = lambda flight: write(self._breaker(flight))  # type: ignore[method-assign]
        super().received(stream, data)
        stream.write = write  # type: ignore[method-assign]


class BrokenDtls:
    """OpenSSL for each that calls, behind a breaker."""

    def __init__(self, context: SSL.Context, breaker: Breaker, host: Host) -> None:
        self._context, self._breaker = context, breaker
        self._sessions: dict[Address, PlainDtls] = {}
        self.last: PlainDtls | None = None  # whom the present one has followed
        send = host.send_udp

        def broken(target: Address, own: int, payload: bytes, mac: bytes | None = None) -> None:
            send(target, own, breaker(payload), mac)

        host.send_udp = broken  # type: ignore[method-assign]

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        caller = packet.source, datagram.source_port
        if caller not in self._sessions:
            self._breaker.met += 1
            self.last = next(iter(self._sessions.values()), None)
            self._sessions = {caller: PlainDtls(self._context, b"welcome")}
            self._sessions[caller].ssl.set_accept_state()
        self._sessions[caller].datagram(host, packet, datagram)


def visitors(count: int = 20_000, kinds: tuple[str, ...] = ("tls", "dtls")) -> Iterator[Row]:
    """Damaged handshakes for the clients of netsim, over TLS and DTLS: each visit ends."""
    for kind in kinds:
        for whose, more in (("OpenSSL", {}), ("netsim", {"misbehave": "no"})):
            world = scenarios.loads(WORLD).with_one(
                "client", kind=kind, name="pc", address="192.168.1.50", port=9000, start_ms=5000,
                retry_ms=500, leave_ms=2000, send="hi", hold_ms=100, count=2**31, **more,
            )  # fmt: skip
            began = time.process_time()
            with netsim.build(world) as network:
                good = _welcome(Station(network), Authority(world), kind, count)
            seconds = time.process_time() - began
            what = f"{count} damaged handshakes for {kind.upper()} clients of {whose}"
            yield what, seconds, "s of a core", good


def _welcome(station: Station, made: Authority, kind: str, count: int) -> bool:
    """Do visits go on through damaged handshakes, and do honest ones come to their end?"""
    breaker, peers = Breaker(), station.network.peers
    lease(station)
    if kind == "tls":
        context = tls_context(made["server"])
        station.host.listen(9000, lambda: BrokenServer(context, breaker))
    else:
        datagrams = BrokenDtls(dtls_context(made["server"]), breaker, station.host)
        station.host.udp(9000, datagrams)
    while breaker.met < count:
        before = breaker.met
        station.run(10 * SECOND)
        if breaker.met == before:
            return False
    breaker.on = False
    station.run(10 * SECOND)
    return any(bytes(peer.received) == b"welcome" for peer in peers[-3:])

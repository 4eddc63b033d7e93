"""Handshakes and records that are damaged, for every end of TLS and DTLS: netsim's eight, and the
camera's four (ci/soak load).
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address

from omvsim.testbed import MILLISECOND, SECOND, Testbed, TimeLimit
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
#: the camera's next socket is there before a client comes again with its cookie
FAR = '[[fault]]\nkind = "delay"\ndirection = "to_camera"\ndelay_ms = 20\n'


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
                del network.peers[:-1]
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


def visitors(count: int = 20_000) -> Iterator[Row]:
    """Damaged handshakes for the clients of netsim, over TLS and DTLS: each visit ends."""
    for kind in ("tls", "dtls"):
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
        del peers[:-1]
    breaker.on = False
    station.run(10 * SECOND)
    return any(bytes(peer.received) == b"welcome" for peer in peers[-3:])


ECHO = """
import socket, ssl
def made(protocol):
    context = ssl.SSLContext(protocol)
    if protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_DTLS_SERVER):
        context.load_cert_chain("server.der", "server.key")
    else:
        context.verify_mode = ssl.CERT_NONE
    return context
def echo(context, sock, first=b"", **more):
    try:
        sock.settimeout(2)
        wrapped = context.wrap_socket(sock, **more)
        if first: wrapped.write(first)
        while data := wrapped.read(4): wrapped.write(data)
    except OSError:
        pass
    sock.close()
"""
ENDS = {
    "TLS server": """
context, listener = made(ssl.PROTOCOL_TLS_SERVER), socket.socket()
listener.bind(("0.0.0.0", 8443))
listener.listen(1)
while True: echo(context, listener.accept()[0], server_side=True)
""",
    "TLS client": """
context = made(ssl.PROTOCOL_TLS_CLIENT)
address = socket.getaddrinfo("bulk.lan", 7443)[0][-1]
while True:
    sock = socket.socket()
    sock.connect(address)
    echo(context, sock, b"ping")
""",
    "DTLS server": """
context = made(ssl.PROTOCOL_DTLS_SERVER)
while True:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("0.0.0.0", 5684))
    _, caller = sock.recvfrom(1, socket.MSG_PEEK)
    sock.connect(caller)
    echo(context, sock, server_side=True, client_id=repr(caller).encode())
""",
    "DTLS client": """
context = made(ssl.PROTOCOL_DTLS_CLIENT)
while True:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(socket.getaddrinfo("bulk.lan", 7684)[0][-1])
    echo(context, sock, b"ping")
""",
}


class BrokenClient(SslClient):
    """OpenSSL behind a breaker."""

    breaker: Breaker
    stream: Stream

    def pump(self, stream: Stream) -> None:
        write, self.stream = stream.write, stream
        stream.write = lambda flight: write(self.breaker(flight))  # type: ignore[method-assign]
        super().pump(stream)
        stream.write = write  # type: ignore[method-assign]


class Facing:
    """OpenSSL behind a breaker at SERVER, and a camera that is one end of TLS or DTLS."""

    def __init__(self, testbed: Testbed, end: str) -> None:
        self.testbed, self.breaker, self.end, self.port = testbed, Breaker(), end, 20_000
        [self.host] = [h for h in testbed.network.hosts.values() if h.address == SERVER]
        made = Authority(testbed.scenario)["server"]
        tls, self.dtls, self._servers = tls_context(made), dtls_context(made), list[Server]()

        def accept() -> Server:
            self._servers = [*self._servers[-1:], BrokenServer(tls, self.breaker)]
            return self._servers[-1]

        self.accept = accept
        self.host.listen(7443, accept)
        self._answers = BrokenDtls(self.dtls, self.breaker, self.host)  # breaks what it sends, too
        self.host.udp(7684, self._answers)
        assert testbed.port.address is not None
        self.camera = testbed.port.address
        testbed.start(ECHO + ENDS[end])
        testbed.run_for(SECOND)

    def meet(self) -> bytes:
        """One handshake; what the camera has said in it. TimeLimit: the camera has gone silent."""
        self.port += 1
        if self.end == "TLS server":
            client = BrokenClient(trusting(), None, b"ping")
            client.breaker = self.breaker
            stream = self.host.connect(self.camera, 8443, client, self.testbed.now)
            self._until(lambda: client.got or client.error or len(client.events) > 1)
            stream.abort()
            return bytes(client.got)
        if self.end == "DTLS server":
            caller = self.call()
            self.testbed.run_for(3 * SECOND)  # the camera waits for no other meanwhile
            return caller.got
        met = self.breaker.met
        self.testbed.run_until(lambda: self.breaker.met > met, 30 * SECOND)
        self.testbed.run_until(lambda: self.breaker.met > met + 1, 30 * SECOND)
        done = self._servers[0] if self.end == "TLS client" else self._answers.last
        return done.got

    def call(self) -> PlainDtls:
        """A client for the camera's DTLS server, from a port of its own."""
        caller = PlainDtls(self.dtls, b"ping")
        caller.ssl.set_connect_state()
        self.host.udp(self.port, caller)
        self.host.now = self.testbed.now
        caller.pump(self.host, self.camera, 5684, self.port)
        self._until(lambda: caller.got or caller.error)
        return caller

    def _until(self, ready: Callable[[], object]) -> None:
        with suppress(TimeLimit):
            self.testbed.run_until(lambda: bool(ready()), 20 * SECOND)


def ends(count: int = 300) -> Iterator[Row]:
    """Damaged handshakes for the camera's four ends: it goes on, honest ones come through."""
    for end in ENDS:
        with Testbed(scenario=scenarios.loads(WORLD + FAR)) as testbed:
            testbed.boot()
            began, facing = time.process_time(), Facing(testbed, end)
            for _ in range(count):
                facing.meet()
            facing.breaker.on = False
            good = [facing.meet() for _ in range(3)][-1].startswith(b"ping")
        seconds = time.process_time() - began
        yield f"{count} damaged handshakes for the camera's {end}", seconds, "s of a core", good


def open_ends(count: int = 1_000_000) -> Iterator[Row]:
    """Damaged records on a DTLS connection that stays open (RFC 6347 4.1.2.7: dropped).

    Their length is right: less than a record header after a record ends the connection of Mbed TLS
    (ERR_SSL_INTERNAL_ERROR), and a hello with its cookie begins a new one (RFC 6347 4.2.8).
    """
    with Testbed(scenario=scenarios.loads(WORLD + FAR)) as testbed:
        testbed.boot()
        began, facing = time.process_time(), Facing(testbed, "DTLS server")
        breaker, host = facing.breaker, facing.host
        breaker.on = False
        client = facing.call()
        whole = breaker.wholes[-1][14:]  # application data
        for _ in range(count):
            host.now = testbed.now
            record = bytearray(whole)
            for _ in range(breaker.dice.randrange(1, 5)):
                record[breaker.dice.choice((*range(11), *range(13, len(whole))))] ^= (
                    1 << breaker.dice.randrange(8)
                )
            host.send_udp((facing.camera, 5684), facing.port, bytes(record))
            testbed.run_for(200_000)
        host.now = testbed.now
        client.ssl.send(b"last")
        client.pump(host, facing.camera, 5684, facing.port)
        testbed.run_for(SECOND)
        good = client.got == b"pinglast"
    seconds = time.process_time() - began
    yield f"{count} damaged records on an open connection of DTLS", seconds, "s of a core", good


def _first_record(dice: random.Random, flight: bytes) -> bytes:
    """A flight whose first header is damaged: content type, versions, lengths or message type."""
    record = bytearray(flight)
    record[dice.randrange(11)] ^= dice.randrange(1, 256)
    return bytes(record)


def hellos(count: int = 20_000, seed: int = 1) -> Iterator[Row]:
    """Connections to the camera's TLS server whose first record has a damaged header."""
    with Testbed(scenario=scenarios.loads(WORLD)) as testbed:
        testbed.boot()
        began, facing = time.process_time(), Facing(testbed, "TLS server")
        breaker, host, dice = facing.breaker, facing.host, random.Random(seed)
        breaker.on = False
        good = facing.meet().startswith(b"ping")
        hello = next(w[14:] for w in breaker.wholes if w[14] == 22 and w[19] == 1)
        for _ in range(count):
            record = _first_record(dice, hello)
            host.connect(facing.camera, 8443, thrower := Thrower(record), testbed.now)
            testbed.run_until(lambda: thrower.over, 30 * SECOND)
        good = good and facing.meet().startswith(b"ping")
    seconds = time.process_time() - began
    yield f"{count} damaged ClientHellos for the camera's TLS server", seconds, "s of a core", good


class Answerer(Application):
    """A server that says one thing to whoever says anything, and leaves."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def received(self, stream: Stream, data: bytes) -> None:
        if self._answer:
            stream.write(self._answer)
            stream.close()
        self._answer = b""

    def ended(self, stream: Stream) -> None:
        stream.close()


def answers(count: int = 20_000, seed: int = 1) -> Iterator[Row]:
    """Servers that answer the camera's TLS client with a first record whose header is damaged."""
    with Testbed(scenario=scenarios.loads(WORLD)) as testbed:
        testbed.boot()
        began, facing = time.process_time(), Facing(testbed, "TLS client")
        breaker, host, dice, met = facing.breaker, facing.host, random.Random(seed), 0
        breaker.on = False
        good = facing.meet().startswith(b"ping")
        flight = next(w[14:] for w in breaker.wholes if w[14] == 22 and w[19] == 2)

        def accept() -> Application:
            nonlocal met
            met += 1
            return Answerer(_first_record(dice, flight))

        host.listen(7443, accept)
        testbed.run_until(lambda: met >= count, count * SECOND)
        host.listen(7443, facing.accept)
        good = good and [facing.meet() for _ in range(3)][-1].startswith(b"ping")
    seconds = time.process_time() - began
    yield f"{count} damaged ServerHellos for the camera's TLS client", seconds, "s of a core", good

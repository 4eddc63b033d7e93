"""Damaged handshakes and records, for the camera's four ends of TLS and DTLS (ci/soak load)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from hostile import (
    SERVER,
    WORLD,
    Breaker,
    BrokenDtls,
    BrokenServer,
    Row,
    Thrower,
    dtls_context,
    tls_context,
    trusting,
)
from omvsim.testbed import MILLISECOND, SECOND, Testbed, TimeLimit
from station import SslClient
from test_dtls import PlainDtls
from test_tls12 import Server

from netsim import scenario as scenarios
from netsim.fuzz import damaged
from netsim.stack.application import Address, Application, Stream
from netsim.stack.host import Host
from netsim.stack.wire import Datagram, Packet
from netsim.tls.certificates import Authority
from netsim.tls.dtls import records_of

#: the camera's next socket is there before a client comes again with its cookie
FAR = '[[fault]]\nkind = "delay"\ndirection = "to_camera"\ndelay_ms = 20\n'
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
        self.answers = BrokenDtls(self.dtls, self.breaker, self.host)  # breaks what it sends, too
        self.host.udp(7684, self.answers)
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
        done = self._servers[0] if self.end == "TLS client" else self.answers.last
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


#: a HelloVerifyRequest with a cookie of 8 bytes, in a record (RFC 6347 4.2.1, 4.3.1)
VERIFY = bytes.fromhex("16fefd 0000 000000000000 0017 03 00000b 0000 000000 00000b") + (
    bytes.fromhex("fefd 08") + bytes(8)
)


class Caller:
    """A service that notes who calls, and says nothing."""

    last: Address | None = None
    called = False

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        self.last, self.called = (packet.source, datagram.source_port), True


def flights(count: int = 1_000_000) -> Iterator[Row]:
    """Damaged datagrams of a server for the camera's DTLS client, while it shakes hands."""
    with Testbed(scenario=scenarios.loads(WORLD)) as testbed:
        testbed.boot()
        began, facing = time.process_time(), Facing(testbed, "DTLS client")
        breaker, host, dice, caller = facing.breaker, facing.host, random.Random(1), Caller()
        breaker.on = False
        good = facing.meet().startswith(b"ping")
        said = VERIFY + b"".join(w[14:] for w in breaker.wholes if w[14] == 22)
        # without ServerKeyExchange, the 0.2 s of which are the camera's own
        wholes = [bytes(14) + r for r in records_of(said) if r[0] == 22 and r[13] != 12]
        host.udp(7684, caller)
        testbed.run_until(lambda: caller.called, 30 * SECOND)
        sent = number = 0
        while sent < count:
            number += 1
            whole = bytearray(dice.choice(wholes))
            whole[19:25] = number.to_bytes(6, "big")  # none is a replayed record
            whole[31:33] = dice.randrange(3).to_bytes(2, "big")  # 1 after HelloVerifyRequest
            broken = dice.random() < 0.5  # a whole one takes the handshake further
            sent += broken
            assert caller.last is not None
            host.now, caller.called = testbed.now, False
            data = damaged(dice, bytes(whole), wholes) if broken else bytes(whole)
            host.send_udp(caller.last, 7684, data[14:])
            with suppress(TimeLimit):  # it drops a record without a word
                testbed.run_until(lambda: caller.called, 5 * MILLISECOND)
        host.udp(7684, facing.answers)
        good = good and [facing.meet() for _ in range(2)][-1].startswith(b"ping")
    seconds = time.process_time() - began
    yield f"{count} damaged datagrams for the camera's DTLS client", seconds, "s of a core", good

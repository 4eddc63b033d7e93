"""DTLS 1.2 by pyOpenSSL over memory BIOs: a layer between datagrams and an application.

OpenSSL's DTLS timers read the wall clock, so flights are kept and repeated here, in virtual
time (RFC 6347 section 4.2.4). Its random numbers cannot be seeded: these peers promise
outcomes, not bytes. A client starts anew when nothing at all comes back.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime

from OpenSSL import SSL
from OpenSSL.crypto import X509

from netsim.errors import UserError
from netsim.scenario import Client, Server
from netsim.services.peers import Peer
from netsim.stack.application import Address, Application
from netsim.stack.host import Host
from netsim.stack.rto import SECOND
from netsim.stack.wire import Datagram, Packet
from netsim.tls.certificates import Authority, Certificate

_MTU = 1400
_HEADER = 13  # of a record: type, version, epoch, sequence number, length
_CIPHERS = "DEFAULT:!aNULL:!eNULL"
_MOST_SESSIONS = 256
_FIRST_TIMEOUT, _LAST_TIMEOUT = SECOND, 60 * SECOND  # RFC 6347 section 4.2.4.1


class Dtls:
    """Makes the contexts of one network's DTLS peers; certificates are judged at `time`."""

    def __init__(
        self, authority: Authority, time: datetime, secrets: Callable[[bytes], None]
    ) -> None:
        self._authority, self._time, self._secrets = authority, time, secrets

    def context(self, options: Server | Client) -> SSL.Context:
        """The OpenSSL context of a scenario's peer; raises UserError."""
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET)
        context.set_keylog_callback(lambda _connection, line: self._secrets(line + b"\n"))
        context.set_cookie_generate_callback(_cookie)
        context.set_cookie_verify_callback(
            lambda connection, cookie: hmac.compare_digest(cookie, _cookie(connection))
        )
        try:
            context.set_cipher_list((options.ciphers or _CIPHERS).encode())
            if options.certificate:
                _load_chain(context, self._authority[options.certificate])
        except SSL.Error as error:
            what = f"{options.name}: {_describe(error)}"
            raise UserError(f"{what}, see its ciphers and certificate") from None
        store = context.get_cert_store()
        if options.verify and store is not None:
            store.add_cert(X509.from_cryptography(self._authority[options.verify].x509))
            store.set_time(self._time)
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        return context


class DtlsServer:
    """A UDP service: a session for each address that shows a valid cookie."""

    def __init__(
        self,
        context: SSL.Context,
        accept: Callable[[], tuple[Application, Peer]],
        ignore: int = 0,
        delay: int = 0,
    ) -> None:
        self._context, self._accept = context, accept
        self._ignore = ignore  # so many datagrams, as if the network had lost them
        self._delay = delay  # of answers to a ClientHello, in ns
        self._sessions: dict[Address, DtlsSession] = {}

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        """Pass on to the session of its sender."""
        if self._ignore:
            self._ignore -= 1
        elif self._delay and _is_client_hello(datagram.payload):
            host.call_at(host.now + self._delay, lambda: self._take(host, packet, datagram))
        else:
            self._take(host, packet, datagram)

    def _take(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        peer = packet.source, datagram.source_port
        session = self._sessions.get(peer)
        starts = _is_client_hello(datagram.payload)
        if session and (session.over or (starts and session.ready)):
            session = None  # the peer begins again
        if session is None and starts:
            session = DtlsSession(host, self._context, datagram.destination_port, peer)
            self._sessions[peer] = session
            for old in list(self._sessions)[:-_MOST_SESSIONS]:
                del self._sessions[old]
        if session:
            session.serve(datagram.payload, self._accept)


class DtlsClient:
    """A UDP service for one session that this end begins."""

    def __init__(
        self,
        host: Host,
        context: SSL.Context,
        peer: Address,
        application: Application,
        record: Peer,
        *,
        server_name: str | None,
        delay: int = 0,
    ) -> None:
        self._host, self._port = host, host.bind(self)
        self._delay, self._waits = delay, False
        self._session = DtlsSession(host, context, self._port, peer)
        self._session.call(application, record, server_name)

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        """Pass on what comes from the peer."""
        if (packet.source, datagram.source_port) != self._session.peer:
            return
        if self._delay:  # the first answer only: the server's cookie
            self._session.wait()
            host.call_at(host.now + self._delay, lambda: self._take(datagram.payload))
            self._delay, self._waits = 0, True
        elif not self._waits:
            self._take(datagram.payload)

    def _take(self, payload: bytes) -> None:
        self._waits = False
        self._session.receive(payload)
        if self._session.over:
            self._host.release(self._port)

    def give_up(self, error: str) -> None:
        """The handshake takes too long; without effect if it is over."""
        self._session.fail(error)
        if self._session.over:
            self._host.release(self._port)


class DtlsSession:
    """The stream that an application sees; each write is a datagram."""

    def __init__(self, host: Host, context: SSL.Context, port: int, peer: Address) -> None:
        self.peer = peer
        self.ready = self.over = False
        self._host, self._port = host, port
        self._application: Application | None = None
        self._record: Peer | None = None
        self._ssl = SSL.Connection(context, None)
        self._ssl.set_ciphertext_mtu(_MTU)
        self._ssl.set_app_data(f"{peer[0]}:{peer[1]}".encode())
        self._flight: list[bytes] = []  # datagrams that the peer has not answered
        self._repeated = 0  # records in clear that were sent again
        self._timeout = _FIRST_TIMEOUT

    def serve(self, data: bytes, accept: Callable[[], tuple[Application, Peer]]) -> None:
        """A datagram for the server's end; the application begins once the cookie is right."""
        if self._application is not None:
            self.receive(data)
            return
        self._ssl.set_accept_state()
        self._feed(data)
        try:
            self._ssl.DTLSv1_listen()
        except SSL.Error:
            self._flush()  # the HelloVerifyRequest, or nothing
            return
        self._application, self._record = accept()
        self._record.opened_ns = self.now
        self._work()

    def call(self, application: Application, record: Peer, server_name: str | None) -> None:
        """Begin a handshake as the client."""
        self._application, self._record = application, record
        self._ssl.set_connect_state()
        if server_name:
            self._ssl.set_tlsext_host_name(server_name.encode())
        self._work()

    def receive(self, data: bytes) -> None:
        """A datagram of the session."""
        if self.over or self._record is None:
            return
        self._record.opened_ns = self._record.opened_ns or self.now
        self._feed(data)
        self._work()

    def _feed(self, data: bytes) -> None:
        if data:  # no bytes are the end of its input to OpenSSL
            self._ssl.bio_write(data)

    @property
    def now(self) -> int:
        """Virtual nanoseconds."""
        return self._host.now

    def write(self, data: bytes) -> None:
        """Send `data`, cut to what a datagram holds."""
        room = self._ssl.get_cleartext_mtu() if data else 1
        for at in range(0, len(data), room):
            if not self.over:
                self._ssl.send(data[at : at + room])
        self._flush()

    def close(self) -> None:
        """Send close_notify; there is no half-close."""
        if self.ready and not self.over:
            with suppress(SSL.Error):  # the peer may be gone already
                self._ssl.shutdown()
            self._flush()
        self._end(None)

    def cut(self) -> None:
        """Forget the session without a word."""
        self._end(None)

    abort = cut  # a datagram has no reset

    def call_later(self, delay: int, function: Callable[[], None]) -> None:
        """Call `function` in `delay` ns."""
        self._host.call_at(self._host.now + delay, function)

    def fail(self, error: str) -> None:
        """Give up a handshake."""
        if not self.ready:
            self._end(error)

    def _work(self) -> None:
        try:
            if not self.ready:
                self._ssl.do_handshake()
                self._secured()
            while self._application and not self.over:
                self._application.received(self, self._ssl.recv(1 << 14))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            if self._record:
                self._record.close_notify = True
            self._flush()
            self._end(None)
        except SSL.Error as error:
            self._flush()
            self._end(_describe(error))
        self._flush()

    def _secured(self) -> None:
        record, application = self._record, self._application
        self.ready = True
        self._flush()
        if record and application:
            record.secured_ns = self.now
            record.version, record.cipher = "DTLSv1.2", self._ssl.get_cipher_name()
            name = self._ssl.get_servername() if record.role == "server" else None
            record.server_name = name.decode("ascii", "replace") if name else None
            certificate = self._ssl.get_peer_certificate(as_cryptography=True)
            record.certificate = Certificate(certificate, None).der if certificate else None
            record.verified = bool(self._ssl.get_verify_mode() and certificate)
            application.opened(self)

    def _end(self, error: str | None) -> None:
        if not self.over:
            self.over = True
            if self._application:
                self._application.lost(self, error)

    def _flush(self) -> None:
        """Send what OpenSSL has written: whole records, as many as fit a datagram."""
        try:
            data = self._ssl.bio_read(1 << 16)
        except SSL.WantReadError:
            return
        self._flight = list(_datagrams(data))
        self._send_flight()
        if not self.ready and self._application:
            self._timeout = _FIRST_TIMEOUT
            self._await_answer(self._flight)

    def _send_flight(self) -> None:
        for payload in self._flight:
            self._host.send_udp(self.peer, self._port, _renumbered(payload, self._repeated))

    def wait(self) -> None:
        """An answer has come; let it lie for now, and repeat nothing."""
        self._flight = []
        if self._record:
            self._record.opened_ns = self.now

    def _await_answer(self, flight: list[bytes]) -> None:
        """Send the flight again, later and later, until another one follows it."""

        def again() -> None:
            if self._flight is flight and not self.ready and not self.over:
                self._repeated += sum(map(_records_in_clear, flight))
                self._send_flight()
                self._timeout = min(2 * self._timeout, _LAST_TIMEOUT)
                self._await_answer(flight)

        self._host.call_at(self.now + self._timeout, again)


def _datagrams(records: bytes) -> Iterator[bytes]:
    """A memory BIO forgets where datagrams end; records know their length."""
    datagram = b""
    for record in records_of(records):
        if datagram and len(datagram) + len(record) > _MTU:
            yield datagram
            datagram = b""
        datagram += record
    if datagram:
        yield datagram


def records_of(datagram: bytes) -> Iterator[bytes]:
    while datagram:
        size = _HEADER + int.from_bytes(datagram[11:13], "big")
        yield datagram[:size]
        datagram = datagram[size:]


def _records_in_clear(datagram: bytes) -> int:
    return sum(record[3:5] == b"\0\0" for record in records_of(datagram))


def _renumbered(datagram: bytes, by: int) -> bytes:
    """Records in clear have numbers of their own each time; encrypted ones cannot change."""
    return b"".join(
        record[:5] + (int.from_bytes(record[5:11], "big") + by).to_bytes(6, "big") + record[11:]
        if record[3:5] == b"\0\0"
        else record
        for record in records_of(datagram)
    )


def _is_client_hello(data: bytes) -> bool:
    """A plaintext handshake record (epoch 0) with a ClientHello."""
    return data[:1] == b"\x16" and data[3:5] == b"\0\0" and data[13:14] == b"\x01"


def _cookie(connection: SSL.Connection) -> bytes:
    """A cookie for the peer's address, without state (RFC 6347 section 4.2.1)."""
    return hmac.digest(b"netsim", connection.get_app_data(), hashlib.sha256)


def _load_chain(context: SSL.Context, certificate: Certificate) -> None:
    first, *others = certificate.chain()
    context.use_privatekey(first.private_key)
    context.use_certificate(first.x509)
    for other in others:
        context.add_extra_chain_cert(other.x509)


def _describe(error: SSL.Error) -> str:
    """OpenSSL's last reason, in its own words."""
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return reasons[-1][-1].lower() if reasons else "connection lost"

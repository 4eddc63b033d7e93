"""Our own DTLS 1.2 endpoint (RFC 6347, RFC 5246), deterministic, and ways to misbehave.

One suite, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 (RFC 5289), on P-256. Every record passes
through a `Misbehaviour`, whose methods are what an honest endpoint does; `misbehaviours.py` says
what each does instead. The camera's certificate is recorded, not judged.
"""

import hmac
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.packet import Raw

from netsim.dissect import dissect
from netsim.scapy_dtls import (
    ALERT,
    APPLICATION_DATA,
    CERTIFICATE,
    CERTIFICATE_REQUEST,
    CERTIFICATE_VERIFY,
    CHANGE_CIPHER_SPEC,
    CLIENT_HELLO,
    CLIENT_KEY_EXCHANGE,
    DTLS,
    FINISHED,
    HANDSHAKE,
    HELLO_VERIFY_REQUEST,
    SERVER_HELLO,
    SERVER_HELLO_DONE,
    SERVER_KEY_EXCHANGE,
    DTLSClientHello,
    DTLSHandshake,
    DTLSHelloVerifyRequest,
    records,
)
from netsim.services.peers import Peer
from netsim.stack.application import Address, Application
from netsim.stack.host import Host
from netsim.stack.rto import SECOND
from netsim.tls.certificates import Certificate
from netsim.tls.dtls12_misdeeds import Message, Misbehaviour, Record
from netsim.tls.keys import derive_key
from netsim.tls.primitives import (
    P256,
    SUITE,
    SUITE_NAME,
    Role,
    certificate_body,
    master_secret,
    point_of,
    prf,
    signature,
    verify_data,
)

_VERSION = b"\xfe\xfd"
_EXTENSIONS = bytes.fromhex("000a00040002" + "0017" + "000b00020100" + "000d00040002" + "0403")
_SECURE = bytes.fromhex("0005ff01000100")  # RFC 5746: no renegotiation goes on
_FIRST_TIMEOUT, _LAST_TIMEOUT = SECOND, 60 * SECOND  # RFC 6347 section 4.2.4.1
#: what handlers raise on a message that is damaged, or that comes before those it builds on
DAMAGE = (LookupError, ValueError, struct.error)
_LARGEST_MESSAGE = 1 << 16
_CLOSE_NOTIFY, _FATAL = b"\x01\x00", 2


class Keys:
    """AES-128-GCM of one direction: RFC 5288 section 3."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._aead, self._salt = AESGCM(key), salt

    def seal(self, record: Record, sequence: int) -> bytes:
        nonce = record.epoch.to_bytes(2, "big") + sequence.to_bytes(6, "big")
        extra = nonce + bytes([record.kind]) + _VERSION + len(record.payload).to_bytes(2, "big")
        return nonce + self._aead.encrypt(self._salt + nonce, record.payload, extra)

    def open(self, record: DTLS, payload: bytes) -> bytes:
        """Raises InvalidTag where somebody has changed something."""
        number = record.epoch.to_bytes(2, "big") + record.sequence_number.to_bytes(6, "big")
        size = (len(payload) - 24).to_bytes(2, "big")
        extra = number + bytes([record.type]) + _VERSION + size
        return self._aead.decrypt(self._salt + payload[:8], payload[8:], extra)


@dataclass
class _Partial:
    """A message of which some fragments have come."""

    msgtype: int
    body: bytearray
    known: bytearray

    def add(self, offset: int, data: bytes) -> None:
        self.body[offset : offset + len(data)] = data
        self.known[offset : offset + len(data)] = b"\1" * len(data)


@dataclass
class Setting:
    """What sessions of one peer of the scenario share."""

    role: Role
    seed: int
    name: str
    certificate: Certificate | None
    misbehaviour: Misbehaviour
    secrets: Callable[[bytes], None]
    sessions: int = field(default=0)

    def next_label(self) -> str:
        """Makes the random numbers of each session its own."""
        self.sessions += 1
        return f"dtls12/{self.role}/{self.name}/{self.sessions}"


class Session:
    """One end of a DTLS association, and the stream that its application sees."""

    def __init__(
        self, setting: Setting, host: Host, port: int, peer: Address,
        application: Application, record: Peer,
    ) -> None:  # fmt: skip
        self.peer, self.ready, self.over = peer, False, False
        self._setting, self._host, self._port = setting, host, port
        self._application, self._record = application, record
        label = setting.next_label()
        self._random = random.Random(f"{label}/{setting.seed}").randbytes(32)
        key = derive_key(setting.seed, label, "P-256")
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._ephemeral = key
        self._randoms: dict[Role, bytes] = {setting.role: self._random}
        self._transcript = b""
        self._master = b""
        self._pending: tuple[Keys, Keys] | None = None  # of writing, of reading
        self._sequence = [0, 0]  # of the next record, by epoch
        self._seen: set[int] = set()  # records of epoch 1
        self._next_number = 0  # of the handshake message that is to be sent
        self._awaited = 0  # of the one that is to come
        self._partial: dict[int, _Partial] = {}
        self._late: list[tuple[DTLS, bytes]] = []  # encrypted before the keys were there
        self._messages: list[Message] = []  # of the flight that waits for an answer
        self._attempt = 0
        self._requested = False
        self._timeout = _FIRST_TIMEOUT

    # The stream of the application ------------------------------------------------------

    @property
    def now(self) -> int:
        """Virtual nanoseconds."""
        return self._host.now

    def write(self, data: bytes) -> None:
        """Send data; a record and a datagram each time."""
        if self.ready and not self.over and data:
            wrong = self._setting.misbehaviour
            self._record.noted(type(wrong).data, Misbehaviour.data)
            for payload in wrong.data(self._seal_data, data):
                self._send(payload)

    def close(self) -> None:
        """Send close_notify; there is no half-close."""
        if self.ready and not self.over:
            self._send(self._seal(Record(ALERT, _CLOSE_NOTIFY, 1)))
        self.end(None)

    def cut(self) -> None:
        """Forget the session without a word."""
        self.end(None)

    abort = cut  # a datagram has no reset

    def call_later(self, delay: int, function: Callable[[], None]) -> None:
        """Call `function` in `delay` ns."""
        self._host.call_at(self._host.now + delay, function)

    def end(self, error: str | None) -> None:
        """Over, by an error or without."""
        if not self.over:
            self.over = True
            self._application.lost(self, error)

    def fail(self, error: str) -> None:
        """Give up a handshake."""
        if not self.ready:
            self.end(error)

    # Sending ----------------------------------------------------------------------------

    def _send(self, payload: bytes) -> None:
        self._host.send_udp(self.peer, self._port, payload)

    def _seal_data(self, data: bytes) -> bytes:
        return self._seal(Record(APPLICATION_DATA, data, 1))

    def _seal(self, record: Record) -> bytes:
        """Number a record and, in epoch 1, protect it."""
        sequence = self._sequence[record.epoch]
        self._sequence[record.epoch] += 1
        payload = record.payload
        if record.epoch and self._pending:
            payload = self._pending[0].seal(record, sequence)
        return bytes(
            DTLS(type=record.kind, epoch=record.epoch, sequence_number=sequence, msg=[Raw(payload)])
        )

    def _handshake(self, msgtype: int, body: bytes, epoch: int = 0) -> Message:
        """The next message of ours; it enters the transcript."""
        message = Message(HANDSHAKE, body, msgtype, self._next_number, epoch)
        self._next_number += 1
        self._transcript += message.whole
        return message

    def _fly(self, messages: list[Message], *, answered: bool = True) -> None:
        """Send a flight, again and again until an answer comes."""
        self._messages, self._attempt, self._timeout = messages, 0, _FIRST_TIMEOUT
        self._send_flight()
        if answered:
            self._await_answer(messages)

    def _send_flight(self) -> None:
        wrong, honest = self._setting.misbehaviour, Misbehaviour()
        found, expected = (
            [r for m in who.flight(self._messages) for r in who.records(m)]
            for who in (wrong, honest)
        )
        self._record.noted(found, expected)
        sealed = [self._seal(record) for record in found]
        made = wrong.datagrams(list(sealed), self._attempt)
        for datagram in self._record.noted(made, honest.datagrams(sealed, self._attempt)):
            self._send(datagram)
        self._attempt += 1

    def _await_answer(self, messages: list[Message]) -> None:
        def again() -> None:
            if self._messages is messages and not self.ready and not self.over:
                self._send_flight()
                self._timeout = min(2 * self._timeout, _LAST_TIMEOUT)
                self._await_answer(messages)

        self._host.call_at(self.now + self._timeout, again)

    # Receiving --------------------------------------------------------------------------

    def receive(self, datagram: bytes) -> None:
        """A datagram of the peer; what makes no sense is ignored (RFC 6347 section 4.1.2.7)."""
        for record in records(datagram):
            if self.over:
                return
            self._record.opened_ns = self._record.opened_ns or self.now
            payload = b"".join(map(bytes, record.msg))
            if record.epoch == 0:
                self._take(record.type, payload, 0)
            elif record.epoch == 1 and self._pending is None:
                self._late.append((record, payload))
            elif record.epoch == 1:
                self._open(record, payload)

    def _open(self, record: DTLS, payload: bytes) -> None:
        if self._pending is None or record.sequence_number in self._seen or len(payload) < 24:
            return
        try:
            clear = self._pending[1].open(record, payload)
        except InvalidTag:
            return
        self._seen.add(record.sequence_number)
        self._take(record.type, clear, 1)

    def _take(self, kind: int, payload: bytes, epoch: int) -> None:
        if kind == HANDSHAKE:
            while len(payload) >= 12:
                fragment = dissect(DTLSHandshake, payload)
                if not isinstance(fragment, DTLSHandshake):
                    return
                payload = payload[12 + fragment.fragment_length :]
                self._fragment(fragment)
        elif kind == ALERT and len(payload) == 2:
            self._alert(payload)
        elif kind == APPLICATION_DATA and epoch == 1 and self.ready:
            self._application.received(self, payload)

    def _alert(self, payload: bytes) -> None:
        if payload == _CLOSE_NOTIFY:
            self._record.close_notify = True
            self._application.ended(self)
        elif payload[0] == _FATAL:
            self.end(f"alert {payload[1]}")

    def _fragment(self, fragment: DTLSHandshake) -> None:
        number, end = fragment.message_seq, fragment.fragment_offset + len(fragment.data)
        if number < self._awaited:
            if fragment.msgtype in (CLIENT_HELLO, FINISHED) and self._setting.role == "server":
                self._send_flight()  # the peer has missed it
            return
        if end > fragment.length or fragment.length > _LARGEST_MESSAGE:
            return
        size = fragment.length
        partial = self._partial.setdefault(
            number, _Partial(fragment.msgtype, bytearray(size), bytearray(size))
        )
        if len(partial.body) == size:
            partial.add(fragment.fragment_offset, fragment.data)
        while (next_ := self._partial.get(self._awaited)) and all(next_.known):
            del self._partial[self._awaited]
            message = Message(HANDSHAKE, bytes(next_.body), next_.msgtype, self._awaited)
            self._awaited += 1
            self._dispatch(message)

    def _dispatch(self, message: Message) -> None:
        handler = {
            HELLO_VERIFY_REQUEST: self._on_hello_verify_request,
            SERVER_HELLO: self._on_server_hello,
            CERTIFICATE: self._on_certificate,
            SERVER_KEY_EXCHANGE: self._on_server_key_exchange,
            CERTIFICATE_REQUEST: self._on_certificate_request,
            SERVER_HELLO_DONE: self._on_server_hello_done,
            CLIENT_KEY_EXCHANGE: self._on_client_key_exchange,
            FINISHED: self._on_finished,
        }.get(message.msgtype)
        before = self._transcript
        if message.msgtype != HELLO_VERIFY_REQUEST:
            self._transcript += message.whole
        try:
            if handler:
                handler(message.body, before)
        except DAMAGE:
            self.end(f"message {message.msgtype} is damaged or out of turn")

    # The client -------------------------------------------------------------------------

    def call(self) -> None:
        """Say hello, without a cookie."""
        self._hello(b"")

    def _hello(self, cookie: bytes) -> None:
        self._transcript = b""  # hellos without the cookie do not count
        hello = DTLSClientHello(
            random=self._random, cookie=cookie, ciphers=[SUITE], extensions=_EXTENSIONS
        )
        self._fly([self._handshake(CLIENT_HELLO, bytes(hello))])

    def _on_hello_verify_request(self, body: bytes, _before: bytes) -> None:
        if self._setting.role == "client" and not self._master:
            cookie = DTLSHelloVerifyRequest(body).cookie
            made = self._setting.misbehaviour.cookie(cookie)
            self._hello(self._record.noted(made, cookie))

    def _on_server_hello(self, body: bytes, _before: bytes) -> None:
        self._randoms["server"] = body[2:34]

    def _on_certificate(self, body: bytes, _before: bytes) -> None:
        size = int.from_bytes(body[3:6], "big")
        self._record.certificate = body[6 : 6 + size] or None

    def _on_certificate_request(self, body: bytes, _before: bytes) -> None:
        self._requested = True

    def _on_server_key_exchange(self, body: bytes, _before: bytes) -> None:
        self._derive(body[4 : 4 + body[3]])

    def _on_server_hello_done(self, _body: bytes, _before: bytes) -> None:
        messages = []
        chain = self._setting.certificate
        if self._requested:
            messages.append(self._handshake(CERTIFICATE, certificate_body(chain)))
        point = point_of(self._ephemeral)
        messages.append(self._handshake(CLIENT_KEY_EXCHANGE, bytes([len(point)]) + point))
        if self._requested and chain:
            signed = signature(chain, self._transcript)
            messages.append(self._handshake(CERTIFICATE_VERIFY, signed))
        messages.append(Message(CHANGE_CIPHER_SPEC, b"\1"))
        messages.append(self._handshake(FINISHED, self._verify_data("client"), epoch=1))
        self._fly(messages)

    # The server -------------------------------------------------------------------------

    def accept(self, hello: DTLSClientHello, message: Message, sequence: int) -> None:
        """Answer a ClientHello whose cookie is right, in a record of that number."""
        self._sequence[0] = sequence
        self._awaited = message.number + 1
        self._next_number = message.number
        self._transcript = message.whole
        self._randoms["client"] = hello.random
        chain = self._setting.certificate
        assert chain is not None, "a scenario's server has one"
        params = b"\x03" + P256 + bytes([65]) + point_of(self._ephemeral)
        signed = hello.random + self._random + params
        body = _VERSION + self._random + b"\0" + SUITE.to_bytes(2, "big") + b"\0" + _SECURE
        self._fly(
            [
                self._handshake(SERVER_HELLO, body),
                self._handshake(CERTIFICATE, certificate_body(chain)),
                self._handshake(SERVER_KEY_EXCHANGE, params + signature(chain, signed)),
                self._handshake(SERVER_HELLO_DONE, b""),
            ]
        )

    def _on_client_key_exchange(self, body: bytes, _before: bytes) -> None:
        self._derive(body[1:])

    # Both -------------------------------------------------------------------------------

    def _derive(self, point: bytes) -> None:
        try:
            self._master, line = master_secret(self._ephemeral, point, self._randoms)
        except ValueError:
            self.end("a bad point")
            return
        self._setting.secrets(line)
        client, server = self._randoms["client"], self._randoms["server"]
        block = prf.derive_key_block(self._master, server, client, 40)
        theirs = Keys(block[:16], block[32:36]), Keys(block[16:32], block[36:40])
        self._pending = theirs if self._setting.role == "client" else theirs[::-1]
        late, self._late = self._late, []
        for record, payload in late:
            self._open(record, payload)

    def _verify_data(self, end: Role) -> bytes:
        return verify_data(self._master, self._transcript, end)

    def _on_finished(self, body: bytes, before: bytes) -> None:
        whole, self._transcript = self._transcript, before
        client = self._setting.role == "client"
        good = hmac.compare_digest(body, self._verify_data("server" if client else "client"))
        self._transcript = whole
        if not good:
            self.end("the camera's Finished is wrong")
            return
        if not client:
            finished = self._handshake(FINISHED, self._verify_data("server"), epoch=1)
            self._fly([Message(CHANGE_CIPHER_SPEC, b"\1"), finished], answered=False)
        self.ready = True
        self._record.secured_ns, self._record.version = self.now, "DTLSv1.2"
        self._record.cipher = SUITE_NAME
        self._application.opened(self)

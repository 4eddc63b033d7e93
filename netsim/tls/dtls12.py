"""Our own DTLS 1.2 endpoint (RFC 6347, RFC 5246), deterministic, and ways to misbehave.

One suite, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 (RFC 5289), on P-256. Every record passes
through a `Misbehaviour`, whose methods are what an honest endpoint does; `misbehaviours.py` says
what each does instead. The camera's certificate is recorded, not judged.
"""

import hashlib
import hmac
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.layers.tls.crypto.prf import PRF
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
from netsim.stack.wire import Datagram, Packet
from netsim.tls.certificates import Certificate
from netsim.tls.keys import derive_key

Role = Literal["client", "server"]
SUITE, SUITE_NAME = 0xC02B, "ECDHE-ECDSA-AES128-GCM-SHA256"
_VERSION = b"\xfe\xfd"
_P256, _ECDSA_SHA256 = b"\x00\x17", b"\x04\x03"
_EXTENSIONS = bytes.fromhex("000a00040002" + "0017" + "000b00020100" + "000d00040002" + "0403")
_SECURE = bytes.fromhex("0005ff01000100")  # RFC 5746: no renegotiation goes on
_FIRST_TIMEOUT, _LAST_TIMEOUT = SECOND, 60 * SECOND  # RFC 6347 section 4.2.4.1
_MOST_SESSIONS = 256
#: what handlers raise on a message that is damaged, or that comes before those it builds on
DAMAGE = (LookupError, ValueError, struct.error)
_LARGEST_MESSAGE = 1 << 16
_CLOSE_NOTIFY, _FATAL = b"\x01\x00", 2
prf: Any = PRF(hash_name="SHA256", tls_version=0x0303)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Message:
    """What a flight consists of: handshake messages by number, and ChangeCipherSpec."""

    kind: int  # of the record
    body: bytes
    msgtype: int = 0
    number: int = 0
    epoch: int = 0

    @property
    def whole(self) -> bytes:
        """As it enters the hash of the handshake: RFC 6347 section 4.2.6."""
        return bytes(DTLSHandshake(msgtype=self.msgtype, message_seq=self.number, data=self.body))


@dataclass(frozen=True)
class Record:
    """A record before it is numbered and protected."""

    kind: int
    payload: bytes
    epoch: int


class Misbehaviour:
    """An honest endpoint; others override what they do wrong."""

    asks_for_cookie = True
    cookie_size = 32
    step = _LARGEST_MESSAGE  # bytes of a fragment
    cuts_hello = False  # few servers take a ClientHello in pieces
    room = 600  # bytes of a datagram; 0 gives each record its own
    overlap = 0  # bytes that a fragment repeats of the one before

    def cookie(self, cookie: bytes) -> bytes:
        """What a client returns of the cookie that it has got."""
        return cookie

    def records(self, message: Message) -> list[Record]:
        """The records that carry a message."""
        if message.kind != HANDSHAKE:
            return [Record(message.kind, message.body, message.epoch)]
        if message.msgtype == CLIENT_HELLO and not self.cuts_hello:
            return [Record(HANDSHAKE, message.whole, message.epoch)]
        return [
            Record(HANDSHAKE, bytes(self.changed(fragment)), message.epoch)
            for fragment in self.fragments(message)
        ]

    def fragments(self, message: Message) -> list[DTLSHandshake]:
        """The message in pieces."""
        size, step = len(message.body), self.step
        return [
            DTLSHandshake(
                msgtype=message.msgtype, message_seq=message.number, length=size,
                fragment_offset=start, data=message.body[start : at + step],
            )
            for at in range(0, max(size, 1), step)
            for start in [max(0, at - self.overlap)]
        ]  # fmt: skip

    def changed(self, fragment: DTLSHandshake) -> DTLSHandshake:
        """A fragment, with what is wrong with it."""
        return fragment

    def flight(self, messages: list[Message]) -> list[Message]:
        """The messages of a flight in the order in which they are sent."""
        return messages

    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        """The datagrams of a flight, from its records; `attempt` counts from 0."""
        packed: list[bytes] = []
        for record in sealed:
            if packed and len(packed[-1]) + len(record) <= self.room:
                packed[-1] += record
            else:
                packed.append(record)
        return packed

    def data(self, seal: Callable[[bytes], bytes], payload: bytes) -> list[bytes]:
        """The datagrams for application data."""
        return [seal(payload)]


class WrongCookie(Misbehaviour):
    def cookie(self, cookie: bytes) -> bytes:
        return cookie[:-1] + bytes([cookie[-1] ^ 1])


class ForeignCookie(Misbehaviour):
    """The cookie of the first client of this kind, whoever that was."""

    def __init__(self) -> None:
        self._first = b""

    def cookie(self, cookie: bytes) -> bytes:
        self._first = self._first or bytes(len(cookie))
        return self._first


class NoCookie(Misbehaviour):
    def cookie(self, cookie: bytes) -> bytes:
        return b""


class NoHelloVerify(Misbehaviour):
    asks_for_cookie = False


class LongCookie(Misbehaviour):
    cookie_size = 255


class LostFlight(Misbehaviour):
    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        return super().datagrams(sealed, attempt) if attempt else []


class LostDatagram(Misbehaviour):
    room = 0

    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        return super().datagrams(sealed if attempt else sealed[1:], attempt)


class ReversedFlight(Misbehaviour):
    room = 0

    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        return super().datagrams(sealed, attempt)[::-1]


class SmallFragments(Misbehaviour):
    step = 60


class FragmentedHello(SmallFragments):
    cuts_hello = True


class ReversedFragments(SmallFragments):
    def fragments(self, message: Message) -> list[DTLSHandshake]:
        return super().fragments(message)[::-1]


class OverlappingFragments(SmallFragments):
    overlap = 30


class ConflictingFragments(OverlappingFragments):
    """What was said before is said otherwise: the first word counts, or the last."""

    def changed(self, fragment: DTLSHandshake) -> DTLSHandshake:
        if fragment.fragment_offset:
            head = bytes(byte ^ 0xFF for byte in fragment.data[: self.overlap])
            fragment.data = head + fragment.data[self.overlap :]
        return fragment


class SingleDatagram(Misbehaviour):
    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        return [b"".join(sealed)]


class RepeatedDatagrams(Misbehaviour):
    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        return [d for d in super().datagrams(sealed, attempt) for _ in range(2)]


class ReplayedData(Misbehaviour):
    def data(self, seal: Callable[[bytes], bytes], payload: bytes) -> list[bytes]:
        return [seal(payload)] * 3


class WrongEpoch(Misbehaviour):
    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        wrong = [record[:3] + b"\0\x07" + record[5:] for record in sealed]
        both = [record for pair in zip(wrong, sealed, strict=True) for record in pair]
        return super().datagrams(both, attempt)


class EarlyFinished(Misbehaviour):
    """Finished is encrypted, so that what comes early cannot be read yet."""

    def flight(self, messages: list[Message]) -> list[Message]:
        finished = [message for message in messages if message.msgtype == FINISHED]
        return finished + messages


class WrongFinished(Misbehaviour):
    def changed(self, fragment: DTLSHandshake) -> DTLSHandshake:
        if fragment.msgtype == FINISHED:
            fragment.data = bytes(byte ^ 0xFF for byte in fragment.data)
        return fragment


class WrongTag(Misbehaviour):
    def data(self, seal: Callable[[bytes], bytes], payload: bytes) -> list[bytes]:
        forged = bytearray(seal(payload))
        forged[-1] ^= 1
        return [bytes(forged), seal(payload)]


class HugeLength(Misbehaviour):
    def changed(self, fragment: DTLSHandshake) -> DTLSHandshake:
        fragment.fragment_length, fragment.length = len(fragment.data), 0xFFFFFF
        return fragment


class Garbage(Misbehaviour):
    def __init__(self) -> None:
        self._random = random.Random("garbage")

    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        packed = super().datagrams(sealed, attempt)
        noise = (self._random.randbytes(self._random.randrange(1, 200)) for _ in packed)
        return [datagram for pair in zip(noise, packed, strict=True) for datagram in pair]


MISBEHAVIOURS: dict[str, type[Misbehaviour]] = {
    "no": Misbehaviour,
    "wrong_cookie": WrongCookie,
    "foreign_cookie": ForeignCookie,
    "no_cookie": NoCookie,
    "no_hello_verify": NoHelloVerify,
    "long_cookie": LongCookie,
    "lost_flight": LostFlight,
    "lost_datagram": LostDatagram,
    "reversed_flight": ReversedFlight,
    "small_fragments": SmallFragments,
    "fragmented_hello": FragmentedHello,
    "reversed_fragments": ReversedFragments,
    "overlapping_fragments": OverlappingFragments,
    "conflicting_fragments": ConflictingFragments,
    "single_datagram": SingleDatagram,
    "repeated_datagrams": RepeatedDatagrams,
    "replayed_data": ReplayedData,
    "wrong_epoch": WrongEpoch,
    "early_finished": EarlyFinished,
    "wrong_finished": WrongFinished,
    "wrong_tag": WrongTag,
    "huge_length": HugeLength,
    "garbage": Garbage,
}


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
        params = b"\x03" + _P256 + bytes([65]) + point_of(self._ephemeral)
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
            public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except ValueError:
            self.end("a bad point")
            return
        secret = self._ephemeral.exchange(ec.ECDH(), public)
        client, server = self._randoms["client"], self._randoms["server"]
        self._master = prf.compute_master_secret(secret, client, server)
        self._setting.secrets(f"CLIENT_RANDOM {client.hex()} {self._master.hex()}\n".encode())
        block = prf.derive_key_block(self._master, server, client, 40)
        theirs = Keys(block[:16], block[32:36]), Keys(block[16:32], block[36:40])
        self._pending = theirs if self._setting.role == "client" else theirs[::-1]
        late, self._late = self._late, []
        for record, payload in late:
            self._open(record, payload)

    def _verify_data(self, end: Role) -> bytes:
        label = f"{end} finished".encode()
        digest = hashlib.sha256(self._transcript).digest()
        return bytes(prf.prf(self._master, label, digest, 12))

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


class Server:
    """A UDP service: a session for each address that shows its cookie."""

    def __init__(self, setting: Setting, accept: Callable[[], tuple[Application, Peer]]) -> None:
        self._setting, self._accept = setting, accept
        self._sessions: dict[Address, Session] = {}

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        """Pass on to the session of its sender, or see whether it may begin one."""
        peer, port = (packet.source, datagram.source_port), datagram.destination_port
        session = self._sessions.get(peer)
        hello = next(_hellos(datagram.payload), None)
        begins = hello is not None and (session is None or session.over or session.ready)
        if not begins and session:
            session.receive(datagram.payload)
        elif hello:
            self._greet(host, port, peer, *hello)

    def _greet(
        self, host: Host, port: int, peer: Address, hello: DTLSClientHello, message: Message,
        sequence: int,
    ) -> None:  # fmt: skip
        wrong = self._setting.misbehaviour
        size = wrong.cookie_size
        secret = f"{self._setting.seed}/{peer}".encode()
        cookie = hashlib.shake_256(secret + hello.random).digest(size)
        if wrong.asks_for_cookie and not hmac.compare_digest(hello.cookie, cookie):
            request = DTLSHandshake(
                msgtype=HELLO_VERIFY_REQUEST, message_seq=message.number,
                data=bytes(DTLSHelloVerifyRequest(cookie=cookie)),
            )  # fmt: skip
            record = DTLS(version=0xFEFF, sequence_number=sequence, msg=[request])
            host.send_udp(peer, port, bytes(record))
            return
        application, of = self._accept()
        honest = Misbehaviour.asks_for_cookie, Misbehaviour.cookie_size
        of.noted((wrong.asks_for_cookie, size), honest)
        session = Session(self._setting, host, port, peer, application, of)
        self._sessions[peer] = session
        for old in list(self._sessions)[:-_MOST_SESSIONS]:
            del self._sessions[old]
        session.accept(hello, message, sequence)


class Client:
    """A UDP service for one session that this end begins."""

    def __init__(
        self, setting: Setting, host: Host, peer: Address, application: Application, record: Peer
    ) -> None:
        self._host, self._port = host, host.bind(self)
        self._session = Session(setting, host, self._port, peer, application, record)
        self._session.call()

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        """Pass on what comes from the peer."""
        if (packet.source, datagram.source_port) == self._session.peer:
            self._session.receive(datagram.payload)
        self._release()

    def give_up(self, error: str) -> None:
        """The handshake takes too long; without effect if it is over."""
        self._session.fail(error)
        self._release()

    def _release(self) -> None:
        if self._session.over:
            self._host.release(self._port)


def _hellos(datagram: bytes) -> Iterator[tuple[DTLSClientHello, Message, int]]:
    """ClientHellos in one piece."""
    for record in records(datagram):
        for part in record.msg if record.type == HANDSHAKE and record.epoch == 0 else ():
            if not isinstance(part, DTLSHandshake):
                continue
            if part.msgtype == CLIENT_HELLO and part.length == len(part.data) >= 38:
                message = Message(HANDSHAKE, part.data, CLIENT_HELLO, part.message_seq)
                hello = dissect(DTLSClientHello, part.data)
                if isinstance(hello, DTLSClientHello):
                    yield hello, message, record.sequence_number


def point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public key, uncompressed (SEC 1 section 2.3.3)."""
    form = serialization.PublicFormat.UncompressedPoint
    return key.public_key().public_bytes(serialization.Encoding.X962, form)


def certificate_body(certificate: Certificate | None) -> bytes:
    """The body of a Certificate message, without the root."""
    chain: Sequence[Certificate] = list(certificate.chain()) if certificate else []
    body = b"".join(len(c.der).to_bytes(3, "big") + c.der for c in chain)
    return len(body).to_bytes(3, "big") + body


def signature(certificate: Certificate, signed: bytes) -> bytes:
    """RFC 5246 section 4.7, by an EC key; deterministic, RFC 6979."""
    key = certificate.private_key
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the scenario's check lets EC keys through only")
    made = key.sign(signed, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return _ECDSA_SHA256 + len(made).to_bytes(2, "big") + made

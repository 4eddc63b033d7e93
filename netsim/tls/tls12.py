"""Our own TLS 1.2 endpoint (RFC 5246), deterministic, and ways to misbehave.

TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 (RFC 5289), on
P-256, in both roles. What it sends is a list of steps, one for each message; a misbehaviour changes
the steps or the bytes of a record. `misbehaviours.py` lists the names. The camera's certificate is
recorded, not judged.

    server: 0 ServerHello, 1 Certificate, 2 ServerKeyExchange, 3 ServerHelloDone,
            4 ChangeCipherSpec, 5 Finished, 6 the first data
    client: 0 ClientHello, 1 ClientKeyExchange, 2 ChangeCipherSpec, 3 Finished, 4 the first data;
            where it is asked for a certificate, that and CertificateVerify come around message 1
"""

import hashlib
import hmac
import random
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from netsim.services.peers import Peer
from netsim.stack.application import Address, Application, Stream
from netsim.tls.certificate_request import Request, proves
from netsim.tls.certificates import Certificate
from netsim.tls.keys import derive_key
from netsim.tls.primitives import (
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
from netsim.tls.records import cipher_suites, server_name
from netsim.tls.tls12_misdeeds import Misbehaviour, Step, make

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
_TLS12 = b"\x03\x03"
_SECURE = bytes.fromhex("ff01000100")  # RFC 5746
_GROUPS = bytes.fromhex("000a000400020017" + "000b00020100" + "000d000400020403")
_LARGEST = 1 << 14
CBC_SUITE, CBC_SUITE_NAME = 0xC023, "ECDHE-ECDSA-AES128-SHA256"
CLIENT_HELLO, SERVER_HELLO, CERTIFICATE = 1, 2, 11
SERVER_KEY_EXCHANGE, CERTIFICATE_REQUEST, SERVER_HELLO_DONE = 12, 13, 14
CERTIFICATE_VERIFY, CLIENT_KEY_EXCHANGE, FINISHED = 15, 16, 20

OVERHEAD = 8 + 16  # explicit nonce and tag of AES-GCM: RFC 5288 section 3


class Keys:
    """AES-128-GCM of one direction, with its sequence number: RFC 5288 section 3."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._aead, self._salt, self._sequence = AESGCM(key), salt, 0

    def _next(self) -> bytes:
        self._sequence += 1
        return (self._sequence - 1).to_bytes(8, "big")

    def seal(self, kind: int, payload: bytes) -> bytes:
        number = self._next()
        extra = number + bytes([kind]) + _TLS12 + len(payload).to_bytes(2, "big")
        return number + self._aead.encrypt(self._salt + number, payload, extra)

    def open(self, kind: int, payload: bytes) -> bytes:
        if len(payload) < OVERHEAD:
            raise InvalidTag
        size = (len(payload) - OVERHEAD).to_bytes(2, "big")
        extra = self._next() + bytes([kind]) + _TLS12 + size
        return self._aead.decrypt(self._salt + payload[:8], payload[8:], extra)


class CbcKeys:
    """AES-128-CBC with HMAC-SHA256 of one direction: RFC 5246 section 6.2.3.2."""

    def __init__(self, mac: bytes, key: bytes, wrong: Misbehaviour, record: Peer) -> None:
        self._mac, self._key, self._sequence = mac, key, 0
        self._wrong, self._record = wrong, record

    def _tag(self, kind: int, payload: bytes) -> bytes:
        number = self._sequence.to_bytes(8, "big")
        self._sequence += 1
        head = number + bytes([kind]) + _TLS12 + len(payload).to_bytes(2, "big")
        return hmac.digest(self._mac, head + payload, "sha256")

    def seal(self, kind: int, payload: bytes) -> bytes:
        iv = hashlib.sha256(self._key + self._sequence.to_bytes(8, "big")).digest()[:16]
        tag = self._tag(kind, payload)
        left = 15 - (len(payload) + len(tag)) % 16
        padding = bytes([left]) * (left + 1) if left else bytes([16]) * 17
        tag = self._record.noted(self._wrong.mac(tag, kind), tag)
        padding = self._record.noted(self._wrong.padding(padding, kind), padding)
        encryptor = Cipher(AES(self._key), CBC(iv)).encryptor()
        return iv + encryptor.update(payload + tag + padding) + encryptor.finalize()

    def open(self, kind: int, payload: bytes) -> bytes:
        try:
            decryptor = Cipher(AES(self._key), CBC(payload[:16])).decryptor()
            plain = decryptor.update(payload[16:]) + decryptor.finalize()
            end = len(plain) - plain[-1] - 1
        except (ValueError, IndexError):
            raise InvalidTag from None
        data, tag = plain[: end - 32], plain[end - 32 : end]
        if end < 32 or not hmac.compare_digest(tag, self._tag(kind, data)):
            raise InvalidTag
        return data


#: what must have come before a message is understood (RFC 5246 section 7.3)
NEEDED = {
    SERVER_KEY_EXCHANGE: {SERVER_HELLO},
    SERVER_HELLO_DONE: {SERVER_KEY_EXCHANGE},
    CLIENT_KEY_EXCHANGE: {CLIENT_HELLO},
}


class Session(Application):
    """The application of a TCP stream, and the stream of the application behind it."""

    below: Stream

    def __init__(
        self, role: Role, seed: str, certificate: Certificate | None,
        choose: Callable[[], Misbehaviour],
        application: Application, record: Peer, secrets: Callable[[bytes], None],
        request: Request | None = None,
    ) -> None:  # fmt: skip
        self.role, self.mute, self._request = role, False, request
        self._certificate, self._choose = certificate, choose
        self._wrong = Misbehaviour()  # until it is opened
        self.application, self._record, self._secrets = application, record, secrets
        self._random = random.Random(seed).randbytes(32)
        key = derive_key(0, seed, "P-256")
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._ephemeral = key
        self._randoms: dict[Role, bytes] = {role: self._random}
        self._number = 0  # of the next message of ours
        self._transcript = b""
        self._incoming = b""
        self._messages = b""
        self._master = b""
        # of writing, of reading
        self._keys: tuple[Keys, Keys] | tuple[CbcKeys, CbcKeys] | None = None
        self._writes = self._reads = False  # ... with the keys
        self._ready = self._over = self._requested = False
        self._handled: set[int] = set()
        self._handlers: dict[int, Callable[[bytes, bytes], None]] = {
            CLIENT_HELLO: self._on_client_hello,
            SERVER_HELLO: self._on_server_hello,
            CERTIFICATE: self._on_certificate,
            SERVER_KEY_EXCHANGE: self._on_server_key_exchange,
            CERTIFICATE_REQUEST: self._on_certificate_request,
            CERTIFICATE_VERIFY: self._on_certificate_verify,
            SERVER_HELLO_DONE: self._on_server_hello_done,
            CLIENT_KEY_EXCHANGE: self._on_client_key_exchange,
            FINISHED: self._on_finished,
        }

    # As the application of TCP ----------------------------------------------------------

    def opened(self, stream: Stream) -> None:
        """A client speaks first."""
        self.below = stream
        self._record.opened_ns = stream.now
        self._wrong = self._choose()
        if self.role == "client":
            self._say(self.client_hello())

    def received(self, stream: Stream, data: bytes) -> None:
        """Records from the peer."""
        self._incoming += data
        while len(self._incoming) >= 5 and not self._over:
            end = 5 + int.from_bytes(self._incoming[3:5], "big")
            if len(self._incoming) < end:
                return
            kind, body = self._incoming[0], self._incoming[5:end]
            self._incoming = self._incoming[end:]
            self._take(kind, body)

    def ended(self, stream: Stream) -> None:
        """The peer's FIN."""
        if not self._ready:
            self._fail("connection closed in mid handshake")
        elif not self._over:
            self._over = True
            self.application.ended(self)

    def lost(self, stream: Stream, error: str | None) -> None:
        """TCP is gone."""
        self.below = stream
        self.application.lost(self, error)

    # As the stream of the application ---------------------------------------------------

    @property
    def now(self) -> int:
        """Virtual nanoseconds."""
        return self.below.now

    @property
    def peer(self) -> Address:
        """Address and port of the other end."""
        return self.below.peer

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        if data and self._ready:
            self._send(Step(APPLICATION_DATA, data, encrypted=True))

    def close(self) -> None:
        """Send close_notify, then FIN, unless that is what is wrong."""
        self._overrides("closes")
        self._wrong.closes(self)

    def cut(self) -> None:
        """Send FIN without close_notify."""
        self.mute = True
        self.below.close()

    def abort(self) -> None:
        """Reset the TCP connection."""
        self.mute = True
        self.below.abort()

    def call_later(self, delay: int, function: Callable[[], None]) -> None:
        """Call `function` in `delay` ns."""
        self.below.call_later(delay, function)

    def say_goodbye(self) -> None:
        """Send close_notify."""
        if self._ready and not self.mute:
            self._put(Step(ALERT, b"\1\0", encrypted=True))

    def misdeed(self) -> None:
        """Count one that shows in no message."""
        self._record.misdeeds += 1

    # Sending ----------------------------------------------------------------------------

    def _say(self, message: bytes, *, encrypted: bool = False) -> None:
        self._transcript += message
        self._send(Step(HANDSHAKE, message, encrypted))

    def _send(self, step: Step) -> None:
        """A message of ours, or what is sent in its place."""
        number, self._number = self._number, self._number + 1
        if not self.mute:
            for wrong in self._record.noted(self._wrong.steps(number, step, self), [step]):
                self._put(wrong)

    def _put(self, step: Step) -> None:
        size = self._wrong.size if step.kind in (HANDSHAKE, APPLICATION_DATA) else _LARGEST
        if step.kind == APPLICATION_DATA:
            size = max(size, _LARGEST)
        end = max(len(step.body), 1)
        for at in self._record.noted(range(0, end, size), range(0, end, _LARGEST)):
            body = step.body[at : at + size]
            if step.encrypted and self._keys and self._writes:
                body = self._keys[0].seal(step.kind, body)
            sealed = bytes([step.kind]) + _TLS12 + len(body).to_bytes(2, "big") + body
            self._overrides("write")
            self._wrong.write(self, self._record.noted(self._wrong.record(sealed, step), sealed))

    @property
    def _suite(self) -> bytes:
        return (CBC_SUITE if self._wrong.cbc else SUITE).to_bytes(2, "big")

    def _overrides(self, method: str) -> None:
        """A misdeed if it is not the honest one's."""
        self._record.noted(getattr(type(self._wrong), method), getattr(Misbehaviour, method))

    def _hello(self, extensions: bytes) -> tuple[bytes, bytes]:
        """The version of a hello of ours, and its extensions with their length."""
        version = self._record.noted(self._wrong.hello_version, _TLS12)
        extensions = self._record.noted(extensions + self._wrong.extra_extensions, extensions)
        return version, len(extensions).to_bytes(2, "big") + extensions

    def _point(self) -> bytes:
        """The public key of ours, after its length."""
        honest = point_of(self._ephemeral)
        point = self._record.noted(self._wrong.point(honest), honest)
        return bytes([len(point)]) + point

    def _finish(self) -> None:
        """ChangeCipherSpec and Finished."""
        self._send(Step(CHANGE_CIPHER_SPEC, b"\1"))
        self._writes = True
        self._say(_message(FINISHED, self._verify_data(self.role)), encrypted=True)

    # Receiving --------------------------------------------------------------------------

    def _take(self, kind: int, body: bytes) -> None:
        if self._reads and self._keys and kind != CHANGE_CIPHER_SPEC:
            try:
                body = self._keys[1].open(kind, body)
            except InvalidTag:
                self._fail("the camera's record cannot be opened")
                return
        if kind == CHANGE_CIPHER_SPEC:
            self._reads = True
        elif kind == ALERT and len(body) == 2:
            self._alert(body)
        elif kind == HANDSHAKE:
            self._messages += body
            for message in self._whole():
                before = self._transcript
                self._transcript += message
                if self._over:
                    return
                self._handle(message, before)
        elif kind == APPLICATION_DATA and self._ready:
            self.application.received(self, body)

    def _handle(self, message: bytes, before: bytes) -> None:
        kind = message[0]
        if not NEEDED.get(kind, set()) <= self._handled or (kind == FINISHED and not self._keys):
            self._fail(f"message {kind} out of turn")
        elif handler := self._handlers.get(kind):
            try:
                handler(message, before)
            except (IndexError, ValueError):
                self._fail(f"message {kind} is damaged")
            self._handled.add(kind)

    def _whole(self) -> Iterator[bytes]:
        while len(self._messages) >= 4:
            end = 4 + int.from_bytes(self._messages[1:4], "big")
            if len(self._messages) < end:
                return
            message, self._messages = self._messages[:end], self._messages[end:]
            yield message

    def _alert(self, body: bytes) -> None:
        if body == b"\1\0":
            self._record.close_notify = True
            self._over = True
            self.application.ended(self)
        elif body[0] == 2:
            self._fail(f"alert {body[1]}")

    def _fail(self, error: str) -> None:
        self._record.error = self._record.error or error
        self._over = True
        if not self.mute:
            self.below.close()

    # The handshake ----------------------------------------------------------------------

    def client_hello(self) -> bytes:
        """A ClientHello of ours."""
        version, extensions = self._hello(_GROUPS)
        suites = b"\0\2" + self._suite
        body = version + self._random + b"\0" + suites + b"\1\0" + extensions
        return _message(CLIENT_HELLO, body)

    def _on_client_hello(self, message: bytes, _before: bytes) -> None:
        if self.role != "server" or self._number:
            return
        self._record.server_name = server_name(message) or None
        self._record.offered = cipher_suites(message)
        self._randoms["client"] = message[6:38]
        chain = self._certificate
        assert chain is not None, "a scenario's server has one"
        version, extensions = self._hello(_SECURE)
        body = version + self._random + b"\0" + self._suite + b"\0" + extensions
        params = b"\x03\x00\x17" + self._point()
        made = signature(chain, message[6:38] + self._random + params)
        signed = self._record.noted(self._wrong.signature(made), made)
        self._say(_message(SERVER_HELLO, body))
        self._say(_message(CERTIFICATE, certificate_body(chain)))
        self._say(_message(SERVER_KEY_EXCHANGE, params + signed))
        if self._request:
            self._say(_message(CERTIFICATE_REQUEST, self._request.body()))
        self._say(_message(SERVER_HELLO_DONE, b""))

    def _on_server_hello(self, message: bytes, _before: bytes) -> None:
        self._randoms["server"] = message[6:38]

    def _on_certificate(self, message: bytes, _before: bytes) -> None:
        size = int.from_bytes(message[7:10], "big")
        self._record.certificate = message[10 : 10 + size] or None

    def _on_server_key_exchange(self, message: bytes, _before: bytes) -> None:
        self._derive(message[8 : 8 + message[7]])

    def _on_certificate_request(self, _message_: bytes, _before: bytes) -> None:
        self._requested = True

    def _on_certificate_verify(self, message: bytes, before: bytes) -> None:
        shown = self._record.certificate
        self._record.verified = shown is not None and proves(shown, message, before)
        if not self._record.verified:
            self._fail("the camera's CertificateVerify is wrong")

    def _on_server_hello_done(self, _message_: bytes, _before: bytes) -> None:
        chain = self._certificate
        if self._requested:
            self._say(_message(CERTIFICATE, certificate_body(chain)))
        self._say(_message(CLIENT_KEY_EXCHANGE, self._point()))
        if self._requested and chain:
            made = signature(chain, self._transcript)
            signed = self._record.noted(self._wrong.signature(made), made)
            self._say(_message(CERTIFICATE_VERIFY, signed))
        self._finish()

    def _on_client_key_exchange(self, message: bytes, _before: bytes) -> None:
        self._derive(message[5:])

    def _derive(self, point: bytes) -> None:
        try:
            self._master, line = master_secret(self._ephemeral, point, self._randoms)
        except ValueError:
            self._fail("a bad point")
            return
        self._secrets(line)
        client, server = self._randoms["client"], self._randoms["server"]
        block = prf.derive_key_block(self._master, server, client, 96)
        if self._wrong.cbc:
            ours, theirs = (
                CbcKeys(block[at : at + 32], block[64 + at // 2 :][:16], self._wrong, self._record)
                for at in ((0, 32) if self.role == "client" else (32, 0))
            )
            self._keys = ours, theirs
        else:
            keys = Keys(block[:16], block[32:36]), Keys(block[16:32], block[36:40])
            self._keys = keys if self.role == "client" else keys[::-1]

    def _verify_data(self, end: Role) -> bytes:
        return verify_data(self._master, self._transcript, end)

    def _on_finished(self, message: bytes, before: bytes) -> None:
        whole, self._transcript = self._transcript, before
        good = message[4:] == self._verify_data("client" if self.role == "server" else "server")
        self._transcript = whole
        if not good:
            self._fail("the camera's Finished is wrong")
            return
        if self.role == "server":
            self._finish()
        self._ready = True
        self._record.secured_ns, self._record.version = self.now, "TLSv1.2"
        self._record.cipher = CBC_SUITE_NAME if self._wrong.cbc else SUITE_NAME
        self.application.opened(self)


class Factory:
    """Makes the sessions of one peer, each with the next of its misbehaviours."""

    def __init__(
        self, role: Role, seed: int, name: str, certificate: Certificate | None,
        misbehaviours: str, secrets: Callable[[bytes], None], request: Request | None = None,
    ) -> None:  # fmt: skip
        self._fixed: tuple[Any, ...] = role, certificate, secrets, request
        self._label, self._names = f"tls12/{seed}/{role}/{name}", misbehaviours.split()
        self._made = self._opened = 0

    def session(self, application: Application, record: Peer) -> Session:
        """Another session, for an application."""
        role, certificate, secrets, request = self._fixed
        self._made += 1
        label = f"{self._label}/{self._made}"
        return Session(role, label, certificate, self._next, application, record, secrets, request)

    def _next(self) -> Misbehaviour:
        """At each connection that is opened: calls that nobody answers do not count."""
        self._opened += 1
        return make(self._names[(self._opened - 1) % len(self._names)])


def _message(msgtype: int, body: bytes) -> bytes:
    return bytes([msgtype]) + len(body).to_bytes(3, "big") + body

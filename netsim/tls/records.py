"""Names of the TLS messages in one direction of a stream (RFC 5246, RFC 8446)."""

from collections.abc import Iterator

_CHANGE_CIPHER_SPEC, _ALERT, _HANDSHAKE, _DATA = 20, 21, 22, 23
_LARGEST = (1 << 14) + 2048
_MESSAGES = {
    0: "HelloRequest",
    1: "ClientHello",
    2: "ServerHello",
    3: "HelloVerifyRequest",
    4: "NewSessionTicket",
    8: "EncryptedExtensions",
    11: "Certificate",
    12: "ServerKeyExchange",
    13: "CertificateRequest",
    14: "ServerHelloDone",
    15: "CertificateVerify",
    16: "ClientKeyExchange",
    20: "Finished",
}
_ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    90: "user_canceled",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    116: "certificate_required",
    120: "no_application_protocol",
}


def alert(code: int) -> str:
    """The name of an alert's description (RFC 5246 section 7.2)."""
    return _ALERTS.get(code, str(code))


def message(kind: int) -> str:
    """The name of a handshake message (RFC 5246 section 7.4)."""
    return _MESSAGES.get(kind, f"handshake message {kind}")


class Records:
    """Cuts a stream into records; `feed` gives a line for each message."""

    def __init__(self) -> None:
        self.is_tls: bool | None = None  # None until the first bytes tell
        self._buffer = b""
        self._messages = b""
        self._encrypted = False

    def feed(self, data: bytes) -> Iterator[str]:
        """What the next bytes of the stream complete."""
        if self.is_tls is False:
            return
        self._buffer += data
        if len(self._buffer) < 3 and self.is_tls is None:
            return
        while len(self._buffer) >= 5 or self.is_tls is None:
            kind, major = self._buffer[0], self._buffer[1]
            size = int.from_bytes(self._buffer[3:5], "big")
            self.is_tls = _CHANGE_CIPHER_SPEC <= kind <= _DATA and major == 3 and size <= _LARGEST
            if not self.is_tls or len(self._buffer) < 5 + size:
                return
            body, self._buffer = self._buffer[5 : 5 + size], self._buffer[5 + size :]
            yield from self._record(kind, body)

    def _record(self, kind: int, body: bytes) -> Iterator[str]:
        if kind == _CHANGE_CIPHER_SPEC:
            self._encrypted = True
            yield "TLS ChangeCipherSpec"
        elif kind == _DATA:
            yield f"TLS data, {len(body)} bytes"
        elif self._encrypted:
            yield "TLS Finished" if kind == _HANDSHAKE else "TLS alert, encrypted"
        elif kind == _ALERT and len(body) == 2:
            level = "fatal" if body[0] == 2 else "warning"
            yield f"TLS alert, {level} {alert(body[1])}"
        elif kind == _HANDSHAKE:
            yield from self._handshake(body)

    def _handshake(self, body: bytes) -> Iterator[str]:
        self._messages += body
        while len(self._messages) >= 4:
            end = 4 + int.from_bytes(self._messages[1:4], "big")
            if len(self._messages) < end:
                return
            whole, self._messages = self._messages[:end], self._messages[end:]
            host = server_name(whole) if whole[0] == 1 else ""
            yield f"TLS {message(whole[0])} {host}".rstrip()


def dtls_records(datagram: bytes) -> list[str]:
    """What a datagram of DTLS (RFC 6347) holds; nothing if it is none."""
    told = []
    while len(datagram) >= 13 and datagram[1:2] == b"\xfe" and datagram[0] in range(20, 24):
        epoch, size = int.from_bytes(datagram[3:5], "big"), int.from_bytes(datagram[11:13], "big")
        kind, body, datagram = datagram[0], datagram[13 : 13 + size], datagram[13 + size :]
        if kind == _CHANGE_CIPHER_SPEC:
            told.append("ChangeCipherSpec")
        elif kind == _DATA:
            told.append(f"data, {size} bytes")
        elif kind == _HANDSHAKE:
            told.append(_MESSAGES.get(body[0], "?") if body and not epoch else "Finished")
        elif epoch or len(body) != 2:
            told.append("alert, encrypted")
        else:
            told.append(f"alert, {alert(body[1])}")
    return told


def cut_records(data: bytes, size: int) -> bytes:
    """Whole records, those of the handshake cut to `size` bytes (RFC 5246 section 6.2.1), up to
    a ChangeCipherSpec: what follows is encrypted."""
    out = b""
    while data and data[0] != _CHANGE_CIPHER_SPEC:
        end = 5 + int.from_bytes(data[3:5], "big")
        head, body, data = data[:3], data[5:end], data[end:]
        step = size if head[0] == _HANDSHAKE else len(body)
        for at in range(0, len(body), step):
            piece = body[at : at + step]
            out += head + len(piece).to_bytes(2, "big") + piece
    return out + data


def cipher_suites(hello: bytes) -> list[str]:
    """What a ClientHello offers, by IANA's names (RFC 5246 section 7.4.1.2)."""
    from scapy.layers.tls.crypto.suites import (  # noqa: PLC0415 - a sixth of a second
        _tls_cipher_suites,
    )

    at = 4 + 2 + 32  # header, version, random
    at += 1 + int.from_bytes(hello[at : at + 1], "big")  # session id
    end = at + 2 + int.from_bytes(hello[at : at + 2], "big")
    codes = (int.from_bytes(hello[i : i + 2], "big") for i in range(at + 2, end, 2))
    return [_tls_cipher_suites.get(code, f"0x{code:04x}") for code in codes]


def server_name(hello: bytes) -> str:
    """The host that a ClientHello asks for (RFC 6066 section 3), or nothing."""
    at = 4 + 2 + 32  # header, version, random
    for width in (1, 2, 1):  # session id, cipher suites, compression methods
        at += width + int.from_bytes(hello[at : at + width], "big")
    at += 2
    while at + 4 <= len(hello):
        kind = int.from_bytes(hello[at : at + 2], "big")
        size = int.from_bytes(hello[at + 2 : at + 4], "big")
        if kind == 0:
            name = hello[at + 9 : at + 4 + size]
            return name.decode("ascii", "replace") if name.isascii() else ""
        at += 4 + size
    return ""

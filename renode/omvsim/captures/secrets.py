"""What a capture's encrypted records hold, where the secrets of its sessions are known.

Secrets are lines of the key log format (draft-ietf-tls-keylogfile), from a file or from the
Decryption Secrets Blocks of a pcapng.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from scapy.layers.tls.crypto.prf import PRF

from netsim import paths
from omvsim.conversations import talks
from omvsim.conversations.talks import OTHER, Message, Record, Talk
from omvsim.errors import UserError

Secrets = dict[tuple[str, bytes], bytes]  # by label and the client's random
_SECTION, _SECRETS, _TLS_KEY_LOG = 0x0A0D0D0A, 0x0A, 0x544C534B  # draft-ietf-opsawg-pcapng
_FINISHED, _KEY_UPDATE = 20, 24
_SUITES13: dict[int, tuple[Any, int, hashes.HashAlgorithm]] = {
    0x1301: (AESGCM, 16, hashes.SHA256()), 0x1302: (AESGCM, 32, hashes.SHA384()),
    0x1303: (ChaCha20Poly1305, 32, hashes.SHA256()), 0x1304: (AESCCM, 16, hashes.SHA256()),
}  # fmt: skip


def from_file(file: Path) -> Secrets:
    """Those of a key log; UserError where it holds none."""
    try:
        found = _parse(paths.read(file))
    except OSError as error:
        raise UserError(f"--keylog {file}: {error.strerror}: name a key log") from None
    if not found:
        told = "no secret in it: it is what SSLKEYLOGFILE makes"
        raise UserError(f"--keylog {file}: {told}")
    return found


def from_capture(content: bytes | memoryview) -> Secrets:
    """Those that a pcapng brings along."""
    found: Secrets = {}
    order, at = "<", 0
    while at + 12 <= len(content):
        kind = struct.unpack_from(order + "I", content, at)[0]
        if kind == _SECTION:
            order = "<" if content[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
        size = struct.unpack_from(order + "I", content, at + 4)[0]
        if size < 12 or at + size > len(content):
            break
        if kind == _SECRETS and size >= 20:
            what, length = struct.unpack_from(order + "II", content, at + 8)
            if what == _TLS_KEY_LOG:
                found |= _parse(bytes(content[at + 16 : at + 16 + min(length, size - 20)]))
        at += size
    return found


def _parse(text: bytes) -> Secrets:
    found: Secrets = {}
    for line in text.splitlines():
        label, *values = line.decode("latin-1").split()[:3] or [""]
        with suppress(ValueError):  # a comment, or damage
            if len(values) == 2:
                found[label, bytes.fromhex(values[0])] = bytes.fromhex(values[1])
    return found


def decrypt(talk: Talk, secrets: Secrets) -> bool:
    """Fill in what a TLS connection's encrypted records hold; were there any that stay closed?"""
    closed = [r for r in talk.records if not r.clear and r.kind != talks.CHANGE_CIPHER_SPEC]
    if talk.datagrams or not closed:
        return bool(closed)
    openers = _openers(talk, secrets)
    for side in OTHER:
        rest, at = b"", -1
        for at, record in enumerate(talk.records):
            if record.side != side or record not in closed or side not in openers:
                continue
            try:
                record.kind, record.plain = openers[side].open(record)
            except (InvalidTag, ValueError):
                break  # a lost record, or the secrets of another
            if record.kind == talks.HANDSHAKE:
                rest += record.plain
                rest = _messages(talk, openers[side], record, at, rest)
    return any(record.plain is None for record in closed)


def _messages(talk: Talk, opener: _Opener, record: Record, at: int, rest: bytes) -> bytes:
    """Take whole handshake messages; what is left."""
    while len(rest) >= 4 and len(rest) >= (end := 4 + int.from_bytes(rest[1:4], "big")):
        kind, body = rest[0], rest[4:end]
        opener.heard(kind)
        if kind == talks.CERTIFICATE and isinstance(opener, _Tls13):
            body = _certificates12(body)
        talk.messages.append(Message(record.side, record.time, kind, body, False, at))
        rest = rest[end:]
    return rest


def _certificates12(body: bytes) -> bytes:
    """A Certificate message of RFC 8446 section 4.4.2 as RFC 5246 section 7.4.2 has it."""
    at = 1 + body[0] + 3
    made = b""
    while at + 3 <= len(body):
        end = at + 3 + int.from_bytes(body[at : at + 3], "big")
        made += body[at:end]
        at = end + 2 + int.from_bytes(body[end : end + 2], "big")
    return len(made).to_bytes(3, "big") + made


class _Opener:
    """Opens one side's records, in their order."""

    def __init__(self) -> None:
        self._number = 0

    def open(self, record: Record) -> tuple[int, bytes]:
        """The type and contents; InvalidTag."""
        raise NotImplementedError

    def heard(self, kind: int) -> None:
        """A handshake message was in it."""

    def _next(self) -> bytes:
        self._number += 1
        return (self._number - 1).to_bytes(8, "big")


class _Tls13(_Opener):
    """RFC 8446 section 5.2."""

    def __init__(self, suite: int, *traffic: bytes) -> None:
        super().__init__()
        self._cipher, self._size, self._hash = _SUITES13[suite]
        self._traffic = list(traffic)  # of the handshake, then of the application
        self._key()

    def _key(self) -> None:
        self._number = 0
        self._aead = self._cipher(self._expand(b"key", self._size))
        self._iv = self._expand(b"iv", 12)

    def _expand(self, label: bytes, size: int) -> bytes:
        label = b"tls13 " + label
        info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
        return HKDFExpand(self._hash, size, info).derive(self._traffic[0])

    def open(self, record: Record) -> tuple[int, bytes]:
        if record.kind != talks.DATA:
            raise InvalidTag
        number = bytes(4) + self._next()
        nonce = bytes(a ^ b for a, b in zip(self._iv, number, strict=True))
        header = b"\x17\x03\x03" + len(record.body).to_bytes(2, "big")
        inner = self._aead.decrypt(nonce, record.body, header).rstrip(b"\0")
        if not inner:
            raise InvalidTag  # nothing but padding: RFC 8446 section 5.4 forbids it
        return inner[-1], inner[:-1]

    def heard(self, kind: int) -> None:
        if kind == _FINISHED and len(self._traffic) == 2:
            del self._traffic[0]
            self._key()
        elif kind == _KEY_UPDATE:
            self._traffic = [self._expand(b"traffic upd", self._hash.digest_size)]
            self._key()


class _Aead12(_Opener):
    """RFC 5288, RFC 6655 and RFC 7905."""

    def __init__(
        self, aead: AESGCM | AESCCM | ChaCha20Poly1305, salt: bytes, tag: int = 16
    ) -> None:
        super().__init__()
        self._aead, self._salt, self._tag = aead, salt, tag

    def open(self, record: Record) -> tuple[int, bytes]:
        number, body, nonce = self._next(), record.body, self._salt
        if len(self._salt) == 4:
            nonce, body = self._salt + body[:8], body[8:]
        else:
            padded = bytes(4) + number
            nonce = bytes(a ^ b for a, b in zip(self._salt, padded, strict=True))
        size = max(0, len(body) - self._tag).to_bytes(2, "big")
        header = number + bytes([record.kind]) + b"\x03\x03" + size
        return record.kind, self._aead.decrypt(nonce, body, header)


class _Cbc12(_Opener):
    """RFC 5246 section 6.2.3.2, and RFC 7366 where MAC follows the ciphertext."""

    def __init__(self, key: bytes, mac: bytes, hash: hashes.HashAlgorithm, after: bool) -> None:
        super().__init__()
        self._key, self._mac, self._hash, self._after = key, mac, hash, after

    def open(self, record: Record) -> tuple[int, bytes]:
        number, size = self._next(), self._hash.digest_size
        body, tag = record.body, b""
        if self._after:
            body, tag = body[:-size], body[-size:]
        decryptor = Cipher(algorithms.AES(self._key), modes.CBC(body[:16])).decryptor()
        text = decryptor.update(body[16:]) + decryptor.finalize()
        text = text[: -1 - text[-1]] if text else text
        covered = body
        if not self._after:
            covered, tag = text[:-size], text[-size:]
            text = covered
        mac = hmac.HMAC(self._mac, self._hash)
        mac.update(number + bytes([record.kind]) + b"\x03\x03" + len(covered).to_bytes(2, "big"))
        mac.update(covered)
        if mac.finalize() != tag:
            raise InvalidTag
        return record.kind, text


def _openers(talk: Talk, secrets: Secrets) -> dict[str, _Opener]:
    """Of both sides, as far as there are secrets for them."""
    hellos = {m.kind: m.body for m in talk.messages if m.kind in (1, 2)}
    chosen = talk.chosen()
    if chosen is None or talks.CLIENT_HELLO not in hellos:
        return {}
    client, server = hellos[talks.CLIENT_HELLO][2:34], hellos[talks.SERVER_HELLO][2:34]
    if 0x0304 in chosen.versions:
        found: dict[str, _Opener] = {}
        for side in OTHER:
            labels = f"{side.upper()}_HANDSHAKE_TRAFFIC_SECRET", f"{side.upper()}_TRAFFIC_SECRET_0"
            traffic = [secrets[label, client] for label in labels if (label, client) in secrets]
            if len(traffic) == 2 and chosen.suites[0] in _SUITES13:
                found[side] = _Tls13(chosen.suites[0], *traffic)
        return found
    master = secrets.get(("CLIENT_RANDOM", client))
    name = talks.suite_names().get(chosen.suites[0], "")
    if master is None or 0x0303 not in chosen.versions or not re.search("AES|CHACHA20", name):
        return {}
    after = talks.ENCRYPT_THEN_MAC in chosen.extensions
    return dict(zip(OTHER, _tls12(name, master, (server, client), after), strict=True))


def _tls12(
    name: str, master: bytes, randoms: tuple[bytes, bytes], after: bool
) -> Iterator[_Opener]:
    """Client's and server's, by OpenSSL's name of the suite; `randoms` are the server's, then the
    client's."""
    sizes = {"SHA": hashes.SHA1(), "SHA384": hashes.SHA384()}
    digest = sizes.get(name.rpartition("-")[2], hashes.SHA256())
    key = 32 if "AES256" in name or "CHACHA20" in name else 16
    aead = next((kind for kind in ("GCM", "CCM", "CHACHA20") if kind in name), "")
    mac, salt = (0, 12 if aead == "CHACHA20" else 4) if aead else (digest.digest_size, 0)
    prf: Any = PRF(  # type: ignore[no-untyped-call]
        "sha384" if name.endswith("SHA384") else "sha256", 0x0303
    )
    block = prf.derive_key_block(master, *randoms, 2 * (mac + key + salt))
    parts = [block[i * mac : (i + 1) * mac] for i in (0, 1)]
    keys = [block[2 * mac + i * key : 2 * mac + (i + 1) * key] for i in (0, 1)]
    salts = [block[2 * (mac + key) + i * salt : 2 * (mac + key) + (i + 1) * salt] for i in (0, 1)]
    for i in (0, 1):
        if not aead:
            yield _Cbc12(keys[i], parts[i], digest, after)
        elif aead == "CHACHA20":
            yield _Aead12(ChaCha20Poly1305(keys[i]), salts[i])
        elif aead == "CCM":
            tag = 8 if name.endswith("CCM8") else 16
            yield _Aead12(AESCCM(keys[i], tag), salts[i], tag)
        else:
            yield _Aead12(AESGCM(keys[i]), salts[i])

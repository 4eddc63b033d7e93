"""What our TLS 1.2 and DTLS 1.2 endpoints share: suite, PRF, points, certificates, signatures."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from scapy.layers.tls.crypto.prf import PRF

from netsim.tls.certificates import Certificate

Role = Literal["client", "server"]
SUITE, SUITE_NAME = 0xC02B, "ECDHE-ECDSA-AES128-GCM-SHA256"
P256, ECDSA_SHA256 = b"\x00\x17", b"\x04\x03"
prf: Any = PRF(hash_name="SHA256", tls_version=0x0303)  # type: ignore[no-untyped-call]


def master_secret(
    own: ec.EllipticCurvePrivateKey, point: bytes, randoms: Mapping[Role, bytes]
) -> tuple[bytes, bytes]:
    """RFC 5246 section 8.1 by ECDH with the peer's point, ValueError if it is none; and its line
    of the key log."""
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    client = randoms["client"]
    made = bytes(
        prf.compute_master_secret(own.exchange(ec.ECDH(), public), client, randoms["server"])
    )
    return made, f"CLIENT_RANDOM {client.hex()} {made.hex()}\n".encode()


def verify_data(master: bytes, transcript: bytes, end: Role) -> bytes:
    """What a Finished of that end holds (RFC 5246 section 7.4.9)."""
    digest = hashlib.sha256(transcript).digest()
    return bytes(prf.prf(master, f"{end} finished".encode(), digest, 12))


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
    return ECDSA_SHA256 + len(made).to_bytes(2, "big") + made

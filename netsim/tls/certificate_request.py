"""What a TLS 1.2 server may ask of a client's certificate, and whether its proof is good."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

#: ClientCertificateType (RFC 5246 section 7.4.4, RFC 8422 section 5.5)
TYPES = {"rsa_sign": 1, "dss_sign": 2, "rsa_fixed_dh": 3, "dss_fixed_dh": 4, "ecdsa_sign": 64}
#: SignatureAndHashAlgorithm (RFC 5246 section 7.4.1.4.1, RFC 8446 section 4.2.3)
_HASHES = {4: hashes.SHA256(), 5: hashes.SHA384(), 6: hashes.SHA512()}
_RSA, _ECDSA = 1, 3
_PSS = {0x0804: hashes.SHA256(), 0x0805: hashes.SHA384(), 0x0806: hashes.SHA512()}
_ALGORITHMS = [0x0403, 0x0503, 0x0603, 0x0401, 0x0501, 0x0601, *_PSS]


@dataclass(frozen=True)
class Request:
    """Kinds of certificates by name, and the authorities that may have issued one (none: any)."""

    kinds: Sequence[str]
    authorities: Sequence[x509.Certificate] = ()

    def body(self) -> bytes:
        """A CertificateRequest's (RFC 5246 section 7.4.4)."""
        kinds = bytes(TYPES[kind] for kind in self.kinds)
        algorithms = b"".join(number.to_bytes(2, "big") for number in _ALGORITHMS)
        names = [authority.subject.public_bytes() for authority in self.authorities]
        listed = b"".join(len(name).to_bytes(2, "big") + name for name in names)
        made = bytes([len(kinds)]) + kinds
        made += len(algorithms).to_bytes(2, "big") + algorithms
        return made + len(listed).to_bytes(2, "big") + listed


def proves(certificate: bytes, message: bytes, transcript: bytes) -> bool:
    """Is a CertificateVerify message right, for a certificate in DER and what was said before?"""
    algorithm, signature = int.from_bytes(message[4:6], "big"), message[8:]
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        hash = _PSS.get(algorithm) or _HASHES[algorithm >> 8]
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm & 0xFF == _ECDSA:
            key.verify(signature, transcript, ec.ECDSA(hash))
        elif isinstance(key, rsa.RSAPublicKey) and algorithm in _PSS:
            salted = padding.PSS(padding.MGF1(hash), padding.PSS.DIGEST_LENGTH)
            key.verify(signature, transcript, salted, hash)
        elif isinstance(key, rsa.RSAPublicKey) and algorithm & 0xFF == _RSA:
            key.verify(signature, transcript, padding.PKCS1v15(), hash)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, KeyError):
        return False
    return True

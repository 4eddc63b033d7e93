"""Private keys that are functions of a seed and a name."""

import hashlib
from functools import cache
from typing import Protocol

import gmpy2
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa


class Found(Protocol):
    """Primes by name, from one process to another; any of them may be lost, or wrong."""

    def get(self, name: str) -> int | None: ...

    def __setitem__(self, name: str, prime: int) -> None: ...


found: Found = dict[str, int]()

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_ORDERS = {  # of the base points, SEC 2 sections 2.4.2 and 2.5.1
    "P-256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "P-384": int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
        "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
        16,
    ),
}
_CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
_EXPONENT = 65537
_FAR = 1 << 20  # from its start no prime of these sizes is: 500 times the mean distance of two


def derive_bytes(seed: int, label: str, size: int) -> bytes:
    """`size` bytes that depend on seed and label only."""
    return hashlib.shake_256(f"{seed}/{label}".encode()).digest(size)


@cache
def derive_key(seed: int, label: str, kind: str) -> PrivateKey:
    """The private key of a kind such as P-256 or RSA-2048."""
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(derive_bytes(seed, label, 32))
    if kind in _CURVES:
        # 64 bits more than needed leave no bias worth mentioning (FIPS 186-5 A.2.1).
        value = int.from_bytes(derive_bytes(seed, label, 56), "big")
        return ec.derive_private_key(value % (_ORDERS[kind] - 1) + 1, _CURVES[kind])
    bits = int(kind.removeprefix("RSA-"))
    return _rsa_key(*(_prime(seed, f"{label}/{i}", bits // 2) for i in "pq"))


def _rsa_key(p: int, q: int) -> rsa.RSAPrivateKey:
    p, q = max(p, q), min(p, q)
    d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(_EXPONENT, p * q)
    parts = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, *parts, public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)  # the primes are ours


def _prime(seed: int, label: str, bits: int) -> int:
    """The first prime from a derived start on, with both top bits set."""
    start = int.from_bytes(derive_bytes(seed, label, bits // 8), "big") | 3 << (bits - 2)
    name = f"{seed}/{label}/{bits}"
    known = found.get(name)
    if known and 0 <= known - start < _FAR and gmpy2.is_prime(known, 1):
        return known
    prime = gmpy2.next_prime(start - 1)
    while (prime - 1) % _EXPONENT == 0:
        prime = gmpy2.next_prime(prime)
    found[name] = int(prime)
    return int(prime)

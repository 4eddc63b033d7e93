"""The certificates of a capture made anew, as a scenario's [certificates]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from netsim.tls.certificates import DAMAGE
from omvsim.conversations.talks import certificates
from omvsim.evidence.case import alternative_names, common_name, signed_by

CURVES = {"secp256r1": "P-256", "secp384r1": "P-384"}


class Chains:
    """`table` holds what is made, `lost` hears what could not be taken over. `anchors` are what
    the device trusts; a new one stands in for each."""

    def __init__(self, lost: list[str], anchors: Sequence[x509.Certificate] = ()) -> None:
        self.table: dict[str, dict[str, Any]] = {}
        self.lost = lost
        self._known: dict[bytes, str] = {}
        self._anchors = {
            self._made(a.tbs_certificate_bytes, "ca", self._options(a, "--ca") | {"ca": True}): a
            for a in anchors
        }

    @property
    def anchors(self) -> list[str]:
        """Names of what stands in for the device's authorities."""
        return list(self._anchors)

    def chain(self, body: bytes, where: str) -> str:
        """Make a Certificate message's chain anew, from the root down; the leaf's name."""
        chain, whole = list[x509.Certificate](), True
        for der in certificates(body):
            try:
                chain.append(x509.load_der_x509_certificate(der))
            except DAMAGE as error:
                self.lost.append(f"{where}: a certificate that cannot be read: {error}")
                whole = whole and bool(chain)  # its own is none
        if not chain or not whole:
            return self.new("unknown", {})
        issuer, complete = self._above(chain[-1], where)
        sent: list[str] = []
        for number, certificate in reversed(list(enumerate(chain))):
            options = self._options(certificate, where)
            if issuer:
                options["issuer"] = issuer
            if not number and not complete:
                options["chain"] = sent[::-1]
            name = "intermediate" if number else "server"
            issuer = self._made(certificate.tbs_certificate_bytes, name, options)
            sent.append(issuer)
        return issuer or ""

    def _above(self, top: x509.Certificate, where: str) -> tuple[str | None, bool]:
        """Who has signed the last certificate that was sent; was nothing between it and a root
        left out?"""
        if top.issuer == top.subject:
            return None, True
        for name, anchor in self._anchors.items():
            if signed_by(top, anchor):
                return name, True
        issuer = top.issuer.rfc4514_string()
        options: dict[str, Any] = {"ca": True, "common_name": common_name(top.issuer) or "root"}
        options["key"] = kind = _signer(top)
        stranger = any(anchor.subject == top.issuer for anchor in self._anchors.values())
        if self._anchors and not stranger:
            options["issuer"] = self.anchors[0]
            self.lost.append(
                f"{where}: {issuer}, which was not sent: a new {kind} stands in, signed by what "
                "stands in for --ca"
            )
            return self._made(issuer.encode(), "missing", options), False
        self.lost.append(f"{where}: the root {issuer}, which was not sent: a new {kind} stands in")
        return self._made(issuer.encode(), "ca", options), True

    def _made(self, identity: bytes, name: str, options: dict[str, Any]) -> str:
        if identity not in self._known:
            self._known[identity] = self.new(name, options)
        return self._known[identity]

    def new(self, name: str, options: dict[str, Any]) -> str:
        """Another certificate; the name that it got."""
        numbered = name if name not in self.table else f"{name}_{len(self.table)}"
        self.table[numbered] = options
        return numbered

    def _options(self, certificate: x509.Certificate, where: str) -> dict[str, Any]:
        options: dict[str, Any] = {
            "not_before": certificate.not_valid_before_utc,
            "not_after": certificate.not_valid_after_utc,
        }
        if own := common_name(certificate.subject):
            options["common_name"] = own
        key = certificate.public_key()
        kind = None
        if isinstance(key, ec.EllipticCurvePublicKey):
            kind = CURVES.get(key.curve.name)
        elif isinstance(key, rsa.RSAPublicKey) and key.key_size in (2048, 4096):
            kind = f"RSA-{key.key_size}"
        elif isinstance(key, ed25519.Ed25519PublicKey):
            kind = "Ed25519"
        if kind:
            options["key"] = kind
        else:
            self.lost.append(f"{where}: the kind of key of {own}: P-256 stands in")
        for extension in certificate.extensions:
            value = extension.value
            if isinstance(value, x509.BasicConstraints) and value.ca:
                options["ca"] = True
            elif isinstance(value, x509.SubjectAlternativeName):
                options["names"] = alternative_names(value)
        return options


def _signer(certificate: x509.Certificate) -> str:
    """The kind of key that has signed it, by the signature: P-256 where that shows another."""
    signature, parameters = certificate.signature, certificate.signature_algorithm_parameters
    if isinstance(parameters, ec.ECDSA):
        largest = max(decode_dss_signature(signature)).bit_length()
        return "P-384" if 256 < largest <= 384 else "P-256"
    if parameters is None:
        return "Ed25519" if len(signature) == 64 else "P-256"
    kind = f"RSA-{8 * len(signature)}"
    return kind if kind in ("RSA-2048", "RSA-4096") else "P-256"

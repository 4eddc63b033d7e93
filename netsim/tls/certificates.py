"""The certificate authority of a scenario: the same seed gives the same bytes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from netsim import paths
from netsim.errors import UserError
from netsim.scenario import CertificateOptions, File, Scenario
from netsim.tls.keys import PrivateKey, derive_bytes, derive_key

#: what cryptography raises where bytes are none, or none of these days
DAMAGE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
)
_PEM, _DER = serialization.Encoding.PEM, serialization.Encoding.DER
_OPEN = serialization.NoEncryption()


@dataclass(frozen=True)
class Certificate:
    """A certificate, its private key if known, and who issued it (None: itself)."""

    x509: x509.Certificate
    key: PrivateKey | None
    issuer: "Certificate | None" = None
    others: "tuple[Certificate, ...] | None" = None  # sent after it instead of its issuers

    @cached_property
    def der(self) -> bytes:
        """The certificate in DER, as the camera wants it."""
        return self.x509.public_bytes(_DER)

    @cached_property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self.x509.public_bytes(_PEM)

    @property
    def key_der(self) -> bytes:
        """The private key in DER: SEC 1 or PKCS#1, Ed25519 in PKCS#8."""
        return self._private_bytes(_DER, self._format())

    @property
    def key_pem(self) -> bytes:
        """The private key in PEM, of the same form."""
        return self._private_bytes(_PEM, self._format())

    @property
    def key_pkcs8(self) -> bytes:
        """The private key in DER, PKCS#8."""
        return self._private_bytes(_DER, serialization.PrivateFormat.PKCS8)

    @property
    def private_key(self) -> PrivateKey:
        """The private key; raises UserError if it is not known."""
        if self.key is None:
            name = self.x509.subject.rfc4514_string()
            raise UserError(f"certificate {name}: its private key is needed, add key_file = ...")
        return self.key

    @property
    def chain_pem(self) -> bytes:
        """This certificate and its intermediates, without the root: what a server sends."""
        return b"".join(certificate.pem for certificate in self.chain())

    def chain(self) -> "Iterator[Certificate]":
        """This certificate and its intermediates, without the root unless it is that."""
        yield self
        if self.others is not None:
            yield from self.others
            return
        issuer = self.issuer
        while issuer and issuer.issuer:
            yield issuer
            issuer = issuer.issuer

    def _format(self) -> serialization.PrivateFormat:
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return serialization.PrivateFormat.PKCS8
        return serialization.PrivateFormat.TraditionalOpenSSL

    def _private_bytes(
        self, encoding: serialization.Encoding, form: serialization.PrivateFormat
    ) -> bytes:
        return self.private_key.private_bytes(encoding, form, _OPEN)


class Authority:
    """Makes, or reads, the certificates that a scenario names: `authority["ca"]`."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._made: dict[str, Certificate] = {}

    def __getitem__(self, name: str) -> Certificate:
        """The certificate called `name` in the scenario; raises UserError."""
        if name not in self._made:
            options = self.scenario.certificates[name]
            try:
                self._made[name] = self._read(options) if options.file else self._make(name)
            except (*DAMAGE, OSError) as error:
                raise UserError(f"certificates.{name}: {str(error).splitlines()[0]}") from error
        return self._made[name]

    def _read(self, options: CertificateOptions) -> Certificate:
        folder = self.scenario.folder
        data = paths.read(folder / str(options.file))
        pem = data.lstrip().startswith(b"-----BEGIN")
        load = x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate
        key = _read_key(folder / options.key_file) if options.key_file else None
        return Certificate(load(data), key)

    def _make(self, name: str) -> Certificate:
        options = self.scenario.certificates[name]
        seed = self.scenario.seed
        key = derive_key(seed, f"key/{name}", options.key)
        issuer = self[options.issuer] if options.issuer else None
        serial = int.from_bytes(derive_bytes(seed, f"serial/{name}", 8), "big") >> 1 | 1
        signer = self[options.signed_by].key if options.signed_by else None
        made = issue(options, options.common_name or name, key, serial, issuer, signer)
        others = None if options.chain is None else tuple(self[other] for other in options.chain)
        return made if others is None else replace(made, others=others)


@lru_cache(maxsize=1000)  # cameras of one world have the same, and each asks twice
def issue(
    options: CertificateOptions,
    common_name: str,
    key: PrivateKey,
    serial: int,
    issuer: Certificate | None = None,
    signer: PrivateKey | None = None,
) -> Certificate:
    """The certificate of a key, signed by its issuer or, without one, by the key itself; or by
    `signer`, which makes it a forgery."""
    signer = signer or (issuer.key if issuer else key)
    if signer is None:
        raise ValueError(f"issuer {options.issuer} has no key, add key_file to it")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.x509.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(options.not_before)
        .not_valid_after(options.not_after)
    )
    for extension, critical in _extensions(options, key, signer):
        builder = builder.add_extension(extension, critical)
    # Deterministic ECDSA (RFC 6979): a random nonce would make every run differ.
    deterministic = True if isinstance(signer, ec.EllipticCurvePrivateKey) else None
    # RFC 4055; without salt, which would be random, too
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 0) if options.pss else None
    certificate = builder.sign(
        signer, _hash(signer), ecdsa_deterministic=deterministic, rsa_padding=pss
    )
    return Certificate(certificate, key, issuer)


def _read_key(path: Path) -> PrivateKey:
    data = paths.read(path)
    pem = data.lstrip().startswith(b"-----BEGIN")
    load = serialization.load_pem_private_key if pem else serialization.load_der_private_key
    key = load(data, None)
    if not isinstance(key, PrivateKey):
        raise ValueError(f"{path.name}: neither EC, RSA nor Ed25519, use one of these")
    return key


def _hash(signer: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | None:
    if isinstance(signer, ed25519.Ed25519PrivateKey):
        return None
    wide = isinstance(signer, ec.EllipticCurvePrivateKey) and signer.key_size > 256
    return hashes.SHA384() if wide else hashes.SHA256()


def _extensions(
    options: CertificateOptions, key: PrivateKey, signer: PrivateKey
) -> Iterator[tuple[x509.ExtensionType, bool]]:
    """RFC 5280 section 4.2.1, as a public authority fills them in."""
    yield x509.BasicConstraints(ca=options.ca, path_length=None), True
    yield (
        x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=not options.ca and options.key.startswith("RSA"),
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=options.ca,
            crl_sign=options.ca,
            encipher_only=False,
            decipher_only=False,
        ),
        True,
    )
    if not options.ca:
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        yield x509.ExtendedKeyUsage(usages), False
    yield x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False
    yield x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False
    if options.permitted:
        yield x509.NameConstraints([x509.DNSName(n) for n in options.permitted], None), True
    if options.names:
        yield x509.SubjectAlternativeName([_general_name(n) for n in options.names]), False


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def camera_files(scenario: Scenario) -> dict[str, bytes]:
    """What the scenario wants on the camera's file system: name to content."""
    authority = Authority(scenario)
    files = scenario.camera.files.items()
    return {name: _content(file, authority, scenario.folder) for name, file in files}


def content(scenario: Scenario, file: File) -> bytes:
    """What such a file holds in the scenario."""
    return _content(file, Authority(scenario), scenario.folder)


def _content(file: File, authority: Authority, folder: Path) -> bytes:
    if file.text is not None:
        return file.text.encode()
    if file.path is not None:
        return paths.read(folder / file.path)
    if file.certificate is not None:
        made = authority[file.certificate]
        return made.pem if file.format == "pem" else made.der
    made = authority[str(file.key)]
    forms = {"pem": made.key_pem, "der": made.key_der, "pkcs8": made.key_pkcs8}
    return forms[file.format]

"""omvsim certs: the certificates of a camera and its peers, in the forms that they need."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from netsim import paths
from netsim.scenario import CertificateOptions, KeyKind
from netsim.services.dns import is_name
from netsim.tls.certificates import DAMAGE, Certificate, issue
from netsim.tls.keys import PrivateKey
from omvsim import outputs
from omvsim.commands.options import whole
from omvsim.errors import UserError

# What the camera's Mbed TLS knows: no Ed25519, no Brainpool.
KINDS: tuple[KeyKind, ...] = ("P-256", "P-384", "RSA-2048", "RSA-4096")
CURVES = {
    *("secp192r1", "secp224r1", "secp256r1", "secp384r1", "secp521r1"),
    *("secp192k1", "secp224k1", "secp256k1"),
}
BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.S)
LONGEST_COMMON_NAME = 64  # RFC 5280, ub-common-name
ENDINGS = {".pem", ".crt", ".cer", ".cert", ".key"}
PURPOSE = {
    "ca.pem": "for a computer that verifies: openssl s_client -CAfile ca.pem",
    "ca.der": "for a camera that verifies: load_verify_locations(cafile='ca.der')",
    "ca.key.pem": "signs further certificates; keep it to yourself",
    "intermediate.pem": "for a computer that verifies a camera (which sends no chain)",
    "intermediate.der": "the same in DER",
    "intermediate.key.pem": "signs further certificates; keep it to yourself",
    "server.pem": "for a server on a computer, with its chain",
    "server.der": "for a server on the camera: load_cert_chain('server.der', 'server.key')",
    "server.key": "its private key for the camera",
    "server.key.pem": "its private key for a computer",
    "client.pem": "for a client on a computer, with its chain",
    "client.der": "for a client on the camera: load_cert_chain('client.der', 'client.key')",
    "client.key": "its private key for the camera",
    "client.key.pem": "its private key for a computer",
}
SELF_SIGNED = {
    "server.pem": "for a server on a computer, and for clients there that verify it",
    "server.der": "for a server on the camera, and for a client there that verifies it",
}
COPIES = {
    "the camera is a server": ("server.der", "server.key"),
    "and verifies its clients": ("ca.der",),
    "the camera is a client": ("ca.der",),
    "and shows a certificate": ("client.der", "client.key"),
}
SELF_SIGNED_COPIES = {
    "the camera is the server": ("server.der", "server.key"),
    "the camera is a client": ("server.der",),
}


def add_command(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser(
        "certs", help="make certificates for the camera and its peers, in PEM and DER",
        description="Make a certificate authority, a server and a client certificate; or convert "
        "PEM files to DER, the only form that the camera takes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent("""\
            examples:
              omvsim certs --server-name openmv.local --server-name 192.168.1.50
              omvsim certs --self-signed --key RSA-2048 --out mine
              omvsim certs --intermediate              a chain: ca, intermediate, server
              omvsim certs --convert isrgrootx1.pem     makes isrgrootx1.der
              omvsim certs --convert mine.key.pem       makes mine.key (SEC 1 or PKCS#1)
              mpremote fs cp certs/server.der certs/server.key :

            exit codes: 0 made, 2 usage or bad input (nothing is written then)
            """),
    )  # fmt: skip
    command.add_argument("--out", type=Path, metavar="DIR", help="default: certs")
    command.add_argument(
        "--server-name", action="append", default=[], metavar="NAME",
        help="a name or an address of the server; more than one may be given "
        "(default: openmv.local)",
    )  # fmt: skip
    command.add_argument("--client-name", default="client", metavar="NAME", help="default: client")
    command.add_argument(
        "--key", choices=KINDS, default="P-256", metavar="KIND",
        help=f"{', '.join(KINDS)} (default: P-256; the camera takes seconds for RSA-4096)",
    )  # fmt: skip
    command.add_argument(
        "--days", type=whole(36500, "number of days"), default=3650, metavar="N",
        help="how long they are valid (3650)",
    )  # fmt: skip
    command.add_argument(
        "--self-signed", action="store_true", help="a server certificate alone, without any CA"
    )
    command.add_argument(
        "--intermediate", action="store_true", help="another authority between CA and the others"
    )
    command.add_argument("--force", action="store_true", help="overwrite files that are there")
    command.add_argument(
        "--convert", type=Path, nargs="+", metavar="FILE",
        help="convert PEM files instead, beside them: a certificate to .der, a private key to .key",
    )  # fmt: skip
    command.set_defaults(call=certs)


def certs(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    if options.convert:
        if options.out or options.server_name or options.self_signed or options.intermediate:
            raise UserError(
                "--convert converts files and makes none: leave --out, --server-name, "
                "--self-signed and --intermediate away"
            )
        made = _converted(options.convert)
        outputs.write(made, options.force, "move it")
        print("\n".join(map(str, made)))
        return 0
    out = options.out or Path("certs")
    made = {out / name: data for name, data in _fresh(options).items()}
    outputs.write(made, options.force, "choose another --out")
    purposes = PURPOSE | (SELF_SIGNED if options.self_signed else {})
    width = max(len(str(path)) for path in made) + 2
    for path in made:
        print(f"{path!s:{width}}{purposes[path.name]}")
    print("\nto copy where")
    copies = SELF_SIGNED_COPIES if options.self_signed else COPIES
    for case, names in copies.items():
        print(f"  {case + ':':26}mpremote fs cp {' '.join(str(out / name) for name in names)} :")
    return 0


def _fresh(options: argparse.Namespace) -> dict[str, bytes]:
    """The files by name, with new keys."""
    if options.self_signed and options.intermediate:
        raise UserError("--self-signed has no chain: leave it or --intermediate away")
    names = tuple(options.server_name or ["openmv.local"])
    for name in names:
        _check_server_name(name)
    if not 0 < len(options.client_name.encode()) <= LONGEST_COMMON_NAME:
        raise UserError(
            f"--client-name {options.client_name!r}: its length is not 1 to "
            f"{LONGEST_COMMON_NAME} bytes: choose another"
        )
    fits = [name for name in names if len(name) <= LONGEST_COMMON_NAME]
    subjects = {
        "ca": "OpenMV CA",
        "intermediate": "OpenMV intermediate CA",
        "server": fits[0] if fits else "server",  # clients look at the names, not at this
        "client": options.client_name,
    }
    wanted = ["ca", "server", "client"]
    if options.self_signed:
        wanted = ["server"]
    if options.intermediate:
        wanted.insert(1, "intermediate")
    now = datetime.now(UTC).replace(microsecond=0)
    start = now - timedelta(days=1)  # for a camera whose clock is a little behind
    issuer: Certificate | None = None
    files: dict[str, bytes] = {}
    for name in wanted:
        options.interrupt.check()  # RSA takes its time
        authority = name in ("ca", "intermediate")
        wishes = CertificateOptions(
            ca=authority, names=names if name == "server" else (), key=options.key,
            not_before=start, not_after=now + timedelta(days=options.days),
        )  # fmt: skip
        serial = x509.random_serial_number()
        certificate = issue(wishes, subjects[name], _new_key(options.key), serial, issuer)
        files |= dict(_forms(name, certificate, authority))
        if authority:
            issuer = certificate
    return files


def _check_server_name(name: str) -> None:
    try:
        ip_address(name)
    except ValueError:
        # A last label of digits is a mistyped address (RFC 3696 section 2).
        if is_name(name.removeprefix("*.")) and not name.rpartition(".")[2].isdigit():
            return
        raise UserError(
            f"--server-name {name!r} is neither a DNS name nor an IP address: write it as "
            "openmv.local or 192.168.1.50"
        ) from None


def _new_key(kind: str) -> PrivateKey:
    if kind.startswith("RSA-"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("RSA-")))
    return ec.generate_private_key(ec.SECP256R1() if kind == "P-256" else ec.SECP384R1())


def _forms(name: str, certificate: Certificate, authority: bool) -> Iterator[tuple[str, bytes]]:
    yield f"{name}.pem", certificate.pem if authority else certificate.chain_pem
    yield f"{name}.der", certificate.der
    if not authority:  # no camera signs certificates
        yield f"{name}.key", certificate.key_der
    yield f"{name}.key.pem", certificate.key_pem


def _converted(sources: list[Path]) -> dict[Path, bytes]:
    """The DER files for what PEM files hold; raises UserError where the camera cannot use it."""
    made: dict[Path, bytes] = {}
    for source in sources:
        for target, data in _parts(source):
            if target in made:
                raise UserError(f"{source}: {target} would be made twice: rename one of the files")
            if target in sources:
                raise UserError(
                    f"{source}: {target} would overwrite it: rename it to {target.name}.pem"
                )
            made[target] = data
    return made


def _parts(file: Path) -> Iterator[tuple[Path, bytes]]:
    try:
        text = paths.read(file)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}: name a PEM file") from None
    blocks = [(found[1].decode(), found[0]) for found in BLOCK.finditer(text)]
    certificates = [block for label, block in blocks if label == "CERTIFICATE"]
    keys = [block for label, block in blocks if label.endswith("PRIVATE KEY")]
    if not certificates and not keys:
        raise UserError(f"{file}: holds no certificate or private key in PEM: is it DER already?")
    if len(keys) > 1:
        raise UserError(f"{file}: holds {len(keys)} private keys: give each a file of its own")
    stem = file.name.removesuffix(".pem").removesuffix(".key")
    if file.suffix in ENDINGS - {".pem", ".key"}:
        stem = file.stem
    for number, block in enumerate(certificates, 1):
        # The camera takes the first certificate of a file only, so each gets its own.
        name = f"{stem}.der" if number == 1 else f"{stem}.{number}.der"
        yield file.with_name(name), _certificate_der(f"{file}: certificate {number}", block)
    for block in keys:
        yield file.with_name(f"{stem}.key"), _key_der(f"{file}: the private key", block)


def _certificate_der(where: str, block: bytes) -> bytes:
    try:
        certificate = x509.load_pem_x509_certificate(block)
        _check_kind(where, certificate.public_key())
    except DAMAGE:
        raise UserError(f"{where} is damaged: fetch it again") from None
    return certificate.public_bytes(serialization.Encoding.DER)


def _key_der(where: str, block: bytes) -> bytes:
    try:
        key = serialization.load_pem_private_key(block, None)
    except TypeError:
        remedy = "decrypt it first with openssl pkey -in FILE -out PLAIN"
        raise UserError(f"{where} is encrypted: {remedy}") from None
    except DAMAGE:
        raise UserError(f"{where} is damaged or of an unknown kind: make a new one") from None
    _check_kind(where, key)
    form = serialization.PrivateFormat.TraditionalOpenSSL  # SEC 1 or PKCS#1
    return key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())


def _check_kind(where: str, key: object) -> None:
    """Raise UserError for a key that the camera cannot use."""
    if isinstance(key, (rsa.RSAPrivateKey, rsa.RSAPublicKey)):
        return
    kind = re.sub("(Private|Public)Key$", "", type(key).__name__)
    if isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)):
        kind = key.curve.name
        if kind in CURVES:
            return
    raise UserError(f"{where}: the camera knows no {kind} keys: use one of {', '.join(KINDS)}")

"""omvsim certs: the certificates of a camera and its peers, in the forms that they need."""

from __future__ import annotations

import argparse
import os
import re
import secrets
import shutil
import tempfile
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from netsim import Scenario
from netsim.certificates import Authority, Certificate
from netsim.scenario import CertificateOptions, KeyKind
from omvsim.errors import UserError

KINDS = [kind for kind in get_args(KeyKind) if kind != "Ed25519"]  # the camera knows no Ed25519
BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.S)
NAME = re.compile(r"(?=.{1,64}$)(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.:-]*[A-Za-z0-9_])?")  # X.520: 64
PURPOSE = {
    "ca.der": "for whoever verifies: load_verify_locations(cafile=...) on the camera",
    "ca.pem": "the same for a computer: openssl s_client -CAfile ca.pem",
    "ca.key.pem": "signs further certificates; keep it to yourself",
    "intermediate.pem": "the authority between ca and the others",
    "intermediate.der": "the same for the camera",
    "server.der": "what a server on the camera shows: load_cert_chain(...)",
    "server.key": "and its private key",
    "server.pem": "the same for a server on a computer, with its chain",
    "server.key.pem": "and its private key",
    "client.der": "what a client on the camera shows where the server asks for it",
    "client.key": "and its private key",
    "client.pem": "the same for a client on a computer, with its chain",
    "client.key.pem": "and its private key",
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
              omvsim certs --to-der isrgrootx1.pem
              mpremote fs cp certs/server.der certs/server.key :

            exit codes: 0 made, 2 usage or bad input (nothing is written then)
            """),
    )  # fmt: skip
    command.add_argument(
        "--out", type=Path, metavar="DIR", default=Path("certs"), help="default: certs"
    )
    command.add_argument(
        "--server-name", type=_name, action="append", metavar="NAME",
        help="a name or an address of the server; more than one may be given "
        "(default: openmv.local)",
    )  # fmt: skip
    command.add_argument(
        "--client-name", type=_name, default="client", metavar="NAME", help="default: client"
    )
    command.add_argument(
        "--key", choices=KINDS, default="P-256", metavar="KIND",
        help=f"{', '.join(KINDS)} (default: P-256; the camera takes seconds for RSA-4096)",
    )  # fmt: skip
    command.add_argument(
        "--days", type=_days, default=3650, metavar="N", help="how long they are valid (3650)"
    )
    command.add_argument(
        "--self-signed", action="store_true", help="a server certificate alone, without any CA"
    )
    command.add_argument(
        "--intermediate", action="store_true", help="another authority between CA and the others"
    )
    command.add_argument("--force", action="store_true", help="overwrite files that are there")
    command.add_argument(
        "--to-der", type=Path, nargs="+", metavar="FILE",
        help="convert PEM files instead: a certificate to .der, a private key to .key",
    )  # fmt: skip
    command.set_defaults(call=certs)


def _days(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 36500:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days: write 1 to 36500")
    return int(text)


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name of a host: write letters, digits, - and . (64 at most), "
            "or an address"
        )
    return text


def certs(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    if options.to_der:
        made = dict(entry for file in options.to_der for entry in converted(file))
    else:
        made = {options.out / name: data for name, data in authority_files(options).items()}
    _write(made, options.force)
    width = max(len(str(path)) for path in made) + 2
    for path in made:
        purpose = PURPOSE.get(path.name, "") if not options.to_der else ""
        print(f"{path!s:{width}}{purpose}".rstrip())
    return 0


def authority_files(options: argparse.Namespace) -> dict[str, bytes]:
    """The files by name. Keys are functions of a fresh random number of 256 bits."""
    names = tuple(options.server_name or ["openmv.local"])
    now = datetime.now(UTC).replace(microsecond=0)
    start = now - timedelta(days=1)  # for a camera whose clock is a little behind
    common: dict[str, Any] = {
        "key": options.key, "not_before": start, "not_after": now + timedelta(days=options.days),
    }  # fmt: skip
    issuer = None if options.self_signed else "intermediate" if options.intermediate else "ca"
    wanted = {
        "ca": CertificateOptions(ca=True, common_name="OpenMV CA", **common),
        "intermediate": CertificateOptions(
            ca=True, issuer="ca", common_name="OpenMV intermediate CA", **common
        ),
        "server": CertificateOptions(issuer=issuer, common_name=names[0], names=names, **common),
        "client": CertificateOptions(issuer=issuer, common_name=options.client_name, **common),
    }
    if not options.intermediate or options.self_signed:
        del wanted["intermediate"]
    if options.self_signed:
        del wanted["ca"], wanted["client"]
    authority = Authority(Scenario(seed=secrets.randbits(256), certificates=wanted))
    made: dict[str, bytes] = {}
    for name in wanted:
        if options.key == "RSA-4096":
            print(f"making the key of {name}", flush=True)
        made |= dict(_files(name, authority[name]))
    return made


def _files(name: str, certificate: Certificate) -> Iterator[tuple[str, bytes]]:
    authority = name in ("ca", "intermediate")
    yield f"{name}.pem", certificate.pem if authority else certificate.chain_pem
    yield f"{name}.der", certificate.der
    if not authority:
        yield f"{name}.key", certificate.key_der
    yield f"{name}.key.pem", certificate.key_pem


def converted(file: Path) -> Iterator[tuple[Path, bytes]]:
    """The DER files for what a PEM file holds; raises UserError where the camera cannot use it."""
    try:
        text = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}: name a PEM file") from None
    blocks = [(found[1].decode(), found[0]) for found in BLOCK.finditer(text)]
    certificates = [block for label, block in blocks if label == "CERTIFICATE"]
    keys = [(label, block) for label, block in blocks if label.endswith("PRIVATE KEY")]
    if not certificates and not keys:
        raise UserError(f"{file}: holds no certificate or private key in PEM: is it DER already?")
    for number, block in enumerate(certificates, 1):
        # The camera takes the first certificate of a file only, so each gets its own.
        name = file.with_suffix(".der") if number == 1 else file.with_suffix(f".{number}.der")
        try:
            yield name, x509.load_pem_x509_certificate(block).public_bytes(_DER)
        except ValueError:
            raise UserError(f"{file}: certificate {number} is damaged: fetch it again") from None
    for label, block in keys:
        yield file.with_suffix(".key"), _key(file, label, block)


_DER = serialization.Encoding.DER


def _key(file: Path, label: str, block: bytes) -> bytes:
    try:
        key = serialization.load_pem_private_key(block, None)
    except TypeError:
        remedy = "decrypt it first with openssl pkey -in FILE -out PLAIN"
        raise UserError(f"{file}: the private key is encrypted: {remedy}") from None
    except ValueError:
        raise UserError(f"{file}: the {label.lower()} is damaged: fetch it again") from None
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        what = type(key).__name__.strip("_").removesuffix("PrivateKey")
        raise UserError(f"{file}: the camera knows no {what} keys: use one of {', '.join(KINDS)}")
    form = serialization.PrivateFormat.TraditionalOpenSSL  # SEC 1 or PKCS#1
    return key.private_bytes(_DER, form, serialization.NoEncryption())


def _write(files: dict[Path, bytes], force: bool) -> None:
    """All files or none; private keys are for their owner only."""
    if not force and (there := [path for path in files if path.exists()]):
        raise UserError(f"{there[0]} exists: choose another --out, or overwrite it with --force")
    folder = next(iter(files)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}: choose another --out") from None
    try:
        for path, data in files.items():
            private = path.suffix == ".key" or path.name.endswith(".key.pem")
            with open(
                partial / path.name, "wb", opener=lambda p, f: os.open(p, f, 0o600)
            ) as output:
                output.write(data)
            if not private:
                (partial / path.name).chmod(0o644)
        for path in files:
            (partial / path.name).replace(path)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}: choose another --out") from None
    finally:
        shutil.rmtree(partial)

"""omvsim certs, judged by OpenSSL."""

import os
import ssl
import subprocess
from pathlib import Path

import pytest
from conftest import Run
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519


def openssl(*arguments: object) -> str:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Both ends over memory; the server's end, once the client's is content, too."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=name), server.wrap_bio(up, down, True)]
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    return ends[1]


@pytest.mark.parametrize("extra", [[], ["--intermediate"], ["--key", "RSA-2048"]], ids=str)
def test_both_sides_verify_each_other(extra: list[str], omvsim: Run, tmp_path: Path) -> None:
    names = ["--server-name", "camera.local", "--server-name", "192.168.1.50"]
    done = omvsim("certs", *names, *extra, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(tmp_path / "ca.pem")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(tmp_path / "ca.pem")
    client.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key.pem")
    for name in ("camera.local", "192.168.1.50"):
        shown = shake_hands(server, client, name).getpeercert(binary_form=True)
        assert shown == (tmp_path / "client.der").read_bytes()
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, client, "another.local")


@pytest.mark.parametrize(("kind", "command"), [("P-384", "ec"), ("RSA-2048", "rsa")])
def test_der_is_the_pem(kind: str, command: str, omvsim: Run, tmp_path: Path) -> None:
    omvsim("certs", "--key", kind, "--out", tmp_path)
    for name in ("ca", "server", "client"):
        der = openssl("x509", "-inform", "DER", "-in", tmp_path / f"{name}.der")
        assert der.strip() == (tmp_path / f"{name}.pem").read_text().strip()
    for name in ("server", "client"):
        numbers = [
            openssl(command, "-inform", form, "-in", tmp_path / file, "-noout", "-text")
            for form, file in (("DER", f"{name}.key"), ("PEM", f"{name}.key.pem"))
        ]
        assert numbers[0] == numbers[1]


def test_keys_are_new_each_time_and_for_their_owner(omvsim: Run, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        omvsim("certs", "--out", tmp_path / folder)
    keys = [(tmp_path / folder / "server.key").read_bytes() for folder in ("a", "b")]
    assert keys[0] != keys[1]
    for file in (tmp_path / "a").iterdir():
        private = ".key" in file.name
        assert file.stat().st_mode & 0o777 == (0o600 if private else 0o644), file


def test_self_signed_is_one_certificate(omvsim: Run, tmp_path: Path) -> None:
    done = omvsim("certs", "--self-signed", "--days", "30", "--out", tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "server.der", "server.key", "server.key.pem", "server.pem",
    ]  # fmt: skip
    assert "load_cert_chain" in done.stdout
    pem = tmp_path / "server.pem"
    assert openssl("verify", "-CAfile", pem, pem).strip() == f"{pem}: OK"
    openssl("x509", "-in", pem, "-noout", "-checkend", 29 * 86400)


def test_nothing_is_overwritten_unless_asked(omvsim: Run, tmp_path: Path) -> None:
    (tmp_path / "client.key").write_text("precious")
    done = omvsim("certs", "--out", tmp_path)
    assert done.returncode == 2 and "client.key exists: choose another --out" in done.stderr
    assert os.listdir(tmp_path) == ["client.key"]
    assert (tmp_path / "client.key").read_text() == "precious"
    assert omvsim("certs", "--out", tmp_path, "--force").returncode == 0
    assert (tmp_path / "client.key").read_bytes() != b"precious"


def test_pem_to_der(omvsim: Run, tmp_path: Path) -> None:
    omvsim("certs", "--out", tmp_path)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(
        b"# Root\n" + b"".join((tmp_path / f).read_bytes() for f in ("ca.pem", "server.pem"))
    )
    key = tmp_path / "key.pem"
    key.write_bytes((tmp_path / "server.key.pem").read_bytes())
    done = omvsim("certs", "--to-der", bundle, key)
    assert done.returncode == 0, done.stderr
    for made, known in (("bundle.der", "ca.der"), ("bundle.2.der", "server.der"),
                        ("key.key", "server.key")):  # fmt: skip
        assert (tmp_path / made).read_bytes() == (tmp_path / known).read_bytes()
        assert str(tmp_path / made) in done.stdout


def pem(key: ed25519.Ed25519PrivateKey, secret: bytes = b"") -> bytes:
    lock = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, lock)


KEY = ed25519.Ed25519PrivateKey.generate()
BAD = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\x30\x82\x01\x00", "holds no certificate or private key in PEM: is it DER already?"),
        (BAD, "certificate 1 is damaged"),
        (pem(KEY), "the camera knows no Ed25519 keys: use one of P-256"),
        (pem(KEY, b"secret"), "the private key is encrypted: decrypt it first"),
    ],
)
def test_pem_that_the_camera_cannot_use(
    content: bytes, complaint: str, omvsim: Run, tmp_path: Path
) -> None:
    (tmp_path / "x.pem").write_bytes(content)
    done = omvsim("certs", "--to-der", tmp_path / "x.pem")
    assert done.returncode == 2 and complaint in done.stderr and done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["x.pem"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--days", "0"], "is no number of days"),
        (["--key", "Ed25519"], "invalid choice"),
        (["--out", "/dev/null/x"], "Not a directory: choose another --out"),
        (["--to-der", "nowhere.pem"], "nowhere.pem: No such file or directory: name a PEM file"),
        (["--server-name", "bücher.example"], "--server-name"),
        (["--server-name", ""], "--server-name"),
    ],
)
def test_bad_input(arguments: list[str], complaint: str, omvsim: Run, tmp_path: Path) -> None:
    done = omvsim("certs", "--out", tmp_path / "x", *arguments)
    assert done.returncode == 2 and complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()

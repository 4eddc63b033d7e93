"""omvsim certs, judged by OpenSSL."""

import os
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from program import Run

KINDS = {"P-256": "256 bit", "P-384": "384 bit", "RSA-2048": "2048 bit", "RSA-4096": "4096 bit"}


def openssl(*arguments: object, code: int = 0) -> str:
    """What openssl prints; it must exit with `code`."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def make(omvsim: Run, out: Path, *arguments: object) -> Path:
    """The folder that `omvsim certs` has made."""
    done = omvsim("certs", "--out", out, *arguments)
    assert done.returncode == 0, done.stderr
    return out


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2 and one line, which holds the words."""
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("omvsim: ")
    for word in words:
        assert word in done.stderr
    assert done.stdout == ""


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


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_reads_every_form(omvsim: Run, tmp_path: Path, kind: str) -> None:
    """The keys in DER are SEC 1 or PKCS#1: `-traditional` gives the same bytes."""
    folder = make(omvsim, tmp_path / "made", "--key", kind)
    for name in ("ca", "server", "client"):
        text = openssl("x509", "-inform", "DER", "-in", folder / f"{name}.der", "-noout", "-text")
        assert KINDS[kind] in text
        openssl("x509", "-in", folder / f"{name}.pem", "-outform", "DER", "-out", tmp_path / "der")
        assert (tmp_path / "der").read_bytes() == (folder / f"{name}.der").read_bytes()
    family = "rsa" if kind.startswith("RSA") else "ec"
    for name in ("server", "client"):
        key = folder / f"{name}.key"
        public = openssl(family, "-inform", "DER", "-in", key, "-pubout").split("-----BEGIN", 1)[1]
        assert public in openssl("x509", "-in", folder / f"{name}.pem", "-pubkey", "-noout")
        openssl("pkey", "-in", f"{key}.pem", "-traditional", "-outform", "DER",
                "-out", tmp_path / "key")  # fmt: skip
        assert (tmp_path / "key").read_bytes() == key.read_bytes()


def test_openssl_verifies_the_server(omvsim: Run, tmp_path: Path) -> None:
    names = ("--server-name", "camera.local", "--server-name", "192.168.1.50")
    folder = make(omvsim, tmp_path / "made", *names)
    command = ("verify", "-x509_strict", "-CAfile", folder / "ca.pem")
    openssl(*command, "-verify_hostname", "camera.local", folder / "server.pem")
    openssl(*command, "-verify_ip", "192.168.1.50", folder / "server.pem")
    openssl(*command, "-purpose", "sslclient", folder / "client.pem")
    openssl(*command, "-verify_hostname", "other.local", folder / "server.pem", code=2)
    openssl(*command, "-attime", 1, folder / "server.pem", code=2)
    other = make(omvsim, tmp_path / "other")
    openssl("verify", "-CAfile", other / "ca.pem", folder / "server.pem", code=2)


def test_openssl_verifies_a_chain(omvsim: Run, tmp_path: Path) -> None:
    folder = make(omvsim, tmp_path / "made", "--intermediate")
    command = ("verify", "-x509_strict", "-CAfile", folder / "ca.pem")
    openssl(*command, "-untrusted", folder / "intermediate.pem", folder / "server.pem")
    openssl(*command, folder / "server.pem", code=2)


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
    assert f"mpremote fs cp {tmp_path}/server.der {tmp_path}/server.key :" in done.stdout
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
    done = omvsim("certs", "--convert", bundle, key)
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
    done = omvsim("certs", "--convert", tmp_path / "x.pem")
    assert done.returncode == 2 and complaint in done.stderr and done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["x.pem"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--days", "0"], "is no number of days"),
        (["--key", "Ed25519"], "invalid choice"),
        (["--out", "/dev/null/x"], "Not a directory: choose another --out"),
        (["--server-name", "bücher.example"], "--server-name"),
        (["--server-name", ""], "--server-name"),
    ],
)
def test_bad_input(arguments: list[str], complaint: str, omvsim: Run, tmp_path: Path) -> None:
    done = omvsim("certs", "--out", tmp_path / "x", *arguments)
    assert done.returncode == 2 and complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()


def test_days(omvsim: Run, tmp_path: Path) -> None:
    folder = make(omvsim, tmp_path / "made", "--days", 2)
    check = ("x509", "-in", folder / "server.pem", "-noout", "-checkend")
    openssl(*check, 2 * 86400 - 600)
    openssl(*check, 2 * 86400 + 600, code=1)


def test_handshakes_that_fail(omvsim: Run, tmp_path: Path) -> None:
    folder, other = make(omvsim, tmp_path / "made"), make(omvsim, tmp_path / "other")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem", folder / "server.key.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(folder / "ca.pem")
    client = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake_hands(server, client, "openmv.local")
    client.load_cert_chain(other / "client.pem", other / "client.key.pem")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, client, "openmv.local")
    client.load_cert_chain(folder / "client.pem", folder / "client.key.pem")
    shake_hands(server, client, "openmv.local")


def test_self_signed_shakes_hands(omvsim: Run, tmp_path: Path) -> None:
    folder = make(omvsim, tmp_path / "made", "--self-signed")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem", folder / "server.key.pem")
    client = ssl.create_default_context(cafile=str(folder / "server.pem"))
    shake_hands(server, client, "openmv.local")


def test_output_names_each_file_and_what_to_copy(omvsim: Run, tmp_path: Path) -> None:
    done = omvsim("certs", "--out", tmp_path / "made")
    for path in (tmp_path / "made").iterdir():
        lines = [line for line in done.stdout.splitlines() if line.startswith(f"{path} ")]
        assert len(lines) == 1, path
    assert f"mpremote fs cp {tmp_path}/made/server.der {tmp_path}/made/server.key :" in done.stdout


def test_all_or_nothing(omvsim: Run, tmp_path: Path) -> None:
    """Whatever is in the way, nothing stays."""
    (tmp_path / "client.key").mkdir()
    refused(omvsim("certs", "--out", tmp_path, "--force"), "client.key", "a folder")
    assert [path.name for path in tmp_path.iterdir()] == ["client.key"]
    (tmp_path / "file").write_text("")
    refused(omvsim("certs", "--out", tmp_path / "file"), "file", "choose another --out")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--server-name", "https://openmv.local"], ["--server-name", "neither a DNS name"]),
        (["--server-name", "192.168.1.500"], ["--server-name", "nor an IP address"]),
        (["--server-name", "kamera.münchen"], ["--server-name"]),
        (["--server-name", ""], ["--server-name"]),
        (["--client-name", "x" * 65], ["--client-name", "64"]),
        (["--client-name", ""], ["--client-name"]),
        (["--self-signed", "--intermediate"], ["--self-signed", "--intermediate"]),
        (["--convert", "missing.pem"], ["leave --out"]),
    ],
)
def test_one_line_for_bad_input(
    omvsim: Run, tmp_path: Path, options: list[str], words: list[str]
) -> None:
    refused(omvsim("certs", "--out", tmp_path / "made", *options), *words)
    assert not (tmp_path / "made").exists()


def test_a_long_server_name(omvsim: Run, tmp_path: Path) -> None:
    """Longer than a common name may be."""
    name = f"{'x' * 60}.{'y' * 60}.local"
    folder = make(omvsim, tmp_path / "made", "--server-name", name)
    command = ("verify", "-CAfile", folder / "ca.pem", "-verify_hostname", name)
    openssl(*command, folder / "server.pem")


class TestToDer:
    @pytest.fixture
    def made(self, omvsim: Run, tmp_path: Path) -> Path:
        return make(omvsim, tmp_path / "made", "--intermediate")

    def test_certificate_and_key(self, omvsim: Run, made: Path, tmp_path: Path) -> None:
        """Also where keys come in PKCS#8, as openssl writes them."""
        certificate, key = tmp_path / "mine.crt", tmp_path / "mine.key.pem"
        certificate.write_bytes((made / "ca.pem").read_bytes())
        openssl("pkcs8", "-topk8", "-nocrypt", "-in", made / "server.key.pem", "-out", key)
        assert b"BEGIN PRIVATE KEY" in key.read_bytes()
        done = omvsim("certs", "--convert", certificate, key)
        assert done.stdout.split() == [str(tmp_path / "mine.der"), str(tmp_path / "mine.key")]
        assert (tmp_path / "mine.der").read_bytes() == (made / "ca.der").read_bytes()
        assert (tmp_path / "mine.key").read_bytes() == (made / "server.key").read_bytes()
        assert (tmp_path / "mine.key").stat().st_mode & 0o777 == 0o600

    def test_each_certificate_of_a_chain(self, omvsim: Run, made: Path, tmp_path: Path) -> None:
        chain = tmp_path / "chain.pem"
        chain.write_bytes((made / "server.pem").read_bytes())
        assert omvsim("certs", "--convert", chain).returncode == 0
        assert (tmp_path / "chain.der").read_bytes() == (made / "server.der").read_bytes()
        second = (tmp_path / "chain.2.der").read_bytes()
        assert second == (made / "intermediate.der").read_bytes()

    def test_same_names_in_two_folders(self, omvsim: Run, made: Path, tmp_path: Path) -> None:
        for name in ("ca", "client"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "x.pem").write_bytes((made / f"{name}.key.pem").read_bytes())
        done = omvsim("certs", "--convert", tmp_path / "ca/x.pem", tmp_path / "client/x.pem")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "client/x.key").read_bytes() == (made / "client.key").read_bytes()
        assert (tmp_path / "ca/x.key").read_bytes() != (made / "client.key").read_bytes()

    def test_unusable_keys(self, omvsim: Run, made: Path, tmp_path: Path) -> None:
        file = tmp_path / "x.pem"
        openssl("genpkey", "-algorithm", "ed25519", "-out", file)
        refused(omvsim("certs", "--convert", file), "x.pem", "Ed25519", "P-256")
        openssl("ecparam", "-name", "brainpoolP256r1", "-genkey", "-noout", "-out", file)
        refused(omvsim("certs", "--convert", file), "x.pem", "brainpoolP256r1")
        for form in (["ec", "-aes128"], ["pkcs8", "-topk8"]):
            source = made / "server.key.pem"
            openssl(*form, "-in", source, "-passout", "pass:x", "-out", file)
            refused(omvsim("certs", "--convert", file), "x.pem", "encrypted", "openssl pkey")
        assert list(tmp_path.glob("x.*")) == [file]

    def test_unusable_certificate(self, omvsim: Run, tmp_path: Path) -> None:
        key, file = tmp_path / "key.pem", tmp_path / "x.pem"
        openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", key, "-out", file,
                "-subj", "/CN=x")  # fmt: skip
        refused(omvsim("certs", "--convert", file), "certificate 1", "Ed25519")

    def test_bad_files(self, omvsim: Run, made: Path, tmp_path: Path) -> None:
        refused(omvsim("certs", "--convert", tmp_path / "missing.pem"), "missing.pem", "No such")
        refused(omvsim("certs", "--convert", made / "ca.der"), "ca.der", "is it DER already?")
        broken = tmp_path / "broken.pem"
        broken.write_bytes((made / "ca.pem").read_bytes().replace(b"MII", b"AAA", 1))
        refused(omvsim("certs", "--convert", broken), "broken.pem", "damaged")
        broken.write_bytes((made / "ca.key.pem").read_bytes() * 2)
        refused(omvsim("certs", "--convert", broken), "broken.pem", "2 private keys")
        assert not list(tmp_path.glob("broken.[dk]*"))

    def test_names_that_collide(self, omvsim: Run, made: Path, tmp_path: Path) -> None:
        one, two, key = tmp_path / "x.pem", tmp_path / "x.crt", tmp_path / "mine.key"
        for path in (one, two):
            path.write_bytes((made / "ca.pem").read_bytes())
        refused(omvsim("certs", "--convert", one, two), "x.der", "twice")
        key.write_bytes((made / "ca.key.pem").read_bytes())
        refused(omvsim("certs", "--force", "--convert", key), "mine.key", "mine.key.pem")
        assert key.read_bytes() == (made / "ca.key.pem").read_bytes()

    def test_one_bad_file_leaves_nothing(self, omvsim: Run, made: Path, tmp_path: Path) -> None:
        good = tmp_path / "good.pem"
        good.write_bytes((made / "ca.pem").read_bytes())
        refused(omvsim("certs", "--convert", good, tmp_path / "missing.pem"), "missing.pem")
        assert not (tmp_path / "good.der").exists()

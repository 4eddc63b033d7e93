"""Certificates and keys, checked by OpenSSL and by the rules of X.509."""

import shutil
import subprocess
from pathlib import Path

import gmpy2
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import netsim
from netsim.errors import UserError
from netsim.scenario import loads
from netsim.tls import keys
from netsim.tls.certificates import Authority
from netsim.tls.keys import derive_key

WORLD = """
[certificates.root]
ca = true
[certificates.middle]
issuer = "root"
ca = true
[certificates.leaf]
issuer = "middle"
common_name = "example.com"
names = ["example.com", "192.168.1.9"]
not_before = 2025-01-01T00:00:00Z
not_after = 2035-01-01T00:00:00Z
[certificates.big]
key = "P-384"
[certificates.rsa]
key = "RSA-2048"
[certificates.ed]
key = "Ed25519"
[certificates.pss]
key = "RSA-2048"
pss = true
"""


def test_same_seed_same_bytes() -> None:
    names = ("root", "leaf", "big", "rsa", "ed", "pss")
    one, two = Authority(loads(WORLD)), Authority(loads(WORLD))
    other = Authority(loads("seed = 2\n" + WORLD))
    for name in names:
        assert one[name].der == two[name].der != other[name].der
        assert one[name].key_der == two[name].key_der != other[name].key_der


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_openssl_verifies_rsassa_pss(tmp_path: Path) -> None:
    (tmp_path / "pss.pem").write_bytes(Authority(loads(WORLD))["pss"].pem)
    run = ["openssl", "verify", "-check_ss_sig", "-attime", "1800000000", "-CAfile"]
    subprocess.run([*run, "pss.pem", "pss.pem"], cwd=tmp_path, check=True, capture_output=True)
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-text", "-in", "pss.pem"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert text.count("Signature Algorithm: rsassaPss") == 2


def test_a_key_that_is_not_rsa_signs_no_pss() -> None:
    world = loads('[certificates.ca]\nkey = "P-256"\npss = true\n')
    with pytest.raises(UserError, match=r"^certificates\.ca: .*RSA"):
        Authority(world)["ca"]


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_openssl_accepts_the_chain(tmp_path: Path) -> None:
    authority = Authority(loads(WORLD))
    for name in ("root", "middle", "leaf"):
        (tmp_path / f"{name}.pem").write_bytes(authority[name].pem)
    run = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver"]
    run += ["-verify_hostname", "example.com", "-attime", "1800000000"]
    run += ["-CAfile", "root.pem", "-untrusted", "middle.pem", "leaf.pem"]
    subprocess.run(run, cwd=tmp_path, check=True, capture_output=True)
    run[run.index("example.com")] = "example.org"
    assert subprocess.run(run, cwd=tmp_path, check=False, capture_output=True).returncode


def test_chain_leaves_the_root_out() -> None:
    authority = Authority(loads(WORLD))
    chain = x509.load_pem_x509_certificates(authority["leaf"].chain_pem)
    assert [c.public_bytes(serialization.Encoding.DER) for c in chain] == [
        authority["leaf"].der,
        authority["middle"].der,
    ]
    assert authority["root"].chain_pem == authority["root"].pem


def test_names_and_dates_are_as_told() -> None:
    leaf = x509.load_der_x509_certificate(Authority(loads(WORLD))["leaf"].der)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["example.com"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["192.168.1.9"]
    assert (leaf.not_valid_before_utc.year, leaf.not_valid_after_utc.year) == (2025, 2035)


def test_rsa_key_is_sound() -> None:
    key = derive_key(1, "test", "RSA-2048")
    assert isinstance(key, rsa.RSAPrivateKey) and key.key_size == 2048
    numbers = key.private_numbers()
    assert numbers.p * numbers.q == key.public_key().public_numbers().n
    # Fermat with another base than the generator's: a composite would show.
    assert pow(13, numbers.p - 1, numbers.p) == pow(13, numbers.q - 1, numbers.q) == 1
    again = serialization.load_der_private_key(
        key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        None,
    )
    assert isinstance(again, rsa.RSAPrivateKey)  # OpenSSL's own key check passed


def test_primes_are_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found is taken if it can have been: a prime a little above the start."""
    found: dict[str, int] = {}
    monkeypatch.setattr(keys, "found", found)
    plain = keys.derive_key.__wrapped__

    def p() -> int:
        key = plain(1, "test", "RSA-1024")
        assert isinstance(key, rsa.RSAPrivateKey)
        numbers = key.private_numbers()
        [found_p] = {numbers.p, numbers.q} & {found["1/test/p/512"]}
        return found_p

    first = p()
    assert sorted(found) == ["1/test/p/512", "1/test/q/512"]
    found["1/test/p/512"] = following = int(gmpy2.next_prime(first))
    assert p() == following
    for wrong in (first + 2, int(gmpy2.next_prime(first + (1 << 20))), 3, -first):
        found["1/test/p/512"] = wrong
        assert p() == first


def test_key_forms() -> None:
    authority = Authority(loads(WORLD))
    for name in ("leaf", "big", "rsa", "ed"):
        for data in (authority[name].key_der, authority[name].key_pkcs8):
            serialization.load_der_private_key(data, None)
    assert b"BEGIN EC PRIVATE KEY" in authority["leaf"].key_pem
    assert isinstance(authority["big"].key, ec.EllipticCurvePrivateKey)


def test_files_are_used_as_they_are(tmp_path: Path) -> None:
    made = Authority(loads(WORLD))
    (tmp_path / "c.der").write_bytes(made["root"].der)
    (tmp_path / "k.pem").write_bytes(made["root"].key_pem)
    world = loads(
        '[certificates.own]\nfile = "c.der"\nkey_file = "k.pem"\n'
        '[certificates.leaf]\nissuer = "own"\n'
        '[camera.files]\n"a.der" = { certificate = "own" }\n"b.key" = { key = "own" }\n'
        '"c.pem" = { certificate = "leaf", format = "pem" }\n"d.txt" = { text = "hi" }\n'
        '"e.bin" = { path = "c.der" }\n',
        folder=tmp_path,
    )
    files = netsim.camera_files(world)
    assert files["a.der"] == files["e.bin"] == made["root"].der
    assert files["b.key"] == made["root"].key_der
    leaf = x509.load_pem_x509_certificate(files["c.pem"])
    leaf.verify_directly_issued_by(made["root"].x509)
    assert files["d.txt"] == b"hi"


def test_chains_as_they_are_sent() -> None:
    world = netsim.scenario.loads(
        '[certificates.root]\nca = true\n[certificates.one]\nca = true\nissuer = "root"\n'
        '[certificates.two]\nca = true\nissuer = "one"\n'
        '[certificates.leaf]\nissuer = "two"\n'
        '[certificates.odd]\nissuer = "two"\nchain = ["one", "two"]\n'
        '[certificates.alone]\nissuer = "two"\nchain = []\n'
    )
    made = Authority(world)
    assert [c.der for c in made["leaf"].chain()] == [made[n].der for n in ("leaf", "two", "one")]
    assert [c.der for c in made["odd"].chain()] == [made[n].der for n in ("odd", "one", "two")]
    assert [c.der for c in made["alone"].chain()] == [made["alone"].der]


def test_a_forgery_and_its_constraints() -> None:
    world = netsim.scenario.loads(
        '[certificates.root]\nca = true\npermitted = ["a.example"]\n'
        "[certificates.thief]\nca = true\n"
        '[certificates.good]\nissuer = "root"\nkey = "RSA-1024"\n'
        '[certificates.forged]\nissuer = "root"\nsigned_by = "thief"\n'
    )
    made = Authority(world)
    made["good"].x509.verify_directly_issued_by(made["root"].x509)
    with pytest.raises(InvalidSignature):
        made["forged"].x509.verify_directly_issued_by(made["root"].x509)
    constraints = made["root"].x509.extensions.get_extension_for_class(x509.NameConstraints)
    assert [n.value for n in constraints.value.permitted_subtrees or []] == ["a.example"]
    assert made["good"].private_key.key_size == 1024


def test_chains_of_unknown_certificates() -> None:
    with pytest.raises(netsim.ScenarioError, match="no certificate is called x"):
        netsim.scenario.loads('[certificates.a]\nchain = ["x"]\n')

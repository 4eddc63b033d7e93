"""Our TLS 1.2 server asks for a certificate: OpenSSL answers, scapy reads what was asked."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from omvsim.conversations import talks
from scapy.layers.tls.handshake import TLSCertificateRequest
from scapy.utils import PcapReader
from station import SslClient, Station, lease

import netsim
from netsim import scenario
from netsim.stack.rto import SECOND
from netsim.tls.certificate_request import proves
from netsim.tls.certificates import Authority
from netsim.tls.openssl import in_memory

WORLD = """
[certificates.ca]
ca = true
[certificates.other]
ca = true
common_name = "Other CA"
[certificates.server]
issuer = "ca"
names = ["a.lan"]
[certificates.ec]
issuer = "ca"
[certificates.rsa]
issuer = "ca"
key = "RSA-2048"
[[server]]
kind = "tls"
name = "a.lan"
address = "192.168.1.9"
certificate = "server"
request_kinds = ["rsa_sign", "ecdsa_sign"]
request_authorities = ["ca", "other"]
"""


def met(shows: str | None, folder: Path) -> tuple[netsim.Peer, Authority, bytes]:
    """The server's record, the certificates, and the capture's CertificateRequest."""
    world = scenario.loads(WORLD)
    made = Authority(world)
    context = ssl.create_default_context(cadata=made["ca"].pem.decode())
    if shows:
        with in_memory("client.pem") as file:
            file.write(made[shows].key_pem + made[shows].pem)
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    with netsim.build(world, folder / "net.pcapng") as network:
        station = Station(network)
        lease(station)
        client = SslClient(context, "a.lan", b"ping")
        station.host.connect(world.servers[0].address, 8443, client, station.now)
        station.run(5 * SECOND)
    assert bytes(client.got) == b"ping"
    with PcapReader(str(folder / "net.pcapng")) as packets:
        [talk], _, _ = talks.conversations(list(packets))
    [asked] = [m.body for m in talk.messages if m.kind == 13]
    [peer] = network.peers
    return peer, made, b"\x0d" + len(asked).to_bytes(3, "big") + asked


@pytest.mark.parametrize("shows", ["ec", "rsa"])
def test_a_client_shows_its_certificate(shows: str, tmp_path: Path) -> None:
    peer, made, _ = met(shows, tmp_path)
    assert (peer.certificate, peer.verified, peer.error) == (made[shows].der, True, None)


def test_a_client_without_one_goes_on(tmp_path: Path) -> None:
    peer, _, _ = met(None, tmp_path)
    assert (peer.certificate, peer.verified, peer.error) == (None, False, None)


def test_what_is_asked_for(tmp_path: Path) -> None:
    _, made, message = met(None, tmp_path)
    asked = TLSCertificateRequest(message)
    assert asked.ctypes == [1, 64]
    names = [made[name].x509.subject.public_bytes() for name in ("ca", "other")]
    assert asked.certauth == [(len(name), name) for name in names]


def test_a_wrong_proof_is_none() -> None:
    """RFC 5246 section 7.4.8: over all that was said before."""

    made = Authority(scenario.loads(WORLD))
    key = made["ec"].private_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signed = key.sign(b"said", ec.ECDSA(hashes.SHA256()))

    def message(algorithm: bytes) -> bytes:
        return b"\x0f\0\0\0" + algorithm + len(signed).to_bytes(2, "big") + signed

    good = message(b"\x04\x03")
    assert proves(made["ec"].der, good, b"said")
    assert not proves(made["ec"].der, good, b"sAid")
    assert not proves(made["rsa"].der, good, b"said")
    assert not proves(made["ec"].der, message(b"\x05\x03"), b"said")
    assert not proves(made["ec"].der, message(b"\x63\x63"), b"said")
    assert not proves(b"none", good, b"said")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('request_kinds = ["rsa_sign", "ecdsa_sign"]\n', "", "asks nothing without request_kinds"),
        ('["ca", "other"]', '["nobody"]', "no certificate is called nobody"),
        ('kind = "tls"', 'kind = "https"', "needs kind tls with a certificate of a P-256 key"),
        ('certificate = "server"', 'certificate = "rsa"', "needs kind tls with a certificate of"),
        ('"rsa_sign"', '"rsa"', "'rsa' is unknown"),
    ],
)
def test_mistakes(old: str, new: str, told: str) -> None:
    with pytest.raises(netsim.ScenarioError, match=told):
        scenario.loads(WORLD.replace(old, new))

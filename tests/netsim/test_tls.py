"""TLS peers: options, both roles, ends good and bad."""

import ssl
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether
from scapy.packet import Padding
from station import Collector, SslClient, Station

import netsim
import netsim.stack.application
from netsim.stack.rto import SECOND
from netsim.tls.certificates import Authority
from netsim.tls.records import Records

ECHO = IPv4Address("192.168.1.9")
WORLD = """
[certificates.ca]
ca = true
[certificates.other]
ca = true
[certificates.server]
issuer = "ca"
names = ["echo.local"]
[certificates.rsa]
issuer = "ca"
key = "RSA-2048"
names = ["echo.local"]
[certificates.camera]
issuer = "ca"
[certificates.stranger]
issuer = "other"
[[server]]
kind = "tls"
name = "echo.local"
address = "192.168.1.9"
"""


def talk(keys: str, text: bytes = b"ping", **options: object) -> tuple[SslClient, netsim.Peer]:
    """One connection to the scenario's TLS server; `options` are set on the client."""
    world = netsim.scenario.loads(WORLD + keys)
    made = Authority(world)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=made["ca"].der)
    context.set_ciphers("ALL")
    for name, value in options.items():
        setattr(context, name, value)
    with netsim.build(world) as network:
        station = Station(network)
        client = SslClient(context, "echo.local", text)
        station.host.connect(ECHO, 8443, client, 0)
        station.run(2 * SECOND)
    return client, network.peers[0]


def test_echo() -> None:
    client, peer = talk('certificate = "server"\ngreeting = "hello "\n')
    assert client.got == b"hello ping" and peer.received == b"ping"
    assert peer.secured_ns and peer.opened_ns and peer.secured_ns > peer.opened_ns


def test_large_data_both_ways() -> None:
    text = bytes(range(256)) * 1000
    client, peer = talk('certificate = "server"\n', text)
    assert client.got == text == peer.received


def test_greeting_alone_ends_with_close_notify() -> None:
    client, _ = talk('certificate = "server"\ngreeting = "bye"\necho = false\n')
    assert client.got == b"bye"
    assert client.events[:2] == ["close_notify", "ended"]


@pytest.mark.parametrize(
    ("certificate", "cipher"),
    [
        ("server", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        ("server", "ECDHE-ECDSA-AES128-SHA256"),
        ("rsa", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("rsa", "AES128-SHA"),
    ],
)
def test_the_only_cipher_is_negotiated(certificate: str, cipher: str) -> None:
    client, peer = talk(f'certificate = "{certificate}"\nciphers = "{cipher}"\n')
    assert (peer.cipher, peer.version) == (cipher, "TLSv1.2")
    assert client.got == b"ping"


def test_tls_13_only() -> None:
    keys = 'certificate = "server"\nversions = ["TLSv1.3"]\n'
    client, peer = talk(keys)
    assert peer.version == "TLSv1.3" and client.got == b"ping"
    client, peer = talk(keys, maximum_version=ssl.TLSVersion.TLSv1_2)
    assert client.error is not None and "PROTOCOL_VERSION" in str(client.error)
    assert peer.error == "unsupported protocol"


def client_chain(name: str, folder: Path) -> ssl.SSLContext:
    made = Authority(netsim.scenario.loads(WORLD + 'certificate = "server"\n'))
    chain = folder / "chain.pem"
    chain.write_bytes(made[name].key_pem + made[name].chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=made["ca"].der)
    context.load_cert_chain(chain)
    return context


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("camera", None),
        ("stranger", "certificate verify failed: unable to get local issuer certificate"),
        (None, "peer did not return a certificate"),
    ],
)
def test_mutual_tls(name: str | None, error: str | None, tmp_path: Path) -> None:
    world = netsim.scenario.loads(WORLD + 'certificate = "server"\nverify = "ca"\n')
    context = client_chain(name or "camera", tmp_path)
    if name is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=Authority(world)["ca"].der)
    with netsim.build(world) as network:
        station = Station(network)
        client = SslClient(context, "echo.local", b"ping")
        station.host.connect(ECHO, 8443, client, 0)
        station.run(2 * SECOND)
    [peer] = network.peers
    assert peer.error == error
    assert peer.verified == (error is None)
    assert bytes(client.got) == (b"ping" if error is None else b"")
    if peer.certificate:
        subject = x509.load_der_x509_certificate(peer.certificate).subject
        assert subject.rfc4514_string() == "CN=camera"


@pytest.mark.parametrize("text", [b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\0\2\1\0", b"\0"])
def test_plain_text_breaks_the_handshake(text: bytes) -> None:
    with netsim.build(netsim.scenario.loads(WORLD + 'certificate = "server"\n')) as network:
        station = Station(network)

        class Hasty(Collector):
            def opened(self, stream: netsim.stack.application.Stream) -> None:
                super().opened(stream)
                stream.close()

        station.host.connect(ECHO, 8443, Hasty(text), 0)
        station.run(2 * SECOND)
        [peer] = network.peers
    assert peer.error and peer.secured_ns is None


def test_reset_is_recorded() -> None:
    with netsim.build(netsim.scenario.loads(WORLD + 'certificate = "server"\n')) as network:
        station = Station(network)
        stream = station.host.connect(ECHO, 8443, Collector(), 0)
        station.run(SECOND)
        stream.abort()
        station.run(SECOND)
        [peer] = network.peers
    assert peer.error == "reset by peer" and peer.closed_ns


def test_sessions_beside_each_other_keep_their_names() -> None:
    world = netsim.scenario.loads(WORLD + 'certificate = "server"\n')
    with netsim.build(world) as network:
        station = Station(network)
        for name in ("one.local", "two.local", None):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            station.host.connect(ECHO, 8443, SslClient(context, name, b"x"), 0)
        station.run(2 * SECOND)
    assert [p.server_name for p in network.peers] == ["one.local", "two.local", None]


def test_records_split_anywhere_are_told_the_same() -> None:
    alert = bytes.fromhex("15 0303 0002 0230")
    hello = bytes.fromhex("16 0303 0004 0e000000")
    data = bytes.fromhex("14 0303 0001 01 16 0303 0003 aabbcc 17 0303 0002 ffff")
    whole = hello + alert + data
    expected = [
        "TLS ServerHelloDone",
        "TLS alert, fatal unknown_ca",
        "TLS ChangeCipherSpec",
        "TLS Finished",
        "TLS data, 2 bytes",
    ]
    assert list(Records().feed(whole)) == expected
    records = Records()
    told = [text for i in range(len(whole)) for text in records.feed(whole[i : i + 1])]
    assert told == expected
    assert list(Records().feed(b"GET / HTTP")) == []


def frames_to(station: Station, kind: int) -> list[int]:
    """The sizes of the TLS records of a type that a server has sent."""
    data = b"".join(
        bytes(Ether(frame)[TCP].payload)
        for _, frame in station.log
        if TCP in Ether(frame) and Ether(frame)[TCP].sport == 8443 and Ether(frame)[TCP].payload
        and not isinstance(Ether(frame)[TCP].payload, Padding)
    )  # fmt: skip
    sizes = []
    while data:
        size = int.from_bytes(data[3:5], "big")
        if data[0] == kind:
            sizes.append(size)
        data = data[5 + size :]
    return sizes


@pytest.mark.parametrize("end", ["notify", "fin", "reset"])
def test_a_server_ends_as_told(end: str) -> None:
    client, _ = talk(
        f'certificate = "server"\ngreeting = "bye"\necho = false\nend = "{end}"\n', text=b""
    )
    assert client.got == b"bye"
    assert ("close_notify" in client.events) == (end == "notify")
    assert ("lost reset by peer" in client.events) == (end == "reset")


def test_a_close_notify_of_the_client_is_recorded() -> None:
    class Polite(SslClient):
        def work(self) -> None:
            super().work()
            if self.ready:
                with suppress(ssl.SSLError):
                    self.ssl.unwrap()

    for kind, said in ((Polite, True), (SslClient, False)):
        world = netsim.scenario.loads(WORLD + 'certificate = "server"\n')
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=Authority(world)["ca"].der)
        with netsim.build(world) as network:
            station = Station(network)
            station.host.connect(ECHO, 8443, kind(context, "echo.local", b"x"), 0)
            station.run(2 * SECOND)
            assert network.peers[0].close_notify == said


def test_a_greeting_of_a_size() -> None:
    keys = 'certificate = "server"\ngreeting = "abc"\nsize = 16385\necho = false\n'
    client, _ = talk(keys, text=b"")
    assert client.got == (b"abc" * 5462)[:16385]


def test_a_slow_handshake() -> None:
    _, peer = talk('certificate = "server"\nhandshake_delay_ms = 1500\n')
    assert peer.opened_ns and peer.secured_ns
    assert 1.5 * SECOND <= peer.secured_ns - peer.opened_ns < 1.6 * SECOND


def test_the_certificate_of_the_name() -> None:
    keys = 'certificate = "server"\nsni = { "echo.local" = "rsa" }\n'
    for name, curve in (("echo.local", False), ("other.local", True)):
        world = netsim.scenario.loads(WORLD + keys)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with netsim.build(world) as network:
            station = Station(network)
            client = SslClient(context, name, b"x")
            station.host.connect(ECHO, 8443, client, 0)
            station.run(2 * SECOND)
        shown = client.ssl.getpeercert(binary_form=True)
        assert shown == Authority(world)["server" if curve else "rsa"].der


def test_without_a_name_there_is_no_certificate() -> None:
    keys = 'sni = { "echo.local" = "server" }\n'
    client, _ = talk(keys)
    assert client.got == b"ping"
    world = netsim.scenario.loads(WORLD + keys)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with netsim.build(world) as network:
        station = Station(network)
        client = SslClient(context, None, b"x")
        station.host.connect(ECHO, 8443, client, 0)
        station.run(2 * SECOND)
    assert client.error is not None and "ALERT" in str(client.error)


def test_the_handshake_in_small_records() -> None:
    world = netsim.scenario.loads(WORLD + 'certificate = "server"\nrecord_size = 100\n')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=Authority(world)["ca"].der)
    with netsim.build(world) as network:
        station = Station(network)
        client = SslClient(context, "echo.local", b"x" * 500)
        station.host.connect(ECHO, 8443, client, 0)
        station.run(2 * SECOND)
    assert client.got == b"x" * 500
    handshake = frames_to(station, 22)
    assert max(handshake) == 100 and len(handshake) > 6
    assert max(frames_to(station, 23)) > 500, "data is not cut"


def test_offered_suites_are_recorded() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _, peer = talk('certificate = "server"\n', maximum_version=ssl.TLSVersion.TLSv1_2)
    assert "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" in peer.offered
    assert len(peer.offered) >= len([c for c in context.get_ciphers() if "TLSv1.2" in str(c)])


def test_servers_come_while_the_network_runs() -> None:
    world = netsim.scenario.loads(WORLD + 'certificate = "server"\n')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=Authority(world)["ca"].der)
    with netsim.build(world) as network:
        station = Station(network)
        station.run(SECOND)
        grown = world.with_one(
            "server", kind="tls", name="new.example", address="93.184.215.14", certificate="server"
        )
        network.extend(grown)
        client = SslClient(context, "echo.local", b"ping")
        station.host.connect(IPv4Address("93.184.215.14"), 8443, client, station.now)
        station.run(2 * SECOND)
        asked = bytes(DNS(rd=1, qd=DNSQR(qname="new.example")))
        [answer] = station.ask_udp("192.168.1.1", 53, asked)
    assert client.got == b"ping"
    assert DNS(answer).an[0].rdata == "93.184.215.14"


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"kind": "tls", "name": "x"}, "server: address is missing"),
        ({"kind": "tls", "name": "x", "address": "192.168.1.8"}, "certificate is missing"),
        ({"kind": "tls", "name": "x", "address": "192.168.1.8", "certificate": "none"},
         "server: certificate: no certificate is called none"),
        ({"kind": "tls", "name": "x", "address": "192.168.1.8", "end": "boom"},
         "server: end: 'boom' is unknown"),
    ],
)  # fmt: skip
def test_a_bad_server_in_mid_run(keys: dict[str, object], complaint: str) -> None:
    world = netsim.scenario.loads(WORLD + 'certificate = "server"\n')
    with pytest.raises(netsim.UserError, match=complaint):
        world.with_one("server", **keys)

"""Our own DTLS endpoint: against pyOpenSSL when it behaves, by the RFC when it does not."""

import time
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from OpenSSL import SSL
from OpenSSL.crypto import X509
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw
from station import Station, lease
from test_dtls import ECHO, PlainDtls, called_by, client_context

import netsim
from netsim.scapy_dtls import DTLS, DTLSClientHello, DTLSHandshake, DTLSHelloVerifyRequest, records
from netsim.scenario import misbehaviours
from netsim.stack.host import Host
from netsim.stack.rto import SECOND
from netsim.stack.wire import Datagram, Packet
from netsim.tls.certificates import Authority
from netsim.tls.dtls12_misdeeds import MISBEHAVIOURS

WORLD = """
[certificates.ca]
ca = true
[certificates.echo]
issuer = "ca"
names = ["echo.local"]
[certificates.camera]
issuer = "ca"
"""
#: with these, and the loss or noise that they make, a handshake still completes
HARMLESS = sorted(
    set(misbehaviours.DTLS)
    - {
        "wrong_cookie", "foreign_cookie", "no_cookie",
        "conflicting_fragments", "wrong_finished", "huge_length",
    }
)  # fmt: skip


def openssl_client(name: str, seconds: int = 40) -> tuple[PlainDtls, netsim.Network]:
    """OpenSSL calls our server; it repeats its flight when our server repeats its own."""
    world = netsim.scenario.loads(WORLD).with_one(
        "server", kind="dtls", name="echo.local", address="192.168.1.9", certificate="echo",
        greeting="hello ", misbehave=name,
    )  # fmt: skip
    context = client_context(Authority(world))
    with netsim.build(world) as network:
        station = Station(network)
        client = called_by(station, context)
        station.run(seconds * SECOND)
        if name in ("lost_flight", "lost_datagram"):  # the last one, which only a client repeats
            time.sleep(1.1)  # OpenSSL looks at the clock on the wall
            client.ssl.DTLSv1_handle_timeout()
            client.pump(station.host, ECHO, 5684, 6000)
            station.run(seconds * SECOND)
    return client, network


def openssl_server(name: str, seconds: int = 40) -> tuple[PlainDtls | None, netsim.Network]:
    """Our client calls OpenSSL, at the camera's address, which asks for a cookie."""
    world = netsim.scenario.loads(WORLD).with_one(
        "client", kind="dtls", name="pc", address="192.168.1.50", port=5000, start_ms=5000,
        retry_ms=3000, send="hi", misbehave=name, certificate="camera", hold_ms=30000,
    )  # fmt: skip
    made = Authority(world)
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    context.use_certificate(made["echo"].x509)
    context.use_privatekey(made["echo"].key)
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(X509.from_cryptography(made["ca"].x509))
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    context.set_cookie_generate_callback(lambda connection: connection.get_app_data())
    context.set_cookie_verify_callback(
        lambda connection, cookie: cookie == connection.get_app_data()
    )
    sessions: dict[tuple[IPv4Address, int], PlainDtls] = {}
    listening: dict[tuple[IPv4Address, int], PlainDtls] = {}

    class Accepting:
        def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
            peer = packet.source, datagram.source_port
            if peer in sessions:
                sessions[peer].datagram(host, packet, datagram)
                return
            session = PlainDtls(context, b"welcome")
            session.ssl.set_accept_state()
            session.ssl.set_app_data(f"{peer}".encode())
            session.ssl.bio_write(datagram.payload)
            try:
                session.ssl.DTLSv1_listen()
                sessions[peer] = session
                session.pump(host, *peer, 5000)
            except SSL.Error:
                listening[peer] = session
                with suppress(SSL.WantReadError):
                    host.send_udp(peer, 5000, session.ssl.bio_read(65536))

    with netsim.build(world) as network:
        station = Station(network)
        lease(station)
        station.host.udp(5000, Accepting())
        station.run(seconds * SECOND)
    return next(iter(sessions.values()), None), network


@pytest.mark.parametrize("name", HARMLESS)
def test_openssl_talks_to_our_server(name: str) -> None:
    client, network = openssl_client(name)
    assert client.got == b"hello ping", client.error
    [peer] = network.peers
    assert (peer.version, bytes(peer.received)) == ("DTLSv1.2", b"ping")


#: what OpenSSL's DTLSv1_listen() does not take, which looks at one record only
NOT_AT_FIRST = {"fragmented_hello", "wrong_epoch"}


@pytest.mark.parametrize("name", sorted(set(HARMLESS) - NOT_AT_FIRST))
def test_our_client_talks_to_openssl(name: str) -> None:
    server, network = openssl_server(name)
    assert server is not None and server.got == b"hi", network.peers
    peer = network.peers[0]
    assert bytes(peer.received) == b"welcome" and peer.error is None
    certificate = server.ssl.get_peer_certificate(as_cryptography=True)
    assert certificate is not None and certificate.subject.rfc4514_string() == "CN=camera"


@pytest.mark.parametrize("name", ["wrong_cookie", "foreign_cookie", "no_cookie"])
def test_without_the_right_cookie_there_is_no_session(name: str) -> None:
    server, network = openssl_server(name, seconds=20)
    assert server is None
    assert all(peer.secured_ns is None for peer in network.peers)


@pytest.mark.parametrize("name", ["conflicting_fragments", "wrong_finished"])
def test_a_wrong_handshake_ends_in_an_alert(name: str) -> None:
    server, network = openssl_server(name, seconds=20)
    assert server is None or not server.ready
    client, _ = openssl_client(name, seconds=20)
    assert not client.ready
    assert client.error is not None or name == "conflicting_fragments"
    assert all(peer.secured_ns is None for peer in network.peers if peer.role == "client")


def test_a_run_repeats_byte_for_byte(tmp_path: Path) -> None:
    """Unlike OpenSSL's DTLS; the client here is our own endpoint, too, at the other end."""
    logs = []
    for _ in range(2):
        world = netsim.scenario.loads(WORLD).with_one(
            "client", kind="dtls", name="pc", address="192.168.1.50", port=5000, start_ms=5000,
            retry_ms=500, misbehave="no",
        )  # fmt: skip
        with netsim.build(world) as network:
            station = Station(network)
            lease(station)
            station.run(10 * SECOND)
            logs.append(station.log)
    assert logs[0] == logs[1] and any(b"\xfe\xfd" in frame for _, frame in logs[0])


def test_names_and_classes_agree() -> None:
    assert list(MISBEHAVIOURS) == list(misbehaviours.DTLS)


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"misbehave": "nonsense"}, "misbehave: 'nonsense' is unknown, use one of no, wrong_c"),
        ({"misbehave": "no", "kind": "http"}, "kind http has none"),
        ({"misbehave": "no", "certificate": "rsa"}, "misbehaving peers need a P-256 key"),
    ],
)
def test_bad_scenarios(keys: dict[str, str], complaint: str) -> None:
    world = netsim.scenario.loads(WORLD + '[certificates.rsa]\nkey = "P-384"\n')
    server = {"kind": "dtls", "name": "x", "address": "192.168.1.9", "certificate": "echo"}
    with pytest.raises(netsim.UserError, match=complaint):
        world.with_one("server", **(server | keys))


# The layers for scapy --------------------------------------------------------------------


def test_a_hello_of_openssl_is_dissected() -> None:
    connection = SSL.Connection(SSL.Context(SSL.DTLS_METHOD), None)
    connection.set_connect_state()
    with suppress(SSL.WantReadError):
        connection.do_handshake()
    datagram = connection.bio_read(65536)
    [record] = records(datagram)
    [part] = record.msg
    hello = DTLSClientHello(part.data)
    assert part.msgtype == 1 and part.message_seq == part.fragment_offset == 0
    assert hello.cookie == b"" and 0xC02B in hello.ciphers and hello.compression == b"\0"
    assert bytes(record) == datagram and bytes(hello) == part.data


def test_layers_are_built_as_the_rfc_draws_them() -> None:
    request = DTLSHelloVerifyRequest(cookie=b"abc")
    assert bytes(request).hex() == "feff03616263"
    fragment = DTLSHandshake(msgtype=3, message_seq=1, data=bytes(request))
    assert bytes(fragment).hex() == "03 000006 0001 000000 000006 feff03616263".replace(" ", "")
    record = DTLS(epoch=0, sequence_number=2, msg=[fragment])
    assert bytes(record).hex() == (
        "16 fefd 0000 000000000002 0012 03 000006 0001 000000 000006 feff03616263".replace(" ", "")
    )


def test_records_follow_each_other() -> None:
    pair = bytes(DTLS(type=20, msg=[Raw(b"\1")]) / DTLS(epoch=1, msg=[Raw(b"x" * 40)]))
    first, second = records(pair + b"rest")
    assert (first.type, second.epoch, bytes(second.msg[0])) == (20, 1, b"x" * 40)
    packet = IP(bytes(IP() / UDP(sport=4000, dport=5684) / Raw(pair)))
    assert packet.haslayer(DTLS)


@pytest.mark.parametrize("size", range(30))
def test_damaged_datagrams_do_no_harm(size: int) -> None:
    whole = bytes(DTLS(msg=[DTLSHandshake(data=bytes(DTLSClientHello(ciphers=[1])))]))
    records(whole[:size])
    records(whole[:10] + bytes([size * 8]) + whole[11:])

"""Our own TLS 1.2 endpoint: against OpenSSL when it behaves, by the RFC when it does not."""

import ssl

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidTag
from station import SslClient, Station, lease
from test_tls import ECHO, WORLD

import netsim
from netsim.scenario import misbehaviours
from netsim.stack.application import Application, Stream
from netsim.stack.rto import SECOND
from netsim.tls import tls12_misdeeds
from netsim.tls.certificates import Authority
from netsim.tls.openssl import in_memory
from netsim.tls.tls12 import CbcKeys, Keys
from netsim.tls.tls12_misdeeds import MISBEHAVIOURS

#: with these a session goes on: RFC 5246, and what OpenSSL lets pass
HARMLESS = [
    "no", "warning_alert:6:90", "empty_records", "tiny_records", "small_records",
    "byte_by_segment", "byte_per_second", "half_close", "no_close_notify", "renegotiation",
    "unexpected:2:0", "unknown_extension", "cbc",
]  # fmt: skip
SERVERS_ONLY = ("renegotiation", "byte_per_second", "unexpected:2:0")
#: a server's, each with what OpenSSL makes of it
REFUSED = [
    ("fatal_alert:0:40", "ALERT_HANDSHAKE_FAILURE"),
    ("fatal_alert:3:80", "ALERT_INTERNAL_ERROR"),
    ("unexpected:2:20", "UNEXPECTED_MESSAGE"),
    ("missing:1", "UNEXPECTED_MESSAGE"),
    ("missing:4", ""),
    ("twice:2", "UNEXPECTED_MESSAGE"),
    ("heartbeat:3", ""),
    ("fin:2", ""),
    ("record_version", "WRONG_VERSION_NUMBER"),
    ("hello_version", "UNSUPPORTED_PROTOCOL"),
    ("wrong_tag", "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"),
    ("wrong_tag_of_data", "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"),
    ("wrong_mac", "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"),
    ("wrong_padding", "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"),
    ("wrong_finished", "DIGEST_CHECK_FAILED"),
    ("empty_handshake_records", ""),
    ("oversize_record", "LENGTH"),
    ("duplicate_extension", "BAD_EXTENSION"),
    ("bad_point", ""),
    ("bad_signature", ""),
]


def openssl_client(wish: str, seconds: int = 5, size: int = 20000) -> tuple[SslClient, netsim.Peer]:
    """OpenSSL calls our server, which greets it with so many bytes."""
    world = netsim.scenario.loads(WORLD + 'certificate = "server"\n').with_one(
        "server", kind="tls", name="echo.local", address="192.168.1.9", port=9443,
        certificate="server", greeting="hello ", size=size, misbehave=wish,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=Authority(world)["ca"].der)
    with netsim.build(world) as network:
        station = Station(network)
        client = SslClient(context, "echo.local", b"ping")
        station.host.connect(ECHO, 9443, client, 0)
        station.run(seconds * SECOND)
        return client, network.peers[0]


class Server(Application):
    """OpenSSL as the camera's end, for one client after the other."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.got, self.ready = b"", False
        self.error: ssl.SSLError | None = None

    def received(self, stream: Stream, data: bytes) -> None:
        self.incoming.write(data)
        try:
            if not self.ready:
                self.ssl.do_handshake()
                self.ready = True
                self.ssl.write(b"welcome")
            while piece := self.ssl.read(65536):
                self.got += piece
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.error = error
        if out := self.outgoing.read():
            stream.write(out)


def openssl_server(wish: str, seconds: int = 5) -> tuple[Server, netsim.Peer]:
    """Our client calls OpenSSL at the camera's address."""
    world = netsim.scenario.loads(WORLD + 'certificate = "server"\n').with_one(
        "client", kind="tls", name="pc", address="192.168.1.50", port=9000, start_ms=5000,
        send="hi", hold_ms=2000, misbehave=wish,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made = Authority(world)["camera"]
    servers: list[Server] = []

    def accept() -> Server:
        servers.append(Server(context))
        return servers[-1]

    with netsim.build(world) as network:
        with in_memory("camera.pem") as file:
            file.write(made.key_pem + made.chain_pem)
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        station = Station(network)
        lease(station)
        station.host.listen(9000, accept)
        station.run((5 + seconds) * SECOND)
        peers = [peer for peer in network.peers if peer.name == "pc"]
    return servers[0], peers[0]


@pytest.mark.parametrize("wish", HARMLESS)
def test_openssl_talks_to_our_server(wish: str) -> None:
    size = 2000 if wish.startswith("byte_") else 20000  # each byte is a frame of its own
    client, peer = openssl_client(wish, 4000 if wish == "byte_per_second" else 60, size)
    assert bytes(client.got[:size]) == (b"hello " * 3400)[:size] and client.ready
    assert peer.secured_ns and bytes(peer.received) == b"ping"
    harmless = "no", "cbc", "no_close_notify"  # of the last one the end is not reached
    assert (peer.misdeeds > 0) == (wish not in harmless)


@pytest.mark.parametrize("wish", [w for w in HARMLESS if w not in SERVERS_ONLY])
def test_our_client_talks_to_openssl(wish: str) -> None:
    server, peer = openssl_server(wish.replace(":6:", ":4:"), seconds=400)
    assert server.got == b"hi", server.error
    assert bytes(peer.received) == b"welcome" and peer.version == "TLSv1.2"
    assert peer.certificate is not None
    subject = x509.load_der_x509_certificate(peer.certificate).subject
    assert subject.rfc4514_string() == "CN=camera"


@pytest.mark.parametrize(("wish", "reason"), REFUSED, ids=[wish for wish, _ in REFUSED])
def test_openssl_refuses(wish: str, reason: str) -> None:
    client, peer = openssl_client(wish)
    assert client.error is not None or wish == "fin:2"
    assert reason in str(client.error)
    late = "wrong_tag_of_data", "oversize_record", "wrong_mac", "wrong_padding"
    assert bytes(peer.received) != b"ping" or wish in late
    assert peer.misdeeds > 0


def test_a_session_repeats_byte_for_byte() -> None:
    world = netsim.scenario.loads(WORLD + 'certificate = "server"\n').with_one(
        "client", kind="tls", name="pc", address="192.168.1.50", port=8443, start_ms=0,
        misbehave="no",
    )  # fmt: skip
    logs = []
    for _ in range(2):
        with netsim.build(world) as network:
            station = Station(network)
            lease(station)
            station.run(3 * SECOND)
            logs.append(station.log)
    assert logs[0] == logs[1]


def test_each_connection_has_the_next_misbehaviour() -> None:
    wishes = "fatal_alert:0:40 no fatal_alert:1:80"
    world = netsim.scenario.loads(WORLD + 'certificate = "server"\n').with_one(
        "server", kind="tls", name="echo.local", address="192.168.1.9", port=9443,
        certificate="server", misbehave=wishes,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=Authority(world)["ca"].der)
    outcomes = []
    with netsim.build(world) as network:
        station = Station(network)
        for _ in range(4):
            client = SslClient(context, "echo.local", b"ping")
            station.host.connect(ECHO, 9443, client, station.now)
            station.run(SECOND)
            outcomes.append(client.ready)
    assert outcomes == [False, True, False, False]


def test_names_and_classes_agree() -> None:
    assert list(MISBEHAVIOURS) == list(misbehaviours.TLS)
    assert set(misbehaviours.ARGUMENTS) <= set(MISBEHAVIOURS)


@pytest.mark.parametrize(
    ("wish", "complaint"),
    [
        ("nonsense", "'nonsense' is unknown, use one of no, fatal_alert"),
        ("no fatal_alert:1", "'fatal_alert:1' is incomplete, write fatal_alert:N:ALERT"),
        ("stall:x", "'stall:x' is incomplete"),
        ("fin:999", "'fin:999' is incomplete"),
    ],
)
def test_bad_scenarios(wish: str, complaint: str) -> None:
    world = netsim.scenario.loads(WORLD + 'certificate = "server"\n')
    with pytest.raises(netsim.UserError, match=complaint):
        world.with_one("server", kind="tls", name="x", address="192.168.1.8",
                       certificate="server", misbehave=wish)  # fmt: skip


@pytest.mark.parametrize("size", range(34))
def test_a_record_too_short_for_its_cipher_is_refused(size: int) -> None:
    """Less than nonce and tag (RFC 5288 section 3), or than IV and a block (RFC 5246, 6.2.3.2)."""
    with pytest.raises(InvalidTag):
        Keys(bytes(16), bytes(4)).open(23, bytes(size))
    with pytest.raises(InvalidTag):
        CbcKeys(bytes(32), bytes(16), tls12_misdeeds.make("no"), netsim.Peer("", "", "", 0)).open(
            23, bytes(size)
        )

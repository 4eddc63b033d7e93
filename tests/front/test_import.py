"""omvsim import, on a capture that the testbed has made and on one of OpenSSL over loopback."""

import ssl
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from socket import create_connection, create_server

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from netsim import scenario as scenarios
from netsim.certificates import Authority

Run = Callable[..., subprocess.CompletedProcess[str]]
DELAYED = """\
time = 2026-06-15T12:00:00Z
[certificates.ca]
ca = true
[certificates.middle]
ca = true
issuer = "ca"
[certificates.leaf]
issuer = "middle"
key = "RSA-2048"
names = ["example.com", "*.example.org"]
not_after = 2026-05-31T00:00:00Z
[camera.files]
"ca.der" = { certificate = "ca" }
[[server]]
kind = "ntp"
name = "pool.ntp.org"
address = "162.159.200.1"
[[server]]
kind = "https"
name = "example.com"
address = "93.184.215.14"
certificate = "leaf"
handshake_delay_ms = 250
"""


def test_the_peer_of_our_own_capture_does_the_same(
    omvsim: Run, tmp_path: Path, example: Path, image: Path
) -> None:
    (tmp_path / "world.toml").write_text(DELAYED)
    options = ("--firmware", image, "--scenario", tmp_path / "world.toml")
    assert omvsim("run", *options, "--out", tmp_path / "run", example).returncode == 1
    made = tmp_path / "made.toml"
    done = omvsim("import", "--out", made, tmp_path / "run/net.pcapng")
    assert done.returncode == 0, done.stderr
    assert "the root CN=ca, which was not sent" in done.stderr
    world = scenarios.load(made)
    _ntp, server = sorted(world.servers, key=lambda s: s.port or 0)
    assert (server.name, str(server.address), server.port) == ("example.com", "93.184.215.14", 443)
    assert server.versions == ("TLSv1.2",)
    assert abs(server.handshake_delay_ms - 250) <= 2  # it waits from the connection on
    leaf = world.certificates[str(server.certificate)]
    assert leaf.key == "RSA-2048"
    assert leaf.names == ("example.com", "*.example.org")
    assert leaf.not_after == datetime(2026, 5, 31, tzinfo=UTC)
    assert world.certificates[str(leaf.issuer)].common_name == "middle"
    # the camera refuses the imported peer as it refused the first
    text = made.read_text().replace("[camera]", '[camera.files]\n"ca.der" = {certificate = "ca"}\n'
                                    "\n[camera]")  # fmt: skip
    made.write_text(text)
    again = omvsim("run", "--firmware", image, "--scenario", made, "--out", tmp_path / "b", example)
    first = (tmp_path / "run/console.log").read_bytes().splitlines()
    assert again.returncode == 1
    assert again.stderr.splitlines()[-2].encode() in first


def conversation(folder: Path) -> list[tuple[bool, bytes]]:
    """What OpenSSL's client (True) and server say in a handshake over loopback."""
    leaf = Authority(scenarios.loads(DELAYED))["leaf"]
    (folder / "chain.pem").write_bytes(leaf.chain_pem)
    (folder / "key.pem").write_bytes(leaf.key_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    server.set_ciphers("ECDHE-RSA-CHACHA20-POLY1305")
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    sent: list[tuple[bool, bytes]] = []
    with create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with server.wrap_socket(connection, server_side=True) as secured:
                secured.recv(10)

        thread = threading.Thread(target=answer)
        thread.start()
        connection = create_connection(listener.getsockname())
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client.wrap_bio(incoming, outgoing, server_hostname="office.example")
        while True:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            if data := outgoing.read():
                connection.sendall(data)
                sent.append((True, data))
            if done:
                break
            data = connection.recv(65536)
            incoming.write(data)
            sent.append((False, data))
        connection.close()
        thread.join()
    return sent


def test_openssl_over_loopback(omvsim: Run, tmp_path: Path) -> None:
    """The bytes are OpenSSL's; the frames around them are made here, as a capture needs rights."""
    sent = conversation(tmp_path)
    capture = tmp_path / "office.pcap"
    ends, sequence, packets = ("10.0.0.7", "10.0.0.1"), [1001, 5001], []
    for number, (own, data) in enumerate([(True, b""), *sent]):
        at = 0 if own else 1
        for start in range(0, max(len(data), 1), 1400):
            part = data[start : start + 1400]
            ports = (50000, 8883) if own else (8883, 50000)
            tcp = TCP(sport=ports[0], dport=ports[1], seq=sequence[at], flags="PA" if data else "S")
            packet = Ether() / IP(src=ends[at], dst=ends[1 - at]) / tcp / part
            packet.time = 1_750_000_000 + number * 0.1
            packets.append(packet)
            sequence[at] += len(part)
    wrpcap(str(capture), packets)
    result = omvsim("import", capture)
    assert result.returncode == 0, result.stderr
    (found,) = scenarios.load(tmp_path / "office.toml").servers
    assert (found.name, str(found.address), found.port) == ("office.example", "10.0.0.1", 8883)
    assert found.versions == ("TLSv1.2",)
    assert found.ciphers == "ECDHE-RSA-CHACHA20-POLY1305"
    assert found.handshake_delay_ms == 100


def test_what_is_no_capture_is_one_line(omvsim: Run, tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_text("hello\n")
    for path in (tmp_path / "a.pcap", tmp_path / "none.pcap"):
        done = omvsim("import", path)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert path.name in done.stderr

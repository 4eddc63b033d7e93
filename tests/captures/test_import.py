"""omvsim import, on a capture that the testbed has made and on one of OpenSSL over loopback."""

import signal
import ssl
import subprocess
import threading
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stderr
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from random import Random
from socket import create_connection, create_server

import pytest
from omvsim.captures import importer
from omvsim.captures.chains import Chains
from omvsim.cli import Interrupt
from omvsim.commands.import_ import import_capture
from omvsim.errors import UserError
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import wrpcap

from netsim import scenario as scenarios
from netsim.errors import UserError as NetsimError
from netsim.tls.certificates import Authority

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
    assert again.stderr.splitlines()[-3].encode() in first


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


def frames(sent: list[tuple[bool, bytes]], segment: int = 1400) -> list[Packet]:
    """A capture of a conversation of 10.0.0.7, a tenth of a second between what the ends say."""
    ends, sequence, packets = ("10.0.0.7", "10.0.0.1"), [1001, 5001], []
    for number, (own, data) in enumerate([(True, b""), *sent]):
        at = 0 if own else 1
        for start in range(0, max(len(data), 1), segment):
            part = data[start : start + segment]
            ports = (50000, 8883) if own else (8883, 50000)
            tcp = TCP(sport=ports[0], dport=ports[1], seq=sequence[at], flags="PA" if data else "S")
            packet = Ether() / IP(src=ends[at], dst=ends[1 - at]) / tcp / part
            packet.time = 1_750_000_000 + number * 0.1
            packets.append(Ether(bytes(packet)))
            packets[-1].time = packet.time
            sequence[at] += len(part)
    return packets


def test_openssl_over_loopback(omvsim: Run, tmp_path: Path) -> None:
    """The bytes are OpenSSL's; the frames around them are made here, as a capture needs rights."""
    capture = tmp_path / "office.pcap"
    wrpcap(str(capture), frames(conversation(tmp_path)))
    result = omvsim("import", capture)
    assert result.returncode == 0, result.stderr
    (found,) = scenarios.load(tmp_path / "office.toml").servers
    assert (found.name, str(found.address), found.port) == ("office.example", "10.0.0.1", 8883)
    assert found.versions == ("TLSv1.2",)
    assert found.ciphers == "ECDHE-RSA-CHACHA20-POLY1305"
    assert found.handshake_delay_ms == 100
    assert found.end == "never" and not found.echo
    # RFC 8446's suites, which the camera's firmware does not know
    assert "the suites of the device, which also offered 0x1302" in result.stderr
    assert "mask and router, which no DHCP answer shows: 10.0.0.0/24, 10.0.0.2" in result.stderr


def imported(folder: Path, packets: list[Packet]) -> tuple[scenarios.Scenario | None, list[str]]:
    """The scenario, None if there is none; and what was told, without a process of its own."""
    capture, told = folder / "a.pcap", StringIO()
    wrpcap(str(capture), packets)
    options = Namespace(
        ca=None, keylog=None, capture=capture, camera=None, out=folder / "a.toml", force=True,
        interrupt=Interrupt(),
    )  # fmt: skip
    try:
        with redirect_stderr(told):
            assert import_capture(options) == 0
    except (UserError, NetsimError) as error:
        return None, str(error).splitlines()
    return scenarios.load(folder / "a.toml"), told.getvalue().splitlines()


def test_frames_that_are_cut_short(tmp_path: Path) -> None:
    packets = frames(conversation(tmp_path))
    for number, packet in enumerate(packets):
        packets[number] = Ether(bytes(packet)[:96])
        packets[number].time = packet.time
    world, told = imported(tmp_path, packets)
    assert world and [s.port for s in world.servers] == [8883]
    assert any("record them whole" in line for line in told)


def test_a_signal_ends_it_at_once(
    start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    capture = tmp_path / "long.pcap"
    wrpcap(str(capture), [Ether() / IP(dst="10.0.0.1") / TCP(seq=n) for n in range(500)])
    content = capture.read_bytes()
    capture.write_bytes(content + content[24:] * 400)
    process = start("import", capture)
    assert process.stderr is not None
    assert process.stderr.readline().endswith("frames are read\n")
    process.send_signal(signal.SIGTERM)
    told, left = process.communicate()
    assert (process.returncode, told, left) == (130, "", "omvsim: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["long.pcap"]


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    sent = conversation(tmp_path)
    at = sent[1][1].index(b"\x30\x82")  # a SEQUENCE of X.690: the certificate
    sent[1] = (False, sent[1][1][:at] + bytes(20) + sent[1][1][at + 20 :])
    world, told = imported(tmp_path, frames(sent))
    assert world and [s.certificate for s in world.servers] == ["unknown"]
    (line,) = [line for line in told if "a certificate that cannot be read: " in line]
    assert line.startswith("not carried over: ")


def test_damage_anywhere_is_one_line_at_most(tmp_path: Path) -> None:
    good, dice, outcomes = frames(conversation(tmp_path), 400), Random(1), set()
    for _ in range(60):
        packets = []
        for packet in good:
            data = bytearray(bytes(packet))
            for _ in range(dice.choice((0, 0, 1, 3))):
                data[dice.randrange(len(data))] = dice.randrange(256)
            packets.append(Ether(bytes(data[: dice.choice((len(data), len(data), 30, 70))])))
            packets[-1].time = packet.time
        world, told = imported(tmp_path, packets)
        assert world or len(told) == 1, told
        outcomes.add(world is None)
    assert outcomes == {True, False}


def segments(*parts: tuple[float, bool, str, int, bytes]) -> list[Packet]:
    """Time, of the device?, flags, relative sequence number, data."""
    packets = []
    for at, own, flags, sequence, data in parts:
        ends, ports = ("10.0.0.7", "10.0.0.1"), (50000, 7)
        if not own:
            ends, ports = ends[::-1], ports[::-1]
        # RFC 9293 section 3.4: sequence numbers wrap
        tcp = TCP(sport=ports[0], dport=ports[1], flags=flags, seq=(0xFFFFFFFE + sequence) % 2**32)
        packet = Ether(bytes(Ether() / IP(src=ends[0], dst=ends[1]) / tcp / data))
        packet.time = 1_750_000_000 + at
        packets.append(packet)
    return packets


OPENING = [(0.0, True, "S", 0, b""), (0.01, False, "SA", 0, b""), (0.01, True, "A", 1, b"")]


def test_lost_frames_become_rules_that_drop_them(tmp_path: Path) -> None:
    packets = segments(
        *OPENING,
        (0.1, True, "PA", 1, b"one"),
        (0.5, True, "PA", 1, b"one"),
        (0.6, True, "PA", 4, b"two"),
        (0.7, False, "PA", 1, b"1"),
        (0.8, False, "PA", 3, b"3"),  # a hole before it
        (1.8, False, "PA", 2, b"2"),
        (1.9, False, "PA", 5, b"5"),  # overtakes
        (1.9001, False, "PA", 4, b"4"),
    )
    world, _ = imported(tmp_path, packets)
    assert world
    assert [(r.match, r.direction, r.nth, r.count) for r in world.rules if r.action == "drop"] == [
        ("IP.dst == 10.0.0.1 TCP.dport == 7 Raw", "from_camera", 1, 1),
        ("IP.src == 10.0.0.1 TCP.sport == 7 Raw", "to_camera", 2, 1),
    ]
    (server,) = world.servers
    assert server.greeting == "12345"


def test_a_port_that_refuses_is_told(tmp_path: Path) -> None:
    refused = segments((0.0, True, "S", 0, b""), (0.01, False, "RA", 0, b""))
    world, told = imported(tmp_path, refused)
    assert world and not world.servers
    assert "not carried over: 10.0.0.1:7, which refused: nobody is there" in told


def test_what_is_no_capture_is_one_line(omvsim: Run, tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_text("hello\n")
    for path in (tmp_path / "a.pcap", tmp_path / "none.pcap"):
        done = omvsim("import", path)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert path.name in done.stderr


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA-2048", "RSA-4096", "Ed25519"])
def test_a_root_that_was_not_sent_gets_a_key_of_its_kind(kind: str) -> None:
    """Its signature tells: a server's flight has the size that it had."""
    world = scenarios.loads(
        f'[certificates.root]\nca = true\nkey = "{kind}"\n'
        '[certificates.leaf]\nissuer = "root"\nnames = ["example.com"]\n'
    )
    der = Authority(world)["leaf"].der
    lost: list[str] = []
    chains = Chains(lost)
    sized = len(der).to_bytes(3, "big") + der
    assert chains.chain(len(sized).to_bytes(3, "big") + sized, "server") == "server"
    assert (chains.table["ca"]["key"], chains.table["server"]["key"]) == (kind, "P-256")
    assert lost == [f"server: the root CN=root, which was not sent: a new {kind} stands in"]


def test_a_capture_of_too_many_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = tmp_path / "long.pcap"
    wrpcap(str(capture), [Ether() / IP(dst="10.0.0.1") / TCP(seq=n) for n in range(4)])
    monkeypatch.setattr(importer, "MOST", 3)
    with pytest.raises(UserError, match=r"long.pcap: more than 3 frames: cut"):
        importer.read(capture, None)

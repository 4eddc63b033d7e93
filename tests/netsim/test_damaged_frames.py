"""Nothing that arrives may break a host, and afterwards it still answers."""

import random
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from station import SslClient, Station, lease
from test_network import GET, WEB, context

import netsim
from netsim.fuzz import damaged, mutations, with_checksums
from netsim.link.ethernet import Interface
from netsim.stack.rto import SECOND

GATEWAY_MAC = b"\x02\x00" + IPv4Address("192.168.1.1").packed
COUNT = 5000


def frames(seed: int, count: int, target: str) -> list[bytes]:
    return list(
        mutations(seed, count, target_mac=GATEWAY_MAC, target=target, source="192.168.1.100")
    )


def test_same_seed_gives_the_same_frames() -> None:
    assert frames(1, 300, "192.168.1.1") == frames(1, 300, "192.168.1.1")
    assert frames(1, 300, "192.168.1.1") != frames(2, 300, "192.168.1.1")


def test_frames_fit_the_wire_and_many_have_right_checksums() -> None:
    all_frames = frames(1, 1000, "192.168.1.1")
    assert all(14 <= len(f) <= 1514 for f in all_frames)
    right = sum(with_checksums(f) == f for f in all_frames if f[12:14] == b"\x08\x00")
    assert 300 < right < 900


@pytest.mark.parametrize("layer", [TCP(), UDP(), ICMP()])
def test_checksums_agree_with_scapy(layer: Packet) -> None:
    packet = Ether() / IP(src="1.2.3.4", dst="5.6.7.8") / layer / Raw(b"odd")
    right = bytes(packet)
    packet[IP].chksum = packet[IP].len = packet[2].chksum = 1
    assert with_checksums(bytes(packet)) == right != bytes(packet)


def test_hosts_survive() -> None:
    with netsim.build(netsim.scenario.default()) as network:
        station = Station(network)
        lease(station)
        half = COUNT // 2
        for frame in frames(7, half, "192.168.1.1") + frames(8, half, str(WEB)):
            station.now += 100_000
            network.receive(frame, station.now)
            network.advance(station.now)
        for host in ("192.168.1.1", str(WEB)):
            ping = station.host.ping(IPv4Address(host), station.now)
            station.run(5 * SECOND)
            assert ping.reply_ns is not None


class Damaging(Interface):
    """Sends a damaged copy, with right checksums, in front of every second frame."""

    dice = random.Random(11)

    def advance(self, now: int) -> list[bytes]:
        out = []
        for frame in super().advance(now):
            if self.dice.random() < 0.5:
                out.append(with_checksums(damaged(self.dice, frame, [frame[::-1]])))
            out.append(frame)
        return out


def test_live_connections_survive_damaged_copies() -> None:
    world = netsim.scenario.default()
    with netsim.build(world) as network:
        station = Station(network)
        station.port.__class__ = Damaging
        lease(station)
        for _ in range(150):
            client = SslClient(context(world), "example.com", GET)
            station.host.connect(WEB, 443, client, station.now)
            station.run(SECOND)
        clean = Station(network)
        clean.now = station.now
        client = SslClient(context(world), "example.com", GET)
        clean.host.connect(WEB, 443, client, clean.now)
        clean.run(5 * SECOND)
    assert b"Example Domain" in client.got
    errors = {p.error for p in network.peers}
    assert len(errors) > 3  # the copies did get through to TCP and TLS


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=0, max_size=200))
def test_any_bytes_are_survived(data: bytes) -> None:
    network = netsim.build(netsim.scenario.loads(""))
    network.receive(GATEWAY_MAC + b"\x02\0\0\0\0\1" + data, 0)
    network.receive(data, 0)
    network.advance(SECOND)
    network.close()

"""Nothing that arrives may break a host, and afterwards it still answers."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from station import Station, lease
from test_network import WEB

import netsim
from netsim.fuzz import mutations, with_checksums
from netsim.rto import SECOND

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


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=0, max_size=200))
def test_any_bytes_are_survived(data: bytes) -> None:
    network = netsim.build(netsim.scenario.loads(""))
    network.receive(GATEWAY_MAC + b"\x02\0\0\0\0\1" + data, 0)
    network.receive(data, 0)
    network.advance(SECOND)
    network.close()

"""Headers, fragments and addresses against scapy."""

import random
from ipaddress import IPv4Address, IPv4Network

import pytest
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from scapy.utils import checksum as scapy_checksum

from netsim.errors import WireError
from netsim.link.ethernet import Interface
from netsim.link.switch import Cable, Switch
from netsim.stack import wire
from netsim.stack.host import Host
from netsim.stack.ip import Reassembler, fragments
from netsim.stack.rto import MS, SECOND
from netsim.stack.wire import Datagram, Flag, Packet, Segment

A, B = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
HEAD = IP(src=str(A), dst=str(B))


def test_checksum_is_scapys() -> None:
    dice = random.Random(1)
    for size in range(1, 200):
        data = dice.randbytes(size)
        assert wire.checksum(data) == scapy_checksum(data)


def test_segment_is_scapys() -> None:
    ours = Segment(1000, 443, 5, 6, int(Flag.SYN | Flag.ACK), 8192, b"", 1460)
    theirs = TCP(
        sport=1000, dport=443, seq=5, ack=6, flags="SA", window=8192, options=[("MSS", 1460)]
    )
    raw = bytes(HEAD / theirs)
    assert ours.build(A, B) == raw[20:]
    assert Segment.parse(Packet.parse(raw)) == ours


def test_options_before_the_mss_are_skipped() -> None:
    options = [("NOP", None), ("WScale", 7), ("SAckOK", b""), ("MSS", 1400), ("EOL", None)]
    raw = bytes(HEAD / TCP(flags="S", options=options))
    assert Segment.parse(Packet.parse(raw)).mss == 1400


@pytest.mark.parametrize(
    "options", [b"\x02\x01\x05\xb4", b"\x01\x01\x02\x04", b"\x08\xff\0\0", b"\x02"]
)
def test_broken_options_are_ignored(options: bytes) -> None:
    raw = bytes(
        HEAD / TCP(flags="S", dataofs=5 + (len(options) + 3) // 4) / Raw(options + b"\0\0\0")
    )
    assert Segment.parse(Packet.parse(raw)).mss is None


def test_datagram_is_scapys() -> None:
    raw = bytes(HEAD / UDP(sport=1, dport=2) / b"odd")
    ours = Datagram(1, 2, b"odd")
    assert ours.build(A, B) == raw[20:]
    assert Datagram.parse(Packet.parse(raw)) == ours


def test_datagram_without_checksum_is_taken() -> None:
    raw = bytes(HEAD / UDP(sport=1, dport=2, chksum=0) / b"x")
    assert Datagram.parse(Packet.parse(raw)).payload == b"x"


@pytest.mark.parametrize("layer", [UDP(sport=1, dport=2, chksum=7), TCP(chksum=7)])
def test_wrong_checksums_are_refused(layer: UDP | TCP) -> None:
    packet = Packet.parse(bytes(HEAD / layer / b"data"))
    with pytest.raises(WireError, match="checksum"):
        (Datagram if packet.protocol == wire.UDP else Segment).parse(packet)


@pytest.mark.parametrize(
    "change", [{"version": 6}, {"ihl": 3}, {"len": 10}, {"len": 999}, {"chksum": 1}]
)
def test_wrong_ip_headers_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(WireError):
        Packet.parse(bytes(IP(src=str(A), dst=str(B), **change) / b"data"))


def test_fragments_of_scapy_come_together_in_any_order() -> None:
    data = random.Random(2).randbytes(4000)
    parts = [Packet.parse(bytes(p)) for p in fragment(HEAD / UDP() / data, 600)]
    random.Random(3).shuffle(parts)
    reassembler = Reassembler()
    done = [whole for p in parts if (whole := reassembler.add(p, 0))]
    assert [Datagram.parse(whole).payload for whole in done] == [data]


def test_incomplete_fragments_are_forgotten() -> None:
    first, second = fragments(Packet(A, B, 17, bytes(2000)))
    reassembler = Reassembler()
    assert reassembler.add(first, 0) is None
    assert reassembler.add(second, 31 * SECOND) is None


def test_own_fragments_fit_and_are_scapys() -> None:
    ours = list(fragments(Packet(A, B, 17, bytes(4000), identification=9)))
    theirs = fragment(IP(src=str(A), dst=str(B), id=9, proto=17) / Raw(bytes(4000)), 1480)
    assert [p.build() for p in ours] == [bytes(p) for p in theirs]
    assert list(fragments(Packet(A, B, 17, bytes(2000), dont_fragment=True))) == []


def card(mac: bytes, address: IPv4Address, *more: Host) -> Interface:
    subnet = IPv4Network("10.0.0.0/24")
    return Interface(mac, subnet, B, [Host("host", address, 1), *more])


def test_arp_is_answered_and_asked() -> None:
    port = card(b"\x02\0\0\0\0\1", A)
    request = Ether(src="02:00:00:00:00:02", dst="ff:ff:ff:ff:ff:ff") / ARP(
        op=1, hwsrc="02:00:00:00:00:02", psrc=str(B), pdst=str(A)
    )
    port.receive(bytes(request), 0)
    [reply] = map(Ether, port.advance(0))
    assert (reply.dst, reply[ARP].op, reply[ARP].hwsrc) == ("02:00:00:00:00:02", 2, reply.src)
    assert (reply[ARP].psrc, reply[ARP].pdst) == (str(A), str(B))


def test_arp_asks_three_times_and_gives_up() -> None:
    host = Host("host", A, 1)
    port = Interface(b"\x02\0\0\0\0\1", IPv4Network("10.0.0.0/24"), B, [host])
    host.ping(IPv4Address("10.0.0.77"), 0)
    asked = []
    deadline = port.next_deadline()
    while deadline is not None:
        asked += [(deadline, Ether(f)[ARP].pdst) for f in port.advance(deadline)]
        deadline = port.next_deadline()
    assert asked == [(s * SECOND, "10.0.0.77") for s in range(3)]


def test_gateway_forwards_with_one_hop_less() -> None:
    far = Host("far", IPv4Address("8.8.8.8"), 1)
    router = card(b"\x02\0\0\0\0\1", B, far)
    ether = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01")
    echo = IP(src=str(A), dst="8.8.8.8", ttl=1, proto=1) / b"\x08\0\xf7\xff\0\0\0\0"
    learn = ARP(op=2, hwsrc="02:00:00:00:00:02", psrc=str(A), pdst=str(B))
    router.receive(bytes(ether / learn), 0)
    router.receive(bytes(ether / echo), 0)
    [exceeded] = map(Ether, router.advance(0))
    assert (exceeded[IP].src, exceeded["ICMP"].type) == (str(B), 11)
    echo.ttl = 2
    router.receive(bytes(ether / echo), 0)
    [reply] = map(Ether, router.advance(0))
    assert (reply[IP].src, reply[IP].ttl, reply["ICMP"].type) == ("8.8.8.8", 63, 0)


def test_switch_learns_and_takes_its_time() -> None:
    switch = Switch(Cable(100, 5000))
    for port in "abc":
        switch.attach(port)
    a, b = b"\x02\0\0\0\0\x0a", b"\x02\0\0\0\0\x0b"
    switch.send("a", b + a + bytes(88), 0)
    # 100 bytes, 24 of overhead, 80 ns each; two cables; 5 us on each.
    arrival = 2 * (124 * 80 + 5000)
    assert switch.due(arrival - 1) == []
    assert [port for port, _ in switch.due(arrival)] == ["b", "c"]  # flooded
    switch.send("b", a + b + bytes(88), MS)
    assert [port for port, _ in switch.due(2 * MS)] == ["a"]  # learned


def test_switch_queues_what_meets_on_a_cable() -> None:
    switch = Switch(Cable(100, 0))
    for port in "ab":
        switch.attach(port)
    frame = b"\xff" * 6 + b"\x02\0\0\0\0\x0a" + bytes(1488)
    for _ in range(3):
        switch.send("a", frame, 0)
    times = []
    while (deadline := switch.next_deadline()) is not None:
        times += [deadline for _ in switch.due(deadline)]
    assert times == [n * (1500 + 24) * 80 for n in (2, 3, 4)]

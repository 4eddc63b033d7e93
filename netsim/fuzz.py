"""Random and mutated frames, the same for the same seed: against hosts and cameras."""

import random
from collections.abc import Iterator
from ipaddress import IPv4Address

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.ntp import NTPHeader
from scapy.packet import Packet, Raw

from netsim.stack import wire

_LONGEST = 1514
_SOURCE_MAC = "02:00:5e:00:00:01"
_NASTY = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
_CHECKSUM_AT = {wire.ICMP: 2, wire.TCP: 16, wire.UDP: 6}


def mutations(
    seed: int, count: int, *, target_mac: bytes, target: str, source: str
) -> Iterator[bytes]:
    """`count` frames to a station: valid ones of all kinds, damaged in all ways, and noise.

    `target_mac` and `target` are the victim's addresses, `source` is an address in its
    network. Half of the damaged frames get right checksums, to pass the first check.
    """
    dice = random.Random(f"fuzz/{seed}")
    models = [bytes(p) for p in _models(target_mac.hex(":"), target, source)]
    for _ in range(count):
        choice = dice.random()
        if choice < 0.1:
            frame = _noise(dice, target_mac)
        else:
            frame = damaged(dice, dice.choice(models), models)
            if choice < 0.55:
                frame = with_checksums(frame)
        yield frame[:_LONGEST].ljust(14, b"\0")


def _models(mac: str, target: str, source: str) -> Iterator[Packet]:
    """Valid frames, a few of each protocol that a station may meet."""
    ether = Ether(src=_SOURCE_MAC, dst=mac)
    everyone = Ether(src=_SOURCE_MAC, dst="ff:ff:ff:ff:ff:ff")
    ip = IP(src=source, dst=target)
    for op in (1, 2):
        yield everyone / ARP(op=op, hwsrc=_SOURCE_MAC, psrc=source, hwdst=mac, pdst=target)
    yield ether / ip / ICMP(type=8, id=1, seq=1) / Raw(bytes(range(64)))
    yield ether / ip / ICMP(type=3, code=3) / IP(src=target, dst=source) / UDP()
    yield ether / ip / ICMP(type=5, gw=source) / IP(src=target, dst=source) / TCP()
    for offset, more in ((0, 1), (2, 0), (8189, 1)):
        part = IP(src=source, dst=target, id=77, frag=offset, flags=more, proto=17)
        yield ether / part / Raw(bytes(16))
    options = IP(src=source, dst=target, options=[("NOP")] * 3)
    yield ether / options / UDP(sport=9, dport=7) / Raw(b"echo")
    yield from (ether / ip / udp for udp in _datagrams(target))
    for flags in ("S", "A", "PA", "FA", "R", "SA", "SF", ""):
        for port in (80, 443, 8443, 49153):
            head = TCP(sport=port, dport=443, flags=flags, seq=1, ack=1, options=[("MSS", 1460)])
            yield ether / ip / head / Raw(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03")
    yield ether / Dot1Q(vlan=1) / ip / ICMP()
    yield ether / Raw(b"\x60" + bytes(39))  # IPv6 in all but type


def _datagrams(target: str) -> Iterator[Packet]:
    query = DNS(id=1, qd=[DNSQR(qname="example.com")])
    yield UDP(sport=5353, dport=53) / query
    answers = [DNSRR(rrname="example.com", type="A", rdata=target)]
    yield UDP(sport=53, dport=5353) / DNS(id=1, qr=1, qd=query.qd, an=answers)
    loop = bytes(query)[:12] + b"\xc0\x0c\x00\x01\x00\x01"  # a name that points to itself
    yield UDP(sport=5353, dport=53) / Raw(loop)
    for kind in range(1, 9):
        options = [("message-type", kind), ("requested_addr", target), "end"]
        message = BOOTP(op=1 + kind % 2, chaddr=b"\x02\0\0\0\0\1", xid=1) / DHCP(options=options)
        yield UDP(sport=68, dport=67) / message
        yield UDP(sport=67, dport=68) / message
    for mode in (3, 4):
        yield UDP(sport=123, dport=123) / NTPHeader(version=4, mode=mode, orig=1, sent=1, recv=1)
    yield UDP(sport=1, dport=9) / Raw(bytes(1400))


def _noise(dice: random.Random, mac: bytes) -> bytes:
    """Nothing but noise, from the start or behind a plausible header."""
    size = dice.choice((14, 20, 60, 200, _LONGEST))
    data = dice.randbytes(dice.randrange(14, size + 1))
    kind = dice.choice((b"\x08\x00", b"\x08\x06", b"\x86\xdd", b"\x81\x00"))
    return data if dice.random() < 0.2 else mac + data[6:12] + kind + data[14:]


def damaged(dice: random.Random, frame: bytes, others: list[bytes]) -> bytes:
    """A frame changed in one to four ways; `others` lend their ends to it."""
    data = bytearray(frame)
    for _ in range(dice.randrange(1, 5)):
        at = dice.randrange(14, max(15, len(data)))
        way = dice.randrange(6)
        if at >= len(data) or way == 0:
            data += dice.randbytes(dice.randrange(1, 64))
        elif way == 1:
            data[at] ^= 1 << dice.randrange(8)
        elif way == 2:
            data[at] = dice.choice(_NASTY)
        elif way == 3:
            del data[at:]
        elif way == 4:
            data[at : at + 4] = dice.randbytes(4)
        else:  # the rest of another frame
            data[at:] = dice.choice(others)[at:]
    return bytes(data)


def with_checksums(frame: bytes) -> bytes:
    """An IPv4 frame with total length and checksums made right, as far as it has them."""
    header = (frame[14] & 15) * 4 if len(frame) >= 34 else 0
    if frame[12:14] != b"\x08\x00" or header < 20 or len(frame) < 14 + header:
        return frame
    head = bytearray(frame[14 : 14 + header])
    body = bytearray(frame[14 + header :])
    head[2:4] = (header + len(body)).to_bytes(2, "big")
    head[10:12] = b"\0\0"
    head[10:12] = wire.checksum(bytes(head)).to_bytes(2, "big")
    protocol, at = head[9], _CHECKSUM_AT.get(head[9])
    if at is not None and len(body) >= at + 2:
        body[at : at + 2] = b"\0\0"
        source, target = IPv4Address(bytes(head[12:16])), IPv4Address(bytes(head[16:20]))
        pseudo = wire.pseudo_header(source, target, protocol, len(body))
        data = bytes(body) if protocol == wire.ICMP else pseudo + bytes(body)
        body[at : at + 2] = wire.checksum(data).to_bytes(2, "big")
    return frame[:14] + bytes(head) + bytes(body)

"""The frames of a capture, in the form that conversations are read from: IPv4 with two ends."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

from scapy.contrib import lldp  # noqa: F401 - these bind what carries IPv4, or does not
from scapy.layers import dot11, ppp  # noqa: F401
from scapy.layers.inet import IP, TCP, UDP

DEVICE, PEER = "192.168.1.100", "192.168.1.2"  # where a loopback has one address for both
LARGEST = 1 << 28  # bytes, of what gzip holds


def opened(content: bytes) -> BytesIO:
    """A capture's bytes, out of gzip if they are in it; ValueError where that is too large."""
    if content[:2] != b"\x1f\x8b":  # RFC 1952
        return BytesIO(content)
    with gzip.open(BytesIO(content)) as file:
        plain = file.read(LARGEST + 1)
    if len(plain) > LARGEST:
        raise ValueError(f"more than {LARGEST >> 20} MB out of gzip")
    return BytesIO(plain)


def apart(packets: Iterable[Any], lost: list[str]) -> Iterator[Any]:
    """Both ends of what has one address, as over a loopback, with an address each."""
    servers = set[tuple[str, int]]()
    for packet in packets:
        if packet.haslayer(IP) and packet[IP].src == packet[IP].dst:
            ip = packet[IP]
            end = packet.getlayer(TCP) or packet.getlayer(UDP)
            if end is not None:
                address, asks = ip.src, not (packet.haslayer(TCP) and end.flags.A)
                if asks and (address, end.sport) not in servers:
                    servers.add((address, end.dport))
                called = (address, end.dport) in servers
                ip.src, ip.dst = (DEVICE, PEER) if called else (PEER, DEVICE)
                told = f"{address}, which is both ends: {DEVICE} stands for who calls, {PEER} for "
                if told + "who is called" not in lost:
                    lost.append(told + "who is called")
        yield packet


#: scapy's layers that a person knows by another name
KNOWN = {
    "IPv6": "IPv6", "ARP": "ARP", "Dot11": "Wi-Fi (encrypted, or its management)",
    "PPPoED": "PPPoE's discovery", "PPPoE": "PPPoE", "LLDPDU": "LLDP",
}  # fmt: skip


def kind(packet: Any) -> str:
    """What a frame holds besides IPv4, for a person who wonders why it is not read; "": IPv4."""
    if packet.haslayer(IP):
        return ""
    names = [layer.__name__ for layer in packet.layers()]
    return next((KNOWN[name] for name in names if name in KNOWN), (names or ["?"])[0])


def told(kinds: Counter[str]) -> str:
    """The most frequent ones."""
    found = Counter({kind: number for kind, number in kinds.items() if kind})
    return ", ".join(f"{number} of {kind}" for kind, number in found.most_common(3))

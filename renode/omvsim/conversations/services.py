"""What a capture shows of DHCP, DNS and NTP."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import IP, UDP

NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970
A = 1
OFFER, ACK, NAK = 2, 5, 6


@dataclass
class Services:
    """Facts; `delays` are the shortest waits for answers, by the term that matches them."""

    leases: dict[str, dict[str, Any]] = field(default_factory=dict)  # address to options
    zone: dict[str, str] = field(default_factory=dict)  # asked name to its first address
    names: dict[str, str] = field(default_factory=dict)  # address to asked name
    asked_dns: set[str] = field(default_factory=set)
    answered_dns: set[str] = field(default_factory=set)
    ntp: dict[str, float] = field(default_factory=dict)  # address to offset in seconds
    asked_ntp: set[str] = field(default_factory=set)
    delays: dict[str, float] = field(default_factory=dict)
    oddities: list[str] = field(default_factory=list)

    def answered(self, match: str, seconds: float) -> None:
        """An answer took so long."""
        self.delays[match] = min(seconds, self.delays.get(match, seconds))


def find(packets: Iterable[Any]) -> Services:
    """Of all hosts in the capture."""
    finder = Finder()
    for packet in packets:
        finder.add(packet)
    return finder.found


class Finder:
    """The same, frame by frame."""

    def __init__(self) -> None:
        self.found = Services()
        self._questions: dict[Any, float] = {}

    def add(self, packet: Any) -> None:
        """The next frame, as scapy dissects it."""
        if not (packet.haslayer(IP) and packet.haslayer(UDP)):
            return
        found, questions, now, udp = self.found, self._questions, float(packet.time), packet[UDP]
        if packet.haslayer(DHCP):
            _dhcp(found, packet, now, questions)
        elif packet.haslayer(DNS) and 53 in (udp.sport, udp.dport):
            _dns(found, packet[DNS], now, questions)
        elif 123 in (udp.sport, udp.dport) and len(bytes(udp.payload)) >= 48:
            ends = packet[IP].src, packet[IP].dst
            _ntp(found, bytes(udp.payload), ends, now, questions)


def _dhcp(found: Services, packet: Any, now: float, questions: dict[Any, float]) -> None:
    bootp = packet[BOOTP]
    options = {o[0]: o[1] for o in packet[DHCP].options if isinstance(o, tuple) and len(o) > 1}
    key = "dhcp", bootp.xid
    if bootp.op == 1:
        questions[key] = now
        return
    if key in questions:
        found.answered("UDP.sport == 67", now - questions.pop(key))
    if options.get("message-type") == ACK and bootp.yiaddr != "0.0.0.0":
        found.leases[bootp.yiaddr] = options
    elif options.get("message-type") == NAK:
        found.oddities.append("a DHCP server's NAK")


def _dns(found: Services, dns: Any, now: float, questions: dict[Any, float]) -> None:
    if not (dns.qd and isinstance(dns.qd[0], DNSQR)):
        return
    name = dns.qd[0].qname.decode("ascii", "replace").rstrip(".")
    key = "dns", dns.id, name
    if not dns.qr:
        found.asked_dns.add(name)
        questions.setdefault(key, now)
        return
    found.answered_dns.add(name)
    if key in questions:
        found.answered("UDP.sport == 53", now - questions.pop(key))
    if dns.rcode not in (0, 3) or dns.tc:
        found.oddities.append(f"DNS: answer code {dns.rcode}, truncated: {bool(dns.tc)}: {name}")
    for answer in dns.an or []:
        if isinstance(answer, DNSRR) and answer.type == A:
            found.zone.setdefault(name, str(answer.rdata))
            found.names.setdefault(str(answer.rdata), name)


def _ntp(
    found: Services, data: bytes, ends: tuple[str, str], now: float, questions: dict[Any, float]
) -> None:
    mode = data[0] & 7
    if mode == 3:
        found.asked_ntp.add(ends[1])
        questions["ntp", *ends] = now
    elif mode == 4 and (asked := questions.pop(("ntp", *ends[::-1]), None)) is not None:
        told = int.from_bytes(data[40:48], "big") / (1 << 32) - NTP_EPOCH
        if told < 0:
            told += 1 << 32  # the era that begins in 2036 (RFC 5905 section 6)
        found.ntp.setdefault(ends[0], told - (now + asked) / 2)
        found.answered(f"IP.src == {ends[0]}", now - asked)

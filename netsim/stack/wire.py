"""IPv4, UDP and TCP headers: RFC 791, RFC 768, RFC 9293 section 3.1.

Every bulk byte passes here, so these headers are packed by struct; scapy, a hundred
times slower, builds and dissects everything else (ARP, ICMP, DHCP, DNS, NTP).
"""

import struct
from dataclasses import dataclass
from enum import IntFlag
from ipaddress import IPv4Address

from netsim.errors import WireError

ICMP, TCP, UDP = 1, 6, 17
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_TCP = struct.Struct("!HHIIBBHHH")
_PSEUDO = struct.Struct("!4s4sBBH")


def checksum(data: bytes) -> int:
    """Internet checksum (RFC 1071) of `data`; 0 when data holds its own valid checksum."""
    if len(data) % 2:
        data += b"\0"
    # A sum with end-around carry is a remainder modulo 0xFFFF: one big-integer division.
    return -int.from_bytes(data, "big") % 0xFFFF


def pseudo_header(
    source: IPv4Address, destination: IPv4Address, protocol: int, length: int
) -> bytes:
    """What TCP and UDP checksums cover besides the segment (RFC 9293 section 3.1)."""
    return _PSEUDO.pack(source.packed, destination.packed, 0, protocol, length)


@dataclass(frozen=True, slots=True)
class Packet:
    """An IPv4 packet; `offset` is the fragment offset in bytes. Options are dropped."""

    source: IPv4Address
    destination: IPv4Address
    protocol: int
    payload: bytes
    ttl: int = 64
    identification: int = 0
    dont_fragment: bool = False
    more_fragments: bool = False
    offset: int = 0

    @classmethod
    def parse(cls, data: bytes) -> "Packet":
        """Dissect; raises WireError on a bad version, length or checksum."""
        if len(data) < _IPV4.size:
            raise WireError("IPv4 header is cut")
        first, _, total, ident, flags, ttl, protocol, _, source, target = _IPV4.unpack_from(data)
        header = (first & 15) * 4
        if first >> 4 != 4 or header < 20 or not header <= total <= len(data):
            raise WireError("IPv4 version or length")
        if checksum(data[:header]):
            raise WireError("IPv4 checksum")
        return cls(
            IPv4Address(source),
            IPv4Address(target),
            protocol,
            data[header:total],
            ttl,
            ident,
            bool(flags & 0x4000),
            bool(flags & 0x2000),
            (flags & 0x1FFF) * 8,
        )

    def build(self) -> bytes:
        """The packet's bytes, checksum included."""
        flags = self.dont_fragment << 14 | self.more_fragments << 13 | self.offset // 8
        header = _IPV4.pack(
            0x45,
            0,
            20 + len(self.payload),
            self.identification,
            flags,
            self.ttl,
            self.protocol,
            0,
            self.source.packed,
            self.destination.packed,
        )
        return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + self.payload


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram."""

    source_port: int
    destination_port: int
    payload: bytes

    @classmethod
    def parse(cls, packet: Packet) -> "Datagram":
        """Dissect the payload of `packet`; raises WireError."""
        data = packet.payload
        if len(data) < _UDP.size:
            raise WireError("UDP header is cut")
        source, target, length, check = _UDP.unpack_from(data)
        if not _UDP.size <= length <= len(data):
            raise WireError("UDP length")
        data = data[:length]
        pseudo = pseudo_header(packet.source, packet.destination, UDP, length)
        if check and checksum(pseudo + data):
            raise WireError("UDP checksum")
        return cls(source, target, data[_UDP.size :])

    def build(self, source: IPv4Address, destination: IPv4Address) -> bytes:
        """The datagram's bytes for a packet between these addresses."""
        length = _UDP.size + len(self.payload)
        data = _UDP.pack(self.source_port, self.destination_port, length, 0) + self.payload
        # 0 means "no checksum", so a computed 0 goes out as 0xFFFF.
        check = checksum(pseudo_header(source, destination, UDP, length) + data) or 0xFFFF
        return data[:6] + check.to_bytes(2, "big") + data[8:]


class Flag(IntFlag):
    """TCP control bits."""

    FIN = 1
    SYN = 2
    RST = 4
    PSH = 8
    ACK = 16


@dataclass(frozen=True, slots=True)
class Segment:
    """A TCP segment; of the options only the maximum segment size is kept."""

    source_port: int
    destination_port: int
    seq: int
    ack: int
    flags: int
    window: int
    payload: bytes = b""
    mss: int | None = None

    @property
    def length(self) -> int:
        """Sequence space that the segment takes: SEG.LEN."""
        return len(self.payload) + bool(self.flags & Flag.SYN) + bool(self.flags & Flag.FIN)

    @classmethod
    def parse(cls, packet: Packet) -> "Segment":
        """Dissect the payload of `packet`; raises WireError."""
        data = packet.payload
        if len(data) < _TCP.size:
            raise WireError("TCP header is cut")
        source, target, seq, ack, offset, flags, window, _, _ = _TCP.unpack_from(data)
        header = (offset >> 4) * 4
        if not _TCP.size <= header <= len(data):
            raise WireError("TCP data offset")
        if checksum(pseudo_header(packet.source, packet.destination, TCP, len(data)) + data):
            raise WireError("TCP checksum")
        mss = _find_mss(data[_TCP.size : header])
        return cls(source, target, seq, ack, flags & 0x1F, window, data[header:], mss)

    def build(self, source: IPv4Address, destination: IPv4Address) -> bytes:
        """The segment's bytes for a packet between these addresses."""
        options = b"" if self.mss is None else struct.pack("!BBH", 2, 4, self.mss)
        header = _TCP.pack(
            self.source_port,
            self.destination_port,
            self.seq,
            self.ack,
            (_TCP.size + len(options)) // 4 << 4,
            self.flags,
            self.window,
            0,
            0,
        )
        data = header + options + self.payload
        check = checksum(pseudo_header(source, destination, TCP, len(data)) + data)
        return data[:16] + check.to_bytes(2, "big") + data[18:]


def _find_mss(options: bytes) -> int | None:
    """Maximum segment size among `options` (RFC 9293 section 3.2); bad options end the search."""
    at = 0
    while at < len(options) and options[at] != 0:
        if options[at] == 1:
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if size < 2 or at + size > len(options):
            return None
        if options[at] == 2 and size == 4:
            return int.from_bytes(options[at + 2 : at + 4], "big")
        at += size
    return None

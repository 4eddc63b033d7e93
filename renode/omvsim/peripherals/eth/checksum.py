"""The checksum offload engine of the Ethernet MAC (RM0433 58.5.9): insert and check."""

from __future__ import annotations

import struct
from dataclasses import dataclass

IPV4, IPV6, VLAN = 0x0800, 0x86DD, 0x8100
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
#: where the checksum stands in each protocol's header
CHECKSUM_AT = {ICMP: 2, TCP: 16, UDP: 6, ICMP6: 2}
#: RDES1.PT
PAYLOAD_TYPE = {UDP: 1, TCP: 2, ICMP: 3, ICMP6: 3}
EXTENSIONS = (0, 43, 60)  # hop-by-hop, routing, destination options

#: bits of RDES1
IPHE, IS_IPV4, IS_IPV6, IPCB, IPCE = (1 << n for n in range(3, 8))


def ones_sum(data: bytes | bytearray | memoryview, start: int = 0) -> int:
    """Internet checksum's sum, folded to 16 bits (RFC 1071)."""
    if len(data) % 2:
        data = bytes(data) + b"\0"
    total: int = start + sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@dataclass(frozen=True)
class Packet:
    """Where the IP packet of a frame and its payload are; offsets in bytes."""

    version: int
    header: int
    payload: int
    end: int
    protocol: int
    fragment: bool
    pseudo: int  # sum of the pseudo header


def dissect(frame: bytes | bytearray) -> Packet | None:
    """The IP packet in an Ethernet frame; None if there is none, or a malformed one."""
    at, kind = 14, int.from_bytes(frame[12:14], "big")
    if kind == VLAN:
        at, kind = 18, int.from_bytes(frame[16:18], "big")
    if kind == IPV4 and len(frame) >= at + 20 and frame[at] >> 4 == 4:
        payload = at + (frame[at] & 0xF) * 4
        end = at + int.from_bytes(frame[at + 2 : at + 4], "big")
        if not at + 20 <= payload <= end <= len(frame):
            return None
        fragment = bool(int.from_bytes(frame[at + 6 : at + 8], "big") & 0x3FFF)
        protocol = frame[at + 9]
        pseudo = ones_sum(frame[at + 12 : at + 20], protocol + end - payload)
        return Packet(4, at, payload, end, protocol, fragment, pseudo)
    if kind == IPV6 and len(frame) >= at + 40 and frame[at] >> 4 == 6:
        payload, end = at + 40, at + 40 + int.from_bytes(frame[at + 4 : at + 6], "big")
        protocol = frame[at + 6]
        while protocol in EXTENSIONS and payload + 8 <= end <= len(frame):
            protocol, payload = frame[payload], payload + 8 + frame[payload + 1] * 8
        if not payload <= end <= len(frame):
            return None
        pseudo = ones_sum(frame[at + 8 : at + 40], protocol + end - payload)
        return Packet(6, at, payload, end, protocol, protocol == 44, pseudo)
    return None


def insert(frame: bytearray, control: int) -> None:
    """Fill in what TDES3.CIC asks for: 1 IP header, 2 also payload, whose field holds the pseudo
    header's sum already, 3 with the pseudo header."""
    packet = dissect(frame)
    if packet is None or not control:
        return
    if packet.version == 4:
        at = packet.header
        frame[at + 10 : at + 12] = b"\0\0"
        header = ~ones_sum(frame[at : packet.payload]) & 0xFFFF
        frame[at + 10 : at + 12] = header.to_bytes(2, "big")
    where = CHECKSUM_AT.get(packet.protocol)
    if control == 1 or where is None or packet.fragment:
        return
    at = packet.payload + where
    if at + 2 > packet.end:
        return
    pseudo = 0
    if control == 3:
        frame[at : at + 2] = b"\0\0"
        pseudo = 0 if packet.protocol == ICMP else packet.pseudo
    checksum = ~ones_sum(frame[packet.payload : packet.end], pseudo) & 0xFFFF
    if packet.protocol == UDP and not checksum:
        checksum = 0xFFFF
    frame[at : at + 2] = checksum.to_bytes(2, "big")


def status(frame: bytes) -> int:
    """RDES1 of a received frame: payload type, IP version, errors, bypass."""
    packet = dissect(frame)
    if packet is None:
        kind = int.from_bytes(frame[12:14], "big")
        return IPHE if kind in (IPV4, IPV6) else 0
    found = IS_IPV4 if packet.version == 4 else IS_IPV6
    if packet.version == 4 and ones_sum(frame[packet.header : packet.payload]) != 0xFFFF:
        found |= IPHE
    where = CHECKSUM_AT.get(packet.protocol)
    if packet.fragment or where is None or packet.payload + where + 2 > packet.end:
        return found | IPCB
    found |= PAYLOAD_TYPE[packet.protocol]
    at = packet.payload + where
    if packet.protocol == UDP and frame[at : at + 2] == b"\0\0":
        return found  # the sender made none
    pseudo = 0 if packet.protocol == ICMP else packet.pseudo
    if ones_sum(frame[packet.payload : packet.end], pseudo) != 0xFFFF:
        found |= IPCE
    return found

"""IPv4 fragments: RFC 791 section 3.2, both ways."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from netsim.stack.rto import SECOND
from netsim.stack.wire import Packet

MTU = 1500
_TIMEOUT = 30 * SECOND
_MOST_DATAGRAMS = 16
_LARGEST = 0xFFFF

_Key = tuple[IPv4Address, IPv4Address, int, int]


def fragments(packet: Packet, mtu: int = MTU) -> Iterator[Packet]:
    """`packet`, cut to fit `mtu`; one that must not be cut and does not fit is dropped."""
    room = (mtu - 20) // 8 * 8
    size = len(packet.payload)
    if size <= mtu - 20:
        yield packet
    elif not packet.dont_fragment:
        for at in range(0, size, room):
            yield replace(
                packet,
                payload=packet.payload[at : at + room],
                offset=packet.offset + at,
                more_fragments=packet.more_fragments or at + room < size,
            )


class Reassembler:
    """Puts fragments together again; forgets what stays incomplete for 30 s."""

    def __init__(self) -> None:
        self._parts: dict[_Key, tuple[int, dict[int, Packet]]] = {}

    def add(self, packet: Packet, now: int) -> Packet | None:
        """The whole packet, once `packet` completes it (or was whole already)."""
        if not packet.more_fragments and not packet.offset:
            return packet
        key = (packet.source, packet.destination, packet.protocol, packet.identification)
        self._forget(now)
        _, parts = self._parts.setdefault(key, (now + _TIMEOUT, {}))
        parts[packet.offset] = packet
        payload = _join(parts)
        if payload is None:
            return None
        del self._parts[key]
        if len(payload) > _LARGEST - 20:
            return None
        return replace(packet, payload=payload, offset=0, more_fragments=False)

    def _forget(self, now: int) -> None:
        for key in [k for k, (deadline, _) in self._parts.items() if deadline <= now]:
            del self._parts[key]
        while len(self._parts) >= _MOST_DATAGRAMS:
            del self._parts[next(iter(self._parts))]


def _join(parts: dict[int, Packet]) -> bytes | None:
    """The payload of all parts, or None while one is missing. Later offsets win overlaps."""
    payload = b""
    for offset, part in sorted(parts.items()):
        if offset > len(payload):
            return None
        payload = payload[:offset] + part.payload
        if not part.more_fragments:
            return payload
    return None

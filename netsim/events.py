"""The conversation on the camera's cable, as a person would tell it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dns import DNS
from scapy.layers.ntp import NTPHeader

from netsim.dissect import dissect, find
from netsim.errors import WireError
from netsim.stack import wire
from netsim.stack.arp import REQUEST, ArpMessage
from netsim.stack.host import BROADCAST
from netsim.stack.sequence import Reassembly, before, plus
from netsim.stack.wire import Datagram, Flag, Packet, Segment
from netsim.tls.records import Records, dtls_records

_DHCP = ["", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM"]
_ICMP = {
    (0, 0): "echo reply",
    (8, 0): "echo request",
    (3, 1): "host unreachable",
    (3, 2): "protocol unreachable",
    (3, 3): "port unreachable",
    (11, 0): "time exceeded",
}
_PORTS = {53: "DNS", 67: "DHCP", 68: "DHCP", 123: "NTP"}


@dataclass(frozen=True)
class Event:
    """A step of the conversation: at `time` ns, `source` to `target` ("*": everybody)."""

    time: int
    source: str
    target: str
    protocol: str
    text: str
    frame: int = 0  # which of the cable's frames tells it: Wireshark's number
    mark: str = ""  # what the cable's faults and rules have done to that frame

    def __str__(self) -> str:
        return f"{self.time / 1e9:.6f} s {self.source} > {self.target}: {self.text}"


@dataclass
class _Direction:
    """One direction of a TCP connection."""

    expected: int | None = None  # the next sequence number
    early: Reassembly = field(default_factory=Reassembly)
    records: Records = field(default_factory=Records)
    talking: bool = False  # the last data went this way: one event tells a whole run


class Observer:
    """Tells events from frames. `names` maps addresses to the names of hosts."""

    def __init__(
        self, names: Mapping[IPv4Address, str], tell: Callable[[Event], None], camera: str
    ) -> None:
        self._names, self._tell, self._camera = names, tell, camera
        self._directions: dict[tuple[IPv4Address, int, IPv4Address, int], _Direction] = {}
        self._frames, self._mark = 0, ""

    def frame(self, frame: bytes, now: int, from_camera: bool, mark: str = "") -> None:
        """A frame on the cable."""
        self._frames += 1
        self._mark = mark
        kind = frame[12:14]
        if kind == b"\x08\x06":
            self._arp(frame, now, from_camera)
        elif kind == b"\x08\x00":
            try:
                packet = Packet.parse(frame[14:])
                ends = self._ends(packet, from_camera)
                for protocol, text in self._packet(packet):
                    self._tell(Event(now, *ends, protocol, text, self._frames, self._mark))
            except WireError as error:
                ends = self.ends_of(b"", from_camera)
                text = f"damaged packet: {error}"
                self._tell(Event(now, *ends, "IPv4", text, self._frames, self._mark))

    def ends_of(self, frame: bytes, from_camera: bool) -> tuple[str, str]:
        """Source and target of any frame; "*" where that is not told."""
        if frame[12:14] == b"\x08\x00":
            with suppress(WireError):
                return self._ends(Packet.parse(frame[14:]), from_camera)
        return (self._camera, "*") if from_camera else ("*", self._camera)

    def _name(self, address: IPv4Address) -> str:
        return self._names.get(address, str(address))

    def _ends(self, packet: Packet, from_camera: bool) -> tuple[str, str]:
        if not from_camera:
            return self._name(packet.source), self._camera
        far = packet.destination
        everybody = far == BROADCAST or far.is_multicast
        return self._camera, "*" if everybody else self._name(far)

    def _arp(self, frame: bytes, now: int, from_camera: bool) -> None:
        message = ArpMessage.parse(frame[14:])
        if message is None:
            return
        if message.op == REQUEST:
            text = f"ARP who has {message.target}?"
            ends = (self._camera if from_camera else self._name(message.sender), "*")
        else:
            text = f"ARP {message.sender} is at {message.sender_mac.hex(':')}"
            far = self._name(message.target if from_camera else message.sender)
            ends = (self._camera, far) if from_camera else (far, self._camera)
        self._tell(Event(now, *ends, "ARP", text, self._frames, self._mark))

    def _packet(self, packet: Packet) -> Iterator[tuple[str, str]]:
        if packet.offset or packet.more_fragments:
            yield "IPv4", f"fragment at {packet.offset}, {len(packet.payload)} bytes"
        elif packet.protocol == wire.TCP:
            yield from self._segment(packet, Segment.parse(packet))
        elif packet.protocol == wire.UDP:
            yield _datagram(Datagram.parse(packet))
        elif packet.protocol == wire.ICMP and len(packet.payload) >= 8:
            kind, code = packet.payload[0], packet.payload[1]
            yield "ICMP", f"ICMP {_ICMP.get((kind, code), f'type {kind} code {code}')}"

    def _segment(self, packet: Packet, segment: Segment) -> Iterator[tuple[str, str]]:
        key = (packet.source, segment.source_port, packet.destination, segment.destination_port)
        ports = f"{segment.source_port} > {segment.destination_port}"
        if segment.flags & Flag.SYN:
            self._directions[key] = _Direction(plus(segment.seq, 1))
            yield "TCP", f"TCP {'SYN ACK' if segment.flags & Flag.ACK else 'SYN'} {ports}"
            return
        if segment.flags & Flag.RST:
            yield "TCP", f"TCP RST {ports}"
            return
        direction = self._directions.setdefault(key, _Direction())
        if direction.expected is None:
            direction.expected = segment.seq
        if segment.length and before(segment.seq, direction.expected):
            yield "TCP", f"TCP retransmission {ports}"
        if segment.payload:
            direction.early.add(segment.seq, segment.payload)
            data = direction.early.take(direction.expected)
            direction.expected = plus(direction.expected, len(data))
            yield from self._data(key, direction, data)
        if segment.flags & Flag.FIN:
            yield "TCP", f"TCP FIN {ports}"

    def _data(
        self, key: tuple[IPv4Address, int, IPv4Address, int], direction: _Direction, data: bytes
    ) -> Iterator[tuple[str, str]]:
        told = list(direction.records.feed(data))
        if direction.records.is_tls is not False:
            yield from (("TLS", text) for text in told)
            return
        other = self._directions.get((*key[2:], *key[:2]))
        if other:
            other.talking = False
        if data and not direction.talking:
            direction.talking = True
            line = data[:60].split(b"\r\n")[0].split(b"\n")[0]
            words = line.decode("ascii", "replace") if line.isascii() else ""
            yield "TCP", f"TCP data: {words}" if words.isprintable() and words else "TCP data"


def _datagram(datagram: Datagram) -> tuple[str, str]:
    ports = datagram.source_port, datagram.destination_port
    protocol = next((_PORTS[p] for p in ports if p in _PORTS), "UDP")
    text = ""
    if protocol == "DHCP":
        text = _dhcp(datagram.payload)
    elif protocol == "DNS":
        text = _dns(datagram.payload)
    elif protocol == "NTP":
        message = dissect(NTPHeader, datagram.payload[:48])
        if message is not None and len(datagram.payload) >= 48:
            text = {3: "request", 4: "response"}.get(message.mode, "")
    elif records := dtls_records(datagram.payload):
        protocol, text = "DTLS", ", ".join(records)
    if text:
        return protocol, f"{protocol} {text}"
    return "UDP", f"UDP {ports[0]} > {ports[1]}, {len(datagram.payload)} bytes"


@lru_cache(maxsize=64)  # runs of one scenario begin alike, and scapy takes its time
def _dhcp(payload: bytes) -> str:
    message = dissect(BOOTP, payload)
    dhcp = find(message, DHCP)
    options = dhcp.options if dhcp is not None else []
    kinds = (o[1] for o in options if isinstance(o, tuple) and o[0] == "message-type")
    kind = next(kinds, 0)
    name = _DHCP[kind] if kind < len(_DHCP) else ""
    if message is None or not name or message.yiaddr == "0.0.0.0":
        return name
    return f"{name} {message.yiaddr}"


@lru_cache(maxsize=64)
def _dns(payload: bytes) -> str:
    message = dissect(DNS, payload)
    if message is None or len(payload) < 12 or not message.qd:
        return ""
    name = getattr(message.qd[0], "qname", b"")
    if not isinstance(name, bytes):
        return ""
    name = name.decode("ascii", "replace").rstrip(".")
    if not message.qr:
        return f"query {name}"
    if message.rcode:
        return f"{name}: {'no such name' if message.rcode == 3 else f'error {message.rcode}'}"
    answers = [str(r.rdata) for r in message.an or [] if getattr(r, "type", 0) == 1]
    return f"{name} is {', '.join(answers)}" if answers else f"{name}: no address"

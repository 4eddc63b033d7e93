"""A network card on the switch: Ethernet, ARP (RFC 826), and forwarding for a gateway."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address, IPv4Network

from netsim.errors import WireError
from netsim.stack.arp import ETHERTYPE as _ARP
from netsim.stack.arp import REPLY, REQUEST, ArpMessage
from netsim.stack.deadlines import earliest
from netsim.stack.host import BROADCAST, Host, Outgoing
from netsim.stack.rto import SECOND
from netsim.stack.wire import Packet

BROADCAST_MAC = b"\xff" * 6
_IPV4 = 0x0800
_ARP_TRIES = 3
_ARP_RETRY = SECOND
_MOST_QUEUED = 16
_MOST_NEIGHBOURS = 256


@dataclass
class _Resolution:
    """An address being asked for, and the packets that wait for it."""

    deadline: int
    tries: int = 1
    packets: list[Packet] = field(default_factory=list)


class Interface:
    """A port with hosts behind it.

    The first host owns the card's address; any others are reached through it as through
    a router, which costs a hop and `far` ns each way.
    """

    def __init__(
        self,
        mac: bytes,
        subnet: IPv4Network,
        gateway: IPv4Address,
        hosts: Iterable[Host],
        far: int = 0,
    ) -> None:
        self.mac, self.subnet, self.gateway = mac, subnet, gateway
        self._hosts = {host.address: host for host in hosts}
        self._own = next(iter(self._hosts.values()))
        self._own.broadcasts.add(subnet.broadcast_address)
        self._neighbours: dict[IPv4Address, bytes] = {}
        self._asked: dict[IPv4Address, _Resolution] = {}
        self._out: list[bytes] = []
        self._far = far

    def attach(self, host: Host) -> None:
        """Another host behind the card."""
        self._hosts[host.address] = host

    def receive(self, frame: bytes, now: int) -> None:
        """A frame from the switch."""
        if len(frame) < 14 or frame[:6] not in (self.mac, BROADCAST_MAC):
            return
        kind = int.from_bytes(frame[12:14], "big")
        if kind == _ARP:
            self._receive_arp(frame[14:])
        elif kind == _IPV4:
            try:
                packet = Packet.parse(frame[14:])
            except WireError:
                return
            self._receive_packet(packet, now, unicast=frame[:6] == self.mac)

    def advance(self, now: int) -> list[bytes]:
        """Run the hosts; frames for the switch."""
        for host in self._hosts.values():
            for outgoing in host.advance(now):
                self._later(host, now, partial(self._carry, host, outgoing))
        for address, asked in list(self._asked.items()):
            if asked.deadline <= now:
                self._ask_again(address, asked, now)
        out, self._out = self._out, []
        return out

    def next_deadline(self) -> int | None:
        """When `advance` has something to do."""
        if self._out:
            return 0
        hosts = (h.next_deadline() for h in self._hosts.values())
        return earliest(*hosts, *(a.deadline for a in self._asked.values()))

    def _later(self, host: Host, now: int, arrive: Callable[[int], None]) -> None:
        """Now, or when the way to or from `host` is done."""
        if host is self._own or not self._far:
            arrive(now)
        else:
            when = now + self._far
            self._own.call_at(when, partial(arrive, when))

    def _receive_packet(self, packet: Packet, now: int, unicast: bool) -> None:
        if packet.destination in (self._own.address, *self._own.broadcasts):
            self._own.receive(packet, now)
        elif unicast and len(self._hosts) > 1 and packet.destination not in self.subnet:
            self._forward(packet, now)

    def _forward(self, packet: Packet, now: int) -> None:
        self._own.now = max(self._own.now, now)
        if packet.destination.is_multicast or packet.source not in self.subnet:
            return
        host = self._hosts.get(packet.destination)
        if packet.ttl <= 1:
            self._own.time_exceeded(packet)
        elif host is None:
            self._own.unreachable(packet, 1)  # host
        else:
            self._later(host, now, partial(host.receive, replace(packet, ttl=packet.ttl - 1)))

    def _carry(self, host: Host, outgoing: Outgoing, now: int) -> None:
        packet = outgoing.packet
        if host is not self._own:
            packet = replace(packet, ttl=packet.ttl - 1)
        target = packet.destination
        if outgoing.mac is not None:
            self._send_packet(outgoing.mac, packet)
        elif target in (BROADCAST, self.subnet.broadcast_address):
            self._send_packet(BROADCAST_MAC, packet)
        elif near := self._hosts.get(target):
            near.receive(packet, now)
        else:
            hop = target if target in self.subnet else self.gateway
            if hop in self._neighbours:
                self._send_packet(self._neighbours[hop], packet)
            elif hop != self._own.address:  # else: the router knows no way further
                self._ask(hop, packet, now)

    def _send_packet(self, mac: bytes, packet: Packet) -> None:
        self._out.append(mac + self.mac + _IPV4.to_bytes(2, "big") + packet.build())

    # ARP --------------------------------------------------------------------------------

    def _receive_arp(self, data: bytes) -> None:
        message = ArpMessage.parse(data)
        if message is None or message.target != self._own.address:
            return
        mac, sender = message.sender_mac, message.sender
        if sender in self.subnet and mac[0] & 1 == 0 and sender != message.target:
            self._learn(sender, mac)
        if message.op == REQUEST:
            self._send_arp(REPLY, mac, mac, sender)

    def _learn(self, address: IPv4Address, mac: bytes) -> None:
        if len(self._neighbours) < _MOST_NEIGHBOURS or address in self._neighbours:
            self._neighbours[address] = mac
        if asked := self._asked.pop(address, None):
            for packet in asked.packets:
                self._send_packet(mac, packet)

    def _ask(self, address: IPv4Address, packet: Packet, now: int) -> None:
        if address not in self._asked:
            self._asked[address] = _Resolution(now + _ARP_RETRY)
            self._send_arp(REQUEST, BROADCAST_MAC, b"\0" * 6, address)
        packets = self._asked[address].packets
        packets.append(packet)
        del packets[:-_MOST_QUEUED]

    def _ask_again(self, address: IPv4Address, asked: _Resolution, now: int) -> None:
        if asked.tries == _ARP_TRIES:
            del self._asked[address]
            return
        asked.tries += 1
        asked.deadline = now + _ARP_RETRY
        self._send_arp(REQUEST, BROADCAST_MAC, b"\0" * 6, address)

    def _send_arp(self, op: int, to: bytes, target_mac: bytes, target: IPv4Address) -> None:
        message = ArpMessage(op, self.mac, self._own.address, target_mac, target)
        self._out.append(message.build(to))

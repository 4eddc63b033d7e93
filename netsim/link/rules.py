"""Rules at packet level: what matches is dropped, held, duplicated, rewritten or answered."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from netsim.link.faults import Line, Stage, Timed
from netsim.scenario.terms import parse, parse_set
from netsim.stack.rto import MS

if TYPE_CHECKING:
    from netsim.scenario import Rule

Function = Callable[[Packet], Iterable[Packet]]


class RuleStage(Stage):
    """A rule of the scenario as a stage of the cable."""

    def __init__(self, rule: Rule, dice: random.Random, back: Line) -> None:
        """`back` is the cable's other direction."""
        super().__init__(rule, dice)
        self._back = back
        self._rule, self._terms = rule, parse(rule.match)
        self._set = parse_set(rule.set)
        self._met = 0  # packets that matched

    def change(self, frame: bytes, now: int) -> Iterable[Timed]:
        packet = Ether(frame)
        if not all(term.holds(packet) for term in self._terms):
            return [(now, frame)]
        self._met += 1
        rule = self._rule
        if self._met < rule.nth or (rule.count and self._met >= rule.nth + rule.count):
            return [(now, frame)]
        return list(self._act(frame, packet, now))

    def _act(self, frame: bytes, packet: Packet, now: int) -> Iterable[Timed]:
        delay = self._rule.delay_ms * MS
        match self._rule.action:
            case "drop":
                return
            case "hold":
                yield now + delay, frame
            case "duplicate":
                yield now, frame
                yield now + delay, frame
            case "rewrite":
                yield now + delay, rebuilt(self._rewritten(packet))
            case "answer":
                reply = rebuilt(self._rewritten(turned(packet)))
                self._back.slip_in(reply, now + delay)

    def _rewritten(self, packet: Packet) -> Packet:
        for layer, field, value in self._set:
            if packet.haslayer(layer):
                setattr(packet[layer], field, value)
        return packet


class FunctionStage(Stage):
    """A rule in Python: from a packet to the packets that take its place."""

    def __init__(self, function: Function) -> None:
        self._function = function

    def take(self, frame: bytes, now: int) -> Iterable[Timed]:
        """What the function makes of the packet."""
        return [(now, rebuilt(packet)) for packet in self._function(Ether(frame))]


#: fields that a reply has the other way round
ENDS = (
    (Ether, "src", "dst"), (ARP, "hwsrc", "hwdst"), (ARP, "psrc", "pdst"), (IP, "src", "dst"),
    (UDP, "sport", "dport"), (TCP, "sport", "dport"), (TCP, "seq", "ack"),
)  # fmt: skip


def turned(packet: Packet) -> Packet:
    """The same packet on its way back; in TCP without data, and with all data acknowledged."""
    reply = packet.copy()
    for layer, one, other in ENDS:
        if found := reply.getlayer(layer):
            first, second = found.getfieldval(one), found.getfieldval(other)
            setattr(found, one, second)
            setattr(found, other, first)
    if tcp := reply.getlayer(TCP):
        size = packet[IP].len - 4 * packet[IP].ihl - 4 * tcp.dataofs if packet.haslayer(IP) else 0
        tcp.ack = (tcp.ack + size + bool(tcp.flags & "SF")) % 2**32
        tcp.options = []
        tcp.dataofs = None
        tcp.remove_payload()
    return reply


def rebuilt(packet: Packet) -> bytes:
    """The frame of a changed packet, with lengths and checksums of its headers made anew."""
    changed = packet.copy()
    changed.clear_cache()
    for layer in (IP, UDP, TCP, ICMP):
        if changed.haslayer(layer):
            for field in ("len", "chksum"):
                if field in changed[layer].fields:
                    del changed[layer].fields[field]
    return bytes(changed)


conf.debug_dissector = False  # a damaged packet is data here, not a mistake

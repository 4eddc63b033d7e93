"""Rules at packet level: what matches is dropped, held, duplicated, rewritten or answered.

`TCP.dport == 443 TCP.flags & S` matches frames with a TCP layer, to port 443, with SYN set:
layers and fields are scapy's, all terms have to hold. A comparison is with what scapy shows,
a number or a text; `&` asks for flags, or for bits of a number.
"""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scapy.config import conf
from scapy.fields import EnumField, FlagsField
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dns import DNS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.ntp import NTP
from scapy.packet import Packet, Raw

from netsim.faults import Line, Stage, Timed
from netsim.rto import MS
from netsim.scapy_dtls import DTLS

if TYPE_CHECKING:
    from netsim.scenario import Rule

LAYERS = {layer.__name__: layer for layer in (Ether, ARP, IP, ICMP, UDP, TCP, BOOTP, DHCP, DNS, NTP,
                                              DTLS, Raw)}  # fmt: skip
TERM = re.compile(
    r"\s*(?P<layer>\w+)(?:\.(?P<field>\w+)(?:\s*(?P<op>==|!=|<=|>=|<|>|&)\s*(?P<value>\S+))?)?(?=\s|$)"
)
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
Function = Callable[[Packet], Iterable[Packet]]


@dataclass(frozen=True)
class Term:
    """One condition: a layer that is there, or a field that compares well."""

    layer: type[Packet]
    field: str | None
    op: str
    value: int | str

    def holds(self, packet: Packet) -> bool:
        """Does it hold for this packet?"""
        found = packet.getlayer(self.layer)
        if found is None or self.field is None:
            return found is not None
        value = found.getfieldval(self.field)
        if self.op == "&":
            return bool(int(value or 0) & int(self.value))
        if isinstance(self.value, int):
            return hasattr(value, "__int__") and OPERATORS[self.op](int(value), self.value)
        shown = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        return OPERATORS[self.op](shown, self.value)


def parse(expression: str) -> list[Term]:
    """The terms of an expression; raises ValueError, WHAT: REMEDY."""
    terms, at = [], 0
    while at < len(expression.rstrip()):
        found = TERM.match(expression, at)
        if found is None:
            raise ValueError(
                f"{expression[at:].strip()!r} is no term, write LAYER or LAYER.FIELD == VALUE"
            )
        terms.append(_term(**found.groupdict()))
        at = found.end()
    if not terms:
        raise ValueError("is empty, write LAYER or LAYER.FIELD == VALUE")
    return terms


def _term(layer: str, field: str | None, op: str | None, value: str | None) -> Term:
    known = _layer(layer)
    if field is None:
        return Term(known, None, "", 0)
    described = _field(known, field)
    if op is None or value is None:
        raise ValueError(f"{layer}.{field} stands alone, compare it: {layer}.{field} == VALUE")
    return Term(known, field, op, _value(described, op, value))


def _layer(name: str) -> type[Packet]:
    if name not in LAYERS:
        raise ValueError(f"no layer is called {name}, use one of {', '.join(LAYERS)}")
    return LAYERS[name]


def _field(layer: type[Packet], name: str) -> Any:
    fields = {field.name: field for field in layer.fields_desc}
    if name not in fields:
        raise ValueError(
            f"{layer.__name__} has no field {name}, use one of {', '.join(sorted(fields))}"
        )
    return fields[name]


def _value(field: Any, op: str, text: str) -> int | str:
    """The value in the field's own terms: numbers, names of an enumeration, letters of flags."""
    inner = getattr(field, "fld", field)
    try:
        return int(text, 0)
    except ValueError:
        pass
    if isinstance(inner, FlagsField):
        letters = inner.names
        if not set(text) <= set(letters):
            raise ValueError(f"{text!r} are no flags of {inner.name}, use {letters!r}")
        return sum(1 << letters.index(letter) for letter in text)
    names: dict[str, Any] = getattr(inner, "s2i", None) or {}
    if isinstance(inner, EnumField) and text in names:
        return int(names[text])
    if op == "&":
        raise ValueError(f"{text!r} is no number, write one after &")
    return text


def parse_set(table: dict[str, str]) -> list[tuple[type[Packet], str, int | str]]:
    """What to rewrite: LAYER.FIELD to value; raises ValueError."""
    wanted = []
    for key, value in table.items():
        layer, _, field = key.partition(".")
        known = _layer(layer)
        wanted.append((known, field, _value(_field(known, field), "==", value)))
    return wanted


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

"""The language of rules: what a packet has to be like, and what it becomes.

`TCP.dport == 443 TCP.flags & S` matches frames with a TCP layer, to port 443, with SYN set:
layers and fields are scapy's, all terms have to hold. A comparison is with what scapy shows,
a number or a text; `&` asks for flags, or for bits of a number.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scapy.fields import EnumField, FlagsField
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dns import DNS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.ntp import NTP
from scapy.packet import Packet, Raw

from netsim.scapy_dtls import DTLS

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

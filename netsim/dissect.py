"""scapy's dissection of bytes that anyone may have sent."""

import logging
from typing import Any

from scapy.packet import NoPayload, Packet

# Mutated packets make scapy's dissectors talkative.
logging.getLogger("scapy").setLevel(logging.CRITICAL)


def dissect(layer: Any, data: bytes) -> Packet | None:
    """`data` as a scapy packet of class `layer`, or None if it is none."""
    try:
        packet: Packet = layer(data)
        return packet
    except Exception:  # dissectors raise whatever their parsing runs into
        return None


def find(packet: Packet | None, layer: Any) -> Packet | None:
    """The layer of that class in `packet`, or None."""
    found = packet.getlayer(layer) if packet is not None else None
    return None if found is None or isinstance(found, NoPayload) else found

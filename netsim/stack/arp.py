"""ARP messages for IPv4 on Ethernet: RFC 826."""

from dataclasses import dataclass
from ipaddress import IPv4Address

from scapy.layers.l2 import ARP, Ether

from netsim.dissect import dissect

REQUEST, REPLY = 1, 2
ETHERTYPE = 0x0806
_IPV4_ON_ETHERNET = b"\0\1\x08\0\6\4"


@dataclass(frozen=True)
class ArpMessage:
    """Who asks or tells (`sender`), and about or to whom (`target`)."""

    op: int
    sender_mac: bytes
    sender: IPv4Address
    target_mac: bytes
    target: IPv4Address

    @classmethod
    def parse(cls, data: bytes) -> "ArpMessage | None":
        """The message after an Ethernet header, or None if it is for other protocols."""
        message = dissect(ARP, data[:28])
        if message is None or len(data) < 28 or data[:6] != _IPV4_ON_ETHERNET:
            return None
        sender, target = IPv4Address(message.psrc), IPv4Address(message.pdst)
        return cls(message.op, data[8:14], sender, data[18:24], target)

    def build(self, destination: bytes) -> bytes:
        """The frame that carries the message to a station."""
        ether = Ether(dst=destination, src=self.sender_mac, type=ETHERTYPE)
        return bytes(
            ether
            / ARP(
                op=self.op,
                hwsrc=self.sender_mac,
                psrc=str(self.sender),
                hwdst=self.target_mac,
                pdst=str(self.target),
            )
        )

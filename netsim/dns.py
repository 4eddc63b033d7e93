"""A DNS server for one zone of A records: RFC 1035."""

from collections.abc import Mapping
from ipaddress import IPv4Address

from scapy.layers.dns import DNS, DNSQR, DNSRR

from netsim.dissect import dissect
from netsim.host import Host
from netsim.wire import Datagram, Packet

PORT = 53
_TTL_S = 300
_A, _ANY, _IN = 1, 255, 1
_NO_ERROR, _FORMAT_ERROR, _NO_NAME, _NOT_IMPLEMENTED = 0, 1, 3, 4


class DnsServer:
    """Knows the names of `zone`; all others do not exist (NXDOMAIN)."""

    def __init__(self, zone: Mapping[str, IPv4Address]) -> None:
        self._zone: dict[str, IPv4Address] = {}
        for name, address in zone.items():
            self.add(name, address)

    def add(self, name: str, address: IPv4Address) -> None:
        """From now on `name` has this address."""
        self._zone[name.lower().rstrip(".")] = address

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        """Answer a query."""
        answer = self.answer(datagram.payload)
        if answer is not None:
            host.send_udp((packet.source, datagram.source_port), PORT, answer)

    def answer(self, query: bytes) -> bytes | None:
        """The response to a query, or None to what is none."""
        request = dissect(DNS, query)
        if len(query) < 12 or request is None or request.qr:
            return None
        response = DNS(id=request.id, qr=1, aa=1, rd=request.rd, ra=1, opcode=request.opcode)
        question = request.qd[0] if request.qdcount == 1 and request.qd else None
        if request.opcode != 0:
            response.rcode = _NOT_IMPLEMENTED
        elif not isinstance(question, DNSQR):
            response.rcode = _FORMAT_ERROR
        else:
            name = question.qname
            response.qd = [DNSQR(qname=name, qtype=question.qtype, qclass=question.qclass)]
            address = self._zone.get(name.decode("ascii", "replace").lower().rstrip("."))
            if address is None:
                response.rcode = _NO_NAME
            elif question.qtype in (_A, _ANY) and question.qclass in (_IN, _ANY):
                response.an = [DNSRR(rrname=name, type="A", ttl=_TTL_S, rdata=str(address))]
        return bytes(response)

"""A DNS server for one zone of A and CNAME records: RFC 1035."""

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address

from scapy.layers.dns import DNS, DNSQR, DNSRR

from netsim.dissect import dissect
from netsim.stack.host import Host
from netsim.stack.wire import Datagram, Packet

PORT = 53
_TTL_S = 300
_A, _CNAME, _ANY, _IN = 1, 5, 255, 1
_MOST_ALIASES = 8
_NO_ERROR, _FORMAT_ERROR, _NO_NAME, _NOT_IMPLEMENTED = 0, 1, 3, 4
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


def is_name(text: str) -> bool:
    """A DNS name (RFC 1035 section 2.3.4), with underscores, as the field has them."""
    return len(text) <= 253 and all(map(_LABEL.fullmatch, text.split(".")))


class DnsServer:
    """Knows the names of `zone`, by their addresses or the one name that they are aliases of.

    All others do not exist (NXDOMAIN).
    """

    def __init__(self, zone: Mapping[str, Sequence[IPv4Address | str]]) -> None:
        self._zone = {_key(name): tuple(records) for name, records in zone.items()}

    def add(self, name: str, address: IPv4Address) -> None:
        """From now on `name` has this address."""
        self._zone[_key(name)] = (address,)

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
            response.an, exists = self._look_up(name, question.qtype)
            response.rcode = _NO_ERROR if exists else _NO_NAME
            if question.qclass not in (_IN, _ANY):
                response.an = []
        return bytes(response)

    def _look_up(self, name: bytes, kind: int) -> tuple[list[DNSRR], bool]:
        """Records of that type, after the aliases that lead there, and whether the last name
        exists, which is what the response code tells (RFC 6604)."""
        found: list[DNSRR] = []
        while len(found) < _MOST_ALIASES:
            records = self._zone.get(_key(name.decode("ascii", "replace")))
            if records is None:
                return found, False
            alias = isinstance(records[0], str)
            if alias or kind in (_A, _ANY):
                what = "CNAME" if alias else "A"
                found += [DNSRR(rrname=name, type=what, ttl=_TTL_S, rdata=str(r)) for r in records]
            if not alias or kind == _CNAME:
                return found, True
            name = str(records[0]).encode()
        return found, True


def _key(name: str) -> str:
    return name.lower().rstrip(".")

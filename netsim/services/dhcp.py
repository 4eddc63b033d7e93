"""A DHCP server: RFC 2131, options of RFC 2132."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from scapy.layers.dhcp import BOOTP, DHCP

from netsim.dissect import dissect, find
from netsim.scenario import Dhcp
from netsim.stack.host import BROADCAST, Host
from netsim.stack.rto import SECOND
from netsim.stack.wire import Datagram, Packet

SERVER_PORT, CLIENT_PORT = 67, 68
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
_OFFER_NS = 10 * SECOND  # how long an offered address stays reserved
_ANY = IPv4Address(0)


@dataclass
class _Lease:
    mac: bytes
    until: int
    bound: bool = False


class DhcpServer:
    """Leases the addresses of a pool; `leases` tells the bound ones."""

    def __init__(self, options: Dhcp, subnet: IPv4Network) -> None:
        self._options, self._subnet = options, subnet
        self._pool = range(int(options.first), int(options.last) + 1)
        self._leases: dict[IPv4Address, _Lease] = {}

    def address_of(self, mac: bytes) -> IPv4Address | None:
        """The address bound to a station."""
        bound = (a for a, lease in self._leases.items() if lease.mac == mac and lease.bound)
        return next(bound, None)

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        """Answer a client's message."""
        message = dissect(BOOTP, datagram.payload)
        options = _options(message)
        if message is None or message.op != 1 or message.hlen != 6 or options is None:
            return
        mac = bytes(message.chaddr[:6])
        handler = {
            DISCOVER: self._discover,
            REQUEST: self._request,
            INFORM: self._inform,
        }.get(options["message-type"])
        if handler:
            handler(host, message, mac, options)
        elif options["message-type"] == RELEASE:
            self._release(mac)
        elif options["message-type"] == DECLINE:
            self._decline(_address(options.get("requested_addr")), mac, host.now)

    def _discover(self, host: Host, message: Any, mac: bytes, options: dict[str, Any]) -> None:
        address = self._choose(mac, _address(options.get("requested_addr")), host.now)
        if address is None:
            return
        if not self._mine(address, mac, host.now):
            self._leases[address] = _Lease(mac, host.now + _OFFER_NS)
        self._answer(host, message, OFFER, address)

    def _request(self, host: Host, message: Any, mac: bytes, options: dict[str, Any]) -> None:
        chosen = options.get("server_id")
        if chosen is not None and _address(chosen) != host.address:
            for address in [a for a, o in self._leases.items() if o.mac == mac and not o.bound]:
                del self._leases[address]  # another server's offer won
            return
        wanted = _address(options.get("requested_addr")) or _address(message.ciaddr) or _ANY
        usable = self._mine(wanted, mac, host.now) or self._free(wanted, host.now)
        if int(wanted) not in self._pool or not usable:
            self._answer(host, message, NAK, _ANY)
            return
        until = host.now + self._options.lease_s * SECOND
        self._leases[wanted] = _Lease(mac, until, bound=True)
        self._answer(host, message, ACK, wanted)

    def _inform(self, host: Host, message: Any, mac: bytes, options: dict[str, Any]) -> None:
        self._answer(host, message, ACK, _ANY)

    def _release(self, mac: bytes) -> None:
        for address in [a for a, lease in self._leases.items() if lease.mac == mac]:
            del self._leases[address]

    def _decline(self, address: IPv4Address | None, mac: bytes, now: int) -> None:
        if address and self._mine(address, mac, now):  # somebody else uses it: set it aside
            self._leases[address] = _Lease(b"", now + self._options.lease_s * SECOND)

    def _choose(self, mac: bytes, wanted: IPv4Address | None, now: int) -> IPv4Address | None:
        """RFC 2131 section 4.3.1: the client's own, the one it asks for, the first free one."""
        own = (a for a, lease in self._leases.items() if lease.mac == mac)  # expired, too
        asked = (a for a in [wanted] if a and int(a) in self._pool and self._free(a, now))
        free = (a for a in map(IPv4Address, self._pool) if self._free(a, now))
        return next(own, None) or next(asked, None) or next(free, None)

    def _mine(self, address: IPv4Address, mac: bytes, now: int) -> bool:
        lease = self._leases.get(address)
        return lease is not None and lease.mac == mac and lease.until > now

    def _free(self, address: IPv4Address, now: int) -> bool:
        lease = self._leases.get(address)
        return lease is None or lease.until <= now

    def _answer(self, host: Host, message: Any, kind: int, address: IPv4Address) -> None:
        options: list[Any] = [("message-type", kind), ("server_id", str(host.address))]
        if kind != NAK:
            options += self._configuration(host, lease=address != _ANY)
        client = _address(message.ciaddr) or _ANY
        reply = BOOTP(
            op=2,
            xid=message.xid,
            flags=message.flags,
            ciaddr=str(client if kind == ACK else _ANY),
            yiaddr=str(address),
            siaddr=str(host.address if kind != NAK else _ANY),
            giaddr="0.0.0.0",
            chaddr=bytes(message.chaddr),
        )
        payload = bytes(reply / DHCP(options=[*options, "end"]))
        # RFC 2131 section 4.1: how a client without an address is reached.
        target, mac = BROADCAST, None
        if kind != NAK and client != _ANY:
            target = client
        elif kind != NAK and not int(message.flags) & 0x8000:
            target, mac = address, bytes(message.chaddr[:6])
        host.send_udp((target, CLIENT_PORT), SERVER_PORT, payload.ljust(300, b"\0"), mac)

    def _configuration(self, host: Host, lease: bool) -> list[Any]:
        options: list[Any] = [
            ("subnet_mask", str(self._subnet.netmask)),
            ("router", str(host.address)),
            ("name_server", str(host.address)),
            ("broadcast_address", str(self._subnet.broadcast_address)),
        ]
        if lease:
            seconds = self._options.lease_s
            options += [
                ("lease_time", seconds),
                ("renewal_time", seconds // 2),
                ("rebinding_time", seconds * 7 // 8),
            ]
        return options


def _options(message: Any) -> dict[str, Any] | None:
    """The message's options by scapy's names, if there is a message type among them."""
    dhcp = find(message, DHCP)
    if dhcp is None:
        return None
    options = {o[0]: o[1] for o in dhcp.options if isinstance(o, tuple) and len(o) > 1}
    return options if isinstance(options.get("message-type"), int) else None


def _address(value: Any) -> IPv4Address | None:
    """An option's or a field's address; None for nonsense and for 0.0.0.0."""
    try:
        address = IPv4Address(value)
    except ValueError:
        return None
    return address if int(address) else None

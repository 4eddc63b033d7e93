"""A host: IPv4, ICMP echo, UDP services and TCP, above whatever carries its packets."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import count
from typing import Protocol

from scapy.layers.inet import ICMP

from netsim.errors import WireError
from netsim.stack import wire
from netsim.stack.application import Address, Application, Stream
from netsim.stack.deadlines import earliest
from netsim.stack.ip import Reassembler, fragments
from netsim.stack.tcp import MSS, Connection, State, reset_for
from netsim.stack.wire import Datagram, Flag, Packet, Segment

BROADCAST = IPv4Address("255.255.255.255")
_FIRST_EPHEMERAL = 49152  # RFC 6335 section 6
_MOST_CONNECTIONS = 1024
_ECHO = _ECHO_REPLY, _ECHO_REQUEST = b"\x00", b"\x08"  # ICMP types, RFC 792


class Service(Protocol):
    """Answers UDP datagrams on a port."""

    def datagram(self, host: "Host", packet: Packet, datagram: Datagram) -> None:
        """A datagram arrived; answers go out by `host.send_udp`."""


@dataclass
class Ping:
    """An echo request under way. `reply_ns` is when the answer came, or None."""

    target: IPv4Address
    sent_ns: int
    reply_ns: int | None = None


@dataclass(frozen=True)
class Outgoing:
    """A packet to carry; `mac` overrides address resolution (DHCP needs that)."""

    packet: Packet
    mac: bytes | None = None


class TcpStream:
    """A TCP connection of a host, as its application sees it."""

    def __init__(self, host: "Host", connection: Connection, peer: IPv4Address) -> None:
        self._host, self.connection = host, connection
        self.peer: Address = (peer, connection.remote_port)
        self.key = peer, connection.remote_port, connection.local_port
        self.number = host.count()  # the order in which a host looks after its own
        self.deadline: int | None = None  # the connection's, as the host knows it
        self.opened = False
        self.ended = False
        self.paused = False  # data stays with TCP, whose window closes

    @property
    def now(self) -> int:
        """Virtual nanoseconds."""
        return self._host.now

    def write(self, data: bytes) -> None:
        """Queue data for the peer."""
        self._host.wake(self)
        self.connection.send(data)

    def close(self) -> None:
        """Half-close: a FIN follows the data."""
        self._host.wake(self)
        self.connection.close()

    @property
    def queued(self) -> int:
        """Bytes that the peer has not acknowledged."""
        return self.connection.queued

    def resume(self) -> None:
        """Take data again."""
        self.paused = False
        self._host.wake(self)

    cut = close  # TCP says farewell by its FIN

    def abort(self) -> None:
        """Reset the connection."""
        self._host.wake(self)
        self.connection.abort()

    def call_later(self, delay: int, function: Callable[[], None]) -> None:
        """Call `function` in `delay` ns."""
        self._host.call_at(self._host.now + delay, function)


class Host:
    """An IPv4 host. Packets and `now` go in, packets come out of `advance`."""

    def __init__(self, name: str, address: IPv4Address, seed: int) -> None:
        self.name, self.address = name, address
        self.now = 0
        self.broadcasts = {BROADCAST}
        self._random = random.Random(f"host/{seed}/{address}")
        self._reassembler = Reassembler()
        self._services: dict[int, Service] = {}
        self._listeners: dict[int, tuple[Callable[[], Application], int]] = {}
        self._streams: dict[tuple[IPv4Address, int, int], tuple[TcpStream, Application]] = {}
        self._pings: dict[tuple[int, int], Ping] = {}
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._counter = count(1)
        self._identification = self._random.randrange(0x10000)
        self._ephemeral = _FIRST_EPHEMERAL + self._random.randrange(0x2000)
        self._out: list[Outgoing] = []
        self._due = False  # something was asked for since the last advance
        self._touched: set[TcpStream] = set()  # since then
        self._deadlines: list[tuple[int, int, TcpStream]] = []  # also ones that no longer stand

    # What runs here ---------------------------------------------------------------------

    def udp(self, port: int, service: Service) -> None:
        """Let `service` answer datagrams to `port`."""
        self._services[port] = service

    def bind(self, service: Service) -> int:
        """Let `service` answer datagrams to a free port; the port."""
        while (port := self._ephemeral) in self._services:
            self._next_port()
        self._next_port()
        self.udp(port, service)
        return port

    def release(self, port: int) -> None:
        """Stop answering datagrams to `port`."""
        self._services.pop(port, None)

    def listen(self, port: int, factory: Callable[[], Application], mss: int = MSS) -> None:
        """Accept connections to `port`; `factory` makes the application of each."""
        self._listeners[port] = factory, mss

    def connect(
        self, address: IPv4Address, port: int, application: Application, now: int
    ) -> Stream:
        """Open a connection; the application hears when it is established or lost."""
        self.now = max(self.now, now)
        while (key := (address, port, self._ephemeral)) in self._streams:
            self._next_port()
        stream = TcpStream(self, Connection(self._ephemeral, port, self._isn()), address)
        self._next_port()
        stream.connection.open()
        self._streams[key] = stream, application
        self.wake(stream)
        return stream

    def ping(self, address: IPv4Address, now: int, size: int = 32) -> Ping:
        """Send an ICMP echo request with `size` bytes of data."""
        self.now = max(self.now, now)
        key = (self._random.randrange(0x10000), len(self._pings) & 0xFFFF)
        self._pings[key] = ping = Ping(address, self.now)
        request = ICMP(type=8, id=key[0], seq=key[1]) / bytes(i & 0xFF for i in range(size))
        self._send(address, wire.ICMP, bytes(request))
        return ping

    def call_at(self, when: int, function: Callable[[], None]) -> None:
        """Call `function` at virtual time `when`."""
        heapq.heappush(self._timers, (when, next(self._counter), function))

    def count(self) -> int:
        """The next number."""
        return next(self._counter)

    def wake(self, stream: TcpStream | None = None) -> None:
        """Something is to be sent: `advance` is due, and looks after this stream."""
        self._due = True
        if stream:
            self._touched.add(stream)

    def send_udp(
        self,
        target: Address,
        source_port: int,
        payload: bytes,
        mac: bytes | None = None,
    ) -> None:
        """Send a datagram; `mac` names the station where ARP cannot."""
        datagram = Datagram(source_port, target[1], payload)
        self._send(target[0], wire.UDP, datagram.build(self.address, target[0]), mac=mac)

    # Packets in -------------------------------------------------------------------------

    def receive(self, packet: Packet, now: int) -> None:
        """A packet for this host, or a fragment of one."""
        self.now = max(self.now, now)
        self.wake()
        whole = self._reassembler.add(packet, now)
        if whole is None:
            return
        handler = {
            wire.ICMP: self._receive_icmp,
            wire.UDP: self._receive_udp,
            wire.TCP: self._receive_tcp,
        }.get(whole.protocol)
        try:
            if handler:
                handler(whole)
            elif whole.destination == self.address:
                self.unreachable(whole, 2)  # protocol
        except WireError:
            return  # as a real host does, silently

    def unreachable(self, packet: Packet, code: int) -> None:
        """Tell the sender that `packet` cannot be delivered (RFC 792, RFC 1122 3.2.2)."""
        self._icmp_error(packet, 3, code)

    def time_exceeded(self, packet: Packet) -> None:
        """Tell the sender that the packet's time to live ran out."""
        self._icmp_error(packet, 11, 0)

    def _icmp_error(self, packet: Packet, kind: int, code: int) -> None:
        about_error = packet.protocol == wire.ICMP and packet.payload[:1] not in _ECHO
        source = packet.source
        if about_error or packet.offset or source.is_multicast or source.is_unspecified:
            return
        if source == BROADCAST or packet.destination in self.broadcasts:
            return
        self._send(source, wire.ICMP, bytes(ICMP(type=kind, code=code) / packet.build()[:28]))

    def _receive_icmp(self, packet: Packet) -> None:
        kind = packet.payload[:1]
        if len(packet.payload) < 8 or wire.checksum(packet.payload) or kind not in _ECHO:
            return
        message = ICMP(packet.payload)
        if kind == _ECHO_REQUEST and packet.destination == self.address:
            reply = ICMP(type=0, id=message.id, seq=message.seq) / packet.payload[8:]
            self._send(packet.source, wire.ICMP, bytes(reply))
        elif kind == _ECHO_REPLY:
            ping = self._pings.get((message.id, message.seq))
            if ping and ping.reply_ns is None and ping.target == packet.source:
                ping.reply_ns = self.now

    def _receive_udp(self, packet: Packet) -> None:
        datagram = Datagram.parse(packet)
        service = self._services.get(datagram.destination_port)
        if service:
            service.datagram(self, packet, datagram)
        elif packet.destination == self.address:
            self.unreachable(packet, 3)  # port

    def _receive_tcp(self, packet: Packet) -> None:
        if packet.destination != self.address or packet.source.is_multicast:
            return
        segment = Segment.parse(packet)
        key = (packet.source, segment.source_port, segment.destination_port)
        entry = self._streams.get(key)
        opening = segment.flags & (Flag.SYN | Flag.ACK | Flag.RST) == Flag.SYN
        if opening and entry and entry[0].connection.state is State.TIME_WAIT:
            entry[0].deadline = None
            entry[1].lost(entry[0], None)
            entry = None  # RFC 9293 section 3.6.1: a new connection may take the place
        listener = self._listeners.get(segment.destination_port)
        if entry:
            entry[0].connection.receive(segment, self.now)
            self.wake(entry[0])
            self._tell(*entry)
        elif opening and listener and self._has_room():
            factory, mss = listener
            ports = segment.destination_port, segment.source_port
            connection = Connection(*ports, self._isn(), mss)
            connection.accept(segment)
            stream = TcpStream(self, connection, packet.source)
            self._streams[key] = stream, factory()
            self.wake(stream)
        elif reset := reset_for(segment):
            self._send_segment(packet.source, reset)

    def _has_room(self) -> bool:
        """For one more connection, at the cost of the oldest in TIME_WAIT."""
        if len(self._streams) < _MOST_CONNECTIONS:
            return True
        waiting = (
            entry
            for entry in self._streams.values()
            if entry[0].connection.state is State.TIME_WAIT
        )
        stream, application = next(waiting, (None, None))
        if not stream or not application:
            return False
        stream.deadline = None
        del self._streams[stream.key]
        application.lost(stream, None)
        return True

    @staticmethod
    def _tell(stream: TcpStream, application: Application) -> None:
        """Tell the application what the last segment changed."""
        connection = stream.connection
        up = connection.state not in (State.CLOSED, State.SYN_SENT, State.SYN_RECEIVED)
        if up and not stream.opened:
            stream.opened = True
            application.opened(stream)
        if not stream.paused and (data := connection.read()):
            application.received(stream, data)
        if connection.eof and not stream.ended and not connection.unread:
            stream.ended = True
            application.ended(stream)

    # Packets out ------------------------------------------------------------------------

    def advance(self, now: int) -> list[Outgoing]:
        """Run what is due; the packets to carry."""
        self.now = max(self.now, now)
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        self._due = False
        while (deadline := self._stream_deadline()) is not None and deadline <= self.now:
            self._touched.add(self._deadlines[0][2])
            self._deadlines[0][2].deadline = None
        touched, self._touched = self._touched, set()
        for stream in sorted(touched, key=lambda stream: stream.number):
            own, application = self._streams.get(stream.key, (None, None))
            if own is stream and application:
                self._look_after(stream, application)
        out, self._out = self._out, []
        return out

    def _look_after(self, stream: TcpStream, application: Application) -> None:
        """Send what is to be sent, and note when there will be more."""
        connection = stream.connection
        if connection.unread and not stream.paused:
            self._tell(stream, application)
        for segment in connection.poll(self.now):
            self._send_segment(stream.peer[0], segment)
        deadline = connection.next_deadline()
        if connection.state is State.CLOSED:
            stream.deadline = None
            del self._streams[stream.key]
            application.lost(stream, connection.error)
        elif deadline != stream.deadline:
            stream.deadline = deadline
            if deadline is not None:
                heapq.heappush(self._deadlines, (deadline, self.count(), stream))

    def _stream_deadline(self) -> int | None:
        """The first that still stands, which is then the first of all."""
        while self._deadlines and self._deadlines[0][2].deadline != self._deadlines[0][0]:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def next_deadline(self) -> int | None:
        """When `advance` has something to do."""
        if self._due or self._out:
            return self.now
        timer = self._timers[0][0] if self._timers else None
        return earliest(timer, self._stream_deadline())

    def _send_segment(self, target: IPv4Address, segment: Segment) -> None:
        payload = segment.build(self.address, target)
        self._send(target, wire.TCP, payload, dont_fragment=True)

    def _send(
        self,
        target: IPv4Address,
        protocol: int,
        payload: bytes,
        *,
        dont_fragment: bool = False,
        mac: bytes | None = None,
    ) -> None:
        self._identification = (self._identification + 1) & 0xFFFF
        packet = Packet(
            self.address,
            target,
            protocol,
            payload,
            identification=self._identification,
            dont_fragment=dont_fragment,
        )
        self._out += [Outgoing(fragment, mac) for fragment in fragments(packet)]

    def _isn(self) -> int:
        return self._random.randrange(1 << 32)

    def _next_port(self) -> None:
        self._ephemeral = max(_FIRST_EPHEMERAL, (self._ephemeral + 1) & 0xFFFF)

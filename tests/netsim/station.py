"""A station at the camera's place, made of netsim's own host and the stdlib's `ssl`."""

import random
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from ipaddress import IPv4Address

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from netsim import Network
from netsim.link.ethernet import Interface
from netsim.stack.application import Application, Stream
from netsim.stack.host import Host
from netsim.stack.rto import SECOND
from netsim.stack.wire import Datagram
from netsim.stack.wire import Packet as IpPacket

OpenNetwork = Callable[..., Network]
MAC = "02:4f:4d:56:00:01"
ADDRESS = IPv4Address("192.168.1.100")


class Mailbox:
    """A UDP service that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def datagram(self, host: Host, packet: IpPacket, datagram: Datagram) -> None:
        self.got.append(datagram.payload)


class Collector(Application):
    """Sends something, keeps everything."""

    def __init__(self, text: bytes = b"") -> None:
        self.text, self.got = text, bytearray()
        self.events: list[str] = []

    def opened(self, stream: Stream) -> None:
        self.events.append("opened")
        stream.write(self.text)

    def received(self, stream: Stream, data: bytes) -> None:
        self.got += data

    def ended(self, stream: Stream) -> None:
        self.events.append("ended")
        stream.close()

    def lost(self, stream: Stream, error: str | None) -> None:
        self.events.append(f"lost {error}")


class SslClient(Collector):
    """The stdlib's TLS over memory, not netsim's layer: an independent check."""

    def __init__(
        self,
        context: ssl.SSLContext,
        name: str | None,
        text: bytes,
        randomness: AbstractContextManager[None] | None = None,
    ) -> None:
        super().__init__(text)
        self.randomness = randomness or nullcontext()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.ready = False
        self.error: ssl.SSLError | None = None

    def opened(self, stream: Stream) -> None:
        self.pump(stream)

    def received(self, stream: Stream, data: bytes) -> None:
        self.incoming.write(data)
        self.pump(stream)

    def pump(self, stream: Stream) -> None:
        with self.randomness:
            self.work()
        if out := self.outgoing.read():
            stream.write(out)

    def work(self) -> None:
        try:
            if not self.ready:
                self.ssl.do_handshake()
                self.ready = True
                self.ssl.write(self.text)
            while data := self.ssl.read(65536):
                self.got += data
            self.events.append("close_notify")  # read() tells it by no data
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.error = self.error or error  # the first tells the cause


class Station:
    """Runs a network with a host on the camera's port; `loss` is the share of frames lost."""

    def __init__(
        self,
        network: Network,
        mac: str = MAC,
        address: IPv4Address = ADDRESS,
        loss: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.network = network
        self.loss, self.dice = loss, random.Random(seed)
        self.now = 0
        self.host = Host("station", address, seed=99)
        options = network.scenario.network
        packed = bytes.fromhex(mac.replace(":", ""))
        self.port = Interface(packed, options.subnet, options.gateway, [self.host])
        self.log: list[tuple[int, bytes]] = []

    def run(self, nanoseconds: int) -> None:
        """Pump both sides in virtual time, and stop early when both are idle."""
        until = self.now + nanoseconds
        while True:
            for frame in self.network.advance(self.now):
                self.log.append((self.now, frame))
                if self.dice.random() >= self.loss:
                    self.port.receive(frame, self.now)
            for frame in self.port.advance(self.now):
                self.log.append((self.now, frame))
                if self.dice.random() >= self.loss:
                    self.network.receive(frame, self.now)
            ends = (self.network.next_deadline(), self.port.next_deadline())
            deadlines = [d for d in ends if d is not None]
            if not deadlines or min(deadlines) > until:
                self.now = until
                return
            self.now = max(self.now, min(deadlines))

    def send(self, frame: bytes) -> list[bytes]:
        """Send a raw frame; what comes back within a second."""
        self.network.receive(frame, self.now)
        got = []
        until = self.now + SECOND
        while (deadline := self.network.next_deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            got += self.network.advance(self.now)
        self.now = until
        return got

    def ask_udp(self, address: str, port: int, payload: bytes) -> list[bytes]:
        """Send a datagram; the answers."""
        box = Mailbox()
        self.host.udp(40000, box)
        self.host.now = self.now
        self.host.send_udp((IPv4Address(address), port), 40000, payload)
        self.run(5 * SECOND)
        return box.got


def dhcp(kind: str, *options: tuple[str, object], ciaddr: str = "0.0.0.0", xid: int = 7) -> bytes:
    """A client's DHCP frame."""
    mac = bytes.fromhex(MAC.replace(":", ""))
    packet: Packet = (
        Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff")
        / IP(src=ciaddr, dst="255.255.255.255")
        / UDP(sport=68, dport=67)
        / BOOTP(chaddr=mac, xid=xid, ciaddr=ciaddr)
        / DHCP(options=[("message-type", kind), *options, "end"])
    )
    return bytes(packet)


def lease(station: Station) -> None:
    """Get an address as lwIP does."""
    [offer] = [Ether(f) for f in station.send(dhcp("discover"))]
    server = next(o[1] for o in offer[DHCP].options if o[0] == "server_id")
    request = dhcp("request", ("requested_addr", offer[BOOTP].yiaddr), ("server_id", server))
    station.send(request)

"""Ports of this computer joined to the virtual network: --forward, --reach and --tap.

Sockets are real here, so time is paced: the camera runs no faster than the clock on the wall.
netsim's own hosts carry the streams and datagrams; only --tap needs a privilege.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from typing import Any

from netsim.stack.application import Application
from netsim.stack.host import Host, TcpStream
from netsim.stack.wire import Datagram, Packet
from omvsim.errors import UserError
from omvsim.testbed import MILLISECOND, SECOND, Testbed

STRIDE = 5 * MILLISECOND
CHUNK = 1 << 16
MOST_QUEUED = 1 << 18  # bytes; then the sender has to wait
IFNAMSIZ = 16
TUNSETIFF, TAP_WITHOUT_INFO = 0x400454CA, 0x1002  # linux/if_tun.h: IFF_TAP | IFF_NO_PI
LAG = 0.25  # host seconds that a busy camera may fall behind before its time is let go
HOST = "host"  # this computer's name in the virtual network
ADDRESS = IPv4Address("192.168.1.2")
FIRST = 10  # the last number of the address of the first server that is reached


@dataclass(frozen=True)
class Forward:
    """A port of this computer that leads to one of the camera."""

    host: str
    port: int
    camera_port: int
    udp: bool = False


@dataclass(frozen=True)
class Reach:
    """A name in the camera's network that leads to a server of this computer, or beyond."""

    name: str
    host: str
    port: int
    udp: bool = False


class Relay(Application):
    """A TCP connection of the virtual network and one of this computer, joined."""

    def __init__(self, bridge: Bridge, real: socket.socket, *, connecting: bool = False) -> None:
        self._bridge, self._real, self._connecting = bridge, real, connecting
        self._stream: TcpStream | None = None
        self._to_real = b""
        self._ended = False  # by the camera: a FIN for the real side follows what is queued
        self._read_all = self._gone = False
        bridge.watch(real, self)

    @property
    def interest(self) -> int:
        """What the real socket is asked for: its data as long as the camera takes it."""
        room = self._stream is not None and self._stream.queued < MOST_QUEUED
        reads = selectors.EVENT_READ if room and not self._read_all else 0
        writes = self._connecting or self._to_real
        return reads | (selectors.EVENT_WRITE if writes else 0)

    # The virtual side -------------------------------------------------------------------

    def opened(self, stream: Any) -> None:
        """The camera is there; if nobody is on the other side, it hears of that by a reset."""
        self._stream = stream
        if self._gone:
            stream.abort()

    def received(self, stream: Any, data: bytes) -> None:
        """Data of the camera."""
        self._to_real += data
        stream.paused = len(self._to_real) >= MOST_QUEUED
        self.ready(selectors.EVENT_WRITE)

    def ended(self, stream: Any) -> None:
        """The camera has sent all."""
        self._ended = True
        self.ready(selectors.EVENT_WRITE)

    def lost(self, stream: Any, error: str | None) -> None:
        """The camera's side is gone; a reset is passed on."""
        if not self._gone:
            if error:
                reset = b"\1\0\0\0\0\0\0\0"  # struct linger: on, no time
                with contextlib.suppress(OSError):
                    self._real.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                self._to_real = b""
            self.leave()

    # The real side ----------------------------------------------------------------------

    def ready(self, events: int) -> None:
        """The real socket can be read or written."""
        try:
            if events & selectors.EVENT_WRITE and not self._gone:
                self._flush()
            if events & selectors.EVENT_READ and not self._gone and self._stream:
                data = self._real.recv(CHUNK)
                if data:
                    self._stream.write(data)
                else:
                    self._read_all = True
                    self._stream.close()
        except BlockingIOError:
            pass
        except OSError:
            self.leave()
            if self._stream:
                self._stream.abort()

    def _flush(self) -> None:
        if self._connecting:
            error = self._real.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "connect")
            with contextlib.suppress(OSError):
                self._real.getpeername()
                self._connecting = False
            if self._connecting:
                return
        if self._to_real:
            sent = self._real.send(self._to_real)
            self._to_real = self._to_real[sent:]
        if self._stream and self._stream.paused and len(self._to_real) < MOST_QUEUED // 2:
            self._stream.resume()
        if self._ended and not self._to_real:
            self._real.shutdown(socket.SHUT_WR)
            self._ended = False

    def leave(self) -> None:
        """Close the real side."""
        self._gone = True
        self._bridge.forget(self._real)


class UdpReach:
    """Datagrams of the camera to a real server, and its answers back."""

    def __init__(self, bridge: Bridge, target: tuple[str, int], port: int) -> None:
        self._bridge, self._target, self._port = bridge, target, port
        self._sockets: dict[tuple[IPv4Address, int], socket.socket] = {}

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        """Each port of the camera has a socket of its own."""
        peer = packet.source, datagram.source_port
        real = self._sockets.get(peer)
        if real is None:
            real = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            real.setblocking(False)
            real.connect(self._target)
            self._sockets[peer] = real
            send = partial(host.send_udp, peer, self._port)
            self._bridge.watch(real, Datagrams(real, lambda data, _: send(data)))
        with contextlib.suppress(OSError):  # nobody there: UDP does not tell
            real.send(datagram.payload)


class UdpForward:
    """Datagrams of programs here to the camera, and its answers back."""

    def __init__(self, bridge: Bridge, real: socket.socket, camera_port: int) -> None:
        self._bridge, self._real, self._camera_port = bridge, real, camera_port
        self._ports: dict[tuple[str, int], int] = {}  # of the virtual host
        self._peers: dict[int, tuple[str, int]] = {}

    def take(self, data: bytes, peer: tuple[str, int]) -> None:
        """A program has sent this; the first to the camera shows where it is."""
        host, camera = self._bridge.host, self._bridge.testbed.network.camera.address
        if peer not in self._ports:
            self._ports[peer] = host.bind(self)
            self._peers[self._ports[peer]] = peer
        if camera:
            host.send_udp((camera, self._camera_port), self._ports[peer], data)
            host.wake()

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        """The camera's answer."""
        with contextlib.suppress(OSError):
            self._real.sendto(datagram.payload, self._peers[datagram.destination_port])


class Datagrams:
    """A real UDP socket whose datagrams go to a function, with their senders."""

    interest = selectors.EVENT_READ

    def __init__(
        self, real: socket.socket, take: Callable[[bytes, tuple[str, int]], object]
    ) -> None:
        self._real, self._take = real, take

    def ready(self, events: int) -> None:
        """Take one."""
        with contextlib.suppress(OSError):
            self._take(*self._real.recvfrom(CHUNK))


class Listener:
    """A listening socket of this computer."""

    interest = selectors.EVENT_READ

    def __init__(self, bridge: Bridge, real: socket.socket, camera_port: int) -> None:
        self._bridge, self._real, self._camera_port = bridge, real, camera_port

    def ready(self, events: int) -> None:
        """Join a new connection to one to the camera."""
        try:
            real, _ = self._real.accept()
        except OSError:
            return
        real.setblocking(False)
        relay, testbed = Relay(self._bridge, real), self._bridge.testbed
        camera = testbed.network.camera.address
        if camera is None:
            relay.lost(None, "the camera has no address yet")
        else:
            self._bridge.host.connect(camera, self._camera_port, relay, testbed.now)


class Tap:
    """A TAP device on the virtual switch: frames to and from the kernel."""

    interest = selectors.EVENT_READ

    def __init__(self, name: str) -> None:
        remedy = f"as root, or after: sudo ip tuntap add dev {name} mode tap user $USER"
        try:
            if not 0 < len(name.encode()) < IFNAMSIZ:
                raise OSError(errno.EINVAL, f"1 to {IFNAMSIZ - 1} characters make a name")
            self._file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            request = struct.pack("16sH22x", name.encode(), TAP_WITHOUT_INFO)
            fcntl.ioctl(self._file, TUNSETIFF, request)
        except OSError as error:
            raise UserError(f"--tap {name}: {error.strerror}: {remedy}") from None
        self._out: list[bytes] = []

    def fileno(self) -> int:
        """For select."""
        return self._file

    def close(self) -> None:
        """The device goes unless it was made before."""
        os.close(self._file)

    def ready(self, events: int) -> None:
        """A frame of the kernel."""
        with contextlib.suppress(OSError):
            self._out.append(os.read(self._file, CHUNK))

    def receive(self, frame: bytes, now: int) -> None:
        """A frame for the kernel; it is lost while the device is down."""
        with contextlib.suppress(OSError):
            os.write(self._file, frame)

    def advance(self, now: int) -> list[bytes]:
        """Frames for the switch."""
        out, self._out = self._out, []
        return out

    def next_deadline(self) -> int | None:
        """At once, if there is a frame."""
        return 0 if self._out else None


class Bridge:
    """All real sockets of a run. `poll` serves them, and keeps the camera to real time."""

    def __init__(
        self, testbed: Testbed, forwards: list[Forward], reaches: list[Reach], tap: str | None
    ) -> None:
        self.testbed = testbed
        self.host = testbed.network.attach(HOST, ADDRESS)
        self._selector = selectors.DefaultSelector()
        self._served: dict[Any, Any] = {}  # by what select takes
        self._began: float | None = None
        try:
            for item in forwards:
                self._forward(item)
            for number, wanted in enumerate(reaches):
                self._reach(wanted, ADDRESS + FIRST - 2 + number)
            if tap is not None:
                device = Tap(tap)
                self.watch(device, device)
                testbed.network.plug("tap", device)
        except BaseException:
            self.close()
            raise
        testbed.stride = STRIDE
        self._before = testbed.waiting
        testbed.waiting = self.poll

    def _forward(self, item: Forward) -> None:
        kind = socket.SOCK_DGRAM if item.udp else socket.SOCK_STREAM
        real = socket.socket(socket.AF_INET, kind)
        try:
            if not item.udp:
                real.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            real.bind((item.host, item.port))
            if not item.udp:
                real.listen()
        except OSError as error:
            real.close()
            raise UserError(
                f"--forward {item.host}:{item.port}: {error.strerror}: choose another port"
            ) from None
        real.setblocking(False)
        if item.udp:
            relay = UdpForward(self, real, item.camera_port)
            self.watch(real, Datagrams(real, relay.take))
        else:
            self.watch(real, Listener(self, real, item.camera_port))

    def _reach(self, wanted: Reach, address: IPv4Address) -> None:
        try:
            target = socket.getaddrinfo(wanted.host, wanted.port, socket.AF_INET)[0][4]
        except OSError as error:
            raise UserError(f"--reach {wanted.name}: {wanted.host}: {error.strerror}") from None
        host = self.testbed.network.attach(wanted.name, address)

        def accept() -> Relay:
            real = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            real.setblocking(False)
            refused = real.connect_ex((str(target[0]), int(target[1])))
            relay = Relay(self, real, connecting=True)
            if refused not in (0, errno.EINPROGRESS):
                relay.leave()
            return relay

        if wanted.udp:
            host.udp(wanted.port, UdpReach(self, (str(target[0]), wanted.port), wanted.port))
        else:
            host.listen(wanted.port, accept)

    def watch(self, real: Any, served: Any) -> None:
        """Serve a socket from now on."""
        self._served[real] = served

    def forget(self, real: Any) -> None:
        """Close a socket."""
        if self._served.pop(real, None):
            with contextlib.suppress(KeyError):
                self._selector.unregister(real)
            real.close()

    def poll(self) -> None:
        """Serve what is ready; wait as long as the camera is ahead of the clock on the wall."""
        self._before()
        now = time.monotonic()
        if self._began is None:
            self._began = now - self.testbed.now / SECOND
        ahead = self.testbed.now / SECOND - (now - self._began)
        self._began -= min(0.0, ahead + LAG)
        for served, events in self._ready(max(0.0, ahead)):
            served.ready(events)

    def _ready(self, timeout: float) -> Iterator[tuple[Any, int]]:
        known = self._selector.get_map()
        for real, served in self._served.items():
            wanted = served.interest
            if real in known and not wanted:
                self._selector.unregister(real)
            elif real in known and known[real].events != wanted:
                self._selector.modify(real, wanted, served)
            elif wanted and real not in known:
                self._selector.register(real, wanted, served)
        for key, events in self._selector.select(timeout):
            yield key.data, events

    def close(self) -> None:
        """Close all sockets."""
        for real in list(self._served):
            self.forget(real)
        self._selector.close()

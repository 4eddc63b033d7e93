"""Random and mutated frames, to the camera and to its network at once.

with Testbed() as testbed:
    testbed.boot()
    report = soak(testbed, 5_000)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import cycle, islice

from netsim.fuzz import mutations
from netsim.stack.arp import REQUEST, ArpMessage
from omvsim.errors import UserError
from omvsim.testbed import SECOND, Testbed

#: ns to the next pair of frames: a burst, back to back, or with time to empty the ring
GAPS = (0, 20_000, 200_000, 500_000)
QUIET = 5 * SECOND  # afterwards, for connections and fragments that the frames began
PINGS = 10

#: so that frames reach a TCP and a UDP socket, too
LISTEN = """\
import socket
tcp = socket.socket()
tcp.bind(("", 443))
tcp.listen(4)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 7))
"""
CLOSE = "tcp.close(); udp.close()"
MAC = "import network; print(network.LAN().config('mac').hex())"


@dataclass(frozen=True)
class Report:
    """`ping_ns` is the round trip afterwards, None if no answer came."""

    frames: int
    virtual_ns: int
    instructions: int
    ping_ns: int | None


def soak(
    testbed: Testbed, count: int, seed: int = 1, progress: Callable[[int], object] = lambda n: None
) -> Report:
    """Send `count` frames to a booted camera and as many to its network, then ping the camera.

    The same seed gives the same frames at the same times. FirmwareFault comes from the camera's
    faults, TimeLimit from a REPL that has stopped to answer.
    """
    address = testbed.network.camera.address
    if address is None:
        raise UserError("the camera has no address: soak needs a scenario with DHCP and a link")
    began, executed = testbed.now, testbed.engine.instructions
    camera = bytes.fromhex(testbed.exec(MAC))
    testbed.exec(LISTEN)
    dice = random.Random(f"soak/{seed}")
    gateway = str(testbed.scenario.network.gateway)  # whose answers the camera waits for
    arriving = mutations(seed, count, target_mac=camera, target=str(address), source=gateway)
    leaving = _to_network(testbed, address, count, seed)
    for done, (to_camera, to_network) in enumerate(zip(arriving, leaving, strict=True), 1):
        testbed.engine.send_frame(to_camera)
        testbed.network.receive(to_network, testbed.now)
        _pass(testbed, dice.choice(GAPS))
        progress(done)
    _pass(testbed, QUIET)
    testbed.exec(CLOSE)
    ping_ns = _ping(testbed, camera, address)
    return Report(count, testbed.now - began, testbed.engine.instructions - executed, ping_ns)


def _pass(testbed: Testbed, nanoseconds: int) -> None:
    end = testbed.now + nanoseconds
    while testbed.now < end:
        testbed.step(end)


def _card(testbed: Testbed, host: IPv4Address) -> bytes:
    """The MAC address, as netsim gives them, of a host or of the gateway before it."""
    network = testbed.scenario.network
    return b"\x02\x00" + (host if host in network.subnet else network.gateway).packed


def _to_network(testbed: Testbed, address: IPv4Address, count: int, seed: int) -> Iterator[bytes]:
    """Frames as from the camera, to each host in turn."""
    hosts = [host.address for host in testbed.network.hosts.values()]
    streams = [
        mutations(
            seed + n, count, target_mac=_card(testbed, host), target=str(host), source=str(address)
        )
        for n, host in enumerate(hosts, 1)
    ]
    return (next(stream) for stream in islice(cycle(streams), count))


def _ping(testbed: Testbed, camera: bytes, address: IPv4Address) -> int | None:
    """The round trip of the first ping that is answered."""
    gateway = testbed.scenario.network.gateway
    mac = _card(testbed, gateway)
    who_has = ArpMessage(REQUEST, mac, gateway, bytes(6), address).build(camera)
    for _ in range(PINGS):
        # forged ARP may have misled either side, which is no fault: a true request mends both
        testbed.engine.send_frame(who_has)
        _pass(testbed, SECOND)
        ping = testbed.network.ping(address, testbed.now)
        _pass(testbed, SECOND)
        if ping.reply_ns is not None:
            return ping.reply_ns - ping.sent_ns
    return None

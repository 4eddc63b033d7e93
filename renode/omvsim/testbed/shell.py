"""What omvsim shell's prompt knows: the running camera, and scapy on the virtual cable."""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import Any

from scapy import sendrecv
from scapy.config import conf
from scapy.layers import all as layers  # noqa: F401 - scapy's names are bound to ports by it
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw
from scapy.supersocket import SuperSocket

from omvsim.testbed import MILLISECOND, SECOND, Testbed

MAC = "02:00:00:00:53:48"
ADDRESS = "192.168.1.250"
STRIDE = 5 * MILLISECOND
BANNER = """\
The camera runs as `camera`: camera.exec("print(1)"), camera.ping(), camera.run("script.py").
Scapy is on its cable as {mac}, {address}:
    arp()                                  the camera's MAC address
    sr1(IP(dst=ip)/ICMP())                 with ip = {ip}
    sniff(count=3, timeout=10)             srp1, sendp, cable
"""


class Cable(SuperSocket):
    """A station of the virtual network as one of scapy's sockets; it hears all that the camera
    sends and gets. While scapy waits, the camera runs, no faster than the clock on the wall."""

    desc = "the camera's virtual cable"
    nonblocking_socket = True

    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        self._heard: deque[tuple[bytes, int]] = deque(maxlen=10_000)
        self._out: deque[bytes] = deque()  # by scapy's own thread
        testbed.network.camera.on_frame = lambda frame, now: self._heard.append((frame, now))
        testbed.network.plug("shell", self)

    # The port on the switch -------------------------------------------------------------

    def receive(self, frame: bytes, now: int) -> None:
        """Heard already where it passed the camera."""

    def advance(self, now: int) -> list[bytes]:
        """Frames that scapy has sent."""
        return [self._out.popleft() for _ in range(len(self._out))]

    def next_deadline(self) -> int | None:
        """At once, if there is one."""
        return 0 if self._out else None

    # The socket of scapy ----------------------------------------------------------------

    def send(self, packet: Any) -> int:
        """Put a frame on the cable."""
        frame = bytes(packet)
        self._out.append(frame)
        return len(frame)

    def recv(self, x: int = 0, **_: Any) -> Packet | None:
        """The next frame that the camera has sent or got; None if there is none yet."""
        if not self._heard:
            return None
        frame, now = self._heard.popleft()
        packet = Ether(frame)
        packet.time = now / SECOND
        return packet

    def fileno(self) -> int:
        """None: `select` asks the network instead."""
        return -1

    def close(self) -> None:
        """The cable stays, whatever scapy does."""

    @staticmethod
    def select(sockets: list[Any], remain: float | None = None) -> list[Any]:
        """Let the camera run until one of the sockets has heard something."""
        until = time.monotonic() + (conf.recv_poll_rate if remain is None else remain)
        while True:
            for cable in sockets:
                cable._testbed.run_for(STRIDE)
            ready = [cable for cable in sockets if cable._heard]
            if ready or time.monotonic() >= until:
                return ready
            time.sleep(STRIDE / SECOND)


def names(testbed: Testbed) -> dict[str, Any]:
    """What the prompt knows."""
    cable = Cable(testbed)
    ip = str(testbed.network.camera.address)
    ask = Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(
        op=1, hwsrc=MAC, psrc=ADDRESS, pdst=ip, hwdst="00:00:00:00:00:00"
    )

    def arp() -> str | None:
        """The camera's MAC address."""
        answer = sr1(ask, timeout=2)
        return str(answer[ARP].hwsrc) if answer else None

    def with_ether(packet: Packet) -> Packet:
        if packet.haslayer(IP) and "src" not in packet[IP].fields:
            packet[IP].src = ADDRESS
        return packet if isinstance(packet, Ether) else Ether(src=MAC, dst=arp()) / packet

    def sr(packet: Packet, timeout: float = 5, **options: Any) -> Any:
        """Answered and unanswered, as scapy's own."""
        asked = with_ether(packet)
        return sendrecv.sndrcv(cable, asked, timeout=timeout, verbose=0, threaded=False, **options)

    def sr1(packet: Packet, timeout: float = 5, **options: Any) -> Packet | None:
        """The first answer, or None."""
        answered, _ = sr(packet, timeout, **options)
        return answered[0].answer if answered else None

    return {
        "camera": testbed, "cable": cable, "ip": ip, "arp": arp,
        "sr": sr, "srp": sr, "sr1": sr1, "srp1": sr1,
        "sendp": lambda packet, **_: cable.send(with_ether(packet)),
        "sniff": partial(sendrecv.sniff, opened_socket=cable),
        "Ether": Ether, "ARP": ARP, "IP": IP, "ICMP": ICMP, "TCP": TCP, "UDP": UDP, "DNS": DNS,
        "DNSQR": DNSQR, "Raw": Raw,
    }  # fmt: skip

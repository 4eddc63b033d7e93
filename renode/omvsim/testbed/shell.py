"""omvsim shell: a Python prompt with the running camera, and scapy on the virtual cable."""

from __future__ import annotations

import argparse
import code
import runpy
import textwrap
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

from scapy import sendrecv
from scapy.config import conf
from scapy.layers import all as layers  # noqa: F401 - scapy's names are bound to ports by it
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw
from scapy.supersocket import SuperSocket

from omvsim.testbed import BOARD, MILLISECOND, SECOND, Testbed, read_script

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


def add_command(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser(
        "shell", help="a Python prompt with the camera and scapy on its cable",
        description="Boot the camera and open a Python prompt, or run SCRIPT, in which `camera`\n"
        "is the Testbed and scapy's sr1, srp1, sniff and sendp work on the virtual cable.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent("""\
            examples:
              omvsim shell
              omvsim shell --scenario wrong_name probe.py
              echo 'print(arp())' > probe.py && omvsim shell probe.py

            exit codes: 0; 1 the script raised; 2 bad input; 130 Ctrl-C while no prompt waits
            """),
    )  # fmt: skip
    command.add_argument("--firmware", type=Path, metavar="IMAGE", help="ELF image")
    command.add_argument("--board", type=Path, metavar="FILE", default=BOARD, help=".repl")
    command.add_argument("--scenario", metavar="FILE", help="the world")
    command.add_argument("--allow-outside", action="store_true", help="see omvsim run --help")
    command.add_argument("--seed", type=int, metavar="N", help="instead of the scenario's seed")
    command.add_argument("--out", type=Path, metavar="DIR", help="keep console and capture")
    command.add_argument("script", type=Path, nargs="?", metavar="SCRIPT")
    command.set_defaults(call=shell)


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


def shell(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    if options.script:
        read_script(options.script)
    with Testbed(
        options.firmware, options.scenario, board=options.board, seed=options.seed,
        out=options.out, script=str(options.script or ""), outside=options.allow_outside,
    ) as testbed:  # fmt: skip
        testbed.waiting = options.interrupt.check
        testbed.boot()
        known = names(testbed)
        if options.script:
            try:
                runpy.run_path(str(options.script), known, "__main__")
            except Exception:
                code.InteractiveInterpreter().showtraceback()
                return 1
        else:
            banner = BANNER.format(mac=MAC, address=ADDRESS, ip=known["ip"])
            code.interact(banner, local=known, exitmsg="")
    return 0

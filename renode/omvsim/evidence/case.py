"""What a run left behind, and the facts that a reason is made of."""

from __future__ import annotations

import re
import struct
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID
from scapy.error import Scapy_Exception
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapNgReader

from netsim import Event
from netsim import scenario as scenarios
from netsim.dissect import dissect
from netsim.tls.certificates import DAMAGE
from omvsim.conversations import services, talks
from omvsim.conversations.talks import Talk
from omvsim.engine import Fault

FRAME = re.compile(r'File "([^"]*)", line (\d+)')
MOST = 5_000  # frames
BAD = (*DAMAGE, IndexError, KeyError, UnicodeError)


@dataclass
class Case:
    """What a run left behind, as far as there is any."""

    outcome: str
    detail: str  # the traceback, or what the outcome says
    source: str = ""  # of the script
    now: int = 0  # ns since power-on
    clock: datetime | None = None  # what the camera's calendar shows
    scenario: scenarios.Scenario = field(default_factory=scenarios.default)
    files: Mapping[str, bytes] = field(default_factory=dict)  # on the camera
    packets: Sequence[Any] = ()  # of the capture, as scapy's
    events: Sequence[Event] = ()
    fault: Fault | None = None
    camera: str = ""  # its address
    instructions: int = 0
    images: tuple[Path, ...] = ()  # ELF

    @cached_property
    def talks(self) -> list[Talk]:
        """The camera's conversations, in their order."""
        found: list[Talk] = []
        with suppress(*BAD):
            found = talks.conversations(self.packets)[0]
        return [t for t in found if not self.camera or self.camera in (t.client[0], t.server[0])]

    @cached_property
    def services(self) -> services.Services:
        found = services.Services()
        with suppress(*BAD):
            found = services.find(self.packets)
        return found

    @cached_property
    def raised(self) -> str:
        """The exception, as the traceback's end tells it."""
        lines = self.detail.strip().splitlines()
        last = max((n for n, line in enumerate(lines) if line.startswith("  File ")), default=-1)
        return "\n".join(lines[last + 1 :]).strip()

    @cached_property
    def line(self) -> int:
        """Of the script, where it raised or hangs; 0: unknown."""
        found = [int(n) for name, n in FRAME.findall(self.detail) if name == "<stdin>"]
        return found[-1] if found else 0

    @cached_property
    def code(self) -> str:
        """That line of the script."""
        lines = self.source.splitlines()
        return lines[self.line - 1].strip() if 0 < self.line <= len(lines) else ""

    @cached_property
    def loop(self) -> str:
        """The `while` around that line."""
        lines = self.source.splitlines()[: self.line]
        deep = len(lines[-1]) - len(lines[-1].lstrip()) if lines else 0
        for line in reversed(lines):
            if (here := len(line) - len(line.lstrip())) < deep and line.strip():
                if line.lstrip().startswith("while "):
                    return line.strip()
                deep = here
        return ""

    @cached_property
    def talk(self) -> Talk | None:
        """The conversation in which something happened last."""
        return max(self.talks, key=last_time, default=None)

    @property
    def where(self) -> str:
        return f" (script line {self.line})" if self.line else ""

    @property
    def true_time(self) -> datetime:
        return self.scenario.time + timedelta(microseconds=self.now // 1000)

    def name(self, address: str) -> str:
        """Of a host: as the camera has asked for it, or the scenario calls it."""
        known = {str(s.address): s.name for s in self.scenario.servers}
        return self.services.names.get(address) or known.get(address) or address

    def who(self, talk: Talk) -> str:
        """The other end, by the name that the camera asked for."""
        if self.is_server(talk):
            return f"the client {self.name(talk.client[0])}"
        with suppress(*BAD):
            if (hello := talk.hello()) and hello.name:
                return hello.name
        return self.name(talk.server[0])

    def place(self, talk: Talk) -> str:
        who = self.who(talk)
        return who if self.is_server(talk) else f"{who}:{talk.server[1]}"

    def is_server(self, talk: Talk) -> bool:
        return talk.server[0] == self.camera

    def far(self, talk: Talk) -> str:
        """The other end's side."""
        return "client" if self.is_server(talk) else "server"

    @cached_property
    def anchors(self) -> dict[str, x509.Certificate]:
        """Certificates on the camera that the script names; all, if it names none."""
        found = {}
        for name, content in self.files.items():
            with suppress(*BAD):
                found[name] = x509.load_der_x509_certificate(content)
        named = {name: made for name, made in found.items() if name in self.source}
        return named or found

    def server(self, talk: Talk) -> scenarios.Server | None:
        """What the scenario says of the other end."""
        for server in self.scenario.servers:
            if (str(server.address), server.listening_port) == talk.server:
                return server
        return None


def packets(capture: Path) -> list[Any]:
    """The last frames of a capture."""
    raw = deque[Any](maxlen=MOST)  # the others are not dissected
    damage = (OSError, EOFError, ValueError, struct.error, Scapy_Exception)
    with suppress(*damage), RawPcapNgReader(str(capture)) as reader:
        raw.extend(enumerate(reader, 1))
    found = []
    for number, (data, at) in raw:
        if (packet := dissect(Ether, data)) is not None:
            packet.number = number  # Wireshark's
            packet.time = ((at.tshigh << 32) + at.tslow) / at.tsresol
            found.append(packet)
    return found


def last_time(talk: Talk) -> float:
    """When something happened in it last."""
    times = [talk.asked, talk.tried, *talk.fin.values(), *talk.reset.values()]
    times += [now for side in talk.parts.values() for now, _ in side.values()]
    return max(times + [r.time for r in talk.records])


def chain_of(case: Case, talk: Talk) -> list[x509.Certificate]:
    """What the other end has sent as its certificates, its own first."""
    side, chain = case.far(talk), list[x509.Certificate]()
    bodies = [m.body for m in talk.messages if (m.kind, m.side) == (talks.CERTIFICATE, side)]
    for der in talks.certificates(bodies[-1] if bodies else b""):
        chain.append(x509.load_der_x509_certificate(der))
    return chain


def common_name(name: x509.Name) -> str:
    """Its first one, or nothing."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def shown(name: x509.Name) -> str:
    """Its common name, or what else it tells."""
    return common_name(name) or name.rfc4514_string() or "nobody"


def alternative_names(extension: x509.SubjectAlternativeName) -> list[str]:
    names = list(extension.get_values_for_type(x509.DNSName))
    return names + [str(a) for a in extension.get_values_for_type(x509.IPAddress)]


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *BAD):
        return False
    return True


def names_of(certificate: x509.Certificate) -> list[str]:
    """Names and addresses that a certificate holds for (RFC 6125)."""
    with suppress(x509.ExtensionNotFound):
        kind = x509.SubjectAlternativeName
        return alternative_names(certificate.extensions.get_extension_for_class(kind).value)
    return [shown(certificate.subject)]


def is_pem(content: bytes) -> bool:
    return content.lstrip().startswith(b"-----BEGIN")


def spoken(talk: Talk, side: str) -> int:
    """Bytes of data that a side has sent, without TLS's own."""
    if not talk.hello():
        return len(talk.data(side)[0])
    return sum(size for _, size in talk.spoken(side))


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    return " and ".join(f"'{name}'" for name in dict.fromkeys(names))

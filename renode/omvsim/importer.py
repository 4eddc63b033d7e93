"""omvsim import: from a capture of a real device, a scenario whose peers do the same."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from scapy.layers.dns import DNS
from scapy.layers.inet import IP, TCP
from scapy.utils import PcapReader

from netsim import scenario as scenarios
from omvsim import shrink
from omvsim.errors import UserError

#: IANA's TLS cipher suites that Mbed TLS and OpenSSL share, by OpenSSL's names
SUITES = {
    0xC02B: "ECDHE-ECDSA-AES128-GCM-SHA256", 0xC02C: "ECDHE-ECDSA-AES256-GCM-SHA384",
    0xC02F: "ECDHE-RSA-AES128-GCM-SHA256", 0xC030: "ECDHE-RSA-AES256-GCM-SHA384",
    0xC023: "ECDHE-ECDSA-AES128-SHA256", 0xC024: "ECDHE-ECDSA-AES256-SHA384",
    0xC027: "ECDHE-RSA-AES128-SHA256", 0xC028: "ECDHE-RSA-AES256-SHA384",
    0xCCA8: "ECDHE-RSA-CHACHA20-POLY1305", 0xCCA9: "ECDHE-ECDSA-CHACHA20-POLY1305",
}  # fmt: skip
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384"}
VERSIONS = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
SERVER_NAME, SUPPORTED_VERSIONS = 0, 43


def add_command(commands: Any) -> None:
    """The parser of omvsim import."""
    command = commands.add_parser(
        "import", help="a scenario from a capture of a real device",
        description="Write a scenario in which the servers of a capture do what they did there: "
        "addresses, ports, names, answer delays, TLS version, suite, certificates, resets.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent("""\
            examples:
              omvsim import --camera 10.0.0.7 --out robot/field/office.toml office.pcapng

            Private keys are not in a capture: certificates are made anew with the same kinds of
            keys, names, dates and issuers. What could not be carried over is told.

            exit codes: 0 written, 2 usage or bad input
            """),
    )  # fmt: skip
    command.add_argument("capture", type=Path, metavar="CAPTURE", help="a pcap or pcapng file")
    command.add_argument(
        "--camera", metavar="ADDRESS", help="the device (default: who opens most connections)"
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="default: CAPTURE's name .toml")
    command.set_defaults(call=import_capture)


@dataclass
class Stream:
    """A TCP connection; bytes of either side in order, and when their first ones came."""

    client: tuple[str, int]
    server: tuple[str, int]
    segments: dict[str, dict[int, tuple[float, bytes]]] = field(
        default_factory=lambda: {"client": {}, "server": {}}
    )
    repeated: int = 0
    reset_by_server: bool = False

    def add(self, side: str, sequence: int, now: float, data: bytes) -> None:
        """A segment with data."""
        if sequence in self.segments[side]:
            self.repeated += 1
        else:
            self.segments[side][sequence] = now, data

    def data(self, side: str) -> bytes:
        """What the side sent, up to the first gap."""
        out, expected = b"", None
        for sequence, (_, data) in sorted(self.segments[side].items()):
            if expected is not None and sequence > expected:
                break
            out += data[(expected or sequence) - sequence :]
            expected = max(expected or 0, sequence + len(data))
        return out

    def first(self, side: str) -> float | None:
        """When its first data came."""
        return min((now for now, _ in self.segments[side].values()), default=None)


def streams(packets: list[Any]) -> list[Stream]:
    """The connections whose SYN the capture holds."""
    found: dict[tuple[Any, ...], Stream] = {}
    order = []
    for packet in packets:
        if not (packet.haslayer(IP) and packet.haslayer(TCP)):
            continue
        ip, tcp = packet[IP], packet[TCP]
        ends = (ip.src, tcp.sport), (ip.dst, tcp.dport)
        if tcp.flags.S and not tcp.flags.A:
            if ends not in found:
                found[ends] = Stream(*ends)
                order.append(found[ends])
            continue
        side = "client" if ends in found else "server"
        stream = found.get(ends) or found.get(ends[::-1])
        if stream is None:
            continue
        if side == "server" and tcp.flags.R:
            stream.reset_by_server = True
        size = ip.len - 4 * ip.ihl - 4 * tcp.dataofs  # without Ethernet's padding
        if size > 0:
            stream.add(side, tcp.seq, float(packet.time), bytes(tcp.payload)[:size])
    return order


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Handshake messages of a stream's plain records; an alert counts as type -1."""
    handshake = b""
    while len(data) >= 5:
        kind, size = data[0], int.from_bytes(data[3:5], "big")
        body, data = data[5 : 5 + size], data[5 + size :]
        if kind == 21 and size == 2:
            yield -1, body
        if kind != 22:
            break
        handshake += body
        while len(handshake) >= 4 and len(handshake) >= 4 + int.from_bytes(handshake[1:4], "big"):
            end = 4 + int.from_bytes(handshake[1:4], "big")
            yield handshake[0], handshake[4:end]
            handshake = handshake[end:]


def extensions(data: bytes) -> dict[int, bytes]:
    """From the two bytes of their common length on."""
    found, data = {}, data[2:]
    while len(data) >= 4:
        size = int.from_bytes(data[2:4], "big")
        found[int.from_bytes(data[:2], "big")] = data[4 : 4 + size]
        data = data[4 + size :]
    return found


def server_name(hello: bytes) -> str | None:
    """The SNI of a ClientHello."""
    at = 34 + 1 + hello[34]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 1 + hello[at]
    name = extensions(hello[at:]).get(SERVER_NAME, b"")[5:]
    return name.decode("ascii", "replace") or None


class Importer:
    """`table` is the scenario, `lost` what it could not take over."""

    def __init__(self, packets: list[Any], camera: str | None) -> None:
        self.lost: list[str] = []
        found = streams(packets)
        callers = Counter(stream.client[0] for stream in found)
        if not found or (camera and camera not in callers):
            who = camera or "nobody"
            raise UserError(f"{who} opens no TCP connection in it: name the device with --camera")
        self.camera = camera or callers.most_common(1)[0][0]
        self.names = {
            str(answer.rdata): answer.rrname.decode().rstrip(".")
            for packet in packets if packet.haslayer(DNS)
            for answer in packet[DNS].an or [] if answer.type == 1
        }  # fmt: skip
        self._known: dict[bytes, str] = {}
        start = datetime.fromtimestamp(int(packets[0].time), UTC)
        self.table: dict[str, Any] = {"time": start, "camera": {"rtc": start}}
        self.table |= {"certificates": {}, "server": []}
        taken = set()
        for stream in found:
            if stream.client[0] != self.camera:
                self.lost.append(f"a client at {stream.client[0]}: only servers are taken over")
            elif stream.server not in taken:
                taken.add(stream.server)
                self.table["server"].append(self._server(stream))
        if not self.table["certificates"]:
            del self.table["certificates"]

    def _server(self, stream: Stream) -> dict[str, Any]:
        address, port = stream.server
        heard = list(messages(stream.data("client")))
        said = list(messages(stream.data("server")))
        hello = next((body for kind, body in heard if kind == 1), None)
        name = (server_name(hello) if hello else None) or self.names.get(address, address)
        server = {"kind": "tls" if hello else "tcp", "name": name, "address": address}
        server["port"] = port
        where = f"{name}:{port}"
        asked, answered = stream.first("client"), stream.first("server")
        if asked and answered and answered > asked:
            key = "handshake_delay_ms" if hello else "delay_ms"
            if delay := round((answered - asked) * 1000):
                server[key] = delay
        if stream.reset_by_server:
            server["end"] = "reset"
        if stream.repeated:
            self.lost.append(f"{where}: {stream.repeated} repeated segments: add a [[fault]]")
        if hello:
            server |= self._tls(said, where)
        else:
            self.lost.append(f"{where}: contents of the conversation")
        return server

    def _tls(self, said: list[tuple[int, bytes]], where: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for kind, body in said:
            if kind == -1:
                self.lost.append(f"{where}: the alert {body[1]} that the server sent")
            elif kind == 2:
                at = 35 + body[34]
                suite = int.from_bytes(body[at : at + 2], "big")
                chosen = extensions(body[at + 3 :]).get(SUPPORTED_VERSIONS, body[:2])
                version = VERSIONS.get(int.from_bytes(chosen, "big"))
                if version:
                    found["versions"] = [version]
                if suite in SUITES:
                    found["ciphers"] = SUITES[suite]
                if not version or (version == "TLSv1.2" and suite not in SUITES):
                    self.lost.append(f"{where}: version {chosen.hex()}, suite 0x{suite:04X}")
            elif kind == 11:
                found["certificate"] = self._chain(body, where)
        if "certificate" not in found:
            self.lost.append(f"{where}: its certificates, which the capture does not show")
            found["certificate"] = self._new("unknown", {"names": [where.rpartition(":")[0]]})
        return found

    def _chain(self, body: bytes, where: str) -> str:
        """Make a Certificate message's chain anew, from the root down; the leaf's name."""
        chain, body = [], body[3:]
        while len(body) >= 3:
            size = int.from_bytes(body[:3], "big")
            chain.append(x509.load_der_x509_certificate(body[3 : 3 + size]))
            body = body[3 + size :]
        issuer = None
        top = chain[-1]
        if top.issuer != top.subject:
            root = top.issuer.rfc4514_string()
            key = {"ca": True, "common_name": _common_name(top.issuer) or "root"}
            issuer = self._made(root.encode(), "ca", key)
            self.lost.append(f"{where}: the root {root}, which was not sent: a P-256 key stands in")
        for number, certificate in reversed(list(enumerate(chain))):
            options = self._options(certificate, where)
            if issuer:
                options["issuer"] = issuer
            name = "intermediate" if number else "server"
            issuer = self._made(certificate.tbs_certificate_bytes, name, options)
        return issuer or ""

    def _made(self, identity: bytes, name: str, options: dict[str, Any]) -> str:
        if identity not in self._known:
            self._known[identity] = self._new(name, options)
        return self._known[identity]

    def _new(self, name: str, options: dict[str, Any]) -> str:
        known = self.table["certificates"]
        numbered = name if name not in known else f"{name}_{len(known)}"
        known[numbered] = options
        return numbered

    def _options(self, certificate: x509.Certificate, where: str) -> dict[str, Any]:
        options: dict[str, Any] = {
            "not_before": certificate.not_valid_before_utc,
            "not_after": certificate.not_valid_after_utc,
        }
        if common_name := _common_name(certificate.subject):
            options["common_name"] = common_name
        key = certificate.public_key()
        kind = None
        if isinstance(key, ec.EllipticCurvePublicKey):
            kind = CURVES.get(key.curve.name)
        elif isinstance(key, rsa.RSAPublicKey) and key.key_size in (2048, 4096):
            kind = f"RSA-{key.key_size}"
        elif isinstance(key, ed25519.Ed25519PublicKey):
            kind = "Ed25519"
        if kind:
            options["key"] = kind
        else:
            self.lost.append(f"{where}: the kind of key of {common_name}: P-256 stands in")
        for extension in certificate.extensions:
            value = extension.value
            if isinstance(value, x509.BasicConstraints) and value.ca:
                options["ca"] = True
            elif isinstance(value, x509.SubjectAlternativeName):
                names = value.get_values_for_type(x509.DNSName)
                names += map(str, value.get_values_for_type(x509.IPAddress))
                options["names"] = names
        return options


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def import_capture(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    if options.camera:
        try:
            ip_address(options.camera)
        except ValueError:
            raise UserError(f"--camera {options.camera}: no address: write one") from None
    try:
        with PcapReader(str(options.capture)) as reader:
            packets = list(reader)
    except OSError as error:
        raise UserError(f"{options.capture}: {error.strerror}: name a capture") from None
    except Exception as error:  # whatever scapy makes of a damaged file
        raise UserError(f"{options.capture}: no readable capture: {error}") from None
    try:
        made = Importer(packets, options.camera)
    except UserError as error:
        raise UserError(f"{options.capture}: {error}") from None
    except (IndexError, ValueError) as error:
        raise UserError(f"{options.capture}: a damaged handshake: {error}") from None
    text = f"# from {options.capture.name}, the device was {made.camera}\n"
    text += shrink.render(made.table)
    out = options.out or options.capture.with_suffix(".toml")
    scenarios.loads(text, str(out))  # what the camera's world cannot hold is told with its line
    try:
        out.write_text(text)
    except OSError as error:
        raise UserError(f"{out}: {error.strerror}: choose another --out") from None
    for what in dict.fromkeys(made.lost):
        print(f"not carried over: {what}", file=sys.stderr)
    print(f"{out}: {len(made.table['server'])} server(s)")
    return 0

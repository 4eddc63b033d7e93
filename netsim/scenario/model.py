"""What a scenario is made of: its tables as frozen dataclasses."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from netsim.scenario.schema import Count, Port, Records

Kind = Literal["https", "http", "tls", "dtls", "tcp", "ntp"]
CertificateKind = Literal["rsa_sign", "dss_sign", "rsa_fixed_dh", "dss_fixed_dh", "ecdsa_sign"]
StartTlsKind = Literal["smtp", "imap", "xmpp"]
ClientKind = Literal["tls", "dtls", "tcp"]
KeyKind = Literal["P-256", "P-384", "RSA-1024", "RSA-2048", "RSA-4096", "Ed25519"]
Version = Literal["TLSv1.2", "TLSv1.3"]
End = Literal["notify", "fin", "reset", "never"]
Direction = Literal["both", "to_camera", "from_camera"]
FaultKind = Literal[
    "loss", "burst_loss", "delay", "duplicate", "reorder", "bit_errors", "truncate",
    "mtu_black_hole", "rate_limit", "link_down", "arp_poison",
]  # fmt: skip
DEFAULT_PORTS = {
    "https": 443, "http": 80, "tls": 8443, "dtls": 5684, "tcp": 7, "ntp": 123,
    "smtp": 587, "imap": 143, "xmpp": 5222,
}  # fmt: skip
SECURED = ("https", "tls", "dtls")  # kinds that need a certificate
_SUBNET = IPv4Network("192.168.1.0/24")


@dataclass(frozen=True)
class File:
    """A file on the camera: exactly one of text, path, certificate, key."""

    text: str | None = None
    path: str | None = None
    certificate: str | None = None
    key: str | None = None
    format: Literal["der", "pem", "pkcs8"] = "der"


@dataclass(frozen=True)
class Camera:
    """The camera at power-on. `rtc` is what its clock shows: UTC, 2000 without a battery.
    (Its MAC address is the firmware's choice.)"""

    rtc: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    link: bool = True
    files: dict[str, File] = field(default_factory=dict)


@dataclass(frozen=True)
class NetworkOptions:
    """The camera's network; servers elsewhere are reached through the gateway, in
    `round_trip_ms` there and back."""

    subnet: IPv4Network = _SUBNET
    gateway: IPv4Address = _SUBNET[1]
    rate_mbit: Count = 100
    latency_us: Count = 5
    round_trip_ms: Count = 20


@dataclass(frozen=True)
class Dhcp:
    """The gateway's DHCP server."""

    enabled: bool = True
    first: IPv4Address = _SUBNET[100]
    last: IPv4Address = _SUBNET[199]
    lease_s: Count = 86400


@dataclass(frozen=True)
class Dns:
    """The gateway's DNS server: servers' names and `zone`; other names do not exist.

    A name has addresses, or is another name's alias (CNAME)."""

    enabled: bool = True
    zone: dict[str, Records] = field(default_factory=dict)


@dataclass(frozen=True)
class CertificateOptions:
    """A certificate to make, or one from `file` and `key_file` (PEM or DER)."""

    issuer: str | None = None
    ca: bool = False
    common_name: str | None = None
    names: tuple[str, ...] = ()
    not_before: datetime = datetime(2020, 1, 1, tzinfo=UTC)
    not_after: datetime = datetime(2049, 12, 31, tzinfo=UTC)
    key: KeyKind = "P-256"
    chain: tuple[str, ...] | None = None
    signed_by: str | None = None
    pss: bool = False
    permitted: tuple[str, ...] = ()
    file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True)
class Page:
    """What an HTTP server says to one path; in chunks of so many bytes, or whole (0)."""

    status: Count = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    chunk_size: Count = 0


@dataclass(frozen=True)
class Server:
    """A server for the camera to connect to."""

    kind: Kind
    name: str
    address: IPv4Address
    port: Port | None = None
    certificate: str | None = None
    verify: str | None = None
    versions: tuple[Version, ...] = ("TLSv1.2",)
    ciphers: str | None = None
    body: str = "Hello from the testbed.\n"
    greeting: str = ""
    size: Count = 0
    echo: bool = True
    delay_ms: Count = 0
    offset_s: int = 0
    handshake_delay_ms: Count = 0
    sni: dict[str, str] = field(default_factory=dict)
    record_size: Count = 0
    mss: Count = 0
    end: End = "notify"
    ignore: Count = 0
    misbehave: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    idle_ms: Count = 0
    starttls: StartTlsKind | None = None
    request_kinds: tuple[CertificateKind, ...] = ()
    request_authorities: tuple[str, ...] = ()

    @property
    def listening_port(self) -> int:
        """The port, or that of its kind."""
        return self.port or DEFAULT_PORTS[self.starttls or self.kind]


@dataclass(frozen=True)
class Client:
    """A client that connects to the camera's address, `count` times one after the other."""

    kind: ClientKind
    name: str
    address: IPv4Address
    port: Port
    camera: str = "camera"
    start_ms: Count = 1000
    retry_ms: Count = 500
    count: Count = 1
    send: str = ""
    size: Count = 0
    hold_ms: Count = 0
    leave_ms: Count = 0
    handshake_delay_ms: Count = 0
    end: End = "notify"
    misbehave: str = ""
    server_name: str | None = None
    verify: str | None = None
    certificate: str | None = None
    versions: tuple[Version, ...] = ("TLSv1.2",)
    ciphers: str | None = None


@dataclass(frozen=True)
class Fault:
    """What goes wrong on the camera's cable, from `from_ms` to `until_ms` (0: for ever)."""

    kind: FaultKind
    direction: Direction = "both"
    from_ms: Count = 0
    until_ms: Count = 0
    rate: float = 1.0
    burst: Count = 10
    delay_ms: Count = 0
    jitter_ms: Count = 0
    size: Count = 0
    kbit_s: Count = 0
    address: IPv4Address | None = None


@dataclass(frozen=True)
class Rule:
    """What happens to packets that match, from the `nth` on, `count` of them (0: all)."""

    match: str
    action: Literal["drop", "hold", "duplicate", "rewrite", "answer"]
    direction: Direction = "both"
    from_ms: Count = 0
    until_ms: Count = 0
    nth: Count = 1
    count: Count = 0
    delay_ms: Count = 0
    set: dict[str, str] = field(default_factory=dict)

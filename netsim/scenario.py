"""Scenarios: what world the camera wakes up in, read from TOML.

See README.md beside this file for every key. `load` gives frozen dataclasses; whatever is
wrong in a file becomes a ScenarioError, `FILE:LINE: key: what, remedy`.
"""

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Literal

import h11

from netsim import misbehaviours, paths, rules
from netsim.errors import ScenarioError, UserError
from netsim.schema import Count, Port, Problem, Records, convert
from netsim.toml_lines import key_lines, line_of

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
PACKAGED = Path(__file__).parent / "scenarios"


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


@dataclass(frozen=True)
class Scenario:
    """The whole world. `time` is the true time at power-on, which NTP tells; files that it names
    lie below `folder` unless they may be `outside`."""

    seed: int = 1
    time: datetime = datetime(2026, 6, 15, 12, 0, 0, tzinfo=UTC)
    camera: Camera = field(default_factory=Camera)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    dhcp: Dhcp = field(default_factory=Dhcp)
    dns: Dns = field(default_factory=Dns)
    certificates: dict[str, CertificateOptions] = field(default_factory=dict)
    servers: tuple[Server, ...] = field(default=(), metadata={"key": "server"})
    clients: tuple[Client, ...] = field(default=(), metadata={"key": "client"})
    faults: tuple[Fault, ...] = field(default=(), metadata={"key": "fault"})
    rules: tuple[Rule, ...] = field(default=(), metadata={"key": "rule"})
    text: str = field(default="", metadata={"key": ""}, compare=False)
    folder: Path = field(default=Path(), metadata={"key": ""}, compare=False)
    outside: bool = field(default=False, metadata={"key": ""}, compare=False)

    def with_seed(self, seed: int) -> "Scenario":
        """The same world with other random numbers and keys."""
        return replace(self, seed=seed)

    def with_one(
        self, key: Literal["server", "client", "fault", "rule"], **table: Any
    ) -> "Scenario":
        """The same world with one more server, client, fault or rule, last of its list.

        `table` has the keys of a scenario file; raises UserError.
        """
        kind = {"server": Server, "client": Client, "fault": Fault, "rule": Rule}[key]
        try:
            more: dict[str, Any] = {f"{key}s": (*getattr(self, f"{key}s"), convert(kind, table))}
            result: Scenario = replace(self, **more)
            for problem in _check(result):
                raise problem
        except Problem as problem:
            at = [str(step) for step in problem.path[-1:] if isinstance(step, str)]
            raise UserError(": ".join([key, *at, problem.what])) from None
        return result


def load(path: Path | str, outside: bool = False) -> Scenario:
    """Read a scenario file, which may name files outside its folder if it is trusted; raises
    ScenarioError."""
    path = Path(path)
    try:
        text = paths.read(path).decode()
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8, save the scenario as UTF-8 text") from None
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise UserError(f"{path}: {reason}, name a readable scenario file (TOML)") from None
    return loads(text, str(path), path.parent, outside)


def named(name: str) -> Scenario:
    """A scenario of this package: `default`, `unknown_ca`, `wrong_name`, `expired`."""
    if name not in (known := sorted(p.stem for p in PACKAGED.glob("*.toml"))):
        raise UserError(f"no scenario is called {name}, use a file or one of {', '.join(known)}")
    return load(PACKAGED / f"{name}.toml")


def default() -> Scenario:
    """The world in which the ssl page's client example runs."""
    return named("default")


def loads(
    text: str, origin: str = "<scenario>", folder: Path = Path(), outside: bool = False
) -> Scenario:
    """Read a scenario; relative paths in it start at `folder`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).partition(" (at ")
        line = int("".join(c for c in place.split(",")[0] if c.isdigit()) or text.count("\n") + 1)
        raise ScenarioError(origin, line, "", f"no valid TOML: {what.lower()}") from None
    except (ValueError, RecursionError) as error:  # an int of 5000 digits, a list of a list of ...
        what = str(error).partition(":")[0].lower()
        raise ScenarioError(origin, 1, "", f"no valid scenario: {what}") from None
    try:
        result: Scenario = convert(Scenario, table)
        result = replace(result, text=text, folder=folder, outside=outside)
        for problem in _check(result):
            raise problem
    except Problem as problem:
        lines = key_lines(text)
        key = ".".join(str(p) for p in problem.path)
        line = line_of(lines, problem.path)
        raise ScenarioError(origin, line, key, problem.what) from None
    return result


def _check(scenario: Scenario) -> Iterator[Problem]:
    """What types alone do not tell."""
    subnet = scenario.network.subnet
    if not 1970 <= scenario.time.year < 2500:
        yield Problem(("time",), "a capture holds the years 1970 to 2499, choose one of them")
    if scenario.network.rate_mbit == 0:
        yield Problem(("network", "rate_mbit"), "a link of 0 Mbit/s, write 10, 100 or so")
    if scenario.network.gateway not in subnet:
        yield Problem(("network", "gateway"), f"lies outside {subnet}, choose one inside")
    for end in ("first", "last"):
        if scenario.dhcp.enabled and getattr(scenario.dhcp, end) not in subnet:
            yield Problem(("dhcp", end), f"lies outside {subnet}, choose one inside")
    if scenario.dhcp.first > scenario.dhcp.last:
        yield Problem(("dhcp", "last"), "lies before first, swap them")
    yield from _check_zone(scenario)
    for name, file in scenario.camera.files.items():
        yield from _check_file(scenario, name, file)
    for name, certificate in scenario.certificates.items():
        yield from _check_certificate(scenario, name, certificate)
    yield from _check_servers(scenario)
    for number, fault in enumerate(scenario.faults):
        yield from _check_fault(("fault", number), fault)
    for number, rule in enumerate(scenario.rules):
        yield from _check_rule(("rule", number), rule)
    for number, client in enumerate(scenario.clients):
        yield from _check_peer(scenario, ("client", number), client)
        if not client.retry_ms:
            yield Problem(("client", number, "retry_ms"), "lets no time pass, write 1 or more")


def _check_zone(scenario: Scenario) -> Iterator[Problem]:
    known = {server.name for server in scenario.servers} | {*scenario.dns.zone}
    for name, records in scenario.dns.zone.items():
        if isinstance(records[0], str) and records[0] not in map(str.lower, known - {name}):
            what = f"{records[0]!r} is no IPv4 address, and no name that is known here"
            yield Problem(("dns", "zone", name), what)


#: keys without which a kind of fault does nothing
_NEEDED = {
    "reorder": "delay_ms", "mtu_black_hole": "size", "rate_limit": "kbit_s",
    "arp_poison": "address",
}  # fmt: skip


def _check_fault(path: tuple[str, int], fault: Fault) -> Iterator[Problem]:
    if not 0 <= fault.rate <= 1:
        yield Problem((*path, "rate"), f"{fault.rate:g} is no share, write 0 to 1")
    if not fault.burst:
        yield Problem((*path, "burst"), "no burst is that short, write 1 or more")
    needed = _NEEDED.get(fault.kind)
    if needed and not getattr(fault, needed):
        yield Problem(path, f"{needed} is missing, a {fault.kind} needs it")
    if fault.kind == "delay" and not fault.delay_ms and not fault.jitter_ms:
        yield Problem(path, "delay_ms or jitter_ms is missing, a delay needs one")
    if fault.kind == "rate_limit" and fault.size < 1514:
        yield Problem((*path, "size"), "the queue holds no frame, write 1514 bytes or more")
    yield from _check_window(path, fault)


def _check_rule(path: tuple[str, int], rule: Rule) -> Iterator[Problem]:
    for key, parse in (("match", lambda: rules.parse(rule.match)),
                       ("set", lambda: rules.parse_set(rule.set))):  # fmt: skip
        try:
            parse()
        except ValueError as error:
            yield Problem((*path, key), str(error))
    if (rule.action in ("rewrite", "answer")) != bool(rule.set):
        yield Problem(
            path, f"the action {rule.action} and set do not fit: rewrite and answer need it"
        )
    if not rule.nth:
        yield Problem((*path, "nth"), "counts from 1, write 1 or more")
    if rule.action == "hold" and not rule.delay_ms:
        yield Problem(path, "delay_ms is missing, hold needs it")
    yield from _check_window(path, rule)


def _check_window(path: tuple[str, int], options: Fault | Rule) -> Iterator[Problem]:
    if options.until_ms and options.until_ms <= options.from_ms:
        yield Problem((*path, "until_ms"), "lies before from_ms, swap them")


def _check_servers(scenario: Scenario) -> Iterator[Problem]:
    taken: dict[tuple[IPv4Address, int], str] = {}
    for number, server in enumerate(scenario.servers):
        path = ("server", number)
        yield from _check_peer(scenario, path, server)
        if server.mss and not 64 <= server.mss <= 1460:
            yield Problem((*path, "mss"), "Ethernet's segments hold 64 to 1460 bytes, write that")
        if server.kind in SECURED and server.certificate is None and not server.sni:
            yield Problem(path, "certificate is missing, add certificate = ...")
        own = server.misbehave or server.request_kinds
        if server.starttls and (server.kind != "tls" or own):
            what = "goes with kind tls that neither misbehaves nor has request_kinds"
            yield Problem((*path, "starttls"), what)
        yield from _check_request(scenario, path, server)
        for at, page in server.pages.items():
            yield from _check_page((*path, "pages", at), server, at, page)
        place = (server.address, server.listening_port)
        if place in taken:
            what = f"{taken[place]} has this address and port too, change one"
            yield Problem((*path, "address"), what)
        taken[place] = server.name


def _check_request(
    scenario: Scenario, path: tuple[str | int, ...], server: Server
) -> Iterator[Problem]:
    """Our own endpoint asks: it knows one suite and P-256."""
    made = scenario.certificates.get(server.certificate or "")
    if server.request_kinds and (server.kind != "tls" or not made or made.key != "P-256"):
        yield Problem((*path, "request_kinds"), "needs kind tls with a certificate of a P-256 key")
    if server.request_authorities and not server.request_kinds:
        yield Problem((*path, "request_authorities"), "asks nothing without request_kinds")
    for name in server.request_authorities:
        if name not in scenario.certificates:
            yield Problem((*path, "request_authorities"), _no_certificate(name))


def _check_page(
    path: tuple[str | int, ...], server: Server, at: str, page: Page
) -> Iterator[Problem]:
    if server.kind not in ("http", "https"):
        yield Problem(path, f"kind {server.kind} has no pages, http and https have")
    if not at.startswith("/"):
        yield Problem(path, 'a path starts with "/"')
    if not 200 <= page.status <= 599:
        yield Problem((*path, "status"), f"{page.status} is none, write 200 to 599")
    try:
        h11.Response(status_code=200, headers=list(page.headers.items()))
    except (h11.LocalProtocolError, UnicodeEncodeError) as error:
        yield Problem((*path, "headers"), f"no header of HTTP: {error}")


LONGEST = 1 << 28  # bytes that a peer sends, which are kept in memory


def _check_peer(
    scenario: Scenario, path: tuple[str, int], peer: Server | Client
) -> Iterator[Problem]:
    pool = scenario.dhcp
    if peer.name in ("gateway", "camera"):
        yield Problem((*path, "name"), f"{peer.name} is taken, choose another")
    if peer.address == scenario.network.gateway:
        yield Problem((*path, "address"), "is the gateway's, choose another")
    if pool.enabled and pool.first <= peer.address <= pool.last:
        yield Problem((*path, "address"), "lies in the DHCP server's pool, choose another")
    if not peer.versions:
        yield Problem((*path, "versions"), "is empty, name at least one version")
    for key in ("certificate", "verify"):
        name = getattr(peer, key)
        if name is not None and name not in scenario.certificates:
            yield Problem((*path, key), _no_certificate(name))
    if peer.size > LONGEST:
        yield Problem((*path, "size"), f"is more than a peer holds, write up to {LONGEST}")
    if peer.misbehave:
        yield from _check_misbehaviour(scenario, path, peer)
    for name in peer.sni.values() if isinstance(peer, Server) else ():
        if name not in scenario.certificates:
            yield Problem((*path, "sni"), _no_certificate(name))


def _check_misbehaviour(
    scenario: Scenario, path: tuple[str, int], peer: Server | Client
) -> Iterator[Problem]:
    known = misbehaviours.BY_KIND.get(peer.kind, {})
    for wish in peer.misbehave.split():
        name, *arguments = wish.split(":")
        wanted = misbehaviours.ARGUMENTS.get(name, 0)
        if name not in known:
            names = f"use one of {', '.join(known)}" if known else f"kind {peer.kind} has none"
            yield Problem((*path, "misbehave"), f"{wish!r} is unknown, {names}")
        elif len(arguments) != wanted or not all(a.isdigit() and int(a) < 256 for a in arguments):
            yield Problem((*path, "misbehave"), f"{wish!r} is incomplete, write {known[name]}")
    made = scenario.certificates.get(peer.certificate or "")
    if known and made and made.key != "P-256":
        yield Problem((*path, "certificate"), "misbehaving peers need a P-256 key")
    if peer.kind == "dtls" and len(peer.misbehave.split()) != 1:
        yield Problem((*path, "misbehave"), "DTLS peers misbehave in one way, name one")


def _no_certificate(name: str) -> str:
    return f"no certificate is called {name}, add [certificates.{name}]"


def _check_file(scenario: Scenario, name: str, file: File) -> Iterator[Problem]:
    path = ("camera", "files", name)
    sources = (file.text, file.path, file.certificate, file.key)
    if sum(s is not None for s in sources) != 1:
        yield Problem(path, "write exactly one of text, path, certificate, key")
    if file.path is not None:
        yield from _check_reference(scenario, path, file.path, "file")
    for reference in (file.certificate, file.key):
        if reference is not None and reference not in scenario.certificates:
            yield Problem(path, _no_certificate(reference))


def _check_reference(
    scenario: Scenario, path: tuple[str, ...], name: str, what: str
) -> Iterator[Problem]:
    """A file that the scenario names."""
    try:
        found = scenario.folder / name if scenario.outside else paths.below(scenario.folder, name)
    except ValueError as error:
        yield Problem(path, f"{error}, put it there or give --allow-outside")
    else:
        if not os.path.isfile(found):
            yield Problem(path, f"there is no {what} {name}, paths start at the scenario's folder")


def _check_certificate(
    scenario: Scenario, name: str, options: CertificateOptions
) -> Iterator[Problem]:
    path = ("certificates", name)
    for key in ("file", "key_file"):
        file = getattr(options, key)
        if file is not None:
            yield from _check_reference(scenario, (*path, key), file, "certificate file")
    for other in (*(options.chain or ()), *filter(None, [options.signed_by])):
        if other not in scenario.certificates or other == name:
            yield Problem(path, f"chain, signed_by: {_no_certificate(other)}")
    if options.not_after <= options.not_before:
        yield Problem((*path, "not_after"), "lies before not_before, swap them")
    seen, issuer = {name}, options.issuer
    while issuer is not None:
        if issuer not in scenario.certificates:
            yield Problem((*path, "issuer"), _no_certificate(issuer))
            return
        if issuer in seen:
            yield Problem((*path, "issuer"), "the issuers go round in a circle, end at a root")
            return
        seen.add(issuer)
        issuer = scenario.certificates[issuer].issuer

"""What is wrong with a scenario beyond its types: references, ranges, what does not go together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import h11

from netsim import paths
from netsim.scenario import misbehaviours, terms
from netsim.scenario.model import (
    SECURED,
    CertificateOptions,
    Client,
    Fault,
    File,
    Page,
    Rule,
    Server,
)
from netsim.scenario.schema import Problem

if TYPE_CHECKING:
    from netsim.scenario.world import Scenario


def problems(scenario: Scenario) -> Iterator[Problem]:
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
    for key, parse in (("match", lambda: terms.parse(rule.match)),
                       ("set", lambda: terms.parse_set(rule.set))):  # fmt: skip
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
    if framing := {"content-length", "transfer-encoding"} & set(map(str.lower, page.headers)):
        what = f"{framing.pop()} follows from body and chunk_size, leave it"
        yield Problem((*path, "headers"), what)
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

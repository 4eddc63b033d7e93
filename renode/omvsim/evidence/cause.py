"""Why a run did not pass, in one sentence, from what it left behind.

A table of what MicroPython raises (RAISED) and one of where a script waits (WAITING) lead to a
function each, which looks at the conversation, the certificates and the clock for the reason.
Where none knows, the sentence tells what happened last on each side.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from cryptography import x509

from netsim.tls import records as tls_records
from omvsim.conversations import talks
from omvsim.conversations.talks import Talk
from omvsim.engine import Fault
from omvsim.evidence.case import BAD, Case, chain_of, counted, is_pem, listed, spoken
from omvsim.evidence.chain import VERIFIED
from omvsim.evidence.places import place_at

BUSY = 0.1  # instructions a nanosecond: it hardly sleeps
NOT_HERE = {"sensor": "camera sensor", "pyb": "pyb module", "omv": "omv module", "ml": "ml module"}
NO_NETWORKS = ("WLAN", "WIZNET5K", "PPP", "Bluetooth")


def sentence(case: Case) -> str:
    """Why it did not pass."""
    told = ""
    with suppress(Exception):  # whatever a stranger's frames do to a reader, the run has its end
        told = _told(case)
    return " ".join((told or _last(case)).splitlines())


def _told(case: Case) -> str:
    match case.outcome:
        case "exception":
            return _raised(case)
        case "time limit":
            return _waits(case)
        case "fault" | "lockup" if case.fault:
            return _fault(case, case.fault)
        case "reset":
            line = _line_with(case, "reset()") or _line_with(case, "deepsleep(")
            return f"{case.detail}{line}"
    return case.detail


def _line_with(case: Case, text: str) -> str:
    numbers = [n for n, line in enumerate(case.source.splitlines(), 1) if text in line]
    return f" (script line {numbers[0]})" if len(numbers) == 1 else ""


# What the script raised ----------------------------------------------------------------------


def _raised(case: Case) -> str:
    for pattern, tell in RAISED:
        if (found := re.search(pattern, case.raised)) and (told := tell(case, found)):
            return told + case.where
    return ""


def _certificate_says(case: Case, found: re.Match[str]) -> str:
    """X509 verification: Mbed TLS tells all that is wrong, a line each."""
    talk = case.talk
    chain = chain_of(case, talk) if talk else []
    if not talk or not chain:
        return ""
    told = [tell(case, talk, chain) for text, tell in VERIFIED if text in case.raised]
    return "; ".join(text for text in told if text)


def _alert(case: Case, found: re.Match[str]) -> str:
    """The peer's fatal alert, and what it is about."""
    talk = case.talk
    if not talk:
        return ""
    alerts = [r.body for r in talk.records if (r.kind, r.side) == (talks.ALERT, case.far(talk))]
    if not alerts:
        return ""
    clear = [body for body in alerts if len(body) == 2]
    if not clear:
        return f"{case.who(talk)} ended the handshake with an encrypted alert{_mutual(case, talk)}"
    kind = tls_records.alert(clear[-1][1])
    who = case.who(talk)
    reason = ALERTS[kind](case, talk) if kind in ALERTS else ""
    return f"{who} {reason + ': it ' if reason else ''}answered with the fatal alert {kind}"


def _no_version(case: Case, talk: Talk) -> str:
    server = case.server(talk)
    if server and server.versions == ("TLSv1.3",):
        return "offers TLS 1.3 only, and the camera speaks 1.2"
    return "refuses TLS 1.2, all that the camera speaks"


def _nothing_common(case: Case, talk: Talk) -> str:
    server = case.server(talk)
    options = case.scenario.certificates.get(server.certificate or "") if server else None
    if options and options.key == "Ed25519":
        return "has an Ed25519 certificate, which the camera cannot verify"
    with suppress(*BAD):
        hello = talk.hello()
        if hello and len(hello.suites) <= 2:  # one, and the signal of secure renegotiation
            return f"speaks none of the cipher suites that the script has set ({_suites(hello)})"
    if server and server.ciphers:
        return f"speaks {server.ciphers} only, which the camera does not offer"
    return "finds no cipher suite, curve or signature in common with the camera"


def _suites(hello: talks.Hello) -> str:
    known = talks.suite_names()
    return ", ".join(known.get(code, f"0x{code:04X}") for code in hello.suites if code != 0xFF)


def _mutual(case: Case, talk: Talk) -> str:
    asked = any(m.kind == 13 and m.side == "server" for m in talk.messages)
    sent = [m for m in talk.messages if m.kind == talks.CERTIFICATE and m.side == "client"]
    if asked and not any(len(m.body) > 3 for m in sent):
        return ": it asks for a client certificate and the camera has sent none"
    return ": it asks for a client certificate" if asked else ""


def _wants_certificate(case: Case, talk: Talk) -> str:
    if told := _mutual(case, talk):
        return told[2:].replace("it asks", "asks") + ","
    return ""


ALERTS: dict[str, Callable[[Case, Talk], str]] = {
    "protocol_version": _no_version,
    "handshake_failure": lambda case, talk: (
        _wants_certificate(case, talk) or _nothing_common(case, talk)
    ),
    "certificate_required": _wants_certificate,
    "unknown_ca": lambda case, talk: "does not trust the camera's certificate",
    "bad_certificate": lambda case, talk: "does not accept the camera's certificate",
    "certificate_expired": lambda case, talk: "finds the camera's certificate expired",
    "unrecognized_name": lambda case, talk: f"knows no '{case.who(talk)}'",
}


def _plain(case: Case, found: re.Match[str]) -> str:
    talk = case.talk
    if not talk:
        return ""
    data = talk.data(case.far(talk))[0]
    if any(r.side == case.far(talk) for r in talk.records):
        return f"{case.place(talk)} sends something that is no TLS record, amid others"
    if not data:
        return ""
    first = data.split(b"\n")[0][:60].decode("latin-1").strip()
    return f"{case.place(talk)} speaks no TLS: it sends {first!r}"


def _ended(case: Case, found: re.Match[str]) -> str:
    """A connection that the peer has refused, reset or closed, or that never was."""
    talk = case.talk
    if not talk or talk.datagrams:
        return _no_way(case, found)
    side, place = case.far(talk), case.place(talk)
    if talk.opened is None and not case.is_server(talk):
        if "server" in talk.reset:
            return f"{place} refused the connection: nobody listens on port {talk.server[1]} there"
        return _never_answered(case, talk)
    how = "reset the connection" if side in talk.reset else "closed the connection"
    if side not in talk.reset and side not in talk.fin:
        return _silent(case, talk)
    return f"{place} {how}{_stage(case, talk)}"


def _stage(case: Case, talk: Talk) -> str:
    """How far the conversation had come."""
    if talk.secured("client") is not None and talk.secured("server") is not None:
        return f" after {counted(spoken(talk, case.far(talk)), 'byte')} of data"
    said = [m for m in talk.messages if m.side != case.far(talk)]
    if said:
        name = tls_records.message(said[-1].kind)
        return f" in the handshake, after the camera's {name}{_mutual(case, talk)}"
    data = talk.data(case.far(talk))[0]
    return f" after {counted(len(data), 'byte')}"


def _never_answered(case: Case, talk: Talk) -> str:
    address, port = talk.server
    name = case.name(address)
    shown = f"{address}:{port}" if name == address else f"{name}:{port} ({address})"
    told = f"the SYN to {shown} was never answered"
    return told + _cable(case)


def _cable(case: Case) -> str:
    faults = [f.kind for f in case.scenario.faults if f.kind in ("link_down", "loss")]
    return f": the scenario's cable suffers {listed(faults)}" if faults else ""


def _silent(case: Case, talk: Talk) -> str:
    """The connection stands, and the other end says nothing more."""
    side, place = case.far(talk), case.place(talk)
    if talk.datagrams and talk.first(side) is None:
        return f"{place} never answered the ClientHello ({counted(talk.unanswered, 'datagram')})"
    if talk.hello() and not (talk.secured("client") and talk.secured("server")):
        said = [m for m in talk.messages if m.side == side]
        name = tls_records.message(said[-1].kind) if said else ""
        after = f"after its {name}" if name else "after the camera's ClientHello"
        return f"{place} says nothing more in the handshake, {after}"
    size = spoken(talk, side)
    return f"{place} has sent {counted(size, 'byte')} and keeps the connection open"


def _no_way(case: Case, found: re.Match[str] | None = None) -> str:
    """No route: no cable, no address, nobody behind it."""
    world = case.scenario
    if not world.camera.link or any(f.kind == "link_down" for f in world.faults):
        return "the cable is out: the scenario takes the link away"
    if not world.dhcp.enabled and not case.services.leases:
        return "the camera has no address: the scenario's DHCP server is off"
    if not case.services.leases:
        asked = sum("DISCOVER" in e.text for e in case.events)
        if asked:
            return f"the camera has no address: nobody answered its {asked} DHCP DISCOVER"
    arps = [e for e in case.events if e.protocol == "ARP" and e.source == "camera"]
    if arps and (arp := re.search(r"who has ([\d.]+)", arps[-1].text)):
        answered = any(f"ARP {arp[1]} is at" in e.text for e in case.events)
        if not answered:
            return f"nobody answered ARP for {arp[1]}"
    return ""


def _resolves(case: Case, found: re.Match[str]) -> str:
    """getaddrinfo() failed: what DNS said."""
    asked = [n for n in case.services.asked_dns if n not in case.services.zone]
    named = re.search(r"getaddrinfo\(\s*['\"]([^'\"]+)", case.code)
    name = named[1] if named else asked[-1] if asked else ""
    if name and name in case.services.answered_dns:
        return f"DNS knows no address of '{name}'"
    if name and name in case.services.asked_dns:
        off = "" if case.scenario.dns.enabled else ": the scenario's DNS server is off"
        return f"nobody answered the DNS question for '{name}'{off}"
    if told := _no_way(case):
        return told
    return f"'{name}' could not be resolved: no DNS question was sent" if name else ""


def _memory(case: Case, found: re.Match[str]) -> str:
    size = re.search(r"allocating (\d+) bytes", case.raised)
    asked = f" of {int(size[1]):,} bytes" if size else ""
    if not size and case.talk and case.talk.hello():
        who = case.who(case.talk)
        return f"the heap has no room for TLS with {who}: close sockets, then gc.collect()"
    return f"the camera's heap has no room for an allocation{asked}"


def _pools(case: Case, found: re.Match[str]) -> str:
    opened = [t for t in case.talks if t.opened and not t.left("client") and not t.datagrams]
    if len(opened) > 3:
        return f"lwIP has no more TCP connections: {len(opened)} are open, close() ends one"
    return _memory(case, found)


def _file(case: Case, found: re.Match[str]) -> str:
    """A file that the script opens and the camera has not."""
    named = [n for n in re.findall(r"['\"]([^'\"]+\.\w+|/[^'\"]+)['\"]", case.code)]
    missing = [n for n in named if n.lstrip("/") not in case.files]
    if not missing:
        return ""
    held = f"; it holds {listed(sorted(case.files))}" if case.files else ""
    return f"'{missing[0]}' is not on the camera{held}: [camera.files] puts it there"


def _credential(case: Case, found: re.Match[str]) -> str:
    """`invalid cert` and `invalid key`: what the file holds instead."""
    wants = "key" if "key" in found[0] else "certificate"
    named = [n for n in case.files if n in case.code]
    named = named or [n for n in case.files if n in case.source]
    for name in named:
        content = case.files[name]
        if is_pem(content):
            return f"{name} is PEM; the camera takes DER: `omvsim certs --convert {name}`"
    for name in named:
        content = case.files[name]
        is_certificate = False
        with suppress(*BAD):
            x509.load_der_x509_certificate(content)
            is_certificate = True
        if b"\x2b\x65\x70" in content[:64] and not is_certificate:
            return (
                f"{name} holds an Ed25519 key, which Mbed TLS does not know: P-256 or RSA it does"
            )
        if not content:
            return f"{name} is empty"
        if is_certificate and wants == "key" and len(named) == 1:
            return f"{name} holds a certificate, no key"
        if not is_certificate and wants == "certificate":
            return f"{name} holds no certificate in DER"
    return ""


def _module(case: Case, found: re.Match[str]) -> str:
    name = found[1]
    if name in NOT_HERE:
        return f"this board has no {NOT_HERE[name]}: 'import {name}' cannot work here"
    return f"there is no module '{name}' on the camera: [camera.files] puts '{name}.py' there"


def _attribute(case: Case, found: re.Match[str]) -> str:
    if found[1] in NO_NETWORKS:
        return f"this board has no network.{found[1]}: its network is network.LAN()"
    return ""


def _syntax(case: Case, found: re.Match[str]) -> str:
    return f"MicroPython cannot read the script: {case.code!r}" if case.code else ""


def _says(text: str) -> Callable[[Case, re.Match[str]], str]:
    return lambda case, found: text


def _dtls_silence(case: Case, found: re.Match[str]) -> str:
    talk = case.talk
    return _silent(case, talk) if talk and talk.datagrams else ""


def _timed_out(case: Case, found: re.Match[str]) -> str:
    talk = case.talk
    if not talk:
        return _no_way(case)
    if talk.opened is None and not talk.datagrams and not case.is_server(talk):
        return _never_answered(case, talk)
    return _silent(case, talk)


#: what the exception looks like, and who knows about it; the first that tells something wins
RAISED: list[tuple[str, Callable[[Case, re.Match[str]], str]]] = [
    (r"ValueError: .*CERT_REQUIRED requires server_hostname",
     _says("CERT_REQUIRED needs a name to check: wrap_socket(..., server_hostname=...)")),
    (r"(?s)ValueError:.*(certificate|validity|CN)", _certificate_says),
    (r"ValueError: invalid (cert|key)", _credential),
    (r"OSError: \(?-9984", _certificate_says),
    (r"OSError: \(?-30336", _says(
        "CERT_REQUIRED, and no CA to check against: load_verify_locations(cafile='ca.der')")),
    (r"OSError: \(?-29184", _plain),
    (r"OSError: \(?-30592", _alert),
    (r"OSError: \(?-29312", _ended),
    (r"OSError: \(?-24192", _says(
        "set_ciphers() names no cipher suite that the camera knows: ctx.get_ciphers() lists them")),
    (r"OSError: \(?-28928", _says(
        "a DTLS server needs client_id=: the client's address as bytes, for its cookie")),
    (r"OSError: \(?-27264", _says(
        "a DTLS client's first hello gets a cookie and no more: wrap its next datagram anew")),
    (r"OSError: \(?-26624", _dtls_silence),
    (r"OSError: \(?-29056", _says("a record did not decrypt: its authentication tag is wrong")),
    (r"OSError: \(?-28800|OSError: \(?-28864", _says(
        "the other end sends a handshake message that the camera cannot use")),
    (r"OSError: -2$", _resolves),
    (r"OSError: -6$|OSError: \[Errno 118\]", _no_way),
    (r"OSError: \[Errno (103|104|107|32|128)\]", _ended),
    (r"OSError: \[Errno 110\]|OSError: \[Errno 116\]|timed out", _timed_out),
    (r"OSError: \[Errno 11\]|OSError: \[Errno 115\]", _timed_out),
    (r"OSError: \[Errno 113\]|OSError: \[Errno 101\]", _no_way),
    (r"OSError: \[Errno 112\]|OSError: \[Errno 98\]", _says(
        "the port is taken: another socket of the camera is bound to it")),
    (r"OSError: \[Errno 12\]", _pools),
    (r"OSError: \[Errno 2\]", _file),
    (r"MemoryError", _memory),
    (r"ImportError: no module named '([\w.]+)'", _module),
    (r"AttributeError: 'module' object has no attribute '(\w+)'", _attribute),
    (r"SyntaxError", _syntax),
]  # fmt: skip


# Where the script waits ----------------------------------------------------------------------


def _waits(case: Case) -> str:
    """A time limit: the line that Ctrl-C has met, and what it waits for."""
    lines = [case.code]
    if "sleep" in case.code:  # for what the loop around it asks
        lines.insert(0, case.loop)
    for line in lines:
        for pattern, tell in WAITING:
            if (found := re.search(pattern, line)) and (told := tell(case, found)):
                return told + case.where
    talk = case.talk
    if case.instructions > BUSY * case.now:
        place = f", at `{case.code}`" if case.code else ""
        who = "script" if case.source else "firmware"
        return f"the {who} computes without an end{place}{case.where}"
    if talk and not case.code:
        return _silent(case, talk)
    return f"the script waits at `{case.code}`{case.where}" if case.code else ""


def _reads(case: Case, found: re.Match[str]) -> str:
    talk = case.talk
    if not talk:
        return ""
    side, wanted = case.far(talk), found[2]
    size = spoken(talk, side)
    sent = f"{'the client' if side == 'client' else 'the server'} has sent {size}"
    if talk.left(side) is None:
        call = f"{found[1]}({wanted})"
        waits = f"for {wanted} bytes" if wanted.isdigit() else "for the end of the stream"
        if found[1] in ("readline", "recv", "recvfrom"):
            waits = "for a line" if found[1] == "readline" else "for data"
        return f"{call} waits {waits}; {sent} and keeps the connection open"
    return ""


def _accepts(case: Case, found: re.Match[str]) -> str:
    port = re.findall(r"bind\(.*?(\d{2,5})\b", case.source)
    at = f" on port {port[-1]}" if port else ""
    late = [c for c in case.scenario.clients if c.start_ms * 1_000_000 > case.now]
    later = f": {late[0].name} calls {late[0].start_ms / 1000:g} s after power-on" if late else ""
    return f"accept() waits for a client, and nobody has called{at}{later}"


def _connects(case: Case, found: re.Match[str]) -> str:
    return _timed_out(case, found) if case.talk else _no_way(case)


def _handshakes(case: Case, found: re.Match[str]) -> str:
    return _silent(case, case.talk) if case.talk else ""


def _sleeps(case: Case, found: re.Match[str]) -> str:
    return "the script sleeps, again and again or for longer than the time limit"


def _address(case: Case, found: re.Match[str]) -> str:
    return _no_way(case) or "the script waits for the network"


WAITING: list[tuple[str, Callable[[Case, re.Match[str]], str]]] = [
    (r"isconnected\(|ifconfig\(|\.status\(", _address),
    (r"\.accept\(", _accepts),
    (r"wrap_socket\(|do_handshake\(", _handshakes),
    (r"\.connect\(", _connects),
    (r"\.(read|recv|recvfrom|readinto|readline|recv_into)\(([^)]*)\)", _reads),
    (r"sleep(_ms|_us)?\(", _sleeps),
]


# A fault, and the end of knowledge -----------------------------------------------------------


def _fault(case: Case, fault: Fault) -> str:
    words = [CFSR[name] for name in fault.causes if name in CFSR]
    at = "".join(f" ({name})" for name in fault.causes if "=" in name)
    why = f": {' and '.join(words)}{at}" if words else ""
    place = place_at(case.images, fault.pc)
    caller = "" if place else place_at(case.images, fault.r[14] & ~1)
    by = f", called by {caller}" if caller else ""
    where = f"in {place}" if place else f"at pc 0x{fault.pc:08X}, outside all functions{by}"
    return f"the firmware took a {fault.exception} {where}{why}"


#: CFSR's bits in words (DDI 0403 B3.2.15)
CFSR = {
    "IACCVIOL": "it jumped to memory that is not executable",
    "DACCVIOL": "it accessed memory that the MPU forbids",
    "MUNSTKERR": "unstacking met the MPU",
    "MSTKERR": "stacking met the MPU: the stack has overflowed",
    "IBUSERR": "it jumped to where there is no memory",
    "PRECISERR": "it accessed an address where nothing is",
    "IMPRECISERR": "a write went to an address where nothing is",
    "UNSTKERR": "unstacking met an address where nothing is",
    "STKERR": "stacking met an address where nothing is: the stack has overflowed",
    "UNDEFINSTR": "it executed what is no instruction",
    "INVSTATE": "it left Thumb state: a jump to an even address",
    "INVPC": "it returned from an exception by a wrong EXC_RETURN",
    "NOCP": "it used the FPU, which is off",
    "UNALIGNED": "it accessed an unaligned address",
    "DIVBYZERO": "it divided by zero",
}


def _last(case: Case) -> str:
    """What happened last on each side."""
    told = [case.raised.splitlines()[-1] + case.where] if case.raised else []
    if case.outcome == "time limit":
        told = []
    words = [e for e in case.events if e.protocol not in ("ARP", "DHCP")]
    own = [e for e in words if e.source == "camera"]
    far = [e for e in words if e.target in ("camera", "*") and e.source != "camera"]
    if own:
        told.append(f"the camera's last word: {own[-1].text}, to {own[-1].target}")
    if far:
        told.append(f"the network's: {far[-1].text}, from {far[-1].source}")
    return "; ".join(told) or case.detail.strip().splitlines()[-1] if told or case.detail else ""

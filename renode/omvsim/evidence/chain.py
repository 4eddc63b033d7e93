"""What is wrong with a chain of certificates, as the camera sees it (RFC 5280 section 6)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from omvsim.conversations.talks import Talk
from omvsim.evidence.case import Case, chain_of, listed, names_of, shown, signed_by

COLD = 2020  # a clock below that year was never set


@dataclass(frozen=True)
class Card:
    """A certificate as a person reads it; `wrong`: what the camera does not accept of it."""

    place: str
    subject: str
    issuer: str
    names: tuple[str, ...]
    first: datetime
    last: datetime
    key: str
    wrong: tuple[str, ...]


def cards(case: Case) -> list[Card]:
    """What the other end of the last conversation has sent, and what the camera trusts."""
    talk, made = case.talk, list[Card]()
    chain = chain_of(case, talk) if talk else []
    if not talk or not chain:
        return []
    for number, certificate in enumerate(chain):
        wrong = _wrong_dates(case, certificate)
        hello = talk.hello()
        if not number and hello and hello.name and not is_for(certificate, hello.name):
            wrong.append(f"not for '{hello.name}'")
        signers = [*chain[1:], *case.anchors.values()]
        if not any(certificate == a or signed_by(certificate, a) for a in signers):
            wrong.append("signed by nobody that is here")
        place = f"sent by {case.who(talk)}" + (
            f", {number + 1} of {len(chain)}" if chain[1:] else ""
        )
        made.append(_card(place, certificate, wrong))
    for name, anchor in case.anchors.items():
        made.append(_card(f"on the camera: {name}", anchor, _wrong_dates(case, anchor)))
    return made


def _wrong_dates(case: Case, made: x509.Certificate) -> list[str]:
    if case.clock is None or made.not_valid_before_utc <= case.clock <= made.not_valid_after_utc:
        return []
    when = "expired" if made.not_valid_after_utc < case.clock else "not valid yet"
    return [f"{when} at {case.clock:%Y-%m-%d %H:%M:%S}, the camera's clock"]


def _card(place: str, made: x509.Certificate, wrong: list[str]) -> Card:
    key = made.public_key()
    size = getattr(key, "key_size", None)
    kind = type(key).__name__.strip("_").removesuffix("PublicKey").replace("EllipticCurve", "EC")
    return Card(
        place, made.subject.rfc4514_string(), made.issuer.rfc4514_string(),
        tuple(names_of(made)), made.not_valid_before_utc, made.not_valid_after_utc,
        f"{kind} {size}" if size else kind, tuple(wrong),
    )  # fmt: skip


def wrong_with(case: Case, talk: Talk, chain: list[x509.Certificate]) -> list[str]:
    """All of it, by the camera's anchors and clock."""
    found = [] if _leads(case, chain) else [_issuer(case, talk, chain)]
    found.append(_dates(case, talk, chain))
    hello = talk.hello()
    if hello and hello.name and not is_for(chain[0], hello.name):
        found.append(_names(case, talk, chain))
    return [text for text in found if text]


def _leads(case: Case, chain: list[x509.Certificate]) -> bool:
    """Is there a path of signatures from the first certificate to an anchor?"""
    at, left = chain[0], chain[1:]
    while not any(at == a or signed_by(at, a) for a in case.anchors.values()):
        above = [c for c in left if signed_by(at, c)]
        if not above:
            return False
        at = above[0]
        left.remove(at)
    return True


def is_for(certificate: x509.Certificate, name: str) -> bool:
    """Does one of its names match (RFC 6125 section 6.4.3)?"""
    tail = "*." + name.partition(".")[2]
    return any(n.lower() in (name.lower(), tail.lower()) for n in names_of(certificate))


def _dates(case: Case, talk: Talk, chain: list[x509.Certificate]) -> str:
    clock = case.clock
    if clock is None:
        return ""
    whose = [(f"{case.who(talk)}'s certificate", chain[0])]
    whose += [(f"the intermediate '{shown(c.subject)}'", c) for c in chain[1:]]
    whose += [(f"the CA certificate in {name}", c) for name, c in case.anchors.items()]
    for what, made in whose:
        first, last = made.not_valid_before_utc, made.not_valid_after_utc
        if first <= clock <= last:
            continue
        right = first <= case.true_time <= last
        if clock < first and clock.year < COLD:
            told = f"the clock was never set: it says {clock:%Y-%m-%d}, and {what} is valid from "
            return f"{told}{first:%Y-%m-%d} on: ntptime.settime() sets it"
        bound = (
            f"is valid from {first:%Y-%m-%d} on" if clock < first else f"expired {last:%Y-%m-%d}"
        )
        told = f"{what} {bound}; the camera's clock says {clock:%Y-%m-%d}"
        return f"{told}, but it is {case.true_time:%Y-%m-%d}" if right else told
    return ""


def _issuer(case: Case, talk: Talk, chain: list[x509.Certificate]) -> str:
    """Which signature leads nowhere."""
    who, held = case.who(talk), _held(case)
    top = chain[0]
    for _ in chain:  # as far up as what was sent leads
        above = [c for c in chain if c.subject == top.issuer and c != top]
        if not above:
            break
        top = above[0]
    issuer = shown(top.issuer)
    for name, anchor in case.anchors.items():
        if anchor.subject == top.issuer and not signed_by(top, anchor):
            signer = f"the '{issuer}' that signed {who}'s certificate"
            return f"{name} holds another '{issuer}' than {signer}: their keys differ"
    if top.issuer == top.subject:
        if top == chain[0]:
            return f"{who}'s certificate is its own issuer, and {held}"
        return f"{who}'s chain ends at '{issuer}', and {held}"
    if issuer in _lead_to_anchor(case):
        return f"{who} sends its certificate without the intermediate '{issuer}'; {held}"
    what = "certificate" if top == chain[0] else f"intermediate '{shown(top.subject)}'"
    return f"{who}'s {what} is signed by '{issuer}', and {held}"


def _held(case: Case) -> str:
    if not case.anchors:
        return "the camera has no CA certificate"
    return " and ".join(
        f"{name} holds only '{shown(made.subject)}'" for name, made in case.anchors.items()
    )


def _lead_to_anchor(case: Case) -> set[str]:
    """Common names of the scenario's certificates whose issuers end at one of the camera's."""
    options = case.scenario.certificates
    anchors = {shown(made.subject) for made in case.anchors.values()}
    found = set()
    for name in options:
        path, at = [], name
        while at in options and at not in path:
            path.append(at)
            at = options[at].issuer or ""
        names = [options[n].common_name or n for n in path]
        if anchors & set(names[1:]):
            found.add(names[0])
    return found


def _names(case: Case, talk: Talk, chain: list[x509.Certificate]) -> str:
    wanted, place = case.who(talk), f"{case.name(talk.server[0])}:{talk.server[1]}"
    found = re.search(r"server_hostname\s*=\s*['\"]([^'\"]*)", case.code)
    wanted = found[1] if found else wanted
    held = listed(names_of(chain[0]))
    return f"the script asks for '{wanted}', and {place}'s certificate is for {held}"


VERIFIED: list[tuple[str, Callable[[Case, Talk, list[x509.Certificate]], str]]] = [
    ("validity", _dates),
    ("not correctly signed", _issuer),
    ("does not match with the expected CN", _names),
]

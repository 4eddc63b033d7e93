"""What frames of a run say, for its page: messages of TLS and DTLS by field, others by scapy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from cryptography import x509
from scapy.layers.dhcp import DHCP
from scapy.layers.dns import DNS
from scapy.layers.inet import UDP
from scapy.layers.ntp import NTP

from netsim.tls import records as tls_records
from omvsim.conversations import talks
from omvsim.conversations.talks import Message, Talk
from omvsim.evidence.case import BAD, Case

MOST, LONGEST = 200, 4000  # frames, characters of one


def decoded(case: Case) -> dict[int, str]:
    """By the frame's number, of the last ones that there is something to say of."""
    numbers = {float(packet.time): packet.number for packet in case.packets}
    found: dict[int, str] = {}
    for talk in case.talks:
        for message in talk.messages:
            told = ""
            with suppress(*BAD):
                told = "\n".join(_message(talk, message))
            number = numbers.get(message.time)
            if told and number:
                found[number] = f"{found[number]}\n\n{told}" if number in found else told
    for packet in case.packets[-MOST:]:
        if packet.haslayer(UDP) and any(map(packet.haslayer, (DNS, DHCP, NTP))):
            with suppress(*BAD):
                found[packet.number] = packet[UDP].payload.show(dump=True).strip()
    return {number: found[number][:LONGEST] for number in sorted(found)[-MOST:]}


def _message(talk: Talk, message: Message) -> Iterator[str]:
    """A handshake message's fields (RFC 5246 section 7.4), as far as they tell something."""
    yield tls_records.message(message.kind)
    if message.kind == talks.CLIENT_HELLO:
        hello = talks.client_hello(message.body, datagrams=talk.datagrams)
        yield f"  versions: {', '.join(f'0x{version:04X}' for version in hello.versions)}"
        yield f"  server name: {hello.name or '-'}"
        for suite in hello.suites:
            yield f"  suite: 0x{suite:04X} {talks.suite_names().get(suite, '')}".rstrip()
    elif message.kind == talks.SERVER_HELLO:
        chosen = talks.server_hello(message.body)
        yield f"  version: 0x{chosen.versions[0]:04X}"
        suite = chosen.suites[0]
        yield f"  suite: 0x{suite:04X} {talks.suite_names().get(suite, '')}".rstrip()
    elif message.kind == talks.CERTIFICATE:
        for der in talks.certificates(message.body):
            shown = x509.load_der_x509_certificate(der)
            yield f"  {shown.subject.rfc4514_string()}, issued by {shown.issuer.rfc4514_string()}"
            first, last = shown.not_valid_before_utc, shown.not_valid_after_utc
            yield f"    {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    else:
        yield f"  {len(message.body)} bytes"

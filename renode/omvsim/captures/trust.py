"""Did a recorded chain of certificates lead to the authority that the device was given?"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from cryptography import x509

from netsim import paths
from netsim.tls import records as tls_records
from netsim.tls.certificates import DAMAGE
from omvsim.conversations.talks import OTHER, Talk
from omvsim.errors import UserError
from omvsim.evidence.case import BAD, Case, chain_of
from omvsim.evidence.chain import wrong_with


def authorities(file: Path) -> list[x509.Certificate]:
    """The certificates of a file, PEM or DER."""
    try:
        content = paths.read(file)
    except OSError as error:
        raise UserError(f"--ca {file}: {error.strerror}: name a certificate") from None
    with suppress(*DAMAGE):
        return x509.load_pem_x509_certificates(content)
    with suppress(*DAMAGE):
        return [x509.load_der_x509_certificate(content)]
    raise UserError(f"--ca {file}: no certificate in PEM or DER: name the device's CA file")


def verdicts(case: Case) -> list[str]:
    """What there is to say of each peer that has shown certificates, and of the device's alert.

    `case` holds the authority's file as the camera's only one, and the capture's time as its
    clock."""
    told = []
    for talk in case.talks:
        chain = []
        with suppress(*BAD):
            chain = chain_of(case, talk)
        place = case.place(talk)
        if chain:
            wrong = wrong_with(case, talk, chain)
            good = f"{place}'s certificates lead to the authority, and were valid for its name"
            told.append("; ".join(wrong) or good)
        elif (chosen := talk.chosen()) and 0x0304 in chosen.versions:
            told.append(f"{place} spoke TLS 1.3, which encrypts its certificates")
        else:
            continue
        told[-1] += _ended(case, talk)
    return list(dict.fromkeys(told))


def _ended(case: Case, talk: Talk) -> str:
    """Who broke off, and with which alert."""
    for record in talk.records:
        if record.alert:
            level, code = record.alert
            whose = case.far(talk)
            who = "the peer" if record.side == whose else "the device"
            before = [m for m in talk.messages if m.side == OTHER[record.side]]
            after = f" after {tls_records.message(before[-1].kind)}" if before else ""
            if level == 2:
                return f"; {who} broke off with {tls_records.alert(code)}{after}"
    if all(talk.secured(side) for side in OTHER):
        return "; the handshake came to its end"
    return ""

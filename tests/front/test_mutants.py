"""A mutated ssl.py, or a mutated peer, turns the right statement red."""

import os
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from omvsim import conformance, worker
from omvsim.check import SUITES
from omvsim.image import ROOT

import netsim.dtls
import netsim.ntp
import netsim.peers
import netsim.tls
from robot import api

SSL = (ROOT / "firmware/modules/ssl.py").read_text()
FORWARDED = "server_hostname=server_hostname, client_id=client_id)"
#: statement, what stands in ssl.py, what stands there instead
MUTANTS = [
    ("intro.no-sslerror", "import tls\n", "import tls\nSSLError = OSError\n"),
    ("warning.default-none", "verify_mode = CERT_NONE", "verify_mode = CERT_REQUIRED"),
    ("verify-mode.get-set", "self._context.verify_mode = mode", "pass"),
    ("load-cert.paths", "_bytes(certfile), _bytes(keyfile)", "_bytes(keyfile), _bytes(certfile)"),
    ("load-cert.bytes", "    return file_or_data", "    raise TypeError"),
    ("load-verify.decides", "_bytes(cafile) if cafile else cadata", '_bytes("ca.der")'),
    ("load-verify.one-argument", "if cafile else cadata)", "if cafile else _bytes('ca.der'))"),
    ("ciphers.iana", 'n.replace("-", "_") for n', "n for n"),
    ("ciphers.get", "return [n.replace", "return tuple(n.replace"),
    ("ciphers.set", "self._context.set_ciphers(ciphers)", "pass"),
    (
        "ciphers.list",
        "self._context.set_ciphers(ciphers)",
        "ciphers and self._context.set_ciphers(ciphers)",
    ),
    ("context.protocol", "def __init__(self, *protocol):", "def __init__(self, protocol):"),
    ("wrap.hostname", FORWARDED, "server_hostname='example.com', client_id=client_id)"),
    ("wrap.sni", FORWARDED, "server_hostname=None, client_id=client_id)"),
    ("wrap.immediate", "=do_handshake_on_connect,\n", "=False,\n"),
    ("wrap.deferred", "=do_handshake_on_connect,\n", "=True,\n"),
    ("wrap.nonblocking-deferred", "=do_handshake_on_connect,\n", "=True,\n"),
    ("wrap.signature", "sock, *, server_side", "sock, server_side"),
    ("dtls.server", "client_id=client_id)", "client_id=None)"),
    ("dtls.first-contact", "client_id=client_id)", "client_id=None)"),
    ("function.required-client", "    context.verify_mode = cert_reqs\n", ""),
    ("function.none-optional", "= cert_reqs\n", "= cert_reqs and CERT_REQUIRED\n"),
    ("function.key-cert", "if cert or key:", "if False:"),
    ("function.cadata", "= cert_reqs\n", "= CERT_REQUIRED if cadata else cert_reqs\n"),
    ("function.passes-through", "=do_handshake)", "=True)"),
    ("function.signature", "key=None, cert=None", "cert=None, key=None, certfile=None"),
    ("constants.exist", "\n\n\ndef _bytes", "\nPROTOCOL_DTLS_CLIENT = 0\n\n\ndef _bytes"),
]


@cache
def suites() -> api.TestSuite:
    return api.TestSuiteBuilder().build(SUITES)


def turns_red(statement: str, out: Path, put: str = "") -> bool:
    """Does a test of the statement fail that is not known to fail?"""
    now = conformance.Versions("1.26.1", "3.6.6", "page")
    known, _ = conformance.expectations(conformance.KNOWN, now)
    tests = [t for t in suites().all_tests if statement in t.tags and t.name not in known]
    assert tests, "no test that passes: nothing can turn red"
    return any(
        not worker.run(suites(), test.full_name, out, [f"PUT:{put}"])["passed"] for test in tests
    )


@pytest.mark.parametrize(("statement", "old", "new"), MUTANTS, ids=[m[0] for m in MUTANTS])
def test_a_mutated_module(statement: str, old: str, new: str, tmp_path: Path, image: Path) -> None:
    assert SSL.count(old) >= 1
    mutant = SSL.replace(old, new)
    if new.startswith("return tuple("):
        mutant = mutant.replace("get_ciphers()]", "get_ciphers())")
    (tmp_path / "ssl.py").write_text(mutant)
    assert turns_red(statement, tmp_path, str(tmp_path / "ssl.py"))


def wrong_clock(patch: pytest.MonkeyPatch) -> None:
    honest = netsim.ntp.NtpServer.__init__
    patch.setattr(
        netsim.ntp.NtpServer, "__init__", lambda self, time: honest(self, time + timedelta(hours=1))
    )


def forgetful_echo(patch: pytest.MonkeyPatch) -> None:
    honest = netsim.peers.Talker.received
    patch.setattr(
        netsim.peers.Talker, "received", lambda self, stream, data: honest(self, stream, data[:-1])
    )


def short_answers(patch: pytest.MonkeyPatch) -> None:
    honest = netsim.peers.Talker._greet

    def greet(self: netsim.peers.Talker, stream: netsim.tls.TlsLayer) -> None:
        self._greeting = self._greeting[:-1]
        honest(self, stream)

    patch.setattr(netsim.peers.Talker, "_greet", greet)


def trusting_server(patch: pytest.MonkeyPatch) -> None:
    """A server that demands no certificate of the camera."""
    honest = netsim.tls.Tls.context

    def context(self: netsim.tls.Tls, options: netsim.tls.Server) -> object:
        made = honest(self, options)
        made.check_hostname = False
        made.verify_mode = netsim.tls.ssl.CERT_NONE
        return made

    patch.setattr(netsim.tls.Tls, "context", context)


def plain_text(patch: pytest.MonkeyPatch) -> None:
    """A server that says in clear what it should encrypt."""
    honest = netsim.tls.TlsLayer.write

    def write(self: netsim.tls.TlsLayer, data: bytes) -> None:
        honest(self, data)
        self._below.write(data)

    patch.setattr(netsim.tls.TlsLayer, "write", write)


def impatient_dtls_client(patch: pytest.MonkeyPatch) -> None:
    """A client that never repeats its ClientHello."""
    patch.setattr(netsim.dtls.DtlsSession, "_await_answer", lambda self, flight: None)


PEERS = [
    ("client.settime", wrong_clock),
    ("wrap.stream", forgetful_echo),
    ("wrap.sizes", forgetful_echo),
    ("implied.transfers", short_answers),
    ("tutorial.mutual", trusting_server),
    ("intro.sessions", plain_text),
    ("dtls.second-contact", impatient_dtls_client),
]


@pytest.mark.parametrize(
    ("statement", "mutate"), PEERS, ids=[f"{p[0]}-{p[1].__name__}" for p in PEERS]
)
def test_a_mutated_peer(
    statement: str, mutate: Callable[[pytest.MonkeyPatch], None], tmp_path: Path,
    image: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    mutate(monkeypatch)
    assert turns_red(statement, tmp_path)


def test_nothing_turns_red_by_itself(tmp_path: Path, image: Path) -> None:
    """The same with the module as it is: else the tests above show nothing."""
    (tmp_path / "ssl.py").write_text(SSL)
    put = os.fspath(tmp_path / "ssl.py")
    for statement in ("wrap.signature", "ciphers.iana", "load-cert.bytes"):
        assert not turns_red(statement, tmp_path, put)

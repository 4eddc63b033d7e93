"""A mutated ssl.py, C module, library, example, peer or network turns the right statement red.

Of each list a third, which `ci/soak mutants` runs whole.
"""

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TypeVar

import planted
import pytest
from omvsim.image import ROOT
from omvsim.suites import camera_keywords, conformance, worker
from omvsim.suites.local import SUITES
from omvsim.testbed import Testbed

import netsim.services.ntp
import netsim.services.peers
import netsim.tls.dtls
import netsim.tls.dtls12
import netsim.tls.dtls12_misdeeds
import netsim.tls.openssl
import netsim.tls.tls12
import netsim.tls.tls12_misdeeds
from robot import api

Case = TypeVar("Case")


def a_third(cases: Sequence[Case]) -> Sequence[Case]:
    return cases if "OMVSIM_SOAK" in os.environ else cases[::3]


SSL = (ROOT / "firmware/modules/ssl.py").read_text()
FORWARDED = "server_hostname=server_hostname, **known)"
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
    ("wrap.hostname", FORWARDED, "server_hostname='example.com', **known)"),
    ("wrap.sni", FORWARDED, "server_hostname=None, **known)"),
    ("wrap.immediate", "=do_handshake_on_connect,\n", "=False,\n"),
    ("wrap.deferred", "=do_handshake_on_connect,\n", "=True,\n"),
    ("wrap.nonblocking-deferred", "=do_handshake_on_connect,\n", "=True,\n"),
    ("wrap.signature", "sock, *, server_side", "sock, server_side"),
    ("dtls.server", '{"client_id": client_id}', "{}"),
    ("dtls.first-contact", '{"client_id": client_id}', "{}"),
    ("function.required-client", "    context.verify_mode = cert_reqs\n", ""),
    ("function.none-optional", "= cert_reqs\n", "= cert_reqs and CERT_REQUIRED\n"),
    ("function.key-cert", "if cert or key:", "if False:"),
    ("function.cadata", "= cert_reqs\n", "= CERT_REQUIRED if cadata else cert_reqs\n"),
    ("function.passes-through", "=do_handshake)", "=True)"),
    ("function.signature", "key=None, cert=None", "cert=None, key=None, certfile=None"),
    ("function.signature", "key=None, cert=None", "cert=None, key=None"),
    ("function.key-cert", "load_cert_chain(cert, key)", "load_cert_chain(key, cert)"),
    (
        "function.fresh-context",
        "    context = SSLContext(PROTOCOL_TLS_SERVER if server_side else PROTOCOL_TLS_CLIENT)\n",
        "    if server_side not in contexts:\n"
        "        contexts[server_side] = SSLContext(0 if not server_side else 1)\n"
        "    context = contexts[server_side]\n",
    ),
    (
        "dtls.client-id",
        "        known =",
        "        if client_id == 5: raise NameError\n        known =",
    ),
    (
        "wrap.accepted",
        "        return self._context.wrap_socket(",
        "        if 'state=1 ' in str(sock): return sock\n"
        "        return self._context.wrap_socket(",
    ),
    (
        "ciphers.get",
        'n.replace("-", "_") for n in self._context.get_ciphers()',
        "f'TLS_RSA_WITH_NULL_{n}' for n in range(18)",
    ),
    ("constants.exist", "\n\n\ndef _bytes", "\nPROTOCOL_DTLS_CLIENT = 0\n\n\ndef _bytes"),
]


@cache
def suites() -> api.TestSuite:
    return api.TestSuiteBuilder().build(SUITES)


def turns_red(statement: str, out: Path, put: str = "", firmware: Path | None = None) -> bool:
    """Does a test of the statement, or of that name, fail that is not known to fail?"""
    now = conformance.Versions("1.26.1", "3.6.6", "page")
    known, _ = conformance.expectations(conformance.KNOWN, now)
    tests = [
        t for t in suites().all_tests if statement in (*t.tags, t.name) and t.name not in known
    ]
    assert tests, "no test that passes: nothing can turn red"
    variables = [f"PUT:{put}", *([f"FIRMWARE:{firmware}"] if firmware else [])]
    return any(not worker.run(suites(), t.full_name, out, variables)["passed"] for t in tests)


@pytest.mark.parametrize(
    ("statement", "old", "new"), a_third(MUTANTS), ids=[m[0] for m in a_third(MUTANTS)]
)
def test_a_mutated_module(statement: str, old: str, new: str, tmp_path: Path, image: Path) -> None:
    assert SSL.count(old) >= 1
    mutant = SSL.replace(old, new)
    if new.startswith("return tuple("):
        mutant = mutant.replace("get_ciphers()]", "get_ciphers())")
    if "contexts[" in new:
        mutant = mutant.replace("import tls\n", "import tls\ncontexts = {}\n")
    (tmp_path / "ssl.py").write_text(mutant)
    assert turns_red(statement, tmp_path, str(tmp_path / "ssl.py"))


@pytest.mark.parametrize(
    ("statement", "mutant"),
    a_third([
        ("dtls.memory", planted.DTLS_LEAK),
        ("implied.memory", planted.TLS_LEAK),
        ("dtls.cookie-timeout", planted.COOKIES),
        ("micropython-12139", planted.CONTEXT),
        ("micropython-4590", planted.ACCEPT),
        ("Forged Records Of A CBC Suite", planted.CBC),
        ("Forged Records Of A CBC Suite, From A Client", planted.CBC),
    ]),
)  # fmt: skip
def test_mutated_c(statement: str, mutant: int, tmp_path: Path, planted_image: Path) -> None:
    """Mutants of upstream's code, see tests/planted.py; asleep they change nothing."""
    module = tmp_path / "ssl.py"
    module.write_text(SSL)
    if mutant != planted.CBC:  # two handshakes of P-256 for an `if` that is not entered
        assert not turns_red(statement, tmp_path, str(module), planted_image)
    module.write_text(planted.wakes(mutant) + SSL)
    assert turns_red(statement, tmp_path, str(module), planted_image)


def test_an_example_without_reuseaddr(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = (camera_keywords.EXAMPLES / "tls_server.py").read_text()
    line = "sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
    assert line in example
    (tmp_path / "tls_server.py").write_text(example.replace(line, ""))
    monkeypatch.setattr(camera_keywords, "EXAMPLES", tmp_path)
    assert turns_red("server.rerun", tmp_path)


@pytest.mark.parametrize(
    "test", a_third(["A Fifth Of All Frames Is Lost", "Frames Are Late", "Frames Are Cut"])
)
def test_a_fault_that_does_nothing(
    test: str, tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Testbed, "suffer", lambda *_, **__: None)
    assert turns_red(test, tmp_path)


@pytest.mark.parametrize(
    "test", a_third(["Extensions Unknown And Twice", "A Server Whose Fragments Overlap",
                     "A Client Whose Datagrams Come Twice"]),
)  # fmt: skip
def test_a_misbehaviour_that_does_nothing(
    test: str, tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (netsim.tls.tls12_misdeeds, netsim.tls.dtls12_misdeeds):
        for name in module.MISBEHAVIOURS:
            monkeypatch.setitem(module.MISBEHAVIOURS, name, module.Misbehaviour)
    assert turns_red(test, tmp_path)


def wrong_clock(patch: pytest.MonkeyPatch) -> None:
    honest = netsim.services.ntp.NtpServer.__init__
    late = timedelta(minutes=10)
    patch.setattr(
        netsim.services.ntp.NtpServer, "__init__", lambda self, time: honest(self, time + late)
    )


def zeros(patch: pytest.MonkeyPatch) -> None:
    """What arrives is as much as was written, but all zeros."""
    honest = netsim.services.peers.Peer.keep
    patch.setattr(
        netsim.services.peers.Peer, "keep", lambda self, data: honest(self, bytes(len(data)))
    )


def forgetful_echo(patch: pytest.MonkeyPatch) -> None:
    honest = netsim.services.peers.Talker.received
    patch.setattr(
        netsim.services.peers.Talker,
        "received",
        lambda self, stream, data: honest(self, stream, data[:-1]),
    )


def short_answers(patch: pytest.MonkeyPatch) -> None:
    honest = netsim.services.peers.Talker._greet

    def greet(self: netsim.services.peers.Talker, stream: netsim.tls.openssl.TlsLayer) -> None:
        self._greeting = self._greeting[:-1]
        honest(self, stream)

    patch.setattr(netsim.services.peers.Talker, "_greet", greet)


def trusting_server(patch: pytest.MonkeyPatch) -> None:
    """A server that demands no certificate of the camera."""
    honest = netsim.tls.openssl.Tls.context

    def context(self: netsim.tls.openssl.Tls, options: netsim.tls.openssl.Server) -> object:
        made = honest(self, options)
        made.check_hostname = False
        made.verify_mode = netsim.tls.openssl.ssl.CERT_NONE
        return made

    patch.setattr(netsim.tls.openssl.Tls, "context", context)


def plain_text(patch: pytest.MonkeyPatch) -> None:
    """A server that says in clear what it should encrypt."""
    honest = netsim.tls.openssl.TlsLayer.write

    def write(self: netsim.tls.openssl.TlsLayer, data: bytes) -> None:
        honest(self, data)
        self._below.write(data)

    patch.setattr(netsim.tls.openssl.TlsLayer, "write", write)


def impatient_dtls_client(patch: pytest.MonkeyPatch) -> None:
    """A client that never repeats its ClientHello."""
    patch.setattr(netsim.tls.dtls.DtlsSession, "_await_answer", lambda self, flight: None)


PEERS = [
    ("client.settime", wrong_clock),
    ("wrap.stream", forgetful_echo),
    ("wrap.sizes", forgetful_echo),
    ("implied.transfers", short_answers),
    ("implied.transfers", zeros),
    ("wrap.sizes", zeros),
    ("tutorial.mutual", trusting_server),
    ("intro.sessions", plain_text),
    ("dtls.second-contact", impatient_dtls_client),
]


@pytest.mark.parametrize(
    ("statement", "mutate"),
    a_third(PEERS),
    ids=[f"{p[0]}-{p[1].__name__}" for p in a_third(PEERS)],
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

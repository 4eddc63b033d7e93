"""Keywords about peers: clients that call, and what connections were like."""

from __future__ import annotations

import string
from dataclasses import fields
from typing import Any

from robot.api.deco import keyword

from netsim import Peer
from netsim.scenario import File
from omvsim.image import ROOT
from omvsim.suites.camera_keywords import CameraKeywords
from omvsim.suites.keywords import as_bytes, ciphers, expand, typed
from omvsim.suites.network_keywords import NetworkKeywords
from omvsim.testbed import SECOND
from omvsim.testbed.rawrepl import State

HOSTILE = ROOT / "robot/hostile/camera"
PATIENT = 5000  # virtual seconds, for a peer that sends a byte a second
PATIENCE = 120 * SECOND  # virtual, for a client's visits
SETTLE = SECOND // 5  # virtual, for what is still on the cable when a script ends
CLIENT = {"name": "client", "address": "192.168.1.20", "port": 8443, "start_ms": 0, "retry_ms": 100}
DTLS = {"port": 5684, "hold_ms": 2000}  # a datagram has no end of stream to wait for
FIELDS = {field.name for field in fields(Peer)}


class PeerKeywords(CameraKeywords, NetworkKeywords):
    """Keywords about peers: clients that call, and what connections were like."""

    @keyword
    def peer_should_have_misbehaved(self, name: str) -> None:
        """A connection of that server or client did what an honest one would not have done."""
        if not any(peer.misdeeds for peer in self._of(name)):
            raise AssertionError(f"{name} has done nothing wrong")

    @keyword
    def client_calls_camera(self, kind: str = "tls", **options: Any) -> None:
        """A client that calls from now on, and again until somebody listens: the keys of a
        scenario's [[client]], all with defaults; its ciphers are those of the variable CIPHERS."""
        given = CLIENT | (DTLS if kind == "dtls" else {}) | ciphers(kind) | options
        self.testbed.call(kind=kind, **typed(given))

    @keyword
    def client_connects_to_camera(self, kind: str = "tls", **options: Any) -> None:
        """The same, and wait until its visits are over. The last one is the peer of the
        keywords that follow."""
        name, count = options.get("name", CLIENT["name"]), int(options.get("count", 1))
        before = len(self._of(name))
        self.client_calls_camera(kind, **options)
        self.testbed.run_until(
            lambda: sum(p.closed_ns is not None for p in self._of(name)[before:]) >= count
            or bool(self._script and self._script.state is State.DONE),
            PATIENCE, f"the end of {name}'s {count} visits",
        )  # fmt: skip
        self.testbed.run_for(SETTLE)
        self._visits = self._of(name)[before:]
        self._peer = self._visits[-1] if self._visits else None

    @keyword
    def camera_meets_servers(self, outcome: str, *wishes: str) -> None:
        """The camera connects to a server that misbehaves, again and again, and each time comes
        to this. In a wish, 0-3 and 10,20 stand for several; hostile/camera/connections.py
        tells what each came to."""
        expanded = [wish for text in wishes for wish in expand(text)]
        name = f"server{len(self.testbed.world.scenario.servers)}.example"
        self.network_has_server(
            "tls", name, port=9443, certificate="example_p256", greeting="hello ",
            misbehave=" ".join(expanded),
        )  # fmt: skip
        self.camera_runs(str(HOSTILE / "connections.py"), PATIENT, server=name, count=len(expanded))
        self._outcomes_should_be(outcome, expanded, name)

    @keyword
    def camera_meets_clients(self, outcome: str, *wishes: str) -> None:
        """The same for clients that come to the camera's server, hostile/camera/visits.py."""
        expanded = [wish for text in wishes for wish in expand(text)]
        self.camera_starts(str(HOSTILE / "visits.py"), count=len(expanded))
        number = len(self.testbed.world.scenario.clients)
        name = f"client{number}"
        self.client_calls_camera(
            name=name, address=f"192.168.1.{20 + number}", send="ping",
            hold_ms=60_000, leave_ms=4_000_000, count=len(expanded), misbehave=" ".join(expanded),
            retry_ms=50,
        )  # fmt: skip
        self.camera_finishes(PATIENT)
        self._outcomes_should_be(outcome, expanded, name)

    def _outcomes_should_be(self, outcome: str, wishes: list[str], name: str) -> None:
        self.camera_should_not_raise()
        opened = [p for p in self._of(name) if p.opened_ns is not None]
        idle = [
            wish
            for wish, p in zip(wishes, opened, strict=True)
            if (wish in ("no", "cbc")) == (p.misdeeds > 0)
        ]
        if idle:
            raise AssertionError(f"{name} has not done what is wrong: {', '.join(idle)}")
        told = [line.partition(" ")[2] for line in self._text.splitlines()]
        if (lost := told.pop()) != "0":
            raise AssertionError(f"{len(wishes)} connections cost {lost} bytes of the heap")
        pairs = zip(wishes, told, strict=True)
        wrong = [f"{wish}: {got}" for wish, got in pairs if not got.startswith(outcome)]
        if wrong:
            raise AssertionError(f"not {outcome!r}, but:\n" + "\n".join(wrong))

    @keyword
    def peer_is(self, name: str, number: int = -1) -> None:
        """The keywords that follow look at this server's or client's connection: the last, or
        the one of that number, from 1 on."""
        found = self._of(name)
        if len(found) < max(number, 1):
            raise AssertionError(f"{name} has had {len(found)} connections")
        self._peer = found[number - (number > 0)]

    @property
    def peer(self) -> Peer:
        if self._peer is None:
            connections = [p.name for p in self.testbed.network.peers]
            raise AssertionError(f"no peer was met; connections: {connections}\n{self._so_far()}")
        return self._peer

    @keyword
    def peers_should_all_have_received(self, text: str, count: int) -> None:
        """The last client came so often, and received exactly this each time."""
        got = [bytes(p.received) for p in self._visits]
        if got != [as_bytes(text)] * count:
            raise AssertionError(f"received: {got}\nerrors: {[p.error for p in self._visits]}")

    @keyword
    def peer_should_have_received(self, text: str) -> None:
        """The peer has got exactly this text (with Python's escapes)."""
        if (got := bytes(self.peer.received)) != as_bytes(text):
            raise AssertionError(f"not {text}, but {len(got)} bytes: {got[:200]!r}{self._so_far()}")

    @keyword
    def peer_should_have_received_the_alphabet(self, size: int) -> None:
        """The peer has got so many bytes: the small letters over and over."""
        got = bytes(self.peer.received)
        if got != (string.ascii_lowercase.encode() * (size // 26 + 1))[:size]:
            raise AssertionError(f"not {size} letters, but {len(got)} bytes: {got[:60]!r}...")

    @keyword
    def peer_should_have_verified_the_camera(self) -> None:
        """The peer demanded a certificate, and the camera's is good."""
        if not self.peer.verified:
            raise AssertionError(f"not verified: {self.peer.error}{self._so_far()}")

    @keyword
    def peer_should_have(self, field: str, value: str) -> None:
        """A field of the record: cipher, version, server_name, close_notify, error ..."""
        assert field in FIELDS, f"no such field: one of {', '.join(sorted(FIELDS))}"
        if (got := getattr(self.peer, field)) != value and str(got) != value:
            raise AssertionError(f"{field} is not {value} but {got}{self._so_far()}")

    @keyword
    def peer_should_have_failed(self, text: str) -> None:
        """The peer gave up, and its error holds the text."""
        if text not in (self.peer.error or ""):
            raise AssertionError(f"no error with {text!r}: {self.peer.error}{self._so_far()}")

    @keyword
    def peer_should_have_finished_its_handshake(self) -> None:
        """The handshake was complete at the peer's end, too."""
        if self.peer.secured_ns is None:
            raise AssertionError(f"no handshake: {self.peer.error}{self._so_far()}")

    @keyword
    def peer_should_have_met_no_error(self) -> None:
        """A complete handshake, and nothing wrong after it."""
        self.peer_should_have_finished_its_handshake()
        if self.peer.error:
            raise AssertionError(f"{self.peer.error}{self._so_far()}")

    @keyword
    def peer_should_see_an_orderly_end(self) -> None:
        """The camera's close_notify came before the end of the connection."""
        if not self.peer.close_notify:
            raise AssertionError("the peer got no close_notify: its data may be cut short")

    @keyword
    def peer_should_have_been_shown(self, certificate: str) -> None:
        """The camera has shown this certificate of the scenario, byte for byte."""
        if self.peer.certificate != self.testbed.world.content(File(certificate=certificate)):
            raise AssertionError("the camera has shown another certificate, or none")

    @keyword
    def peer_should_have_been_offered(self, *suites: str) -> None:
        """The camera's ClientHello offers these cipher suites and no others (IANA's names)."""
        offered = [s for s in self.peer.offered if not s.endswith("_SCSV")]
        if offered != list(suites):
            raise AssertionError(f"offered: {offered}")

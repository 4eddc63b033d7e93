"""Keywords about the network: servers, faults, and what was on the cable."""

from __future__ import annotations

from typing import Any

from robot.api.deco import keyword

from omvsim.suites.keywords import Keywords, as_bytes, ciphers, typed
from omvsim.testbed import SECOND, TimeLimit

DTLS = {"port": 5684, "hold_ms": 2000}  # a datagram has no end of stream to wait for


class NetworkKeywords(Keywords):
    """Keywords about the network: servers, faults, and what was on the cable."""

    @keyword
    def network_has_server(self, kind: str, name: str, **options: Any) -> None:
        """Another server: the keys of a scenario's [[server]]; the address has a default, and a
        TLS or DTLS server's ciphers are those of the variable CIPHERS."""
        address = f"192.168.1.{30 + len(self.testbed.world.scenario.servers)}"
        given = {"address": address, **ciphers(kind), **options}
        self.testbed.serve(kind=kind, name=name, **typed(given))

    @keyword
    def network_suffers(self, kind: str, **options: Any) -> None:
        """Something goes wrong on the camera's cable: the keys of a scenario's [[fault]]; times
        count from now."""
        self.testbed.suffer(kind=kind, **typed(options))
        self._suffered.append(kind)

    @keyword
    def network_should_have_suffered(self) -> None:
        """Each fault that a keyword brought has hit a frame (those of the link and of ARP hit
        none: what the camera does tells of them)."""
        brought, faults = list(self._suffered), self.testbed.scenario.faults
        assert [fault.kind for fault in faults][-len(brought) :] == brought, "not brought at all"
        for fault in faults:
            if fault.kind in ("link_down", "arp_poison"):
                continue
            if not any(self.testbed.port.hits(fault).values()):
                raise AssertionError(f"the fault {fault.kind} has hit nothing")

    @keyword
    def ping_is_lost(self, size: int) -> None:
        """A ping of so many bytes to the camera gets no answer."""
        try:
            self.testbed.ping(size)
        except TimeLimit:
            return
        raise AssertionError("the ping was answered")

    @keyword
    def network_rule(self, match: str, action: str, **options: Any) -> None:
        """What happens to packets that match: the keys of a scenario's [[rule]]."""
        self.testbed.rule(match=match, action=action, **typed(options))

    @keyword
    def nobody_should_have_met(self, name: str) -> None:
        """No connection of that server or client finished its handshake."""
        if met := [p for p in self._of(name) if p.secured_ns is not None]:
            raise AssertionError(f"{len(met)} handshakes with {name}")

    @keyword
    def conversation_should_hold(self, text: str) -> None:
        """A step of the conversation, as the report's ladder words it, holds the text."""
        told = self._conversation_told()
        if text not in told:
            raise AssertionError(f"no {text!r} in the conversation:\n{told}{self._so_far()}")

    @keyword
    def conversation_should_not_hold(self, text: str) -> None:
        """No step of the conversation holds the text."""
        told = self._conversation_told()
        if text in told:
            raise AssertionError(f"{text!r} is in the conversation:\n{told}")

    @keyword
    def nobody_should_overhear(self, text: str) -> None:
        """No frame on the cable holds the text."""
        if self._captured().find(as_bytes(text)) >= 0:
            raise AssertionError(f"{text!r} was sent in clear")

    @keyword
    def somebody_should_overhear(self, text: str) -> None:
        """A frame on the cable holds the text."""
        if self._captured().find(as_bytes(text)) < 0:
            raise AssertionError(f"{text!r} was not sent in clear")

    @keyword
    def time_passes(self, seconds: float) -> None:
        """Virtual seconds."""
        self.testbed.run_for(round(seconds * SECOND))

    @keyword
    def network_should_have_seen(self, what: str) -> None:
        """The capture holds a packet that tshark summarises so: DHCP, NTP, TLS Client Hello."""
        if what not in (seen := self._conversation()):
            raise AssertionError(f"no {what!r} on the network, but:\n{seen}")

    @keyword
    def network_should_not_have_seen(self, what: str) -> None:
        """The capture holds no packet that tshark summarises so."""
        if what in (seen := self._conversation()):
            raise AssertionError(f"{what!r} was on the network:\n{seen}")

    # ------------------------------------------------------------------------------------

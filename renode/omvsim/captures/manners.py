"""What the peer of a captured conversation does, as options of a scenario's server or client."""

from __future__ import annotations

from typing import Any

from omvsim.captures.chains import Chains
from omvsim.conversations import talks
from omvsim.conversations.talks import OTHER, Talk

VERSIONS = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
#: which message of netsim.tls.tls12 comes after these of the side
NEXT = {"server": {2: 1, 11: 2, 12: 3, 14: 4}, "client": {1: 1, 16: 2}}
PATIENCE_S = 3  # so long a silence is one
MOST_TEXT = 1 << 16  # bytes that a scenario has as they were
STAND_IN = "."  # for bytes that nobody can read


def ms(seconds: float) -> int:
    """Whole milliseconds."""
    return max(0, round(seconds * 1000))


class Manners:
    """`lost` hears what no option says; `trips` are round trips by the term that matches them,
    `end` is the capture's."""

    def __init__(
        self, lost: list[str], chains: Chains, trips: dict[str, float], end: float
    ) -> None:
        self.suites = talks.suite_names()
        self.lost = lost
        self._chains, self._trips, self._end = chains, trips, end

    def trip(self, peer: str) -> float:
        """The round trip to an address."""
        return self._trips.get(f"IP.src == {peer}", 0.0)

    def wrong(self, talk: Talk, side: str, where: str) -> str:
        """What ended the handshake early, as a misbehaviour of netsim."""
        alerts = [(at, r) for at, r in enumerate(talk.records) if r.alert and r.clear]
        mine = [(at, r.alert) for at, r in alerts if r.side == side and r.alert and r.alert[1]]
        if mine:
            mine.sort(key=lambda pair: -pair[1][0])  # a fatal one first
            (at, (level, code)), *others = mine
            self.lost += [f"{where}: another alert, {body[1]}" for _, body in others]
            kind = "fatal_alert" if level == 2 else "warning_alert"
            return f"{kind}:{self._next(talk, side, at)}:{code}"
        left, device = talk.left(side), talk.left(OTHER[side])
        if talk.secured(side) is not None or side == "client" or talk.datagrams:
            return ""
        heard = [r.time for _, r in alerts] + ([device] if device is not None else [])
        number = self._next(talk, side, len(talk.records))
        if left is not None and left < min(heard, default=self._end + 1):
            return f"{'reset' if 'server' in talk.reset else 'fin'}:{number}"
        last = max((r.time for r in talk.records), default=self._end)
        waited = (device or self._end) - last
        if not alerts and waited > PATIENCE_S:
            return f"stall:{number}"
        return ""

    @staticmethod
    def _next(talk: Talk, side: str, at: int) -> int:
        """The number of the message that would have come in place of a record."""
        said = [m.kind for m in talk.messages if m.side == side and m.at < at]
        return max((NEXT[side].get(kind, 0) for kind in said), default=0)

    def delay(self, talk: Talk) -> dict[str, Any]:
        """A server's: from the connection on, as netsim counts it."""
        trip = self.trip(talk.server[0])
        if talk.datagrams:
            hellos = [m.time for m in talk.messages if m.kind == talks.CLIENT_HELLO]
            answer = next((m.time for m in talk.messages if m.kind == talks.SERVER_HELLO), 0.0)
            delay = ms(answer - hellos[-1] - trip) if hellos else 0
            return {"handshake_delay_ms": delay} if delay else {}
        asked, answered = talk.first("client"), talk.first("server")
        if answered is None:
            return {}
        if talk.hello() is None or asked is None:
            started = asked if asked is not None and asked < answered else talk.opened
            delay = ms(answered - started - trip) if started is not None else 0
            return {"delay_ms": delay} if delay else {}
        if not ms(answered - asked - trip):
            return {}
        return {"handshake_delay_ms": ms(answered - (talk.opened or asked) - trip)}

    def speech(self, talk: Talk, side: str, where: str) -> dict[str, Any]:
        """What it sends after the handshake, and how it ends."""
        found: dict[str, Any] = {}
        if (mss := talk.mss.get(side, 1460)) in range(64, 1460):
            found["mss"] = mss
        elif mss != 1460:
            self.lost.append(f"{where}: its MSS of {mss}: Ethernet's 1460 stands in")
        left, answer = talk.left(side), talk.left(OTHER[side])
        first = left is not None and (answer is None or left < answer)
        plain = not talk.hello()
        secured = [s for s in map(talk.secured, OTHER) if s is not None]
        if not plain and len(secured) < 2:  # never came to speak
            if (
                side == "client"
                and first
                and left is not None
                and not self.wrong(talk, side, where)
            ):
                found |= {"leave_ms": ms(left - talk.asked), "end": self._farewell(talk, side)}
            return found
        begun = (talk.acked or talk.opened or talk.asked) if plain else max(secured)
        mine, times = self._data(talk, side)
        echoed = bool(mine) and mine == self._data(talk, OTHER[side])[0]
        key = "send" if side == "client" else "greeting"
        if mine and not (echoed and side == "server"):
            found |= self._text(mine, key, where)
        elif echoed:
            return found
        if side == "client":
            if first and left is not None:
                found |= {"hold_ms": max(1, ms(left - begun)), "end": self._farewell(talk, side)}
            return found
        spoke = times[0] if times else left if first else None
        if not plain and spoke is not None and (delay := ms(spoke - begun)):
            found["delay_ms"] = delay
        found |= {"echo": False, "end": self._farewell(talk, side) if first else "never"}
        if side in talk.fin and side in talk.reset:
            self.lost.append(f"{where}: that it resets what comes after its FIN")
        return found

    def _data(self, talk: Talk, side: str) -> tuple[bytes, list[float]]:
        """Its bytes, stand-ins where they were encrypted, and when they came."""
        if not talk.hello():
            parts = talk.parts[side].values()
            return talk.data(side)[0], sorted(now for now, _ in parts)
        said, text = talk.spoken(side), talk.said(side)
        if text is not None:
            return text, [now for now, size in said if size]
        return STAND_IN.encode() * sum(size for _, size in said), [
            now for now, size in said if size
        ]

    def _text(self, data: bytes, key: str, where: str) -> dict[str, Any]:
        if set(data) == set(STAND_IN.encode()):
            self.lost.append(f"{where}: what {len(data)} encrypted bytes say")
            return {key: STAND_IN, "size": len(data)}
        if len(data) > MOST_TEXT:
            self.lost.append(f"{where}: what {len(data)} bytes say: more than a scenario holds")
            return {key: STAND_IN, "size": len(data)}
        try:
            return {key: data.decode()}
        except UnicodeDecodeError:
            self.lost.append(f"{where}: {len(data)} bytes that are no text")
            return {key: STAND_IN, "size": len(data)}

    def _farewell(self, talk: Talk, side: str) -> str:
        """RFC 5246 section 7.2.1 wants a close_notify before the FIN."""
        if side in talk.reset and side not in talk.fin:
            return "reset"
        if not talk.hello() or talk.datagrams:
            return "notify"
        chosen = talk.chosen()
        tls13 = chosen is not None and 0x0304 in chosen.versions
        own = [r for r in talk.records if r.side == side]
        return "notify" if own and talks.is_alert(own[-1], tls13) else "fin"

    def handshake(self, talk: Talk, side: str, where: str) -> dict[str, Any]:
        """Version and suite, certificates, records."""
        found: dict[str, Any] = {}
        own = [m for m in talk.messages if m.side == side]
        if side == "server" and (chosen := talk.chosen()):
            number, suite = chosen.versions[0], chosen.suites[0]
            version = VERSIONS.get(number)
            if version and not talk.datagrams:
                found["versions"] = [version]
            if suite in self.suites:
                found["ciphers"] = self.suites[suite]
            known = version or (talk.datagrams and number == 0xFEFD)
            if not known or (version != "TLSv1.3" and suite not in self.suites):
                self.lost.append(f"{where}: version {number:04x}, suite 0x{suite:04X}")
        for message in own:
            if message.kind == talks.CERTIFICATE and any(message.body[:3]):
                found["certificate"] = self._chains.chain(message.body, where)
            elif message.kind == 13:
                self.lost.append(f"{where}: that it asks for the device's certificate: add verify")
        if side == "server" and not talk.datagrams and any(m.split for m in own):
            sizes = [len(r.body) for r in talk.records
                     if r.side == side and r.kind == talks.HANDSHAKE and r.clear]  # fmt: skip
            found["record_size"] = max(sizes)
        return found

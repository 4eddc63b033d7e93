"""From a capture of a real device, a scenario whose peers do the same."""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from cryptography import x509
from scapy.utils import PcapReader

from netsim import paths
from netsim.tls.certificates import DAMAGE
from omvsim.captures import frames, secrets
from omvsim.captures.chains import Chains
from omvsim.captures.manners import VERSIONS, Manners, ms
from omvsim.conversations import services, talks
from omvsim.conversations.talks import Loss, Talk
from omvsim.errors import UserError

QUIET = 2.0  # host seconds without a word
MOST = 1_000_000  # frames
#: what the project's image offers in a ClientHello: ssl.py has no way to choose others
OFFERED = [
    0xC02C, 0xC030, 0xC024, 0xC028, 0xC00A, 0xC014, 0xC02B, 0xC02F, 0xC023, 0xC027, 0xC009,
    0xC013, 0x009D, 0x003D, 0x0035, 0x009C, 0x003C, 0x002F, 0x00FF,
]  # fmt: skip


class Importer:
    """`table` is the scenario, `lost` what it could not take over."""

    def __init__(
        self, packets: Iterable[Any], camera: str | None, anchors: Sequence[x509.Certificate] = (),
        known: secrets.Secrets | None = None,
    ) -> None:  # fmt: skip
        self.lost: list[str] = []
        reader, finder, kinds = talks.Conversations(), services.Finder(), Counter[str]()
        self.began = end = 0.0
        for packet in frames.apart(packets, self.lost):  # read once: a capture may be large
            end = float(packet.time)
            self.began = self.began or end
            kinds[frames.kind(packet)] += 1
            reader.add(packet)
            finder.add(packet)
        found, losses, cut = reader.finish()
        closed = [talk for talk in found if secrets.decrypt(talk, known or {})] if known else []
        if closed:
            self.lost.append(f"what {len(closed)} conversations say, which no secret opens")
        self.services = finder.found
        self.camera = camera or self._guess(found)
        self.own = own = [t for t in found if self.camera in (t.client[0], t.server[0])]
        if not own and self.camera not in self.services.leases:
            others = frames.told(kinds)
            raise UserError(
                f"{self.camera or 'no device'} opens or takes no TCP connection or DTLS session in "
                "it: name the device with --camera, and capture from before its first connection"
                + (f"; only IPv4 is read, and it holds {others}" if others else "")
            )
        if cut:
            self.lost.append("what frames hold behind their first bytes: record them whole")
        if len(found) > len(own):
            self.lost.append(f"{len(found) - len(own)} conversations of others")
        self._chains = Chains(self.lost, anchors)
        self._start = int(self.began)
        start = datetime.fromtimestamp(self._start, UTC)
        self.table: dict[str, Any] = {"time": start, "camera": {"rtc": start}}
        names = ["ca.der", *(f"ca_{n}.der" for n in range(2, len(anchors) + 1))]
        files = dict(zip(names, self._chains.anchors, strict=False))
        if files:
            self.table["camera"]["files"] = {n: {"certificate": ca} for n, ca in files.items()}
        self.table |= {"network": {}, "dhcp": {}, "dns": {}}
        self.table |= {"certificates": self._chains.table, "server": [], "client": [], "rule": []}
        trips = self._round_trips(own)
        self._manners = Manners(self.lost, self._chains, trips, end)
        servers: dict[tuple[Any, ...], list[Talk]] = {}
        for talk in own:
            if talk.client[0] == self.camera:
                servers.setdefault((talk.server, talk.datagrams), []).append(talk)
                self._compare_suites(talk)
            else:
                self._client(talk)
        for met in servers.values():
            self._server(met)
        self._time_servers()
        self._network()
        self._losses([(talk, loss) for talk, loss in losses if talk in own])
        self.lost += self.services.oddities
        self.table = {key: value for key, value in self.table.items() if value}

    def _guess(self, found: list[Talk]) -> str:
        """Who got a lease and talks; else who opens most conversations."""
        ends = Counter(end for talk in found for end in (talk.client[0], talk.server[0]))
        leased = Counter({end: ends[end] for end in self.services.leases})
        callers = Counter(talk.client[0] for talk in found)
        best = (leased or callers).most_common(1)
        return best[0][0] if best else ""

    # The network --------------------------------------------------------------------------

    def _round_trips(self, own: list[Talk]) -> dict[str, float]:
        """By peer; each becomes a rule that holds what comes from there."""
        trips = dict(self.services.delays)
        for talk in own:
            calls = talk.client[0] == self.camera
            peer = talk.server[0] if calls else talk.client[0]
            if talk.datagrams:
                trip = talk.turn("client") if calls else talk.turn("server")
            elif calls:
                trip = None if talk.opened is None else talk.opened - talk.tried
            else:
                trip = talk.acked and talk.opened and talk.acked - talk.opened
            key = f"IP.src == {peer}"
            if trip is not None:
                trips[key] = min(trip, trips.get(key, trip))
        for match, trip in trips.items():
            if delay := ms(trip):
                held = {"match": match, "action": "hold", "delay_ms": delay}
                self.table["rule"].append(held | {"direction": "to_camera"})
        return trips

    def _time_servers(self) -> None:
        taken = [(s["address"], s["port"]) for s in self.table["server"]]
        for address, offset in self.services.ntp.items():
            if (address, 123) not in taken:
                server: dict[str, Any] = {"kind": "ntp", "name": self._name(address)}
                server |= {"address": address}
                server |= {"offset_s": round(offset)} if round(offset) else {}
                self.table["server"].append(server)
                if abs(offset - round(offset)) > 0.01:
                    self.lost.append(f"{address}: {offset - round(offset):+.3f} s of NTP's offset")
        for address in sorted(self.services.asked_ntp - set(self.services.ntp)):
            self.lost.append(f"{address}: an NTP server that never answers is not there at all")

    def _name(self, address: str, wish: str | None = None) -> str:
        """One that no other address has."""
        name = wish or self.services.names.get(address, address)
        peers = self.table["server"] + self.table["client"]
        taken = any(p["name"] == name and p["address"] != address for p in peers)
        return address if taken or name in ("gateway", "camera") else name

    def _network(self) -> None:
        """Subnet, gateway, lease, names: by DHCP, as far as the capture shows it."""
        options = self.services.leases.get(self.camera, {})
        mask = options.get("subnet_mask", "255.255.255.0")
        subnet = IPv4Network(f"{self.camera}/{mask}", strict=False)
        peers = {p["address"] for p in self.table["server"] + self.table["client"]}
        free = (str(a) for a in subnet.hosts() if str(a) not in peers | {self.camera})
        router = options.get("router")
        usable = router and router not in peers and IPv4Address(router) in subnet
        gateway = router if usable else next(free, subnet[0])
        self.table["network"] = {"subnet": str(subnet), "gateway": str(gateway)}
        self.table["network"]["round_trip_ms"] = 0  # what is recorded, rules hold
        self.table["dhcp"] = {"first": self.camera, "last": self.camera}
        if lease := options.get("lease_time"):
            self.table["dhcp"]["lease_s"] = lease
        if not options:
            self.lost.append(f"mask and router, which no DHCP answer shows: {subnet}, {gateway}")
        elif router != gateway:
            self.lost.append(f"the router {router}, a peer's or of elsewhere: {gateway} stands in")
        if (server := options.get("name_server", gateway)) != gateway:
            self.lost.append(f"the DNS server {server}: the gateway answers in its place")
        told = {p["name"]: p["address"] for p in self.table["server"]}
        zone = {n: a for n, a in self.services.zone.items() if told.get(n) != a}
        if zone:
            self.table["dns"] = {"zone": zone}
        if self.services.asked_dns and not self.services.answered_dns:
            self.table["rule"].append({"match": "UDP.sport == 53", "action": "drop"})
        elif silent := self.services.asked_dns - self.services.answered_dns:
            self.lost.append(f"that nobody answered DNS questions for {', '.join(sorted(silent))}")

    def _losses(self, losses: list[tuple[Talk, Loss]]) -> None:
        """The same frames are lost again: by rules that count those which match."""
        gone: Counter[str] = Counter()
        for talk, loss in sorted(losses, key=lambda pair: (pair[1].before, not pair[1].seen)):
            calls = talk.client[0] == self.camera
            outwards = (loss.sender == "client") == calls
            peer = talk.server[0] if calls else talk.client[0]
            port = f"TCP.{'dport' if loss.sender == 'client' else 'sport'} == {talk.server[1]}"
            match = f"IP.{'dst' if outwards else 'src'} == {peer} {port} {loss.what}"
            nth = loss.before + 1 - gone[match]  # earlier rules have taken theirs
            gone[match] += loss.seen
            direction = "from_camera" if outwards else "to_camera"
            rule = {"match": match, "action": "drop", "direction": direction}
            self.table["rule"].append(rule | {"nth": nth, "count": loss.count})

    # Peers --------------------------------------------------------------------------------

    def _server(self, met: list[Talk]) -> None:
        """The peer of these conversations, which the device began."""
        address, port = met[0].server
        answered = [t for t in met if t.opened is not None or t.first("server") is not None]
        if not answered:
            how = "refused" if any("server" in t.reset for t in met) else "did not answer"
            self.lost.append(f"{address}:{port}, which {how}: nobody is there")
            return
        hello = next((hello for t in answered if (hello := t.hello())), None)
        name = self._name(address, hello.name if hello else None)
        kind = "dtls" if met[0].datagrams else "tls" if hello else "tcp"
        if any(b"STARTTLS" in talk.data("client")[0].upper() for talk in answered):
            self.lost.append(f"{address}:{port}: STARTTLS: the TLS behind it is taken as text")
        server = {"kind": kind, "name": name, "address": address, "port": port}
        where, wrongs, facts = f"{name}:{port}", [], dict[str, Any]()
        for talk in answered:
            wrong = self._manners.wrong(talk, "server", where) if hello else ""
            wrongs.append(wrong or "no")
            found = self._manners.handshake(talk, "server", where) if hello else {}
            found |= self._manners.delay(talk) | self._manners.speech(talk, "server", where)
            facts = found | facts
        if kind != "tcp" and "certificate" not in facts:
            self.lost.append(f"{where}: its certificates, which the capture does not show")
            facts["certificate"] = self._chains.new("unknown", {"names": [name]})
        if len({repr(w) for w in wrongs}) > 1 or set(wrongs) != {"no"}:
            facts["misbehave"] = " ".join(wrongs)
        if met[0].unanswered > 1:
            facts["ignore"] = met[0].unanswered - 1
        self.table["server"].append(server | self._settled(facts, kind, where))

    def _client(self, talk: Talk) -> None:
        """The peer of a conversation that it began with the device."""
        address, port = talk.client[0], talk.server[1]
        if talk.opened is None and talk.first("server") is None:
            self.lost.append(f"a call from {address} to port {port} that the device did not take")
            return
        hello = talk.hello()
        kind = "dtls" if talk.datagrams else "tls" if hello else "tcp"
        client = {"kind": kind, "name": self._name(address), "address": address, "port": port}
        client["start_ms"] = ms(talk.asked - self._manners.trip(address) - self._start)
        where = f"client {address} of port {port}"
        facts: dict[str, Any] = {}
        if hello:
            facts = self._manners.handshake(talk, "client", where)
            facts |= {"server_name": hello.name} if hello.name else {}
            if not talk.datagrams:
                known = sorted(VERSIONS[v] for v in set(hello.versions) & set(VERSIONS))
                facts |= {"versions": known} if known else {}
            names = [self._manners.suites[s] for s in hello.suites if s in self._manners.suites]
            facts |= {"ciphers": ":".join(names)} if names else {}
            said = [m.time for m in talk.messages if (m.side, m.kind) == ("client", 1)]
            before = talk.acked
            if talk.datagrams:
                before = next((m.time for m in talk.messages if m.kind == 3), None)
            if before and (delay := ms(said[-1] - before - self._own(talk))):
                facts["handshake_delay_ms"] = delay
            if wrong := self._manners.wrong(talk, "client", where):
                facts["misbehave"] = wrong
        if "mss" in (speech := self._manners.speech(talk, "client", where)):
            self.lost.append(f"{where}: its MSS of {speech.pop('mss')}")
        self.table["client"].append(client | self._settled(facts | speech, kind, where))

    def _own(self, talk: Talk) -> float:
        """What a client's answer takes anyway."""
        return (talk.turn("server") or 0.0) if talk.datagrams else 0.0

    def _settled(self, facts: dict[str, Any], kind: str, where: str) -> dict[str, Any]:
        """Without what excludes each other: our own endpoint knows one suite and P-256."""
        if "misbehave" not in facts:
            return facts
        if kind == "dtls":
            self.lost.append(f"{where}: {facts.pop('misbehave')}")
            return facts
        for key in ("versions", "ciphers", "handshake_delay_ms", "record_size", "server_name"):
            if key in facts:
                self.lost.append(f"{where}: {key} = {facts.pop(key)!r} beside misbehave")
        leaf = self._chains.table.get(facts.get("certificate", ""), {})
        if leaf.get("key", "P-256") != "P-256":
            self.lost.append(f"{where}: a key of the kind {leaf['key']} beside misbehave")
            leaf["key"] = "P-256"
        return facts

    def _compare_suites(self, talk: Talk) -> None:
        """Has the device another firmware than the camera?"""
        hello = talk.hello()
        if hello and hello.suites != OFFERED:
            extra = [f"0x{s:04X}" for s in hello.suites if s not in OFFERED]
            gone = [f"0x{s:04X}" for s in OFFERED if s not in hello.suites]
            parts = [f"also offered {' '.join(extra)}"] * bool(extra)
            parts += [f"did not offer {' '.join(gone)}"] * bool(gone)
            what = " and ".join(parts) or "offered them in another order"
            self.lost.append(f"the suites of the device, which {what}: the firmware decides")


def _told(packets: Iterable[Any]) -> Iterator[Any]:
    """The same, with a line on standard error now and then."""
    spoke, stream = time.monotonic(), iter(packets)
    for number in itertools.count():
        if time.monotonic() > spoke + QUIET:
            spoke = time.monotonic()
            print(f"omvsim: {number} frames are read", file=sys.stderr, flush=True)
        if number == MOST:
            raise UserError(f"more than {MOST} frames: cut the device's own out (tshark -r -Y -w)")
        try:
            packet = next(stream)
        except StopIteration:
            return
        except Exception as error:  # whatever scapy makes of a damaged file
            raise UserError(f"no readable capture: {error}") from None
        yield packet


def read(
    capture: Path, camera: str | None, anchors: Sequence[x509.Certificate] = (),
    known: secrets.Secrets | None = None,
) -> Importer:  # fmt: skip
    """What a capture becomes; UserError where it is none, or holds no camera."""
    try:
        content = frames.opened(paths.read(capture))
        known = (known or {}) | secrets.from_capture(content.getbuffer())
        with _opened(content) as reader:
            return Importer(_told(reader), camera, anchors, known)
    except OSError as error:
        raise UserError(f"{capture}: {error.strerror}: name a capture") from None
    except UserError as error:
        raise UserError(f"{capture}: {error}") from None
    except (IndexError, *DAMAGE) as error:
        raise UserError(f"{capture}: a damaged message: {error}") from None


def _opened(content: Any) -> Any:
    try:
        return PcapReader(content)
    except Exception as error:  # whatever scapy makes of a damaged file
        raise UserError(f"no readable capture: {error}") from None

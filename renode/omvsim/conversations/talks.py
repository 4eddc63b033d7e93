"""What a capture shows: TCP connections and DTLS sessions, their TLS messages, lost frames."""

from __future__ import annotations

import bisect
import itertools
import ssl
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from scapy.layers.inet import IP, TCP, UDP

from netsim.scapy_dtls import DTLSHandshake
from netsim.scapy_dtls import records as dtls_records

End = tuple[str, int]
OTHER = {"client": "server", "server": "client"}
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
CLIENT_HELLO, SERVER_HELLO, CERTIFICATE = 1, 2, 11
SERVER_NAME, ENCRYPT_THEN_MAC, SUPPORTED_VERSIONS = 0, 22, 43
LARGEST = 1 << 16  # bytes of a handshake message
REORDERED_S = 0.003  # a hole that is filled so soon was no loss


@dataclass(frozen=True)
class Loss:
    """`count` frames of a direction of a conversation, after `before` others in the capture."""

    sender: str  # the side
    what: str  # a term of a rule: "Raw" for data
    before: int
    count: int
    seen: bool  # the capture holds the frame that went lost


@dataclass
class Record:
    """A TLS record; `clear`: before the keys."""

    side: str
    time: float
    kind: int
    body: bytes
    clear: bool
    plain: bytes | None = None  # what it holds, if its secrets are known

    @property
    def alert(self) -> tuple[int, int] | None:
        """Level and description, where they can be read."""
        body = self.body if self.clear else self.plain or b""
        return (body[0], body[1]) if self.kind == ALERT and len(body) == 2 else None


@dataclass
class Message:
    """A handshake message in clear; `split`: it did not fit its record; `at`: which record of
    the conversation completes it."""

    side: str
    time: float
    kind: int
    body: bytes
    split: bool
    at: int


@dataclass
class Talk:
    """A TCP connection, or a DTLS session: bytes in order, and when things came."""

    client: End
    server: End
    asked: float
    datagrams: bool = False
    tried: float = 0.0  # the last SYN
    opened: float | None = None  # SYN, ACK
    acked: float | None = None  # the client's first segment after it
    mss: dict[str, int] = field(default_factory=dict)
    fin: dict[str, float] = field(default_factory=dict)
    reset: dict[str, float] = field(default_factory=dict)
    parts: dict[str, dict[int, tuple[float, bytes]]] = field(
        default_factory=lambda: {"client": {}, "server": {}}
    )
    records: list[Record] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    unanswered: int = 0  # ClientHellos before any answer, DTLS
    _base: dict[str, int] = field(default_factory=dict)

    def offset(self, side: str, sequence: int) -> int:
        """A sequence number as one that does not wrap."""
        base = self._base.setdefault(side, sequence)
        return ((sequence - base + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)

    def data(self, side: str) -> tuple[bytes, list[tuple[int, float]]]:
        """What the side sent, up to the first gap; and from which byte on it came when."""
        out, size, expected = list[bytes](), 0, None
        times: list[tuple[int, float]] = []
        for sequence, (now, data) in sorted(self.parts[side].items()):
            if expected is not None and sequence > expected:
                break
            times.append((size, max(now, times[-1][1] if times else now)))
            out.append(data[(expected if expected is not None else sequence) - sequence :])
            size += len(out[-1])
            expected = max(expected if expected is not None else sequence, sequence + len(data))
        return b"".join(out), times

    def first(self, side: str) -> float | None:
        """When its first data came."""
        parts = [now for now, _ in self.parts[side].values()]
        return min(parts + [r.time for r in self.records if r.side == side], default=None)

    def left(self, side: str) -> float | None:
        """When the side ended it: by FIN, reset or, without TCP, an encrypted alert."""
        ends = [d[side] for d in (self.fin, self.reset) if side in d]
        if self.datagrams:
            ends = [r.time for r in self.records if r.side == side and r.kind == ALERT]
        return min(ends, default=None)

    def turn(self, side: str) -> float | None:
        """The shortest time from a datagram of the side to the next of the other."""
        both = itertools.pairwise(sorted(self.records, key=lambda record: record.time))
        gaps = [b.time - a.time for a, b in both if a.side == side != b.side]
        return min(gaps, default=None)

    def hello(self) -> Hello | None:
        """The client's last: with the cookie, where there is one."""
        return self._hello(CLIENT_HELLO, "client")

    def chosen(self) -> Hello | None:
        """The server's."""
        return self._hello(SERVER_HELLO, "server")

    def _hello(self, kind: int, side: str) -> Hello | None:
        bodies = [m.body for m in self.messages if (m.kind, m.side) == (kind, side)]
        if not bodies:
            return None
        if side == "server":
            return server_hello(bodies[-1])
        return client_hello(bodies[-1], datagrams=self.datagrams)

    def secured(self, side: str) -> float | None:
        """When the side first sent under its keys."""
        return min((r.time for r in self.records if r.side == side and not r.clear), default=None)

    def spoken(self, side: str) -> list[tuple[float, int]]:
        """When it sent how many bytes of data under TLS, without what TLS adds to them."""
        chosen = self.chosen()
        suite = suite_names().get(chosen.suites[0], "") if chosen else ""
        tls13 = chosen is not None and 0x0304 in chosen.versions
        extra = 17 if tls13 else 16 if "CHACHA" in suite else 24 if "GCM" in suite else 49
        own = [r for r in self.records if r.side == side and r.kind == DATA]
        if tls13:  # what belongs to the handshake looks the same
            until = self.secured("client") or 0.0
            own = [r for r in own if r.time > until and not is_alert(r, tls13)]
        return [
            (r.time, max(0, len(r.body) - extra) if r.plain is None else len(r.plain)) for r in own
        ]

    def said(self, side: str) -> bytes | None:
        """What it sent, without TLS; None where nobody can read that."""
        if not self.hello():
            return self.data(side)[0]
        own = [r.plain for r in self.records if r.side == side and r.kind == DATA]
        return None if None in own else b"".join(plain or b"" for plain in own)

    def parse(self) -> None:
        """Find the records and messages of a TCP connection; none if it is no TLS."""
        for side in OTHER:
            data, times = self.data(side)
            self.records += _records(side, data, times)
        self.messages = list(_messages(self.records))


def conversations(packets: Iterable[Any]) -> tuple[list[Talk], list[tuple[Talk, Loss]], bool]:
    """Those whose beginning the capture holds, lost frames, and whether frames are cut short."""
    reader = Conversations()
    for packet in packets:
        reader.add(packet)
    return reader.finish()


class Conversations:
    """The same, frame by frame: a frame need not be kept after it."""

    def __init__(self) -> None:
        self._talks: dict[tuple[End, End], Talk] = {}
        self._order: list[Talk] = []
        self._trace = _Trace()
        self._cut = False

    def add(self, packet: Any) -> None:
        """The next frame, as scapy dissects it."""
        if packet.haslayer(IP) and packet.haslayer(TCP):
            self._add_tcp(packet[IP], packet[TCP], float(packet.time))
        elif packet.haslayer(IP) and packet.haslayer(UDP):
            self._add_udp(packet[IP], packet[UDP], float(packet.time))

    def finish(self) -> tuple[list[Talk], list[tuple[Talk, Loss]], bool]:
        """There are no more."""
        for talk in self._order:
            if talk.datagrams:
                talk.messages = list(_fragments(talk))
            else:
                talk.parse()
        return self._order, self._trace.losses, self._cut

    def _begin(self, ends: tuple[End, End], now: float, datagrams: bool) -> None:
        self._talks[ends] = Talk(*ends, now, datagrams=datagrams)
        self._order.append(self._talks[ends])

    def _add_tcp(self, ip: Any, tcp: Any, now: float) -> None:
        ends = (ip.src, tcp.sport), (ip.dst, tcp.dport)
        if tcp.flags.S and not tcp.flags.A:
            known = self._talks.get(ends)
            if known is None or known.left("client") or known.left("server"):
                self._begin(ends, now, False)
        talk = self._talks.get(ends) or self._talks.get(ends[::-1])
        if talk and not talk.datagrams:
            size = ip.len - 4 * ip.ihl - 4 * tcp.dataofs  # without Ethernet's padding
            data = bytes(tcp.payload)[: max(size, 0)]
            self._cut = self._cut or len(data) < size
            side = "client" if ends[0] == talk.client else "server"
            _tcp(talk, side, tcp, data, now, self._trace)

    def _add_udp(self, ip: Any, udp: Any, now: float) -> None:
        ends = (ip.src, udp.sport), (ip.dst, udp.dport)
        data = bytes(udp.payload)[: max(udp.len - 8, 0)]
        if ends not in self._talks and ends[::-1] not in self._talks and starts_dtls(data):
            self._begin(ends, now, True)
        talk = self._talks.get(ends) or self._talks.get(ends[::-1])
        if talk and talk.datagrams:
            _dtls(talk, "client" if ends[0] == talk.client else "server", data, now)


def starts_dtls(data: bytes) -> bool:
    """A ClientHello in clear, or its first fragment (RFC 6347 section 4.2.3)."""
    first = data[:2] == b"\x16\xfe" and data[3:5] == b"\0\0" and data[13:14] == b"\x01"
    return first and data[19:22] == bytes(3)


class _Trace:
    """Counts frames with data or SYN, as the rules of a scenario do, and notes lost ones."""

    def __init__(self) -> None:
        self.losses: list[tuple[Talk, Loss]] = []
        self._met: Counter[tuple[Any, ...]] = Counter()
        self._last: dict[tuple[int, str, Any], int] = {}
        self._high: dict[tuple[int, str], int] = {}
        self._holes: dict[tuple[int, str], list[tuple[int, int, int, float]]] = {}
        self._acked: dict[tuple[int, str], int] = {}

    def frame(self, talk: Talk, side: str, what: str, offset: int, size: int, now: float) -> None:
        """A frame; `offset` tells repetitions."""
        peer, port = talk.client[0], talk.server
        key = (peer, port, side, what)
        before, here = self._met[key], (id(talk), side)
        self._met[key] += 1
        if what != "Raw":
            self._repeated(talk, side, what, offset, before)
            return
        high = self._high.get(here, offset)
        if offset > high:
            self._holes.setdefault(here, []).append((high, offset, before, now))
        elif (*here, offset) in self._last and offset + size > self._acked.get(here, offset):
            self._repeated(talk, side, what, offset, before)
        for hole in [h for h in self._holes.get(here, []) if h[0] <= offset < h[1]]:
            self._holes[here].remove(hole)
            if now - hole[3] > REORDERED_S:
                count = max(1, -(-(hole[1] - hole[0]) // max(size, 1)))
                self.losses.append((talk, Loss(side, what, hole[2], count, seen=False)))
        self._last[(*here, offset)] = before
        self._high[here] = max(high, offset + size)

    def acknowledged(self, talk: Talk, side: str, offset: int) -> None:
        """Up to here the side's bytes have arrived: what is repeated now was not lost."""
        key = id(talk), side
        self._acked[key] = max(self._acked.get(key, offset), offset)

    def _repeated(self, talk: Talk, side: str, what: str, offset: int, before: int) -> None:
        key = (id(talk), side, (what, offset) if what != "Raw" else offset)
        if key in self._last:
            self.losses.append((talk, Loss(side, what, self._last[key], 1, seen=True)))
        self._last[key] = before


def _tcp(talk: Talk, side: str, tcp: Any, data: bytes, now: float, trace: _Trace) -> None:
    if tcp.flags.S:
        talk.mss[side] = next((v for k, v in tcp.options if k == "MSS"), 536)
        if side == "server" and talk.acked is None:
            talk.opened = now
        if side == "client":
            talk.tried = now
            trace.frame(talk, side, "TCP.flags & S", tcp.seq, 0, now)
        return
    if side == "client" and talk.opened is not None and talk.acked is None:
        talk.acked = now
    if tcp.flags.R:
        talk.reset.setdefault(side, now)
        return
    if tcp.flags.F:
        talk.fin.setdefault(side, now)
    if tcp.flags.A and talk.parts[OTHER[side]]:
        trace.acknowledged(talk, OTHER[side], talk.offset(OTHER[side], tcp.ack))
    if data:
        offset = talk.offset(side, tcp.seq)
        talk.parts[side].setdefault(offset, (now, data))
        trace.frame(talk, side, "Raw", offset, len(data), now)


def _dtls(talk: Talk, side: str, data: bytes, now: float) -> None:
    if side == "client" and starts_dtls(data) and talk.first("server") is None:
        talk.unanswered += 1
    for record in dtls_records(data):
        body = bytes(record)[13:]
        talk.records.append(Record(side, now, record.type, body, not record.epoch))


def _records(side: str, data: bytes, times: list[tuple[int, float]]) -> Iterator[Record]:
    at, clear = 0, True
    while len(data) >= at + 5 and 20 <= data[at] <= 23 and data[at + 1] == 3:
        end = at + 5 + int.from_bytes(data[at + 3 : at + 5], "big")
        if end > len(data):
            return
        time = times[bisect.bisect_left(times, (end, 0.0)) - 1][1]
        kind = data[at]
        yield Record(side, time, kind, data[at + 5 : end], clear and kind != DATA)
        clear = clear and kind not in (CHANGE_CIPHER_SPEC, DATA)
        at = end


def _messages(records: list[Record]) -> Iterator[Message]:
    for side in OTHER:
        rest = b""
        for at, record in enumerate(records):
            if record.side != side or record.kind != HANDSHAKE or not record.clear:
                continue
            split = bool(rest)
            rest += record.body
            while len(rest) >= 4 and len(rest) >= 4 + int.from_bytes(rest[1:4], "big"):
                end = 4 + int.from_bytes(rest[1:4], "big")
                yield Message(side, record.time, rest[0], rest[4:end], split, at)
                rest, split = rest[end:], False


def _fragments(talk: Talk) -> Iterator[Message]:
    """RFC 6347 section 4.2.3: fragments of a message, in any order."""
    whole: dict[tuple[str, int], bytearray] = {}
    missing: dict[tuple[str, int], set[int]] = {}
    for at, record in enumerate(talk.records):
        body = record.body if record.kind == HANDSHAKE and record.clear else b""
        while len(body) >= 12:
            part = DTLSHandshake(body)
            size, start = part.fragment_length, part.fragment_offset
            key = record.side, part.message_seq
            body = body[12 + size :]
            if key not in whole:
                if part.length > LARGEST:
                    raise ValueError(f"a message of {part.length} bytes")
                whole[key] = bytearray(part.length)
                missing[key] = set(range(part.length))
            elif not missing[key]:
                continue  # a repetition
            if start + len(part.data) > len(whole[key]):
                raise ValueError("a fragment lies outside its message")
            whole[key][start : start + len(part.data)] = part.data
            missing[key] -= set(range(start, start + len(part.data)))
            if not missing[key]:
                split = size < part.length
                message = bytes(whole[key])
                yield Message(record.side, record.time, part.msgtype, message, split, at)


def is_alert(record: Record, tls13: bool) -> bool:
    """TLS 1.3 hides the type: two bytes, a type and a tag (RFC 8446 section 5.2)."""
    hidden = tls13 and record.kind == DATA and len(record.body) == 19
    return record.kind == ALERT or hidden


@cache
def suite_names() -> dict[int, str]:
    """OpenSSL's names of suites before TLS 1.3, whose own ones are always on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    known = {cipher["id"] & 0xFFFF: str(cipher["name"]) for cipher in context.get_ciphers()}
    return {code: name for code, name in known.items() if code >> 8 != 0x13}


# Parts of messages -----------------------------------------------------------------------


def certificates(body: bytes) -> Iterator[bytes]:
    """Those of a Certificate message before TLS 1.3, in DER (RFC 5246 section 7.4.2)."""
    body = body[3:]
    while len(body) >= 3:
        end = 3 + int.from_bytes(body[:3], "big")
        yield body[3:end]
        body = body[end:]


def extensions(data: bytes) -> dict[int, bytes]:
    """From the two bytes of their common length on."""
    found, data = {}, data[2:]
    while len(data) >= 4:
        size = int.from_bytes(data[2:4], "big")
        found[int.from_bytes(data[:2], "big")] = data[4 : 4 + size]
        data = data[4 + size :]
    return found


@dataclass
class Hello:
    """What a ClientHello or ServerHello says: RFC 5246 section 7.4.1."""

    versions: list[int]
    suites: list[int]
    name: str | None
    extensions: dict[int, bytes] = field(default_factory=dict)


def client_hello(body: bytes, *, datagrams: bool) -> Hello:
    """A ClientHello; with a cookie if it is of DTLS."""
    at = 35 + body[34]
    if datagrams:
        at += 1 + body[at]
    size = int.from_bytes(body[at : at + 2], "big")
    suites = [int.from_bytes(body[i : i + 2], "big") for i in range(at + 2, at + 2 + size, 2)]
    at += 2 + size
    found = extensions(body[at + 1 + body[at] :])
    listed = found.get(SUPPORTED_VERSIONS, b"")[1:] or body[:2]
    versions = [int.from_bytes(listed[i : i + 2], "big") for i in range(0, len(listed), 2)]
    name = found.get(SERVER_NAME, b"")[5:].decode("ascii", "replace")
    return Hello(versions, suites, name or None)


def server_hello(body: bytes) -> Hello:
    """What the server chose."""
    at = 35 + body[34]
    found = extensions(body[at + 3 :])
    chosen = found.get(SUPPORTED_VERSIONS, body[:2])
    suite = int.from_bytes(body[at : at + 2], "big")
    return Hello([int.from_bytes(chosen, "big")], [suite], None, found)

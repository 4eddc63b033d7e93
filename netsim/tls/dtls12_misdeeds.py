"""What our DTLS 1.2 endpoint can do wrong: a class each, an honest one over all."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from netsim.scapy_dtls import (
    CLIENT_HELLO,
    FINISHED,
    HANDSHAKE,
    DTLSHandshake,
)

_LARGEST_MESSAGE = 1 << 16


@dataclass(frozen=True)
class Message:
    """What a flight consists of: handshake messages by number, and ChangeCipherSpec."""

    kind: int  # of the record
    body: bytes
    msgtype: int = 0
    number: int = 0
    epoch: int = 0

    @property
    def whole(self) -> bytes:
        """As it enters the hash of the handshake: RFC 6347 section 4.2.6."""
        return bytes(DTLSHandshake(msgtype=self.msgtype, message_seq=self.number, data=self.body))


@dataclass(frozen=True)
class Record:
    """A record before it is numbered and protected."""

    kind: int
    payload: bytes
    epoch: int


class Misbehaviour:
    """An honest endpoint; others override what they do wrong."""

    asks_for_cookie = True
    cookie_size = 32
    step = _LARGEST_MESSAGE  # bytes of a fragment
    cuts_hello = False  # few servers take a ClientHello in pieces
    room = 600  # bytes of a datagram; 0 gives each record its own
    overlap = 0  # bytes that a fragment repeats of the one before

    def cookie(self, cookie: bytes) -> bytes:
        """What a client returns of the cookie that it has got."""
        return cookie

    def records(self, message: Message) -> list[Record]:
        """The records that carry a message."""
        if message.kind != HANDSHAKE:
            return [Record(message.kind, message.body, message.epoch)]
        if message.msgtype == CLIENT_HELLO and not self.cuts_hello:
            return [Record(HANDSHAKE, message.whole, message.epoch)]
        return [
            Record(HANDSHAKE, bytes(self.changed(fragment)), message.epoch)
            for fragment in self.fragments(message)
        ]

    def fragments(self, message: Message) -> list[DTLSHandshake]:
        """The message in pieces."""
        size, step = len(message.body), self.step
        return [
            DTLSHandshake(
                msgtype=message.msgtype, message_seq=message.number, length=size,
                fragment_offset=start, data=message.body[start : at + step],
            )
            for at in range(0, max(size, 1), step)
            for start in [max(0, at - self.overlap)]
        ]  # fmt: skip

    def changed(self, fragment: DTLSHandshake) -> DTLSHandshake:
        """A fragment, with what is wrong with it."""
        return fragment

    def flight(self, messages: list[Message]) -> list[Message]:
        """The messages of a flight in the order in which they are sent."""
        return messages

    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        """The datagrams of a flight, from its records; `attempt` counts from 0."""
        packed: list[bytes] = []
        for record in sealed:
            if packed and len(packed[-1]) + len(record) <= self.room:
                packed[-1] += record
            else:
                packed.append(record)
        return packed

    def data(self, seal: Callable[[bytes], bytes], payload: bytes) -> list[bytes]:
        """The datagrams for application data."""
        return [seal(payload)]


class WrongCookie(Misbehaviour):
    def cookie(self, cookie: bytes) -> bytes:
        return cookie[:-1] + bytes([cookie[-1] ^ 1])


class ForeignCookie(Misbehaviour):
    """The cookie of the first client of this kind, whoever that was."""

    def __init__(self) -> None:
        self._first = b""

    def cookie(self, cookie: bytes) -> bytes:
        self._first = self._first or bytes(len(cookie))
        return self._first


class NoCookie(Misbehaviour):
    def cookie(self, cookie: bytes) -> bytes:
        return b""


class NoHelloVerify(Misbehaviour):
    asks_for_cookie = False


class LongCookie(Misbehaviour):
    cookie_size = 255


class LostFlight(Misbehaviour):
    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        return super().datagrams(sealed, attempt) if attempt else []


class LostDatagram(Misbehaviour):
    room = 0

    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        return super().datagrams(sealed if attempt else sealed[1:], attempt)


class ReversedFlight(Misbehaviour):
    room = 0

    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        return super().datagrams(sealed, attempt)[::-1]


class SmallFragments(Misbehaviour):
    step = 60


class FragmentedHello(SmallFragments):
    cuts_hello = True


class ReversedFragments(SmallFragments):
    def fragments(self, message: Message) -> list[DTLSHandshake]:
        return super().fragments(message)[::-1]


class OverlappingFragments(SmallFragments):
    overlap = 30


class ConflictingFragments(OverlappingFragments):
    """What was said before is said otherwise: the first word counts, or the last."""

    def changed(self, fragment: DTLSHandshake) -> DTLSHandshake:
        if fragment.fragment_offset:
            head = bytes(byte ^ 0xFF for byte in fragment.data[: self.overlap])
            fragment.data = head + fragment.data[self.overlap :]
        return fragment


class SingleDatagram(Misbehaviour):
    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        return [b"".join(sealed)]


class RepeatedDatagrams(Misbehaviour):
    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        return [d for d in super().datagrams(sealed, attempt) for _ in range(2)]


class ReplayedData(Misbehaviour):
    def data(self, seal: Callable[[bytes], bytes], payload: bytes) -> list[bytes]:
        return [seal(payload)] * 3


class WrongEpoch(Misbehaviour):
    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        wrong = [record[:3] + b"\0\x07" + record[5:] for record in sealed]
        both = [record for pair in zip(wrong, sealed, strict=True) for record in pair]
        return super().datagrams(both, attempt)


class EarlyFinished(Misbehaviour):
    """Finished is encrypted, so that what comes early cannot be read yet."""

    def flight(self, messages: list[Message]) -> list[Message]:
        finished = [message for message in messages if message.msgtype == FINISHED]
        return finished + messages


class WrongFinished(Misbehaviour):
    def changed(self, fragment: DTLSHandshake) -> DTLSHandshake:
        if fragment.msgtype == FINISHED:
            fragment.data = bytes(byte ^ 0xFF for byte in fragment.data)
        return fragment


class WrongTag(Misbehaviour):
    def data(self, seal: Callable[[bytes], bytes], payload: bytes) -> list[bytes]:
        forged = bytearray(seal(payload))
        forged[-1] ^= 1
        return [bytes(forged), seal(payload)]


class HugeLength(Misbehaviour):
    def changed(self, fragment: DTLSHandshake) -> DTLSHandshake:
        fragment.fragment_length, fragment.length = len(fragment.data), 0xFFFFFF
        return fragment


class Garbage(Misbehaviour):
    def __init__(self) -> None:
        self._random = random.Random("garbage")

    def datagrams(self, sealed: list[bytes], attempt: int) -> list[bytes]:
        packed = super().datagrams(sealed, attempt)
        noise = (self._random.randbytes(self._random.randrange(1, 200)) for _ in packed)
        return [datagram for pair in zip(noise, packed, strict=True) for datagram in pair]


MISBEHAVIOURS: dict[str, type[Misbehaviour]] = {
    "no": Misbehaviour,
    "wrong_cookie": WrongCookie,
    "foreign_cookie": ForeignCookie,
    "no_cookie": NoCookie,
    "no_hello_verify": NoHelloVerify,
    "long_cookie": LongCookie,
    "lost_flight": LostFlight,
    "lost_datagram": LostDatagram,
    "reversed_flight": ReversedFlight,
    "small_fragments": SmallFragments,
    "fragmented_hello": FragmentedHello,
    "reversed_fragments": ReversedFragments,
    "overlapping_fragments": OverlappingFragments,
    "conflicting_fragments": ConflictingFragments,
    "single_datagram": SingleDatagram,
    "repeated_datagrams": RepeatedDatagrams,
    "replayed_data": ReplayedData,
    "wrong_epoch": WrongEpoch,
    "early_finished": EarlyFinished,
    "wrong_finished": WrongFinished,
    "wrong_tag": WrongTag,
    "huge_length": HugeLength,
    "garbage": Garbage,
}

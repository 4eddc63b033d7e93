"""What our TLS 1.2 endpoint can do wrong: a class each, an honest one over all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from netsim.stack.host import TcpStream
from netsim.stack.rto import MS, SECOND

ALERT, HANDSHAKE, APPLICATION_DATA, HEARTBEAT = 21, 22, 23, 24
HELLO_REQUEST, FINISHED = 0, 20
_TLS12 = b"\x03\x03"
_SECURE = bytes.fromhex("ff01000100")  # RFC 5746
_UNKNOWN = bytes.fromhex("fafa0002abcd")  # RFC 8701 reserves such numbers
_LARGEST = 1 << 14

if TYPE_CHECKING:
    from netsim.tls.tls12 import Session


@dataclass
class Step:
    """A message of ours: a record's type and what it holds."""

    kind: int
    body: bytes
    encrypted: bool = False


class Misbehaviour:
    """An honest endpoint; others override what they do wrong."""

    size = _LARGEST  # bytes of a record's contents, at most
    hello_version = _TLS12
    extra_extensions = b""  # of the hello
    cbc = False  # the suite, which is no misdeed
    unanswered: tuple[int, ...] = ()  # message types that are taken without an answer

    def __init__(self, *arguments: int) -> None:
        self.arguments = arguments

    def steps(self, number: int, step: Step, session: Session) -> list[Step]:
        """What is sent in place of message `number`."""
        return [step]

    def record(self, sealed: bytes, step: Step) -> bytes:
        """The bytes of a record."""
        return sealed

    def mac(self, made: bytes, kind: int) -> bytes:
        """The MAC of a record of that type, with a CBC suite."""
        return made

    def padding(self, made: bytes, kind: int) -> bytes:
        """Its padding, with the length of it."""
        return made

    def point(self, point: bytes) -> bytes:
        """The public key of ours."""
        return point

    def signature(self, made: bytes) -> bytes:
        """The signature of the key exchange."""
        return made

    def closes(self, session: Session) -> None:
        """How the session ends."""
        session.say_goodbye()
        session.below.close()

    def write(self, session: Session, data: bytes) -> None:
        """Hand bytes to TCP."""
        session.below.write(data)


class Before(Misbehaviour):
    """Something in place of or before message number `arguments[0]`."""

    def steps(self, number: int, step: Step, session: Session) -> list[Step]:
        return self.instead(step, session) if number == self.arguments[0] else [step]

    def instead(self, step: Step, session: Session) -> list[Step]:
        return []


class FatalAlert(Before):
    """And then the end of the stream (RFC 5246 section 7.2.2)."""

    def instead(self, step: Step, session: Session) -> list[Step]:
        session.mute = True
        session.below.call_later(0, session.below.close)
        return [Step(ALERT, bytes([2, self.arguments[1]]), step.encrypted)]


class WarningAlert(Before):
    def instead(self, step: Step, session: Session) -> list[Step]:
        return [Step(ALERT, bytes([1, self.arguments[1]]), step.encrypted), step]


class UnexpectedMessage(Before):
    """A handshake message of the type of `arguments[1]`, without contents."""

    def instead(self, step: Step, session: Session) -> list[Step]:
        message = bytes([self.arguments[1]]) + bytes(3)
        return [Step(HANDSHAKE, message, step.encrypted), step]


class Heartbeat(Before):
    """RFC 6520, which nobody has agreed on."""

    def instead(self, step: Step, session: Session) -> list[Step]:
        return [Step(HEARTBEAT, b"\1\0\4ping" + bytes(16), step.encrypted), step]


class Fin(Before):
    def instead(self, step: Step, session: Session) -> list[Step]:
        session.mute = True
        session.below.close()
        return []


class Reset(Before):
    def instead(self, step: Step, session: Session) -> list[Step]:
        session.mute = True
        session.below.call_later(20 * MS, session.below.abort)
        return []


class Stall(Before):
    """Nothing more is sent, and nothing closed."""

    def instead(self, step: Step, session: Session) -> list[Step]:
        session.mute = True
        return []


class StopsReading(Before):
    """TCP's window closes, and stays closed."""

    def instead(self, step: Step, session: Session) -> list[Step]:
        if isinstance(session.below, TcpStream):
            session.below.paused = True
            session.misdeed()
        return [step]


class Twice(Before):
    def instead(self, step: Step, session: Session) -> list[Step]:
        return [step, step]


class RecordVersion(Misbehaviour):
    def record(self, sealed: bytes, step: Step) -> bytes:
        return sealed[:1] + b"\x07\x07" + sealed[3:]


class HelloVersion(Misbehaviour):
    hello_version = b"\x03\x01"


class WrongTag(Misbehaviour):
    """From the first encrypted record on."""

    def record(self, sealed: bytes, step: Step) -> bytes:
        return sealed[:-1] + bytes([sealed[-1] ^ 1]) if step.encrypted else sealed


class WrongTagOfData(Misbehaviour):
    def record(self, sealed: bytes, step: Step) -> bytes:
        return sealed[:-1] + bytes([sealed[-1] ^ 1]) if step.kind == APPLICATION_DATA else sealed


class Cbc(Misbehaviour):
    """Nothing wrong, with the CBC suite."""

    cbc = True


class WrongMac(Cbc):
    """Of data, whose padding is right."""

    def mac(self, made: bytes, kind: int) -> bytes:
        return made[:-1] + bytes([made[-1] ^ 1]) if kind == APPLICATION_DATA else made


class WrongPadding(Cbc):
    """Of data, whose MAC is right: the bytes of padding are not what they are to be."""

    def padding(self, made: bytes, kind: int) -> bytes:
        return bytes(len(made) - 1) + made[-1:] if kind == APPLICATION_DATA else made


class WrongFinished(Misbehaviour):
    def steps(self, number: int, step: Step, session: Session) -> list[Step]:
        if step.kind == HANDSHAKE and step.body[0] == FINISHED:
            step = Step(HANDSHAKE, step.body[:4] + bytes(12), encrypted=True)
        return [step]


class EmptyRecords(Misbehaviour):
    """Records without any contents before data, as some send them against an old attack."""

    def steps(self, number: int, step: Step, session: Session) -> list[Step]:
        empty = Step(APPLICATION_DATA, b"", encrypted=True)
        return [empty, empty, step] if step.kind == APPLICATION_DATA else [step]


class EmptyHandshakeRecords(Misbehaviour):
    """RFC 5246 section 6.2.1 forbids them."""

    def steps(self, number: int, step: Step, session: Session) -> list[Step]:
        return [Step(HANDSHAKE, b""), step] if step.kind == HANDSHAKE else [step]


class TinyRecords(Misbehaviour):
    """One byte in each record of the handshake."""

    size = 1


class SmallRecords(Misbehaviour):
    size = 100


class OversizeRecord(Misbehaviour):
    """A record of data that is larger than RFC 5246 section 6.2.3 allows."""

    size = _LARGEST + 4096


class DuplicateExtension(Misbehaviour):
    extra_extensions = _SECURE + _SECURE


class UnknownExtension(Misbehaviour):
    extra_extensions = _UNKNOWN


class BadPoint(Misbehaviour):
    """Not on the curve."""

    def point(self, point: bytes) -> bytes:
        return point[:-1] + bytes([point[-1] ^ 1])


class BadSignature(Misbehaviour):
    def signature(self, made: bytes) -> bytes:
        return made[:-1] + bytes([made[-1] ^ 1])


class Renegotiation(Misbehaviour):
    """After the first data a server asks for another handshake, a client begins one."""

    def steps(self, number: int, step: Step, session: Session) -> list[Step]:
        if step.kind != APPLICATION_DATA:
            return [step]
        if session.role == "server":
            return [step, Step(HANDSHAKE, bytes(4), encrypted=True)]
        return [step, Step(HANDSHAKE, session.client_hello(), encrypted=True)]


class HalfClose(Misbehaviour):
    """close_notify and FIN after the first data; it goes on to read."""

    def steps(self, number: int, step: Step, session: Session) -> list[Step]:
        if step.kind == APPLICATION_DATA:
            session.below.call_later(0, session.close)
            session.misdeed()
        return [step]


class NoCloseNotify(Misbehaviour):
    def closes(self, session: Session) -> None:
        session.below.close()


class ByteBySegment(Misbehaviour):
    """Each byte in a segment of its own, a millisecond after the one before."""

    gap = MS

    def __init__(self, *arguments: int) -> None:
        super().__init__(*arguments)
        self._free = 0

    def write(self, session: Session, data: bytes) -> None:
        for byte in data:
            self._free = max(self._free, session.now) + self.gap
            wait = self._free - session.now
            session.below.call_later(wait, partial(session.below.write, bytes([byte])))


class BytePerSecond(ByteBySegment):
    gap = SECOND


MISBEHAVIOURS: dict[str, type[Misbehaviour]] = {
    "no": Misbehaviour,
    "fatal_alert": FatalAlert,
    "warning_alert": WarningAlert,
    "unexpected": UnexpectedMessage,
    "heartbeat": Heartbeat,
    "missing": Before,
    "twice": Twice,
    "fin": Fin,
    "reset": Reset,
    "stall": Stall,
    "stops_reading": StopsReading,
    "record_version": RecordVersion,
    "hello_version": HelloVersion,
    "wrong_tag": WrongTag,
    "wrong_tag_of_data": WrongTagOfData,
    "cbc": Cbc,
    "wrong_mac": WrongMac,
    "wrong_padding": WrongPadding,
    "wrong_finished": WrongFinished,
    "empty_records": EmptyRecords,
    "empty_handshake_records": EmptyHandshakeRecords,
    "tiny_records": TinyRecords,
    "small_records": SmallRecords,
    "oversize_record": OversizeRecord,
    "duplicate_extension": DuplicateExtension,
    "unknown_extension": UnknownExtension,
    "bad_point": BadPoint,
    "bad_signature": BadSignature,
    "renegotiation": Renegotiation,
    "half_close": HalfClose,
    "no_close_notify": NoCloseNotify,
    "byte_by_segment": ByteBySegment,
    "byte_per_second": BytePerSecond,
}


def make(text: str) -> Misbehaviour:
    """`fatal_alert:3:40` as an object."""
    name, *arguments = text.split(":")
    return MISBEHAVIOURS[name](*map(int, arguments))

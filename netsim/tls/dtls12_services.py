"""Our DTLS 1.2 endpoints as UDP services: a server of many sessions, a client of one."""

import hashlib
import hmac
from collections.abc import Callable, Iterator

from netsim.dissect import dissect
from netsim.scapy_dtls import (
    CLIENT_HELLO,
    DTLS,
    HANDSHAKE,
    HELLO_VERIFY_REQUEST,
    DTLSClientHello,
    DTLSHandshake,
    DTLSHelloVerifyRequest,
    records,
)
from netsim.services.peers import Peer
from netsim.stack.application import Address, Application
from netsim.stack.host import Host
from netsim.stack.wire import Datagram, Packet
from netsim.tls.dtls12 import Session, Setting
from netsim.tls.dtls12_misdeeds import Message, Misbehaviour

_MOST_SESSIONS = 256


class Server:
    """A UDP service: a session for each address that shows its cookie."""

    def __init__(self, setting: Setting, accept: Callable[[], tuple[Application, Peer]]) -> None:
        self._setting, self._accept = setting, accept
        self._sessions: dict[Address, Session] = {}

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        """Pass on to the session of its sender, or see whether it may begin one."""
        peer, port = (packet.source, datagram.source_port), datagram.destination_port
        session = self._sessions.get(peer)
        hello = next(_hellos(datagram.payload), None)
        begins = hello is not None and (session is None or session.over or session.ready)
        if not begins and session:
            session.receive(datagram.payload)
        elif hello:
            self._greet(host, port, peer, *hello)

    def _greet(
        self, host: Host, port: int, peer: Address, hello: DTLSClientHello, message: Message,
        sequence: int,
    ) -> None:  # fmt: skip
        wrong = self._setting.misbehaviour
        size = wrong.cookie_size
        secret = f"{self._setting.seed}/{peer}".encode()
        cookie = hashlib.shake_256(secret + hello.random).digest(size)
        if wrong.asks_for_cookie and not hmac.compare_digest(hello.cookie, cookie):
            request = DTLSHandshake(
                msgtype=HELLO_VERIFY_REQUEST, message_seq=message.number,
                data=bytes(DTLSHelloVerifyRequest(cookie=cookie)),
            )  # fmt: skip
            record = DTLS(version=0xFEFF, sequence_number=sequence, msg=[request])
            host.send_udp(peer, port, bytes(record))
            return
        application, of = self._accept()
        honest = Misbehaviour.asks_for_cookie, Misbehaviour.cookie_size
        of.noted((wrong.asks_for_cookie, size), honest)
        session = Session(self._setting, host, port, peer, application, of)
        self._sessions[peer] = session
        for old in list(self._sessions)[:-_MOST_SESSIONS]:
            del self._sessions[old]
        session.accept(hello, message, sequence)


class Client:
    """A UDP service for one session that this end begins."""

    def __init__(
        self, setting: Setting, host: Host, peer: Address, application: Application, record: Peer
    ) -> None:
        self._host, self._port = host, host.bind(self)
        self._session = Session(setting, host, self._port, peer, application, record)
        self._session.call()

    def datagram(self, host: Host, packet: Packet, datagram: Datagram) -> None:
        """Pass on what comes from the peer."""
        if (packet.source, datagram.source_port) == self._session.peer:
            self._session.receive(datagram.payload)
        self._release()

    def give_up(self, error: str) -> None:
        """The handshake takes too long; without effect if it is over."""
        self._session.fail(error)
        self._release()

    def _release(self) -> None:
        if self._session.over:
            self._host.release(self._port)


def _hellos(datagram: bytes) -> Iterator[tuple[DTLSClientHello, Message, int]]:
    """ClientHellos in one piece."""
    for record in records(datagram):
        for part in record.msg if record.type == HANDSHAKE and record.epoch == 0 else ():
            if not isinstance(part, DTLSHandshake):
                continue
            if part.msgtype == CLIENT_HELLO and part.length == len(part.data) >= 38:
                message = Message(HANDSHAKE, part.data, CLIENT_HELLO, part.message_seq)
                hello = dissect(DTLSClientHello, part.data)
                if isinstance(hello, DTLSClientHello):
                    yield hello, message, record.sequence_number

"""Applications of the scenario's servers and clients, and what they have seen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Literal, TypeVar

import h11

from netsim.scenario import End, Page
from netsim.stack.application import Address, Application, Stream
from netsim.stack.rto import MS

_LAST_WORDS = 20 * MS  # for a greeting to arrive before a reset
_KEPT = 1 << 20  # bytes of received data that a record keeps


Made = TypeVar("Made")


@dataclass
class Peer:
    """What one connection was like, seen from the testbed's end."""

    name: str
    role: Literal["server", "client"]
    kind: str
    port: int
    opened_ns: int | None = None
    closed_ns: int | None = None
    secured_ns: int | None = None  # the TLS handshake was complete
    version: str | None = None
    cipher: str | None = None
    server_name: str | None = None  # asked for by SNI
    offered: list[str] = field(default_factory=list)  # cipher suites, IANA's names
    certificate: bytes | None = None  # the camera's, DER
    verified: bool = False  # that certificate was demanded and is good
    close_notify: bool = False  # the camera said that it has sent all
    received: bytearray = field(default_factory=bytearray)
    error: str | None = None
    misdeeds: int = 0  # where an honest peer would have done otherwise

    def noted(self, made: Made, honest: Made) -> Made:
        """What a misbehaving peer makes; a misdeed unless an honest one makes the same."""
        self.misdeeds += made != honest
        return made

    def keep(self, data: bytes) -> None:
        """Remember received data, up to a limit."""
        self.received += data[: _KEPT - len(self.received)]


def leave(stream: Stream, end: End) -> None:
    """End a stream in order, or without a close_notify, or by a reset, or leave it open."""
    if end == "never":
        return
    if end == "reset":
        stream.call_later(_LAST_WORDS, stream.abort)
    else:
        stream.close() if end == "notify" else stream.cut()


class Recorded(Application):
    """An application that notes in its record when the connection began and ended."""

    def __init__(self, record: Peer) -> None:
        self.record = record

    def opened(self, stream: Stream) -> None:
        """Note the time."""
        self.record.opened_ns = self.record.opened_ns or stream.now  # TLS was there before

    def received(self, stream: Stream, data: bytes) -> None:
        """Keep the data."""
        self.record.keep(data)

    def lost(self, stream: Stream, error: str | None) -> None:
        """Note time and reason."""
        self.record.closed_ns = self.record.closed_ns or stream.now
        self.record.error = self.record.error or error


class HttpServer(Recorded):
    """HTTP/1.0 and 1.1; `pages` by path, or the one at "/" for all; `clock` dates answers."""

    def __init__(
        self,
        record: Peer,
        pages: Mapping[str, Page],
        delay_ms: int,
        clock: Callable[[int], datetime],
        note: Callable[[Address, bool, str], None],
    ) -> None:
        super().__init__(record)
        self._pages, self._delay = pages, delay_ms * MS
        self._target = "/"
        self._clock, self._note = clock, note
        self._http = h11.Connection(h11.SERVER)
        self._head = False

    def received(self, stream: Stream, data: bytes) -> None:
        """Parse requests and answer each."""
        super().received(stream, data)
        self._http.receive_data(data)
        self._next(stream)

    def _next(self, stream: Stream) -> None:
        try:
            while isinstance(event := self._http.next_event(), h11.Event):
                if isinstance(event, h11.Request):
                    method, target = event.method.decode(), event.target.decode("latin-1")
                    self._note(
                        stream.peer, False, f"{method} {target} HTTP/{event.http_version.decode()}"
                    )
                    self._head, self._target = method == "HEAD", target
                elif isinstance(event, h11.EndOfMessage):
                    stream.call_later(self._delay, lambda: self._answer(stream, self._page()))
                elif isinstance(event, h11.ConnectionClosed):
                    return
        except h11.RemoteProtocolError as error:
            if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self._answer(stream, Page(error.error_status_hint, body="Bad request\n"))
            else:
                stream.close()

    def _page(self) -> Page:
        if len(self._pages) == 1:
            return self._pages["/"]
        for path in (self._target, self._target.partition("?")[0]):
            if path in self._pages:
                return self._pages[path]
        return Page(HTTPStatus.NOT_FOUND, body="Not found\n")

    def _answer(self, stream: Stream, page: Page) -> None:
        known = page.status in set(HTTPStatus)
        reason = HTTPStatus(page.status).phrase if known else "Other"
        date = format_datetime(self._clock(stream.now).replace(microsecond=0), usegmt=True)
        body = page.body.encode()
        size = page.chunk_size or len(body) or 1
        headers = {
            "Date": date,
            "Server": "netsim",
            "Content-Type": "text/html; charset=utf-8",
        }
        if page.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            body = b""
        elif page.chunk_size:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(body))
        self._note(stream.peer, True, f"{page.status} {reason}")
        response = h11.Response(
            status_code=page.status,
            headers=list((headers | page.headers).items()),
            reason=reason.encode(),
        )
        events: list[h11.Event] = [response]
        if not self._head:
            events += [h11.Data(data=body[i : i + size]) for i in range(0, len(body), size)]
        out = [self._http.send(event) or b"" for event in (*events, h11.EndOfMessage())]
        stream.write(b"".join(out))
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._next(stream)
        else:
            stream.close()


class Impatient(Application):
    """An application whose stream ends, as `end` says, when nothing has come for a while."""

    def __init__(self, application: Application, idle_ms: int, end: End) -> None:
        self._application, self._idle, self._end = application, idle_ms * MS, end
        self._heard = 0

    def opened(self, stream: Stream) -> None:
        """The time begins."""
        self._application.opened(stream)
        self._wait(stream)

    def received(self, stream: Stream, data: bytes) -> None:
        """It begins anew."""
        self._application.received(stream, data)
        self._wait(stream)

    def ended(self, stream: Stream) -> None:
        """Pass it on."""
        self._application.ended(stream)

    def lost(self, stream: Stream, error: str | None) -> None:
        """Pass it on."""
        self._application.lost(stream, error)

    def _wait(self, stream: Stream) -> None:
        self._heard = heard = stream.now

        def look() -> None:
            if self._heard == heard:
                leave(stream, self._end)

        stream.call_later(self._idle, look)


class Talker(Recorded):
    """Sends a greeting, then sends back what it gets if told to echo."""

    def __init__(
        self, record: Peer, greeting: bytes, echo: bool, delay_ms: int, end: End = "notify"
    ) -> None:
        super().__init__(record)
        self._greeting, self._echo, self._delay = greeting, echo, delay_ms * MS
        self._end = end

    def opened(self, stream: Stream) -> None:
        """Greet; without echo that is all there is to say."""
        super().opened(stream)
        stream.call_later(self._delay, lambda: self._greet(stream))

    def received(self, stream: Stream, data: bytes) -> None:
        """Keep, and echo."""
        super().received(stream, data)
        if self._echo:
            stream.call_later(self._delay, lambda: stream.write(data))

    def ended(self, stream: Stream) -> None:
        """Close after what is still to be said."""
        stream.call_later(self._delay, stream.close)

    def _greet(self, stream: Stream) -> None:
        stream.write(self._greeting)
        if not self._echo:
            leave(stream, self._end)


class Caller(Recorded):
    """A client: sends its text, keeps what it gets, and closes after a while."""

    def __init__(
        self,
        record: Peer,
        text: bytes,
        hold_ms: int,
        finished: Callable[[Peer], None],
        end: End = "notify",
    ) -> None:
        super().__init__(record)
        self._text, self._hold, self._finished = text, hold_ms * MS, finished
        self._end = end
        self._over = False

    def opened(self, stream: Stream) -> None:
        """Send; close when the time has come (without a time: when the peer does)."""
        super().opened(stream)
        stream.write(self._text)
        if self._hold:
            stream.call_later(self._hold, lambda: leave(stream, self._end))

    def ended(self, stream: Stream) -> None:
        """Both ends have said all; TCP's TIME-WAIT need not be waited for."""
        super().ended(stream)
        self._finish(stream)

    def lost(self, stream: Stream, error: str | None) -> None:
        """Gone, at the latest now."""
        super().lost(stream, error)
        self._finish(stream)

    def _finish(self, stream: Stream) -> None:
        if not self._over:
            self._over = True
            self.record.closed_ns = stream.now
            self._finished(self.record)

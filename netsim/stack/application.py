"""What runs on a host: applications on streams, services on datagrams."""

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Protocol

Address = tuple[IPv4Address, int]


class Stream(Protocol):
    """A connection as an application sees it: TCP, or TLS over TCP."""

    @property
    def now(self) -> int:
        """Virtual nanoseconds."""

    @property
    def peer(self) -> Address:
        """Address and port of the other end."""

    def write(self, data: bytes) -> None:
        """Send `data` after what was written before."""

    def close(self) -> None:
        """Nothing more to write; the other end may go on."""

    def cut(self) -> None:
        """Close what carries the stream, without the stream's own farewell."""

    def abort(self) -> None:
        """End at once, by a reset."""

    def call_later(self, delay: int, function: Callable[[], None]) -> None:
        """Call `function` `delay` nanoseconds from now."""


class Application:
    """What happens on a stream; the calls come in virtual time."""

    def opened(self, stream: Stream) -> None:
        """The connection is established."""

    def received(self, stream: Stream, data: bytes) -> None:
        """Data arrived."""

    def ended(self, stream: Stream) -> None:
        """The other end will send no more."""
        stream.close()

    def lost(self, stream: Stream, error: str | None) -> None:
        """The connection is gone; `error` is None where both ends closed it."""

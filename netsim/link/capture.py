"""The camera's cable as a pcapng file, with the TLS secrets inside.

Written and flushed as it happens. (scapy's writer knows neither nanoseconds nor
Decryption Secrets Blocks; four block types of draft-ietf-opsawg-pcapng are needed.)
"""

import struct
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from netsim.errors import UserError

_SECTION, _INTERFACE, _PACKET, _SECRETS = 0x0A0D0D0A, 1, 6, 10
_ETHERNET = 1
_TLS_KEY_LOG = 0x544C534B
_IF_NAME, _IF_TSRESOL, _EPB_FLAGS, _SHB_USERAPPL = 2, 9, 2, 4
_INBOUND, _OUTBOUND = 1, 2
CAPTURE_LIMIT = 256 << 20  # bytes
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes, *options: bytes) -> bytes:
    end = struct.pack("<HH", 0, 0) if options else b""
    content = _padded(body) + b"".join(options) + end
    size = struct.pack("<I", len(content) + 12)
    return struct.pack("<I", kind) + size + content + size


class Capture:
    """Writes frames in the order given, each once it is `hold` ns old: by then the network
    has consumed it, and secrets that it brought about have got in front of it."""

    def __init__(self, path: Path, time: datetime, hold: int, limit: int) -> None:
        """`limit` is of the file's size in bytes; `beyond` counts frames that it lacks."""
        self._room, self.beyond = limit, 0
        since = time - _EPOCH
        self._base = (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000
        self._hold = hold
        self._queue: deque[tuple[int, bytes, int]] = deque()
        self._path = path
        with self._writing():
            self._file = path.open("wb", buffering=0)
        byte_order = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
        self._add(_block(_SECTION, byte_order, _option(_SHB_USERAPPL, b"netsim")))
        interface = struct.pack("<HHI", _ETHERNET, 0, 0)
        options = _option(_IF_NAME, b"camera"), _option(_IF_TSRESOL, b"\x09")
        self._add(_block(_INTERFACE, interface, *options))

    def sent(self, frame: bytes, now: int) -> None:
        """The camera sent `frame`."""
        self._queue.append((now, frame, _OUTBOUND))

    def arrived(self, frame: bytes, now: int) -> None:
        """The camera got `frame`."""
        self._queue.append((now, frame, _INBOUND))

    def advance(self, now: int) -> None:
        """Write what is old enough."""
        if not self._queue or self._queue[0][0] > now - self._hold:
            return
        while self._queue and self._queue[0][0] <= now - self._hold:
            self._write(*self._queue.popleft())

    def secrets(self, key_log: bytes) -> None:
        """Lines of an NSS key log; they decrypt what is written from now on."""
        head = struct.pack("<II", _TLS_KEY_LOG, len(key_log))
        self._add(_block(_SECRETS, head + key_log))

    def close(self) -> None:
        """Write what is held and close the file."""
        if self._file.closed:
            return
        try:
            for entry in self._queue:
                self._write(*entry)
        finally:
            self._queue.clear()
            self._file.close()

    def _write(self, now: int, frame: bytes, direction: int) -> None:
        time, size = self._base + now, len(frame)
        head = struct.pack("<IIIII", 0, time >> 32, time & 0xFFFFFFFF, size, size)
        flags = _option(_EPB_FLAGS, struct.pack("<I", direction))
        self.beyond += not self._add(_block(_PACKET, head + frame, flags))

    def _add(self, block: bytes) -> bool:
        """Write it if it, and all before it, had room."""
        self._room = self._room - len(block) if self._room >= len(block) else 0
        if self._room:
            with self._writing():
                self._file.write(block)
        return self._room > 0

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = (error.strerror or "unwritable").lower()
            raise UserError(f"{self._path}: {reason}, choose another place") from None

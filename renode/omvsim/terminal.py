"""What comes from outside on a terminal: controls are shown, not obeyed."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast


def visible(text: str) -> str:
    """Controls, also those that turn the direction of text, as Python's escapes."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


class Visible:
    """A stream that shows the controls of what is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(visible(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def guarded(names: tuple[str, ...]) -> Iterator[None]:
    """The streams of these names of `sys` show controls."""
    before = {name: getattr(sys, name) for name in names}
    for name, stream in before.items():
        setattr(sys, name, cast(TextIO, Visible(stream)))
    try:
        yield
    finally:
        for name, stream in before.items():
            setattr(sys, name, stream)


class Console:
    """The camera's bytes on standard output: CR LF as LF, and on a terminal controls shown."""

    def __init__(self) -> None:
        self._held = b""  # a CR whose LF may come with the next bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, data: bytes) -> None:
        """Print what has come."""
        text = (self._held + data).replace(b"\r\n", b"\n")
        self._held = b"\r" if text.endswith(b"\r") else b""
        self._print(text.removesuffix(b"\r"))

    def end(self) -> None:
        """No more comes."""
        self._print(self._held)

    def _print(self, text: bytes) -> None:
        if sys.stdout.isatty():
            text = visible(self._decoder.decode(text)).encode()
        sys.stdout.buffer.write(text)
        sys.stdout.flush()


def clear_line() -> None:
    """Take the progress line of standard error away: our own control."""
    sys.stderr.flush()
    os.write(2, b"\r\x1b[K")

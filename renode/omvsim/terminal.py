"""What comes from outside on a terminal: controls are shown, not obeyed."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, TextIO, cast

from omvsim.errors import UserError

_NOT_PLAIN = re.compile(r"[^\n\t -~]")


def visible(text: str) -> str:
    """Controls, also those that turn the direction of text, as Python's escapes."""
    return _NOT_PLAIN.sub(lambda c: c[0] if c[0].isprintable() else repr(c[0])[1:-1], text)


class Style:
    """What a person wants to see: set once, by the command line."""

    quiet = verbose = False
    color = True


COLORS = {"red": 31, "green": 32}


def note(text: str) -> None:
    """A line on standard error that is neither result nor error."""
    if not Style.quiet:
        print(text, file=sys.stderr)


def say(*parts: str | tuple[str, str], stream: TextIO) -> None:
    """Print a line; a part with the name of a color has it where a terminal shows it."""
    inner = stream._stream if isinstance(stream, Visible) else stream
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not Style.color
    shown = []
    for part in parts:
        text, color = (part, "") if isinstance(part, str) else part
        text = visible(text)
        colored = color and not plain and stream.isatty()
        shown.append(f"\x1b[{COLORS[color]}m{text}\x1b[0m" if colored else text)
    with told():
        inner.write("".join(shown) + "\n")
        inner.flush()


class Around:
    """A stream around another, which does all that this one does not."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Visible(Around):
    """A stream that shows the controls of what is written to it."""

    def write(self, text: str) -> int:
        with told():
            self._stream.write(visible(text))
        return len(text)

    def flush(self) -> None:
        with told():
            self._stream.flush()


class Lenient(Around):
    """Standard error: where it cannot be written to, nobody can be told, and the work goes on."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


@contextmanager
def told() -> Iterator[None]:
    """UserError where standard output takes no more; BrokenPipeError where its reader has gone."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"standard output: {error.strerror}") from None


def prepare() -> None:
    """Standard streams that can be used, whatever the caller has closed or chosen."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets this number, the lowest that is free
            setattr(sys, name, open(number, "w" if number else "r"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stderr = cast(TextIO, Lenient(sys.stderr))


def end(code: int) -> int:
    """The exit code, once all is written; what cannot be is not tried again by the interpreter."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            with told():
                stream.flush()
        except (UserError, BrokenPipeError) as error:
            if isinstance(error, UserError):
                print(f"omvsim: {error}", file=sys.stderr)
            code = code or (2 if isinstance(error, UserError) else 130)
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return code


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
        with told():
            sys.stdout.buffer.write(text)
            sys.stdout.flush()


def clear_line() -> None:
    """Take the progress line of standard error away: our own control."""
    sys.stderr.flush()
    os.write(2, b"\r\x1b[K")

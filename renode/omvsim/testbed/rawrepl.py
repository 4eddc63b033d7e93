"""MicroPython's raw REPL with raw paste mode, as bytes in and bytes out.

Protocol: MicroPython documentation, "The MicroPython interactive interpreter mode", section
"Raw mode and raw-paste mode". No I/O here: `feed` takes what the camera prints and tells what
to send and what the script printed.
"""

from __future__ import annotations

import ast
import re
from base64 import b64encode
from dataclasses import dataclass, field
from enum import Enum, auto

CTRL_A, CTRL_B, CTRL_C, CTRL_D, CTRL_E = b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"
RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
ENTER_RAW = b"\r" + CTRL_C + CTRL_A
ENTER_PASTE = CTRL_E + b"A" + CTRL_A
MAY_EXIT = re.compile(rb"\bexit\b|\bSystemExit\b")
#: around a source that may: the raw REPL drops a SystemExit without a word, and its status
TELLING = """\
try:
 exec(compile(%r,'<stdin>','exec'))
except SystemExit as _exit:
 _exit = _exit.args[:1]
 if _exit not in ((), (None,), (0,)): raise type('SystemExit', (Exception,), {})(repr(_exit[0]))
"""
OWN_FRAME = b'  File "<stdin>", line 2, in <module>\r\n'
EXITED = re.compile(rb"\r\nSystemExit: (.*)\r\n$", re.DOTALL)


class State(Enum):
    """Where the exchange stands."""

    ENTER = auto()  # Ctrl-A is sent, the banner of the raw REPL is awaited
    OFFER = auto()  # raw paste mode is asked for
    WINDOW = auto()  # its answer comes: two bytes of window size
    PASTE = auto()  # the source flows, as far as the window allows
    ACCEPT = auto()  # the source is out, its acceptance is awaited
    OUTPUT = auto()  # the script prints
    TRACEBACK = auto()  # it has ended; what was raised follows
    PROMPT = auto()  # then the prompt
    DONE = auto()


#: what ends the states that the camera fills alone
AWAITED = {State.ENTER: b">", State.TRACEBACK: b"\x04>"}
AT_START = b"> "  # what ends its start, the first prompt


class ProtocolError(Exception):
    """The camera answered what no raw REPL answers."""


@dataclass
class Execution:
    """One script on its way through the raw REPL.

    Send what `start` and `feed` return; `output` and `traceback` grow, `state` ends as DONE. With
    `exits` the script may call sys.exit(): its `status` is then known, if it is a failure.
    """

    source: bytes
    exits: bool = False
    status: int | str | None = None
    reset: bool = False  # the camera has been reset meanwhile
    state: State = State.ENTER
    output: bytearray = field(default_factory=bytearray)
    traceback: bytearray = field(default_factory=bytearray)
    _pending: bytearray = field(default_factory=bytearray)
    _window: int = 0
    _increment: int = 0
    _sent: int = 0

    def __post_init__(self) -> None:
        if self.exits:
            self.source = (TELLING % self.source).encode()

    def start(self) -> bytes:
        return ENTER_RAW

    def feed(self, data: bytes) -> bytes:
        """Bytes that the camera printed in; bytes to send out."""
        self._pending += data
        reply = bytearray()
        while self.state is not State.DONE:
            before = self.state, len(self._pending)
            reply += getattr(self, f"_in_{self.state.name.lower()}")()
            if before == (self.state, len(self._pending)):
                break
        return bytes(reply)

    def _take(self, end: bytes) -> bytes | None:
        """What stands before `end`, once it has come."""
        index = self._pending.find(end)
        if index < 0:
            return None
        taken = bytes(self._pending[:index])
        del self._pending[: index + len(end)]
        return taken

    def _in_enter(self) -> bytes:
        if self._take(RAW_PROMPT) is None:
            return b""
        self.state = State.OFFER
        return ENTER_PASTE

    def _in_offer(self) -> bytes:
        if len(self._pending) < 2:
            return b""
        answer = bytes(self._pending[:2])
        del self._pending[:2]
        if answer == b"R\x01":
            self.state = State.WINDOW
            return b""
        if answer == b"R\x00" or answer.startswith(b"ra"):  # known but off, or unknown
            if answer.startswith(b"ra") and self._take(b">") is None:
                self._pending[:0] = answer
                return b""
            self.state = State.ACCEPT
            self._sent = len(self.source)
            return self.source + CTRL_D
        raise ProtocolError(f"raw paste mode answered {answer!r}")

    def _in_window(self) -> bytes:
        if len(self._pending) < 2:
            return b""
        self._increment = self._window = int.from_bytes(self._pending[:2], "little")
        del self._pending[:2]
        self.state = State.PASTE
        return b""

    def _in_paste(self) -> bytes:
        while self._pending:
            control = self._pending.pop(0)
            if control == 1:
                self._window += self._increment
            elif control == 4:  # the camera wants no more: a syntax error, or out of memory
                self.state = State.OUTPUT
                return CTRL_D
            else:
                raise ProtocolError(f"raw paste mode sent 0x{control:02X}")
        chunk = self.source[self._sent : self._sent + self._window]
        self._sent += len(chunk)
        self._window -= len(chunk)
        if self._sent < len(self.source):
            return chunk
        self.state = State.ACCEPT
        return chunk + CTRL_D

    def _in_accept(self) -> bytes:
        """Raw paste acknowledges with Ctrl-D (window updates may still come), raw mode with OK."""
        while self._pending[:1] == b"\x01":
            del self._pending[:1]
        if self._pending[:1] == CTRL_D:
            del self._pending[:1]
            self.state = State.OUTPUT
        elif self._pending[:2] == b"OK":
            del self._pending[:2]
            self.state = State.OUTPUT
        elif self._pending and self._pending != b"O":
            raise ProtocolError(f"the source was answered with {bytes(self._pending[:20])!r}")
        return b""

    def _in_output(self) -> bytes:
        end = self._pending.find(CTRL_D)
        self.output += self._pending if end < 0 else self._pending[:end]
        del self._pending[: len(self._pending) if end < 0 else end + 1]
        if end >= 0:
            self.state = State.TRACEBACK
        return b""

    def _in_traceback(self) -> bytes:
        taken = self._take(CTRL_D)
        if taken is not None:
            if self.exits:
                taken = taken.replace(OWN_FRAME, b"", 1)
                if exited := EXITED.search(taken):
                    self.status = _status(exited[1].decode(errors="replace"))
            self.traceback += taken
            self.state = State.PROMPT
        return b""

    def _in_prompt(self) -> bytes:
        if self._take(b">") is not None:
            self.state = State.DONE
        return b""


def _status(told: str) -> int | str:
    """What sys.exit() was given, from its repr(); a number or a text, if it was one."""
    try:
        value = ast.literal_eval(told)
    except (ValueError, SyntaxError):
        return told
    return value if isinstance(value, int | str) else told


def writing(name: str, content: bytes) -> str:
    """Source that writes a file on the camera."""
    lines = [f"f=open({name!r},'wb')", "w=f.write"]
    chunks = [content[i : i + 252] for i in range(0, len(content), 252)]
    if len(repr(content)) > len(content) * 4 / 3:  # each byte on the line costs host time
        lines.append("from binascii import a2b_base64 as a")
        lines += [f"w(a({b64encode(chunk)!r}))" for chunk in chunks]
    else:
        lines += [f"w({chunk!r})" for chunk in chunks]
    return "\n".join([*lines, "f.close()"])


def shown(printed: bytes | bytearray) -> str:
    """What the camera has printed, as lines."""
    return printed.decode(errors="replace").replace("\r\n", "\n")


def reading(name: str) -> str:
    """Source that prints a file of the camera, in hexadecimal digits and as a bytes literal."""
    return f"import binascii\nprint(binascii.hexlify(open({name!r},'rb').read()))"


def awaited(execution: Execution | None, spoke: bool) -> bytes:
    """Bytes one of which ends what the camera prints by itself; none: each is to be heard."""
    if execution:
        return AWAITED.get(execution.state, b"")
    return b"" if spoke else AT_START

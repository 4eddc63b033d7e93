"""Cameras on pseudo-terminals, no faster than the clock on the wall or as fast as they run."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
import tty
from collections.abc import Sequence
from pathlib import Path

from netsim.network import CAMERA
from omvsim.errors import UserError
from omvsim.processes import Watcher
from omvsim.testbed import MILLISECOND, SECOND, FirmwareFault, Testbed

STRIDE = 5 * MILLISECOND
ASLEEP = 20_000  # instructions of a stride, at most
REST = 0.001  # host seconds that cameras which sleep give their clients for a word, without pace
BACKLOG = 4096  # bytes offered to the UART at a time
LAG = 0.25  # host seconds that a busy camera may fall behind before its time is let go


class Link:
    """A symbolic link to the terminal that goes away with it."""

    def __init__(self, path: Path | None, target: str) -> None:
        self.path = path
        if path is None:
            return
        if os.path.islink(path) and not os.path.exists(path):
            path.unlink()  # left by a run that was killed
        try:
            path.symlink_to(target)
        except FileExistsError:
            raise UserError(f"{path} exists: choose another --pty, or remove it") from None
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}: choose another --pty") from None
        self._watcher = Watcher(path=path)

    def close(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self._watcher.close()


class Pace:
    """The clock on the wall as the cameras' time is to follow it."""

    def __init__(self, now: int) -> None:
        self._began = time.monotonic() - now / SECOND

    def ahead(self, now: int) -> float:
        """How many seconds to wait now; a lag is let go."""
        ahead = now / SECOND - (time.monotonic() - self._began)
        self._began -= min(0.0, ahead + LAG)
        return max(0.0, ahead)


class Terminal:
    """A pseudo-terminal that carries bytes to and from the camera while `pump` is called."""

    def __init__(self, testbed: Testbed, path: Path | None = None) -> None:
        try:
            self._ours, self._theirs = os.openpty()
        except OSError as error:
            raise UserError(
                f"no pseudo-terminal to be had ({error.strerror}): mount /dev/pts"
            ) from None
        # we keep the far end open too, so that clients may come and go
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self.name = os.ttyname(self._theirs)
        self._link = Link(path, self.name)
        self._testbed = testbed
        self._to_client = bytearray()
        testbed.printed = self._to_client.extend
        self._pace = Pace(testbed.now)

    def fileno(self) -> int:
        """Our end, for select."""
        return self._ours

    def pump(self) -> None:
        """A stride of the camera's time, no faster than the clock on the wall."""
        self._testbed.run_for(STRIDE)
        carry([self], self._pace.ahead(self._testbed.now))

    def take(self) -> None:
        """Type what the client has sent."""
        self._testbed.type(os.read(self._ours, BACKLOG))

    def flush(self) -> None:
        """Pass on what the camera has printed."""
        if self._to_client:
            with contextlib.suppress(BlockingIOError):  # nobody reads: the terminal is full
                del self._to_client[: os.write(self._ours, self._to_client)]
            del self._to_client[: max(0, len(self._to_client) - 65536)]

    def close(self) -> None:
        """Take the terminal away."""
        self._testbed.printed = lambda data: None
        self._link.close()
        os.close(self._ours)
        os.close(self._theirs)


def carry(terminals: Sequence[Terminal], wait: float) -> None:
    """Pass bytes on, both ways; wait so many seconds for what clients send."""
    for terminal in terminals:
        terminal.flush()
    for terminal in select.select(terminals, [], [], wait)[0]:
        terminal.take()


def serve(cameras: Sequence[tuple[Testbed, Path | None]], paced: bool = True) -> int:
    """Carry bytes between terminals and the cameras of one network, each with the path of a link
    to its own, until Ctrl-C (130) or a firmware fault (3)."""
    first, terminals = cameras[0][0], list[Terminal]()
    try:
        for testbed, path in cameras:
            terminals.append(Terminal(testbed, path))
            place = path or terminals[-1].name
            print(f"{_called(testbed)} is on {place}; Ctrl-C ends it", flush=True)
            print(f"try: mpremote connect {place}", flush=True)
        pace = Pace(first.now)
        while True:
            done = sum(testbed.engine.instructions for testbed, _ in cameras)
            first.run_for(STRIDE)
            wait = pace.ahead(first.now) if paced else 0.0
            work = sum(testbed.engine.instructions for testbed, _ in cameras) - done
            carry(terminals, wait if paced or work > ASLEEP else REST)
    except FirmwareFault as error:
        for terminal in terminals:
            terminal.flush()
        print(f"omvsim: the firmware faulted: {error}", file=sys.stderr)
        return 3
    finally:
        for terminal in terminals:
            terminal.close()


def _called(testbed: Testbed) -> str:
    return "the camera" if testbed.name == CAMERA else f"the camera {testbed.name}"

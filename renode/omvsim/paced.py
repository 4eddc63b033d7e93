"""The camera on a pseudo-terminal, no faster than the clock on the wall."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
import tty
from pathlib import Path

from omvsim.errors import UserError
from omvsim.processes import Watcher
from omvsim.testbed import MILLISECOND, SECOND, FirmwareFault, Testbed

STRIDE = 5 * MILLISECOND
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
        self._began = time.monotonic() - testbed.now / SECOND

    def pump(self) -> None:
        """A stride of the camera's time, no faster than the clock on the wall."""
        self._testbed.run_for(STRIDE)
        self.flush()
        del self._to_client[: max(0, len(self._to_client) - 65536)]
        ahead = self._testbed.now / SECOND - (time.monotonic() - self._began)
        self._began -= min(0.0, ahead + LAG)
        ready, _, _ = select.select([self._ours], [], [], max(0.0, ahead))
        if ready:
            self._testbed.type(os.read(self._ours, BACKLOG))

    def flush(self) -> None:
        """Pass on what the camera has printed."""
        if self._to_client:
            with contextlib.suppress(BlockingIOError):  # nobody reads: the terminal is full
                del self._to_client[: os.write(self._ours, self._to_client)]

    def close(self) -> None:
        """Take the terminal away."""
        self._testbed.printed = lambda data: None
        self._link.close()
        os.close(self._ours)
        os.close(self._theirs)


def serve(testbed: Testbed, path: Path | None) -> int:
    """Carry bytes between terminal and camera until Ctrl-C (130) or a firmware fault (3)."""
    terminal = Terminal(testbed, path)
    try:
        print(f"the camera is on {path or terminal.name}; Ctrl-C ends it", flush=True)
        print(f"try: mpremote connect {path or terminal.name}", flush=True)
        while True:
            terminal.pump()
    except FirmwareFault as error:
        terminal.flush()
        print(f"omvsim: the firmware faulted: {error}", file=sys.stderr)
        return 3
    finally:
        terminal.close()

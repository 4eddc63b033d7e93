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
        if path.is_symlink() and not path.exists():
            path.unlink()  # left by a run that was killed
        try:
            path.symlink_to(target)
        except FileExistsError:
            raise UserError(f"{path} exists: choose another --pty, or remove it") from None
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}: choose another --pty") from None

    def close(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def serve(testbed: Testbed, path: Path | None) -> int:
    """Carry bytes between terminal and camera until Ctrl-C (130) or a firmware fault (3)."""
    try:
        ours, theirs = os.openpty()
    except OSError as error:
        raise UserError(
            f"no pseudo-terminal to be had ({error.strerror}): mount /dev/pts"
        ) from None
    # we keep the far end open too, so that clients may come and go
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    name = os.ttyname(theirs)
    link = Link(path, name)
    to_client = bytearray()
    testbed.printed = to_client.extend
    try:
        print(f"the camera is on {path or name}; Ctrl-C ends it", flush=True)
        print(f"try: mpremote connect {path or name}", flush=True)
        began = time.monotonic() - testbed.now / SECOND
        while True:
            testbed.run_for(STRIDE)
            if to_client:
                with contextlib.suppress(BlockingIOError):  # nobody reads: the terminal is full
                    del to_client[: os.write(ours, to_client)]
                del to_client[: max(0, len(to_client) - 65536)]
            ahead = testbed.now / SECOND - (time.monotonic() - began)
            began -= min(0.0, ahead + LAG)
            ready, _, _ = select.select([ours], [], [], max(0.0, ahead))
            if ready:
                testbed.engine.console_write(os.read(ours, BACKLOG))
    except FirmwareFault as error:
        with contextlib.suppress(BlockingIOError):
            os.write(ours, to_client)
        print(f"omvsim: the firmware faulted: {error}", file=sys.stderr)
        return 3
    finally:
        link.close()
        os.close(ours)
        os.close(theirs)

"""What a command tells while a camera runs, and its outer limits."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from omvsim import terminal
from omvsim.testbed import SECOND, Testbed, TimeLimit

QUIET = 2.0  # host seconds without output before progress shows


class HostLimit(TimeLimit):
    """The host has computed for longer than it may."""


class Progress:
    """One line on standard error while the camera is silent; and the run's outer limits."""

    def __init__(self, check: Callable[[], object], limit: float) -> None:
        """`check` may raise, to end the run; `limit` is in seconds of the host."""
        self.check = check
        self.end = time.monotonic() + limit
        self.spoke = time.monotonic()
        self.shown = False

    def output(self) -> None:
        self.clear()
        self.spoke = time.monotonic()

    def clear(self) -> None:
        if self.shown and sys.stderr.isatty():
            terminal.clear_line()
        self.shown = False

    def tick(self, testbed: Testbed) -> None:
        self.check()
        if time.monotonic() > self.end:
            raise HostLimit("the host limit passed: a longer --host-limit allows more")
        silent = time.monotonic() - self.spoke
        if silent < QUIET or terminal.Style.quiet:
            return
        text = (
            f"omvsim: running, {testbed.now / SECOND:.1f} s virtual, "
            f"{testbed.engine.instructions / 1e6:.0f} million instructions"
        )
        if sys.stderr.isatty():
            terminal.clear_line()
            print(text, end="", file=sys.stderr, flush=True)
        elif not self.shown or silent > 5 * QUIET:
            self.spoke = time.monotonic() - QUIET
            print(text, file=sys.stderr, flush=True)
        self.shown = True

"""The signals that end a command."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


def catch(handler: Callable[[int, FrameType | None], Any]) -> None:
    """Ctrl-C, SIGTERM and SIGHUP. A shell's background job ignores SIGINT, which ends it here all
    the same; a SIGHUP that nohup has ignored is meant."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)

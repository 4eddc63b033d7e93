"""Start: an interrupt ends quietly even while the libraries are still being imported."""

import os
import signal
import sys
from types import FrameType


def _leave(signum: int, frame: FrameType | None) -> None:
    os.write(2, b"omvsim: interrupted\n")
    os._exit(130)  # nothing has been made yet


def main() -> int:
    for interrupt in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if interrupt != signal.SIGHUP or signal.getsignal(interrupt) != signal.SIG_IGN:  # nohup
            signal.signal(interrupt, _leave)
    from omvsim import cli  # noqa: PLC0415 - takes a second, under these handlers

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

"""Start: an interrupt ends quietly even while the libraries are still being imported."""

import gc
import os
import sys
from types import FrameType

from omvsim import interrupts


def _leave(signum: int, frame: FrameType | None) -> None:
    os.write(2, b"omvsim: interrupted\n")
    os._exit(130)  # nothing has been made yet


def main() -> int:
    interrupts.catch(_leave)
    gc.disable()  # what is imported stays
    from omvsim import cli  # noqa: PLC0415 - takes a second, under these handlers

    gc.freeze()
    gc.enable()
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

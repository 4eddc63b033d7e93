"""Which engine executes the camera: by name, else by the variable OMVSIM_ENGINE."""

from __future__ import annotations

import os
from datetime import datetime
from importlib.metadata import version

from omvsim.board import Board
from omvsim.engine import Engine
from omvsim.errors import UserError
from omvsim.image import Image

VARIABLE = "OMVSIM_ENGINE"
NO_LEAP = "OMVSIM_NO_LEAP"  # anything: the embedded engine executes waiting loops pass by pass
NAMES = ("embedded", "renode")


def wanted() -> str:
    """The variable's engine; UserError if it names none."""
    name = os.environ.get(VARIABLE) or NAMES[0]
    if name not in NAMES:
        raise UserError(f"{VARIABLE}={name}: no such engine: write {' or '.join(NAMES)}")
    return name


def told() -> str:
    """The engine that would be taken, and its version."""
    if wanted() == "renode":
        from omvsim.engine.renode import find, version_of  # noqa: PLC0415

        return f"renode {version_of(find())}"
    return f"embedded, unicorn {version('unicorn')}"


def make(
    name: str | None, board: Board, image: Image, seed: int, rtc_start: datetime | None
) -> Engine:
    """The engine of that name with the image loaded; UserError if it is not to be had."""
    if (name or wanted()) == "renode":
        from omvsim.engine.renode import Renode  # noqa: PLC0415 - not needed by most

        return Renode(board.path, image, seed=seed, rtc_start=rtc_start)
    from omvsim.engine.embedded import Embedded  # noqa: PLC0415

    leap = not os.environ.get(NO_LEAP)
    return Embedded(board, image, seed=seed, rtc_start=rtc_start, leap=leap)

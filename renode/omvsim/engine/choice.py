"""Which engine executes the camera: by name, else by the variable OMVSIM_ENGINE."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from importlib.metadata import version

from omvsim import terminal
from omvsim.board import Board
from omvsim.engine import Engine
from omvsim.errors import UserError
from omvsim.image import Image, cache

VARIABLE = "OMVSIM_ENGINE"
NO_LEAP = "OMVSIM_NO_LEAP"  # anything: the embedded engine executes waiting loops pass by pass
NO_SNAPSHOT = "OMVSIM_NO_SNAPSHOT"  # anything: it executes each boot anew
NAMES = ("embedded", "renode")


def wanted() -> str:
    """The variable's engine; UserError if it names none."""
    name = os.environ.get(VARIABLE) or NAMES[0]
    if name not in NAMES:
        raise UserError(f"{VARIABLE}={name}: no such engine: write {' or '.join(NAMES)}")
    return name


def settings() -> dict[str, str]:
    """What the variables say, for a process elsewhere."""
    return {name: os.environ.get(name, "") for name in (VARIABLE, NO_LEAP, NO_SNAPSHOT)}


def told() -> str:
    """The engine that would be taken, and its version."""
    if wanted() == "renode":
        from omvsim.engine.renode import find, version_of  # noqa: PLC0415

        return f"renode {version_of(find())}"
    return f"embedded, unicorn {version('unicorn')}"


@lru_cache
def _note_once() -> None:
    """Where its serializer cannot: models compiled at load are in an assembly of a new name in each
    process, so that `Load` finds none of their types (StreamCorrupted)."""
    terminal.note(
        "omvsim: each boot is executed: Renode cannot load a snapshot with the models of "
        "renode/models in it (--no-snapshot says that it need not)"
    )


def make(
    name: str | None,
    board: Board,
    image: Image,
    seed: int,
    rtc_start: datetime | None,
    before: Mapping[str, bytes] | None = None,
) -> Engine:
    """The engine of that name with the image loaded; UserError if it is not to be had. It need not
    boot where `before` says what goes to the camera before its first script: files, by name."""
    if (name or wanted()) == "renode":
        from omvsim.engine.renode import Renode  # noqa: PLC0415 - not needed by most

        made = Renode(board, image, seed=seed, rtc_start=rtc_start)
        if not os.environ.get(NO_SNAPSHOT):
            _note_once()
        return made
    from omvsim.engine import snapshot  # noqa: PLC0415
    from omvsim.engine.embedded import Embedded  # noqa: PLC0415
    from omvsim.engine.taped import Taped  # noqa: PLC0415

    leap = not os.environ.get(NO_LEAP)

    def embedded() -> Engine:
        return Embedded(board, image, seed=seed, rtc_start=rtc_start, leap=leap)

    if before is None or os.environ.get(NO_SNAPSHOT):
        return embedded()
    parts = (
        snapshot.made_by(), image.digest, board.digest, seed, rtc_start,
    )  # fmt: skip
    names = [hashlib.sha256(repr(key).encode()).hexdigest() for key in (parts, (*parts, before))]
    prompt, booted = (cache() / "snapshots" / f"{name}.tape" for name in names)
    return Taped(embedded, prompt, booted if any(before.values()) else prompt)

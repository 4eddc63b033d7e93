"""Files of a cache: what takes long to make, and can be made again at any time."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path


def read(file: Path) -> bytes | None:
    """What was kept there, which is used now; None where nothing is."""
    with suppress(OSError):
        content = file.read_bytes()
        os.utime(file)
        return content
    return None


def write(file: Path, content: bytes, most: int) -> None:
    """Keep it, whole or not at all, for this user only; of the files with such an ending that are
    there, `most` stay, those used last. A cache that cannot be written to is none."""
    with suppress(OSError), ExitStack() as stack:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        others = sorted(file.parent.glob(f"*{file.suffix}"), key=lambda one: one.stat().st_mtime)
        for old in others[: max(0, len(others) - most)]:
            old.unlink(missing_ok=True)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=file.parent)))
        (folder / file.name).write_bytes(content)
        (folder / file.name).replace(file)

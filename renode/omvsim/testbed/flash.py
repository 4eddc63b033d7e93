"""Flash that survives: a file that holds it between runs."""

from __future__ import annotations

import fcntl
import os
from dataclasses import replace
from pathlib import Path

from omvsim.board import Board
from omvsim.engine import Engine
from omvsim.errors import UserError
from omvsim.image import BOOT_ADDRESS, Image

MOST = 1 << 21  # bytes, of both banks (RM0433 4.3)


class FlashFile:
    """Made where it is not there yet, and locked until it is saved: a second run is refused."""

    def __init__(self, path: Path, board: Board) -> None:
        flash = range(BOOT_ADDRESS, BOOT_ADDRESS + MOST)
        self._banks = sorted((p for p in board.memories if p.start in flash), key=lambda p: p.start)
        self.size = sum(map(len, self._banks))
        self._path = path
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            self._file = open(os.open(path, flags, 0o666), "r+b")  # noqa: SIM115 - until save
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._content = self._file.read(self.size + 1)
        except BlockingIOError:
            raise UserError(f"{path}: another run uses it: wait, or take a copy") from None
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}: choose another --flash") from None
        if len(self._content) not in (0, self.size):
            self._file.close()
            raise UserError(f"{path}: no flash of this board, which has {self.size} bytes")

    def under(self, image: Image) -> Image:
        """The image over what the flash holds already."""
        held, parts = self._content, list[tuple[int, bytes]]()
        for bank in self._banks if held else ():
            parts.append((bank.start, held[: len(bank)]))
            held = held[len(bank) :]
        return replace(image, under=tuple(parts))

    def save(self, engine: Engine) -> None:
        """Keep what the flash holds now."""
        try:
            content = [engine.memory(bank.start, len(bank)) for bank in self._banks]
            if None in content:
                raise UserError(f"{self._path}: engine {engine.name} does not tell its flash")
            with self._file as file:
                file.seek(0)
                file.write(b"".join(filter(None, content)))
        except OSError as error:
            raise UserError(f"{self._path}: the flash is not kept: {error.strerror}") from None

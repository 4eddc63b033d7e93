"""Files that a command writes where a person says."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from omvsim.errors import UserError


def is_private(name: str, content: bytes) -> bool:
    """Is it a private key, by its name or in PEM?"""
    return name.endswith((".key", ".key.pem")) or b"PRIVATE KEY-----" in content


def refuse(paths: Iterable[Path], force: bool, remedy: str) -> None:
    """UserError where a folder or, without `force`, anything else is in the way."""
    for path in paths:
        if os.path.isdir(path) and not os.path.islink(path):
            raise UserError(f"{path}: a folder of that name is there: {remedy}")
        if os.path.lexists(path) and not force:
            raise UserError(f"{path} exists: {remedy}, or overwrite it with --force")


def write(files: Mapping[Path, bytes], force: bool, remedy: str) -> None:
    """All files or none, and none through a link or, without `force`, over another; private keys
    are for their owner only. UserError says what is in the way, and the remedy."""
    refuse(files, force, remedy)
    with ExitStack() as stack:
        try:
            partial: dict[Path, Path] = {}
            for folder in {path.parent for path in files}:
                folder.mkdir(parents=True, exist_ok=True)
                beside = tempfile.TemporaryDirectory(prefix=".partial-", dir=folder)
                partial[folder] = Path(stack.enter_context(beside))
            for path, data in files.items():
                descriptor = os.open(
                    partial[path.parent] / path.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL,
                    0o600 if is_private(path.name, data) else 0o666,
                )  # fmt: skip
                with open(descriptor, "wb") as output:
                    output.write(data)
            for path in files:
                (partial[path.parent] / path.name).replace(path)
        except OSError as error:
            where = error.filename or path
            raise UserError(f"{where}: {error.strerror}: {remedy}") from None

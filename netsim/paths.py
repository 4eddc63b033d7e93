"""Where a file that another file names may lie, and how files from outside are read."""

import errno
import os
import stat
from pathlib import Path

MOST = 256 << 20  # bytes of a file that is read whole


def below(folder: Path, name: str) -> Path:
    """The file of that name below the folder; ValueError if the name, or a link on the way,
    leads out of it."""
    path = folder / name
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a circle of links, a name that none can have
        inside = False
    if not inside or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{name} leads out of its folder")
    return path


def read(path: Path, most: int = MOST) -> bytes:
    """A file's content; OSError also where it is none (a pipe and a device have no end) or has
    more than `most` bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL, a lone surrogate
        raise OSError(errno.EINVAL, str(error)) from None
    with open(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "no regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes")
    return content


def stamp(path: Path) -> tuple[int, ...] | None:
    """What changes where a file's content does; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

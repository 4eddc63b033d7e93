"""Where a file that another file names may lie."""

from pathlib import Path


def below(folder: Path, name: str) -> Path:
    """The file of that name below the folder; ValueError if the name, or a link on the way,
    leads out of it."""
    path = folder / name
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a circle of links
        inside = False
    if not inside or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{name} leads out of its folder")
    return path

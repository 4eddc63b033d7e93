"""omvsim init: a folder to begin with."""

from __future__ import annotations

import argparse
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from omvsim import image
from omvsim.errors import UserError


def add_command(commands: Any) -> None:
    """The parser of omvsim init."""
    command = commands.add_parser(
        "init", help="a folder with a world, a camera script, its tests and a workflow",
        description="Write world.toml, client.py, a pytest test, a Robot suite and a workflow for "
        "GitHub, which pass as they are. What is there is not overwritten.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  omvsim init camera-tests && cd camera-tests && pytest\n",
    )  # fmt: skip
    command.add_argument(
        "folder", type=Path, nargs="?", default=Path(), metavar="DIR", help="default: this one"
    )
    command.add_argument("--force", action="store_true", help="overwrite files that are there")
    command.set_defaults(call=init)


def init(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    with as_file(files("omvsim") / "templates/init") as source:
        made = {
            options.folder / file.relative_to(source): file.read_bytes()
            for file in sorted(source.rglob("*"))
            if file.is_file() and file.parent.name != "__pycache__"  # pip compiles all it installs
        }  # fmt: skip
    there = [path for path in made if path.exists() or path.is_symlink()]
    if there and not options.force:
        raise UserError(f"{there[0]}: is there already: --force overwrites it")
    for path, content in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a link is not followed
        path.write_bytes(content)
        print(image.display(path))
    where = "" if options.folder == Path() else f"cd {image.display(options.folder)} && "
    print(f"next: {where}omvsim run --scenario world.toml client.py; pytest; robot camera.robot")
    return 0

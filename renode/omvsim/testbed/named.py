"""What a person names: a scenario, a board, a script."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path

import netsim
from netsim import paths
from netsim import scenario as scenarios
from omvsim import image as images
from omvsim.errors import UserError

BOARDS = images.ROOT / "renode"
BOARD = BOARDS / "openmv_h7.repl"
LARGEST_SCRIPT = 1 << 20  # bytes, from standard input


def find_scenario(
    name: netsim.Scenario | str | Path | None, outside: bool = False
) -> netsim.Scenario:
    """A scenario by file, or by the name of a packaged one; None is the default one. Files that it
    names lie below its folder, unless they may be outside."""
    if isinstance(name, netsim.Scenario):
        return name
    if name is None:
        return scenarios.default()
    path = Path(name)
    return scenarios.load(path, outside) if path.suffix == ".toml" else scenarios.named(str(name))


def board_names() -> list[str]:
    """The boards that come with omvsim; a chip's description, which they use, is none."""
    return sorted(path.stem for path in BOARDS.glob("*_*.repl"))


def find_board(name: Path | str) -> Path:
    """A board's description by file, or by a packaged one's name; UserError if neither."""
    path, known = Path(name), board_names()
    if str(name) in known:
        return BOARDS / f"{name}.repl"
    if path.suffix != ".repl" and not path.exists():
        told = ", ".join(known)
        raise UserError(f"{name}: no such board: write {told}, or the path of a .repl file")
    return path


def _standard_input() -> bytes:
    content = sys.stdin.buffer.read(LARGEST_SCRIPT + 1)
    if len(content) > LARGEST_SCRIPT:
        raise UserError(f"-: a script of more than {LARGEST_SCRIPT >> 20} MB: name its file")
    return content


def read_script(path: Path) -> bytes:
    """A camera script, without a byte-order mark; `-` is standard input. UserError if it is
    missing or not UTF-8."""
    try:
        content = _standard_input() if path == Path("-") else paths.read(path)
        content = content.removeprefix(codecs.BOM_UTF8)
        content.decode()
    except FileNotFoundError:
        raise UserError(f"{path}: no such script: check the path") from None
    except OSError as error:
        raise UserError(f"{path}: cannot read the script: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}:{line}: byte 0x{content[error.start]:02X} is not UTF-8: save it as UTF-8"
        ) from None
    return content

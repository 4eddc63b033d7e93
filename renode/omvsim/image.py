"""Firmware images: what they hold, and whether they can start on a board."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path

from elftools.elf.elffile import ELFFile
from littlefs import LittleFS, LittleFSError, UserContext

from netsim import paths
from omvsim import formats
from omvsim.errors import UserError


def cache() -> Path:
    """Where firmware/build keeps its sources, too."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "openmv-testbed")
    return Path(os.environ.get("OMVSIM_CACHE", default)).expanduser()


_SHARE = Path(__file__).with_name("share")
#: boards, suites and the firmware's sources: of an installation, or of a checkout
INSTALLED = _SHARE.is_dir()
ROOT = _SHARE if INSTALLED else Path(__file__).resolve().parents[2]
BUILT = cache() / "firmware" if INSTALLED else ROOT / "build/firmware"
DEFAULT = BUILT / "openmv_h7.elf"
BOOT_ADDRESS = 0x08000000  # BOOT_CM7_ADD0 from the factory (RM0433 2.6)
UNIQUE_ID = 0x1FF1E800
PROGRAM = 32  # bytes that the flash programs at once; MicroPython's caches are four of them
BLOCKS, LARGEST = [1 << n for n in range(8, 18)], 1 << 26  # bytes of a block, of a file system
DISK_VERSION = 0x00020000  # what every littlefs 2 reads
#: a file, and the address of plain bytes
PART = re.compile(r"(.*?)(?:@(0[xX][0-9a-fA-F]{1,8}))?")
MOST_PARTS = 16


@dataclass(frozen=True)
class Image:
    """What `path` names, one file or several: (address, bytes) of what is loaded, their SHA-256,
    where the file system lies (a range of addresses in steps of a block), what is loaded after
    and before, and the file that tells functions and lines, if there is one."""

    path: Path
    segments: tuple[tuple[int, bytes], ...]
    sha256: str
    littlefs: range | None = None
    added: tuple[tuple[int, bytes], ...] = ()
    under: tuple[tuple[int, bytes], ...] = ()
    elf: Path | None = None

    def word(self, address: int) -> int | None:
        """The 32-bit word that the image puts at an address, or None."""
        for base, data in self.segments:
            if base <= address <= base + len(data) - 4:
                return int.from_bytes(data[address - base : address - base + 4], "little")
        return None


def load(named: Path | None = None) -> Image:
    """Read FILE[@ADDRESS][,FILE[@ADDRESS]...]; UserError says what is wrong with a file."""
    if not named and INSTALLED and not DEFAULT.exists():
        _build_first()
    chosen = named or DEFAULT
    parts = _parts(chosen)
    if len(parts) > MOST_PARTS:
        raise UserError(f"--firmware: more than {MOST_PARTS} files: no image has so many")
    return _load(chosen, bool(named), tuple((part, paths.stamp(_file(part)[0])) for part in parts))


@lru_cache(maxsize=4)
def _load(chosen: Path, named: bool, stamped: tuple[tuple[str, object], ...]) -> Image:
    """Once for each content of its parts."""
    parts = [part for part, _ in stamped]
    read = [_part(part, named) for part in parts]
    _refuse_overlaps(read)
    elfs = [(part, content) for part, content, _ in read if content[:4] == b"\x7fELF"]
    littlefs = next(filter(None, (_littlefs(path, content) for path, content in elfs)), None)
    loaded = b"".join(
        b"%d %d " % (at, len(data)) + data for *_, found in read for at, data in found
    )
    digest = hashlib.sha256(read[0][1] if parts == [str(read[0][0])] else loaded)
    return Image(
        chosen, tuple(segment for *_, segments in read for segment in segments),
        digest.hexdigest(), littlefs, elf=elfs[0][0] if elfs else None,
    )  # fmt: skip


def _parts(named: Path) -> list[str]:
    """What is between commas, unless a file has such a name."""
    return [str(named)] if os.path.exists(named) else str(named).split(",", MOST_PARTS)


def _file(text: str) -> tuple[Path, str | None]:
    """A part's file and address; a file may have such a name."""
    found = PART.fullmatch(text)
    assert found
    return (Path(text), None) if os.path.exists(text) else (Path(found[1]), found[2])


def _part(text: str, named: bool) -> tuple[Path, bytes, formats.Segments]:
    path, address = _file(text)
    try:
        content = paths.read(path)
    except FileNotFoundError:
        remedy = "check the path" if named else "run firmware/build"
        raise UserError(f"{path}: no such image: {remedy}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot read the image: {error.strerror}") from None
    if not content:
        raise UserError(f"{path}: the file is empty: build the image again")
    try:
        return path, content, formats.read(content, int(address, 16) if address else None)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _refuse_overlaps(read: Sequence[tuple[Path, bytes, formats.Segments]]) -> None:
    """Two files, or two parts of one, may not fill the same address."""
    filled = sorted(
        (address, address + len(content), path)
        for path, _, segments in read
        for address, content in segments
    )
    for (_, end, first), (start, _, second) in pairwise(filled):
        if start < end:
            raise UserError(f"{first} and {second} both fill 0x{start:08X}: take one of them")


def build(*options: str) -> int:
    """Call firmware/build, which tells its progress; its exit code. It builds the default image,
    unless the options say otherwise."""
    place = [] if "--output" in options else ["--output", str(BUILT)]
    command = [sys.executable, str(ROOT / "firmware/build"), *place, *options]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


def _build_first() -> None:
    """The image of an installation, when it is first needed."""
    print(f"omvsim: there is no image yet: {DEFAULT} is built", file=sys.stderr, flush=True)
    if build():
        raise UserError("the image could not be built: `omvsim doctor` tells what is missing")


def _littlefs(path: Path, content: bytes) -> range | None:
    """Where the section of that name says that the file system lies (firmware/port's script)."""
    try:
        section = ELFFile(BytesIO(content)).get_section_by_name(".littlefs")
        if section is None:
            return None
        start, size, block = struct.unpack("<3I", section.data())
        if size > LARGEST or block not in BLOCKS or size % block:
            raise ValueError(f".littlefs: {size} bytes in blocks of {block} are no file system")
    except formats.DAMAGE as error:
        raise UserError(f"{path}: a damaged ELF file ({error}): build the image again") from None
    return range(start, start + size, block)


def holding(image: Image, files: Mapping[str, bytes]) -> Image:
    """The image with files in its littlefs, as one flashes both; UserError if they do not fit."""
    blocks = image.littlefs
    assert blocks is not None
    flash = UserContext(buffer=bytearray(b"\xff") * (len(blocks) * blocks.step))
    system = LittleFS(
        flash, block_size=blocks.step, block_count=len(blocks), prog_size=PROGRAM,
        read_size=PROGRAM, cache_size=4 * PROGRAM, disk_version=DISK_VERSION,
    )  # fmt: skip
    for name, content in files.items():
        try:
            if "\0" in name:
                raise ValueError("a NUL ends no name")
            system.makedirs(f"/{name}".rpartition("/")[0], exist_ok=True)
            with system.open(name, "wb") as file:
                file.write(content)
        except (LittleFSError, OSError, ValueError) as error:
            raise UserError(f"[camera.files] {name!r}: {error}") from None
    content = bytes(flash.buffer).rstrip(b"\xff")  # the rest is erased flash
    return replace(image, added=(*image.added, (blocks.start, content)))


def check_vectors(image: Image, memories: Iterable[range]) -> None:
    """UserError unless the vector table at the boot address names a stack and code in memory."""
    spaces = list(memories)
    stack, entry = image.word(BOOT_ADDRESS), image.word(BOOT_ADDRESS + 4)
    if stack is None or entry is None:
        first = min(address for address, _ in image.segments)
        raise UserError(
            f"{image.path}: no vector table at 0x{BOOT_ADDRESS:08X}, the image starts at "
            f"0x{first:08X}: link it to the boot address"
        )
    for what, address, offset in (("stack pointer", stack - 4, 0), ("reset vector", entry & ~1, 4)):
        if not any(address in space for space in spaces):
            value = stack if offset == 0 else entry
            raise UserError(
                f"{image.path}: the {what} in the vector table (0x{BOOT_ADDRESS + offset:08X}) is "
                f"0x{value:08X}, outside the board's memory: check the linker script"
            )


def renumbered(image: Image, number: int) -> Image:
    """The image for a chip from another place of the wafer (RM0433 61.1): one camera of many."""
    coordinates = (0x001F0042 + (number << 16)).to_bytes(4, "little")
    return replace(image, added=(*image.added, (UNIQUE_ID, coordinates)))


def display(path: Path) -> str:
    """A path, or what --firmware names, as a person would write it from here."""
    relative = [os.path.relpath(part) for part in _parts(path)]
    return str(path) if any(part.startswith("../..") for part in relative) else ",".join(relative)


def resolved(path: Path) -> str:
    """What --firmware names, from everywhere."""
    return ",".join(str(Path(part).resolve()) for part in _parts(path))

"""Firmware images: what they hold, and whether they can start on a board."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

from netsim import paths
from omvsim import filesystems, formats
from omvsim.errors import UserError
from omvsim.filesystems import FileSystem


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
#: a file, and the address of plain bytes
PART = re.compile(r"(.*?)(?:@(0[xX][0-9a-fA-F]{1,8}))?")
MOST_PARTS = 16


@lru_cache(maxsize=8)
def _sha256(content: bytes) -> bytes:
    """Mostly of the same: one image holds what others do."""
    return hashlib.sha256(content).digest()


@dataclass(frozen=True)
class Image:
    """What `path` names, one file or several: (address, bytes) of what is loaded, their SHA-256,
    the file system that it has in the flash, if that is known, what is loaded after and before, and
    the files that tell functions and lines."""

    path: Path
    segments: tuple[tuple[int, bytes], ...]
    sha256: str
    files: FileSystem | None = None
    added: tuple[tuple[int, bytes], ...] = ()
    under: tuple[tuple[int, bytes], ...] = ()
    elfs: tuple[Path, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all that is loaded, in its order."""
        digest = hashlib.sha256()
        for address, content in (*self.under, *self.segments, *self.added):
            digest.update(b"%d %d " % (address, len(content)) + _sha256(content))
        return digest.hexdigest()

    @property
    def own(self) -> bool:
        """Is it firmware/build's? Its file system is."""
        return self.files is not None and self.files.kind == "littlefs"

    @property
    def boot(self) -> int:
        """Where the vector table is that the core starts with: an application that is to be started
        by a bootloader, without one, starts at its own."""
        if self.word(BOOT_ADDRESS) is not None:
            return BOOT_ADDRESS
        return min(address for address, _ in self.segments)

    def word(self, address: int) -> int | None:
        """The 32-bit word that the image puts at an address, or None."""
        for base, data in self.segments:
            if base <= address <= base + len(data) - 4:
                return int.from_bytes(data[address - base : address - base + 4], "little")
        return None


@lru_cache(maxsize=1)
def testbed_version() -> str:
    """The version of the installed package; nothing in a bare checkout."""
    try:
        return version("openmv-testbed")
    except PackageNotFoundError:
        return ""


def load(named: Path | None = None) -> Image:
    """Read FILE[@ADDRESS][,FILE[@ADDRESS]...]; UserError says what is wrong with a file."""
    if not named and INSTALLED and not DEFAULT.exists():
        _build_first()
    chosen = named or DEFAULT
    names = parts(chosen)
    if len(names) > MOST_PARTS:
        raise UserError(f"--firmware: more than {MOST_PARTS} files: no image has so many")
    return _load(
        chosen, bool(named), tuple((part, paths.stamp(file_of(part)[0])) for part in names)
    )


@lru_cache(maxsize=4)
def _load(chosen: Path, named: bool, stamped: tuple[tuple[str, object], ...]) -> Image:
    """Once for each content of its parts."""
    names = [name for name, _ in stamped]
    read = [_part(name, named) for name in names]
    _refuse_overlaps(read)
    elfs = [(part, content) for part, content, _ in read if content[:4] == b"\x7fELF"]
    files = next(filter(None, (_files(path, content) for path, content in elfs)), None)
    loaded = b"".join(
        b"%d %d " % (at, len(data)) + data for *_, found in read for at, data in found
    )
    digest = hashlib.sha256(read[0][1] if names == [str(read[0][0])] else loaded)
    return Image(
        chosen, tuple(segment for *_, segments in read for segment in segments),
        digest.hexdigest(), files, elfs=tuple(part for part, _ in elfs),
    )  # fmt: skip


def parts(named: Path) -> list[str]:
    """What is between commas, unless a file has such a name."""
    return [str(named)] if os.path.exists(named) else str(named).split(",", MOST_PARTS)


def file_of(text: str) -> tuple[Path, str | None]:
    """A part's file and address; a file may have such a name."""
    found = PART.fullmatch(text)
    assert found
    return (Path(text), None) if os.path.exists(text) else (Path(found[1]), found[2])


def _part(text: str, named: bool) -> tuple[Path, bytes, formats.Segments]:
    path, address = file_of(text)
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


def _files(path: Path, content: bytes) -> FileSystem | None:
    """Where the image has its file system."""
    try:
        return filesystems.of_elf(content)
    except formats.DAMAGE as error:
        raise UserError(f"{path}: a damaged ELF file ({error}): build the image again") from None


def holding(image: Image, files: Mapping[str, bytes], memories: Iterable[range]) -> Image | None:
    """The image with files in its file system, as one flashes both; None where it does not tell
    where that is, or the board has no memory there. UserError if they do not fit."""
    if not image.files or not any(image.files.blocks.start in memory for memory in memories):
        return None
    content = image.files.holding(files)
    return replace(image, added=(*image.added, (image.files.blocks.start, content)))


def check_vectors(image: Image, memories: Iterable[range]) -> None:
    """UserError unless the vector table that the core starts with names a stack and code in
    memory."""
    spaces, start = list(memories), image.boot
    stack, entry = image.word(start), image.word(start + 4)
    lost = stack is None or not any(stack - 4 in space for space in spaces)
    if stack is None or entry is None or (lost and start != BOOT_ADDRESS):
        raise UserError(
            f"{image.path}: no vector table at 0x{BOOT_ADDRESS:08X}, the image starts at "
            f"0x{start:08X}: link it to the boot address"
        )
    for what, address, offset in (("stack pointer", stack - 4, 0), ("reset vector", entry & ~1, 4)):
        if not any(address in space for space in spaces):
            value = stack if offset == 0 else entry
            raise UserError(
                f"{image.path}: the {what} in the vector table (0x{start + offset:08X}) is "
                f"0x{value:08X}, outside the board's memory: check the linker script"
            )


def renumbered(image: Image, number: int) -> Image:
    """The image for a chip from another place of the wafer (RM0433 61.1): one camera of many."""
    coordinates = (0x001F0042 + (number << 16)).to_bytes(4, "little")
    return replace(image, added=(*image.added, (UNIQUE_ID, coordinates)))


def display(path: Path) -> str:
    """A path, or what --firmware names, as a person would write it from here."""
    relative = [os.path.relpath(part) for part in parts(path)]
    return str(path) if any(part.startswith("../..") for part in relative) else ",".join(relative)


def resolved(path: Path) -> str:
    """What --firmware names, from everywhere."""
    return ",".join(str(Path(part).resolve()) for part in parts(path))

"""Firmware images: what they hold, and whether they can start on a board."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from littlefs import LittleFS, LittleFSError, UserContext

from netsim import paths
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
HEADERS = 256  # program headers of an image, and many more
#: what pyelftools raises on a damaged file
DAMAGE = (ELFError, LookupError, ValueError, struct.error)


@dataclass(frozen=True)
class Image:
    """(address, bytes) of what is loaded, the SHA-256 of the file, where its file system lies
    (a range of addresses in steps of a block), and what is loaded beside the file."""

    path: Path
    segments: tuple[tuple[int, bytes], ...]
    sha256: str
    littlefs: range | None = None
    added: tuple[tuple[int, bytes], ...] = ()

    def word(self, address: int) -> int | None:
        """The 32-bit word that the image puts at an address, or None."""
        for base, data in self.segments:
            if base <= address <= base + len(data) - 4:
                return int.from_bytes(data[address - base : address - base + 4], "little")
        return None


def load(path: Path | None = None) -> Image:
    """Read an ELF image for ARM; UserError says what is wrong with the file."""
    chosen = path or DEFAULT
    try:
        if not path and INSTALLED and not chosen.exists():
            _build_first()
        content = paths.read(chosen)
    except FileNotFoundError:
        remedy = "check the path" if path else "run firmware/build"
        raise UserError(f"{chosen}: no such image: {remedy}") from None
    except OSError as error:
        raise UserError(f"{chosen}: cannot read the image: {error.strerror}") from None
    if not content:
        raise UserError(f"{chosen}: the file is empty: build the image again")
    try:
        elf = ELFFile(BytesIO(content))
        segments = tuple(_segments(chosen, elf, len(content)))
        littlefs = _littlefs(elf)
    except DAMAGE as error:
        kind = "a damaged ELF file" if content[:4] == b"\x7fELF" else "no ELF file"
        raise UserError(f"{chosen}: {kind} ({error}): build the image again") from None
    return Image(chosen, segments, hashlib.sha256(content).hexdigest(), littlefs)


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


def _segments(path: Path, elf: ELFFile, size: int) -> Iterable[tuple[int, bytes]]:
    if elf.header.e_machine != "EM_ARM" or elf.elfclass != 32 or not elf.little_endian:
        raise UserError(
            f"{path}: built for {elf.get_machine_arch()}, {elf.elfclass} bits: needs 32-bit "
            "little-endian ARM (arm-none-eabi-gcc)"
        )
    if elf.num_segments() > HEADERS:
        raise UserError(
            f"{path}: {elf.num_segments()} program headers, not the few of an image: build it again"
        )
    found = False
    for segment in elf.iter_segments():
        if segment.header.p_type == "PT_LOAD" and segment.header.p_filesz:
            if segment.header.p_offset + segment.header.p_filesz > size:
                raise UserError(f"{path}: the file is truncated: build or copy the image again")
            found = True
            yield segment.header.p_paddr, segment.data()
    if not found:
        raise UserError(f"{path}: nothing to load: link the image to an executable")


def _littlefs(elf: ELFFile) -> range | None:
    """Where the section of that name says that the file system lies (firmware/port's script)."""
    section = elf.get_section_by_name(".littlefs")
    if section is None:
        return None
    start, size, block = struct.unpack("<3I", section.data())
    if size > LARGEST or block not in BLOCKS or size % block:
        raise ValueError(f".littlefs: {size} bytes in blocks of {block} are no file system")
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
    """A path as a person would write it from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("../..") else relative

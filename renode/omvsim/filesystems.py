"""The camera's file system, as it is before the first start: where an image has it, and its content
with files."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from io import BytesIO
from types import SimpleNamespace
from unittest.mock import patch

import fatfs
from elftools.elf.elffile import ELFFile
from littlefs import LittleFS, LittleFSError, UserContext

from omvsim.errors import UserError

PROGRAM = 32  # bytes that the flash programs at once; MicroPython's caches are four of them
BLOCKS, LARGEST = [1 << n for n in range(8, 18)], 1 << 26  # bytes of a block, of a file system
DISK_VERSION = 0x00020000  # what every littlefs 2 reads
SECTOR = 512  # bytes, of FAT
ERASED = b"\xff" * 0x10000
SYMBOL = struct.Struct("<IIIBBH")  # Elf32_Sym: name, value, ...
#: what MicroPython's stm32 port and OpenMV's linker scripts call the flash of their file system
STORAGE = b"_micropy_hw_internal_flash_storage_"
#: and where it lies if it is on a flash that QUADSPI shows (RM0433 2.3.2): so much of it at least
QUADSPI, SMALLEST = 0x90000000, 4 << 20
#: FAT writes when it was; equal runs need equal bytes
CREATED = datetime(2020, 1, 1)


@dataclass(frozen=True)
class FileSystem:
    """Where it lies in the flash: `blocks` are a range of addresses, a block a step."""

    kind: str  # "littlefs" or "FAT"
    blocks: range

    def holding(self, files: Mapping[str, bytes]) -> bytes:
        """Its content with these files, without the erased flash behind it; UserError where they
        do not fit."""
        return _content(self, tuple(files.items()))


@lru_cache(maxsize=4)
def _content(system: FileSystem, files: tuple[tuple[str, bytes], ...]) -> bytes:
    """Mostly the same: one camera after the other holds what the scenario gives it."""
    content = (_littlefs if system.kind == "littlefs" else _fat)(system.blocks, dict(files))
    end = len(content)
    while content[end - len(ERASED) : end] == ERASED:  # byte by byte takes longer
        end -= len(ERASED)
    return content[:end].rstrip(b"\xff")


def of_elf(content: bytes) -> FileSystem | None:
    """By the section .littlefs of firmware/port's script, or by the symbols of MicroPython's stm32
    port; ValueError where they make no sense."""
    elf = ELFFile(BytesIO(content))
    section = elf.get_section_by_name(".littlefs")
    if section is not None:
        start, size, block = struct.unpack("<3I", section.data())
        if size > LARGEST or block not in BLOCKS or size % block:
            raise ValueError(f".littlefs: {size} bytes in blocks of {block} are no file system")
        return FileSystem("littlefs", range(start, start + size, block))
    names, symbols = elf.get_section_by_name(".strtab"), elf.get_section_by_name(".symtab")
    if names is None or symbols is None:
        return None
    text, table = names.data(), symbols.data()
    if b"\0spi_bdev\0" in text:
        return FileSystem("FAT", range(QUADSPI, QUADSPI + SMALLEST, SECTOR))
    places = [text.find(b"\0" + STORAGE + end + b"\0") + 1 for end in (b"start", b"end")]
    if 0 in places:
        return None
    whole = table[: len(table) // SYMBOL.size * SYMBOL.size]
    found = {name: value for name, value, *_ in SYMBOL.iter_unpack(whole) if name in places}
    start, end = (found.get(place, 0) for place in places)
    if not 0 < end - start <= LARGEST or (end - start) % SECTOR:
        raise ValueError(f"{STORAGE.decode()}: 0x{start:X} to 0x{end:X} is no file system")
    return FileSystem("FAT", range(start, end, SECTOR))


def _filled(files: Mapping[str, bytes], write: Callable[[str, bytes], None]) -> None:
    for name, content in files.items():
        try:
            if "\0" in name:
                raise ValueError("a NUL ends no name")
            write(name, content)
        except (LittleFSError, fatfs.FatFSException, OSError, ValueError) as error:
            raise UserError(f"[camera.files] {name!r}: {error}") from None


def _littlefs(blocks: range, files: Mapping[str, bytes]) -> bytes:
    flash = UserContext(buffer=bytearray(b"\xff") * (len(blocks) * blocks.step))
    system = LittleFS(
        flash, block_size=blocks.step, block_count=len(blocks), prog_size=PROGRAM,
        read_size=PROGRAM, cache_size=4 * PROGRAM, disk_version=DISK_VERSION,
    )  # fmt: skip

    def write(name: str, content: bytes) -> None:
        system.makedirs(f"/{name}".rpartition("/")[0], exist_ok=True)
        with system.open(name, "wb") as file:
            file.write(content)

    _filled(files, write)
    return bytes(flash.buffer)


def _fat(blocks: range, files: Mapping[str, bytes]) -> bytes:
    flash = bytearray(b"\xff") * (len(blocks) * blocks.step)
    clock = SimpleNamespace(datetime=SimpleNamespace(now=lambda: CREATED))
    with patch.object(fatfs.wrapper, "datetime", clock):
        system = fatfs.create_extended_partition(fatfs.RamDisk(flash, sector_size=blocks.step))
        system.mkfs()
        system.mount()

        def write(name: str, content: bytes) -> None:
            system.makedirs(f"/{name}".rpartition("/")[0] or "/", exist_ok=True)
            system.write_file(f"/{name}", content)
            if system.read_file(f"/{name}") != content:  # FatFs writes what it can
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        _filled(files, write)
        system.unmount()
    return bytes(flash)

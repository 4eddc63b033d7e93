"""Where in an image's sources an address lies: its ELF symbols and DWARF."""

from __future__ import annotations

import struct
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

#: what pyelftools raises on a damaged file
DAMAGE = (ELFError, DWARFError, ConstructError, LookupError, ValueError, TypeError,
          AttributeError, AssertionError, OSError, struct.error)  # fmt: skip


def function_at(image: Path, address: int) -> str:
    """The function of an ELF image that an address lies in, or nothing."""
    with suppress(OSError):
        return _found(image, image.stat().st_mtime_ns, address)[0]
    return ""


def place_at(image: Path, address: int) -> str:
    """`function (file.c:line)`, as much of it as the image tells."""
    with suppress(OSError):
        function, line = _found(image, image.stat().st_mtime_ns, address)
        return f"{function} ({line})" if function and line else function or line
    return ""


@lru_cache(maxsize=256)  # shrinking asks the same of each candidate
def _found(image: Path, changed: int, address: int) -> tuple[str, str]:
    function = line = ""
    with suppress(*DAMAGE), image.open("rb") as file:
        elf = ELFFile(file)
        function = _function(elf, address)
        line = _line(elf, address)
    return function, line


def _function(elf: ELFFile, address: int) -> str:
    for section in elf.iter_sections():
        if not isinstance(section, SymbolTableSection):
            continue
        for symbol in section.iter_symbols():
            start, size = symbol["st_value"] & ~1, symbol["st_size"]
            if symbol["st_info"]["type"] == "STT_FUNC" and start <= address < start + size:
                return str(symbol.name)
    return ""


def _line(elf: ELFFile, address: int) -> str:
    """By .debug_aranges and .debug_line (DWARF 5, sections 6.1.2 and 6.2)."""
    if not elf.has_dwarf_info():
        return ""
    dwarf = elf.get_dwarf_info()
    ranges = dwarf.get_aranges()
    offset = ranges.cu_offset_at_addr(address) if ranges else None
    if offset is None:
        return ""
    program = dwarf.line_program_for_CU(dwarf.get_CU_at(offset))
    if program is None:
        return ""
    before: Any = None
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if before and not before.end_sequence and before.address <= address < state.address:
            files = program["file_entry"]
            index = before.file - (0 if program["version"] >= 5 else 1)
            name = files[index].name
            return f"{Path(name.decode('utf-8', 'replace')).name}:{before.line}"
        before = state
    return ""

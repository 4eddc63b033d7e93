"""Where in an image's sources an address lies: its ELF symbols and DWARF."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct import ConstructError
from elftools.dwarf.callframe import FDE, RegisterRule
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

SP, LR, PC = 13, 14, 15
EXC_RETURN = 0xFFFFFF00  # DDI 0403 B1.5.8: no address of code
DEEPEST = 40  # calls
Memory = Callable[[int], int | None]
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


def call_stack(image: Path, registers: Sequence[int], memory: Memory) -> list[str]:
    """Where a core stands, then who called, by .debug_frame (DWARF 5, section 6.4).

    `registers` are r0 to r15; `memory` gives a word of the stack, or None.
    """
    found: list[str] = []
    with suppress(*DAMAGE), image.open("rb") as file:
        dwarf = ELFFile(file).get_dwarf_info()
        entries = [e for e in dwarf.CFI_entries() if isinstance(e, FDE)]
        known = dict(enumerate(registers))
        for depth in range(DEEPEST):
            at = known[PC] - (1 if depth else 0)  # a return address may lie behind its function
            found.append(place_at(image, at) or f"0x{known[PC]:08X}")
            entry = next(
                (e for e in entries if 0 <= at - e["initial_location"] < e["address_range"]), None
            )
            caller = _caller(entry, at, known, memory) if entry else None
            if caller is None:
                break
            known = caller
    return found


def _caller(entry: FDE, pc: int, known: Mapping[int, int], memory: Memory) -> dict[int, int] | None:
    """The registers at the return from a function; None at the end, or where nobody can tell."""
    rows = [row for row in entry.get_decoded().table if row["pc"] <= pc]
    if not rows:
        return None
    row = rows[-1]
    cfa = known[row["cfa"].reg] + row["cfa"].offset
    found = dict(known)
    for register, rule in row.items():
        if isinstance(register, int) and rule.type == RegisterRule.OFFSET:
            word = memory(cfa + rule.arg)
            if word is None:
                return None
            found[register] = word
    found[SP], found[PC] = cfa, found[LR] & ~1
    ended = found[LR] >= EXC_RETURN or found[PC] == 0 or (cfa, found[PC]) == (known[SP], known[PC])
    return None if ended else found


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

"""Where in an image's sources an address lies: the symbols and DWARF of its ELF files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from elftools.common.exceptions import DWARFError
from elftools.construct import ConstructError
from elftools.dwarf.callframe import FDE, RegisterRule
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from netsim import paths
from omvsim import formats

SP, LR, PC = 13, 14, 15
EXC_RETURN = 0xFFFFFF00  # DDI 0403 B1.5.8: no address of code
DEEPEST = 40  # calls
Memory = Callable[[int], int | None]
#: what pyelftools raises on a damaged file whose DWARF is read, too
DAMAGE = (*formats.DAMAGE, DWARFError, ConstructError, TypeError, AttributeError, AssertionError,
          OSError)  # fmt: skip


class _Places:
    """What an image's ELF tells of addresses; each part is read when it is first asked for."""

    def __init__(self, content: bytes) -> None:
        self._elf = ELFFile(BytesIO(content))

    @cached_property
    def functions(self) -> list[tuple[int, int, str]]:
        """(start, end, name)"""
        return [
            (symbol["st_value"] & ~1, (symbol["st_value"] & ~1) + symbol["st_size"], symbol.name)
            for section in self._elf.iter_sections()
            if isinstance(section, SymbolTableSection)
            for symbol in section.iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC"
        ]

    @cached_property
    def dwarf(self) -> Any:
        return self._elf.get_dwarf_info()

    @cached_property
    def ranges(self) -> Any:
        return self.dwarf.get_aranges()

    @cached_property
    def frames(self) -> list[FDE]:
        return [entry for entry in self.dwarf.CFI_entries() if isinstance(entry, FDE)]

    def function(self, address: int) -> str:
        found = (name for start, end, name in self.functions if start <= address < end)
        return str(next(found, ""))

    def line(self, address: int) -> str:
        """By .debug_aranges and .debug_line (DWARF 5, sections 6.1.2 and 6.2)."""
        if not self._elf.has_dwarf_info() or not self.ranges:
            return ""
        offset = self.ranges.cu_offset_at_addr(address)
        unit = None if offset is None else self.dwarf.get_CU_at(offset)
        program = self.dwarf.line_program_for_CU(unit) if unit else None
        if program is None:
            return ""
        before: Any = None
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            if before and not before.end_sequence and before.address <= address < state.address:
                index = before.file - (0 if program["version"] >= 5 else 1)
                name = program["file_entry"][index].name.decode("utf-8", "replace")
                return f"{Path(name).name}:{before.line}"
            before = state
        return ""


def _places(image: Path) -> _Places | None:
    """Of an ELF image; None where it is none."""
    with suppress(*DAMAGE):
        return _read(image, image.stat().st_mtime_ns)
    return None


@lru_cache(maxsize=4)  # a call stack asks a dozen times, shrinking for each candidate
def _read(image: Path, changed: int) -> _Places:
    return _Places(paths.read(image))


def function_at(images: Iterable[Path], address: int) -> str:
    """The function of an image's ELF files that an address lies in, or nothing."""
    for places in map(_places, images):
        with suppress(*DAMAGE):
            if places and (found := places.function(address)):
                return found
    return ""


def place_at(images: Iterable[Path], address: int) -> str:
    """`function (file.c:line)`, as much of it as they tell."""
    images = tuple(images)
    function, line = function_at(images, address), ""
    for places in map(_places, images):
        with suppress(*DAMAGE):
            line = line or (places.line(address) if places else "")
    return f"{function} ({line})" if function and line else function or line


def call_stack(images: Iterable[Path], registers: Sequence[int], memory: Memory) -> list[str]:
    """Where a core stands, then who called, by .debug_frame (DWARF 5, section 6.4).

    `registers` are r0 to r15; `memory` gives a word of the stack, or None.
    """
    found: list[str] = []
    known, images = dict(enumerate(registers)), tuple(images)
    with suppress(*DAMAGE):
        entries = [entry for places in map(_places, images) if places for entry in places.frames]
        for depth in range(DEEPEST):
            at = known[PC] - (1 if depth else 0)  # a return address may lie behind its function
            found.append(place_at(images, at) or f"0x{known[PC]:08X}")
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

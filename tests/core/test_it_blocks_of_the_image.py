"""IT blocks of the project's image, laid across the end of a page, where Unicorn ends a block: an
interrupt in their midst changes nothing."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from omvsim.engine.unicorn import Core

IMAGE = Path(__file__).resolve().parents[2] / "build/firmware/openmv_h7.elf"
FLASH, SIZE, HARNESS = 0x08000000, 0x200000, 0x081F0000
TARGET = HARNESS + 4 * 17  # the word behind the vector table
RAM, DATA, REGISTERS = 0x20000000, 0x20010000, 0x2000F000
PAGE_END = 0x081E1000
SAMPLES, RUNS = 60, 20
HANDLER = 8  # instructions of irq0
SOURCE = f"""
    .syntax unified
    .thumb
    .text
    .word 0x20008000, reset
    .rept 14
    .word fault
    .endr
    .word irq0
target:
    .word 0
    .thumb_func
fault:
    b .
    .thumb_func
irq0:
    ldr r0, =0x20018000
    ldr r1, [r0]
    ldr r0, =0x20019000
    cmp r1, #0
    ite ne
    strne r1, [r0]
    ldreq r1, [r0]
    bx lr
    .thumb_func
reset:
    ldr r0, =0xE000E100
    movs r1, #1
    str r1, [r0]
    ldr r0, ={REGISTERS}
    ldr r1, [r0], #4
    msr apsr_nzcvq, r1
    ldm.w r0, {{r0-r12, lr}}
    ldr.w pc, target
"""


def it_blocks(code: bytes) -> Iterator[bytes]:
    """The IT blocks of some code, with the IT instruction."""
    offset = began = left = 0
    while offset < len(code):
        first = int.from_bytes(code[offset : offset + 2], "little")
        size = 4 if first >> 11 >= 0x1D else 2
        if left:
            left -= 1
            if not left:
                yield code[began : offset + size]
        elif first >> 8 == 0xBF and first & 15:
            began, left = offset, 4 - (((first & 15) & -(first & 15)).bit_length() - 1)
        offset += size


def samples() -> dict[str, bytes]:
    """Some of the image, by the function that they are in."""
    if not IMAGE.exists():
        return {}
    with IMAGE.open("rb") as file:
        elf = ELFFile(file)
        text = elf.get_section_by_name(".text")
        symbols = elf.get_section_by_name(".symtab")
        assert isinstance(symbols, SymbolTableSection)
        code, base = text.data(), text["sh_addr"]
        modes = {s["st_value"] & ~1: s.name[:2] for s in symbols.iter_symbols()
                 if s.name[:2] in ("$t", "$d")}  # fmt: skip
        marks = sorted(modes.items())  # code, data: ELF for the Arm Architecture, 5.5.5
        functions = {s["st_value"] & ~1: s.name for s in symbols.iter_symbols()
                     if s["st_info"]["type"] == "STT_FUNC"}  # fmt: skip
    found = dict[bytes, str]()
    ends = [at for at, _ in marks[1:]] + [base + len(code)]
    for (at, kind), end in zip(marks, ends, strict=True):
        if kind == "$t" and base <= at < base + len(code):
            for block in it_blocks(code[at - base : end - base]):
                found.setdefault(block, functions.get(at, f"{at:#x}"))
    chosen = random.Random(1).sample(sorted(found), SAMPLES)
    return {f"{found[block]}-{block.hex()}": block for block in chosen}


BLOCKS = samples()


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Core:
    folder = tmp_path_factory.mktemp("harness")
    source, elf, binary = folder / "h.s", folder / "h.elf", folder / "h.bin"
    source.write_text(SOURCE)
    subprocess.run(
        ["arm-none-eabi-gcc", "-mcpu=cortex-m7", "-nostdlib", f"-Wl,-Ttext={HARNESS:#x}",
         "-Wl,-e,0", "-o", elf, source], check=True,
    )  # fmt: skip
    subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", elf, binary], check=True)
    core = Core(lambda *_: None, lambda *_: None)
    core.map_memory(FLASH, bytearray(SIZE), flash=True, code=True)
    core.map_memory(RAM, bytearray(0x20000))
    with IMAGE.open("rb") as file:
        for segment in ELFFile(file).iter_segments("PT_LOAD"):
            if FLASH <= segment["p_paddr"] < FLASH + SIZE:
                core.write(segment["p_paddr"], segment.data())
    core.write(HARNESS, binary.read_bytes())
    return core


def start(core: Core, words: list[int]) -> int:
    """From reset, with these flags and registers; the clock now."""
    core.write(RAM, bytes(0x20000))
    core.write(DATA, bytes(range(256)) * 64)
    core.write(REGISTERS, b"".join(word.to_bytes(4, "little") for word in words))
    assert core.reset(HARNESS)
    return core.now


def end(core: Core, clocks: int) -> object:
    """The registers and the data so many clocks later, or the fault."""
    if core.run(core.now + clocks) == "fault":
        assert core.fault is not None
        return core.fault["r"], core.fault["cfsr"]
    return core.registers(), core.read(DATA, 0x4000)


def boundaries(core: Core, words: list[int], first: int, last: int) -> tuple[list[int], int]:
    """The clocks after reset at which a block ends inside the IT block, and that of its end."""
    began, inside = start(core, words), []
    while core.run(core.now + 1) == "limit":
        at = core.registers()["pc"]
        if first < at < last:
            inside.append(core.now - began)
        elif inside:
            break
    return inside, core.now - began


@pytest.mark.skipif(not BLOCKS, reason="no image: firmware/build makes it")
@pytest.mark.parametrize("name", BLOCKS)
def test_an_interrupt_changes_nothing(core: Core, name: str) -> None:
    block, seen = BLOCKS[name], 0
    for before in range(2, len(block), 2):
        first, last = PAGE_END - before, PAGE_END - before + len(block)
        core.write(first, block)
        core.invalidate(first, len(block))
        core.write(TARGET, (first | 1).to_bytes(4, "little"))
        core.invalidate(TARGET, 4)
        for seed in range(RUNS):
            r = random.Random(seed)
            words = [r.getrandbits(5) << 27]
            words += [r.choice((DATA + 256 + 4 * r.randrange(3000), r.getrandbits(8), 0))
                      for _ in range(14)]  # fmt: skip
            inside, whole = boundaries(core, words, first, last)
            for clock in inside:
                start(core, words)
                plain = end(core, whole)
                start(core, words)
                core.run(core.now + clock)
                core.set_line(0, True)
                core.set_line(0, False)
                assert end(core, whole - clock + HANDLER) == plain
                seen += 1
    assert seen

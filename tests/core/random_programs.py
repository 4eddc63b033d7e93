#!/usr/bin/env python3
# ruff: noqa: E501 (tables of instructions)
"""Random Thumb-2 programs: an interrupt at any block boundary changes nothing, and QEMU's
Cortex-M7 computes the same.

Code as GCC makes it, and what the core has to get right: IT blocks of every length, many of them
across the end of a page where Unicorn ends a block; accesses that miss the TLB, unaligned ones, stores
to flash; LDREX; the FPU; SVC; calls, loops and tables. A batch is one image. Each program ends with
registers, flags, FPSCR and data in memory, and these are compared.
"""

from __future__ import annotations

import argparse
import array
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from harness import (
    DATA,
    DATA_SIZE,
    DEVICE,
    FLASH_STORES,
    HARNESS,
    PROGRAM,
    QEMU,
    RAM,
    RAM_SIZE,
    RESULT,
    RESULT_SIZE,
)  # fmt: skip
from omvsim.engine.unicorn import Core

BATCH = 250
CONDITIONS = ("eq", "ne", "cs", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le")
OPPOSITE = dict(zip(CONDITIONS, (*CONDITIONS[1:], CONDITIONS[0]), strict=True)) | {
    c: CONDITIONS[i - 1] for i, c in enumerate(CONDITIONS) if i % 2
}
#: where a program is interrupted: lines to raise together, and what their handlers do
INTERRUPTS = {"plain": (0,), "FPU": (1,), "nested": (2,), "tail-chained": (0, 1)}

PATTERN = b"".join(
    ((n + 1) * 0x9E3779B1 & 0xFFFFFFFF).to_bytes(4, "little") for n in range(DATA_SIZE // 4)
)


class Writer:
    """One random program as assembly. r0 to r5, r11, r12 are anything; r8 and r10 point to aligned
    words of the data, r9 to any byte, r6 to flash; r7 counts loops."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.label = f"p{seed}"
        self.labels = 0

    def any(self) -> str:
        return self.random.choice(("r0", "r1", "r2", "r3", "r4", "r5", "r11", "r12"))

    def low(self) -> str:
        return self.random.choice(("r0", "r1", "r2", "r3", "r4", "r5"))

    def single(self) -> str:
        return f"s{self.random.randrange(32)}"

    def new_label(self) -> str:
        self.labels += 1
        return f"{self.label}_{self.labels}"

    def pointer(self, aligned: bool) -> int:
        at = (
            DATA
            + self.random.choice((4096 * self.random.randrange(1, 4), 700))
            + (self.random.randrange(-64, 128))
        )
        return at & ~3 if aligned else at

    def word(self) -> int:
        return self.random.choice(
            (self.random.getrandbits(32), self.random.getrandbits(8), 0x80000000, 0x7FFFFFFF, 0,
             0xFFFFFFFF, 0x3F800000, 0xC1200000)
        )  # fmt: skip

    def text(self) -> str:
        r = self.random
        lines = [f"{self.label}:"]
        lines += [
            f"ldr {x}, ={self.word():#x}" for x in ("r0", "r1", "r2", "r3", "r4", "r5", "r11")
        ]
        lines += [f"ldr r8, ={self.pointer(True):#x}", f"ldr r9, ={self.pointer(False):#x}"]
        lines += [
            f"ldr r10, ={self.pointer(True):#x}",
            f"ldr r6, ={FLASH_STORES + 32 * r.randrange(64):#x}",
        ]
        lines += ["mov r12, r0", "mov r7, #0", "vmov s1, r0", "vmov s2, r1", "vmov d2, r2, r3"]
        across = r.randrange(2)
        for _ in range(r.randrange(3, 7)):
            lines += self.chunk()
        if across:
            lines += self.it_across_an_end()
            lines += self.chunk()
        return "\n".join(["    .thumb_func", *lines, "    b.w finish", "    .ltorg", ""])

    def chunk(self, inside: bool = False) -> list[str]:
        kinds = [self.alu, self.memory, self.it, self.it, self.fpu, self.branch, self.call]
        kinds += [] if inside else [self.loop, self.exclusive, self.table, self.stack, self.pages]
        return self.random.choice(kinds)()

    def alu(self) -> list[str]:
        r = self.random
        op = r.choice(
            (
                "adds",
                "subs",
                "adcs",
                "sbcs",
                "eors",
                "ands",
                "orrs",
                "bics",
                "rsbs",
                "add",
                "sub",
                "adc",
            )
        )
        shift = r.choice(
            (
                "",
                f", lsl #{r.randrange(1, 31)}",
                f", asr #{r.randrange(1, 31)}",
                f", ror #{r.randrange(1, 31)}",
            )
        )
        one = f"{op}.w {self.any()}, {self.any()}, {self.any()}{shift}"
        more = r.choice(
            (f"umull {self.low()}, r12, {self.any()}, {self.any()}", f"lsrs {self.low()}, {self.low()}, #{r.randrange(1, 32)}",
             f"ubfx {self.any()}, {self.any()}, #{r.randrange(16)}, #{r.randrange(1, 16)}", f"ssat {self.any()}, #8, {self.any()}",
             f"uadd8 {self.any()}, {self.any()}, {self.any()}", f"sel {self.any()}, {self.any()}, {self.any()}",
             f"sdiv {self.any()}, {self.any()}, {self.any()}", f"mvns {self.low()}, {self.low()}",
             f"adds {self.low()}, #{r.randrange(256)}", f"rev {self.any()}, {self.any()}")
        )  # fmt: skip
        return [one, more]

    def access(self, condition: str = "") -> str:
        r = self.random
        c = condition
        near, far = 4 * r.randrange(32), r.randrange(250)
        return r.choice(
            (f"ldr{c} {self.any()}, [r8, #{near}]", f"str{c} {self.any()}, [r8, #{near}]",
             f"ldr{c} {self.any()}, [r9, #{far}]", f"str{c} {self.any()}, [r9, #{far}]",
             f"ldrb{c} {self.any()}, [r9], #1", f"strb{c} {self.any()}, [r9, #-1]!",
             f"ldrh{c} {self.any()}, [r9, #{far}]", f"strh{c} {self.any()}, [r9, #{far}]",
             f"ldrsb{c} {self.any()}, [r10, #{far}]", f"str{c} {self.any()}, [r10], #4",
             f"ldrd{c} r0, r1, [r8, #{near}]", f"strd{c} r2, r3, [r10, #{near}]",
             f"str{c} {self.any()}, [r6, #{near}]", f"strb{c} {self.any()}, [r6]",
             f"vldr{c} {self.single()}, [r8, #{near}]", f"vstr{c} {self.single()}, [r10, #{near}]")
        )  # fmt: skip

    def memory(self) -> list[str]:
        return [self.access() for _ in range(self.random.randrange(1, 4))]

    def pages(self) -> list[str]:
        """Pointers to other pages: the TLB misses there."""
        return [
            f"ldr r8, ={self.pointer(True):#x}",
            f"ldr r9, ={self.pointer(False):#x}",
            self.access(),
        ]

    def compare(self) -> str:
        r = self.random
        return r.choice(
            (f"cmp {self.any()}, {self.any()}", f"tst {self.any()}, #{r.randrange(256)}", f"cmn {self.any()}, {self.any()}",
             f"subs {self.low()}, {self.low()}, {self.low()}", f"lsls {self.low()}, {self.low()}, #{r.randrange(1, 31)}",
             f"cmp {self.low()}, #{r.randrange(256)}")
        )  # fmt: skip

    def it(self, before: list[str] | None = None) -> list[str]:
        r = self.random
        first, length = r.choice(CONDITIONS), r.randrange(1, 5)
        other = OPPOSITE[first]
        slots = [first] + [r.choice((first, other)) for _ in range(length - 1)]
        mask = "".join("t" if s == first else "e" for s in slots[1:])
        body = [self.conditional(slot) for slot in slots]
        after: list[str] = []
        if r.random() < 0.25:
            label = self.new_label()
            jump = r.choice((f"b{slots[-1]}.w {label}", f"bl{slots[-1]} leaf{r.randrange(3)}"))
            body[-1], after = jump, [self.compare(), *self.memory(), f"{label}:"]
        return [self.compare(), *(before or []), f"it{mask} {first}", *body, *after,
                f"adcs {self.low()}, {self.low()}"]  # fmt: skip

    def conditional(self, c: str) -> str:
        r = self.random
        if r.random() < 0.55:
            return self.access(c)
        return r.choice(
            (f"add{c} {self.any()}, {self.any()}, #{r.randrange(200)}", f"mov{c} {self.low()}, #{r.randrange(256)}",
             f"adds{c}.w {self.any()}, {self.any()}, {self.any()}", f"cmp{c} {self.any()}, {self.any()}",
             f"eor{c} {self.any()}, {self.any()}, {self.any()}", f"vmov{c}.f32 {self.single()}, {self.single()}",
             f"vadd{c}.f32 {self.single()}, {self.single()}, {self.single()}", f"mul{c} {self.any()}, {self.any()}, {self.any()}",
             f"add{c} {self.low()}, {self.low()}, {self.low()}", f"svc{c} #1")
        )  # fmt: skip

    def it_across_an_end(self) -> list[str]:
        """An IT block that begins up to 14 bytes before the end of a page."""
        here = self.new_label()
        place = [
            f"b.w {here}",
            ".ltorg",
            ".balign 4096",
            f".space {4096 - 2 * self.random.randrange(1, 8)}",
            f"{here}:",
        ]
        found = self.it(place)
        return found

    def fpu(self) -> list[str]:
        r = self.random
        op = r.choice(("vadd", "vsub", "vmul", "vdiv", "vmla", "vfma"))
        double = r.random() < 0.4
        regs = (
            [f"d{r.randrange(16)}" for _ in range(3)]
            if double
            else [self.single() for _ in range(3)]
        )
        size = "f64" if double else "f32"
        lines = [f"{op}.{size} {', '.join(regs)}"]
        if r.random() < 0.5:
            lines += [f"vcmp.{size} {regs[0]}, {regs[1]}", "vmrs apsr_nzcv, fpscr"]
        if r.random() < 0.3:
            lines.append(f"vmov {self.any()}, {self.single()}")
        return lines

    def branch(self) -> list[str]:
        label = self.new_label()
        return [
            self.compare(),
            f"b{self.random.choice(CONDITIONS)} {label}",
            *self.alu(),
            *self.memory(),
            f"{label}:",
        ]

    def call(self) -> list[str]:
        return [self.random.choice(("bl leaf0", "bl leaf1", "bl leaf2", "svc #0"))]

    def loop(self) -> list[str]:
        label = self.new_label()
        return [
            f"mov r7, #{self.random.randrange(2, 5)}",
            f"{label}:",
            *self.chunk(True),
            "subs r7, r7, #1",
            f"bne.w {label}",
        ]

    def exclusive(self) -> list[str]:
        label = self.new_label()
        return [
            f"{label}:",
            "ldrex r0, [r10]",
            "add r0, r0, #3",
            "strex r1, r0, [r10]",
            "cmp r1, #0",
            f"bne {label}",
        ]

    def table(self) -> list[str]:
        a, b, c = self.new_label(), self.new_label(), self.new_label()
        return [f"and r4, {self.any()}, #1", "tbb [pc, r4]", f"{a}: .byte ({b} - {a}) / 2, ({c} - {a}) / 2",
                f"{b}:", *self.alu(), f"{c}:"]  # fmt: skip

    def stack(self) -> list[str]:
        return ["push {r0, r1, r4}", *self.alu(), "ldm r8, {r0, r2, r3}", "pop {r1, r3, r5}",
                "vpush {d8-d9}", self.access(), "vpop {d10-d11}"]  # fmt: skip


class Batch:
    """Programs of these seeds in one image."""

    def __init__(self, seeds: range, folder: Path) -> None:
        self.seeds, self.folder = seeds, folder
        programs = "".join(Writer(seed).text() for seed in seeds)
        table = "".join(f"    .word p{seed}\n" for seed in seeds)
        source, self.elf, binary = folder / "p.s", folder / "p.elf", folder / "p.bin"
        source.write_text(f"{HARNESS}{programs}    .balign 4\n{QEMU}{table}    .word 0\n")
        subprocess.run(
            ["arm-none-eabi-gcc", "-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-d16", "-nostdlib",
             "-Wl,-Ttext=0", "-Wl,-e,0", "-o", self.elf, source],
            check=True,
        )  # fmt: skip
        subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", self.elf, binary], check=True)
        names = subprocess.run(
            ["arm-none-eabi-nm", self.elf], capture_output=True, text=True, check=True
        ).stdout
        self.symbols = {line.split()[2]: int(line.split()[0], 16) for line in names.splitlines()}
        code = bytearray(binary.read_bytes())
        self.core = Core(lambda *_: None, lambda *_: None)
        self.core.map_memory(
            0, code.ljust(-len(code) % 4096 + len(code), b"\0"), flash=True, code=True
        )
        self.core.map_memory(FLASH_STORES, bytearray(0x1000), flash=True)
        self.core.map_memory(RAM, bytearray(RAM_SIZE))
        word = array.array("I", [0])
        self.core.map_device(
            DEVICE, 4, word, array.array("I", [0xFFFFFFFF]), array.array("I", [0]), array.array("I", [5]),
            lambda *_: 0, lambda *_: self.core.stop(), [],
        )  # fmt: skip

    def start(self, seed: int) -> None:
        assert self.core.reset(0)
        self.core.write(RESULT, bytes(RESULT_SIZE) + PATTERN)
        words = (self.symbols[f"p{seed}"] | 1, self.symbols["stop_here"] | 1)
        self.core.write(PROGRAM, b"".join(w.to_bytes(4, "little") for w in words))

    def end(self, limit: int = 100_000) -> bytes:
        """What the program leaves behind; its own words where it does not end."""
        reason = self.core.run(self.core.now + limit)
        while reason == "fault":
            reason = self.core.run(self.core.now + limit)
        if reason != "stop":
            return f"{reason} at {self.core.registers()['pc']:#x}, {self.core.fault}".encode()
        return self.core.read(RESULT, RESULT_SIZE + DATA_SIZE)

    def boundaries(self, seed: int) -> list[int]:
        """The clocks after reset at which a block ends."""
        self.start(seed)
        began, ends = self.core.now, []
        while self.core.run(self.core.now + 1) == "limit":
            ends.append(self.core.now - began)
        return ends

    def interrupted(self, seed: int, clock: int, lines: tuple[int, ...]) -> bytes:
        """What it leaves behind with these interrupts at this clock."""
        self.start(seed)
        self.core.run(self.core.now + clock)
        for line in lines:
            self.core.set_line(line, True)
            self.core.set_line(line, False)
        return self.end()

    def differences(self) -> Iterator[str]:
        """Where an interrupt changes what a program computes."""
        kinds = list(INTERRUPTS)
        for seed in self.seeds:
            self.start(seed)
            whole = self.end()
            if len(whole) != RESULT_SIZE + DATA_SIZE:
                yield f"program {seed}: {whole.decode()}"
                continue
            for n, clock in enumerate(self.boundaries(seed)):
                kind = kinds[(n + seed) % len(kinds)]
                if told(got := self.interrupted(seed, clock, INTERRUPTS[kind]), whole):
                    yield f"program {seed}, {kind} at clock {clock}: {told(got, whole)}"

    def on_qemu(self) -> Iterator[str]:
        """Where QEMU's Cortex-M7 computes something else."""
        subprocess.run(
            ["qemu-system-arm", "-M", "mps2-an500", "-display", "none", "-monitor", "none", "-serial", "none",
             "-semihosting-config", "enable=on,target=native", "-kernel", self.elf],
            cwd=self.folder, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        out = (self.folder / "out.bin").read_bytes()
        size = RESULT_SIZE + DATA_SIZE
        assert len(out) == size * len(self.seeds), "QEMU has not run all programs"
        for n, seed in enumerate(self.seeds):
            self.start(seed)
            if difference := told(self.end(), out[n * size : (n + 1) * size]):
                yield f"program {seed}: {difference}"


def told(got: bytes, expected: bytes) -> str:
    """The first word that differs; nothing where none does."""
    if got == expected:
        return ""
    if len(got) != len(expected):
        return got.decode(errors="replace")
    at = next(i for i in range(0, len(got), 4) if got[i : i + 4] != expected[i : i + 4])
    names = (
        [f"r{n}" for n in range(13)] + ["APSR", "SP", ""] + [f"s{n}" for n in range(32)] + ["FPSCR"]
    )
    name = names[at // 4] if at // 4 < len(names) else f"data +{at - RESULT_SIZE:#x}"
    return f"{name} is {got[at : at + 4][::-1].hex()}, not {expected[at : at + 4][::-1].hex()}"


def run(first: int) -> list[str]:
    """All differences of a batch, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        batch = Batch(range(first, first + BATCH), Path(folder))
        return [*batch.differences(), *(f"QEMU: {d}" for d in batch.on_qemu())]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "programs", type=int, nargs="?", default=1_000_000, help="how many (1000000)"
    )
    parser.add_argument("--first", type=int, default=0, help="number of the first (0)")
    options = parser.parse_args()
    firsts = range(options.first, options.first + options.programs, BATCH)
    wrong, spoke = 0, time.monotonic()
    with ProcessPoolExecutor() as pool:
        for done, differences in enumerate(pool.map(run, firsts), 1):
            wrong += len(differences)
            print(*differences, sep="\n" if differences else "", end="\n" if differences else "")
            if time.monotonic() - spoke > 10:
                spoke = time.monotonic()
                print(
                    f"{done * BATCH:,} programs, {wrong} differences", file=sys.stderr, flush=True
                )
    print(f"{len(firsts) * BATCH:,} programs, {wrong} differences")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

"""One loop of a Cortex-M7 on this core, on Unicorn alone and on QEMU: instructions a second."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

from omvsim.engine.unicorn import Core
from unicorn import UC_ARCH_ARM, UC_MODE_THUMB, Uc
from unicorn.arm_const import UC_CPU_ARM_CORTEX_M7

RAM, SIZE = 0x20000000, 0x10000
PASSES, PER_PASS = 20_000_000, 10
QEMU = "qemu-system-arm"
#: words go through memory and a multiplier, as in a hash; SYS_EXIT of Arm's semihosting behind it
SOURCE = """
    .syntax unified
    .thumb
    .text
    .word 0x20008000, reset, fault, fault
    .thumb_func
reset:
    ldr r4, =PASSES
    ldr r5, =0x20000000
    ldr r6, =0x01000193
    .global loop
loop:
    and r2, r4, #0xFC
    ldr r0, [r5, r2]
    eor r0, r0, r4
    mul r0, r0, r6
    str r0, [r5, r2]
    add r1, r1, r0, ror #7
    lsrs r3, r1, #3
    adc r1, r1, r3
    subs r4, #1
    bne loop
    .global done
done:
    movs r0, #0x18
    ldr r1, =0x20026
    bkpt 0xAB
    .thumb_func
fault:
    b fault
"""


@cache
def program(passes: int) -> tuple[bytes, bytes, int]:
    """ELF, what it loads at 0, and the address behind the loop."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "a.s").write_text(SOURCE.replace("PASSES", str(passes)))
        tools = (
            ["gcc", "-mcpu=cortex-m7", "-mthumb", "-nostdlib", "-Wl,-Ttext=0", "-Wl,-ereset", "a.s",
             "-o", "a.elf"],
            ["objcopy", "-O", "binary", "a.elf", "a.bin"],
            ["nm", "a.elf"],
        )  # fmt: skip
        for name, *arguments in tools:
            told = subprocess.run(
                [f"arm-none-eabi-{name}", *arguments], cwd=here, check=True, text=True,
                capture_output=True, stdin=subprocess.DEVNULL,
            ).stdout  # fmt: skip
        [done] = (line.split()[0] for line in told.splitlines() if line.endswith(" done"))
        return (here / "a.elf").read_bytes(), (here / "a.bin").read_bytes(), int(done, 16)


def core() -> float:
    """Seconds of this core, which counts each instruction."""
    made = Core(lambda *_: 0, lambda *_: None)
    made.map_memory(0, bytearray(program(PASSES)[1].ljust(SIZE, b"\xff")), flash=True, code=True)
    made.map_memory(RAM, bytearray(SIZE))
    made.reset(0)
    began = time.perf_counter()
    made.run(PASSES * PER_PASS)
    return time.perf_counter() - began


def unicorn() -> float:
    """Seconds of Unicorn, which counts nothing."""
    made = Uc(UC_ARCH_ARM, UC_MODE_THUMB)
    made.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_M7)
    _, code, done = program(PASSES)
    made.mem_map(0, SIZE)
    made.mem_write(0, code)
    made.mem_map(RAM, SIZE)
    began = time.perf_counter()
    made.emu_start(int.from_bytes(code[4:8], "little"), done)
    return time.perf_counter() - began


def qemu() -> float:
    """Seconds of QEMU's board with a Cortex-M7; its start would count for a short loop."""

    def run(passes: int) -> float:
        with tempfile.NamedTemporaryFile() as elf:
            elf.write(program(passes)[0])
            elf.flush()
            began = time.perf_counter()
            subprocess.run(
                [QEMU, "-M", "mps2-an500", "-display", "none", "-monitor", "none", "-serial",
                 "none", "-semihosting-config", "enable=on,target=native", "-kernel", elf.name],
                check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            return time.perf_counter() - began

    return (run(10 * PASSES) - run(1)) / 10


def rates() -> dict[str, float]:
    """Million instructions a second of each, and this core's share of the others; without QEMU's
    where that is not installed."""
    millions = PASSES * PER_PASS / 1e6
    own = millions / core()
    found = {"core_per_s": own, "unicorn_per_s": millions / unicorn()}
    found["of_unicorn"] = own / found["unicorn_per_s"]
    if shutil.which(QEMU):
        found["qemu_per_s"] = millions / qemu()
        found["of_qemu"] = own / found["qemu_per_s"]
    return found

"""Small programs for the core, assembled by arm-none-eabi-gcc."""

import array
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from omvsim.engine.unicorn import Core
from omvsim.peripherals.base import MODELLED, WRITE_HOOK

FLASH, RAM, DEVICE = 0x08000000, 0x20000000, 0x40000000

VECTORS = """
    .syntax unified
    .thumb
    .section .text
    .word 0x20008000
    .irp name, reset, nmi, hardfault, memmanage, busfault, usagefault, 0, 0, 0, 0, svc, 0, 0, \
pendsv, systick, irq0, irq1, irq2
    .ifc \\name,0
    .word 0
    .else
    .weak \\name
    .word \\name
    .endif
    .endr
"""


class Program:
    """A core with 64 KiB of flash and RAM and one device word that records writes."""

    def __init__(self, code: bytes) -> None:
        self.unmodelled: list[tuple[int, int, bool, int, int]] = []
        self.flash_writes: list[tuple[int, int, int]] = []
        self.writes: list[int] = []
        self.queue: list[int] = []
        self.core = Core(
            lambda *access: self.unmodelled.append(access),
            lambda *store: self.flash_writes.append(store),
        )
        self.core.map_memory(FLASH, bytearray(code.ljust(0x10000, b"\xff")), flash=True, code=True)
        self.core.map_memory(RAM, bytearray(0x10000))
        self.mem = array.array("I", [0] * 4)
        self.flags = array.array("I", [MODELLED | WRITE_HOOK, MODELLED, MODELLED, 0])
        self.on_write: Callable[[int, int, int], object] = lambda offset, value, size: (
            self.writes.append(value)
        )
        self.core.map_device(
            DEVICE, 16, self.mem, array.array("I", [~0 & 0xFFFFFFFF] * 4),
            array.array("I", [0, 0, 0xFF, 0]), self.flags,
            lambda offset, size: 0, self.device_write, self.queue,
        )  # fmt: skip
        assert self.core.reset(FLASH)

    def device_write(self, offset: int, value: int, size: int) -> None:
        self.on_write(offset, value, size)

    def run(self, clocks: int = 10_000) -> str:
        return self.core.run(self.core.now + clocks)

    def word(self, address: int) -> int:
        return int.from_bytes(self.core.read(address, 4), "little")


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Program]:
    def build(source: str) -> Program:
        text, elf, binary = tmp_path / "p.s", tmp_path / "p.elf", tmp_path / "p.bin"
        text.write_text(VECTORS + source)
        subprocess.run(
            ["arm-none-eabi-gcc", "-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-d16",
             "-nostdlib", f"-Wl,-Ttext=0x{FLASH:x}", "-Wl,-e,0", "-o", elf, text],
            check=True,
        )  # fmt: skip
        subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", elf, binary], check=True)
        return Program(binary.read_bytes())

    return build

"""A NOR flash on SPI, by the commands that all makers share (JESD216), as Macronix's MX25L12833F
has them: identification, status, reads, page program, erase.

Not modelled: protection, SFDP, suspending, one-time programmable areas. While it is busy all but a
read of the status is ignored.
"""

from __future__ import annotations

from omvsim.peripherals.base import Component, Machine, Memory

WIP, WEL = 1, 2  # of the status register
PAGE = 256
#: typical, in ns: program a page, write the status register, erase 4, 32 and 64 KiB
PROGRAM_NS, STATUS_NS = 250_000, 10_000_000
ERASE_NS = {0x1000: 25_000_000, 0x8000: 140_000_000, 0x10000: 250_000_000}
READS = frozenset((0x03, 0x13, 0x0B, 0x0C, 0x3B, 0x3C, 0x6B, 0x6C, 0xBB, 0xBC, 0xEB, 0xEC))
PROGRAMS = frozenset((0x02, 0x12, 0x32, 0x34, 0x38, 0x3E))
ERASES = {0x20: 0x1000, 0x21: 0x1000, 0x52: 0x8000, 0x5C: 0x8000, 0xD8: 0x10000, 0xDC: 0x10000}
WRSR, RDSR, WREN, WRDI, RDCR, RDCR_MACRONIX, RDID = 0x01, 0x05, 0x06, 0x04, 0x35, 0x15, 0x9F
CHIP_ERASES = (0x60, 0xC7)


class SpiFlash(Component):
    """SPI.GenericSpiFlash: its cells are `underlyingMemory`, which also shows them to the bus."""

    def __init__(
        self, machine: Machine, *, underlyingMemory: Memory, manufacturerId: int, memoryType: int
    ) -> None:  # fmt: skip
        super().__init__(machine)
        self.memory = underlyingMemory
        self.memory.data[:] = b"\xff" * self.memory.size
        self.id = bytes((manufacturerId, memoryType, self.memory.size.bit_length() - 1))
        self._enabled = False  # WEL
        self._status = self._configuration = 0
        self._free_at = 0  # ns

    @property
    def status(self) -> int:
        busy = self.machine.now < self._free_at
        return self._status & ~3 | (WEL if self._enabled else 0) | (WIP if busy else 0)

    def read(self, instruction: int, address: int, offset: int, count: int) -> bytes:
        """`count` bytes, `offset` behind the first that an instruction gives."""
        if instruction == RDSR:  # what drivers wait with: often
            return bytes((self.status,)) * count
        if instruction in (RDCR, RDCR_MACRONIX):
            return bytes((self._configuration,)) * count
        if self.status & WIP:
            return b"\xff" * count
        if instruction == RDID:
            return bytes(self.id[(offset + n) % len(self.id)] for n in range(count))
        if instruction not in READS:
            return b"\xff" * count
        data, size, start = self.memory.data, self.memory.size, address + offset
        return bytes(data[(start + n) % size] for n in range(count))

    def write(self, instruction: int, address: int, data: bytes) -> None:
        """An instruction without data, or with these."""
        if self.status & WIP:
            return
        if instruction in (WREN, WRDI):
            self._enabled = instruction == WREN
        elif self._enabled and self._change(instruction, address % self.memory.size, data):
            self._enabled = False

    def _change(self, instruction: int, address: int, data: bytes) -> bool:
        cells, size = self.memory.data, ERASES.get(instruction, 0)
        if instruction in PROGRAMS:
            page = address & -PAGE
            for n, byte in enumerate(data):  # which goes on at the page's start
                cells[page + (address + n) % PAGE] &= byte
            self._busy(PROGRAM_NS)
        elif size:
            first = address & -size
            cells[first : first + size] = b"\xff" * size
            self._busy(ERASE_NS[size])
        elif instruction in CHIP_ERASES:
            cells[:] = b"\xff" * len(cells)
            self._busy(len(cells) // 0x10000 * ERASE_NS[0x10000])
        elif instruction == WRSR and data:
            self._status, self._configuration = (*data, self._configuration)[:2]
            self._busy(STATUS_NS)
        else:
            return False
        return True

    def _busy(self, nanoseconds: int) -> None:
        self._free_at = self.machine.now + nanoseconds

"""Embedded flash memory (RM0433 section 4): unlock, erase, program, both banks.

Durations are typical values of DS12110 table 53 at the parallelism of PSIZE. Banks are swapped by a
system reset, their registers with them, so that their contents change places. Not modelled: the CRC
unit, protected and secure areas, ECC on reads (programming a flash word twice reports DBECCERR at
once).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from omvsim.peripherals.base import (
    Handle,
    Line,
    Machine,
    Memory,
    Part,
    Peripheral,
    Reg,
    RegArray,
    RegView,
    bit,
    bits,
)

KEYS = (0x45670123, 0xCDEF89AB)
OPTION_KEYS = (0x08192A3B, 0x4C5D6E7F)
SECTOR, SECTORS, WORD_BYTES = 0x20000, 8, 32
#: by PSIZE (8, 16, 32, 64 bits), in ns: program a flash word, erase a sector, erase a bank
PROGRAM_NS = (290_000, 180_000, 130_000, 100_000)
SECTOR_NS = (2_000_000_000, 1_800_000_000, 1_100_000_000, 1_000_000_000)
BANK_NS = (13_000_000_000, 8_000_000_000, 6_000_000_000, 5_000_000_000)
OPTION_NS = 1_000_000_000

BSY, WBNE, QW = 1, 2, 4
EOP, WRPERR, PGSERR, STRBERR, INCERR = (1 << n for n in (16, 17, 18, 19, 21))
DBECCERR = 1 << 26
SWAP_BANK = 1 << 31  # of OPTCR; SWAP_BANK_OPT of OPTSR
FLAGS = 0x1FEF0000


class Bank(Part):
    """One bank: its key sequence, its write buffer and what it is busy with."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.running: list[Handle] = []
        self.reset()

    def reset(self) -> None:
        for operation in self.running:
            operation.cancel()
        self.running.clear()
        self.erasing = False  # START stays set until the end
        self.free_at = 0  # when the last operation of the queue ends, in ns
        self.keys = 0  # keys accepted so far
        self.blocked = False  # a wrong key locks until the next reset
        self.word = -1  # offset of the flash word in the buffer
        self.buffer = bytearray(b"\xff" * WORD_BYTES)
        self.written = 0  # bytes of the buffer that were stored, a bit for each

    def clear_buffer(self) -> None:
        self.word, self.written = -1, 0
        self.buffer[:] = b"\xff" * WORD_BYTES


class Flash(Peripheral):
    acr = RegArray(0x00, 2, reset=0x37, stride=0x100, latency=bits(0, 4), wrhighfreq=bits(4, 2))
    keyr = RegArray(0x04, 2, stride=0x100, access="w")
    optkeyr = RegArray(0x08, 2, stride=0x100, access="w")
    cr = RegArray(
        0x0C, 2, reset=0x31, stride=0x100, lock=bit(0), pg=bit(1), ser=bit(2), ber=bit(3),
        psize=bits(4, 2), fw=bit(6), start=bit(7), snb=bits(8, 3), crc_en=bit(15),
        interrupts=bits(16, 13),
    )  # fmt: skip
    sr = RegArray(0x10, 2, stride=0x100, access="r")
    ccr = RegArray(0x14, 2, stride=0x100, access="w")
    optcr = RegArray(
        0x18, 2, reset=1, stride=0x100, optlock=bit(0), optstart=bit(1), mer=bit(4),
        optchangeerrie=bit(30), swap_bank=bit(31, "r"),
    )  # fmt: skip
    optsr_cur = RegArray(0x1C, 2, reset=0x1406AAF0, stride=0x100, access="r")
    optsr_prg = RegArray(0x20, 2, reset=0x1406AAF0, stride=0x100)
    optccr = RegArray(0x24, 2, stride=0x100, access="w")
    prar_cur = RegArray(0x28, 2, reset=0xFF, stride=0x100, access="r")
    prar_prg = RegArray(0x2C, 2, reset=0xFF, stride=0x100)
    scar_cur = RegArray(0x30, 2, reset=0xFF, stride=0x100, access="r")
    scar_prg = RegArray(0x34, 2, reset=0xFF, stride=0x100)
    wpsn_cur = RegArray(0x38, 2, reset=0xFF, stride=0x100, access="r")
    wpsn_prg = RegArray(0x3C, 2, reset=0xFF, stride=0x100, wrpsgn=bits(0, 8))
    boot_cur = Reg(0x40, reset=0x1FF00800, access="r")
    boot_prg = Reg(0x44, reset=0x1FF00800)

    def __init__(self, machine: Machine, *, flash1: Memory, flash2: Memory) -> None:
        super().__init__(machine)
        self.IRQ = Line()
        self.banks = (Bank(flash1), Bank(flash2))
        for bank in self.banks:
            bank.memory.data[:] = b"\xff" * bank.memory.size
        #: called after flash contents changed: (memory, offset, size)
        self.changed: Callable[[Memory, int, int], object] | None = None
        self._option_keys = 0
        self.swapped = 0  # SWAP_BANK as it is in effect

    @property
    def boot_address(self) -> int:
        """Where the core starts: BOOT_ADD0, as the boot pin is low (2.6)."""
        return self.boot_cur.value << 16 & 0xFFFFFFFF

    def reset(self) -> None:
        """Option bytes stay; a running operation is cut off and leaves the old contents."""
        kept = [(cur, prg, cur.value) for cur, prg in self._options()]
        super().reset()
        for cur, prg, value in kept:
            cur.value = prg.value = value
        for bank in self.banks:
            bank.reset()
        self._option_keys = 0
        if self.optsr_cur[0].value & SWAP_BANK != self.swapped:
            self._swap()
        self._set_optcr(1 | self.swapped)
        self._update_irq()

    def _swap(self) -> None:
        self.swapped ^= SWAP_BANK
        first, second = (bank.memory.data for bank in self.banks)
        first[:], second[:] = bytes(second), bytes(first)
        for bank in (0, 1):
            self._tell(bank, 0, self.banks[bank].memory.size)

    def _options(self) -> list[tuple[RegView, RegView]]:
        """Option registers in effect, and what programming them would make of them."""
        pairs = zip(self.optsr_cur + self.wpsn_cur, self.optsr_prg + self.wpsn_prg, strict=True)
        return [*pairs, (self.boot_cur, self.boot_prg)]

    # locks

    @keyr.on_write
    def _key(self, index: int, value: int) -> None:
        bank = self.banks[index]
        if bank.blocked or value != KEYS[bank.keys]:
            bank.blocked = True
            return
        bank.keys += 1
        if bank.keys == len(KEYS):
            bank.keys = 0
            self.cr[index].lock = 0

    @optkeyr.on_write
    def _option_key(self, value: int) -> None:
        if self._option_keys < 0 or value != OPTION_KEYS[self._option_keys]:
            self._option_keys = -1  # a wrong key locks until the next reset
            return
        self._option_keys += 1
        if self._option_keys == len(OPTION_KEYS):
            self._option_keys = 0
            self._set_optcr(self.optcr[0].value & ~1)

    def _set_optcr(self, value: int) -> None:
        for view in self.optcr:  # one register, seen at both banks
            view.value = value

    @optcr.on_write
    def _option_control(self, index: int, old: int) -> None:
        value = self.optcr[index].value
        if old & 1:
            value = old
        start = value >> 1 & 1
        self._set_optcr(value & ~2)
        if start:
            self._start(0, BSY, OPTION_NS, self._load_options)

    def _load_options(self) -> None:
        for cur, prg in self._options():
            cur.value = prg.value

    @cr.on_write
    def _control(self, index: int, old: int) -> None:
        cr = self.cr[index]
        if old & 1:
            cr.value = old
            return
        if cr.start and not self.sr[index].value & QW:
            self._erase(index)
        elif cr.fw:
            cr.fw = 0
            self._program(index)
        cr.start = self.banks[index].erasing
        self._update_irq()

    # operations

    def flash_write(self, bank: int, offset: int, value: int, size: int) -> None:
        """The CPU stores `size` bytes at `offset` of bank 0 or 1: into the write buffer."""
        cr, state = self.cr[bank], self.banks[bank]
        sector = offset // SECTOR
        if not cr.pg:
            self._fail(bank, PGSERR)
        elif not self.wpsn_cur[bank].value >> sector & 1:
            self._fail(bank, WRPERR)
        elif state.word not in (-1, offset & -WORD_BYTES):
            self._fail(bank, INCERR)
        else:
            state.word, start = offset & -WORD_BYTES, offset % WORD_BYTES
            stored = (1 << size) - 1 << start
            if state.written & stored:
                self._fail(bank, STRBERR)
                return
            state.written |= stored
            state.buffer[start : start + size] = value.to_bytes(size, "little")
            self.sr[bank].value |= WBNE
            if state.written == (1 << WORD_BYTES) - 1:
                self._program(bank)

    def _fail(self, bank: int, flag: int) -> None:
        """An error drops what the write buffer holds."""
        self.banks[bank].clear_buffer()
        self.sr[bank].value = self.sr[bank].value & ~WBNE | flag
        self._update_irq()

    def _program(self, bank: int) -> None:
        """Write the buffer to the cells; bytes that were not stored stay erased."""
        state = self.banks[bank]
        if state.word < 0:
            return
        word, data = state.word, bytes(state.buffer)
        state.clear_buffer()
        self.sr[bank].value &= ~WBNE
        done = partial(self._programmed, bank, word, data)
        self._start(bank, BSY | QW, PROGRAM_NS[self.cr[bank].psize], done)

    def _programmed(self, bank: int, word: int, data: bytes) -> None:
        cells = self.banks[bank].memory.data[word : word + WORD_BYTES]
        old = bytes(cells)
        if old.count(0xFF) != WORD_BYTES and old != data:
            self.sr[bank].value |= DBECCERR
            self.machine.log(f"flash word 0x{word:X} of bank {bank + 1} programmed twice")
        cells[:] = bytes(a & b for a, b in zip(old, data, strict=True))
        self._tell(bank, word, WORD_BYTES)

    def _erase(self, bank: int) -> None:
        cr, protection = self.cr[bank], self.wpsn_cur[bank].value
        if cr.ber:
            first, count, duration = 0, SECTORS, BANK_NS[cr.psize]
        elif cr.ser:
            first, count, duration = cr.snb, 1, SECTOR_NS[cr.psize]
        else:
            self._fail(bank, PGSERR)
            return
        wanted = ((1 << count) - 1) << first
        if protection & wanted != wanted:
            self._fail(bank, WRPERR)
            return
        self.banks[bank].erasing = True
        done = partial(self._erased, bank, first * SECTOR, count * SECTOR)
        self._start(bank, BSY | QW, duration, done)

    def _erased(self, bank: int, offset: int, size: int) -> None:
        self.banks[bank].erasing = False
        self.cr[bank].start = 0
        self.banks[bank].memory.data[offset : offset + size] = b"\xff" * size
        self._tell(bank, offset, size)

    def _start(self, bank: int, flags: int, duration: int, done: Callable[[], None]) -> None:
        """Run an operation, behind those that the bank still has in its queue."""
        state = self.banks[bank]
        self.sr[bank].value |= flags
        state.free_at = max(state.free_at, self.machine.now) + duration
        finish = partial(self._finish, bank, done)
        state.running.append(self.machine.schedule(state.free_at, finish))

    def _finish(self, bank: int, done: Callable[[], None]) -> None:
        running = self.banks[bank].running
        running.pop(0)
        done()
        if not running:
            self.sr[bank].value &= ~(BSY | QW)
        self.sr[bank].value |= EOP
        self._update_irq()

    def _tell(self, bank: int, offset: int, size: int) -> None:
        if self.changed:
            self.changed(self.banks[bank].memory, offset, size)

    @ccr.on_write
    def _clear(self, index: int, value: int) -> None:
        self.sr[index].value &= ~(value & FLAGS)
        self._update_irq()

    def _update_irq(self) -> None:
        self.IRQ.set(any(s.value & c.value & FLAGS for s, c in zip(self.sr, self.cr, strict=True)))

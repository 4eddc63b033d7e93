"""Flash controller, by RM0433 section 4; durations by DS12110."""

import pytest
from fake import Bus, FakeMachine
from omvsim.peripherals.base import Memory
from omvsim.peripherals.flash import Flash

KEYR, OPTKEYR, CR, SR, CCR, OPTCR, WPSN_CUR, WPSN_PRG = (
    0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x38, 0x3C,
)  # fmt: skip
OPTSR_CUR, OPTSR_PRG, BOOT_PRG = 0x1C, 0x20, 0x44
LOCK, PG, SER, BER, X64, FW, START, EOPIE = 1, 2, 4, 8, 3 << 4, 1 << 6, 1 << 7, 1 << 16
BSY, WBNE, QW, EOP, WRPERR, PGSERR, STRBERR, INCERR, DBECCERR = (
    1 << n for n in (0, 1, 2, 16, 17, 18, 19, 21, 26)
)
WORD = bytes(range(32))


class Chip:
    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.memory = [Memory(machine, size=0x100000) for _ in range(2)]
        self.flash = Flash(machine, flash1=self.memory[0], flash2=self.memory[1])
        self.bus = Bus(self.flash)
        self.changed: list[tuple[int, int, int]] = []
        self.flash.changed = lambda memory, offset, size: self.changed.append(
            (self.memory.index(memory), offset, size)
        )

    def unlock(self, bank: int = 0) -> None:
        self.bus.write(KEYR + 0x100 * bank, 0x45670123)
        self.bus.write(KEYR + 0x100 * bank, 0xCDEF89AB)

    def store(self, offset: int, data: bytes, bank: int = 0) -> None:
        for n in range(0, len(data), 4):
            value = int.from_bytes(data[n : n + 4], "little")
            self.flash.flash_write(bank, offset + n, value, 4)

    def program(self, offset: int, data: bytes) -> None:
        self.bus.write(CR, PG | X64)
        self.store(offset, data)
        self.machine.run(self.machine.now + 100_000)


@pytest.fixture
def chip(machine: FakeMachine) -> Chip:
    chip = Chip(machine)
    chip.unlock()
    return chip


def test_locked_until_both_keys(machine: FakeMachine) -> None:
    chip = Chip(machine)
    chip.bus.write(CR, PG)
    assert chip.bus.read(CR) == 0x31
    chip.unlock()
    chip.bus.write(CR, PG | X64)
    assert chip.bus.read(CR) == PG | X64
    assert chip.bus.read(CR + 0x100) & LOCK
    chip.bus.write(CR, LOCK)
    chip.bus.write(CR, PG)
    assert not chip.bus.read(CR) & PG


def test_a_wrong_key_locks_until_reset(machine: FakeMachine) -> None:
    chip = Chip(machine)
    chip.bus.write(KEYR, 0x12345678)
    chip.unlock()
    assert chip.bus.read(CR) & LOCK
    chip.flash.reset()
    chip.unlock()
    assert not chip.bus.read(CR) & LOCK


def test_program_takes_100_us_at_x64(chip: Chip) -> None:
    chip.bus.write(CR, PG | X64 | EOPIE)
    chip.store(0x40, WORD[:28])
    assert chip.bus.read(SR) == WBNE
    chip.store(0x5C, WORD[28:])
    assert chip.bus.read(SR) == BSY | QW
    chip.bus.write(CR, chip.bus.read(CR) | EOPIE)
    assert not chip.bus.read(CR) & START
    chip.machine.run(99_999)
    assert chip.memory[0].data[0x40:0x60] == b"\xff" * 32
    chip.machine.run(100_000)
    assert chip.memory[0].data[0x40:0x60] == WORD
    assert chip.bus.read(SR) == EOP
    assert chip.flash.IRQ.level
    assert chip.changed == [(0, 0x40, 32)]
    chip.bus.write(CCR, EOP)
    assert chip.bus.read(SR) == 0
    assert not chip.flash.IRQ.level


def test_force_write_completes_with_ones(chip: Chip) -> None:
    chip.bus.write(CR, PG | X64)
    chip.store(0, b"abcd")
    chip.bus.write(CR, PG | X64 | FW)
    chip.machine.run(100_000)
    assert chip.memory[0].data[:32] == b"abcd" + b"\xff" * 28
    assert not chip.bus.read(CR) & FW


def test_sector_erase(chip: Chip) -> None:
    chip.memory[0].data[0x1FFFF:0x40001] = bytes(0x20002)
    chip.bus.write(CR, SER | X64 | 1 << 8)
    chip.bus.write(CR, SER | X64 | 1 << 8 | START)
    assert chip.bus.read(SR) & QW
    assert chip.bus.read(CR) & START
    chip.machine.run(999_999_999)
    assert chip.bus.read(SR) & QW
    chip.machine.run(1_000_000_000)
    assert chip.bus.read(SR) == EOP
    assert not chip.bus.read(CR) & START
    assert chip.memory[0].data[0x20000:0x40000] == b"\xff" * 0x20000
    assert chip.memory[0].data[0x1FFFF] == 0
    assert chip.memory[0].data[0x40000] == 0
    assert chip.changed == [(0, 0x20000, 0x20000)]


def test_bank_erase_of_the_second_bank(chip: Chip) -> None:
    chip.unlock(1)
    chip.memory[0].data[:] = bytes(0x100000)
    chip.memory[1].data[:] = bytes(0x100000)
    chip.bus.write(CR + 0x100, BER | X64 | START)
    chip.machine.run(10**10)
    assert chip.memory[1].data == b"\xff" * 0x100000
    assert chip.memory[0].data == bytes(0x100000)
    assert chip.bus.read(SR) == 0
    assert chip.bus.read(SR + 0x100) == EOP


def test_store_without_pg(chip: Chip) -> None:
    chip.store(0, b"abcd")
    assert chip.bus.read(SR) == PGSERR


def test_store_outside_the_flash_word(chip: Chip) -> None:
    chip.bus.write(CR, PG)
    chip.store(0x1C, b"abcdefgh")
    assert chip.bus.read(SR) == INCERR


def test_a_byte_stored_twice(chip: Chip) -> None:
    chip.bus.write(CR, PG)
    chip.store(0, b"abcd")
    chip.store(0, b"abcd")
    assert chip.bus.read(SR) == STRBERR


def test_programming_a_word_twice_breaks_its_ecc(chip: Chip) -> None:
    chip.program(0, WORD)
    chip.program(0, WORD)
    assert not chip.bus.read(SR) & DBECCERR  # the same bits give the same ECC
    chip.program(0, WORD[::-1])
    assert chip.bus.read(SR) & DBECCERR
    expected = bytes(a & b for a, b in zip(WORD, WORD[::-1], strict=True))
    assert chip.memory[0].data[:32] == expected


def test_write_protection_by_option_bytes(chip: Chip) -> None:
    chip.bus.write(OPTKEYR, 0x08192A3B)
    chip.bus.write(OPTKEYR, 0x4C5D6E7F)
    assert chip.bus.read(OPTCR) == 0
    chip.bus.write(WPSN_PRG, 0xFE)  # sector 0
    chip.bus.write(OPTCR, 2)
    chip.machine.run(2 * 10**9)
    assert chip.bus.read(WPSN_CUR) == 0xFE
    chip.bus.write(CR, SER | START)
    assert chip.bus.read(SR) & WRPERR
    chip.bus.write(CCR, WRPERR)
    chip.bus.write(CR, PG)
    chip.store(0, b"abcd")
    assert chip.bus.read(SR) & WRPERR
    chip.flash.reset()
    assert chip.bus.read(WPSN_CUR) == 0xFE


def test_a_reset_swaps_the_banks_and_their_registers(chip: Chip) -> None:
    """SWAP_BANK_OPT (4.3.13): what was bank 2 is at the address and behind the registers of 1."""
    chip.program(0, WORD)
    chip.bus.write(OPTKEYR, 0x08192A3B)
    chip.bus.write(OPTKEYR, 0x4C5D6E7F)
    chip.bus.write(OPTSR_PRG, chip.bus.read(OPTSR_CUR) | 1 << 31)
    chip.bus.write(BOOT_PRG, 0x1FF00810)
    chip.bus.write(OPTCR, 2)
    chip.machine.run(chip.machine.now + 2 * 10**9)
    assert chip.bus.read(OPTSR_CUR) >> 31 == 1
    assert bytes(chip.memory[0].data[:32]) == WORD  # until the reset
    assert chip.flash.boot_address == 0x08100000
    chip.changed.clear()
    chip.flash.reset()
    assert chip.bus.read(OPTCR) == 1 << 31 | LOCK
    assert [bytes(memory.data[:32]) for memory in chip.memory] == [b"\xff" * 32, WORD]
    assert chip.changed == [(0, 0, 0x100000), (1, 0, 0x100000)]
    chip.unlock()
    chip.program(0, WORD[::-1])
    assert bytes(chip.memory[0].data[:32]) == WORD[::-1]
    chip.flash.reset()
    assert bytes(chip.memory[1].data[:32]) == WORD


def test_reset_cuts_an_operation_off(chip: Chip) -> None:
    chip.bus.write(CR, PG | X64)
    chip.store(0, WORD)
    chip.flash.reset()
    chip.machine.run(10**9)
    assert chip.memory[0].data[:32] == b"\xff" * 32
    assert chip.bus.read(SR) == 0

"""Files in the camera's file system before it starts: FAT, as other images have it."""

import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from omvsim import filesystems, image
from omvsim.errors import UserError
from omvsim.filesystems import FileSystem

START = 0x08020000
SMALL = FileSystem("FAT", range(START, START + 0x20000, 512))
FILES = {"boot.py": b"import pyb\n" * 100, "lib/a long name.py": b"x", "ca.der": b"\0" * 2000}


def fat_files(disk: bytes) -> dict[str, bytes]:
    """The files of a FAT12 or FAT16 volume, by Microsoft's specification of FAT (1.03)."""
    size, cluster, reserved, count, roots, sectors, _, length = struct.unpack_from(
        "<HBHBHHBH", disk, 11
    )
    root = (reserved + count * length) * size
    data = root + roots * 32
    total = sectors or struct.unpack_from("<I", disk, 32)[0]
    table = disk[reserved * size :]
    wide = (total * size - data) // (cluster * size) >= 4085  # clusters, of FAT16

    def chain(number: int) -> bytes:
        content = b""
        while 2 <= number < (0xFFF8 if wide else 0xFF8):
            at = data + (number - 2) * cluster * size
            content += disk[at : at + cluster * size]
            if wide:
                number = struct.unpack_from("<H", table, number * 2)[0]
            else:
                pair = struct.unpack_from("<H", table, number + number // 2)[0]
                number = pair >> 4 if number & 1 else pair & 0xFFF
        return content

    def walk(directory: bytes, path: str) -> dict[str, bytes]:
        found, long = {}, ""
        for n in range(0, len(directory), 32):
            entry = directory[n : n + 32]
            if entry[0] == 0:
                break
            if entry[11] == 0x0F:
                part = (entry[1:11] + entry[14:26] + entry[28:32]).decode("utf-16-le")
                long = part.split("\0")[0] + long
                continue
            short = entry[:8].decode().rstrip() + "." + entry[8:11].decode().rstrip()
            name, long = path + (long or short.rstrip(".").lower()), ""
            first, length = struct.unpack_from("<HI", entry, 26)
            if entry[11] & 0x10 and not short.startswith("."):
                found |= walk(chain(first), f"{name}/")
            elif not entry[11] & 0x18:
                found[name] = chain(first)[:length]
        return found

    return walk(disk[root:data], "")


@pytest.mark.parametrize("sectors", [256, 1024, 8192, 16384])
def test_fat_holds_the_files(sectors: int) -> None:
    system = replace(SMALL, blocks=range(START, START + sectors * 512, 512))
    content = system.holding(FILES)
    assert fat_files(content.ljust(sectors * 512, b"\xff")) == FILES
    assert content[510:512] == b"\x55\xaa"
    assert len(content) < 100_000  # the rest is erased


def test_fat_is_the_same_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = SMALL.holding(FILES)
    monkeypatch.setattr(filesystems.fatfs.wrapper, "datetime", None)  # as at another time
    assert SMALL.holding(FILES) == first


@pytest.mark.parametrize(
    ("name", "size"), [("large.bin", 1 << 17), ("n" * 300, 1), ("nul\0inside", 1), ("a:b?", 1)]
)
def test_what_does_not_fit_is_one_line(name: str, size: int) -> None:
    with pytest.raises(UserError, match=r"\A[^\n]*\Z") as caught:
        SMALL.holding({"first.py": b"x", name: b"x" * size})
    assert str(caught.value).startswith(f"[camera.files] {name!r}: ")


def elf(tmp_path: Path, *symbols: str) -> bytes:
    (tmp_path / "a.s").write_text("nop\n")
    subprocess.run(
        ["arm-none-eabi-gcc", "-nostdlib", "-mcpu=cortex-m7", "-mthumb", "-Wl,-e0",
         *(f"-Wl,--defsym={symbol}" for symbol in symbols), "a.s", "-o", "a.elf"],
        cwd=tmp_path, check=True, stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip
    return (tmp_path / "a.elf").read_bytes()


NAME = "_micropy_hw_internal_flash_storage"


def test_where_an_image_has_its_file_system(tmp_path: Path) -> None:
    assert filesystems.of_elf(elf(tmp_path)) is None
    both = (f"{NAME}_start=0x08020000", f"{NAME}_end=0x08040000")
    assert filesystems.of_elf(elf(tmp_path, *both)) == SMALL
    assert filesystems.of_elf(elf(tmp_path, both[0])) is None
    on_qspi = FileSystem("FAT", range(0x90000000, 0x90400000, 512))
    assert filesystems.of_elf(elf(tmp_path, *both, "spi_bdev=0x20001d4c")) == on_qspi
    with pytest.raises(ValueError, match="0x8040000 to 0x8020000 is no file system"):
        filesystems.of_elf(elf(tmp_path, f"{NAME}_start=0x08040000", f"{NAME}_end=0x08020000"))


def test_a_board_without_that_memory_gets_them_later(tmp_path: Path) -> None:
    elf(tmp_path, "spi_bdev=0x20001d4c")
    loaded = image.load(tmp_path / "a.elf")
    assert not loaded.own
    assert image.holding(loaded, FILES, [range(0x08000000, 0x08200000)]) is None
    held = image.holding(loaded, FILES, [range(0x90000000, 0x91000000)])
    assert held
    assert [address for address, _ in held.added] == [0x90000000]

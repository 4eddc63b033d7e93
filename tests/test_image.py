"""The files that firmware comes in, by what objcopy makes of one image."""

from __future__ import annotations

import re
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from omvsim import board as repl
from omvsim import formats
from omvsim import image as images
from omvsim.engine import Stop
from omvsim.engine import choice as engines
from omvsim.errors import UserError
from omvsim.evidence.places import function_at, place_at
from omvsim.testbed import BOARD

START = 0x08000000


@pytest.fixture
def built(image: Path, tmp_path: Path) -> Path:
    """A folder with firmware.elf, .bin and .hex, by objcopy."""
    (tmp_path / "firmware.elf").write_bytes(image.read_bytes())
    for kind, name in (("binary", "firmware.bin"), ("ihex", "firmware.hex")):
        subprocess.run(["arm-none-eabi-objcopy", "-O", kind, image, tmp_path / name], check=True)
    return tmp_path


def flash(path: Path | str, size: int) -> bytes:
    """What lies in the flash then, the gaps as objcopy fills them."""
    content = bytearray(size)
    for address, data in images.load(Path(path)).segments:
        content[address - START : address - START + len(data)] = data
    return bytes(content)


def dfuse(*targets: list[tuple[int, bytes]], crc: int | None = None) -> bytes:
    """By UM0391: DFU prefix, targets with their elements, DFU suffix."""
    made = b""
    for number, elements in enumerate(targets):
        body = b"".join(struct.pack("<II", at, len(data)) + data for at, data in elements)
        name = b"ST...".ljust(255, b"\0")
        made += struct.pack("<6sBI255sII", b"Target", number, 1, name, len(body), len(elements))
        made += body
    made = struct.pack("<5sBIB", b"DfuSe", 1, 11 + len(made), len(targets)) + made
    made += struct.pack("<HHHH3sB", 0, 0xDF11, 0x0483, 0x011A, b"UFD", 16)
    return made + struct.pack("<I", ~zlib.crc32(made) & 0xFFFFFFFF if crc is None else crc)


def test_each_format_loads_the_same(built: Path) -> None:
    content = (built / "firmware.bin").read_bytes()
    half = len(content) // 2
    (built / "firmware.dfu").write_bytes(
        dfuse([(START, content[:half])], [(START + half, content[half:])])
    )
    (built / "head.bin").write_bytes(content[:half])
    (built / "tail.bin").write_bytes(content[half:])
    for name in (
        "firmware.elf", "firmware.hex", "firmware.dfu", "firmware.bin@0x08000000",
        f"head.bin@0x08000000,{built}/tail.bin@{START + half:#x}",
    ):  # fmt: skip
        assert flash(f"{built}/{name}", len(content)) == content, name


def test_a_camera_runs_from_each(built: Path, omvsim) -> None:
    content = (built / "firmware.bin").read_bytes()
    (built / "firmware.dfu").write_bytes(dfuse([(START, content)]))
    (built / "hello.py").write_text("print('hello')")
    for name in ("firmware.hex", "firmware.dfu", "firmware.bin@0x08000000"):
        done = omvsim("run", "-q", "--out", built / "out", "--firmware", built / name,
                      built / "hello.py")  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
        assert omvsim("replay", built / "out").returncode == 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b":10000000FF\n", "a damaged Intel HEX file (Record at line 1 has invalid length)"),
        (b":0100000001FD\n", "a damaged Intel HEX file (Record at line 1 has invalid checksum)"),
        (b":00000001FF\n", "an Intel HEX file without data"),
        (b":020000040800F2\n:0100000001FE\n:0100000002FD\n", "a damaged Intel HEX file (Hex file "
         "has data overlap at address 0x8000000 on line 3"),
        (dfuse([(START, b"abcd")], crc=1), "a damaged DfuSe file (its CRC is 0x"),
        (dfuse([(START, b"abcd")])[:-20], "a damaged DfuSe file (it is cut short)"),
        (dfuse([(START, b"abcd")]).replace(b"UFD", b"UFO"), "a damaged DfuSe file (no suffix"),
        (dfuse([(START, b"abcd"), (START + 2, b"ab")]), f"X and X both fill 0x{START + 2:08X}"),
        (dfuse([(0xFFFFFFFF, b"abcd")]), "a damaged DfuSe file (an element of 4 bytes at byte"),
        (b"\x00\x80\x00\x20", "no ELF, Intel HEX or DfuSe file: of plain bytes write the address"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_told_in_a_line(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "firmware"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"\A[^\n]*\Z") as caught:
        images.load(path)
    complaint = str(caught.value).replace(str(path), "X")
    assert complaint.removeprefix("X: ").startswith(told)


def test_a_name_with_a_comma_and_an_address(built: Path) -> None:
    path = built / "a,b.bin@0x08000000"
    (built / "firmware.elf").rename(path)
    assert images.load(path).segments == images.load(path.rename(built / "c.elf")).segments
    (built / "c.elf").rename(path)
    assert images.resolved(path) == str(path)


def test_files_that_overlap(built: Path) -> None:
    with pytest.raises(UserError) as caught:
        images.load(Path(f"{built}/firmware.elf,{built}/firmware.bin@0x08010000"))
    assert str(caught.value) == (
        f"{built}/firmware.elf and {built}/firmware.bin both fill 0x08010000: take one of them"
    )


LOOP = struct.pack("<IIHH", 0x20001000, 0, 0xBF30, 0xE7FD)  # stack, reset; wfi, back to it


@pytest.mark.parametrize("start", [0x08000000, 0x08040000, 0x080FFFF0])
def test_an_application_starts_without_its_bootloader(start: int, tmp_path: Path) -> None:
    """At its own vector table; over both banks of the flash, too."""
    content = bytearray(LOOP + bytes(1 << 19))
    struct.pack_into("<I", content, 4, start + 9)
    (tmp_path / "app.bin").write_bytes(content)
    image = images.load(Path(f"{tmp_path}/app.bin@0x{start:08X}"))
    images.check_vectors(image, repl.load(BOARD).memories)
    engine = engines.make("embedded", repl.load(BOARD), image, 1, None)
    assert engine.run(1_000_000) is Stop.DEADLINE
    assert engine.instructions == 1
    assert engine.memory(start, 16) == bytes(content[:16])
    end = start + len(content)
    assert engine.memory(end - 1, 1) == b"\0"
    assert engine.memory(end, 1) == b"\xff"
    engine.reset()
    assert engine.run(2_000_000) is Stop.DEADLINE
    assert engine.instructions == 2


def test_bytes_without_a_vector_table_start_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.bin").write_bytes(b"no vectors here, just text")
    image = images.load(Path(f"{tmp_path}/text.bin@0x08040000"))
    with pytest.raises(UserError, match="no vector table at 0x08000000, the image starts"):
        images.check_vectors(image, repl.load(BOARD).memories)


def test_bytes_beyond_the_end(built: Path) -> None:
    with pytest.raises(UserError, match="bytes at 0xFFFFFFF0 end beyond 32 bits"):
        images.load(Path(f"{built}/firmware.bin@0xFFFFFFF0"))


def test_functions_of_each_file_are_told(image: Path, tmp_path: Path) -> None:
    """A bootloader comes first, and faults are the application's."""
    more = tmp_path / "boot.elf"
    more.write_bytes(formats.elf([(0x081C0000, bytes(32))]))
    both = images.load(Path(f"{more},{image}"))
    assert both.elfs == (more, image)
    told = subprocess.run(
        ["arm-none-eabi-nm", image], capture_output=True, text=True, check=True
    ).stdout
    (at,) = re.findall(r"^(\w+) T gc_alloc$", told, re.MULTILINE)
    assert function_at(both.elfs, int(at, 16)) == "gc_alloc"
    assert re.fullmatch(r"gc_alloc \(gc\.c:\d+\)", place_at(both.elfs, int(at, 16)))

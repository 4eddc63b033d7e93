"""The files that firmware comes in: ELF, Intel HEX, DfuSe, and plain bytes with their address."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO, StringIO

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from intelhex import IntelHex, IntelHexError

from omvsim.errors import UserError

Segments = tuple[tuple[int, bytes], ...]  # (address, bytes)
HEADERS = 256  # program headers of an image, and many more
LARGEST_HEX = 1 << 25  # bytes of text, four times what an STM32H7's flash needs
#: what pyelftools raises on a damaged file
DAMAGE = (ELFError, LookupError, ValueError, struct.error)

# DfuSe (UM0391, ST's extension of USB DFU 1.1)
PREFIX, TARGET, ELEMENT = (
    struct.Struct("<5sBIB"),
    struct.Struct("<6sBI255sII"),
    struct.Struct("<II"),
)
SUFFIX = struct.Struct("<HHHH3sBI")


def read(content: bytes, address: int | None = None) -> Segments:
    """What a file loads, and where; plain bytes have an `address`. UserError says what is wrong
    with it, and nothing of its name."""
    if address is not None:
        if address + len(content) > 1 << 32:
            raise UserError(f"{len(content)} bytes at 0x{address:08X} end beyond 32 bits")
        return ((address, content),)
    if content[:4] == b"\x7fELF":
        return _elf(content)
    if content[:1] == b":":
        return _hex(content)
    if content[:5] == b"DfuSe":
        return tuple(_dfuse(content))
    raise UserError(
        "no ELF, Intel HEX or DfuSe file: of plain bytes write the address, FILE@0x08000000"
    )


def _elf(content: bytes) -> Segments:
    try:
        elf = ELFFile(BytesIO(content))
        if elf.header.e_machine != "EM_ARM" or elf.elfclass != 32 or not elf.little_endian:
            raise UserError(
                f"built for {elf.get_machine_arch()}, {elf.elfclass} bits: needs 32-bit "
                "little-endian ARM (arm-none-eabi-gcc)"
            )
        if elf.num_segments() > HEADERS:
            raise UserError(
                f"{elf.num_segments()} program headers, not the few of an image: build it again"
            )
        found = [
            segment
            for segment in elf.iter_segments()
            if segment.header.p_type == "PT_LOAD" and segment.header.p_filesz
        ]
        if any(s.header.p_offset + s.header.p_filesz > len(content) for s in found):
            raise UserError("the file is truncated: build or copy the image again")
        if not found:
            raise UserError("nothing to load: link the image to an executable")
        return tuple((segment.header.p_paddr, segment.data()) for segment in found)
    except DAMAGE as error:
        raise UserError(f"a damaged ELF file ({error}): build the image again") from None


def _hex(content: bytes) -> Segments:
    if len(content) > LARGEST_HEX:
        raise UserError(
            f"an Intel HEX file of more than {LARGEST_HEX >> 20} MB: no image is so long"
        )
    image = IntelHex()
    try:
        image.loadhex(StringIO(content.decode("ascii")))
    except (IntelHexError, ValueError) as error:
        raise UserError(f"a damaged Intel HEX file ({error}): build the image again") from None
    if not len(image):
        raise UserError("an Intel HEX file without data: build the image again")
    return tuple(
        (start, image.tobinstr(start=start, size=end - start)) for start, end in image.segments()
    )


def _dfuse(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Of all targets: an alternate setting is another memory of the device, at its address."""
    damaged = "a damaged DfuSe file ({}): build or copy it again"
    try:
        _, version, size, targets = PREFIX.unpack_from(content)
        *_, signature, length, crc = SUFFIX.unpack_from(content, size)
        if version != 1 or (signature, length) != (b"UFD", SUFFIX.size):
            raise UserError(damaged.format("no suffix where its size says"))
        told = ~zlib.crc32(content[: size + SUFFIX.size - 4]) & 0xFFFFFFFF
        if told != crc:
            raise UserError(damaged.format(f"its CRC is 0x{told:08X}, the suffix says 0x{crc:08X}"))
        at = PREFIX.size
        for _ in range(targets):
            signature, _, _, _, _, elements = TARGET.unpack_from(content, at)
            if signature != b"Target":
                raise UserError(damaged.format(f"no target at byte {at}"))
            at += TARGET.size
            for _ in range(elements):
                address, length = ELEMENT.unpack_from(content, at)
                at += ELEMENT.size
                if at + length > size or address + length > 1 << 32:
                    raise UserError(damaged.format(f"an element of {length} bytes at byte {at}"))
                yield address, content[at : at + length]
                at += length
    except struct.error:
        raise UserError(damaged.format("it is cut short")) from None


def elf(segments: Segments) -> bytes:
    """An ELF file that loads them, for programs that read no other (gABI chapters 4 and 5)."""
    header, entry = struct.Struct("<4s5B7xHHIIIIIHHHHHH"), struct.Struct("<8I")
    offset = header.size + len(segments) * entry.size
    made = header.pack(
        b"\x7fELF", 1, 1, 1, 0, 0, 2, 40, 1, 0, header.size, 0, 0x05000000, header.size,
        entry.size, len(segments), 0, 0, 0,
    )  # fmt: skip
    for address, content in segments:
        made += entry.pack(1, offset, address, address, len(content), len(content), 7, 4)
        offset += len(content)
    return made + b"".join(content for _, content in segments)

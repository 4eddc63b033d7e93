"""[camera.files]: in the camera's littlefs before it starts, as one flashes both."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from omvsim import image as images
from omvsim.errors import UserError
from omvsim.testbed import Testbed

from netsim import scenario as scenarios

LARGE = bytes(range(256)) * 20  # more than a block
SCENARIO = """\
[camera]
link = false
[camera.files]
"main.py" = { text = "print(open('/lib/deep/a.txt').read())" }
"lib/deep/a.txt" = { text = "from the start" }
"large.bin" = { path = "large.bin" }
"""


@pytest.fixture
def world(tmp_path: Path) -> scenarios.Scenario:
    (tmp_path / "large.bin").write_bytes(LARGE)
    (tmp_path / "world.toml").write_text(SCENARIO)
    return scenarios.load(tmp_path / "world.toml")


def test_they_are_there_when_it_boots(world: scenarios.Scenario, image: Path) -> None:
    with Testbed(image, world) as testbed:
        testbed.boot()
        assert testbed.console.count(b"from the start\r\n") == 1
        testbed.exec("with open('new.txt', 'w') as f: f.write('x' * 500)\nimport os\n"
                     "os.remove('main.py')")  # fmt: skip
        testbed.soft_reset()
        assert testbed.get("large.bin") == LARGE
        assert testbed.get("new.txt") == b"x" * 500
        assert testbed.exec("import os\nprint(sorted(os.listdir()))").strip() == (
            "['large.bin', 'lib', 'new.txt']"
        )


def test_an_image_that_does_not_tell_gets_them_by_the_repl(
    world: scenarios.Scenario, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert images.load(image).own
    loaded = replace(images.load(image), files=None)
    monkeypatch.setattr(images, "load", lambda path: loaded)
    flat = replace(world.camera, files={"large.bin": world.camera.files["large.bin"]})
    with Testbed(image, replace(world, camera=flat)) as testbed:
        testbed.boot()
        assert testbed.get("large.bin") == LARGE


@pytest.mark.parametrize(
    ("name", "size"), [("large.bin", 1 << 20), ("n" * 256, 1), ("nul\0inside", 1), ("lib/", 1)]
)
def test_what_fits_no_littlefs_is_one_line(name: str, size: int, image: Path) -> None:
    with pytest.raises(UserError) as caught:
        images.holding(images.load(image), {name: b"x" * size}, [range(1 << 32)])
    assert str(caught.value).startswith(f"[camera.files] {name!r}: ")


@pytest.mark.parametrize(
    "words",
    [(0x08100000, 1 << 20, 0), (0x08100000, 1 << 30, 4096), (0x08100000, 100, 4096), (1, 2, 3)],
)
def test_a_section_that_says_nonsense(
    words: tuple[int, int, int], image: Path, tmp_path: Path
) -> None:
    content = bytearray(image.read_bytes())
    with image.open("rb") as file:
        offset = ELFFile(file).get_section_by_name(".littlefs").header.sh_offset
    struct.pack_into("<3I", content, offset, *words)
    (tmp_path / "fw.elf").write_bytes(content)
    with pytest.raises(UserError, match=r"fw\.elf: a damaged ELF file \(\.littlefs: "):
        images.load(tmp_path / "fw.elf")

"""--flash: what the firmware has written to its flash is there in the next run."""

from __future__ import annotations

import fcntl
from pathlib import Path

from program import Run

SIZE = 2 << 20


def test_a_file_survives(omvsim: Run, tmp_path: Path, image: Path) -> None:
    write, read = tmp_path / "write.py", tmp_path / "read.py"
    write.write_text("with open('a.txt', 'w') as f: f.write('kept')")
    read.write_text("print(open('a.txt').read())")
    flash = tmp_path / "flash.bin"
    for script, told in ((write, ""), (read, "kept\n"), (read, "kept\n")):
        done = omvsim("run", "-q", "--flash", flash, "--out", tmp_path / "out", script)
        assert (done.returncode, done.stdout) == (0, told), done.stderr
        assert flash.stat().st_size == SIZE
    done = omvsim("replay", tmp_path / "out")
    assert done.returncode == 2
    assert "a file of --flash took part, which cannot be repeated" in done.stderr


def test_it_holds_what_the_flash_holds(omvsim: Run, tmp_path: Path, image: Path) -> None:
    script, flash = tmp_path / "script.py", tmp_path / "flash.bin"
    script.write_text("import uctypes\nprint(uctypes.bytes_at(0x08000000, 64).hex())")
    done = omvsim("run", "-q", "--flash", flash, "--out", tmp_path / "out", script)
    assert done.stdout == flash.read_bytes()[:64].hex() + "\n"
    flash.write_bytes(b"\x11" * 64 + flash.read_bytes()[64:])  # the image is loaded over it
    again = omvsim("run", "-q", "--flash", flash, "--out", tmp_path / "out", script)
    assert again.stdout == done.stdout


def test_a_file_of_another_size(omvsim: Run, tmp_path: Path, image: Path, example: Path) -> None:
    flash = tmp_path / "flash.bin"
    flash.write_bytes(b"\xff" * 100)
    done = omvsim("run", "--flash", flash, example)
    assert (done.returncode, done.stderr) == (
        2, f"omvsim: {flash}: no flash of this board, which has {SIZE} bytes\n",
    )  # fmt: skip
    assert flash.read_bytes() == b"\xff" * 100


def test_a_file_in_use_and_a_link(omvsim: Run, tmp_path: Path, image: Path, example: Path) -> None:
    flash, link = tmp_path / "flash.bin", tmp_path / "link.bin"
    link.symlink_to(tmp_path / "elsewhere")
    with flash.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = omvsim("run", "--flash", flash, example)
    assert done.stderr == f"omvsim: {flash}: another run uses it: wait, or take a copy\n"
    done = omvsim("run", "--flash", link, example)
    assert done.returncode == 2
    assert done.stderr.startswith(f"omvsim: {link}: Too many levels of symbolic links")
    assert not (tmp_path / "elsewhere").exists()

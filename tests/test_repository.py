"""What DESIGN.md promises of the tree as a whole."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OMVSIM = ROOT / "renode/omvsim"
PERIPHERALS = sorted((OMVSIM / "peripherals").rglob("*.py"))
COMMANDS = [path for path in sorted((ROOT / "ci").iterdir()) if path.stat().st_mode & 0o111]
COMMANDS = [*filter(Path.is_file, COMMANDS), ROOT / "firmware/build"]
#: beginnings of built files: ELF, ar, DFU, UF2, and a C extension's or image's suffixes
MAGIC = (b"\x7fELF", b"!<arch>", b"DfuSe", b"UF2\n")
SUFFIXES = {".bin", ".elf", ".hex", ".dfu", ".so", ".o", ".a", ".mpy", ".map"}


def imports(path: Path) -> Iterator[str]:
    """Modules that a file names, with what it takes from them: a, a.b."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def tracked() -> list[Path]:
    """Files that git knows and that are there."""
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_test_imports_from_a_conftest() -> None:
    """There are several, and a run of several folders knows one of them by that name."""
    for path in (ROOT / "tests").rglob("*.py"):
        assert not [name for name in imports(path) if within(name, "conftest")], path


def test_one_file_knows_unicorn() -> None:
    """By an import, or by finding it to load its library."""
    users = {
        path.relative_to(OMVSIM).as_posix()
        for path in OMVSIM.rglob("*.py")
        if 'find_spec("unicorn")' in path.read_text()
        or any(within(name, "unicorn") for name in imports(path))
    }
    assert users == {"engine/unicorn.py"}


@pytest.mark.parametrize("path", PERIPHERALS, ids=lambda path: path.stem)
def test_peripherals_know_only_each_other(path: Path) -> None:
    for name in imports(path):
        assert within(name, "omvsim.peripherals", *sys.stdlib_module_names), name


def test_register_language_knows_no_peripheral() -> None:
    for name in imports(OMVSIM / "peripherals/base.py"):
        assert within(name, *sys.stdlib_module_names), name


def test_no_built_files_in_git() -> None:
    for path in tracked():
        with path.open("rb") as file:
            start = file.read(8)
        assert not start.startswith(MAGIC), path
        assert path.suffix not in SUFFIXES, path


def test_robot_is_no_package() -> None:
    """It would shadow Robot Framework's own `robot`."""
    assert not (ROOT / "robot/__init__.py").exists()


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_commands_answer_help(path: Path) -> None:
    done = subprocess.run(
        [path, "--help"], cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 1
    assert max(map(len, done.stdout.splitlines())) <= 100

"""Files that a scenario names lie below its folder."""

import os
from pathlib import Path

import pytest

from netsim import scenario as scenarios
from netsim.errors import ScenarioError
from netsim.paths import below, read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "inside"
    (inside / "deep").mkdir(parents=True)
    for path in (inside / "a.txt", inside / "deep/b.txt", tmp_path / "secret"):
        path.write_text("x")
    (inside / "in").symlink_to("deep")
    (inside / "out").symlink_to(tmp_path)
    (inside / "loop").symlink_to("loop")
    return inside


@pytest.mark.parametrize("name", ["a.txt", "deep/b.txt", "./a.txt", "in/b.txt", "new"])
def test_inside(folder: Path, name: str) -> None:
    assert below(folder, name) == folder / name


@pytest.mark.parametrize(
    "name",
    ["../secret", "deep/../../secret", "/etc/passwd", "out/secret", "out", "loop", "a\0b",
     "deep/../a.txt"],
)  # fmt: skip
def test_outside(folder: Path, name: str) -> None:
    with pytest.raises(ValueError):
        below(folder, name)


def test_a_file_is_read(folder: Path) -> None:
    assert read(folder / "in/b.txt") == b"x"
    assert read(folder / "a.txt", 1) == b"x"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none", "No such file or directory"), ("deep", "Is a directory"), ("", "Is a directory"),
        ("pipe", "no regular file"), ("/dev/zero", "no regular file"), ("a\0b", "null byte"),
        ("\ud800", "surrogate"), ("x" * 300, "File name too long"), ("loop", "symbolic links"),
        ("a.txt", "larger than 0 bytes"),
    ],
)  # fmt: skip
def test_what_is_no_file_is_an_os_error(folder: Path, name: str, told: str) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(OSError) as caught:
        read(folder / name, 0)
    assert told in str(caught.value.strerror)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[camera.files]\n"x" = { path = "NAME" }\n', "camera.files.x"),
        ('[certificates.x]\nfile = "NAME"\n', "certificates.x.file"),
        ('[certificates.x]\nkey_file = "NAME"\n', "certificates.x.key_file"),
    ],
)
@pytest.mark.parametrize("name", ["../secret", "out/secret"])
def test_a_scenario_reaches_out_only_if_it_may(
    folder: Path, text: str, key: str, name: str
) -> None:
    path = folder / "world.toml"
    path.write_text(text.replace("NAME", name))
    with pytest.raises(ScenarioError) as caught:
        scenarios.load(path)
    assert str(caught.value) == (
        f"{path}:2: {key}: {name} leads out of its folder, put it there or give --allow-outside"
    )
    scenarios.load(path, outside=True)

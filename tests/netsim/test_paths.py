"""Files that a scenario names lie below its folder."""

from pathlib import Path

import pytest

from netsim import scenario as scenarios
from netsim.errors import ScenarioError
from netsim.paths import below


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

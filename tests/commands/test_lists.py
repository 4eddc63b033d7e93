"""What there is to choose from, and pytest's options for it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from robot.libdocpkg import LibraryDocumentation

from netsim import scenario
from netsim.scenario import json_schema
from netsim.tls import dtls12_misdeeds, tls12_misdeeds

Run = Callable[..., subprocess.CompletedProcess[str]]


def listed(text: str) -> dict[str, str]:
    """Two columns, which two spaces part."""
    return dict(re.split(r"  +", line, maxsplit=1) for line in text.splitlines())


def test_scenarios(omvsim: Run) -> None:
    found = listed(omvsim("scenarios").stdout)
    assert list(found) == ["default", "expired", "unknown_ca", "wrong_name"]
    assert all(scenario.named(name) for name in found)
    assert found["expired"] == "The server's certificate was valid until a month before."


def test_the_schema_of_scenarios(omvsim: Run) -> None:
    assert json.loads(omvsim("scenarios", "--schema").stdout) == json_schema.scenario()


def test_misbehaviours_are_all(omvsim: Run) -> None:
    found = listed(omvsim("misbehaviours").stdout)
    for kind, module in (("tls", tls12_misdeeds), ("dtls", dtls12_misdeeds)):
        of_kind = [name for name, kinds in found.items() if kind in kinds.split(", ")]
        assert set(of_kind) == set(module.MISBEHAVIOURS)


def test_keywords_are_those_of_the_library(omvsim: Run) -> None:
    found = listed(omvsim("keywords").stdout)
    documented = LibraryDocumentation("omvsim.robotlib").keywords
    assert {name.lower() for name in found} == {keyword.name.lower() for keyword in documented}


def test_the_version(omvsim: Run) -> None:
    assert re.fullmatch(r"omvsim \d+\.\d+\.\d+\n", omvsim("--version").stdout)


def test_pytests_options_and_marker(tmp_path: Path, image: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.omvsim(scenario='expired', seed=7)\ndef test_it(camera):\n"
        "    assert camera.scenario.seed == 7\n"
        "def test_other(testbed):\n    assert testbed(seed=8).scenario.seed == 8\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "--basetemp", "base",
               "--omvsim-engine", "embedded", "test_it.py"]  # fmt: skip
    done = subprocess.run(
        [*command, f"--omvsim-firmware={image}"], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    result = json.loads((tmp_path / "base/test_it0/camera1/result.json").read_text())
    assert (result["scenario"], result["engine"]) == ("expired", "embedded")
    assert result["image_path"] == str(image)
    done = subprocess.run([*command, "--omvsim-firmware=nix.elf"], cwd=tmp_path, check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1 and "nix.elf: no such image: check the path" in done.stdout

"""ci/github.yml and ci/gitlab.yml: valid, and their commands run.

What cannot run here stands aside: the programs' package manager, the set-up, which would fetch
packages, and the compiler's minute. git and omvsim check are the real ones.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("ruamel.yaml", reason="ci/setup --test installs check-jsonschema")

ROOT = Path(__file__).resolve().parents[1]
IMAGE = ROOT / "build/firmware/openmv_h7.elf"
SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}
ASIDE = {
    "apt-get": "exit 0",
    "curl": 'while [ $# -gt 0 ]; do [ "$1" = --output ] && out=$2; shift; done\n'
    '[ -s "$BASELINE" ] && cp "$BASELINE" "$out"',
}
SETUP = f"#!/bin/sh\nln -sfn {ROOT}/.venv testbed/.venv\n"
BUILD = f"""#!/bin/sh
[ "$1" = --sources ] && [ -f "$2/py/mpconfig.h" ] && [ "$3" = --output ] || exit 2
mkdir -p "$4" && cp {IMAGE} "$4/openmv_h7.elf"
"""


def read(name: str) -> Any:
    return yaml.YAML(typ="safe").load((ROOT / f"ci/{name}.yml").read_text())


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_holds(name: str, tmp_path: Path) -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[name]]
    done = subprocess.run(
        [*check, ROOT / f"ci/{name}.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "broken.yml"
    broken.write_text((ROOT / f"ci/{name}.yml").read_text().replace("image: debian:12", "image: []")
                      .replace("runs-on:", "runs_on:"))  # fmt: skip
    assert subprocess.run([*check, broken], capture_output=True, check=False).returncode == 1


def commands(name: str) -> Iterator[str]:
    """The shell's part of a file, in its order."""
    if name == "github":
        for step in read(name)["jobs"]["check"]["steps"]:
            if "run" in step:
                yield step["run"]
    else:
        yield from read(name)["omvsim"]["before_script"]
        yield from read(name)["omvsim"]["script"]


def settings(name: str) -> dict[str, str]:
    found = read(name)["env"] if name == "github" else read(name)["omvsim"]["variables"]
    return {key: str(value) for key, value in found.items()}


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def testbed(tmp_path: Path) -> Path:
    """A repository with the testbed as it stands, but for what takes minutes."""
    if not IMAGE.exists():
        pytest.skip("no image: firmware/build makes it")
    clone = tmp_path / "testbed.git"
    done = subprocess.run(
        ["git", "clone", "-q", ROOT, clone], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    executable(clone / "ci/setup", SETUP)
    executable(clone / "firmware/build", BUILD)
    git = ["git", "-C", str(clone), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run([*git, "checkout", "-qB", "main"], check=True)
    subprocess.run([*git, "commit", "-qam", "aside"], check=True)
    return clone


def run(name: str, folder: Path, testbed: Path, baseline: Path) -> subprocess.CompletedProcess[str]:
    """A job in a folder of its own; the exit code of the first command that fails."""
    firmware = folder / ("firmware" if name == "github" else ".")
    (firmware / "py").mkdir(parents=True)
    (firmware / "py/mpconfig.h").touch()
    programs = folder / "programs"
    programs.mkdir()
    for program, text in ASIDE.items():
        executable(programs / program, f"#!/bin/bash\n{text}\n")
    if name == "github" and baseline.exists():
        shutil.copy(baseline, folder / "baseline.json")  # what actions/cache/restore does
    chosen = {
        "TESTBED": f"file://{testbed}",
        "CHECK_OPTIONS": "--suite constants.exist --jobs 1",
        "CI_PROJECT_DIR": str(folder), "CI_API_V4_URL": "https://gitlab.example/api/v4",
        "CI_JOB_TOKEN": "token", "CI_PROJECT_ID": "1", "CI_DEFAULT_BRANCH": "main",
        "BASELINE": str(baseline), "PATH": f"{programs}:{os.environ['PATH']}",
    }  # fmt: skip
    script = "\n".join(commands(name))
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script], cwd=folder, check=False,
        env=os.environ | settings(name) | chosen, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("name", SCHEMAS)
def test_renode_is_installed_where_it_is_the_engine(name: str, tmp_path: Path) -> None:
    """By renode-run, which stands aside here, as Renode does."""
    made = read(name)
    job = made["jobs"]["check"]["strategy"] if name == "github" else made["omvsim"]["parallel"]
    assert "renode" in str(job["matrix"])
    [command] = [text for text in commands(name) if "renode install" in text]
    programs = tmp_path / "testbed/.venv/bin"
    programs.mkdir(parents=True)
    for program in ("pip", "omvsim"):
        executable(programs / program, f'#!/bin/sh\necho "{program} $*" >> {tmp_path}/called\n')
    for engine in ("embedded", "renode"):
        subprocess.run(["bash", "-e", "-c", command], cwd=tmp_path, check=True,
                       env={**os.environ, "OMVSIM_ENGINE": engine})  # fmt: skip
        assert (tmp_path / "called").exists() == (engine == "renode")
    assert (tmp_path / "called").read_text() == (
        "pip install --quiet git+https://github.com/antmicro/renode-run\nomvsim renode install\n"
    )


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_commands_run(name: str, tmp_path: Path, testbed: Path) -> None:
    """First without a baseline, then with one that says otherwise."""
    first = run(name, tmp_path / "first", testbed, tmp_path / "none.json")
    assert first.returncode == 0, first.stdout + first.stderr
    made = tmp_path / "first/conformance/conformance.json"
    told = json.loads(made.read_text())
    assert told["counts"]["holds"] == 1
    assert (tmp_path / "first/conformance/junit.xml").exists()
    told["tests"][0]["passed"] = False
    made.write_text(json.dumps(told))
    second = run(name, tmp_path / "second", testbed, made)
    assert second.returncode == 1, second.stdout + second.stderr
    assert "fixed, compared with the baseline baseline.json" in second.stdout


def test_github_hands_its_result_on(tmp_path: Path, testbed: Path) -> None:
    run("github", tmp_path / "job", testbed, tmp_path / "none.json")
    assert (tmp_path / "job/baseline.json").read_bytes() == (
        tmp_path / "job/conformance/conformance.json"
    ).read_bytes()
    kept = read("github")["jobs"]["check"]["steps"][-1]
    assert kept["with"]["path"] == "conformance" and kept["if"] == "always()"


def test_gitlab_keeps_junit_and_report() -> None:
    artifacts = read("gitlab")["omvsim"]["artifacts"]
    assert artifacts["reports"]["junit"] == "conformance/junit.xml"
    assert artifacts["when"] == "always" and "conformance" in artifacts["paths"]

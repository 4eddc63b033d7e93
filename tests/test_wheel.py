"""What pip installs: the sdist is whole, and its wheel runs where no repository is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import pytest
from omvsim.image import DEFAULT

ROOT = Path(__file__).resolve().parents[1]
BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""


def built(kind: str, source: Path, folder: Path) -> Path:
    """An sdist or a wheel of a source tree, by the build backend that pyproject.toml names."""
    command = [sys.executable, "-c", BUILD, f"build_{kind}", folder]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel that the sdist gives; libraries are this environment's."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        target = folder / "tree" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, target)
    with tarfile.open(built("sdist", folder / "tree", folder)) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.glob("openmv_testbed-*/")
    wheel = built("wheel", source, folder)
    venv.create(folder / "env")
    command = [sys.executable, "-m", "pip", "-q", "--python", folder / "env/bin/python", "install",
               "--no-deps", "--no-index", wheel]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    (site,) = (folder / "env/lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (folder / "cache/firmware").mkdir(parents=True)
    shutil.copy(DEFAULT, folder / "cache/firmware/openmv_h7.elf")
    return folder


def run(installed: Path, cwd: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": f"{installed / 'env/bin'}:{os.environ['PATH']}", "HOME": str(cwd),
        "OMVSIM_CACHE": str(installed / "cache"),
    }  # fmt: skip
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_the_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "omvsim", "demo")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("b'HTTP/1.1 200 OK\\r\\n") and "Example Domain" in done.stdout
    (result,) = tmp_path.glob("runs/*-tls_client/result.json")
    assert str(ROOT) not in result.read_text()


def test_a_suite_and_the_fixtures_run_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "omvsim", "check", "--suite", "constants.exist")
    assert done.returncode == 0, done.stdout + done.stderr
    done = run(installed, tmp_path, "omvsim", "init", "mine")
    names = [
        ".github/workflows/omvsim.yml",
        "camera.robot",
        "client.py",
        "test_camera.py",
        "world.toml",
    ]
    assert done.stdout.splitlines()[:-1] == [f"mine/{name}" for name in names], done.stderr
    done = run(installed, tmp_path / "mine", "python", "-m", "pytest", "-q")
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout
    done = run(installed, tmp_path / "mine", "python", "-m", "robot", "camera.robot")
    assert done.returncode == 0 and "1 test, 1 passed, 0 failed" in done.stdout, done.stdout


def test_the_doctor_tells_what_is_there(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "omvsim", "doctor")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout
    assert any(line.startswith("ok       arm-none-eabi-gcc: ") for line in lines)
    assert f"ok       the image {installed / 'cache/firmware/openmv_h7.elf'}" in lines
    (installed / "env/bin/empty").mkdir(exist_ok=True)
    done = subprocess.run(
        [installed / "env/bin/omvsim", "doctor"], cwd=tmp_path, capture_output=True, text=True,
        env={"PATH": str(installed / "env/bin/empty"), "HOME": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    what = "arm-none-eabi-gcc, for omvsim firmware: apt install gcc-arm-none-eabi"
    assert f"MISSING  {what} libnewlib-arm-none-eabi" in done.stdout.splitlines()


def test_firmware_passes_its_options_on(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "omvsim", "firmware", "--", "--jobs", "0")
    assert done.returncode == 2 and "--jobs 0" in done.stderr

"""firmware/build: what it makes, and what it says when it cannot."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import planted
import pytest

ROOT = Path(__file__).resolve().parents[2]


def build(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "firmware/build", *map(str, arguments)],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of standard error; no traceback, nothing on standard output."""
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr.strip().splitlines()[-1]


def tools(folder: Path, *names: str) -> str:
    """A PATH with only these programs."""
    folder.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return str(folder)


@pytest.fixture(scope="module")
def micropython() -> Path:
    found = sorted((planted.cache() / "sources").glob("micropython_*"))
    assert found, "ci/test builds the firmware first"
    return found[-1]


def test_nothing_changed_is_said_and_nothing_touched():
    elf = ROOT / "build/firmware/openmv_h7.elf"
    before = elf.stat().st_mtime_ns
    done = build()
    assert done.returncode == 0
    assert "up to date" in done.stderr
    assert elf.stat().st_mtime_ns == before


def test_a_second_build_in_the_folder_waits_for_the_first(tmp_path):
    for name in ("openmv_h7.elf", "manifest.json"):
        shutil.copy(ROOT / "build/firmware" / name, tmp_path)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, ROOT / "firmware/build", "--output", tmp_path]
        second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert second.stderr is not None
        assert "waiting for another build" in second.stderr.readline()
    assert "up to date" in second.communicate(timeout=60)[1]
    assert second.returncode == 0


@pytest.mark.skipif("OMVSIM_SOAK" not in os.environ, reason="a whole build: ci/soak firmware")
def test_a_tree_of_ones_own_gives_the_same_objects_and_stays_as_it_is(tmp_path):
    """Another output folder, another tree path: the image does not tell. But for Mbed TLS, which
    is a package there and in the tree here."""
    packages = json.loads((ROOT / "build/firmware/manifest.json").read_text())["packages"]
    of = {name: planted.cache() / f"sources/{name}_{v}" for name, v in packages.items()}
    tree = tmp_path / "tree"
    shutil.copytree(of["micropython"], tree, symlinks=True)
    shutil.rmtree(tree / "lib/mbedtls", ignore_errors=True)
    shutil.copytree(of["mbedtls"], tree / "lib/mbedtls", symlinks=True)

    def listing():
        return {str(p): p.lstat().st_mtime_ns for p in tree.rglob("*")}

    before = listing()
    done = build("--sources", tree, "--ssl", "page", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert listing() == before
    told = json.loads((tmp_path / "out/manifest.json").read_text())
    assert told["packages"]["micropython"] == str(tree)
    usual, here = ROOT / "build/firmware/objects", tmp_path / "out/objects"
    compared = 0
    for path in usual.rglob("*.o"):
        name = str(path.relative_to(usual))
        if not name.startswith("lib/mbedtls"):
            assert path.read_bytes() == (here / name).read_bytes(), name
            compared += 1
    assert compared > 200


def test_sources_that_do_not_compile_give_the_first_error(tmp_path, micropython):
    tree = tmp_path / "micropython"
    shutil.copytree(micropython, tree, symlinks=True)
    (tree / "extmod/modtls_mbedtls.c").write_text("#error broken on purpose\n")
    done = build("--sources", tree, "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "broken on purpose" in complaint(done)
    assert "build.log" in complaint(done)
    assert not (tmp_path / "out/manifest.json").exists()


def test_no_tree(tmp_path):
    done = build("--sources", tmp_path, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert complaint(done).endswith("is no MicroPython tree: py/mpconfig.h is not there")


def test_no_compiler(tmp_path):
    done = build("--output", tmp_path / "out", PATH=tools(tmp_path / "bin", "make", "gcc"))
    assert done.returncode == 2
    assert "arm-none-eabi-gcc is missing: run ci/setup, or apt-get install" in complaint(done)


def test_no_network(tmp_path):
    done = build(
        "--output", tmp_path / "out",
        OMVSIM_CACHE=str(tmp_path / "cache"), http_proxy="http://127.0.0.1:9",
    )  # fmt: skip
    assert done.returncode == 2
    assert "check the network, or build from a tree of your own" in complaint(done)
    assert not (tmp_path / "out/manifest.json").exists()


def test_no_room(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = build("--output", blocked / "out")
    assert done.returncode == 2
    assert "make room or fix the permissions" in complaint(done)


def test_upstream_ssl_needs_micropython_lib(tmp_path, micropython):
    done = build("--sources", micropython, "--ssl", "upstream", "--output", tmp_path / "out")
    assert done.returncode == 2
    assert "--ssl upstream needs" in complaint(done)


def test_jobs_have_to_be_some():
    done = build("--jobs", 0)
    assert done.returncode == 2
    assert "--jobs 0" in complaint(done)


def test_an_older_release_of_debian():
    manifest = json.loads((ROOT / "build/1.25/manifest.json").read_text())
    assert manifest["packages"]["micropython"].startswith("1.25.")
    done = build("--release", "1.25", "--output", ROOT / "build/1.25")
    assert done.returncode == 0 and "up to date" in done.stderr


@pytest.mark.parametrize(
    ("release", "told"),
    [
        ("1.2", "--release 1.2: Debian has micropython 1.25.0"),
        ("curl=8", "--release curl: one of micropython, mbedtls, lwip"),
    ],
)
def test_a_release_that_debian_has_not(tmp_path, release, told):
    done = build("--release", release, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert told in complaint(done)


def test_a_tree_and_a_release(tmp_path, micropython):
    done = build("--sources", micropython, "--release", "1.25", "--output", tmp_path / "out")
    assert done.returncode == 2
    assert "--release and --sources both choose the MicroPython" in complaint(done)


def test_a_tree_without_cmsis(tmp_path):
    for name in ("py/mpconfig.h", "lib/mbedtls/library/ssl_tls.c", "lib/lwip/src/core/init.c"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text("")
    done = build("--sources", tmp_path / "tree", "--output", tmp_path / "out")
    assert done.returncode == 2
    assert "has no CMSIS: git submodule update --init lib/CMSIS_6" in complaint(done)


@pytest.mark.parametrize(
    ("targets", "mirrors"),
    [
        ("Debian\tDebian-Security\thttp://s.example/\nDebian\tDebian\thttp://m.example/debian/\n",
         ["http://m.example/debian/"]),
        ("\t\thttp://unknown.example/debian/\n", ["http://unknown.example/debian/"]),
        ("Debian\tDebian\thttp://a.example/\nDebian\tDebian\thttp://b.example/\n" * 2,
         ["http://a.example/", "http://b.example/"]),
        ("", []),
    ],
    ids=["known", "without indexes", "several", "none"],
)  # fmt: skip
def test_the_archive_is_where_the_machine_has_it(tmp_path, targets, mirrors):
    """An apt-get that tells these targets, and downloads nothing: all are tried, in their order."""
    apt = tmp_path / "bin/apt-get"
    path = tools(tmp_path / "bin", "make", "gcc", "arm-none-eabi-gcc", "dpkg-source", "sh", "cat")
    (tmp_path / "targets").write_text(targets)
    cache = tmp_path / "cache"
    apt.write_text(
        f'#!/bin/sh\nif [ "$1" = indextargets ]; then cat {tmp_path}/targets\n'
        f"else cat {cache}/apt/sources.list >>{tmp_path}/asked; echo no network >&2; exit 1; fi\n"
    )
    apt.chmod(0o755)
    done = build("--output", tmp_path / "out", PATH=path, OMVSIM_CACHE=str(cache))
    assert done.returncode == 2
    if not mirrors:
        assert "apt has no package source" in complaint(done)
        return
    assert complaint(done) == (
        "firmware/build: apt-get -q failed: no network; check the network, or build from a tree "
        "of your own with --sources DIR"
    )
    told = [line for line in done.stderr.splitlines() if "; trying " in line]
    assert [line.rpartition(" ")[2] for line in told] == mirrors[1:]
    asked = [line.split()[2:4] for line in (tmp_path / "asked").read_text().splitlines()]
    assert asked == [[uri, suite] for uri in mirrors for suite in ("forky", "sid", "trixie")]

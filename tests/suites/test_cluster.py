"""omvsim check on the workers of a Dask scheduler, of which one dies."""

import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omvsim.errors import UserError
from omvsim.suites.cluster import _packed, _placed, _run
from omvsim.suites.local import Order
from program import Run

distributed = pytest.importorskip("distributed")
FEW = ("--suite", "ciphers.*", "-k", "gcm")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A scheduler and two workers in processes of their own, on loopback, which leave nothing."""
    place = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(place))
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1",
            silence_logs=50,
        ) as made:  # fmt: skip
            patch.undo()
            yield made
    for _ in range(600):
        if not (left := list(place.glob("omvsim-*"))):
            break
        time.sleep(0.05)
    assert left == []


def told(out: Path) -> dict[str, tuple[bool, list[str]]]:
    """Each test's verdict and the names of its evidence, by its name."""
    run = json.loads((out / "conformance.json").read_text())
    names = [test["name"] for test in run["tests"]]
    assert len(names) == len(set(names))
    return {
        test["name"]: (
            test["passed"],
            sorted(path.name for path in (out / test["evidence"]).iterdir()),
        )
        for test in run["tests"]
    }


def test_a_worker_that_dies_loses_nothing(
    omvsim: Run, tmp_path: Path, image: Path, cluster: Any
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    alone = omvsim("check", *FEW, "--out", here)
    victim = next(iter(cluster.workers.values())).process.pid

    def kill_one() -> None:
        """As soon as some answers have come."""
        while len(list((there / "robot").glob("*.xml"))) < 2:
            time.sleep(0.01)
        os.kill(victim, signal.SIGKILL)

    threading.Thread(target=kill_one, daemon=True).start()
    done = omvsim("check", *FEW, "--dask", cluster.scheduler_address, "--out", there)
    assert done.returncode == alone.returncode == 0, done.stdout + done.stderr
    assert told(there) == told(here)
    assert len(told(there)) == 6
    assert not Path(f"/proc/{victim}").exists()


def test_images_are_bisected_there(
    omvsim: Run, tmp_path: Path, image: Path, planted_image: Path, cluster: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The scenario with its files and the images travel; told is what is told here."""
    folder, world, script = tmp_path / "images", tmp_path / "w.toml", tmp_path / "s.py"
    folder.mkdir()
    for number in range(1, 8):  # the bytes after the last section are nobody's
        content = (planted_image if number >= 5 else image).read_bytes()
        (folder / f"fw{number}.elf").write_bytes(content + bytes([number]))
    (tmp_path / "note.txt").write_text("there")
    script.write_text("print(open('note.txt').read())")
    world.write_text(
        '[camera.files]\n"note.txt" = { path = "note.txt" }\n'
        '[[fault]]\nkind = "truncate"\ndirection = "to_camera"\n'
    )
    told = []
    for where in (("--jobs", "2"), ("--jobs", "2", "--dask", cluster.scheduler_address)):
        monkeypatch.setenv("OMVSIM_CACHE", str(tmp_path / f"cache{len(told)}"))
        done = omvsim("bisect", "fw1.elf", "fw7.elf", world, script, "--images", folder, *where)
        assert done.returncode == 0, done.stdout + done.stderr
        told.append(done.stdout)
    assert told[0] == told[1]
    assert "first changed: fw5.elf\n  before: passed\n" in told[0]
    assert "(known)" not in told[1]


def test_no_scheduler_there(omvsim: Run, image: Path) -> None:
    done = omvsim("check", *FEW, "--dask", "tcp://127.0.0.1:1")
    assert done.returncode == 2
    assert done.stderr.startswith("omvsim: --dask tcp://127.0.0.1:1: ")
    assert done.stderr.count("\n") == 1, done.stderr


def test_a_worker_of_another_version_refuses() -> None:
    order = Order(Path("openmv_h7.elf"), (), {})
    with pytest.raises(UserError, match=r"a worker has omvsim .*, not 0.0: install the same"):
        _run(order, {}, "0.0", "Suite.Test")


def test_files_travel_by_their_hash_and_boards_of_ours_by_name(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "x.bin", tmp_path / "b" / "x.bin"]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(path.parent.name.encode())
    order, files = _packed(
        Order(Path(f"{paths[0]}@0x08000000,{paths[1]}@0x08100000"), (paths[1],),
              {"board": Path("nucleo_h743zi"), "before": paths[0], "boot_limit": 5})
    )  # fmt: skip
    a, b = (hashlib.sha256(name).hexdigest()[:16] for name in (b"a", b"b"))
    assert files == {f"{a}/x.bin": b"a", f"{b}/x.bin": b"b"}
    assert str(order.firmware) == f"{a}/x.bin@0x08000000,{b}/x.bin@0x08100000"
    assert order.put == (Path(b) / "x.bin",)
    assert order.camera == {
        "board": Path("nucleo_h743zi"), "before": Path(a) / "x.bin", "boot_limit": 5,
    }  # fmt: skip
    placed = _placed(order, Path("/there"))
    assert str(placed.firmware) == f"/there/{a}/x.bin@0x08000000,/there/{b}/x.bin@0x08100000"
    assert placed.put == (Path("/there") / b / "x.bin",)
    assert placed.camera == {
        "board": Path("nucleo_h743zi"), "before": Path("/there") / a / "x.bin", "boot_limit": 5,
    }  # fmt: skip

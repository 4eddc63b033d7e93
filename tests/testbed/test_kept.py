"""What the cache keeps from one process to another."""

import os
from pathlib import Path

import pytest
from omvsim import kept
from omvsim.testbed.primes import Primes


def test_the_files_that_were_used_last_stay(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    for n in range(5):
        kept.write(folder / f"{n}.a", b"%d" % n, 3)
        os.utime(folder / f"{n}.a", (n, n))
        (folder / f"{n}.b").touch()
    assert kept.read(folder / "2.a") == b"2"  # and is used now
    kept.write(folder / "5.a", b"5", 3)
    assert sorted(file.name for file in folder.glob("*.a")) == ["2.a", "3.a", "4.a", "5.a"]
    assert len(list(folder.iterdir())) == 4 + 5, "nothing else is taken away, nothing left"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_cache_that_cannot_be_written_to_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept.write(tmp_path / "file/x.a", b"", 3)
    assert kept.read(tmp_path / "file/x.a") is None


def test_primes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMVSIM_CACHE", str(tmp_path))
    assert Primes().get("1/../../x") is None
    Primes()["1/../../x"] = prime = (1 << 521) - 1
    assert Primes().get("1/../../x") == prime
    [file] = tmp_path.rglob("*.prime")
    assert file.parent == tmp_path / "primes"
    file.write_bytes(b"")
    assert Primes().get("1/../../x") is None

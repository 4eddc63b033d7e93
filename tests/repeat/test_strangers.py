"""Evidence from a stranger is data: no code of theirs runs, nothing outside is read or written."""

import hashlib
import json
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omvsim import outputs
from omvsim.errors import UserError
from omvsim.testbed import BOARD

Run = Callable[..., subprocess.CompletedProcess[str]]
FAULT = '[[fault]]\nkind = "loss"\nrate = 0.5\n'


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def change(folder: Path, **values: Any) -> None:
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(result | values))


@pytest.fixture
def own_board(tmp_path: Path) -> Path:
    """A board of somebody's own, in a folder with a script for Renode."""
    folder = tmp_path / "boards"
    folder.mkdir()
    for name in (BOARD.name, "stm32h743.repl"):
        shutil.copy(BOARD.parent / name, folder)
    board = folder / "mine.repl"
    board.write_text((folder / BOARD.name).read_text() + "\n// mine\n")
    (folder / "mine.resc").write_text("include @evil.cs\n")
    return board


@pytest.fixture
def evidence(omvsim: Run, tmp_path: Path, image: Path, own_board: Path) -> Path:
    (tmp_path / "s.py").write_text("raise OSError(7)\n")
    (tmp_path / "note.txt").write_text("hello\n")
    world = tmp_path / "w.toml"
    world.write_text(FAULT + '[camera.files]\n"note.txt" = { path = "note.txt" }\n')
    done = omvsim("run", "--firmware", image, "--board", own_board, "--scenario", world,
                  "--out", tmp_path / "run", tmp_path / "s.py")  # fmt: skip
    assert done.returncode == 1, done.stderr
    shutil.rmtree(own_board.parent)
    return tmp_path / "run"


def test_a_board_is_carried_and_shown(omvsim: Run, evidence: Path) -> None:
    assert sorted(path.name for path in (evidence / "board").iterdir()) == [
        "mine.repl",
        "stm32h743.repl",
    ]
    done = omvsim("replay", evidence)
    assert done.returncode == 0, done.stdout + done.stderr
    digest = json.loads((evidence / "result.json").read_text())["board_sha256"][:16]
    assert done.stderr == f"omvsim: the board is the folder's own, mine.repl ({digest})\n"


def test_with_renode_the_script_beside_a_carried_board_is_not_run(
    omvsim: Run, evidence: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (evidence / "board/mine.resc").write_text("include @evil.cs\n")
    change(evidence, engine="renode", board_path=str(evidence / "board/mine.repl"))
    monkeypatch.setenv("RENODE", "/bin/false")
    refused(omvsim("replay", evidence), "made on another board", "--board")


@pytest.mark.parametrize("using", ["/etc/passwd", "../../secret.repl"])
def test_a_carried_board_uses_nothing_outside(
    omvsim: Run, evidence: Path, tmp_path: Path, using: str
) -> None:
    (tmp_path / "secret.repl").write_text("secret\n")
    board = evidence / "board/mine.repl"
    board.write_text(f'using "{using}"\n')
    change(evidence, board_sha256=hashlib.sha256(board.read_bytes()).hexdigest())
    refused(omvsim("replay", evidence), f'"{using}" leads out of the folder')


def test_a_link_in_the_folder_leads_nowhere_else(omvsim: Run, evidence: Path) -> None:
    (evidence / "script.py").unlink()
    (evidence / "script.py").symlink_to("/etc/hostname")
    refused(omvsim("replay", evidence), "the link script.py leads out of its folder")


@pytest.mark.parametrize("name", ["../../tool.sh", "/tmp/tool.sh"])
def test_names_in_the_folder_lead_nowhere_else(omvsim: Run, evidence: Path, name: str) -> None:
    path = evidence / "scenario.toml"
    path.write_text(path.read_text().replace("files/0-note.txt", name))
    refused(omvsim("replay", evidence), "scenario.toml:", f"{name} leads out of its folder")


def test_certify_of_the_calls_leads_nowhere_else(omvsim: Run, evidence: Path) -> None:
    change(evidence, time_limit_ns=0)
    call = {"at": 1, "call": "certify", "with": {"name": "x", "file": "../w.toml"}}
    (evidence / "calls.jsonl").write_text(json.dumps(call) + "\n")
    refused(omvsim("replay", evidence), "calls.jsonl", "../w.toml leads out of its folder")


def test_a_run_writes_through_no_link(omvsim: Run, tmp_path: Path, image: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.write_text("mine\n")
    (tmp_path / "elsewhere").mkdir()
    out.mkdir()
    for name in ("console.log", "console.times", "calls.jsonl", "script.py", "net.pcapng",
                 "result.json", "result.json.partial", "report.html", "scenario.toml"):  # fmt: skip
        (out / name).symlink_to(victim)
    (tmp_path / "s.py").write_text("print(1)\n")
    done = omvsim("run", "--out", out, tmp_path / "s.py")
    assert done.returncode == 0, done.stderr
    assert victim.read_text() == "mine\n"
    assert not [path for path in out.iterdir() if path.is_symlink()]
    (tmp_path / "note.txt").write_text("x")
    (tmp_path / "w.toml").write_text('[camera.files]\na = { path = "note.txt" }\n')
    (out / "files").symlink_to(tmp_path / "elsewhere")
    done = omvsim("run", "--scenario", tmp_path / "w.toml", "--out", out, tmp_path / "s.py")
    refused(done, "files/0-note.txt leads out of its folder", "choose another --out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_shrink_writes_over_nothing(omvsim: Run, evidence: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    (tmp_path / "link.toml").symlink_to(victim)
    for out in (victim.with_suffix(".toml"), tmp_path / "link.toml"):
        if not out.is_symlink():
            out.write_text("mine\n")
        refused(omvsim("replay", "--shrink", "--out", out, evidence), f"{out} exists", "--force")
    beside = tmp_path / "files/0-note.txt"  # what the scenario refers to would lie there
    beside.parent.mkdir()
    beside.write_text("mine\n")
    done = omvsim("replay", "--shrink", "--out", tmp_path / "new.toml", evidence)
    refused(done, f"{beside} exists", "--force")
    done = omvsim("replay", "--shrink", "--force", "--out", tmp_path / "link.toml", evidence)
    assert done.returncode == 0, done.stderr
    assert victim.read_text() == "mine\n" and not (tmp_path / "link.toml").is_symlink()


def test_output_is_all_or_nothing_and_keys_are_their_owners(tmp_path: Path) -> None:
    key, other = tmp_path / "a.key", tmp_path / "b.toml"
    other.write_text("mine")
    with pytest.raises(UserError, match="exists: elsewhere, or overwrite it with --force"):
        outputs.write({key: b"secret", other: b"new"}, False, "elsewhere")
    assert [path.name for path in tmp_path.iterdir()] == ["b.toml"]
    outputs.write({key: b"secret", other: b"new"}, True, "elsewhere")
    assert (key.read_bytes(), other.read_bytes()) == (b"secret", b"new")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_private_key_in_the_evidence_is_its_owners(
    omvsim: Run, tmp_path: Path, image: Path
) -> None:
    done = omvsim("certs", "--out", tmp_path / "certs")
    assert done.returncode == 0, done.stderr
    world = tmp_path / "w.toml"
    world.write_text('[certificates.x]\nfile = "certs/server.pem"\nkey_file = "certs/server.key"\n'
                     '[camera.files]\n"k" = { path = "certs/server.key" }\n')  # fmt: skip
    (tmp_path / "s.py").write_text("print(1)\n")
    done = omvsim("run", "--firmware", image, "--scenario", world, "--out", tmp_path / "run",
                  tmp_path / "s.py")  # fmt: skip
    assert done.returncode == 0, done.stderr
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "run/files").iterdir()}
    assert {modes[name] for name in modes if name.endswith(".key")} == {0o600} and len(modes) == 3
    assert done.stderr.count("-server.key holds a copy of a private key") == 2

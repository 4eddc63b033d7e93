"""How far two runs agree, by made-up evidence, and omvsim compare."""

import os
from pathlib import Path
from typing import Any

import pytest
from omvsim.engine import Unmodelled, renode
from omvsim.errors import UserError
from omvsim.evidence import Result
from omvsim.repeat import agreement as module
from omvsim.repeat.agreement import Agreement, agreement
from program import ROOT, Run

MS = 1_000_000
A, B, C, D = (bytes([n]) * 60 for n in range(4))


class Evidence:
    """What the two folders hold."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.frames: list[list[tuple[int, bytes]]] = [[], []]
        self.printed = [b"", b""]
        self.results = [
            Result("script", "image", "0", "board", "default", 1, "embedded", "1", "now")
            for _ in range(2)
        ]
        number = {Path("a"): 0, Path("b"): 1}
        monkeypatch.setattr(module, "frames", lambda path: self.frames[number[path.parent]])
        monkeypatch.setattr(module, "printed", lambda folder: self.printed[number[folder]])
        monkeypatch.setattr(module, "told", lambda folder: self.results[number[folder]])
        monkeypatch.setattr(module, "power_on", lambda folder: 0)

    def agree(self) -> Agreement:
        return agreement(Path("a"), Path("b"), 10 * MS)


@pytest.fixture
def evidence(monkeypatch: pytest.MonkeyPatch) -> Evidence:
    return Evidence(monkeypatch)


def told(found: Agreement) -> dict[str, tuple[int, int, str]]:
    return {share.name: (share.same, share.of, share.first) for share in found.shares}


def test_equal_runs(evidence: Evidence) -> None:
    evidence.frames = [[(1, A), (2, B)]] * 2
    evidence.printed = [b"one\ntwo\n"] * 2
    found = evidence.agree()
    assert told(found) == {
        "outcome": (1, 1, ""), "console lines": (2, 2, ""), "frames": (2, 2, ""),
        "unmodelled places": (0, 0, ""),
    }  # fmt: skip
    assert (found.percent, found.boot, found.late) == (100.0, 0, 0)


@pytest.mark.parametrize(
    ("ours", "theirs", "same", "of", "first", "boot", "late"),
    [
        # all are later by the same time: the one engine's boot is longer
        ([(5, A), (9 * MS, B)], [(5 + 400 * MS, A), (409 * MS, B)], 2, 2, "", 400 * MS, 0),
        ([(0, A), (5 * MS, B)], [(0, A), (16 * MS, B)], 1, 2,
         "frame 2: its times are 11.000 ms apart", 0, 11 * MS),
        ([(0, A), (1, B), (2, C)], [(0, A), (1, B[:30] + C[30:]), (2, C)], 2, 3,
         "frame 2: 60 bytes at 0.000 ms; 60 bytes at 0.000 ms; from byte 30 on", 0, 0),
        ([(0, A), (MS, B)], [(0, A)], 1, 2, "frame 2: 60 bytes at 1.000 ms; not there", 0, 0),
        ([(0, A)], [(0, A), (MS, B)], 1, 2, "frame 2: not there; 60 bytes at 1.000 ms", 0, 0),
        ([(0, A), (1, B), (2, C)], [(0, A), (1, D), (2, B), (3, C)], 3, 4,
         "frame 2: 60 bytes at 0.000 ms; 60 bytes at 0.000 ms; from byte 0 on", 0, 1),
        ([], [], 0, 0, "", 0, 0),
    ],
)  # fmt: skip
def test_frames(
    evidence: Evidence, ours: Any, theirs: Any, same: int, of: int, first: str, boot: int, late: int
) -> None:
    evidence.frames = [ours, theirs]
    found = evidence.agree()
    assert told(found)["frames"] == (same, of, first)
    assert (found.boot, found.late) == (boot, late)


def test_console_outcome_and_places(evidence: Evidence) -> None:
    evidence.printed = [b"one\n" + b"x" * 30 + b"1\nthree\n", b"one\n" + b"x" * 30 + b"2\nthree\n"]
    evidence.results[0].unmodelled = [Unmodelled(0x40000000, False, 0, 0, 3)]
    evidence.results[1].unmodelled = [
        Unmodelled(0x40000000, False, 8, 0, 1), Unmodelled(0x50000000, True, 8, 7, 1),
    ]  # fmt: skip
    evidence.results[0].outcome, evidence.results[1].outcome = "passed", "fault"
    assert told(evidence.agree()) == {
        "outcome": (0, 1, "passed; fault"),
        "console lines": (2, 3, 'line 2, byte 20: "xxxxxxxxxx1"; "xxxxxxxxxx2"'),
        "frames": (0, 0, ""),
        "unmodelled places": (1, 2, "write at 0x50000000: in the second alone"),
    }
    assert evidence.agree().percent == 50.0


def test_compare_needs_renode(omvsim: Run, monkeypatch: pytest.MonkeyPatch, image: Path) -> None:
    monkeypatch.setenv("RENODE", "/nowhere/renode")
    done = omvsim("compare", ROOT / "firmware/examples/tls_client.py")
    assert done.returncode == 2
    assert done.stderr.startswith("omvsim: RENODE=/nowhere/renode: no program there")
    assert done.stderr.count("\n") == 1


def test_engines_agree(omvsim: Run, tmp_path: Path, image: Path) -> None:
    """All but what has the time of day in it: NTP's answer, HTTP's Date."""
    try:
        renode.find()
    except UserError as error:
        pytest.skip(str(error))
    script = tmp_path / "script.py"
    text = (ROOT / "firmware/examples/tls_client.py").read_text()
    script.write_text(text.replace("print(ssock.read())", "print(len(ssock.read()))"))
    out = tmp_path / "out"
    done = omvsim("compare", "--at-least", "94", "--out", out, script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(os.listdir(out)) == ["compare.html", "embedded", "renode"]
    assert "console lines           8 of      8  100.0 %" in done.stdout

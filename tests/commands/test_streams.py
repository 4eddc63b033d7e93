"""Full disks and closed streams: one line, the right code, and a result that tells."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def omvsim(redirection: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """By a shell, which redirects; the exit code is omvsim's, also before a pipe."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$0" -m omvsim "$@" {redirection}', sys.executable,
         *map(str, arguments)],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text("for i in range(400): print('x' * 60)\n")
    return path


def told(folder: Path) -> list[object]:
    result = json.loads((folder / "result.json").read_text())
    return [result[key] for key in ("outcome", "exit_code", "detail")]


@pytest.mark.parametrize("kilobytes", [20, 1])
def test_a_full_disk(script: Path, tmp_path: Path, image: Path, kilobytes: int) -> None:
    """RLIMIT_FSIZE stands in for it: the same write fails, with another number."""
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "omvsim", "run", "--out", out, script],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=300, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes << 10,) * 2),
    )  # fmt: skip
    words = f"{out}: File too large: choose another --out"
    assert (done.returncode, done.stderr) == (2, f"omvsim: {words}\n")
    if (out / "result.json").exists():
        assert told(out) == ["error", 2, words]
    assert not (out / "report.html").exists()  # it would tell of a run that goes on
    assert not list(out.glob("*.partial"))


@pytest.mark.parametrize(
    ("redirection", "code", "stderr", "outcome"),
    [
        (">/dev/full", 2, "omvsim: standard output: No space left on device\n",
         ["error", 2, "standard output: No space left on device"]),
        ("| head -1", 130, "", ["interrupted", 130, "standard output was closed"]),
        (">&- 2>&- <&-", 0, "", ["passed", 0, ""]),
    ],
)  # fmt: skip
def test_where_standard_output_leads(
    script: Path, tmp_path: Path, image: Path, redirection: str, code: int, stderr: str,
    outcome: list[object],
) -> None:  # fmt: skip
    done = omvsim(redirection, "run", "--out", tmp_path / "out", script)
    assert (done.returncode, done.stderr) == (code, stderr)
    assert told(tmp_path / "out") == outcome


@pytest.mark.parametrize(
    ("redirection", "code", "stderr"),
    [
        (">/dev/full", 2, "omvsim: standard output: No space left on device\n"),
        ("2>/dev/full >/dev/null", 0, ""),
    ],
)
def test_the_work_is_done_all_the_same(
    tmp_path: Path, redirection: str, code: int, stderr: str
) -> None:
    done = omvsim(redirection, "certs", "--out", tmp_path / "certs")
    assert (done.returncode, done.stderr) == (code, stderr)
    assert (tmp_path / "certs/server.der").exists()


def test_output_in_ascii(tmp_path: Path) -> None:
    name = tmp_path / "\u20ac.pem"
    done = subprocess.run(
        [sys.executable, "-m", "omvsim", "certs", "--convert", name], cwd=ROOT,
        env={"PYTHONIOENCODING": "ascii"}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.partition(".pem")[0][-6:]) == (2, r"\u20ac")

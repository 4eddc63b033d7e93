"""omvsim check as a person or a CI job starts it."""

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from omvsim import processes
from omvsim.suites import worker
from program import Run, Start

FAST = ("--suite", "constants.exist", "--jobs", "1")


def test_a_few_statements(omvsim: Run, tmp_path: Path, image: Path) -> None:
    done = omvsim("check", *FAST, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2/2 pass" in done.stdout
    told = json.loads((tmp_path / "conformance.json").read_text())
    assert told["counts"]["holds"] == 1 and told["differences"] == []
    for test in told["tests"]:
        assert (tmp_path / test["evidence"] / "report.html").exists()
        assert (tmp_path / test["evidence"] / "net.pcapng").exists()
        assert (
            f'href="{test["evidence"]}/report.html"' in (tmp_path / "conformance.html").read_text()
        )
    cases = ET.parse(tmp_path / "junit.xml").getroot().iter("testcase")
    assert sorted(case.get("name", "") for case in cases) == sorted(
        t["name"] for t in told["tests"]
    )


def test_a_difference_is_told_and_makes_the_exit_code(
    omvsim: Run, tmp_path: Path, image: Path
) -> None:
    """A changed module on the camera breaks a statement; a baseline of that heals with the old."""
    broken = tmp_path / "ssl.py"
    broken.write_text("from tls import *\nPROTOCOL_TLS_SERVER = 0\n")
    first = omvsim("check", *FAST, "--put", broken, "--out", tmp_path / "first")
    assert first.returncode == 1
    assert (
        "broken, compared with the failures that are known of MicroPython 1.26.1, "
        "Mbed TLS 3.6.6, the project's ssl.py:\n" in first.stdout
    )
    assert "[constants.exist]" in first.stdout
    baseline = tmp_path / "first/conformance.json"
    junit = ET.parse(tmp_path / "first/junit.xml").getroot()
    assert "constants.exist" in next(junit.iter("failure")).get("message", "")
    same = omvsim(
        "check", *FAST, "--put", broken, "--baseline", baseline, "--out", tmp_path / "same"
    )
    assert same.returncode == 0
    healed = omvsim("check", *FAST, "--baseline", baseline, "--out", tmp_path / "healed")
    assert healed.returncode == 1
    assert "fixed, compared with the baseline" in healed.stdout


def test_an_image_that_lacks_parts_fails_by_statement(
    omvsim: Run, tmp_path: Path, image: Path
) -> None:
    """As with a wrapper that knows no get_ciphers: verdicts, never errors of the testbed."""
    plain = tmp_path / "ssl.py"
    source = (Path(__file__).parents[2] / "firmware/modules/ssl.py").read_text()
    plain.write_text(source.replace("def get_ciphers", "def _get_ciphers"))
    done = omvsim("check", "--suite", "ciphers.iana", "--put", plain, "--out", tmp_path / "out")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    told = json.loads((tmp_path / "out/conformance.json").read_text())
    [iana] = [s for s in told["statements"] if s["id"] == "ciphers.iana"]
    assert iana["verdict"] == "not on this image"
    assert told["missing"] == ["SSLSocket", "SSLContext.get_ciphers"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--suite", "nothing"], "--suite nothing matches nothing: use a suite (cameras, "),
        (["--baseline", "nowhere.json"], "nowhere.json: No such file"),
        (["--firmware", "nowhere.elf"], "nowhere.elf"),
        (["--expected", "nowhere"], "nowhere: cannot be read"),
        (["--put", "nowhere.py"], "nowhere.py: no such file"),
        (["--out", "/dev/null/x"], "/dev/null/x: Not a directory: choose another --out"),
    ],
)
def test_bad_input(arguments: list[str], complaint: str, omvsim: Run, image: Path) -> None:
    done = omvsim("check", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_firmware_without_ssl(omvsim: Run, tmp_path: Path, image: Path) -> None:
    (tmp_path / "ssl.py").write_text("raise ImportError(\"no module named 'tls'\")\n")
    done = omvsim("check", *FAST, "--put", tmp_path / "ssl.py", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert (
        "import ssl fails (ImportError: no module named 'tls'): build the firmware" in done.stderr
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_a_bad_number_of_cameras(jobs: str, omvsim: Run) -> None:
    done = omvsim("check", f"--jobs={jobs}")
    assert done.returncode == 2 and "is no number of cameras: write 1 to 1000" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_reports_what_has_run(
    number: signal.Signals, start: Start, tmp_path: Path, image: Path,
    no_process_left: Callable[[subprocess.Popen[str]], None],
) -> None:  # fmt: skip
    process = start("check", "--suite", "constants", "--jobs", "2", "--out", tmp_path)
    assert process.stdout is not None
    process.stdout.readline()  # what the image is
    process.stdout.readline()
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "omvsim: interrupted, " in output
    told = json.loads((tmp_path / "conformance.json").read_text())
    assert 0 < len(told["tests"]) < 11
    words = f"nterrupted: {len(told['tests'])} of 11 tests have run"
    assert told["interrupted"] == f"i{words}"
    page = (tmp_path / "conformance.html").read_text()
    assert page.index(f"I{words}") < page.index("<dl>")
    assert "differences none" not in page  # the green box
    junit = ET.parse(tmp_path / "junit.xml").getroot()
    assert [error.get("message") for error in junit.iter("error")] == [f"i{words}"]
    assert f"i{words}" in (tmp_path / "log.html").read_text()
    no_process_left(process)


def test_a_worker_that_dies_is_a_failed_test(start: Start, tmp_path: Path, image: Path) -> None:
    process = start("check", "--suite", "constants.optional", "--jobs", "1", "--out", tmp_path)
    threads = Path(f"/proc/{process.pid}/task")
    victim = ""
    while process.poll() is None and not victim:
        children = " ".join(file.read_text() for file in threads.glob("*/children"))
        for child in children.split():
            name = Path(f"/proc/{child}/comm").read_text().strip()
            if name == worker.NAME and any((tmp_path / "evidence").glob("*/net.pcapng")):
                victim = child
    subprocess.run(["kill", "-KILL", victim], check=True)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the test crashed the worker (exit code -9)" in output
    told = json.loads((tmp_path / "conformance.json").read_text())
    assert len(told["tests"]) == 3, "the others have run all the same"


def test_in_junit_a_known_failure_is_skipped_with_its_reason(
    omvsim: Run, tmp_path: Path, image: Path
) -> None:
    done = omvsim("check", "--suite", "verify-mode.values", "--out", tmp_path)
    assert done.returncode == 0, done.stdout
    root = ET.parse(tmp_path / "junit.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("3", "0", "2")
    assert {case.get("message") for case in root.iter("skipped")} == {
        "known to fail: the C module keeps any number"
    }


BUSY = "import time; print('on', flush=True)\nwhile True: time.process_time()"
ASLEEP = "import time; print('on', flush=True); time.sleep(600)"


@pytest.mark.parametrize(
    ("program", "verdict"),
    [(BUSY, "took more than 0.3 s of a core"), (ASLEEP, "did nothing for 0.3 s")],
)
@pytest.mark.parametrize("shell", [[], ["/bin/sh", "-c", '"$@"; exit', "sh"]], ids=["", "child"])
def test_a_process_is_watched_by_what_it_uses_of_a_core(
    program: str, verdict: str, shell: list[str]
) -> None:
    with subprocess.Popen(
        [*shell, sys.executable, "-c", program], stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        watch = processes.Watch(process.pid, 0.3, 0.3)
        try:
            while not watch.look():
                time.sleep(0.01)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert watch.verdict == verdict


def test_a_board_and_a_script_before_each_test(omvsim: Run, tmp_path: Path, image: Path) -> None:
    """They reach the image's probe and the workers."""
    before = tmp_path / "before.py"
    before.write_text("import tls\nprint('ready')")
    done = omvsim("check", *FAST, "--board", "nucleo_h743zi", "--before", before,
                  "--boot-limit", "20s", "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "out/conformance.json").read_text())
    for test in told["tests"]:
        folder = tmp_path / "out" / test["evidence"]
        result = json.loads((folder / "result.json").read_text())
        assert (folder / "before.py").read_bytes() == before.read_bytes()
        assert result["board"].endswith("nucleo_h743zi.repl")
        assert result["boot_limit_ns"] == 20_000_000_000

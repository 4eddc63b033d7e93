"""What the host allows ends a run at any moment, whatever the firmware does with the core."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from omvsim.testbed import Testbed

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]
SYSTICK = "import machine\nmachine.mem32[0xE000E014] = 1\nwhile True:\n    pass\n"
REWRITES = """\
import micropython
@micropython.asm_thumb
def f(r0):
    label(A)
    mov(r1, pc)
    ldr(r2, [r1, 0])
    str(r2, [r1, 0])
    nop()
    nop()
    b(A)
f(0)
"""
ANYWHERE = """\
import machine, random
while True:
    try:
        machine.mem32[0x40000000 + (random.getrandbits(28) & ~3)] = random.getrandbits(32)
    except Exception:
        pass
"""
#: much more than the core's 20 ms of host time, on a machine that others slow down by ten
LONG = 20


@pytest.mark.parametrize("script", [SYSTICK, REWRITES, ANYWHERE], ids=["ticks", "code", "writes"])
def test_the_host_limit(omvsim: Run, tmp_path: Path, image: Path, script: str) -> None:
    (tmp_path / "s.py").write_text(script)
    done = omvsim("run", "--firmware", image, "--host-limit", "500ms", "--time-limit", "1000m",
                  "--out", tmp_path / "run", tmp_path / "s.py")  # fmt: skip
    assert done.returncode == 4, done.stderr
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["outcome"] == "time limit" and "host limit" in result["detail"]
    assert result["host_seconds"] < LONG
    assert len(result["unmodelled"]) <= 1000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_is_enough(
    start: Start, tmp_path: Path, image: Path, number: signal.Signals
) -> None:
    (tmp_path / "s.py").write_text("print('begun')\n" + REWRITES)
    process = start("run", "--firmware", image, "--time-limit", "1000m", "--out",
                    tmp_path / "run", tmp_path / "s.py")  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.1)
    process.send_signal(number)
    process.communicate(timeout=600)
    assert process.returncode == 130
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["outcome"] == "interrupted" and result["host_seconds"] < LONG


def test_where_the_host_looks_changes_nothing(image: Path) -> None:
    """A run that comes back as often as it can executes the same, to the nanosecond."""
    seen = []
    for patience in (0, -(10**9)):  # late from the first glance on
        with Testbed(image) as testbed:
            testbed.engine.patience_ns = patience
            testbed.boot()
            testbed.exec("import ssl, socket\nfor i in range(300): [i] * i")
            seen.append((testbed.now, testbed.engine.instructions, bytes(testbed.console)))
    assert seen[0] == seen[1]


def test_places_beyond_the_list_are_counted(image: Path) -> None:
    with Testbed(image) as testbed:
        testbed.boot()
        testbed.exec("import machine\nfor a in range(1500): machine.mem32[0x5F000000 + 4 * a]\n"
                     "machine.mem32[0x5F000000]")  # fmt: skip
        assert len(testbed.engine.unmodelled) == 1000
        assert testbed.engine.unmodelled[0].count == 2
        assert testbed.engine.unmodelled_beyond == 500


def test_a_lock_up_without_a_fault(omvsim: Run, tmp_path: Path, image: Path) -> None:
    """VTOR leads nowhere: the next interrupt has no handler, and nothing to tell of it."""
    script = tmp_path / "s.py"
    script.write_text("import machine\nmachine.mem32[0xE000ED08] = 0x90000000\nwhile True: pass\n")
    done = omvsim("run", "--out", tmp_path / "out", script)
    told = (
        "omvsim: the firmware faulted: lock-up after no fault: the vector table lies in no memory"
    )
    assert (done.returncode, done.stderr.splitlines()[0]) == (3, told)

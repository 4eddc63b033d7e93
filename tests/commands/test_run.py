"""The main job: the documentation's TLS client example on the emulated camera."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omvsim.evidence import chunks

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


def test_example(
    omvsim: Run, tshark: Callable[..., str], tmp_path: Path, example: Path, image: Path
) -> None:
    done = omvsim("run", "--out", tmp_path / "out", example)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("b'HTTP/1.1 200 OK")
    assert "<h1>Example Domain</h1>" in done.stdout
    assert "evidence in" in done.stderr

    result = json.loads((tmp_path / "out/result.json").read_text())
    assert (result["outcome"], result["exit_code"]) == ("passed", 0)
    assert result["unmodelled"] == []
    assert result["fault"] is None
    console = (tmp_path / "out/console.log").read_bytes()
    assert b"MicroPython" in console
    assert b"Example Domain" in console

    capture = tmp_path / "out/net.pcapng"
    seen = tshark(capture)
    assert len(seen.splitlines()) == result["frames_sent"] + result["frames_received"]
    for what in ("DHCP Discover", "DHCP ACK", "A pool.ntp.org", "NTP Version", "A example.com"):
        assert what in seen
    for what in ("Client Hello", "Server Hello", "Certificate", "Change Cipher Spec"):
        assert what in seen
    request = tshark(capture, "-Y", "http.request", "-T", "fields", "-e", "http.request.method",
                     "-e", "http.host")  # fmt: skip
    assert request.split() == ["GET", "example.com"]
    assert not tshark(capture, "-Y", "_ws.malformed")


def test_exception(omvsim: Run, tmp_path: Path, example: Path, image: Path) -> None:
    done = omvsim("run", "--scenario", "expired", "--out", tmp_path / "out", example)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "The certificate validity has expired" in done.stderr
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert (result["outcome"], result["exit_code"]) == ("exception", 1)
    assert "validity has expired" in result["detail"]


def test_exit_status(omvsim: Run, tmp_path: Path, image: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nsys.exit(7)\n")
    done = omvsim("run", "--out", tmp_path / "out", script)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "omvsim: the script exited with 7"
    result = json.loads((tmp_path / "out/result.json").read_text())
    told = [result[key] for key in ("outcome", "exit_code", "exit_status", "detail")]
    assert told == ["exited", 1, 7, "the script exited with 7"]
    again = omvsim("replay", tmp_path / "out")
    assert again.returncode == 0, again.stdout + again.stderr


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_script_from_standard_input(mark: bytes, tmp_path: Path, image: Path) -> None:
    """With a byte-order mark or without."""
    source = mark + b"import sys\nprint(6 * 7)\nsys.exit(3)\n"
    command = [sys.executable, "-m", "omvsim", "run", "--out", tmp_path / "out", "-"]
    done = subprocess.run(command, input=source, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"42\n"), done.stderr
    assert done.stderr.splitlines()[0] == b"omvsim: the script exited with 3"
    assert (tmp_path / "out/script.py").read_bytes() == source.removeprefix(mark)
    long = subprocess.run(command, input=b"#" * (1 << 21), capture_output=True, check=False)
    assert long.returncode == 2
    assert long.stderr == b"omvsim: -: a script of more than 1 MB: name its file\n"


def test_evidence_is_bounded(
    omvsim: Run, tshark: Callable[..., str], tmp_path: Path, image: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text("for i in range(30): print('x' * 100)\n")
    whole = omvsim("run", "--out", tmp_path / "whole", script)
    done = omvsim("run", "--console-limit", "1kB", "--capture-limit", "1kB",
                  "--out", tmp_path / "out", script)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, whole.stdout)
    bursts = chunks(tmp_path / "whole")  # of 5 ms, in which 57 characters leave, by 16
    assert max(len(data) for _, data in bursts) == 3 * 16
    sizes = [
        len((tmp_path / run / name).read_bytes())
        for run in ("whole", "out") for name in ("console.log", "net.pcapng")
    ]  # fmt: skip
    assert sizes[2] == 1024 and sizes[3] <= 1024 < sizes[1]
    kept = len(tshark(tmp_path / "out/net.pcapng").splitlines())
    frames = len(tshark(tmp_path / "whole/net.pcapng").splitlines()) - kept
    assert [line for line in done.stderr.splitlines() if "limit" in line] == [
        f"omvsim: console.log ends at its limit: {sizes[0] - 1024} more bytes were printed (a "
        "larger --console-limit keeps them)",
        f"omvsim: net.pcapng ends at its limit: {frames} more frames passed (a larger "
        "--capture-limit keeps them)",
    ]
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert (result["console_beyond"], result["capture_beyond"]) == (sizes[0] - 1024, frames)
    again = omvsim("replay", tmp_path / "out")
    assert again.returncode == 0, again.stdout + again.stderr


def test_lines_end_in_line_feeds(tmp_path: Path, image: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("print(1)\nprint('a\\rb')\nprint('c', end='\\r')\n")
    done = subprocess.run(
        [sys.executable, "-m", "omvsim", "run", "--out", tmp_path / "out", script],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == b"1\na\rb\nc\r"


def test_a_script_before_all_others(omvsim: Run, tmp_path: Path, image: Path) -> None:
    """On another board, by its name; a second camera, Robot's and a repetition get it, too."""
    (tmp_path / "before.py").write_text("import builtins\nbuiltins.told = 'before'\nprint('b')\n")
    (tmp_path / "script.py").write_text("import sys\nprint(told)\nsys.exit(3)\n")
    done = omvsim(
        "run", "-q", "--board", "nucleo_h743zi", "--before", tmp_path / "before.py",
        "--out", tmp_path / "out", tmp_path / "script.py",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "before\n"), done.stderr
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert result["board"].endswith("renode/nucleo_h743zi.repl")
    assert not (tmp_path / "out/board").exists()  # it comes with omvsim
    assert (tmp_path / "out/before.py").read_bytes() == (tmp_path / "before.py").read_bytes()
    again = omvsim("replay", tmp_path / "out")
    assert again.stdout.startswith(
        "the same run, to the nanosecond: exited: the script exited with 3, after"
    ), again.stdout + again.stderr


def test_firmware_without_a_script(omvsim: Run, tmp_path: Path, image: Path) -> None:
    """A main.py that the camera starts by itself, until the time limit; and once more."""
    (tmp_path / "main.py").write_text(
        "import time\nfor i in range(9):\n    print(i)\n    time.sleep(1)\n"
    )
    done = omvsim("run", "-q", "--put", tmp_path / "main.py", "--time-limit", "2500ms",
                  "--out", tmp_path / "out")  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n1\n2\n", "")
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert (result["outcome"], result["script"]) == ("passed", "")
    again = omvsim("replay", tmp_path / "out")
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.startswith("the same run, to the nanosecond: passed, after 2.5000")


def test_what_needs_a_prompt(omvsim: Run, tmp_path: Path, image: Path, example: Path) -> None:
    """A program of four bytes has none: it branches to itself."""
    vectors = (0x20020000).to_bytes(4, "little") + (0x08000009).to_bytes(4, "little")
    (tmp_path / "loop.bin").write_bytes(vectors + b"\xfe\xe7\xfe\xe7")
    loop = ("--firmware", f"{tmp_path / 'loop.bin'}@0x08000000", "--time-limit", "1s")
    done = omvsim("run", "-q", *loop, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    # adds 1, for ever: nothing that could be leapt
    (tmp_path / "add.bin").write_bytes(vectors + b"\x01\x30\xfd\xe7")
    done = omvsim("run", "-q", "--firmware", f"{tmp_path / 'add.bin'}@0x08000000", "--time-limit",
                  "9m", "--host-limit", "200ms", "--out", tmp_path / "add")  # fmt: skip
    assert done.returncode == 4
    assert done.stderr.splitlines() == [
        "omvsim: the host limit passed: a longer --host-limit allows more",
        "omvsim: why: the firmware computes without an end",
    ]
    for options, told in (
        (["--before", example], "--before needs a prompt: name a SCRIPT, too"),
        (["--beside", f"b={example}"], "--beside needs a prompt: name a SCRIPT, too"),
        (
            ["--put", example, "--out", tmp_path / "none"],
            f"--put {example}: the image has no file system that is known, so that it takes a "
            "prompt to write there: name a SCRIPT, too",
        ),
    ):
        done = omvsim("run", "-q", *loop, *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines()[0] == f"omvsim: {told}"


def test_a_prompt_that_is_late(omvsim: Run, tmp_path: Path, image: Path, example: Path) -> None:
    done = omvsim("run", "-q", "--boot-limit", "5ms", "--out", tmp_path / "out", example)
    assert done.returncode == 4, done.stderr
    assert "the prompt did not come within 0.005 s of virtual time" in done.stderr


def test_a_board_that_is_not_there(omvsim: Run, example: Path) -> None:
    done = omvsim("run", "--board", "nucleo_h7", example)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "omvsim: nucleo_h7: no such board: write nucleo_h743zi, openmv_cam_h7, openmv_h7, "
        "portenta_h7"
    )


def test_a_clock_that_is_not_the_boards_is_told(omvsim: Run, tmp_path: Path) -> None:
    """An oscillator of 8 MHz instead of 12: the PLL makes 320 MHz of it, not 480."""
    (tmp_path / "script.py").write_text("print('hello')\n")
    (tmp_path / "mine.repl").write_text(
        f'using "{ROOT}/renode/openmv_h7.repl"\nrcc:\n    hseFrequency: 8_000_000\n'
    )
    done = omvsim("run", "-q", "--board", tmp_path / "mine.repl", "--out", tmp_path / "out",
                  tmp_path / "script.py")  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert done.stderr == (
        "omvsim: the image has set its core to 320 MHz, not to what mine.repl says: its times "
        "are wrong; choose its --board, or set hseFrequency and PerformanceInMips in one of yours\n"
    )
    assert json.loads((tmp_path / "out/result.json").read_text())["core_hz"] == 320_000_000


def test_what_nothing_models_is_traced(omvsim: Run, tmp_path: Path, image: Path) -> None:
    (tmp_path / "script.py").write_text(
        "from machine import mem32\nmem32[0x48020004] = 5\nmem32[0x4001100C]\n"
        "mem32[0x58020840]\n"
        "for n in range(8): mem32[0x52003360 + 4 * n] = n\n"
        "print(hex(mem32[0x40017400] & 0xFFFFFFFF))\n"
    )
    (tmp_path / "mine.repl").write_text(
        f'using "{ROOT}/renode/openmv_h7.repl"\nsysbus:\n    init add:\n'
        '        Tag <0x40017400, 0x40017403> "HRTIM_MCR" 0x80000000\n'
    )
    done = omvsim("run", "-q", "--trace", "unmodelled", "--out", tmp_path / "out",
                  "--board", tmp_path / "mine.repl", tmp_path / "script.py")  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "0x80000000\n")
    off, read, written, row, none = done.stderr.splitlines()
    assert re.fullmatch(
        r"omvsim: 0x4001100C: read near pc 0x08\w{6}, 1 times \(BRR of usart1: its clock in the "
        r"RCC is off\), machine_mem_subscr \(machine_mem.c:\d+\)", off,
    )  # fmt: skip
    assert re.fullmatch(
        r"omvsim: 0x58020840: read near pc 0x08\w{6}, 1 times \(gpioPortC \+ 0x40: no register of "
        r"it\), machine_mem_subscr \(machine_mem.c:\d+\)", none,
    )  # fmt: skip
    assert re.fullmatch(
        r"omvsim: 0x48020004: write of 0x5 near pc 0x08\w{6}, 1 times \(DCMI \+ 0x4\), "
        r"machine_mem_subscr \(machine_mem.c:\d+\)", written,
    )  # fmt: skip
    assert re.fullmatch(
        r"omvsim: 0x40017400: read near pc 0x08\w{6}, 1 times "
        r"\(HRTIM_MCR \+ 0x0\), machine_mem_subscr \(machine_mem.c:\d+\)", read,
    )  # fmt: skip
    assert re.fullmatch(
        r"omvsim: 0x52003360: write of 0x0 near pc 0x08\w{6}, 1 times, and so to 0x5200337C "
        r"\(JPEG \+ 0x360\), machine_mem_subscr \(machine_mem.c:\d+\)", row,
    )  # fmt: skip

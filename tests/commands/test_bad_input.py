"""Bad input ends in one clear line and the right exit code, never in a traceback of the host."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]
HOST_TRACEBACK = "Traceback (most recent call last)"
ROOT = Path(__file__).resolve().parents[2]
BOARD = ROOT / "renode/openmv_h7.repl"


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2 and one line, which holds the words."""
    assert HOST_TRACEBACK not in done.stderr
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("omvsim: ")
    for word in words:
        assert word in done.stderr
    assert done.stdout == ""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text("print('hello')\n")
    return path


def elf_with(image: Path, path: Path, offset: int, data: bytes) -> Path:
    """The image with some bytes changed."""
    content = bytearray(image.read_bytes())
    content[offset : offset + len(data)] = data
    path.write_bytes(content)
    return path


def vectors_offset(image: Path) -> int:
    """Where in the file the vector table lies: the segment at the boot address."""
    content = image.read_bytes()
    (table,) = struct.unpack_from("<I", content, 28)
    size, count = struct.unpack_from("<HH", content, 42)
    for index in range(count):
        kind, offset, _, physical = struct.unpack_from("<IIII", content, table + index * size)
        if kind == 1 and physical == 0x08000000:
            return int(offset)
    raise AssertionError("no segment at the boot address")


class TestImage:
    def test_missing(self, omvsim: Run, script: Path, tmp_path: Path) -> None:
        refused(omvsim("run", "--firmware", tmp_path / "no.elf", script), "no.elf", "no such image")

    def test_a_folder(self, omvsim: Run, script: Path, tmp_path: Path) -> None:
        refused(omvsim("run", "--firmware", tmp_path, script), "cannot read the image")

    @pytest.mark.parametrize(
        "content, words",
        [
            (b"", "empty"),
            (b"hello\n" * 100, "no ELF, Intel HEX or DfuSe"),
            (b"\x7fELF", "ELF"),
        ],
        ids=["empty", "text", "magic only"],
    )
    def test_no_elf(
        self, omvsim: Run, script: Path, tmp_path: Path, content: bytes, words: str
    ) -> None:
        (tmp_path / "bad.elf").write_bytes(content)
        refused(omvsim("run", "--firmware", tmp_path / "bad.elf", script), "bad.elf", words)

    def test_not_arm(self, omvsim: Run, script: Path, tmp_path: Path, image: Path) -> None:
        bad = elf_with(image, tmp_path / "x86.elf", 18, struct.pack("<H", 3))
        refused(omvsim("run", "--firmware", bad, script), "x86", "needs 32-bit")

    @pytest.mark.parametrize("size", [20, 52, 100, 5000, 100_000, 400_000])
    def test_truncated(
        self, omvsim: Run, script: Path, tmp_path: Path, image: Path, size: int
    ) -> None:
        bad = tmp_path / "short.elf"
        bad.write_bytes(image.read_bytes()[:size])
        refused(omvsim("run", "--firmware", bad, script), "short.elf")

    @pytest.mark.parametrize("index, what", [(0, "stack pointer"), (1, "reset vector")])
    def test_vectors_outside_memory(
        self, omvsim: Run, script: Path, tmp_path: Path, image: Path, index: int, what: str
    ) -> None:
        place = vectors_offset(image) + 4 * index
        bad = elf_with(image, tmp_path / "bad.elf", place, struct.pack("<I", 0xDEAD0001))
        refused(omvsim("run", "--firmware", bad, script), what, "0xDEAD0001", "outside")


@pytest.mark.parametrize(
    "text, words",
    [
        ("uart9: UART.STM32F7_USART @ sysbus <0x50000000\n", ["bad.repl:2:"]),
        ("thing: Miscellaneous.NoSuchThing @ sysbus 0x50000000\n", ["bad.repl:2:", "NoSuchThing"]),
        (
            "more: Memory.MappedMemory @ sysbus 0x08000000\n    size: 0x1000\n",
            ["bad.repl:2:", "overlap"],
        ),
        ("redLed:\n    colour: 3\n", ["bad.repl:3:", "colour"]),
    ],
    ids=["syntax", "type", "overlap", "property"],
)
def test_board(omvsim: Run, script: Path, tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "bad.repl").write_text(f'using "{BOARD}"\n{text}')
    refused(omvsim("run", "--board", tmp_path / "bad.repl", script), *words)


@pytest.mark.parametrize(
    "text, words",
    [
        ("seed = 1\ncolour = 3\n", ["bad.toml:2:", "colour"]),
        ('[network]\ngateway = "192.168.1.300"\n', ["bad.toml:2:", "gateway"]),
        ('[certificates.a]\nfile = "no.pem"\n', ["bad.toml:2:", "no.pem"]),
        ("seed = \n", ["bad.toml:1:"]),
    ],
    ids=["key", "address", "certificate", "syntax"],
)
def test_scenario(omvsim: Run, script: Path, tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "bad.toml").write_text(text)
    refused(omvsim("run", "--scenario", tmp_path / "bad.toml", script), *words)


def test_scenario_missing(omvsim: Run, script: Path, tmp_path: Path) -> None:
    refused(omvsim("run", "--scenario", tmp_path / "no.toml", script), "no.toml")
    refused(omvsim("run", "--scenario", "no_such", script), "no_such", "expired")


class TestScript:
    def test_missing(self, omvsim: Run, tmp_path: Path) -> None:
        refused(omvsim("run", tmp_path / "no.py"), "no.py", "no such script")

    def test_not_utf8(self, omvsim: Run, tmp_path: Path) -> None:
        (tmp_path / "latin.py").write_bytes(b"# fine\nprint('\xe4')\n")
        refused(omvsim("run", tmp_path / "latin.py"), "latin.py:2:", "0xE4")

    @pytest.mark.parametrize(
        "source, limit, code, words",
        [
            ("print(1)\nraise ValueError('so')\n", "20s", 1, "ValueError: so"),
            ("print(1)\ndef f(:\n", "20s", 1, "SyntaxError"),
            ("print(1)\nwhile True:\n    pass\n", "200ms", 4, "0.2 s of virtual time"),
            ("print(1)\nimport machine\nmachine.mem32[0] = 1\n", "20s", 3, "fault"),
        ],
        ids=["raises", "syntax", "loops", "null pointer"],
    )
    def test_ends_badly(
        self, omvsim: Run, script: Path, tmp_path: Path, image: Path,
        source: str, limit: str, code: int, words: str,
    ) -> None:  # fmt: skip
        script.write_text(source)
        done = omvsim("run", "--time-limit", limit, "--out", tmp_path / "out", script)
        assert done.returncode == code, done.stderr
        assert words in done.stderr
        if code in (1, 4):
            assert f'{HOST_TRACEBACK}:\n  File "<stdin>"' in done.stderr  # the camera's own
        else:
            assert HOST_TRACEBACK not in done.stderr
        assert done.stdout.startswith("" if words == "SyntaxError" else "1\n")
        result = json.loads((tmp_path / "out/result.json").read_text())
        assert result["exit_code"] == code
        assert (result["fault"] is not None) == (code == 3)


@pytest.mark.parametrize("limit", ["", "20", "-1s", "0s", "1h", "fast"])
def test_time_limit(omvsim: Run, script: Path, limit: str) -> None:
    done = omvsim("run", f"--time-limit={limit}", script)
    assert done.returncode == 2
    assert HOST_TRACEBACK not in done.stderr
    assert "is no duration: write" in done.stderr.splitlines()[-1]


def test_out_is_a_file(omvsim: Run, script: Path, image: Path) -> None:
    refused(omvsim("run", "--out", script, script), "choose another --out")
    refused(omvsim("run", "--out", script / "below", script), "choose another --out")
    refused(omvsim("run", "--out", "/proc/below", script), "choose another --out")


@pytest.mark.parametrize(
    ("kind", "moment"),
    [(signal.SIGINT, moment) for moment in (0.0, 0.05, 0.2)]
    + [(number, moment) for number in (signal.SIGTERM, signal.SIGHUP) for moment in (0.0, 0.2)],
)
def test_interrupted(
    start: Start, tshark: Callable[..., str], no_process_left: Callable[..., None],
    tmp_path: Path, example: Path, image: Path, kind: signal.Signals, moment: float,
) -> None:  # fmt: skip
    """From the first moment of the evidence on: in boot, and in the middle of the handshake."""
    out = tmp_path / "out"
    process = start("run", "--out", out, example)
    end = time.monotonic() + 20
    while not (out / "net.pcapng").exists() and time.monotonic() < end:
        time.sleep(0.002)
    time.sleep(moment)
    os.killpg(process.pid, kind)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130, stderr
    assert HOST_TRACEBACK not in stderr
    assert "omvsim: interrupted" in stderr
    no_process_left(process)
    assert (out / "console.log").exists()
    result = json.loads((out / "result.json").read_text())
    assert (result["outcome"], result["exit_code"]) == ("interrupted", 130)
    tshark(out / "net.pcapng")  # opens, and is not cut short


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_ended_bisect_leaves_no_trial(
    start: Start, no_process_left: Callable[..., None], tmp_path: Path, image: Path,
    monkeypatch: pytest.MonkeyPatch, kind: signal.Signals,
) -> None:  # fmt: skip
    """Trials run in processes of their own."""
    temporary, images = tmp_path / "tmp", tmp_path / "images"
    temporary.mkdir()
    images.mkdir()
    for number in (1, 2):
        (images / f"fw{number}.elf").write_bytes(image.read_bytes() + bytes([number]))
    script = tmp_path / "loop.py"
    script.write_text("while True: pass\n")
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("OMVSIM_CACHE", str(tmp_path / "cache"))
    process = start(
        "bisect", "fw1.elf", "fw2.elf", "default", script, "--images", images, "--jobs", "2",
        "--time-limit", "3000s",
    )  # fmt: skip
    end = time.monotonic() + 60
    while len(list(temporary.glob("*/image/*"))) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(kind)
    output, stderr = process.communicate(timeout=60)
    assert process.returncode in (130, -kind)
    assert stderr == ("" if kind == signal.SIGKILL else "omvsim: interrupted\n")
    assert output == ""
    end = time.monotonic() + 60
    while list(temporary.glob("omvsim-*")) and time.monotonic() < end:
        time.sleep(0.01)
    assert list(temporary.glob("omvsim-*")) == []  # the watcher of each has seen it end
    if kind != signal.SIGKILL:  # whoever inherits its children may take a while to bury them
        no_process_left(process)


def test_nohup_is_meant(tmp_path: Path, example: Path, image: Path) -> None:
    """A run that was started so goes on after its terminal has gone."""
    command = [sys.executable, "-m", "omvsim", "run", "--out", tmp_path / "out", example]
    process = subprocess.Popen(
        ["nohup", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "out/net.pcapng").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGHUP)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert "<h1>Example Domain</h1>" in output


@pytest.mark.parametrize("moment", [0.15, 0.3, 0.45])
def test_interrupted_before_there_is_evidence(
    start: Start, no_process_left: Callable[..., None], tmp_path: Path, example: Path, moment: float
) -> None:
    """While the libraries are imported or the image is read."""
    process = start("run", "--out", tmp_path / "out", example)
    time.sleep(moment)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130, stderr
    assert HOST_TRACEBACK not in stderr
    assert "omvsim: interrupted" in stderr
    no_process_left(process)

"""The same run twice, in two processes, one of which executes each pass of waiting loops."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path


def test_two_processes_agree(
    start: Callable[..., "subprocess.Popen[str]"],
    tmp_path: Path,
    example: Path,
    image: Path,
) -> None:
    folders = tmp_path / "first", tmp_path / "second"
    for folder, more in zip(folders, ([], ["--no-leap"]), strict=True):
        process = start("run", *more, "--out", folder, example)  # with a hash seed of its own
        process.communicate()
        assert process.returncode == 0
    for name in ("console.log", "net.pcapng"):
        first, second = ((folder / name).read_bytes() for folder in folders)
        assert first
        assert first == second, name
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    for result in results:
        assert result.pop("host_seconds") > 0
    assert results[0] == results[1]

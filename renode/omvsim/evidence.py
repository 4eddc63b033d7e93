"""The folder that a run leaves behind."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import netsim
from omvsim import report
from omvsim.engine import Fault, Unmodelled
from omvsim.errors import UserError
from omvsim.outputs import is_private


@dataclass
class Result:
    """What a run was and how it ended."""

    script: str
    image: str
    image_sha256: str
    board: str
    scenario: str
    scenario_text: str
    seed: int
    engine: str
    engine_version: str
    started: str
    image_path: str = ""
    board_path: str = ""
    board_sha256: str = ""
    testbed_version: str = ""
    time_limit_ns: int = 0  # 0: not one script from boot to end; its calls are in calls.jsonl
    unrepeatable: str = ""  # what took part that calls.jsonl does not hold
    outcome: str = "running"
    exit_code: int | None = None
    exit_status: int | str | None = None  # what sys.exit() was given, if it was a failure
    detail: str = ""
    virtual_ns: int = 0
    instructions: int = 0
    host_seconds: float = 0.0
    frames_sent: int = 0
    frames_received: int = 0
    fault: Fault | None = None
    unmodelled: list[Unmodelled] = field(default_factory=list)
    unmodelled_beyond: int = 0  # accesses to more places than are listed


class Evidence:
    """Written as it happens: a run that is killed leaves files that open."""

    def __init__(
        self, folder: Path, result: Result, files: Mapping[str, bytes] | None = None
    ) -> None:
        """`files` are those that the scenario refers to."""
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._console = (folder / "console.log").open("wb")
            self._times = (folder / "console.times").open("w")
            self._calls = (folder / "calls.jsonl").open("w")
            (folder / "script.py").unlink(missing_ok=True)  # of an earlier run
        except OSError as error:
            raise self._unwritable(error) from None
        self.keys = [name for name, content in (files or {}).items() if is_private(name, content)]
        for name, content in (files or {}).items():
            self.keep(name, content)
        self.capture = folder / "net.pcapng"
        self._events: list[netsim.Event] = []
        self._chunks: list[tuple[int, bytes]] = []
        self._replace("scenario.toml", result.scenario_text)
        self._write(result)

    def console(self, data: bytes, now: int) -> None:
        """Bytes printed by `now`, in ns."""
        self._console.write(data)
        self._console.flush()
        self._times.write(f"{now} {len(data)}\n")
        self._times.flush()
        self._chunks.append((now, data))

    def call(self, now: int, name: str, arguments: Mapping[str, object]) -> None:
        """Something done to the camera or its network from outside, at `now`."""
        told = {"at": now, "call": name, "with": arguments}
        self._calls.write(json.dumps(told, default=str) + "\n")
        self._calls.flush()

    def event(self, event: netsim.Event) -> None:
        """A step of the conversation."""
        self._events.append(event)

    def finish(self, result: Result) -> None:
        """The run has ended as `result` says."""
        self._console.close()
        self._times.close()
        self._calls.close()
        self._write(result)

    def keep(self, name: str, content: bytes) -> str:
        """A file that the run's repetition needs; its name in the folder."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # never through a link
            path.touch(0o600 if is_private(name, content) else 0o666)
            path.write_bytes(content)
        except OSError as error:
            raise self._unwritable(error) from None
        return name

    def _write(self, result: Result) -> None:
        told = dataclasses.asdict(result)
        del told["scenario_text"]
        self._replace("result.json", json.dumps({"schema": 1, **told}, indent=2) + "\n")
        self._replace("report.html", report.render(result, self._events, self._chunks))

    def _replace(self, name: str, text: str) -> None:
        """A reader sees the old file or the new one, never half of either."""
        partial = self.folder / f"{name}.partial"
        try:
            partial.write_text(text, encoding="utf-8", errors="backslashreplace")
            partial.replace(self.folder / name)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(f"{self.folder}: {error.strerror}: choose another --out")

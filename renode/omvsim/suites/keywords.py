"""What Robot Framework's keywords share: the cameras of a test, and what they have printed."""

from __future__ import annotations

import ast
import contextlib
import html
import os
import shutil
import subprocess
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

from robot.api import logger
from robot.api.deco import keyword
from robot.libraries.BuiltIn import BuiltIn, RobotNotRunningError

from netsim import Peer, paths
from netsim.scenario import SECURED
from omvsim.suites.worker import slug
from omvsim.testbed import BOARD, BOOT_LIMIT, ScriptError, Testbed
from omvsim.testbed.rawrepl import Execution, State

DTLS = {"port": 5684, "hold_ms": 2000}  # a datagram has no end of stream to wait for


class Keywords:
    """The cameras of a test, started and stopped."""

    def __init__(self) -> None:
        self._testbed: Testbed | None = None
        self._out: Path | None = None
        self._printed = bytearray()
        self._raised = ""
        self._script: Execution | None = None
        self._others: dict[str, tuple[Any, ...]] = {}  # cameras that no keyword is about now
        self._peer: Peer | None = None
        self._visits: list[Peer] = []
        self._suffered: list[str] = []

    @property
    def testbed(self) -> Testbed:
        if self._testbed is None:
            raise AssertionError("no camera runs: Start Camera comes first")
        return self._testbed

    @property
    def _why(self) -> str:
        """The cause of what was raised, as the end of a message."""
        error = ScriptError(self._raised)
        return f"\nwhy: {self.testbed.cause(error)}" if self._raised else ""

    # The camera -------------------------------------------------------------------------

    @keyword
    def start_camera(
        self,
        scenario: str | None = None,
        firmware: str | None = None,
        seed: int | None = None,
        out: str | None = None,
    ) -> None:
        """Boot a camera in a scenario: a .toml file, or the name of a packaged one.

        The variables FIRMWARE (an image) and PUT (files to put on the camera, with : between),
        set on the command line, hold for every camera of a run. The evidence goes to `out`, else
        to the folder `evidence` of Robot Framework's output."""
        if self._testbed is not None:
            raise AssertionError("a camera runs already: Stop Camera comes first")
        self._out = Path(out) if out else None
        if self._out is None and (root := variable("OUTPUT_DIR")):
            test = slug(f"{variable('SUITE_NAME')} {variable('TEST_NAME')}")
            self._out = Path(root) / "evidence" / test
        self._switch_on(firmware, scenario, seed=seed)

    @keyword
    def another_camera_joins(
        self, name: str, scenario: str | None = None, firmware: str | None = None
    ) -> None:
        """Boot one more camera in this network, where DNS knows it by its name; of the scenario
        its own `[camera]`, `[[fault]]` and `[[rule]]` hold. The keywords that follow are about
        it; its evidence goes to a folder of its name in the first one's."""
        world = self.testbed.world
        self._put_aside()
        self._out = self._out and self._out / name
        self._printed, self._script = bytearray(), None
        self._switch_on(firmware, scenario, world=world, name=name)

    @keyword
    def turn_to_camera(self, name: str) -> None:
        """The keywords that follow are about this camera; the first one's name is camera."""
        if name not in self._others:
            raise AssertionError(f"no camera {name}: one of {', '.join(self._others) or 'none'}")
        state = self._others.pop(name)
        self._put_aside()
        self._testbed, self._out, self._printed, self._raised, self._script = state

    def _put_aside(self) -> None:
        state = self._testbed, self._out, self._printed, self._raised, self._script
        self._others[self.testbed.name] = state

    def _switch_on(self, firmware: str | None, scenario: str | None, **options: Any) -> None:
        self._forget()
        put = [Path(file) for file in (variable("PUT") or "").split(os.pathsep) if file]
        self._testbed = Testbed(
            firmware or variable("FIRMWARE"), scenario, out=self._out,
            script=variable("TEST_NAME") or "", outside=True, board=variable("BOARD") or BOARD,
            before=variable("BEFORE"), boot_limit=int(variable("BOOT_LIMIT") or BOOT_LIMIT),
            files={file.name: file for file in put}, **options,
        )  # fmt: skip
        self._testbed.boot()

    @keyword
    def stop_camera(self) -> None:
        """Write the evidence and let the cameras go; without a camera, nothing."""
        while self._testbed is not None:
            self._testbed.close("exception" if self._raised else "passed", self._raised)
            self._testbed.engine.forget()
            link(self._testbed.name, self._out)
            self._testbed = None
            if self._others:
                _, state = self._others.popitem()
                self._testbed, self._out, self._printed, self._raised, self._script = state

    @property
    def _text(self) -> str:
        return self._printed.decode(errors="replace").replace("\r\n", "\n")

    def _forget(self) -> None:
        self._printed.clear()
        self._raised = ""

    def _begin(self, source: str | bytes) -> None:
        assert self._script is None, "a script runs already: Camera Finishes comes first"
        self._forget()
        self._script = self.testbed.start(source, self._printed.extend)

    def _of(self, name: str) -> list[Peer]:
        return [peer for peer in self.testbed.network.peers if peer.name == name]

    def _so_far(self) -> str:
        raised = self._raised
        if self._script and self._script.state is State.DONE:
            raised = self._script.traceback.decode(errors="replace").replace("\r\n", "\n")
        return f"\nthe camera printed:\n{self._text}{raised}"

    def _conversation_told(self) -> str:
        events = self.testbed.port.events
        return "\n".join(f"{e.source} > {e.target}: {e.text}" for e in events)

    @property
    def _folder(self) -> Path:
        if self._out is None:
            raise AssertionError("there is no folder: Start Camera needs out=FOLDER")
        return self._out

    def _captured(self) -> bytes:
        return (self._folder / "net.pcapng").read_bytes()

    def _conversation(self) -> str:
        capture = self._folder / "net.pcapng"
        return _told_by_tshark(capture, paths.stamp(capture))


@lru_cache(maxsize=1)  # it takes as long as a test
def _told_by_tshark(capture: Path, stamp: object) -> str:
    """What it says of a capture, as that is now."""
    tshark = shutil.which("tshark")
    if tshark is None:
        raise AssertionError("tshark is not installed: ci/setup --test installs it")
    done = subprocess.run([tshark, "-r", capture], capture_output=True, text=True, check=True)
    return done.stdout


def link(name: str, out: Path | None) -> None:
    """Let Robot's log lead to the evidence."""
    if out:
        page = os.path.relpath(out / "report.html", variable("OUTPUT_DIR") or ".")
        told = f'{html.escape(name)}: <a href="{quote(page)}">{html.escape(page)}</a>'
        logger.info(told, html=True)


def variable(name: str) -> Any:
    """A variable of the run; None outside of a run."""
    try:
        return BuiltIn().get_variable_value(f"${{{name}}}")
    except RobotNotRunningError:
        return None


def ciphers(kind: str) -> dict[str, str]:
    """What a TLS or DTLS peer takes unless its keyword says otherwise."""
    ciphers = variable("CIPHERS")
    return {"ciphers": ciphers} if ciphers and kind in SECURED else {}


def expand(wish: str) -> list[str]:
    """`alert:0-2:40,80` is six wishes."""
    parts: list[list[str]] = []
    for part in wish.split(":"):
        choices: list[str] = []
        for piece in part.split(","):
            first, dash, last = piece.partition("-")
            choices += map(str, range(int(first), int(last) + 1)) if dash else [piece]
        parts.append(choices)
    return [":".join(chosen) for chosen in product(*parts)]


def as_bytes(text: str) -> bytes:
    """Text with Python's escapes."""
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")


def literal(value: Any) -> str:
    """A value for the camera, as source."""
    if isinstance(value, str) and value.startswith("code:"):
        return value.removeprefix("code:")
    if isinstance(value, str) and value.startswith("bytes:"):
        return repr(value.removeprefix("bytes:").encode())
    return repr(value)


def typed(options: dict[str, Any]) -> dict[str, Any]:
    """Robot's texts as TOML's types: numbers, true, lists; anything else stays a text."""
    typed = {}
    for name, value in options.items():
        typed[name] = value
        if isinstance(value, str) and name not in ("send", "greeting", "body"):
            with contextlib.suppress(ValueError, SyntaxError):
                words = value.replace("true", "True").replace("false", "False")
                typed[name] = ast.literal_eval(words)
        elif isinstance(value, str):
            typed[name] = as_bytes(value).decode("latin-1")
    return typed

"""Robot Framework keywords that are thin over Testbed (the class is named as Robot looks for it).

*** Settings ***
Library    omvsim.robotlib
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from robot.api.deco import keyword, library

from omvsim.image import ROOT
from omvsim.testbed import ScriptError, Testbed

EXAMPLES = ROOT / "firmware/examples"


@library(scope="TEST", auto_keywords=False)
class robotlib:
    """A camera in its network. A failing keyword shows what the camera printed."""

    def __init__(self) -> None:
        self._testbed: Testbed | None = None
        self._out: Path | None = None
        self._printed = ""
        self._raised = ""

    @property
    def testbed(self) -> Testbed:
        if self._testbed is None:
            raise AssertionError("no camera runs: Start Camera comes first")
        return self._testbed

    @keyword
    def start_camera(
        self,
        scenario: str | None = None,
        firmware: str | None = None,
        seed: int | None = None,
        out: str | None = None,
    ) -> None:
        """Boot a camera in a scenario: a .toml file, or the name of a packaged one."""
        if self._testbed is not None:
            raise AssertionError("a camera runs already: Stop Camera comes first")
        self._out = Path(out) if out else None
        self._printed = self._raised = ""
        self._testbed = Testbed(firmware, scenario, seed=seed, out=self._out)
        self._testbed.boot()

    @keyword
    def stop_camera(self) -> None:
        """Write the evidence and let the camera go; without a camera, nothing."""
        if self._testbed is not None:
            self._testbed.close("exception" if self._raised else "passed", self._raised)
            self._testbed = None

    @keyword
    def camera_runs(self, script: str, limit_s: float = 20) -> None:
        """Run a script, from here or from firmware/examples; what it prints and raises is kept."""
        path = Path(script)
        if not path.exists() and (EXAMPLES / script).exists():
            path = EXAMPLES / script
        self._printed = self._raised = ""
        output = bytearray()
        try:
            self.testbed.run(path, round(limit_s * 1e9), output.extend)
        except ScriptError as error:
            self._raised = str(error)
        self._printed = output.decode(errors="replace").replace("\r\n", "\n")

    @keyword
    def camera_should_print(self, text: str) -> None:
        """The script printed this text, whether or not it raised later."""
        if text not in self._printed:
            raise AssertionError(
                f"the camera did not print {text!r}, but:\n{self._printed}{self._raised}"
            )

    @keyword
    def camera_should_not_raise(self) -> None:
        """The script ran to its end."""
        if self._raised:
            raise AssertionError(f"the camera raised:\n{self._raised}")

    @keyword
    def camera_should_raise(self, exception: str, text: str = "") -> None:
        """The script ended with this exception, and its message holds the text."""
        if not self._raised:
            raise AssertionError(f"the camera raised nothing; it printed:\n{self._printed}")
        lines = self._raised.splitlines()
        last = max(
            (i for i, line in enumerate(lines) if line and not line.startswith((" ", "Traceback"))
             and line.partition(":")[0].isidentifier()),
            default=0,
        )  # fmt: skip
        name = lines[last].partition(":")[0] if lines else ""
        message = "\n".join(lines[last:])
        if name != exception or text not in message:
            raise AssertionError(f"expected {exception} ... {text}, the camera raised:\n{message}")

    @keyword
    def network_should_have_seen(self, what: str) -> None:
        """The capture holds a packet that tshark summarises so: DHCP, NTP, TLS Client Hello."""
        if what not in (seen := self._conversation()):
            raise AssertionError(f"no {what!r} on the network, but:\n{seen}")

    @keyword
    def network_should_not_have_seen(self, what: str) -> None:
        """The capture holds no packet that tshark summarises so."""
        if what in (seen := self._conversation()):
            raise AssertionError(f"{what!r} was on the network:\n{seen}")

    def _conversation(self) -> str:
        if self._out is None:
            raise AssertionError("nothing was captured: Start Camera needs out=FOLDER")
        tshark = shutil.which("tshark")
        if tshark is None:
            raise AssertionError("tshark is not installed: ci/setup --test installs it")
        done = subprocess.run(
            [tshark, "-r", self._out / "net.pcapng"], capture_output=True, text=True, check=True
        )
        return done.stdout

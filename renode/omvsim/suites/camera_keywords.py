"""Keywords about a camera: scripts, files, clock, and what it prints."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from robot.api.deco import keyword

from netsim.scenario import File
from omvsim.image import ROOT
from omvsim.suites.keywords import Keywords, literal
from omvsim.testbed import SECOND, FirmwareFault, ScriptError, TimeLimit, read_script
from omvsim.testbed.paced import Terminal
from omvsim.testbed.rawrepl import State

EXAMPLES = ROOT / "firmware/examples"
SETTLE = SECOND // 5  # virtual, for what is still on the cable when a script ends


class CameraKeywords(Keywords):
    """Keywords about a camera: scripts, files, clock, and what it prints."""

    @keyword
    def camera_has_file(self, name: str, **source: str) -> None:
        """Put a file on the camera: text=, certificate= or key= (and format=der, pem, pkcs8)."""
        self.testbed.put(name, self.testbed.world.content(File(**source)))  # type: ignore[arg-type]

    @keyword
    def camera_knows(self, **variables: Any) -> None:
        """Set names for the scripts that follow: text, ${numbers}, ${None}, lists; `bytes:` and
        `code:` before a text make bytes of it, or an expression."""
        lines = [f"{name} = {literal(value)}" for name, value in variables.items()]
        self.testbed.exec("import ssl\n" + "\n".join(lines))

    @keyword
    def camera_runs(self, script: str, limit_s: float = 20, **variables: Any) -> None:
        """Run a script, from here or from firmware/examples, to its end; what it prints and
        raises is kept. Named arguments are what `Camera Knows` takes."""
        self.camera_starts(script, **variables)
        self.camera_finishes(limit_s)

    @keyword
    def camera_starts(self, script: str, **variables: Any) -> None:
        """Begin to run a script; it goes on while clients come."""
        path = Path(script)
        if not path.exists() and (EXAMPLES / script).exists():
            path = EXAMPLES / script
        if variables:
            self.camera_knows(**variables)
        self._begin(read_script(path))

    @keyword
    def camera_finishes(self, limit_s: float = 20) -> None:
        """Wait for the script's end."""
        assert self._script is not None, "no script runs: Camera Starts comes first"
        script, self._script = self._script, None
        try:
            self.testbed.finish(script, round(limit_s * SECOND))
        except ScriptError as error:
            self._raised = str(error)
        except TimeLimit as error:
            self.testbed.locate(script, error)
            told = f"{error}\n{error.traceback}why: {self.testbed.cause(error)}"
            raise TimeLimit(told) from None
        self.testbed.run_for(SETTLE)

    @keyword
    def camera_should_still_run(self) -> None:
        """The script has neither ended nor raised."""
        assert self._script is not None, "no script runs: Camera Starts comes first"
        if self._script.state is State.DONE:
            self.camera_finishes()
            raise AssertionError(f"the script ended:\n{self._text}{self._raised}{self._why}")

    @keyword
    def camera_is_interrupted(self) -> None:
        """Press Ctrl-C and wait for the prompt."""
        assert self._script is not None, "no script runs: Camera Starts comes first"
        script, self._script = self._script, None
        try:
            self.testbed.interrupt(script)
        except ScriptError as error:
            self._raised = str(error)
        if "KeyboardInterrupt" not in self._raised:
            raise AssertionError(
                f"the script had ended before:\n{self._text}{self._raised}{self._why}"
            )
        self._raised = ""

    @keyword
    def camera_is_soft_reset(self) -> None:
        """Ctrl-D at the prompt, as mpremote soft-reset does."""
        self.testbed.soft_reset()

    @keyword
    def camera_does(self, *lines: str) -> None:
        """Run lines of Python, at the same prompt as all others of this test; none may raise."""
        self._begin("import ssl\n" + "\n".join(lines))
        self.camera_finishes(60)
        self.camera_should_not_raise()

    @keyword
    def camera_evaluates(self, expression: str, expected: str) -> None:
        """The expression, with `ssl` imported, has this repr()."""
        self._begin(f"import ssl\nprint(repr({expression}))")
        self.camera_finishes()
        if self._raised or self._text.strip() != expected:
            shown = self._raised.strip() or self._text.strip()
            raise AssertionError(f"{expression} is not {expected} but:\n{shown}")

    @keyword
    def camera_raises(self, exception: str, *lines: str) -> None:
        """The lines of Python raise this exception."""
        self._begin("import ssl\n" + "\n".join(lines))
        self.camera_finishes()
        self.camera_should_raise(exception)

    @keyword
    def camera_crashes(self, *lines: str) -> None:
        """The lines of Python end in a fault of the firmware, not in an exception."""
        self._begin("import ssl\n" + "\n".join(lines))
        try:
            self.camera_finishes()
        except FirmwareFault as error:
            self._raised = str(error)
            return
        raise AssertionError(f"no fault, but:\n{self._text}{self._raised}")

    @keyword
    def camera_clock_should_be_right(self) -> None:
        """It shows the scenario's time, to two seconds: NTP and the camera cut off fractions."""
        self._clock_should_show(
            self.testbed.scenario.time + timedelta(microseconds=self.testbed.now // 1000), 2
        )

    @keyword
    def camera_clock_should_be_that_of_the_host(self) -> None:
        """It shows the local time of this computer, as mpremote sets it, to two minutes."""
        self._clock_should_show(datetime.now().replace(tzinfo=UTC), 120)

    def _clock_should_show(self, true: datetime, seconds: int) -> None:
        year, month, day, hour, minute, second = ast.literal_eval(
            self.testbed.exec("import time\nprint(time.gmtime()[:6])")
        )
        shown = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        if abs(shown - true) > timedelta(seconds=seconds):
            raise AssertionError(f"the camera's clock shows {shown}, but it is {true}")

    @keyword
    def mpremote_runs(self, *arguments: str, limit_s: float = 60) -> str:
        """Run the program mpremote, connected to the camera, in paced time; what it prints."""
        self._forget()
        self.testbed.friendly()
        terminal = Terminal(self.testbed)
        command = [sys.executable, "-m", "mpremote", "connect", terminal.name, *arguments]
        end = time.monotonic() + limit_s
        with tempfile.TemporaryFile() as output:
            program = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
            try:
                while program.poll() is None and time.monotonic() < end:
                    terminal.pump()
            finally:
                program.kill()
                program.wait()
                terminal.close()
            output.seek(0)
            self._printed += output.read()
        if program.returncode:
            raise AssertionError(f"mpremote ended with {program.returncode}:\n{self._text}")
        return self._text

    @keyword
    def omvsim_certs_makes(self, *arguments: str) -> None:
        """Run `omvsim certs`; the DER files go to the camera, and the network knows the
        certificates as made_ca, made_server and made_client."""
        folder = self._folder / "certs"
        self._on_the_host("certs", "--force", "--out", str(folder), *arguments)
        for file in sorted(folder.iterdir()):
            if file.suffix in (".der", ".key"):
                self.testbed.put(file.name, file.read_bytes())
        for name in ("ca", "server", "client"):
            if (folder / f"{name}.pem").exists():
                key = folder / f"{name}.key"
                known = key if key.exists() else None
                self.testbed.certify(f"made_{name}", folder / f"{name}.pem", known)

    @keyword
    def omvsim_certs_converts(self, pem: str) -> None:
        """Run `omvsim certs --convert`; what it makes goes to the camera."""
        self._on_the_host("certs", "--force", "--convert", pem)
        der = Path(pem).with_suffix(".der")
        self.testbed.put(der.name, der.read_bytes())

    @staticmethod
    def _on_the_host(*arguments: str) -> None:
        command = [sys.executable, "-m", "omvsim", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"omvsim {' '.join(arguments)}: {done.stderr}")

    @keyword
    def file_is_on_the_host(self, name: str, **source: str) -> str:
        """Write a file beside the evidence, as `Camera Has File` would; its path."""
        path = self._folder / name
        path.write_bytes(self.testbed.world.content(File(**source)))  # type: ignore[arg-type]
        return str(path)

    @keyword
    def camera_should_print(self, text: str) -> None:
        """All that the script has printed is this text, whether or not it raised later; white
        space around it does not count."""
        if self._text.strip() != text.strip():
            raise AssertionError(
                f"the camera did not print {text!r}, but:\n{self._text}{self._raised}{self._why}"
            )

    @keyword
    def camera_output_should_hold(self, text: str) -> None:
        """The script printed this text among others, whether or not it raised later."""
        if text not in self._text:
            raise AssertionError(
                f"the camera did not print {text!r}, but:\n{self._text}{self._raised}{self._why}"
            )

    @keyword
    def heap_should_be_as_before(self) -> None:
        """The script told what it had cost of the heap, in lines such as `heap 0`: nothing."""
        if set(costs := re.findall(r"^heap (-?\d+)$", self._text, re.MULTILINE)) != {"0"}:
            raise AssertionError(f"it cost {costs} bytes of the heap:\n{self._text}{self._raised}")

    @keyword
    def camera_should_not_print(self, text: str) -> None:
        """The script did not print this text."""
        if text in self._text:
            raise AssertionError(f"the camera printed {text!r}:\n{self._text}")

    @keyword
    def camera_should_not_raise(self) -> None:
        """The script ran to its end."""
        if self._raised:
            raise AssertionError(f"the camera raised:\n{self._raised}{self._why}")

    @keyword
    def camera_should_raise(self, exception: str, text: str = "") -> None:
        """The script ended with this exception, and its message holds the text."""
        if not self._raised:
            raise AssertionError(f"the camera raised nothing; it printed:\n{self._text}")
        lines = self._raised.splitlines()
        last = max(
            (i for i, line in enumerate(lines) if line and not line.startswith((" ", "Traceback"))
             and line.partition(":")[0].isidentifier()),
            default=0,
        )  # fmt: skip
        name = lines[last].partition(":")[0] if lines else ""
        message = "\n".join(lines[last:])
        if name not in exception.split(" or ") or text not in message:
            told = f"expected {exception} ... {text}, the camera raised:\n{message}{self._why}"
            raise AssertionError(told)

    # The network ------------------------------------------------------------------------

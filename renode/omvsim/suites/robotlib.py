"""Robot Framework keywords that are thin over Testbed (the class is named as Robot looks for it).

*** Settings ***
Library    omvsim.robotlib
"""

from __future__ import annotations

import ast
import contextlib
import html
import os
import re
import shutil
import string
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

from robot.api import logger
from robot.api.deco import keyword, library
from robot.libraries.BuiltIn import BuiltIn, RobotNotRunningError

from netsim import Peer
from netsim.scenario import SECURED, File
from omvsim.image import ROOT
from omvsim.suites.worker import slug
from omvsim.testbed import SECOND, FirmwareFault, ScriptError, Testbed, TimeLimit, read_script
from omvsim.testbed.paced import Terminal
from omvsim.testbed.rawrepl import Execution, State

EXAMPLES = ROOT / "firmware/examples"
HOSTILE = ROOT / "robot/hostile/camera"
PATIENT = 5000  # virtual seconds, for a peer that sends a byte a second
PATIENCE = 120 * SECOND  # virtual, for a client's visits
SETTLE = SECOND // 5  # virtual, for what is still on the cable when a script ends
CLIENT = {"name": "client", "address": "192.168.1.20", "port": 8443, "start_ms": 0, "retry_ms": 100}
DTLS = {"port": 5684, "hold_ms": 2000}  # a datagram has no end of stream to wait for
FIELDS = {field.name for field in fields(Peer)}


@library(scope="TEST", auto_keywords=False)
class robotlib:
    """A camera in its network. A failing keyword shows what the camera printed."""

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
        if self._out is None and (root := _variable("OUTPUT_DIR")):
            test = slug(f"{_variable('SUITE_NAME')} {_variable('TEST_NAME')}")
            self._out = Path(root) / "evidence" / test
        self._switch_on(firmware, scenario, seed=seed)

    @keyword
    def another_camera_joins(
        self, name: str, scenario: str | None = None, firmware: str | None = None
    ) -> None:
        """Boot one more camera in this network, where DNS knows it by its name; of the scenario
        its own `[camera]`, `[[fault]]` and `[[rule]]` hold. The keywords that follow are about
        it; its evidence goes to a folder of its name in the first one's."""
        beside = self.testbed
        self._put_aside()
        self._out = self._out and self._out / name
        self._printed, self._script = bytearray(), None
        self._switch_on(firmware, scenario, beside=beside, name=name)

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
        self._testbed = Testbed(
            firmware or _variable("FIRMWARE"), scenario, out=self._out,
            script=_variable("TEST_NAME") or "", outside=True, **options,
        )  # fmt: skip
        self._testbed.boot()
        for file in filter(None, (_variable("PUT") or "").split(os.pathsep)):
            self._testbed.put(Path(file).name, Path(file).read_bytes())

    @keyword
    def stop_camera(self) -> None:
        """Write the evidence and let the cameras go; without a camera, nothing."""
        while self._testbed is not None:
            self._testbed.close("exception" if self._raised else "passed", self._raised)
            _link(self._testbed.name, self._out)
            self._testbed = None
            if self._others:
                _, state = self._others.popitem()
                self._testbed, self._out, self._printed, self._raised, self._script = state

    @keyword
    def camera_has_file(self, name: str, **source: str) -> None:
        """Put a file on the camera: text=, certificate= or key= (and format=der, pem, pkcs8)."""
        self.testbed.put(name, self.testbed.content(File(**source)))  # type: ignore[arg-type]

    @keyword
    def camera_knows(self, **variables: Any) -> None:
        """Set names for the scripts that follow: text, ${numbers}, ${None}, lists; `bytes:` and
        `code:` before a text make bytes of it, or an expression."""
        lines = [f"{name} = {_literal(value)}" for name, value in variables.items()]
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
        """It shows the scenario's time, to a second."""
        self._clock_should_show(
            self.testbed.scenario.time + timedelta(microseconds=self.testbed.now // 1000), 1
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

    @property
    def _folder(self) -> Path:
        if self._out is None:
            raise AssertionError("there is no folder: Start Camera needs out=FOLDER")
        return self._out

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
        path.write_bytes(self.testbed.content(File(**source)))  # type: ignore[arg-type]
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

    @keyword
    def network_has_server(self, kind: str, name: str, **options: Any) -> None:
        """Another server: the keys of a scenario's [[server]]; the address has a default, and a
        TLS or DTLS server's ciphers are those of the variable CIPHERS."""
        address = f"192.168.1.{30 + len(self.testbed.scenario.servers)}"
        given = {"address": address, **_ciphers(kind), **options}
        self.testbed.serve(kind=kind, name=name, **_typed(given))

    @keyword
    def network_suffers(self, kind: str, **options: Any) -> None:
        """Something goes wrong on the camera's cable: the keys of a scenario's [[fault]]; times
        count from now."""
        self.testbed.suffer(kind=kind, **_typed(options))
        self._suffered.append(kind)

    @keyword
    def network_should_have_suffered(self) -> None:
        """Each fault that a keyword brought has hit a frame (those of the link and of ARP hit
        none: what the camera does tells of them)."""
        brought, faults = list(self._suffered), self.testbed.scenario.faults
        assert [fault.kind for fault in faults][-len(brought) :] == brought, "not brought at all"
        for fault in faults:
            if fault.kind in ("link_down", "arp_poison"):
                continue
            if not any(self.testbed.port.hits(fault).values()):
                raise AssertionError(f"the fault {fault.kind} has hit nothing")

    @keyword
    def ping_is_lost(self, size: int) -> None:
        """A ping of so many bytes to the camera gets no answer."""
        try:
            self.testbed.ping(size)
        except TimeLimit:
            return
        raise AssertionError("the ping was answered")

    @keyword
    def peer_should_have_misbehaved(self, name: str) -> None:
        """A connection of that server or client did what an honest one would not have done."""
        if not any(peer.misdeeds for peer in self._of(name)):
            raise AssertionError(f"{name} has done nothing wrong")

    @keyword
    def network_rule(self, match: str, action: str, **options: Any) -> None:
        """What happens to packets that match: the keys of a scenario's [[rule]]."""
        self.testbed.rule(match=match, action=action, **_typed(options))

    @keyword
    def client_calls_camera(self, kind: str = "tls", **options: Any) -> None:
        """A client that calls from now on, and again until somebody listens: the keys of a
        scenario's [[client]], all with defaults; its ciphers are those of the variable CIPHERS."""
        given = CLIENT | (DTLS if kind == "dtls" else {}) | _ciphers(kind) | options
        self.testbed.call(kind=kind, **_typed(given))

    @keyword
    def client_connects_to_camera(self, kind: str = "tls", **options: Any) -> None:
        """The same, and wait until its visits are over. The last one is the peer of the
        keywords that follow."""
        name, count = options.get("name", CLIENT["name"]), int(options.get("count", 1))
        before = len(self._of(name))
        self.client_calls_camera(kind, **options)
        self.testbed.run_until(
            lambda: sum(p.closed_ns is not None for p in self._of(name)[before:]) >= count
            or bool(self._script and self._script.state is State.DONE),
            PATIENCE, f"the end of {name}'s {count} visits",
        )  # fmt: skip
        self.testbed.run_for(SETTLE)
        self._visits = self._of(name)[before:]
        self._peer = self._visits[-1] if self._visits else None

    @keyword
    def camera_meets_servers(self, outcome: str, *wishes: str) -> None:
        """The camera connects to a server that misbehaves, again and again, and each time comes
        to this. In a wish, 0-3 and 10,20 stand for several; hostile/camera/connections.py
        tells what each came to."""
        expanded = [wish for text in wishes for wish in _expanded(text)]
        name = f"server{len(self.testbed.scenario.servers)}.example"
        self.network_has_server(
            "tls", name, port=9443, certificate="example_p256", greeting="hello ",
            misbehave=" ".join(expanded),
        )  # fmt: skip
        self.camera_runs(str(HOSTILE / "connections.py"), PATIENT, server=name, count=len(expanded))
        self._outcomes_should_be(outcome, expanded, name)

    @keyword
    def camera_meets_clients(self, outcome: str, *wishes: str) -> None:
        """The same for clients that come to the camera's server, hostile/camera/visits.py."""
        expanded = [wish for text in wishes for wish in _expanded(text)]
        self.camera_starts(str(HOSTILE / "visits.py"), count=len(expanded))
        number = len(self.testbed.scenario.clients)
        name = f"client{number}"
        self.client_calls_camera(
            name=name, address=f"192.168.1.{20 + number}", send="ping",
            hold_ms=60_000, leave_ms=4_000_000, count=len(expanded), misbehave=" ".join(expanded),
            retry_ms=50,
        )  # fmt: skip
        self.camera_finishes(PATIENT)
        self._outcomes_should_be(outcome, expanded, name)

    def _outcomes_should_be(self, outcome: str, wishes: list[str], name: str) -> None:
        self.camera_should_not_raise()
        opened = [p for p in self._of(name) if p.opened_ns is not None]
        idle = [
            wish
            for wish, p in zip(wishes, opened, strict=True)
            if (wish in ("no", "cbc")) == (p.misdeeds > 0)
        ]
        if idle:
            raise AssertionError(f"{name} has not done what is wrong: {', '.join(idle)}")
        told = [line.partition(" ")[2] for line in self._text.splitlines()]
        if (lost := told.pop()) != "0":
            raise AssertionError(f"{len(wishes)} connections cost {lost} bytes of the heap")
        pairs = zip(wishes, told, strict=True)
        wrong = [f"{wish}: {got}" for wish, got in pairs if not got.startswith(outcome)]
        if wrong:
            raise AssertionError(f"not {outcome!r}, but:\n" + "\n".join(wrong))

    @keyword
    def peer_is(self, name: str, number: int = -1) -> None:
        """The keywords that follow look at this server's or client's connection: the last, or
        the one of that number, from 1 on."""
        found = self._of(name)
        if len(found) < max(number, 1):
            raise AssertionError(f"{name} has had {len(found)} connections")
        self._peer = found[number - (number > 0)]

    @property
    def peer(self) -> Peer:
        if self._peer is None:
            connections = [p.name for p in self.testbed.network.peers]
            raise AssertionError(f"no peer was met; connections: {connections}\n{self._so_far()}")
        return self._peer

    @keyword
    def peers_should_all_have_received(self, text: str, count: int) -> None:
        """The last client came so often, and received exactly this each time."""
        got = [bytes(p.received) for p in self._visits]
        if got != [_bytes(text)] * count:
            raise AssertionError(f"received: {got}\nerrors: {[p.error for p in self._visits]}")

    @keyword
    def peer_should_have_received(self, text: str) -> None:
        """The peer has got exactly this text (with Python's escapes)."""
        if (got := bytes(self.peer.received)) != _bytes(text):
            raise AssertionError(f"not {text}, but {len(got)} bytes: {got[:200]!r}{self._so_far()}")

    @keyword
    def peer_should_have_received_the_alphabet(self, size: int) -> None:
        """The peer has got so many bytes: the small letters over and over."""
        got = bytes(self.peer.received)
        if got != (string.ascii_lowercase.encode() * (size // 26 + 1))[:size]:
            raise AssertionError(f"not {size} letters, but {len(got)} bytes: {got[:60]!r}...")

    @keyword
    def peer_should_have_verified_the_camera(self) -> None:
        """The peer demanded a certificate, and the camera's is good."""
        if not self.peer.verified:
            raise AssertionError(f"not verified: {self.peer.error}{self._so_far()}")

    @keyword
    def peer_should_have(self, field: str, value: str) -> None:
        """A field of the record: cipher, version, server_name, close_notify, error ..."""
        assert field in FIELDS, f"no such field: one of {', '.join(sorted(FIELDS))}"
        if (got := getattr(self.peer, field)) != value and str(got) != value:
            raise AssertionError(f"{field} is not {value} but {got}{self._so_far()}")

    @keyword
    def peer_should_have_failed(self, text: str) -> None:
        """The peer gave up, and its error holds the text."""
        if text not in (self.peer.error or ""):
            raise AssertionError(f"no error with {text!r}: {self.peer.error}{self._so_far()}")

    @keyword
    def peer_should_have_finished_its_handshake(self) -> None:
        """The handshake was complete at the peer's end, too."""
        if self.peer.secured_ns is None:
            raise AssertionError(f"no handshake: {self.peer.error}{self._so_far()}")

    @keyword
    def peer_should_have_met_no_error(self) -> None:
        """A complete handshake, and nothing wrong after it."""
        self.peer_should_have_finished_its_handshake()
        if self.peer.error:
            raise AssertionError(f"{self.peer.error}{self._so_far()}")

    @keyword
    def peer_should_see_an_orderly_end(self) -> None:
        """The camera's close_notify came before the end of the connection."""
        if not self.peer.close_notify:
            raise AssertionError("the peer got no close_notify: its data may be cut short")

    @keyword
    def peer_should_have_been_shown(self, certificate: str) -> None:
        """The camera has shown this certificate of the scenario, byte for byte."""
        if self.peer.certificate != self.testbed.content(File(certificate=certificate)):
            raise AssertionError("the camera has shown another certificate, or none")

    @keyword
    def peer_should_have_been_offered(self, *suites: str) -> None:
        """The camera's ClientHello offers these cipher suites and no others (IANA's names)."""
        offered = [s for s in self.peer.offered if not s.endswith("_SCSV")]
        if offered != list(suites):
            raise AssertionError(f"offered: {offered}")

    @keyword
    def nobody_should_have_met(self, name: str) -> None:
        """No connection of that server or client finished its handshake."""
        if met := [p for p in self._of(name) if p.secured_ns is not None]:
            raise AssertionError(f"{len(met)} handshakes with {name}")

    @keyword
    def conversation_should_hold(self, text: str) -> None:
        """A step of the conversation, as the report's ladder words it, holds the text."""
        told = self._conversation_told()
        if text not in told:
            raise AssertionError(f"no {text!r} in the conversation:\n{told}{self._so_far()}")

    @keyword
    def conversation_should_not_hold(self, text: str) -> None:
        """No step of the conversation holds the text."""
        told = self._conversation_told()
        if text in told:
            raise AssertionError(f"{text!r} is in the conversation:\n{told}")

    @keyword
    def nobody_should_overhear(self, text: str) -> None:
        """No frame on the cable holds the text."""
        if self._captured().find(_bytes(text)) >= 0:
            raise AssertionError(f"{text!r} was sent in clear")

    @keyword
    def somebody_should_overhear(self, text: str) -> None:
        """A frame on the cable holds the text."""
        if self._captured().find(_bytes(text)) < 0:
            raise AssertionError(f"{text!r} was not sent in clear")

    @keyword
    def time_passes(self, seconds: float) -> None:
        """Virtual seconds."""
        self.testbed.run_for(round(seconds * SECOND))

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

    # ------------------------------------------------------------------------------------

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

    def _captured(self) -> bytes:
        return (self._folder / "net.pcapng").read_bytes()

    def _conversation(self) -> str:
        capture = self._folder / "net.pcapng"
        tshark = shutil.which("tshark")
        if tshark is None:
            raise AssertionError("tshark is not installed: ci/setup --test installs it")
        done = subprocess.run([tshark, "-r", capture], capture_output=True, text=True, check=True)
        return done.stdout


def _link(name: str, out: Path | None) -> None:
    """Let Robot's log lead to the evidence."""
    if out:
        page = os.path.relpath(out / "report.html", _variable("OUTPUT_DIR") or ".")
        told = f'{html.escape(name)}: <a href="{quote(page)}">{html.escape(page)}</a>'
        logger.info(told, html=True)


def _variable(name: str) -> Any:
    """A variable of the run; None outside of a run."""
    try:
        return BuiltIn().get_variable_value(f"${{{name}}}")
    except RobotNotRunningError:
        return None


def _ciphers(kind: str) -> dict[str, str]:
    """What a TLS or DTLS peer takes unless its keyword says otherwise."""
    ciphers = _variable("CIPHERS")
    return {"ciphers": ciphers} if ciphers and kind in SECURED else {}


def _expanded(wish: str) -> list[str]:
    """`alert:0-2:40,80` is six wishes."""
    parts: list[list[str]] = []
    for part in wish.split(":"):
        choices: list[str] = []
        for piece in part.split(","):
            first, dash, last = piece.partition("-")
            choices += map(str, range(int(first), int(last) + 1)) if dash else [piece]
        parts.append(choices)
    return [":".join(chosen) for chosen in product(*parts)]


def _bytes(text: str) -> bytes:
    """Text with Python's escapes."""
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")


def _literal(value: Any) -> str:
    """A value for the camera, as source."""
    if isinstance(value, str) and value.startswith("code:"):
        return value.removeprefix("code:")
    if isinstance(value, str) and value.startswith("bytes:"):
        return repr(value.removeprefix("bytes:").encode())
    return repr(value)


def _typed(options: dict[str, Any]) -> dict[str, Any]:
    """Robot's texts as TOML's types: numbers, true, lists; anything else stays a text."""
    typed = {}
    for name, value in options.items():
        typed[name] = value
        if isinstance(value, str) and name not in ("send", "greeting", "body"):
            with contextlib.suppress(ValueError, SyntaxError):
                words = value.replace("true", "True").replace("false", "False")
                typed[name] = ast.literal_eval(words)
        elif isinstance(value, str):
            typed[name] = _bytes(value).decode("latin-1")
    return typed

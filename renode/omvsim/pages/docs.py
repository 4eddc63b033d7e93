"""omvsim docs: does what a page of documentation shows work on the camera?

Each example runs on a camera of its own, in the world that it needs (surroundings.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from netsim.services.peers import Peer
from omvsim import image
from omvsim.errors import UserError
from omvsim.pages import surroundings
from omvsim.pages.examples import Example
from omvsim.terminal import visible
from omvsim.testbed import SECOND, FirmwareFault, ScriptError, Testbed, TimeLimit
from omvsim.testbed.rawrepl import ProtocolError, State

Status = Literal["ran to its end", "served a client", "raised", "not runnable"]
HELLO_VERIFY = re.compile(r"^OSError: \(?-27264\b", re.MULTILINE)
GRACE = SECOND  # to raise after a client was served, or for the client to hear the end


@dataclass
class Outcome:
    """How an example fared."""

    page: str
    line: int
    status: Status
    detail: str = ""
    raised_line: int | None = None  # of the page
    broken: bool = False  # not runnable for another reason than being a fragment
    printed: str = ""
    virtual_ns: int = 0
    evidence: str | None = None

    @property
    def good(self) -> bool:
        return self.status != "raised" and not self.broken

    def __str__(self) -> str:
        """One line for people."""
        text = f"{self.page}:{self.line}: {self.status}{self.detail and ': ' + self.detail}"
        return f"{text} (line {self.raised_line})" if self.raised_line else text


class NotRunnable(Exception):
    """The example needs what nobody can provide."""


class NotPrepared(Exception):
    """The table's code for its undefined names has failed."""


class NotServed(Exception):
    """The example goes on, but the client that came got nothing from it."""


class Attempt:
    """One example on its camera."""

    def __init__(self, example: Example, needs: surroundings.Surroundings, limit: int) -> None:
        self.example, self.needs, self.limit = example, needs, limit
        self.printed = bytearray()

    def run(self, testbed: Testbed) -> tuple[Status, str]:
        """Boot, prepare, run; raises what the example raises."""
        testbed.boot()
        self._prepare(testbed)
        try:
            return self._execute(testbed)
        except ScriptError as error:
            if not (HELLO_VERIFY.search(str(error)) and self.needs.again):
                raise
        # By design of DTLS: the client does not know its cookie yet, and comes again.
        testbed.exec(self.needs.again, self.limit)
        status, detail = self._execute(testbed)
        return status, detail or "at its second contact"

    def _prepare(self, testbed: Testbed) -> None:
        for name, file in self.needs.files.items():
            for folder in reversed(PurePosixPath(name).parents):
                if folder.name:
                    testbed.exec(
                        f"import os\ntry:\n os.mkdir({str(folder)!r})\nexcept OSError:\n pass"
                    )
            testbed.put(name, testbed.world.content(file))
        for name in self.needs.modules:
            try:
                testbed.exec(f"import {name}")
            except ScriptError:
                raise NotRunnable(f"a fragment: it leaves {name} undefined") from None
        try:
            testbed.exec(self.needs.prelude, self.limit)
        except ScriptError as error:
            what = _last_words(str(error))
            raise NotPrepared(f"preparing its undefined names raised {what}") from None

    def _execute(self, testbed: Testbed) -> tuple[Status, str]:
        """Run the example until it ends, or for a while after its clients have gone."""
        execution = testbed.start(self.example.source, self.printed.extend)
        visits = len(testbed.world.scenario.clients)

        def gone() -> bool:
            return 0 < visits <= sum(map(_gone, _visitors(testbed)))

        what = "the end of a visit" if visits else "its end"
        testbed.run_until(lambda: execution.state is State.DONE or gone(), self.limit, what)
        ended = execution.state is State.DONE
        if ended:
            testbed.finish(execution)
            with suppress(TimeLimit):
                testbed.run_until(lambda: gone() or not visits, GRACE)
        visitors = [replace(peer) for peer in _visitors(testbed)]  # as they are now
        if not ended:
            with suppress(TimeLimit):
                testbed.finish(execution, GRACE)
                ended = True
        return _verdict(visitors, ended)


def _verdict(visitors: list[Peer], ended: bool) -> tuple[Status, str]:
    """What the clients say about an example that has not raised."""
    errors = [f"{peer.name}: {peer.error}" for peer in visitors if peer.error]
    if errors and not ended:
        raise NotServed(f"the client was not served, {errors[0]}")
    if any(_served(peer) for peer in visitors):
        return "served a client", ""
    return "ran to its end", "; ".join(errors)


def _visitors(testbed: Testbed) -> list[Peer]:
    return [peer for peer in testbed.network.peers if peer.role == "client"]


def _gone(peer: Peer) -> bool:
    """The visit is over; after an error TCP may take its time to say so."""
    return peer.closed_ns is not None or peer.error is not None


def _served(peer: Peer) -> bool:
    """By TCP alone a listening socket is not enough: its backlog accepts by itself."""
    tcp = peer.opened_ns is not None and (peer.closed_ns is not None or bool(peer.received))
    return peer.error is None and (tcp if peer.kind == "tcp" else peer.secured_ns is not None)


def _state(peer: Peer) -> str:
    """How far a client has come that is still there."""
    if _gone(peer):
        return f"{peer.name} was there"
    if peer.opened_ns is None:
        return f"{peer.name} got no answer"
    if peer.kind != "tcp" and peer.secured_ns is None:
        return f"{peer.name} is in its handshake"
    return f"{peer.name} waits for the connection to be closed"


def _last_words(traceback: str) -> str:
    """The exception of a traceback in one line."""
    last = re.split(r"^  File .*\n", traceback, flags=re.MULTILINE)[-1]
    words = " ".join(last.removeprefix("Traceback (most recent call last):\n").split())
    return visible(words)


def _raised_line(example: Example, traceback: str) -> int | None:
    """The page's line that an exception comes from."""
    found = re.findall(r'^  File "<stdin>", line (\d+)', traceback, re.MULTILINE)
    return example.page_line(int(found[-1])) if found else None


def try_out(
    example: Example,
    firmware: Path | None,
    limit: int,
    check: Callable[[], object],
    out: Path | None = None,
) -> Outcome:
    """Run an example on a new camera; `check` is called while time passes."""
    outcome = Outcome(image.display(example.page), example.line, "not runnable", example.reason)
    outcome.broken = example.broken
    if example.reason:
        return outcome
    try:
        needs = surroundings.of(example.source)
    except (UserError, RecursionError) as error:
        outcome.detail, outcome.broken = f"no world can be made for it: {error}", True
        return outcome
    if needs.missing:
        more = f" and {len(needs.missing) - 5} more" if len(needs.missing) > 5 else ""
        outcome.detail = f"a fragment: it leaves {', '.join(needs.missing[:5])}{more} undefined"
        return outcome
    attempt = Attempt(example, needs, limit)
    script = f"{outcome.page}:{outcome.line}"
    outcome.evidence = image.display(out) if out else None
    try:
        with Testbed(firmware, needs.scenario, out=out, script=script) as testbed:
            testbed.waiting = check
            try:
                outcome.status, outcome.detail = attempt.run(testbed)
            except TimeLimit as error:
                told = [f"time limit: {error}", *map(_state, _visitors(testbed))]
                raise TimeLimit("; ".join(told)) from None
            finally:
                outcome.virtual_ns = testbed.now
    except (NotRunnable, NotPrepared) as error:
        outcome.detail, outcome.broken = str(error), isinstance(error, NotPrepared)
    except ScriptError as error:
        outcome.status, outcome.detail = "raised", _last_words(str(error))
        outcome.raised_line = _raised_line(example, str(error))
    except (TimeLimit, NotServed) as error:
        outcome.status, outcome.detail = "raised", str(error)
    except FirmwareFault as error:
        outcome.status, outcome.detail = "raised", f"the firmware faulted: {error}"
    except ProtocolError as error:
        outcome.status, outcome.detail = "raised", f"no raw REPL any more: {error}"
    outcome.printed = attempt.printed.decode(errors="replace").replace("\r\n", "\n")
    return outcome

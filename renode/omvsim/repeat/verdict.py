"""How a run ended, in so few words that two runs that fail alike agree."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import netsim
from omvsim.engine import Fault
from omvsim.evidence.places import function_at
from omvsim.image import parts
from omvsim.testbed import BOARD, Testbed, outcome_of

#: OSError: [Errno 110] ETIMEDOUT, OSError: -110, OSError: (-30592, 'MBEDTLS_ERR_...')
RAISED = re.compile(
    r"^([A-Za-z_][\w.]*)(?::\s*(?:\[Errno\s*|\()?(-?(?:0x[0-9A-Fa-f]+|\d+)\b)?.*)?$"
)


@dataclass(frozen=True)
class Verdict:
    """The outcome (see evidence.OUTCOMES), and what makes it this one."""

    outcome: str
    cause: str = ""
    booted: bool = field(default=True, compare=False)  # to the prompt

    def __str__(self) -> str:
        return f"{self.outcome}: {self.cause}" if self.cause else self.outcome


def fault_cause(fault: Fault, image: Path) -> str:
    """Kind and function, without addresses, which every build changes."""
    files = [Path(part) for part in parts(image)]
    function = function_at(files, fault.pc)
    place = f"in {function}" if function else "outside all functions"
    if not function and (caller := function_at(files, fault.r[14] & ~1)):
        place += f", called by {caller}"
    return f"{fault.exception} {place}"


def judge(outcome: str, detail: str, fault: Fault | None, image: Path) -> Verdict:
    """The verdict on a run that ended so."""
    if outcome in ("fault", "lockup") and fault:
        return Verdict(outcome, fault_cause(fault, image))
    if outcome == "exception":
        last = (detail.strip().splitlines() or [""])[-1]
        found = RAISED.match(last)
        return Verdict(outcome, " ".join(filter(None, found.groups())) if found else last)
    return Verdict(outcome, detail if outcome == "exited" else "")


def try_out(
    image: Path,
    scenario: netsim.Scenario,
    source: bytes,
    limit: int,
    board: Path = BOARD,
    check: Callable[[], object] = lambda: None,
    ended: Callable[[Testbed], object] = lambda testbed: None,
    **more: Any,
) -> Verdict:
    """Run a script once, without evidence. `check` is called often and may raise; `ended` gets
    the Testbed to look at; `more` is what Testbed takes."""
    testbed = Testbed(image, scenario, board=board, **more)
    testbed.waiting = check
    error: Exception | None = None
    try:
        testbed.play(source, limit)
    except Exception as raised:
        error = raised
    finally:
        testbed.close()
    outcome, detail = outcome_of(error)
    if error and outcome == "error":
        raise error
    found = judge(outcome, detail, testbed.engine.fault, image)
    ended(testbed)
    return replace(found, booted=testbed.booted)

"""How what runs on the camera may end."""

from __future__ import annotations

from omvsim.engine import Fault
from omvsim.testbed.rawrepl import ProtocolError

LOCKUP = "lock-up after"


class FirmwareFault(Exception):
    """The firmware took a fault exception or locked up."""

    def __init__(self, fault: Fault | None, locked_up: bool) -> None:
        told = str(fault) if fault else "no fault: the vector table lies in no memory"
        super().__init__(f"{LOCKUP} {told}" if locked_up else told)
        self.fault = fault


class TimeLimit(Exception):
    """What was waited for did not come in time."""

    traceback = ""  # of the script that Ctrl-C has ended then


class ScriptError(Exception):
    """The script raised; `str()` is the camera's traceback."""


class ScriptExit(ScriptError):
    """The script called sys.exit() with `status`, which is neither 0 nor None."""

    def __init__(self, status: int | str) -> None:
        super().__init__(f"the script exited with {status}")
        self.status = status


class ScriptReset(ScriptError):
    """The script has reset the camera."""

    def __init__(self) -> None:
        super().__init__("the script has reset the camera, and nothing runs there any more")


def outcome_of(error: BaseException | None) -> tuple[str, str]:
    """How a run ended that ended with this exception: a key of OUTCOMES, and what to tell."""
    match error:
        case None:
            return "passed", ""
        case ScriptExit():
            outcome = "exited"
        case ScriptReset():
            outcome = "reset"
        case ScriptError():
            outcome = "exception"
        case FirmwareFault():
            outcome = "lockup" if str(error).startswith(LOCKUP) else "fault"
        case ProtocolError():
            outcome = "no REPL"
        case TimeLimit():
            outcome = "time limit"
        case BrokenPipeError():
            return "interrupted", "standard output was closed"
        case KeyboardInterrupt() | SystemExit():
            outcome = "interrupted"
        case _:
            outcome = "error"
    where = error.traceback if isinstance(error, TimeLimit) else ""
    return outcome, f"{error}\n{where}".rstrip("\n")

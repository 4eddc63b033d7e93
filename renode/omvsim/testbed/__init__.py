"""An emulated camera in a virtual network: `Testbed`, and what carries its console to others."""

from omvsim.testbed.testbed import (
    BOARD,
    MILLISECOND,
    SECOND,
    FirmwareFault,
    ScriptError,
    ScriptExit,
    ScriptReset,
    Testbed,
    TimeLimit,
    both,
    find_scenario,
    outcome_of,
    read_script,
    testbed_version,
)

__all__ = [
    "BOARD",
    "MILLISECOND",
    "SECOND",
    "FirmwareFault",
    "ScriptError",
    "ScriptExit",
    "ScriptReset",
    "Testbed",
    "TimeLimit",
    "both",
    "find_scenario",
    "outcome_of",
    "read_script",
    "testbed_version",
]

"""An emulated camera in a virtual network: `Testbed`, and what carries its console to others.

with Testbed() as testbed:
    testbed.boot()
    print(testbed.run(Path("firmware/examples/tls_client.py")))
"""

from omvsim.image import testbed_version
from omvsim.testbed.camera import BOOT_LIMIT, Camera
from omvsim.testbed.ends import (
    FirmwareFault,
    ScriptError,
    ScriptExit,
    ScriptReset,
    TimeLimit,
    outcome_of,
)
from omvsim.testbed.named import BOARD, BOARDS, board_names, find_board, find_scenario, read_script
from omvsim.testbed.record import both
from omvsim.testbed.world import MILLISECOND, SECOND, World

Testbed = Camera  # the usual one: in a world of its own

__all__ = [
    "BOARD",
    "BOARDS",
    "BOOT_LIMIT",
    "MILLISECOND",
    "SECOND",
    "Camera",
    "FirmwareFault",
    "ScriptError",
    "ScriptExit",
    "ScriptReset",
    "Testbed",
    "TimeLimit",
    "World",
    "board_names",
    "both",
    "find_board",
    "find_scenario",
    "outcome_of",
    "read_script",
    "testbed_version",
]

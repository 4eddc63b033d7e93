"""The OpenMV camera, emulated, in a virtual network: `omvsim.Testbed` and what it raises."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omvsim.errors import UserError
    from omvsim.testbed import (
        FirmwareFault,
        ScriptError,
        ScriptExit,
        ScriptReset,
        Testbed,
        TimeLimit,
    )
    from omvsim.testbed.rawrepl import ProtocolError

__all__ = [
    "FirmwareFault",
    "ProtocolError",
    "ScriptError",
    "ScriptExit",
    "ScriptReset",
    "Testbed",
    "TimeLimit",
    "UserError",
]
_ELSEWHERE = {"ProtocolError": "testbed.rawrepl", "UserError": "errors"}


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: a command's start needs to catch signals first."""
    if name in __all__:
        return getattr(import_module(f"omvsim.{_ELSEWHERE.get(name, 'testbed')}"), name)
    raise AttributeError(f"module 'omvsim' has no attribute {name!r}")

"""Scenarios: what world the camera wakes up in, read from TOML.

See README.md beside this folder for every key. `load` gives frozen dataclasses; whatever is
wrong in a file becomes a ScenarioError, `FILE:LINE: key: what, remedy`.
"""

from netsim.errors import ScenarioError
from netsim.scenario.model import (
    SECURED,
    Camera,
    CertificateOptions,
    Client,
    Dhcp,
    Dns,
    End,
    Fault,
    File,
    KeyKind,
    NetworkOptions,
    Page,
    Rule,
    Server,
)
from netsim.scenario.world import PACKAGED, Scenario, default, load, loads, named

__all__ = [
    "PACKAGED",
    "SECURED",
    "Camera",
    "CertificateOptions",
    "Client",
    "Dhcp",
    "Dns",
    "End",
    "Fault",
    "File",
    "KeyKind",
    "NetworkOptions",
    "Page",
    "Rule",
    "Scenario",
    "ScenarioError",
    "Server",
    "default",
    "load",
    "loads",
    "named",
]

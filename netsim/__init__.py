"""A virtual network for an emulated camera: hosts, peers, capture, in virtual time.

with netsim.build(netsim.scenario.default(), Path("net.pcapng")) as network:
    network.receive(frame, now)
    frames = network.advance(now)
"""

from pathlib import Path

from netsim import scapy_settings, scenario  # noqa: F401 - the settings come first
from netsim.errors import ScenarioError, UserError
from netsim.events import Event
from netsim.link.capture import CAPTURE_LIMIT
from netsim.network import Network
from netsim.scenario import Scenario
from netsim.services.peers import Peer
from netsim.tls.certificates import camera_files

__all__ = [
    "CAPTURE_LIMIT",
    "Event",
    "Network",
    "Peer",
    "Scenario",
    "ScenarioError",
    "UserError",
    "build",
    "camera_files",
    "scenario",
]


def build(
    world: Scenario, capture: Path | str | None = None, capture_limit: int = CAPTURE_LIMIT
) -> Network:
    """The network of a scenario, captured to a pcapng file, of so many bytes at most, if a path is
    given."""
    return Network(world, Path(capture) if capture else None, capture_limit)

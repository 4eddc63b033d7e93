"""A network that gets closed whatever happens."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from station import OpenNetwork

import netsim


@pytest.fixture
def open_network() -> Iterator[OpenNetwork]:
    with ExitStack() as stack:

        def build(world: netsim.Scenario, capture: Path | None = None) -> netsim.Network:
            return stack.enter_context(netsim.build(world, capture))

        yield build

"""Handshakes damaged at random, and what they have broken; ci/soak load sends a million."""

from collections.abc import Callable, Iterator
from pathlib import Path

import load
import pytest


@pytest.mark.parametrize(
    "measure", [load.records, load.datagrams, load.visitors, load.hellos, load.flights]
)
def test_damaged_handshakes_end(measure: Callable[[int], Iterator[load.Row]], image: Path) -> None:
    rows = list(measure(20))
    assert {good for _, _, _, good in rows} == {True}

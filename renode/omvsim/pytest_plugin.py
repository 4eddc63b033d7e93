"""pytest fixtures that are thin over Testbed: `testbed` makes one, `camera` is one that booted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from omvsim.testbed import Testbed


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[Callable[..., Testbed]]:
    """A factory: testbed(firmware=..., scenario=..., seed=...) boots a camera; evidence goes to
    a folder of its own below the test's temporary one."""
    with ExitStack() as stack:
        count = 0

        def make(**options: Any) -> Testbed:
            nonlocal count
            count += 1
            made = stack.enter_context(Testbed(out=tmp_path / f"camera{count}", **options))
            made.boot()
            return made

        yield make


@pytest.fixture
def camera(testbed: Callable[..., Testbed]) -> Testbed:
    """A booted camera in the default world."""
    return testbed()

"""pytest fixtures that are thin over Testbed: `testbed` makes one, `camera` is one that booted.

What a test raises is how its cameras' runs have ended, and its report tells why, and where the
evidence is. `@pytest.mark.omvsim(scenario=..., board=...)` gives what `testbed()` does not.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from omvsim.engine import choice as engines
from omvsim.terminal import visible
from omvsim.testbed import Testbed, outcome_of

RAISED = pytest.StashKey[BaseException]()
CAMERAS = pytest.StashKey[list[Testbed]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for all cameras of a run."""
    group = parser.getgroup("omvsim", "the emulated OpenMV camera")
    group.addoption(
        "--omvsim-firmware", metavar="IMAGE", help="the image of all cameras; write =IMAGE"
    )
    group.addoption("--omvsim-board", metavar="NAME", help="their board: a name, or a .repl file")
    group.addoption("--omvsim-before", metavar="SCRIPT", help="run at the first prompt of each")
    group.addoption("--omvsim-engine", choices=engines.NAMES, help="what executes the cameras")


def pytest_configure(config: pytest.Config) -> None:
    """The marker, for --strict-markers."""
    config.addinivalue_line("markers", "omvsim(**options): what Testbed takes, for its cameras")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A section for each camera of a test that has failed."""
    report = yield
    if (
        call.when == "call"
        and call.excinfo
        and not call.excinfo.errisinstance(pytest.skip.Exception)
    ):
        item.stash[RAISED] = call.excinfo.value
        for camera in item.stash.get(CAMERAS, []):
            cause = camera.cause(call.excinfo.value)
            told = [f"why: {cause}"] if cause else []
            told += [f"evidence: {camera.evidence.folder}"] if camera.evidence else []
            report.sections.append((camera.name, "\n".join(map(visible, told))))
    return report


@pytest.fixture
def testbed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Testbed]]:
    """A factory: testbed(firmware=..., scenario=..., seed=...) boots a camera; evidence goes to
    a folder of its own below the test's temporary one."""
    cameras = request.node.stash.setdefault(CAMERAS, [])
    names = {key: f"--omvsim-{key}" for key in ("firmware", "board", "before", "engine")}
    general = {
        key: value for key, name in names.items() if (value := request.config.getoption(name))
    }
    for marker in reversed(list(request.node.iter_markers("omvsim"))):
        general |= marker.kwargs

    def make(**options: Any) -> Testbed:
        made = Testbed(out=tmp_path / f"camera{len(cameras) + 1}", **general | options)
        cameras.append(made)
        made.boot()
        return made

    yield make
    raised = request.node.stash.get(RAISED, None)
    with ExitStack() as stack:  # each is closed, whatever another raises
        for camera in cameras:
            stack.callback(camera.close, *outcome_of(raised))


@pytest.fixture
def camera(testbed: Callable[..., Testbed]) -> Testbed:
    """A booted camera in the default world."""
    return testbed()

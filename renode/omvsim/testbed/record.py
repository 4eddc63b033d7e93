"""What is kept of a camera's run: what it was, how it ended, what its cause is sought in."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import netsim
from netsim import Event, paths
from omvsim import image as images
from omvsim.engine import Engine
from omvsim.errors import UserError
from omvsim.evidence import OUTCOMES, Evidence, Result, cause
from omvsim.evidence.case import Case, packets
from omvsim.evidence.places import call_stack
from omvsim.testbed.portable import FOLDER

if TYPE_CHECKING:
    from omvsim.testbed.camera import Camera

BEFORE = "before.py"  # in an evidence folder
LAST_EVENTS = 5  # of the conversation, that are told beside a fault


def both(
    one: Callable[[Event], None] | None, other: Callable[[Event], None]
) -> Callable[[Event], None]:
    """What passes each event on to two."""

    def tell(event: Event) -> None:
        if one:
            one(event)
        other(event)

    return tell


def begun(
    image: images.Image,
    board: Path,
    world: netsim.Scenario,
    engine: Engine,
    known_as: netsim.Scenario | str | Path | None,
    **more: Any,
) -> Result:
    """The result of a run that begins, in a world that may have a name; `more` are fields of it."""
    return Result(
        scenario=str(known_as if isinstance(known_as, (str, Path)) else "default"),
        image=images.display(image.path),
        image_sha256=image.sha256,
        board=images.display(board),
        seed=world.seed,
        engine=engine.name,
        engine_version=engine.version,
        started=world.time.isoformat(),
        image_path=images.resolved(image.path),
        board_path=str(board.resolve()),
        board_sha256=hashlib.sha256(paths.read(board)).hexdigest(),
        testbed_version=images.testbed_version(),
        **more,
    )


def ended(camera: Camera, outcome: str, detail: str, began: float) -> Case | None:
    """Note in the camera's result how its run has ended, which began at the host's monotonic
    time."""
    result, engine = camera.result, camera.engine

    def word(address: int) -> int | None:
        found = engine.memory(address, 4)
        return None if found is None else int.from_bytes(found, "little")

    result.outcome, result.detail = outcome, detail
    result.exit_code = OUTCOMES[outcome]
    case = case_of(camera, outcome, detail)
    result.cause = cause.sentence(case) if case else ""
    result.virtual_ns, result.instructions = engine.now, engine.instructions
    result.host_seconds = round(time.monotonic() - began, 3)
    result.fault, result.unmodelled = engine.fault, engine.unmodelled
    if result.fault and outcome in ("fault", "lockup"):
        result.stack = call_stack(camera.image.elfs, result.fault.r, word)
        before = [e for e in camera.port.events if e.time <= result.fault.now]
        result.wire = [str(event) for event in before[-LAST_EVENTS:]]
    result.unmodelled_beyond = engine.unmodelled_beyond
    settled = outcome == "passed" or (camera.booted and outcome != "reset")  # its clock
    if settled and engine.programmed_hertz != engine.hertz:
        result.core_hz = engine.programmed_hertz
    return case


def certificates(evidence: Evidence, number: int, **given: Path | None) -> dict[str, str]:
    """Keep the files of a certificate, by the name of what they hold; their names there."""
    return {
        role: evidence.keep(f"{FOLDER}/certified{number}-{path.name}", paths.read(path))
        for role, path in given.items()
        if path
    }


def case_of(camera: Camera, outcome: str, detail: str) -> Case | None:
    """What is known of a run that ends so; None where it needs no cause."""
    if outcome in ("passed", "interrupted", "error"):
        return None
    own, engine, evidence = camera.scenario, camera.engine, camera.evidence
    try:
        files = netsim.camera_files(own) | camera.written
    except UserError:  # files that have gone meanwhile
        files = camera.written
    world = replace(camera.world.scenario, faults=own.faults, camera=own.camera)
    return Case(
        outcome, detail, camera.source.decode("utf-8", "replace"), engine.now, engine.clock,
        world, files, packets(evidence.capture) if evidence else (),
        evidence.events if evidence else (), engine.fault, str(camera.port.address or ""),
        engine.instructions, camera.image.elfs,
    )  # fmt: skip

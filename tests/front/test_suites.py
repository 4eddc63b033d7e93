"""What `omvsim check` has found just before, in ci/test."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT
from omvsim import conformance
from omvsim.image import load

RESULT = ROOT / "runs/check/conformance.json"


def test_the_image_does_what_is_known_of_it(image: Path) -> None:
    if not RESULT.exists():
        pytest.skip("the suites were left out: ci/test without arguments runs them")
    told = json.loads(RESULT.read_text())
    assert told["image_sha256"] == load(image).sha256, "of another image: run omvsim check again"
    assert told["differences"] == []
    assert "not run" not in told["counts"]
    assert len(told["statements"]) == len(conformance.catalogue())


#: tests whose peers send what tshark calls malformed, or fragments in an order it cannot join
INJECTED = (
    "unexpected-messages-in-every-state", "whose-fragments", "that-cuts-its", "of-16-mib",
    "a-wrong-version", "a-second-clienthello", "frames-are-cut",
)  # fmt: skip


def malformed(capture: Path) -> str:
    command = ["tshark", "--disable-protocol", "coap", "-r", str(capture), "-Y", "_ws.malformed"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def test_tshark_finds_nothing_malformed_but_what_was_injected(image: Path) -> None:
    captures = sorted(RESULT.parent.rglob("*hostile*/net.pcapng"))
    if not captures:
        pytest.skip("the suites were left out: ci/test without arguments runs them")
    with ThreadPoolExecutor(2) as pool:
        told = dict(zip(captures, pool.map(malformed, captures), strict=True))
    found = {capture.parent.name for capture, text in told.items() if text}
    assert not [name for name in found if not any(part in name for part in INJECTED)]
    assert all(any(part in name for name in found) for part in INJECTED)

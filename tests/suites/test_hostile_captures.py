"""What tshark makes of the captures of the hostile cases that ci/test has run just before."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from program import ROOT

#: the tests whose peers send what tshark calls malformed, or cannot join
INJECTED = {
    "robot-hostile-tls-clients-a-second-clienthello-afterwards",
    "robot-hostile-dtls-servers-a-server-whose-fragments-overlap",
}


def malformed(capture: Path) -> str:
    command = ["tshark", "--disable-protocol", "coap", "-r", str(capture), "-Y", "_ws.malformed"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def test_tshark_finds_nothing_malformed_but_what_was_injected() -> None:
    captures = sorted((ROOT / "runs/hostile").rglob("net.pcapng"))
    assert len(captures) > 10, "run omvsim check --suite tenth --out runs/hostile first"
    with ThreadPoolExecutor(2) as pool:
        told = dict(zip(captures, pool.map(malformed, captures), strict=True))
    assert {capture.parent.name for capture, text in told.items() if text} == INJECTED

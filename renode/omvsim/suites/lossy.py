"""Handshakes over a bad network: how many complete, how long they take, what they leave behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from omvsim.image import ROOT
from omvsim.testbed import MILLISECOND, SECOND, ScriptError, Testbed, TimeLimit

WORLD = ROOT / "robot/ssl/world.toml"
LIMIT = 300 * SECOND  # virtual, for one handshake; then it hangs
SCRIPT = ROOT / "robot/hostile/camera/handshakes.py"
KINDS = {
    "TLS client": "tls_client", "TLS server": "tls_server",
    "DTLS client": "dtls_client", "DTLS server": "dtls_server",
}  # fmt: skip
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "loss", "rate": 0.05},
    {"kind": "delay", "jitter_ms": 50},
    {"kind": "reorder", "rate": 0.1, "delay_ms": 30},
)


@dataclass
class Row:
    """What came of one kind of handshake; times in virtual seconds."""

    kind: str
    wanted: int
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    hung: int = 0
    memory: int = 0  # bytes that are missing afterwards

    def __str__(self) -> str:
        times = f"{median(self.seconds):8.2f} {max(self.seconds):8.2f}" if self.seconds else ""
        done = f"{len(self.seconds)}/{self.wanted}"
        return f"{self.kind:12} {done:>9} {times:17} {self.hung:5} {self.memory:12}"


HEADER = f"{'':12} {'complete':>9} {'median s':>8} {'worst s':>8} {'hung':>5} {'bytes lost':>12}"


def measure(testbed: Testbed, kind: str, wanted: int, progress: Callable[[int], object]) -> Row:
    """So many handshakes of a kind on a booted camera in WORLD."""
    row, function = Row(kind, wanted), KINDS[kind]
    _peers(testbed, kind, wanted)
    testbed.run(SCRIPT)
    for fault in FAULTS:
        testbed.suffer(**fault)
    before = _free(testbed)
    for number in range(wanted):
        try:
            told = testbed.exec(f"attempt({function})", LIMIT).split(maxsplit=1)
        except TimeLimit:
            row.hung += 1
            break
        except ScriptError as error:
            row.errors.append(str(error).splitlines()[-1])
            continue
        if told[1].startswith("done"):
            row.seconds.append(int(told[0]) / 1000)
        else:
            row.errors.append(told[1].strip())
        progress(number + 1)
    else:
        row.memory = before - _free(testbed)
    return row


def _peers(testbed: Testbed, kind: str, wanted: int) -> None:
    if kind == "TLS client":
        testbed.serve(
            kind="tls", name="example.com", address="192.168.1.40", port=443, certificate="example"
        )
    elif kind == "DTLS client":
        testbed.serve(
            kind="dtls", name="dtls.example.com", address="192.168.1.41", certificate="dtls"
        )
    else:
        tls = kind == "TLS server"
        testbed.call(
            kind="tls" if tls else "dtls", name="client", address="192.168.1.20",
            port=8443 if tls else 5684, start_ms=0, retry_ms=100 if tls else 5000,
            count=100 * wanted, send="ping", hold_ms=0 if tls else 3000, leave_ms=90000,
        )  # fmt: skip


def _free(testbed: Testbed) -> int:
    testbed.run_for(200 * MILLISECOND)
    return int(testbed.exec("print(free())"))

"""README.md and docs/*.md show what happens, line by line; `...` stands for what differs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from omvsim.image import DEFAULT
from omvsim.testbed import SECOND, ScriptError, Testbed

from netsim import scenario as scenarios
from netsim.tls.certificates import Authority

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLANT = """
time = 2026-11-20T08:00:00Z
[camera]
rtc = 2026-11-20T08:00:00Z
[camera.files]
"ca.der" = { certificate = "ca" }
[certificates.ca]
ca = true
common_name = "Plant Root CA"
[certificates.middle]
ca = true
issuer = "ca"
common_name = "Plant Issuing CA"
[certificates.gateway]
issuer = "middle"
names = ["gateway.plant7.example"]
chain = []
[[server]]
kind = "tls"
name = "gateway.plant7.example"
address = "192.168.1.50"
port = 443
certificate = "gateway"
"""
DEVICE = b"""
import socket, ssl
sock = socket.socket()
sock.connect(socket.getaddrinfo("gateway.plant7.example", 443)[0][-1])
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ctx.verify_mode = ssl.CERT_REQUIRED
ctx.load_verify_locations(cafile="ca.der")
ctx.wrap_socket(sock, server_hostname="gateway.plant7.example")
"""


class Step(NamedTuple):
    command: str
    output: list[str]


def steps(page: Path) -> list[Step]:
    """Commands (`$`, `>` goes on) and what the page shows of their output."""
    found: list[Step] = []
    shown = False  # this block begins with a command
    for line in page.read_text().splitlines():
        text = line[4:] if line.startswith("    ") else None
        shown = (shown and text is not None) or (text or "").startswith("$ ")
        if text is None or not shown:
            continue
        if text.startswith("$ "):
            found.append(Step(text[2:], []))
        elif text.startswith(">") and not found[-1].output:
            found[-1] = Step(f"{found[-1].command}\n{text[2:]}", [])
        else:
            found[-1].output.append(text)
    return found


def pattern(output: list[str]) -> str:
    """A line `...` is any number of lines, `...` in a line any text."""
    lines = [r"(?:.*\n)*?" if line == "..." else
             ".*".join(map(re.escape, line.split("..."))) + r"\n" for line in output]  # fmt: skip
    return "".join(lines)


def prepare(folder: Path) -> None:
    """What a page takes for granted: a customer's files, an image of a commit."""
    (folder / "build/mine").mkdir(parents=True)
    shutil.copy(DEFAULT, folder / "build/mine")
    world = scenarios.loads(PLANT)
    with suppress(ScriptError), Testbed(scenario=world, out=folder / "device") as device:
        device.play(DEVICE, 20 * SECOND)
    (folder / "device/net.pcapng").rename(folder / "customer.pcapng")
    shutil.rmtree(folder / "device")
    (folder / "customer-ca.pem").write_bytes(Authority(world)["ca"].pem)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_what_happens(page: Path, tmp_path: Path) -> None:
    found = steps(page)
    assert 3 <= len(found) <= 10
    own = page.name == "README.md"  # read in a clone
    if not own:
        prepare(tmp_path)
    script = "".join(f"{step.command}\nstatus=$?; echo '=== '; (exit $status)\n" for step in found)
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT if own else tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, check=False,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
             "COLUMNS": "200"},
    )  # fmt: skip
    # by the host's clock, and where what is set up is older than pyproject.toml
    told = re.sub(r"(?m)^(omvsim: running,|ci/setup:) .*\n", "", done.stdout)
    outputs = told.split("=== \n")
    assert len(outputs) == len(found) + 1
    for step, output in zip(found, outputs, strict=False):
        assert re.fullmatch(pattern(step.output), output), f"$ {step.command}\n{output}"

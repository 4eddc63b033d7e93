"""Worlds in which something is wrong with each server, and runs in them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from omvsim.testbed import SECOND, FirmwareFault, ScriptError, Testbed, TimeLimit

from netsim import scenario as scenarios

Run = Callable[..., subprocess.CompletedProcess[str]]

WORLD = """
time = 2026-06-15T12:00:00Z
[camera]
rtc = 2026-06-15T12:00:00Z
[camera.files]
"ca.der" = { certificate = "ca" }
"ca.pem" = { certificate = "ca", format = "pem" }
"ed.key" = { key = "ed" }
"empty.der" = { text = "" }
"note.txt" = { text = "hello" }
"twin.der" = { certificate = "twin" }
[certificates.ca]
ca = true
common_name = "Test CA"
[certificates.twin]
ca = true
common_name = "Test CA"
[certificates.other]
ca = true
common_name = "Other CA"
[certificates.middle]
issuer = "ca"
ca = true
common_name = "Middle CA"
[certificates.good]
issuer = "ca"
names = ["good.lan"]
[certificates.old]
issuer = "ca"
names = ["old.lan"]
not_after = 2026-05-15T00:00:00Z
[certificates.new]
issuer = "ca"
names = ["new.lan"]
not_before = 2026-07-01T00:00:00Z
[certificates.stranger]
issuer = "other"
names = ["stranger.lan"]
[certificates.short]
issuer = "middle"
names = ["short.lan"]
chain = []
[certificates.alone]
names = ["alone.lan"]
[certificates.ed]
issuer = "ca"
names = ["ed.lan"]
key = "Ed25519"
"""
SERVERS = {
    "good": "", "old": "", "new": "", "stranger": "", "short": "", "alone": "",
    "ed": 'versions = ["TLSv1.2"]\n',
    "three": 'versions = ["TLSv1.3"]\ncertificate = "good"\n',
    "chacha": 'ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305"\ncertificate = "good"\n',
    "mutual": 'verify = "ca"\ncertificate = "good"\n',
    "resets": 'misbehave = "reset:2"\ncertificate = "good"\n',
    "ends": 'misbehave = "fin:2"\ncertificate = "good"\n',
    "stalls": 'misbehave = "stall:2"\ncertificate = "good"\n',
    "six": 'certificate = "good"\ngreeting = "hello "\necho = false\nend = "never"\n',
    "slow": 'certificate = "good"\nhandshake_delay_ms = 60000\n',
}  # fmt: skip
TLS = """
import socket, ssl
def connect(name, port=443):
    sock = socket.socket()
    sock.connect(socket.getaddrinfo(name + ".lan", port)[0][-1])
    return sock
def secure(name, host=None, ca="ca.der", **more):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED
    if ca: context.load_verify_locations(cafile=ca)
    return context.wrap_socket(connect(name, **more), server_hostname=host or name + ".lan")
def insecure(name, seconds=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_NONE
    sock = connect(name)
    sock.settimeout(seconds)
    return context.wrap_socket(sock)
"""


def world(more: str = "", text: str = WORLD) -> scenarios.Scenario:
    tables = []
    for number, (name, keys) in enumerate(SERVERS.items(), 10):
        whose = "" if "certificate" in keys else f'certificate = "{name}"\n'
        tables.append(
            f'[[server]]\nkind = "tls"\nname = "{name}.lan"\naddress = "192.168.1.{number}"\n'
            f"port = 443\n{keys}{whose}"
        )  # fmt: skip
    for kind, port in (("tcp", 80), ("tcp", 443)):
        tables.append(
            f'[[server]]\nkind = "{kind}"\nname = "plain.lan"\naddress = "192.168.1.9"\n'
            f'port = {port}\ngreeting = "SSH-2.0-x\\r\\n"\necho = false\nend = "never"\n'
        )
    return scenarios.loads(text + "".join(tables) + more)


CLOCK = "import machine\nmachine.RTC().datetime((%s, 1, 1, 1, 0, 0, 0, 0))\n"
#: script behind the 11 lines of TLS, and what is told


def told(out: Path, script: str, scenario: scenarios.Scenario, limit: int = 100) -> str:
    """The cause in result.json of a run, which report.html shows, too."""
    errors = ScriptError, TimeLimit, FirmwareFault
    with pytest.raises(errors), Testbed(scenario=scenario, out=out) as testbed:
        testbed.play(script.encode(), limit * SECOND)
    cause = json.loads((out / "result.json").read_text())["cause"]
    assert isinstance(cause, str)
    return cause

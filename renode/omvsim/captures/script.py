"""A camera's script that does what the device of a capture did, as far as bytes show it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from netsim.scenario import Scenario
from omvsim.conversations.talks import Talk
from omvsim.evidence.case import BAD, spoken

MOST = 20  # conversations
MOST_SAID = 4096  # bytes that stand in the script as they were
PLAIN = """\
sock = socket.socket({kind})
sock.connect(socket.getaddrinfo({host!r}, {port})[0][-1])
"""
SECURE = """\
context = ssl.SSLContext(ssl.{protocol})
context.verify_mode = ssl.CERT_{mode}
{load}sock = context.wrap_socket(sock{name})
print("handshake done", sock.cipher())
"""


def written(found: Iterable[Talk], device: str, world: Scenario, capture: str) -> str:
    """The script, for what the device has called; nothing if it called nobody."""
    names = {(str(s.address), s.listening_port): s.name for s in world.servers}
    calls = [t for t in found if t.client[0] == device and t.server in names]
    parts = [_call(talk, names[talk.server], world) for talk in calls[:MOST]]
    if not parts:
        return ""
    more = f", the first {MOST} of {len(calls)} connections" if len(calls) > MOST else ""
    head = f"# What the device did in {capture}{more}: sizes as recorded, texts where readable.\n"
    return head + "import socket\nimport ssl\n\n" + "\n".join(parts)


def _call(talk: Talk, name: str, world: Scenario) -> str:
    hello = None
    with suppress(*BAD):
        hello = talk.hello()
    kind = "socket.AF_INET, socket.SOCK_DGRAM" if talk.datagrams else ""
    text = PLAIN.format(kind=kind, host=name, port=talk.server[1])
    if hello:
        files = list(world.camera.files)
        text += SECURE.format(
            protocol="PROTOCOL_DTLS_CLIENT" if talk.datagrams else "PROTOCOL_TLS_CLIENT",
            mode="REQUIRED" if files and hello.name else "NONE",
            load="".join(f"context.load_verify_locations(cafile={f!r})\n" for f in files),
            name=f", server_hostname={hello.name!r}" if hello.name else "",
        )
    sent, got = (spoken(talk, side) for side in ("client", "server"))
    with suppress(*BAD):
        said = talk.said("client")
    if said is not None and len(said) <= MOST_SAID:
        text += f"sock.write({said!r})\n" if said else ""
    elif sent:
        text += f'sock.write(b"." * {sent})\n'
    if got:
        text += f"print(len(sock.read({got})), 'bytes')\n"
    return text + "sock.close()\n"

"""Load that takes minutes: each measure is bounded, and a table tells all of them (ci/soak load).

python tests/netsim/load.py [MEASURE ...]
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hostile import SERVER, WORLD, Row, datagrams, records, visitors
from hostile_camera import answers, ends, flights, hellos, open_ends
from omvsim.testbed import SECOND, Testbed
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from station import Collector, Station

import netsim
from netsim import scenario as scenarios

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "firmware/examples/tls_client.py"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)

MAC = "import network; print(network.LAN().config('mac').hex())"
CONNECT = """
import socket, ssl
def connect(port):
    sock = socket.socket()
    sock.connect(socket.getaddrinfo("bulk.lan", port)[0][-1])
    if port != 9443: return sock
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock, server_hostname="bulk.lan")
"""
BULK = """
sock = connect(PORT)
chunk, back, done = b"0123456789abcdef" * 64, bytearray(1024), 0
for _ in range(SIZE // 1024):
    sock.write(chunk)
    view = memoryview(back)
    while view:
        view = view[sock.readinto(view):]
    if back != chunk: raise ValueError(done)
    done += 1024
sock.close()
print(done)
"""
AGAIN = """
import gc
for _ in range(COUNT):
    sock = connect(PORT)
    sock.write(b"ping")
    if sock.read(4) != b"ping": raise ValueError
    sock.close()
    gc.collect()
print("done")
"""
AT_ONCE = """
socks = []
try:
    while len(socks) < 64: socks.append(connect(9000))
except OSError as error:
    print(error)
for n, sock in enumerate(socks): sock.write(b"%4d" % n)
for n, sock in enumerate(socks):
    if sock.read(4) != b"%4d" % n: raise ValueError(n)
print(len(socks))
"""


def memory() -> float:
    """MB of this process that are resident now (proc(5), statm)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def frames() -> Iterator[Row]:
    """10,000 datagrams in a second, to a port that nobody reads."""
    with Testbed(scenario=scenarios.loads("")) as testbed:
        testbed.boot()
        address = str(testbed.port.address)
        mac = bytes.fromhex(
            testbed.exec("import network; print(network.LAN().config('mac').hex())")
        )
        gateway = testbed.scenario.network.gateway
        sent = bytes(
            Ether(dst=mac, src=b"\x02\x00" + gateway.packed)
            / IP(src=str(gateway), dst=address) / UDP(sport=9, dport=4000) / bytes(64)
        )  # fmt: skip
        began = time.process_time()
        for _ in range(10_000):
            testbed.engine.send_frame(sent)
            testbed.run_for(100_000)
        seconds = time.process_time() - began
        testbed.ping()
        yield "10,000 frames in a second at the camera", seconds, "s of a core", seconds < 60


def clients() -> Iterator[Row]:
    """200 connections to one server at once, each with its own data."""
    with netsim.build(scenarios.loads(WORLD)) as network:
        station = Station(network)
        made = [Collector(b"%d" % n * 500) for n in range(200)]
        began = time.process_time()
        for client in made:
            station.host.connect(SERVER, 9000, client, 0)
        station.run(20 * SECOND)
        served = sum(client.got == client.text for client in made)
        seconds = time.process_time() - began
    yield "of 200 clients at once, served", served, "", served == 200
    yield "by", seconds, "s of a core", seconds < 60


def connections() -> Iterator[Row]:
    """As many as lwIP has control blocks for, up to 64; the next is refused, not hung."""
    with Testbed(scenario=scenarios.loads(WORLD)) as testbed:
        testbed.boot()
        *told, count = testbed.exec(CONNECT + AT_ONCE, 60 * SECOND).splitlines()
        said = f" (then {told[0]})" if told else ""
        yield f"connections from the camera at once{said}", int(count), "", int(count) > 0


def bulk(size: int = 64 << 20) -> Iterator[Row]:
    """There and back, over TCP and over TLS, in two halves."""
    for kind, port in (("TCP", 9000), ("TLS", 9443)):
        source = (CONNECT + BULK).replace("PORT", str(port)).replace("SIZE", str(size // 2))
        good, used = True, []
        with Testbed(scenario=scenarios.loads(WORLD)) as testbed:
            testbed.boot()
            began, now = time.process_time(), testbed.now
            for _ in range(2):
                good = testbed.exec(source, 10**5 * SECOND) == f"{size // 2}\n" and good
                used.append(memory())
            seconds, virtual = time.process_time() - began, (testbed.now - now) / SECOND
        what = f"{size >> 20} MiB each way over {kind}"
        yield what, seconds, f"s of a core, {virtual:.0f} virtual", good
        grown = used[1] - used[0]
        yield "  memory of the second half", grown, "MB more", grown < 8


def reconnects(count: int = 1000) -> Iterator[Row]:
    """The last half may not need more memory than the first."""
    for kind, port in (("TCP", 9000), ("TLS", 9443)):
        with Testbed(scenario=scenarios.loads(WORLD)) as testbed:
            testbed.boot()
            source = (CONNECT + AGAIN).replace("PORT", str(port))
            source = source.replace("COUNT", str(count // 2))
            began, used = time.process_time(), []
            for _ in range(2):
                testbed.exec(source, 10**5 * SECOND)
                used.append(memory())
        seconds = time.process_time() - began
        yield f"{count} reconnects over {kind}", seconds, "s of a core", seconds < 1800
        grown = used[1] - used[0]
        yield "  memory of the second half", grown, "MB more", grown < 8


def cameras() -> Iterator[Row]:
    """Idle ones in one network: what a virtual second of all costs is linear in their number."""
    costs = {}
    made: list[Testbed] = []
    try:
        for count in (1, 2, 5, 10, 20):
            while len(made) < count:
                joined = {"world": made[0].world, "name": f"c{len(made)}"} if made else {}
                made.append(Testbed(scenario=scenarios.loads(""), **joined))
                made[-1].boot()
            began = time.process_time()
            made[0].run_for(20 * SECOND)
            costs[count] = (time.process_time() - began) * 1000 / 20
            yield (
                f"{count} idle camera(s), a virtual second", costs[count], "ms of a core",
                costs[count] < 100,
            )  # fmt: skip
    finally:
        for testbed in reversed(made):
            testbed.close()
    ratio = costs[20] / costs[10]
    yield "  20 against 10", ratio, "times", ratio < 3


def idle() -> Iterator[Row]:
    """A camera that sleeps for a virtual hour, as a share of a week."""
    with Testbed(scenario=scenarios.loads("")) as testbed:
        testbed.boot()
        began = time.process_time()
        testbed.exec("import time\ntime.sleep(3600)", 4000 * SECOND)
        minutes = (time.process_time() - began) * 168 / 60
        yield "a week of sleep", minutes, "minutes of a core", minutes < 2


def kills(count: int = 60) -> Iterator[Row]:
    """Runs that a signal meets at any moment: nothing stays behind, results tell what happened."""
    dice = random.Random(1)
    for number in SIGNALS:
        wrong = 0
        for _ in range(count):
            with tempfile.TemporaryDirectory() as place:
                delay = dice.uniform(0.1, 2)  # before that, Python itself is not up
                wrong += not _killed(number, delay, Path(place))
        yield f"of {count} runs ended by {number.name}, wrong", wrong, "", wrong == 0


def _killed(number: signal.Signals, delay: float, place: Path) -> bool:
    temporary, out = place / "tmp", place / "out"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "omvsim", "run", "--out", out, EXAMPLE], cwd=ROOT,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip
    time.sleep(delay)
    process.send_signal(number)
    told = process.communicate()[1]
    # by the signal itself: while Python starts, or at its very end
    good = process.returncode in (0, 130, -number) and "Traceback" not in told
    for _ in range(40):
        if not list(temporary.iterdir()):
            break
        time.sleep(0.05)
    good = good and not list(temporary.iterdir())
    if (out / "result.json").exists():
        outcome = json.loads((out / "result.json").read_text())["outcome"]
        good = good and (outcome != "running" or number == signal.SIGKILL)
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return good
    return False


ALL = (
    frames, clients, connections, bulk, reconnects, cameras, idle, records, datagrams, visitors,
    ends, open_ends, hellos, answers, flights, kills,
)  # fmt: skip
MEASURES: dict[str, Callable[[], Iterator[Row]]] = {made.__name__: made for made in ALL}


def main(names: list[str]) -> int:
    if unknown := set(names) - set(MEASURES):
        print(f"{', '.join(unknown)}: one of {', '.join(MEASURES)}", file=sys.stderr)
        return 2
    good = True
    for name in names or MEASURES:
        for what, figure, unit, within in MEASURES[name]():
            good = good and within
            shown = f"{figure:.0f}" if figure == int(figure) else f"{figure:.2f}"
            print(
                f"{what:52} {shown:>9} {unit}{'' if within else '   NOT WITHIN ITS BOUND'}",
                flush=True,
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

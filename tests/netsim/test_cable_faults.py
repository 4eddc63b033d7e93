"""Faults on the camera's cable: frames and times in, frames and times out."""

import random
from collections.abc import Iterable
from ipaddress import IPv4Address
from itertools import groupby, pairwise

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from station import MAC, Collector, Station, lease

import netsim
from netsim.link.faults import KINDS, POISON, Line
from netsim.scenario import Fault
from netsim.scenario.terms import parse
from netsim.stack.rto import MS, SECOND

FRAME = bytes(Ether(dst="02:00:00:00:00:01") / IP(dst="192.168.1.2") / UDP() / Raw(bytes(100)))
ECHO = IPv4Address("192.168.1.9")
SERVER = '[[server]]\nkind = "tcp"\nname = "echo.local"\naddress = "192.168.1.9"\n'


def through(
    kind: str, times: Iterable[int], frame: bytes = FRAME, seed: int = 1, **options: object
) -> list[tuple[int, bytes]]:
    """What comes out of a fault for frames that enter at these times, and when."""
    line = Line()
    fault = Fault(kind=kind, **options)  # type: ignore[arg-type]
    line.stages.append(KINDS[kind](fault, random.Random(seed)))
    out = []
    for time in times:
        while (due := line.next_deadline()) is not None and due <= time:
            out += [(due, frame) for frame in line.advance(due)]
        line.receive(frame, time)
    while (due := line.next_deadline()) is not None:
        out += [(due, frame) for frame in line.advance(due)]
    return out


EVERY_MS = range(0, 10_000 * MS, MS)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 1.0])
def test_loss_loses_its_share(rate: float) -> None:
    kept = len(through("loss", EVERY_MS, rate=rate))
    assert kept == pytest.approx(10_000 * (1 - rate), abs=150)


@pytest.mark.parametrize("burst", [1, 5, 20])
def test_burst_loss_comes_in_bursts(burst: int) -> None:
    kept = {time for time, _ in through("burst_loss", EVERY_MS, rate=0.2, burst=burst)}
    runs = [len(list(group)) for lost, group in groupby(t not in kept for t in EVERY_MS) if lost]
    assert sum(runs) == pytest.approx(2000, rel=0.25)
    assert sum(runs) / len(runs) == pytest.approx(burst, rel=0.2)


def test_delay_keeps_the_order() -> None:
    out = through("delay", EVERY_MS, delay_ms=20, jitter_ms=50)
    waits = [time - sent for (time, _), sent in zip(out, EVERY_MS, strict=True)]
    assert min(waits) >= 20 * MS and max(waits) <= 70 * MS
    assert [time for time, _ in out] == sorted(time for time, _ in out)


def test_duplicates_come_later() -> None:
    out = through("duplicate", range(0, SECOND, 10 * MS), rate=0.3, delay_ms=2)
    assert 115 <= len(out) <= 145
    extra = sorted(time for time, _ in out if time % (10 * MS))
    assert all(time % (10 * MS) == 2 * MS for time in extra) and len(extra) == len(out) - 100


def test_reordering_lets_others_overtake() -> None:
    frames = [bytes([i]) * 60 for i in range(100)]
    line = Line()
    fault = Fault(kind="reorder", rate=0.2, delay_ms=3)
    line.stages.append(KINDS["reorder"](fault, random.Random(1)))
    for number, frame in enumerate(frames):
        line.receive(frame, number * MS)
    out = []
    while (due := line.next_deadline()) is not None:
        out += line.advance(due)
    assert sorted(out) == frames and out != frames
    moved = [abs(out.index(frame) - number) for number, frame in enumerate(frames)]
    assert 1 <= max(moved) <= 3


def test_bit_errors_turn_one_bit_behind_the_header() -> None:
    out = through("bit_errors", EVERY_MS, rate=0.1)
    damaged = [frame for _, frame in out if frame != FRAME]
    assert len(damaged) == pytest.approx(1000, abs=120)
    for frame in damaged:
        turned = [a ^ b for a, b in zip(frame, FRAME, strict=True)]
        assert sum(value.bit_count() for value in turned) == 1 and not any(turned[:14])


def test_truncation() -> None:
    assert {len(f) for _, f in through("truncate", range(100), rate=1, size=40)} == {40}
    sizes = {len(f) for _, f in through("truncate", range(100), rate=1)}
    assert min(sizes) >= 14 and max(sizes) < len(FRAME) and len(sizes) > 30


def test_a_black_hole_swallows_large_packets() -> None:
    size = len(FRAME) - 14
    assert len(through("mtu_black_hole", [0], size=size)) == 1
    assert through("mtu_black_hole", [0], size=size - 1) == []


def test_a_slow_line_queues_and_drops() -> None:
    out = through("rate_limit", [0] * 100, kbit_s=80, size=1514)  # 10 bytes a millisecond
    assert len(out) == 1514 // len(FRAME)
    gaps = {b - a for (a, _), (b, _) in pairwise(out)}
    assert gaps == {len(FRAME) * MS // 10}


def test_a_window_in_time() -> None:
    out = through("loss", EVERY_MS, rate=1.0, from_ms=2000, until_ms=3000)
    assert len(out) == 9000
    assert not [time for time, _ in out if 2 * SECOND <= time < 3 * SECOND]


@pytest.mark.parametrize("kind", ["loss", "burst_loss", "delay", "reorder", "bit_errors"])
def test_the_same_seed_does_the_same(kind: str) -> None:
    options = {"rate": 0.3, "delay_ms": 5, "jitter_ms": 5}
    first = through(kind, EVERY_MS, **options)
    assert first == through(kind, EVERY_MS, **options)
    assert first != through(kind, EVERY_MS, seed=2, **options)


# In a network -----------------------------------------------------------------------------


def echoed(keys: str, size: int = 3000, seconds: int = 60) -> tuple[Collector, Station]:
    """Data to an echo server and back through what `keys` say."""
    with netsim.build(netsim.scenario.loads(SERVER + keys)) as network:
        station = Station(network)
        client = Collector(bytes(i & 0xFF for i in range(size)))
        station.host.connect(ECHO, 7, client, 0)
        station.run(seconds * SECOND)
    return client, station


def fault(kind: str, **keys: object) -> str:
    lines = [f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
             for key, value in keys.items()]  # fmt: skip
    return "\n".join(["[[fault]]", f'kind = "{kind}"', *lines, ""]).replace("'", '"')


@pytest.mark.parametrize(
    "keys",
    [
        fault("loss", rate=0.1),
        fault("burst_loss", rate=0.1, burst=3),
        fault("duplicate", rate=0.5),
        fault("reorder", rate=0.3, delay_ms=20),
        fault("bit_errors", rate=0.1),
        fault("truncate", rate=0.1),
        fault("rate_limit", kbit_s=256, size=4000),
        fault("delay", delay_ms=100, jitter_ms=50) + fault("loss", rate=0.05),
        fault("link_down", from_ms=1, until_ms=3000),
    ],
)
def test_tcp_gets_through(keys: str) -> None:
    client, _ = echoed(keys)
    assert client.got == client.text


def test_directions_are_apart() -> None:
    _, station = echoed(fault("loss", rate=1.0, direction="to_camera"), seconds=5)
    arrived = [Ether(frame) for _, frame in station.log]
    assert all(packet.src == "02:4f:4d:56:00:01" for packet in arrived), "nothing came back"
    assert len(arrived) > 1


def test_what_the_capture_shows_is_on_the_cable(tmp_path: object) -> None:
    """Frames that the camera has sent, and those that have reached it."""
    world = netsim.scenario.loads(SERVER + fault("loss", rate=1.0))
    with netsim.build(world) as network:
        station = Station(network)
        station.host.connect(ECHO, 7, Collector(b"x"), 0)
        station.run(SECOND)
        told = [event.source for event in network.camera.events]
    assert told and set(told) == {"camera"}


def test_the_link_is_told() -> None:
    world = netsim.scenario.loads(fault("link_down", from_ms=100, until_ms=200))
    with netsim.build(world) as network:
        seen = []
        now = 0
        while (due := network.next_deadline()) is not None:
            now = max(now, due)
            network.advance(now)
            seen.append((now // MS, network.camera.link))
    assert seen == [(100, False), (200, True)]


def test_poison_misleads() -> None:
    """The forged address is that of the gateway: nothing that leaves the network arrives."""
    world = netsim.scenario.loads(
        fault("arp_poison", address="192.168.1.1", from_ms=5000, until_ms=8000)
    )
    with netsim.build(world) as network:
        station = Station(network)
        lease(station)
        station.run(10 * SECOND)
    lies = [(t, Ether(f)) for t, f in station.log if f[6:12] == POISON]
    assert [time // SECOND for time, _ in lies] == [5, 6, 7]
    assert all(p[ARP].psrc == "192.168.1.1" and p[ARP].op == 2 for _, p in lies)


def test_faults_in_mid_run() -> None:
    world = netsim.scenario.loads(SERVER)
    with netsim.build(world) as network:
        station = Station(network)
        client = Collector(b"before")
        stream = station.host.connect(ECHO, 7, client, 0)
        station.run(SECOND)
        network.camera.suffer(world.with_one("fault", kind="loss", rate=1).faults, ())
        stream.write(b"after")
        station.run(SECOND)
    assert client.got == b"before"


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (fault("loss", rate=1.5), r"fault\.0\.rate: 1.5 is no share, write 0 to 1"),
        (fault("noise"), "'noise' is unknown, write one of loss, burst_loss"),
        (fault("burst_loss", burst=0), "burst: no burst is that short"),
        (fault("reorder"), "delay_ms is missing, a reorder needs it"),
        (fault("mtu_black_hole"), "size is missing"),
        (fault("delay"), "delay_ms or jitter_ms is missing"),
        (fault("rate_limit", kbit_s=8), "size: the queue holds no frame, write 1514"),
        (fault("arp_poison"), "address is missing"),
        (fault("loss", from_ms=5, until_ms=4), "until_ms: lies before from_ms"),
        (fault("loss", rate="much"), "rate: wrong type, write a number"),
    ],
)
def test_bad_faults(keys: str, complaint: str) -> None:
    with pytest.raises(netsim.ScenarioError, match=complaint):
        netsim.scenario.loads(keys)


# Rules ------------------------------------------------------------------------------------


def rule(match: str, action: str, **keys: object) -> str:
    lines = [f"{key} = {value!r}".replace("'", '"') for key, value in keys.items()]
    return "\n".join(["[[rule]]", f"match = {match!r}", f'action = "{action}"', *lines, ""])


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("TCP", True),
        ("UDP", False),
        ("TCP.dport == 443", True),
        ("TCP.dport==443 TCP.flags & S", True),
        ("TCP.flags & SF", True),
        ("TCP.flags & R", False),
        ("TCP.flags == SA", True),
        ("IP.ttl > 63 IP.ttl <= 64", True),
        ("IP.dst == 192.168.1.2", True),
        ("IP.dst != 192.168.1.2", False),
        ("IP.proto == tcp", True),
        ("Raw.load == hello", True),
        ("TCP.dport == 0x1BB", True),
    ],
)
def test_expressions(expression: str, holds: bool) -> None:
    packet = Ether(
        bytes(Ether() / IP(dst="192.168.1.2") / TCP(dport=443, flags="SA") / Raw(b"hello"))
    )
    assert all(term.holds(packet) for term in parse(expression)) == holds


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (rule("", "drop"), "match: is empty"),
        (rule("TCP.dport = 443", "drop"), "TCP.dport stands alone"),
        (rule("QUIC", "drop"), "no layer is called QUIC, use one of Ether"),
        (rule("TCP.port == 1", "drop"), "TCP has no field port, use one of ack, chksum"),
        (rule("TCP.flags & Q", "drop"), "'Q' are no flags of flags"),
        (rule("TCP", "rewrite"), "the action rewrite and set do not fit"),
        (rule("TCP", "answer"), "the action answer and set do not fit"),
        (rule("TCP", "hold"), "delay_ms is missing, hold needs it"),
        (rule("TCP", "drop", nth=0), "nth: counts from 1"),
        (rule("TCP", "explode"), "'explode' is unknown"),
        ('[[rule]]\nmatch="TCP"\naction="rewrite"\nset={"TCP.x"="1"}\n', "TCP has no field x"),
    ],
)
def test_bad_rules(text: str, complaint: str) -> None:
    with pytest.raises(netsim.ScenarioError, match=complaint):
        netsim.scenario.loads(text)


def test_the_second_syn_is_dropped_and_no_other() -> None:
    keys = rule("TCP.flags == S", "drop", direction="from_camera", nth=1, count=2)
    client, station = echoed(keys)
    assert client.got == client.text
    syns = [t for t, f in station.log if TCP in Ether(f) and Ether(f)[TCP].flags == "S"]
    assert len(syns) == 3 and syns[2] >= 3 * SECOND  # RFC 6298: after one and after two seconds


def test_hold_and_duplicate() -> None:
    held, station = echoed(rule("TCP.flags == SA", "hold", delay_ms=700))
    answers = [t for t, f in station.log if TCP in Ether(f) and Ether(f)[TCP].flags == "SA"]
    assert held.got == held.text and answers[0] >= 700 * MS
    twice, station = echoed(rule("TCP.flags == SA", "duplicate", delay_ms=3, count=1))
    answers = [t for t, f in station.log if TCP in Ether(f) and Ether(f)[TCP].flags == "SA"]
    assert twice.got == twice.text and answers[1] - answers[0] == 3 * MS


def test_rewriting_makes_checksums_right() -> None:
    client, station = echoed(
        '[[rule]]\nmatch = "TCP"\naction = "rewrite"\ndirection = "to_camera"\n'
        'set = { "IP.ttl" = "9", "TCP.window" = "1000" }\n'
    )
    assert client.got == client.text, "the station takes no packet with a wrong checksum"
    windows = {Ether(f)[TCP].window for _, f in station.log if f[6] == 2 and TCP in Ether(f)
               and Ether(f)[TCP].sport == 7}  # fmt: skip
    assert windows == {1000}


def test_an_answer_resets_the_connection() -> None:
    """RFC 9293 section 3.10.7.3: a RST is taken in SYN-SENT if it acknowledges the SYN."""
    client, station = echoed(
        '[[rule]]\nmatch = "TCP.flags == S"\naction = "answer"\ndelay_ms = 5\n'
        'direction = "from_camera"\nset = { "TCP.flags" = "RA" }\n'
    )
    assert not client.got and client.events == ["lost refused"]
    resets = [(t, Ether(f)[TCP]) for t, f in station.log if TCP in Ether(f) and Ether(f).src != MAC]
    [(at, reset)] = resets
    assert reset.flags == "RA" and reset.sport == 7 and at >= 5 * MS
    assert not [
        f for f in station.network.camera.events if f.source != "camera" and "SYN" in f.text
    ]


def test_an_answer_to_a_query() -> None:
    keys = '[[rule]]\nmatch = "DNS.qr == 0"\naction = "answer"\n'
    keys += 'set = { "DNS.qr" = "1", "DNS.rcode" = "3" }\n'
    query = bytes(
        Ether(src="02:00:00:00:00:09", dst="02:00:c0:a8:01:01") / IP(src="192.168.1.9",
        dst="192.168.1.1") / UDP(sport=4000, dport=53) / DNS(id=77, qd=DNSQR(qname="a.lan"))
    )  # fmt: skip
    with netsim.build(netsim.scenario.loads(keys)) as network:
        network.receive(query, 0)
        [reply] = network.advance(SECOND)
    told = Ether(reply)
    assert (told[IP].dst, told[UDP].sport, told[UDP].dport) == ("192.168.1.9", 53, 4000)
    assert (told[DNS].id, told[DNS].qr, told[DNS].rcode) == (77, 1, 3)


def test_a_function_decides() -> None:
    world = netsim.scenario.loads(SERVER)
    with netsim.build(world) as network:
        seen = []

        def function(packet: Ether) -> list[Ether]:
            seen.append(packet)
            if TCP in packet and packet[TCP].dport == 7 and bytes(packet[TCP].payload):
                packet[TCP].payload = Raw(bytes(packet[TCP].payload).upper())
            return [packet]

        network.camera.rule(function, "from_camera")
        station = Station(network)
        client = Collector(b"quiet")
        station.host.connect(ECHO, 7, client, 0)
        station.run(SECOND)
    assert client.got == b"QUIET" and seen


def test_a_clock_that_is_years_off() -> None:
    world = netsim.scenario.loads(
        '[[server]]\nkind = "ntp"\nname = "ntp.local"\naddress = "192.168.1.9"\n'
        "offset_s = -315360000\n"
    )
    with netsim.build(world) as network:
        [answer] = Station(network).ask_udp("192.168.1.9", 123, b"\x1b" + bytes(47))
    seconds = int.from_bytes(answer[40:44], "big") - 2208988800
    assert 1970 + seconds / 31556952 == pytest.approx(2016.5, abs=0.2)


def test_what_the_cable_does_to_frames_is_told() -> None:
    """Lost, late, changed and repeated ones: in the conversation, or beside it."""
    rules = [
        'match = "UDP.dport == 53 DNS.qr == 0"\naction = "drop"\ncount = 1\n',
        'match = "UDP.sport == 53"\naction = "hold"\ndelay_ms = 40\nnth = 1\ncount = 1\n',
        'match = "UDP.sport == 53"\naction = "rewrite"\nset = { "DNS.tc" = "1" }\nnth = 2\n',
        'match = "ICMP"\naction = "duplicate"\ndirection = "to_camera"\n',
    ]
    world = netsim.scenario.loads("".join(f"[[rule]]\n{rule}" for rule in rules))
    with netsim.build(world) as network:
        station = Station(network)
        lease(station)
        mishaps: list[netsim.Event] = []
        network.camera.watch(mishaps.append)
        seen = len(network.camera.events)
        for number in range(3):
            question = bytes(DNS(id=number, qd=[DNSQR(qname="nowhere.lan")]))
            station.ask_udp("192.168.1.1", 53, question)
        station.host.ping(IPv4Address("192.168.1.1"), station.now)
        station.run(SECOND)
    told = [(e.source, e.target, e.mark) for e in mishaps]
    assert told == [
        ("camera", "gateway", "lost"),
        ("gateway", "camera", "changed"),
        ("gateway", "camera", "comes twice"),
    ]
    assert mishaps[0].text.startswith("lost: UDP / DNS Qry")
    marks = [e.mark for e in network.camera.events[seen:] if e.source == "gateway" and e.mark]
    assert marks == ["40 ms late", "changed"]

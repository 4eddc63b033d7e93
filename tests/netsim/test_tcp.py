"""TCP by segments and `now`, against RFC 9293, RFC 6298 and RFC 5681."""

import random
from ipaddress import IPv4Address
from itertools import pairwise

import pytest

from netsim.stack.application import Application, Stream
from netsim.stack.host import Host
from netsim.stack.rto import SECOND
from netsim.stack.tcp import MSL, Connection, State, reset_for
from netsim.stack.wire import Flag, Segment

MS = 1_000_000
ISS, IRS = 1000, 0xFFFFFFF0  # the peer's numbers wrap soon


def segment(seq: int, ack: int, flags: Flag, data: bytes = b"", window: int = 8000) -> Segment:
    mss = 1000 if flags & Flag.SYN else None
    return Segment(443, 50000, seq & 0xFFFFFFFF, ack, int(flags), window, data, mss)


def established(window: int = 8000) -> Connection:
    connection = Connection(50000, 443, ISS)
    connection.open()
    connection.poll(0)
    connection.receive(segment(IRS, ISS + 1, Flag.SYN | Flag.ACK, window=window), MS)
    [ack] = connection.poll(MS)
    assert connection.state is State.ESTABLISHED
    assert (ack.seq, ack.ack, ack.flags) == (ISS + 1, IRS + 1, Flag.ACK)
    return connection


def test_active_open_sends_syn_with_mss() -> None:
    connection = Connection(50000, 443, ISS)
    connection.open()
    [syn] = connection.poll(0)
    assert (syn.seq, syn.flags, syn.mss, syn.payload) == (ISS, Flag.SYN, 1460, b"")
    assert connection.state is State.SYN_SENT
    assert connection.poll(0) == []


def test_syn_is_repeated_with_back_off_and_given_up() -> None:
    connection = Connection(50000, 443, ISS)
    connection.open()
    times = []
    now: int | None = 0
    while now is not None:
        times += [now // SECOND for s in connection.poll(now) if s.flags & Flag.SYN]
        now = connection.next_deadline()
    assert times == [0, 1, 3, 7, 15, 31, 63]  # RFC 6298: 1 s, doubled each time
    assert (connection.state, connection.error) == (State.CLOSED, "timed out")


def test_passive_open() -> None:
    connection = Connection(443, 50000, ISS)
    connection.accept(Segment(50000, 443, IRS, 0, int(Flag.SYN), 8000, mss=1200))
    [answer] = connection.poll(0)
    assert answer.flags == Flag.SYN | Flag.ACK
    assert (answer.seq, answer.ack) == (ISS, IRS + 1)
    connection.receive(Segment(50000, 443, IRS + 1, ISS + 1, int(Flag.ACK), 8000), MS)
    assert connection.state is State.ESTABLISHED
    connection.send(b"x" * 3000)
    assert [len(s.payload) for s in connection.poll(MS)] == [1200, 1200, 600]


def test_syn_received_answers_wrong_ack_with_reset() -> None:
    connection = Connection(443, 50000, ISS)
    connection.accept(Segment(50000, 443, IRS, 0, int(Flag.SYN), 8000))
    connection.poll(0)
    connection.receive(Segment(50000, 443, IRS + 1, ISS + 9, int(Flag.ACK), 8000), MS)
    [reset] = connection.poll(MS)
    assert (reset.flags, reset.seq) == (Flag.RST, ISS + 9)
    assert connection.state is State.SYN_RECEIVED


def test_repeated_syn_gets_syn_ack_again() -> None:
    connection = Connection(443, 50000, ISS)
    syn = Segment(50000, 443, IRS, 0, int(Flag.SYN), 8000)
    connection.accept(syn)
    first = connection.poll(0)
    connection.receive(syn, MS)
    assert connection.poll(MS) == first


def test_refused() -> None:
    connection = Connection(50000, 443, ISS)
    connection.open()
    [syn] = connection.poll(0)
    reset = reset_for(syn)
    assert reset is not None and (reset.seq, reset.ack) == (0, ISS + 1)
    assert reset.flags == Flag.RST | Flag.ACK
    connection.receive(reset, MS)
    assert (connection.state, connection.error) == (State.CLOSED, "refused")


def test_no_reset_for_a_reset() -> None:
    assert reset_for(segment(5, 6, Flag.RST)) is None


def test_simultaneous_open() -> None:
    a, b = Connection(1, 2, 100), Connection(2, 1, 200)
    a.open(), b.open()
    exchange(a, b, 0, 2 * SECOND)
    assert a.state is b.state is State.ESTABLISHED


def test_data_in_order_out_of_order_and_overlapping() -> None:
    connection = established()
    connection.receive(segment(IRS + 4, ISS + 1, Flag.ACK, b"defg"), MS)
    [gap] = connection.poll(MS)
    assert gap.ack == IRS + 1  # a duplicate ACK names the gap at once
    connection.receive(segment(IRS + 3, ISS + 1, Flag.ACK, b"cde"), MS)
    connection.receive(segment(IRS + 1, ISS + 1, Flag.ACK, b"ab"), MS)
    assert connection.read() == b"abcdefg"
    connection.receive(segment(IRS + 6, ISS + 1, Flag.ACK, b"fgh"), MS)
    assert connection.read() == b"h"
    assert connection.poll(MS)[-1].ack == IRS + 9


def test_sequence_numbers_wrap() -> None:
    connection = established()
    connection.receive(segment(IRS + 1, ISS + 1, Flag.ACK, b"x" * 100), MS)
    assert connection.poll(MS)[-1].ack == (IRS + 101) & 0xFFFFFFFF
    assert connection.read() == b"x" * 100


def test_segment_outside_the_window_is_answered_and_dropped() -> None:
    connection = established()
    connection.receive(segment(IRS + 1 + 70000, ISS + 1, Flag.ACK, b"far"), MS)
    assert [s.ack for s in connection.poll(MS)] == [IRS + 1]
    assert connection.read() == b""


@pytest.mark.parametrize(("offset", "closed"), [(0, True), (1, False), (70000, False)])
def test_reset_counts_only_at_the_exact_number(offset: int, closed: bool) -> None:
    connection = established()
    connection.receive(segment(IRS + 1 + offset, 0, Flag.RST), MS)
    assert (connection.state is State.CLOSED) == closed
    # In the window: challenge ACK; outside: silence (RFC 9293 section 3.10.7.4).
    assert len(connection.poll(MS)) == (1 if offset == 1 else 0)


def test_syn_in_the_window_gets_a_challenge() -> None:
    connection = established()
    connection.receive(segment(IRS + 1, 0, Flag.SYN), MS)
    assert [s.flags for s in connection.poll(MS)] == [Flag.ACK]
    assert connection.state is State.ESTABLISHED


def test_ends_that_disagree_do_not_argue_for_ever() -> None:
    connection = established()
    old = segment(IRS - 5, ISS + 1, Flag.ACK)
    answers = 0
    for step in range(1000):
        connection.receive(old, step * MS)
        answers += len(connection.poll(step * MS))
    assert answers == 2  # one each half second


def test_lost_data_is_sent_again_with_back_off() -> None:
    connection = established()
    connection.send(b"hello")
    sent = [(MS, s.payload) for s in connection.poll(MS)]
    for _ in range(3):
        now = connection.next_deadline()
        assert now is not None
        sent += [(now, s.payload) for s in connection.poll(now)]
    assert [p for _, p in sent] == [b"hello"] * 4
    assert [t - MS for t, _ in sent] == [0, SECOND, 3 * SECOND, 7 * SECOND]
    connection.receive(segment(IRS + 1, ISS + 6, Flag.ACK), 8 * SECOND)
    assert connection.next_deadline() is None


def test_three_duplicate_acks_retransmit_before_the_timer() -> None:
    connection = established(window=20000)
    connection.send(b"x" * 4000)
    assert len(connection.poll(MS)) == 4
    for count in range(3):
        connection.receive(segment(IRS + 1, ISS + 1, Flag.ACK, window=20000), 2 * MS)
        again = connection.poll(2 * MS)
        assert [s.seq for s in again] == ([ISS + 1] if count == 2 else [])


def test_window_of_the_peer_is_respected() -> None:
    connection = established(window=1500)
    connection.send(b"x" * 5000)
    assert sum(len(s.payload) for s in connection.poll(MS)) <= 1500


def test_zero_window_is_probed_until_it_opens() -> None:
    connection = established(window=0)
    connection.send(b"abc")
    assert connection.poll(MS) == []
    times, now = [], MS
    for _ in range(12):  # more often than data would be repeated
        now = connection.next_deadline() or 0
        [probe] = connection.poll(now)
        assert (probe.seq, probe.payload) == (ISS + 1, b"a")
        times.append(now)
        connection.receive(segment(IRS + 1, ISS + 1, Flag.ACK, window=0), now + MS)
        connection.poll(now + MS)
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps[:3] == [2 * SECOND, 4 * SECOND, 8 * SECOND] and gaps[-1] == 60 * SECOND
    connection.receive(segment(IRS + 1, ISS + 1, Flag.ACK, window=100), now + 2 * MS)
    assert [s.payload for s in connection.poll(now + 2 * MS)] == [b"abc"]


def test_reader_that_pauses_closes_and_opens_the_window() -> None:
    connection = established()
    seq = IRS + 1
    while connection.unread < 65535:
        data = b"y" * min(1000, 65535 - connection.unread)
        connection.receive(segment(seq, ISS + 1, Flag.ACK, data), MS)
        seq += len(data)
        window = connection.poll(MS)[-1].window
    assert window == 0
    connection.receive(segment(seq, ISS + 1, Flag.ACK, b"z"), MS)  # a probe: not accepted
    [answer] = connection.poll(MS)
    assert (answer.ack, answer.window) == (seq & 0xFFFFFFFF, 0)
    assert len(connection.read()) == 65535
    assert [s.window for s in connection.poll(MS)] == [65535]


def test_close_from_this_end_with_half_close() -> None:
    connection = established()
    connection.send(b"bye")
    connection.close()
    [last] = connection.poll(MS)
    assert last.payload == b"bye" and last.flags == Flag.FIN | Flag.ACK | Flag.PSH
    assert connection.state is State.FIN_WAIT_1
    connection.receive(segment(IRS + 1, ISS + 5, Flag.ACK), MS)
    assert connection.state is State.FIN_WAIT_2
    assert connection.poll(MS) == []
    connection.receive(segment(IRS + 1, ISS + 5, Flag.ACK, b"still here"), MS)
    assert connection.read() == b"still here"
    connection.receive(segment(IRS + 11, ISS + 5, Flag.FIN | Flag.ACK), MS)
    assert connection.state is State.TIME_WAIT and connection.eof
    connection.poll(MS)
    assert connection.next_deadline() == MS + 2 * MSL
    connection.poll(MS + 2 * MSL)
    assert (connection.state, connection.error) == (State.CLOSED, None)


def test_close_from_the_other_end() -> None:
    connection = established()
    connection.receive(segment(IRS + 1, ISS + 1, Flag.FIN | Flag.ACK, b"end"), MS)
    assert connection.state is State.CLOSE_WAIT and connection.eof
    assert connection.read() == b"end"
    connection.send(b"reply")
    assert connection.poll(MS)[0].payload == b"reply"
    connection.close()
    assert connection.poll(MS)[0].flags & Flag.FIN
    assert connection.state is State.LAST_ACK
    connection.receive(segment(IRS + 5, ISS + 7, Flag.ACK), MS)
    assert connection.state is State.CLOSED and connection.error is None


def test_simultaneous_close() -> None:
    a, b = Connection(1, 2, 100), Connection(2, 1, 200)
    a.open()
    b.accept(a.poll(0)[0])
    exchange(a, b, 0, SECOND)
    a.close(), b.close()
    exchange(a, b, SECOND, 2 * SECOND)
    assert a.state is b.state is State.TIME_WAIT


def test_abort_sends_reset() -> None:
    connection = established()
    connection.abort()
    [reset] = connection.poll(MS)
    assert reset.flags & Flag.RST and reset.seq == ISS + 1
    assert connection.state is State.CLOSED


def test_peer_that_never_answers_is_given_up() -> None:
    connection = established()
    connection.send(b"hello")
    now: int | None = MS
    while now is not None:
        connection.poll(now)
        last, now = now, connection.next_deadline()
    assert connection.error == "timed out"
    assert last > 100 * SECOND  # RFC 9293 section 3.8.3: at least 100 s


def exchange(
    a: Connection, b: Connection, now: int, until: int, *, lose: float = 0.0, seed: int = 1
) -> bytes:
    """Carry segments between two connections with 1 ms each way; returns what b read."""
    dice = random.Random(seed)
    flying: list[tuple[int, int, Connection, Segment]] = []
    got, count = b"", 0
    while now <= until:
        for one, other in ((a, b), (b, a)):
            for out in one.poll(now):
                count += 1
                if dice.random() >= lose:
                    delay = MS + (dice.randrange(3) * MS if lose else 0)  # reorders, too
                    flying.append((now + delay, count, other, out))
        times = [t for t, *_ in flying]
        times += [t for t in (a.next_deadline(), b.next_deadline()) if t is not None]
        if not times:
            break
        now = max(now, min(times))
        for item in sorted(f for f in flying if f[0] <= now):
            flying.remove(item)
            item[2].receive(item[3], now)
        got += b.read()
    return got


@pytest.mark.parametrize("seed", range(8))
def test_bulk_data_survives_loss_and_reordering(seed: int) -> None:
    data = random.Random(seed).randbytes(200_000)
    a, b = Connection(1, 2, 2**32 - 5000), Connection(2, 1, 77)
    a.open()
    b.accept(a.poll(0)[0])
    a.receive(b.poll(0)[0], 0)
    a.send(data)
    a.close()
    got = exchange(a, b, 0, 3600 * SECOND, lose=0.05, seed=seed)
    assert got == data and b.eof
    b.close()
    exchange(a, b, 3600 * SECOND, 7200 * SECOND, lose=0.05, seed=seed)
    assert a.state is b.state is State.CLOSED
    assert a.error is b.error is None


def test_random_segments_never_break_a_connection() -> None:
    dice = random.Random(5)
    for _ in range(200):
        connection = established()
        connection.send(b"x" * dice.randrange(5000))
        for step in range(50):
            near = dice.choice([IRS, IRS + 1, dice.randrange(2**32)]) + dice.randrange(-3, 2000)
            ack = dice.choice([ISS + 1, dice.randrange(2**32)]) + dice.randrange(-3, 3)
            data = dice.randbytes(dice.randrange(50))
            flags = Flag(dice.randrange(32) & ~(Flag.RST if dice.random() < 0.9 else 0))
            connection.receive(
                segment(near, ack & 0xFFFFFFFF, flags, data, dice.randrange(65536)), step * MS
            )
            connection.poll(step * MS)
            if dice.random() < 0.1:
                connection.close()


class Caller(Application):
    """Closes when the other side does."""

    def __init__(self) -> None:
        self.error: str | None = "open"

    def ended(self, stream: Stream) -> None:
        stream.close()

    def lost(self, stream: Stream, error: str | None) -> None:
        self.error = error


class Farewell(Caller):
    """Closes as soon as somebody is there."""

    def opened(self, stream: Stream) -> None:
        stream.close()


def test_time_wait_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The side that closes first waits for two segment lifetimes; callers come sooner."""
    monkeypatch.setattr("netsim.stack.host._MOST_CONNECTIONS", 20)
    server, client = Host("s", IPv4Address("10.0.0.1"), 1), Host("c", IPv4Address("10.0.0.2"), 1)
    server.listen(80, Farewell)
    callers = []
    for now in range(0, 100 * MS, MS):
        callers.append(caller := Caller())
        client.connect(server.address, 80, caller, now)
        for _ in range(8):  # packets there and back
            for host, other in ((client, server), (server, client)):
                for out in host.advance(now):
                    other.receive(out.packet, now)
    assert [caller.error for caller in callers[:-1]] == [None] * 99

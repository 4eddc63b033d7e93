"""One TCP connection as a state machine: segments and `now` in, segments out.

No I/O and no clock. The sender is RFC 9293 with Reno congestion control (RFC 5681) and
the retransmission timer of RFC 6298; options other than the maximum segment size are not
offered. The caller hands in segments that match the connection (`receive`), data to send
(`send`, `close`, `abort`), and takes what is to be sent (`poll`), which also runs timers.
"""

from enum import Enum, auto

from netsim.stack.reno import Reno
from netsim.stack.rto import SECOND, Rto
from netsim.stack.sequence import Reassembly, before, distance, plus
from netsim.stack.wire import Flag, Segment


class State(Enum):
    """Connection states, named as in RFC 9293 section 3.3.2 (LISTEN is the host's)."""

    CLOSED = auto()
    SYN_SENT = auto()
    SYN_RECEIVED = auto()
    ESTABLISHED = auto()
    FIN_WAIT_1 = auto()
    FIN_WAIT_2 = auto()
    CLOSE_WAIT = auto()
    CLOSING = auto()
    LAST_ACK = auto()
    TIME_WAIT = auto()


class Event(Enum):
    """What moves a connection from state to state."""

    OPEN = auto()  # active open: our SYN goes out
    SYN = auto()  # the peer's SYN without an ACK of ours
    SYN_ACKED = auto()  # the peer acknowledged our SYN (and its own is known)
    CLOSE = auto()  # our FIN goes out
    FIN = auto()  # the peer's FIN, in order
    FIN_ACKED = auto()  # the peer acknowledged our FIN
    TIMEOUT = auto()  # 2 MSL are over


# RFC 9293 figure 5. A reset, an abort and a time-out of the user lead to CLOSED from anywhere.
TRANSITIONS = {
    (State.CLOSED, Event.OPEN): State.SYN_SENT,
    (State.CLOSED, Event.SYN): State.SYN_RECEIVED,
    (State.SYN_SENT, Event.SYN): State.SYN_RECEIVED,
    (State.SYN_SENT, Event.SYN_ACKED): State.ESTABLISHED,
    (State.SYN_RECEIVED, Event.SYN_ACKED): State.ESTABLISHED,
    (State.SYN_RECEIVED, Event.CLOSE): State.FIN_WAIT_1,
    (State.ESTABLISHED, Event.CLOSE): State.FIN_WAIT_1,
    (State.ESTABLISHED, Event.FIN): State.CLOSE_WAIT,
    (State.CLOSE_WAIT, Event.CLOSE): State.LAST_ACK,
    (State.FIN_WAIT_1, Event.FIN): State.CLOSING,
    (State.FIN_WAIT_1, Event.FIN_ACKED): State.FIN_WAIT_2,
    (State.FIN_WAIT_2, Event.FIN): State.TIME_WAIT,
    (State.CLOSING, Event.FIN_ACKED): State.TIME_WAIT,
    (State.LAST_ACK, Event.FIN_ACKED): State.CLOSED,
    (State.TIME_WAIT, Event.TIMEOUT): State.CLOSED,
}

MAY_SEND = {  # until our FIN is acknowledged
    State.ESTABLISHED,
    State.CLOSE_WAIT,
    State.FIN_WAIT_1,
    State.CLOSING,
    State.LAST_ACK,
}
MAY_RECEIVE = {State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2}
SYN_STATES = {State.SYN_SENT, State.SYN_RECEIVED}

MSS = 1460  # Ethernet's 1500 less two headers
DEFAULT_MSS = 536  # RFC 9293 section 3.7.1, when the peer names none
BUFFER = 0xFFFF  # receive buffer; the largest window without scaling
MSL = 30 * SECOND  # the RFC's two minutes hold ports longer than any host does
CHALLENGE_INTERVAL = SECOND // 2
SYN_RETRIES, DATA_RETRIES = 6, 10


class Connection:
    """A TCP connection between two ports. Sequence variables are named as in RFC 9293."""

    def __init__(self, local_port: int, remote_port: int, iss: int, largest: int = MSS) -> None:
        """`largest`: the MSS that this end names."""
        self.local_port, self.remote_port = local_port, remote_port
        self.state = State.CLOSED
        self.error: str | None = None  # why the connection ended early
        self.eof = False  # the peer's FIN has arrived
        self.iss = self.snd_una = self.snd_nxt = self.snd_max = iss
        self.snd_wnd = self.snd_wl1 = self.snd_wl2 = 0
        self.max_wnd = 0
        self.irs = self.rcv_nxt = 0
        self.mss = DEFAULT_MSS
        self._largest = largest
        self._unsent_syn = False
        self._closing = False  # a FIN follows the data
        self._fin_sent = False
        self._data = bytearray()  # from snd_una on: not yet acknowledged
        self._unread = bytearray()
        self._advertised = 0  # the window that the peer knows
        self._early = Reassembly()
        self._early_fin: int | None = None
        self._ack_due = False
        self._next_challenge = 0
        self._replies: list[Segment] = []
        self._congestion = Reno(DEFAULT_MSS)
        self._rto = Rto()
        self._timer: int | None = None  # retransmission, persist or 2 MSL, by state
        self._retries = 0

    # Calls of the user ------------------------------------------------------------------

    def open(self) -> None:
        """Active open: `poll` gives the SYN."""
        self._move(Event.OPEN)
        self._unsent_syn = True

    def accept(self, syn: Segment) -> None:
        """Passive open by a SYN that a listener got: `poll` gives the SYN, ACK."""
        self._take_syn(syn)
        self._move(Event.SYN)
        self._unsent_syn = True

    def send(self, data: bytes) -> None:
        """Queue `data`; ignored once the connection is closing."""
        if not self._closing and self.state is not State.CLOSED:
            self._data += data

    def close(self) -> None:
        """No more data from here: a FIN follows what is queued; receiving goes on."""
        if self.state is State.SYN_SENT:
            self._end(None)
        self._closing = True

    def abort(self) -> None:
        """Reset the connection (RFC 9293 section 3.10.5)."""
        if self.state not in (State.CLOSED, State.SYN_SENT, State.TIME_WAIT):
            self._replies.append(self._segment(self.snd_nxt, Flag.RST | Flag.ACK))
        self._end("aborted")

    def read(self) -> bytes:
        """Take the data that has arrived, which opens the window."""
        data = bytes(self._unread)
        self._unread.clear()
        # RFC 9293 section 3.8.6.2.2: tell a wider window only where it is worth a segment.
        if self.state in MAY_RECEIVE and self._advertised < MSS <= self._window():
            self._ack_due = True
        return data

    @property
    def queued(self) -> int:
        """Bytes that the peer has not acknowledged."""
        return len(self._data)

    @property
    def unread(self) -> int:
        """Bytes that have arrived and that nobody has read."""
        return len(self._unread)

    # Segments in: RFC 9293 section 3.10.7 -----------------------------------------------

    def receive(self, segment: Segment, now: int) -> None:
        """Process a segment of this connection."""
        if self.state is State.CLOSED:
            return
        if self.state is State.SYN_SENT:
            self._receive_in_syn_sent(segment, now)
            return
        if not self._acceptable(segment):
            self._answer_unacceptable(segment, now)
            return
        if segment.flags & Flag.RST:
            if segment.seq == self.rcv_nxt:
                self._end("refused" if self.state is State.SYN_RECEIVED else "reset by peer")
            else:
                self._challenge(segment, now)
            return
        if segment.flags & Flag.SYN:
            self._challenge(segment, now)
            return
        if segment.flags & Flag.ACK and self._take_ack(segment, now):
            self._take_payload(segment)
            if self.state is State.TIME_WAIT:
                self._timer = now + 2 * MSL

    def _receive_in_syn_sent(self, segment: Segment, now: int) -> None:
        acked = bool(segment.flags & Flag.ACK)
        if acked and segment.ack != self.snd_max:
            if not segment.flags & Flag.RST:
                self._replies.append(self._segment(segment.ack, Flag.RST))
            return
        if segment.flags & Flag.RST:
            if acked:
                self._end("refused")
            return
        if not segment.flags & Flag.SYN:
            return
        self._take_syn(segment)
        self._ack_due = True
        if acked:
            self._take_ack(segment, now)
            self._take_payload(segment)
        else:  # both ends opened at once
            self._move(Event.SYN)
            self._unsent_syn = True

    def _take_syn(self, segment: Segment) -> None:
        self.irs = segment.seq
        self.rcv_nxt = plus(segment.seq, 1)
        self.mss = min(self._largest, max(segment.mss or DEFAULT_MSS, 64))
        self._congestion = Reno(self.mss)
        self.snd_wnd = self.max_wnd = segment.window
        self.snd_wl1, self.snd_wl2 = segment.seq, segment.ack

    def _acceptable(self, segment: Segment) -> bool:
        """RFC 9293 table 6."""
        window = self._window()
        start = distance(self.rcv_nxt, segment.seq)
        if segment.length == 0:
            return start == 0 or start < window
        end = distance(self.rcv_nxt, plus(segment.seq, segment.length - 1))
        return window > 0 and (start < window or end < window)

    def _answer_unacceptable(self, segment: Segment, now: int) -> None:
        if segment.flags & Flag.RST:
            return
        if self.state is State.SYN_RECEIVED and segment.flags & (Flag.SYN | Flag.ACK) == Flag.SYN:
            self._unsent_syn = True  # our SYN, ACK got lost: again
            return
        if self.state is State.TIME_WAIT and segment.flags & Flag.FIN:
            self._timer = now + 2 * MSL
        self._challenge(segment, now)
        # A probe of a closed window still carries an acknowledgement that counts.
        if segment.flags & Flag.ACK and segment.seq == self.rcv_nxt:
            self._take_ack(segment, now)

    def _challenge(self, segment: Segment, now: int) -> None:
        """Answer a segment out of place. Two ends that disagree could go on with empty ACKs
        for ever, so those are answered now and then only (RFC 5961 section 7)."""
        if segment.length or now >= self._next_challenge:
            self._ack_due = True
            self._next_challenge = now + CHALLENGE_INTERVAL

    def _take_ack(self, segment: Segment, now: int) -> bool:
        """Use the acknowledgement; False if the segment must not be looked at further."""
        ack = segment.ack
        if before(self.snd_max, ack):
            if self.state is State.SYN_RECEIVED:
                self._replies.append(self._segment(ack, Flag.RST))
            else:
                self._challenge(segment, now)
            return False
        if self.state in SYN_STATES:
            if not before(self.snd_una, ack):
                self._replies.append(self._segment(ack, Flag.RST))
                return False
            self._rto.acked(ack, now)
            self.snd_una = plus(self.iss, 1)
            self._restart_timer(now)
            self._move(Event.SYN_ACKED)
        if before(self.snd_una, ack):
            self._take_new_ack(ack, now)
        elif ack == self.snd_una:
            self._take_duplicate_ack(segment, now)
        else:
            return True  # old
        newer = before(self.snd_wl1, segment.seq) or (
            self.snd_wl1 == segment.seq and not before(ack, self.snd_wl2)
        )
        if newer:
            if segment.window and not self.snd_wnd:
                self._restart_timer(now)  # out of the persist state
            self.snd_wnd, self.snd_wl1, self.snd_wl2 = segment.window, segment.seq, ack
            self.max_wnd = max(self.max_wnd, segment.window)
        return True

    def _take_new_ack(self, ack: int, now: int) -> None:
        acked = distance(self.snd_una, ack)
        fin_acked = self._fin_sent and acked > len(self._data)
        del self._data[:acked]
        self.snd_una = ack
        if before(self.snd_nxt, ack):
            self.snd_nxt = ack
        self._rto.acked(ack, now)
        self._congestion.acked(acked)
        self._restart_timer(now)
        if fin_acked:
            self._move(Event.FIN_ACKED)
            if self.state is State.TIME_WAIT:
                self._timer = now + 2 * MSL

    def _take_duplicate_ack(self, segment: Segment, now: int) -> None:
        """Fast retransmit, and the answers to probes."""
        if not self.snd_wnd:
            self._retries = 0  # answered probes may go on for ever
        same = not segment.length and segment.window == self.snd_wnd and self.snd_wnd
        if not same or self.snd_una == self.snd_max:
            return
        if self._congestion.duplicate(distance(self.snd_una, self.snd_max)):
            self._rto.retransmitted()
            self._replies.append(self._data_segment(self.snd_una, self.mss, self._fin_sent))
            self._timer = now + self._rto.value

    def _take_payload(self, segment: Segment) -> None:
        if not segment.payload and not segment.flags & Flag.FIN:
            return
        start = plus(segment.seq, bool(segment.flags & Flag.SYN))
        self._ack_due = True
        if self.state not in MAY_RECEIVE:
            return
        if segment.flags & Flag.FIN:
            self._early_fin = plus(start, len(segment.payload))
        self._early.add(start, segment.payload)
        data = self._early.take(self.rcv_nxt)[: self._window()]
        self._unread += data
        self.rcv_nxt = plus(self.rcv_nxt, len(data))
        if self._early_fin == self.rcv_nxt:
            self.rcv_nxt = plus(self.rcv_nxt, 1)
            self.eof = True
            self._move(Event.FIN)

    # Segments out -----------------------------------------------------------------------

    def poll(self, now: int) -> list[Segment]:
        """Run timers that are due and give the segments to send now."""
        if self._timer is not None and self._timer <= now:
            self._timer = None
            self._time_out(now)
        out, self._replies = self._replies, []
        if self._unsent_syn and self.state in SYN_STATES:
            out.append(self._syn(now))
        elif self.state in MAY_SEND:
            out += self._transmit(now)
        if self._ack_due and self.state not in (State.CLOSED, State.SYN_SENT):
            out.append(self._segment(self.snd_nxt, Flag.ACK))
        self._ack_due = False
        return out

    def next_deadline(self) -> int | None:
        """When `poll` has a timer to run."""
        return self._timer

    def _syn(self, now: int) -> Segment:
        self._unsent_syn, self._ack_due = False, False
        first = self.snd_nxt == self.iss
        self.snd_nxt = self.snd_max = plus(self.iss, 1)
        if first:
            self._rto.sent(self.snd_nxt, now)
        if self._timer is None:
            self._timer = now + self._rto.value
        if self.state is State.SYN_SENT:
            return self._segment(self.iss, Flag.SYN, mss=self._largest)
        return self._segment(self.iss, Flag.SYN | Flag.ACK, mss=self._largest)

    def _transmit(self, now: int) -> list[Segment]:
        """New data and FIN, as far as the windows allow."""
        out = []
        while True:
            offset = distance(self.snd_una, self.snd_nxt)
            left = len(self._data) - offset
            room = min(self.snd_wnd, self._congestion.window) - offset
            size = max(0, min(left, self.mss, room))
            fin = self._closing and size == left and left >= 0
            if not size and not fin:
                break
            # RFC 9293 section 3.8.6.2.1: no silly small segments into a narrow window.
            if size < min(left, self.mss) and size < self.max_wnd // 2 and offset:
                break
            segment = self._data_segment(self.snd_nxt, size, self._closing)
            self.snd_nxt = plus(self.snd_nxt, segment.length)
            if before(self.snd_max, self.snd_nxt):
                self._rto.sent(self.snd_nxt, now)
                self.snd_max = self.snd_nxt
            out.append(segment)
            if segment.flags & Flag.FIN and not self._fin_sent:
                self._fin_sent = True
                self._move(Event.CLOSE)
        if self._timer is None and self._waiting():
            self._timer = now + self._rto.value
        self._ack_due = self._ack_due and not out
        return out

    def _data_segment(self, seq: int, size: int, closing: bool) -> Segment:
        """`size` bytes of queued data at `seq`; the last have PSH, and FIN if `closing`."""
        offset = distance(self.snd_una, seq)
        data = bytes(self._data[offset : offset + size])
        flags = Flag.ACK
        if offset + len(data) >= len(self._data):
            flags |= Flag.PSH if data else Flag(0)
            flags |= Flag.FIN if closing else Flag(0)
        return self._segment(seq, flags, data)

    def _segment(self, seq: int, flags: Flag, data: bytes = b"", mss: int | None = None) -> Segment:
        self._advertised = self._window()
        ack = self.rcv_nxt if flags & Flag.ACK else 0
        ports = self.local_port, self.remote_port
        return Segment(*ports, seq, ack, int(flags), self._advertised, data, mss)

    def _window(self) -> int:
        return BUFFER - len(self._unread)

    def _waiting(self) -> bool:
        """Something is queued or in flight that the peer has to acknowledge."""
        return bool(self._data) or self.snd_una != self.snd_max

    # Timers -----------------------------------------------------------------------------

    def _time_out(self, now: int) -> None:
        if self.state is State.TIME_WAIT:
            self._move(Event.TIMEOUT)
            return
        self._rto.retransmitted()
        self._retries += 1
        if self._retries > (SYN_RETRIES if self.state in SYN_STATES else DATA_RETRIES):
            self._end("timed out")
            return
        self._rto.back_off()
        self._timer = now + self._rto.value
        if self.state in SYN_STATES:
            self._unsent_syn = True
        elif not self.snd_wnd:
            self._probe()
        else:
            self._congestion.timed_out(distance(self.snd_una, self.snd_max))
            self.snd_nxt = self.snd_una  # go back and send all again

    def _probe(self) -> None:
        """Zero-window probe: one byte beyond the window (RFC 9293 section 3.8.6.1)."""
        segment = self._data_segment(self.snd_una, 1, self._fin_sent)
        end = plus(self.snd_una, segment.length)
        if before(self.snd_max, end):
            self.snd_max = end
        self._replies.append(segment)

    def _restart_timer(self, now: int) -> None:
        """RFC 6298 (5.2), (5.3), and the end of a back-off."""
        self._retries = 0
        self._rto.compute()
        self._timer = now + self._rto.value if self._waiting() else None

    # State ------------------------------------------------------------------------------

    def _move(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state, event]
        if self.state in (State.CLOSED, State.TIME_WAIT):
            self._timer = None

    def _end(self, error: str | None) -> None:
        self.state, self.error, self._timer = State.CLOSED, error, None
        self._data.clear()


def reset_for(segment: Segment) -> Segment | None:
    """The reset that answers a segment for no connection (RFC 9293 section 3.10.7.1)."""
    if segment.flags & Flag.RST:
        return None
    ports = segment.destination_port, segment.source_port
    if segment.flags & Flag.ACK:
        return Segment(*ports, segment.ack, 0, int(Flag.RST), 0)
    end = plus(segment.seq, segment.length)
    return Segment(*ports, 0, end, int(Flag.RST | Flag.ACK), 0)

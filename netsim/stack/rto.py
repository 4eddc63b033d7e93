"""TCP's retransmission time-out: RFC 6298. Times in nanoseconds."""

from netsim.stack.sequence import before

MS = 1_000_000
SECOND = 1000 * MS
INITIAL, MINIMUM, MAXIMUM = SECOND, SECOND, 60 * SECOND
_GRANULARITY = MS


class Rto:
    """`value` is the time-out to use; fed with what is sent, acknowledged, and expiries."""

    def __init__(self) -> None:
        self.value = INITIAL
        self._srtt = self._rttvar = 0
        self._timed: tuple[int, int] | None = None  # (sequence number, when it was sent)

    def sent(self, end: int, now: int) -> None:
        """New data up to sequence number `end` was sent; one sample is taken at a time."""
        if self._timed is None:
            self._timed = (end, now)

    def acked(self, ack: int, now: int) -> None:
        """`ack` was acknowledged."""
        if self._timed and not before(ack, self._timed[0]):
            self._sample(now - self._timed[1])
            self._timed = None

    def retransmitted(self) -> None:
        """Karn: no sample from what is sent twice (section 3)."""
        self._timed = None

    def back_off(self) -> None:
        """The timer expired: (5.5)."""
        self.value = min(2 * self.value, MAXIMUM)

    def compute(self) -> None:
        """Forget the back-off, once there is a sample: (2.4), (5.7)."""
        if self._srtt:
            wanted = self._srtt + max(_GRANULARITY, 4 * self._rttvar)
            self.value = min(max(MINIMUM, wanted), MAXIMUM)

    def _sample(self, rtt: int) -> None:
        """A measured round trip: (2.2), (2.3)."""
        if not self._srtt:
            self._srtt, self._rttvar = rtt, rtt // 2
        else:
            self._rttvar = (3 * self._rttvar + abs(self._srtt - rtt)) // 4
            self._srtt = (7 * self._srtt + rtt) // 8
        self.compute()

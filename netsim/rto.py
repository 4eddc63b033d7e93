"""TCP's retransmission time-out: RFC 6298. Times in nanoseconds."""

MS = 1_000_000
SECOND = 1000 * MS
INITIAL, MINIMUM, MAXIMUM = SECOND, SECOND, 60 * SECOND
_GRANULARITY = MS


class Rto:
    """`value` is the time-out to use; fed with round-trip samples and expiries."""

    def __init__(self) -> None:
        self.value = INITIAL
        self._srtt = self._rttvar = 0

    def sample(self, rtt: int) -> None:
        """A measured round trip: (2.2), (2.3)."""
        if not self._srtt:
            self._srtt, self._rttvar = rtt, rtt // 2
        else:
            self._rttvar = (3 * self._rttvar + abs(self._srtt - rtt)) // 4
            self._srtt = (7 * self._srtt + rtt) // 8
        self.compute()

    def back_off(self) -> None:
        """The timer expired: (5.5)."""
        self.value = min(2 * self.value, MAXIMUM)

    def compute(self) -> None:
        """Forget the back-off, once there is a sample: (2.4), (5.7)."""
        if self._srtt:
            wanted = self._srtt + max(_GRANULARITY, 4 * self._rttvar)
            self.value = min(max(MINIMUM, wanted), MAXIMUM)

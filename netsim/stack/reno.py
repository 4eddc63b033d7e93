"""TCP's congestion control: RFC 5681 (slow start, avoidance, fast retransmit, recovery)."""

_DUPLICATES = 3


class Reno:
    """`window` is cwnd: how many bytes may be in flight as far as the network goes."""

    def __init__(self, mss: int) -> None:
        self.window = 4 * mss  # section 3.1
        self._mss = mss
        self._threshold = 0xFFFF
        self._duplicates = 0
        self._recovering = False

    def acked(self, count: int) -> None:
        """`count` new bytes are acknowledged."""
        if self._recovering:
            self.window = self._threshold
        elif self.window < self._threshold:
            self.window += min(count, self._mss)
        else:
            self.window += max(1, self._mss * self._mss // self.window)
        self._duplicates, self._recovering = 0, False

    def duplicate(self, flight: int) -> bool:
        """A duplicate acknowledgement, `flight` bytes under way; True: retransmit now."""
        self._duplicates += 1
        if self._duplicates == _DUPLICATES:
            self._threshold = max(flight // 2, 2 * self._mss)
            self.window = self._threshold + _DUPLICATES * self._mss
            self._recovering = True
            return True
        if self._duplicates > _DUPLICATES:
            self.window += self._mss
        return False

    def timed_out(self, flight: int) -> None:
        """The retransmission timer expired with `flight` bytes under way."""
        self._threshold = max(flight // 2, 2 * self._mss)
        self.window, self._duplicates, self._recovering = self._mss, 0, False

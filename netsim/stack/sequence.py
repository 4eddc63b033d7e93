"""TCP sequence numbers modulo 2**32 (RFC 9293 section 3.4) and reassembly by them."""

_MOST_EARLY = 64  # segments kept ahead of a gap; a window holds 45 of full size


def before(a: int, b: int) -> bool:
    """Sequence number `a` lies before `b`."""
    return (a - b) & 0xFFFFFFFF > 0x7FFFFFFF


def plus(a: int, n: int) -> int:
    """Sequence number `a` moved by `n`."""
    return (a + n) & 0xFFFFFFFF


def distance(a: int, b: int) -> int:
    """How far `b` is ahead of `a`."""
    return (b - a) & 0xFFFFFFFF


class Reassembly:
    """Payloads that arrived ahead of a gap, keyed by their first sequence number."""

    def __init__(self) -> None:
        self._early: dict[int, bytes] = {}

    def add(self, start: int, data: bytes) -> None:
        """Keep `data`, unless longer data with the same start is there already."""
        longer = len(self._early.get(start, b"")) < len(data)
        if longer and (start in self._early or len(self._early) < _MOST_EARLY):
            self._early[start] = data

    def take(self, expected: int) -> bytes:
        """The data in order from sequence number `expected` on; overlaps are cut."""
        out = b""
        while ready := [s for s in self._early if not before(plus(expected, len(out)), s)]:
            for start in ready:
                out += self._early.pop(start)[distance(start, plus(expected, len(out))) :]
        return out

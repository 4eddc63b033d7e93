"""A learning switch: stations by MAC address, each on a full-duplex cable."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

_OVERHEAD = 8 + 4 + 12  # preamble, FCS and the gap between frames (IEEE 802.3)
SHORTEST = 60  # without FCS: what is shorter gets padded
LONGEST = 1518  # with a VLAN tag, without FCS
_MOST_STATIONS = 1024
_LONGEST_QUEUE = 1000  # frames on one cable; a switch's buffers end, too


@dataclass(frozen=True)
class Cable:
    """Rate in Mbit/s and latency in ns of one direction."""

    rate_mbit: int
    latency: int

    def duration(self, size: int) -> int:
        """Nanoseconds that a frame of `size` bytes (no FCS) occupies the cable."""
        return (size + _OVERHEAD) * 8 * 1000 // self.rate_mbit


class Switch:
    """Carries frames between named ports; `due` hands over what has arrived.

    A frame is stored and forwarded: it takes the sender's cable, then the receiver's, and
    waits where a cable is busy.
    """

    def __init__(self, cable: Cable) -> None:
        self._cable = cable
        self._ports: list[str] = []
        self._stations: dict[bytes, str] = {}
        self._busy: dict[tuple[str, str], int] = {}
        self._flying: list[tuple[int, int, Callable[[int], None]]] = []
        self._waiting: dict[tuple[str, str], int] = {}
        self._counter = count()
        self._arrived: list[tuple[str, bytes]] = []

    def attach(self, port: str) -> None:
        """Add a port."""
        self._ports.append(port)

    def detach(self, port: str) -> None:
        """Take a port away; what is on its way there still arrives."""
        self._ports.remove(port)
        self._stations = {mac: name for mac, name in self._stations.items() if name != port}

    def send(self, port: str, frame: bytes, now: int) -> None:
        """The station on `port` sends a frame; runts and giants are lost."""
        if 14 <= len(frame) <= LONGEST:
            frame = frame.ljust(SHORTEST, b"\0")
            self._transmit((port, "up"), frame, now, lambda at: self._forward(port, frame, at))

    def due(self, now: int) -> list[tuple[str, bytes]]:
        """Frames that have reached their ports by `now`."""
        while self._flying and self._flying[0][0] <= now:
            at, _, action = heapq.heappop(self._flying)
            action(at)
        arrived, self._arrived = self._arrived, []
        return arrived

    def next_deadline(self) -> int | None:
        """When the next frame reaches something."""
        return self._flying[0][0] if self._flying else None

    def _forward(self, source: str, frame: bytes, now: int) -> None:
        if frame[6] & 1 == 0 and len(self._stations) < _MOST_STATIONS:
            self._stations[frame[6:12]] = source
        known = None if frame[0] & 1 else self._stations.get(frame[:6])
        for port in self._ports if known is None else [known]:
            if port != source:
                self._deliver(port, frame, now)

    def _deliver(self, port: str, frame: bytes, now: int) -> None:
        self._transmit((port, "down"), frame, now, lambda _: self._arrived.append((port, frame)))

    def _transmit(
        self,
        cable: tuple[str, str],
        frame: bytes,
        now: int,
        action: Callable[[int], None],
    ) -> None:
        """Put a frame on a cable; `action` runs when it has passed."""
        if self._waiting.get(cable, 0) >= _LONGEST_QUEUE:
            return
        self._waiting[cable] = self._waiting.get(cable, 0) + 1
        start = max(now, self._busy.get(cable, 0))
        self._busy[cable] = start + self._cable.duration(len(frame))

        def arrive(at: int) -> None:
            self._waiting[cable] -= 1
            action(at)

        at = self._busy[cable] + self._cable.latency
        heapq.heappush(self._flying, (at, next(self._counter), arrive))

"""What everything on a virtual cable has in common."""

from typing import Protocol


class Port(Protocol):
    """Takes frames and gives frames in virtual time; no I/O, no clock.

    Times are integer nanoseconds since power-on. Frames are Ethernet II without FCS.
    Wrappers (loss, delay, ...) are ports around a port.
    """

    def receive(self, frame: bytes, now: int) -> None:
        """Take a frame that has fully arrived at `now`."""

    def advance(self, now: int) -> list[bytes]:
        """Do what is due up to `now`; return the frames that this port sends."""

    def next_deadline(self) -> int | None:
        """Earliest time at which `advance` has something to do, or None."""

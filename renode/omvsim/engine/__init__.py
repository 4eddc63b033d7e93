"""What executes the camera. `Engine` is all that the rest of the testbed knows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Protocol


class Stop(Enum):
    """Why `Engine.run` came back."""

    DEADLINE = "deadline"
    HOST = "host"
    FRAME = "frame"
    CONSOLE = "console"
    RESET = "reset"
    FAULT = "fault"
    LOCKUP = "lockup"


EXCEPTIONS = {3: "HardFault", 4: "MemManage", 5: "BusFault", 6: "UsageFault"}

#: CFSR by bit (ARMv7-M Architecture Reference Manual B3.2.15)
CFSR = {
    0: "IACCVIOL",
    1: "DACCVIOL",
    3: "MUNSTKERR",
    4: "MSTKERR",
    5: "MLSPERR",
    8: "IBUSERR",
    9: "PRECISERR",
    10: "IMPRECISERR",
    11: "UNSTKERR",
    12: "STKERR",
    13: "LSPERR",
    16: "UNDEFINSTR",
    17: "INVSTATE",
    18: "INVPC",
    19: "NOCP",
    24: "UNALIGNED",
    25: "DIVBYZERO",
}


@dataclass(frozen=True)
class Fault:
    """A fault exception as the core took it: registers of the faulting instruction."""

    exception: str
    now: int
    r: tuple[int, ...]
    xpsr: int
    cfsr: int
    hfsr: int
    mmfar: int
    bfar: int

    def __post_init__(self) -> None:
        if len(self.r) != 16:
            raise ValueError(f"r holds {len(self.r)} registers, not 16")

    @property
    def pc(self) -> int:
        return self.r[15]

    @property
    def causes(self) -> list[str]:
        """Names of the set CFSR bits, with the address where the core knows it."""
        names = [name for bit, name in CFSR.items() if self.cfsr >> bit & 1]
        if self.cfsr & 1 << 7:
            names.append(f"MMFAR=0x{self.mmfar:08X}")
        if self.cfsr & 1 << 15:
            names.append(f"BFAR=0x{self.bfar:08X}")
        return names

    @property
    def frame(self) -> str:
        """What the exception has put on the stack (B1.5.6), lowest address first."""
        words = [*self.r[:4], self.r[12], self.r[14], self.pc, self.xpsr]
        names = ("r0", "r1", "r2", "r3", "r12", "lr", "pc", "xPSR")
        return " ".join(f"{name}={word:08X}" for name, word in zip(names, words, strict=True))

    def __str__(self) -> str:
        causes = ", ".join(self.causes) or "no cause in CFSR"
        return f"{self.exception} at pc 0x{self.pc:08X} lr 0x{self.r[14]:08X}: {causes}"


@dataclass(frozen=True)
class Unmodelled:
    """An access that nothing models: reads gave 0, writes were dropped."""

    address: int
    write: bool
    pc: int
    value: int
    count: int

    def __str__(self) -> str:
        kind = f"write of 0x{self.value:X}" if self.write else "read"
        return f"0x{self.address:08X}: {kind} near pc 0x{self.pc:08X}, {self.count} times"


class Engine(Protocol):
    """A camera that executes. Times are virtual nanoseconds since power-on."""

    name: str
    version: str
    evidence: Path | None  # where a log of its own goes when it closes
    patience_ns: int  # of host time, after which `run` comes back in any case; 0: none
    hold_ns: int  # of virtual time, in which `run` may let printed bytes come together
    hold_until: bytes  # with one of these they are told at once

    @property
    def now(self) -> int: ...

    @property
    def instructions(self) -> int:
        """Instructions executed since power-on."""
        ...

    @property
    def hertz(self) -> int:
        """Instructions that it executes in a virtual second without sleep; 0: it does not tell."""
        ...

    @property
    def programmed_hertz(self) -> int:
        """The core's clock as the firmware has set it; 0: it does not tell."""
        ...

    @property
    def fault(self) -> Fault | None:
        """The last fault exception since reset."""
        ...

    def memory(self, address: int, size: int) -> bytes | None:
        """What memory holds there; None where there is none, or the engine does not tell."""
        ...

    @property
    def clock(self) -> datetime | None:
        """What the calendar shows; None where the engine does not tell."""
        ...

    @property
    def unmodelled(self) -> list[Unmodelled]: ...

    @property
    def unmodelled_beyond(self) -> int:
        """Accesses to more places than are listed."""
        ...

    def run(self, until: int) -> Stop:
        """Execute until virtual time `until`, or earlier: a frame sent, a byte printed, a reset
        that the camera asked for (done already), a fault exception taken, lock-up."""
        ...

    @property
    def wake(self) -> int:
        """When it next acts by itself: now, unless it sleeps."""
        ...

    def doze(
        self, others: Sequence[tuple[Engine, int]], until: int, lookahead: int
    ) -> tuple[Engine, Stop] | None:
        """Let cameras of one network run, each of which was switched on at its time, while all of
        them sleep most of the time: to `until` (the network's time), to the first that does not,
        or to what one of them has come back for. None of them reaches another one sooner than
        `lookahead` after it has woken. An engine may do nothing here."""
        ...

    def console_write(self, data: bytes) -> None:
        """Queue bytes for the console UART; they arrive at its baud rate."""
        ...

    def console_read(self, rest: bool = False) -> bytes:
        """Bytes printed since the last call, those that may wait for more only as the `rest`."""
        ...

    def frames(self) -> list[tuple[int, bytes]]:
        """(time, frame without FCS) sent by the camera since the last call."""
        ...

    def send_frame(self, frame: bytes) -> None:
        """A frame (without FCS) arrives at the camera now."""
        ...

    def set_link(self, up: bool) -> None:
        """The cable at the camera's PHY is plugged in or out."""
        ...

    def reset(self) -> None:
        """Press the reset button."""
        ...

    def snapshot(self) -> bytes:
        """All that it is now. UserError where the engine cannot tell it."""
        ...

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot. UserError where it is damaged, or of another version, image or
        board."""
        ...

    def keep(self, last: bool = False) -> None:
        """What has led here may be skipped in other runs, if the engine can; with `last`, what
        comes from here on is this run's alone."""
        ...

    def close(self) -> None: ...

    def forget(self) -> None:
        """It is closed, and nobody asks it anything more."""
        ...

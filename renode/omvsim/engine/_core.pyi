from collections.abc import Callable
from typing import TypedDict

from typing_extensions import Buffer

class FaultDict(TypedDict):
    exception: int
    clock: int
    r: tuple[int, ...]
    xpsr: int
    cfsr: int
    hfsr: int
    mmfar: int
    bfar: int

class Core:
    event: int
    leap: int
    @property
    def now(self) -> int: ...
    @property
    def wake(self) -> int: ...
    @property
    def idle(self) -> int: ...
    @property
    def leapt(self) -> int: ...
    @property
    def block(self) -> int: ...
    @property
    def fault(self) -> FaultDict | None: ...
    def __init__(
        self,
        on_unmodelled: Callable[[int, int, bool, int, int], int | None],
        on_flash_write: Callable[[int, int, int], object],
    ) -> None: ...
    def map_memory(
        self, base: int, data: Buffer, flash: bool = False, code: bool = False
    ) -> None: ...
    def map_device(
        self,
        base: int,
        size: int,
        mem: Buffer,
        wmask: Buffer,
        w1c: Buffer,
        flags: Buffer,
        bus_read: Callable[[int], int],
        bus_write: Callable[[int, int, int], object],
        queue: list[int],
    ) -> None: ...
    def reset(self, vtor: int) -> bool: ...
    def run(self, limit: int, host_end: int = 0) -> str: ...
    def stop(self) -> None: ...
    def set_line(self, irq: int, level: bool) -> None: ...
    def read(self, address: int, size: int) -> bytes: ...
    def write(self, address: int, data: Buffer) -> None: ...
    def invalidate(self, address: int, size: int) -> None: ...
    def registers(self) -> dict[str, int]: ...

def doze(
    cameras: list[tuple[Core, int, int]], until: int, lookahead: int, host_end: int
) -> tuple[int, str] | None: ...

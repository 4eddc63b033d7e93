"""Quad-SPI interface (RM0433 section 23): indirect modes, automatic polling; what is memory-mapped
the board shows at 0x90000000 at any time.

What the flash has to be told comes when the last bit has left, what it tells FIFO by FIFO. Not
modelled: dual flash, the time-out counter.
"""

from __future__ import annotations

from functools import lru_cache, partial

from omvsim.peripherals.base import Component, Handle, Line, Machine, Peripheral, Reg, bit, bits
from omvsim.peripherals.spi_flash import SpiFlash

TEF, TCF, FTF, SMF, TOF, BUSY = (1 << n for n in range(6))
DMAEN = 1 << 2  # of CR
CLEARABLE = TEF | TCF | SMF | TOF
INDIRECT_WRITE, INDIRECT_READ, POLLING = 0, 1, 2  # CCR.FMODE
MODES = 3 << 8 | 3 << 10 | 3 << 24  # CCR.IMODE, ADMODE, DMODE
FIFO_BYTES = 32
LINES = (float("inf"), 1, 2, 4)  # by CCR.IMODE, ADMODE, ABMODE, DMODE; 0: the part is left out
POLL_NS = 1_000  # between two looks of automatic polling at least
CR, SR, CCR = 0x00 // 4, 0x08 // 4, 0x14 // 4  # words of `mem`: what drivers wait with, often


@lru_cache(maxsize=64)
def _clocks(ccr: int) -> tuple[float, float]:
    """Of a command's other parts, and of a byte of data (23.3.3)."""
    imode, admode, abmode, dmode = (LINES[ccr >> n & 3] for n in (8, 10, 14, 24))
    parts = 8 / imode + 8 * ((ccr >> 12 & 3) + 1) / admode + 8 * ((ccr >> 16 & 3) + 1) / abmode
    return parts + (ccr >> 18 & 31), 8 / dmode


class Quadspi(Peripheral):
    size = 0x1000
    cr = Reg(
        0x00, en=bit(0), abort=bit(1, "w"), dmaen=bit(2), tcen=bit(3), sshift=bit(4), dfm=bit(6),
        fsel=bit(7), fthres=bits(8, 5), interrupts=bits(16, 5), apms=bit(22), pmm=bit(23),
        prescaler=bits(24, 8),
    )  # fmt: skip
    dcr = Reg(0x04, ckmode=bit(0), csht=bits(8, 3), fsize=bits(16, 5))
    sr = Reg(0x08, access="r")
    fcr = Reg(0x0C, access="w")
    dlr = Reg(0x10)
    ccr = Reg(
        0x14, instruction=bits(0, 8), imode=bits(8, 2), admode=bits(10, 2), adsize=bits(12, 2),
        abmode=bits(14, 2), absize=bits(16, 2), dcyc=bits(18, 5), dmode=bits(24, 2),
        fmode=bits(26, 2), sioo=bit(28), dhhc=bit(30), ddrm=bit(31),
    )  # fmt: skip
    ar = Reg(0x18)
    abr = Reg(0x1C)
    dr = Reg(0x20)
    psmkr = Reg(0x24)
    psmar = Reg(0x28)
    pir = Reg(0x2C, interval=bits(0, 16))
    lptr = Reg(0x30, timeout=bits(0, 16))

    def __init__(self, machine: Machine, *, frequency: int = 200_000_000) -> None:
        """`frequency` is quadspi_ker_ck in Hz."""
        super().__init__(machine)
        self.IRQ = Line()
        self.ends = [Line(), Line()]  # FIFO threshold, transfer complete, for the MDMA
        self.frequency = frequency
        self.flash: SpiFlash | None = None
        self._due: Handle | None = None
        self._began = 0  # ns
        self._idle()

    def attach(self, address: int, child: Component) -> None:
        if not isinstance(child, SpiFlash):
            raise ValueError(f"{type(child).__name__} is no flash on SPI")
        self.flash = child

    def reset(self) -> None:
        super().reset()
        self._idle()
        self._update()

    def _idle(self) -> None:
        if self._due:
            self._due.cancel()
            self._due = None
        self._fifo = bytearray()
        self._coming = self._done = 0  # bytes that are on the lines, and before them
        self._running = False

    @property
    def _length(self) -> int:
        """DLR holds one less; all ones: to the end of the flash (23.5.5)."""
        return (self.dlr.value + 1) & 0xFFFFFFFF or 2 << self.dcr.fsize

    @property
    def _mode(self) -> int:
        return self.mem[CCR] >> 26 & 3

    @cr.on_write
    def _control(self, value: int) -> None:
        if value & 2:
            self._idle()
            self.sr.value |= TCF  # an abort completes (23.3.14)
        self._update()

    @ccr.on_write
    def _command(self) -> None:
        if self.ccr.admode == 0:
            self._begin()

    @ar.on_write
    def _address(self) -> None:
        if self.ccr.admode:
            self._begin()

    def _begin(self) -> None:
        """What starts a command: its last part but the data that are to be written (23.3.5)."""
        if not self.mem[CR] & 1 or not self.mem[CCR] & MODES:
            return
        self._idle()
        self._running, self._began, fmode = True, self.machine.now, self._mode
        if fmode == INDIRECT_READ:
            self._fetch()
        elif fmode == POLLING:
            self._due = self.machine.schedule(self._after(min(self._length, 4)), self._poll)
        elif fmode == INDIRECT_WRITE and not self.ccr.dmode:
            self._send(b"")
        self._update()

    def _after(self, data: int) -> int:
        """When so many bytes behind the command's other parts have passed, in ns."""
        parts, byte = _clocks(self.mem[CCR])
        period = ((self.mem[CR] >> 24) + 1) * 1e9 / self.frequency
        return self._began + round((parts + data * byte) * period)

    def _send(self, data: bytes) -> None:
        at = max(self._after(len(data)), self.machine.now)
        self._due = self.machine.schedule(at, partial(self._sent, data))

    def _sent(self, data: bytes) -> None:
        self._due = None
        if self.flash:
            self.flash.write(self.ccr.instruction, self.ar.value if self.ccr.admode else 0, data)
        self.sr.value |= TCF
        self._running = False
        self._update()

    def _receive(self, offset: int, count: int) -> bytes:
        if self.flash is None:
            return b"\xff" * count
        address = self.ar.value if self.ccr.admode else 0
        return self.flash.read(self.ccr.instruction, address, offset, count)

    def _fetch(self) -> None:
        """Let come what the FIFO has room for: the clock stands while it has none (23.3.5)."""
        self._coming = min(FIFO_BYTES - len(self._fifo), self._length - self._done)
        if self._coming and not self._due:
            at = max(self._after(self._done + self._coming), self.machine.now)
            self._due = self.machine.schedule(at, self._arrived)

    def _arrived(self) -> None:
        self._due = None
        self._fifo += self._receive(self._done, self._coming)
        self._done += self._coming
        if self._done == self._length:
            self._running = False
            self.mem[SR] |= TCF
        else:
            self._fetch()
        self._update()

    def _poll(self) -> None:
        """Read the flash's status until it matches PSMAR under PSMKR (23.3.7)."""
        self._due = None
        count = min(self._length, 4)
        mask, wanted = self.psmkr.value, self.psmar.value
        status = int.from_bytes(self._receive(0, count), "little")
        any_bit = self.cr.pmm and (~(status ^ wanted) & mask) != 0
        if any_bit or (status & mask == wanted & mask):
            self.sr.value |= SMF
            self._running = not self.cr.apms
        if self._running:
            pause = max(POLL_NS, self.pir.interval * (self.cr.prescaler + 1) * 5)
            self._due = self.machine.schedule(self.machine.now + pause, self._poll)
        self._update()

    @dr.on_write
    def _write(self, value: int) -> None:
        if not self._running or self.ccr.fmode != INDIRECT_WRITE:
            return
        self._fifo += value.to_bytes(4, "little")[: self.access_size]
        if len(self._fifo) >= self._length and not self._due:
            data = bytes(self._fifo[: self._length])
            self._fifo.clear()
            self._send(data)
        self._update()

    @dr.on_read
    def _read(self) -> int:
        count = min(self.access_size, len(self._fifo))
        value = int.from_bytes(self._fifo[:count], "little")
        del self._fifo[:count]
        if self._running and self._mode == INDIRECT_READ and not self._due:
            self._fetch()
        self._update()
        return value

    @fcr.on_write
    def _clear(self, value: int) -> None:
        if cleared := self.mem[SR] & value & CLEARABLE:  # drivers clear what is not set, too
            self.mem[SR] ^= cleared
            self._update()

    def _update(self) -> None:
        mem, level = self.mem, len(self._fifo)
        cr = mem[CR]
        if self._mode == INDIRECT_WRITE:
            level, ready = 0, cr & 1 != 0  # what is written leaves at once
        else:  # the rest of a read that has ended is less
            ready = level > cr >> 8 & 31 or (level > 0 and not self._running)
        flags = (FTF if ready else 0) | (BUSY if self._running else 0) | level << 8
        mem[SR] = sr = mem[SR] & CLEARABLE | flags
        self.IRQ.set(sr & cr >> 16 & 31)
        if cr & DMAEN or self.ends[0].level or self.ends[1].level:
            for line, flag in zip(self.ends, (FTF, TCF), strict=True):
                line.set(cr & DMAEN and sr & flag)

"""Serial peripheral interface (RM0433 section 50) as the master of a bus without devices: what is
shifted in is all ones, as on a line with a pull-up.

Not modelled: I2S, slave mode, CRC, underrun, mode faults.
"""

from __future__ import annotations

from collections import deque

from omvsim.peripherals.base import Handle, Line, Machine, Peripheral, Reg, bit, bits

RXP, TXP, DXP, EOT, TXTF, OVR, SUSP, TXC = (1 << n for n in (0, 1, 2, 3, 4, 6, 11, 12))
RXWNE = 1 << 15
MIRRORS = RXP | TXP | DXP | TXC | RXWNE | 3 << 13 | 0xFFFF << 16
CLEARABLE = 0xFF8
FIFO_BYTES = 16
SIMPLEX_TRANSMIT, SIMPLEX_RECEIVE = 1, 2  # CFG2.COMM


class Spi(Peripheral):
    cr1 = Reg(
        0x00, spe=bit(0), masrx=bit(8), cstart=bit(9), csusp=bit(10, "w"), hddir=bit(11),
        ssi=bit(12), crc=bits(13, 3), iolock=bit(16),
    )  # fmt: skip
    cr2 = Reg(0x04, tsize=bits(0, 16), tser=bits(16, 16))
    cfg1 = Reg(
        0x08, reset=0x00070007, dsize=bits(0, 5), fthlv=bits(5, 4), udr=bits(9, 4), rxdmaen=bit(14),
        txdmaen=bit(15), crcsize=bits(16, 5), crcen=bit(22), mbr=bits(28, 3),
    )  # fmt: skip
    cfg2 = Reg(
        0x0C, mssi=bits(0, 4), midi=bits(4, 4), ioswp=bit(15), comm=bits(17, 2), sp=bits(19, 3),
        master=bit(22), lsbfrst=bit(23), cpha=bit(24), cpol=bit(25), ssm=bit(26), ssiop=bit(28),
        ssoe=bit(29), ssom=bit(30), afcntr=bit(31),
    )  # fmt: skip
    ier = Reg(0x10, enables=bits(0, 11))
    sr = Reg(0x14, reset=TXP | TXC, access="r")
    ifcr = Reg(0x18, access="w")
    txdr = Reg(0x20, access="w")
    rxdr = Reg(0x30, access="r")
    crcpoly = Reg(0x40, reset=0x107)
    txcrc = Reg(0x44, access="r")
    rxcrc = Reg(0x48, access="r")
    udrdr = Reg(0x4C)
    i2scfgr = Reg(0x50)

    def __init__(self, machine: Machine, *, frequency: int = 120_000_000) -> None:
        """`frequency` is spi_ker_ck in Hz."""
        super().__init__(machine)
        self.IRQ = Line()
        self.DMARecieve, self.room = Line(), Line()  # requests to a DMA
        self.frequency = frequency
        self._due: Handle | None = None
        self._forget()

    def _forget(self) -> None:
        if self._due:
            self._due.cancel()
        self._due = None
        self._tx: deque[int] = deque()  # frames
        self._rx: deque[int] = deque()
        self._left = 0  # frames of the transfer, where TSIZE tells them

    def reset(self) -> None:
        super().reset()
        self._forget()
        self._update()

    @property
    def frame_bits(self) -> int:
        return self.cfg1.dsize + 1

    @property
    def frame_ns(self) -> int:
        return self.frame_bits * (2 << self.cfg1.mbr) * 10**9 // self.frequency

    @property
    def _frame_bytes(self) -> int:
        """In the FIFOs and in the data registers (50.4.9)."""
        return 1 if self.frame_bits <= 8 else 2 if self.frame_bits <= 16 else 4

    @property
    def _depth(self) -> int:
        return FIFO_BYTES // self._frame_bytes

    @cr1.on_write
    def _control(self, value: int, old: int) -> None:
        cr1 = self.cr1
        if not cr1.spe:
            cr1.cstart = 0
            if old & 1:
                self._forget()
                self.sr.value &= ~(EOT | TXTF | SUSP)
        elif value & 1 << 10 and old & 1 << 9:  # CSUSP
            cr1.cstart = 0
            self.sr.value |= SUSP
        elif old & 1 << 9:
            cr1.cstart = 1  # software sets it, hardware clears it
        elif cr1.cstart and self.cfg2.master:
            self._left = self.cr2.tsize
        else:
            cr1.cstart = 0
        self._shift()
        self._update()

    @cr2.on_write
    @cfg1.on_write
    @cfg2.on_write
    @ier.on_write
    def _configure(self) -> None:
        self._update()

    @txdr.on_write
    def _write(self, value: int) -> None:
        """As many frames as the access holds."""
        width = self._frame_bytes
        for n in range(max(1, self.access_size // width)):
            if len(self._tx) < self._depth:
                self._tx.append(value >> 8 * width * n & (1 << self.frame_bits) - 1)
        self._shift()
        self._update()

    @rxdr.on_read
    def _read(self) -> int:
        width, value = self._frame_bytes, 0
        for n in range(max(1, self.access_size // width)):
            if self._rx:
                value |= (self._rx.popleft() & (1 << 8 * width) - 1) << 8 * width * n
        self._shift()
        self._update()
        return value

    def _shift(self) -> None:
        """The next frame goes out, if there is one, and one comes in."""
        if self._due or not (self.cr1.spe and self.cr1.cstart):
            return
        receives = self.cfg2.comm == SIMPLEX_RECEIVE
        full = self.cr1.masrx and len(self._rx) >= self._depth  # the clock waits (50.4.11)
        if (self._tx or receives) and not full:
            if not receives:
                self._tx.popleft()
            self._due = self.machine.schedule(self.machine.now + self.frame_ns, self._shifted)

    def _shifted(self) -> None:
        self._due = None
        if self.cfg2.comm != SIMPLEX_TRANSMIT:
            if len(self._rx) < self._depth:
                self._rx.append((1 << self.frame_bits) - 1)
            else:
                self.sr.value |= OVR
        if self._left:
            self._left -= 1
            if not self._left:
                self.sr.value |= EOT | TXTF
                self.cr1.cstart = 0
        self._shift()
        self._update()

    @ifcr.on_write
    def _clear(self, value: int) -> None:
        self.sr.value &= ~(value & CLEARABLE)
        self._update()

    def _update(self) -> None:
        """The flags that mirror the FIFOs, then the interrupt line."""
        packet = self.cfg1.fthlv + 1
        received = len(self._rx)
        tsize = self.cr2.tsize
        idle = not self._due and not self._tx
        flags = TXP if self._depth - len(self._tx) >= packet else 0
        flags |= RXP if received >= packet else 0
        flags |= DXP if flags == RXP | TXP else 0
        flags |= RXWNE if received * self._frame_bytes >= 4 else 0
        flags |= min(received % packet, 3) << 13  # RXPLVL
        done = self.sr.value & EOT if tsize else idle
        flags |= TXC if done or not self.cr1.spe else 0
        self.sr.value = self.sr.value & ~MIRRORS | flags | self._left << 16
        self.IRQ.set(self.sr.value & self.ier.value & 0x7FF)
        self.DMARecieve.set(self.cfg1.rxdmaen and self.sr.value & RXP)
        self.room.set(self.cfg1.txdmaen and self.cr1.spe and self.sr.value & TXP)

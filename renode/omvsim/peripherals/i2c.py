"""Inter-integrated circuit interface (RM0433 section 47) on a bus without devices: an address is
sent, nobody acknowledges it, and the stop condition follows.

Not modelled: devices, slave mode (no other master calls), SMBus, wake-up.
"""

from __future__ import annotations

from omvsim.peripherals.base import Handle, Line, Machine, Peripheral, Reg, bit, bits

TXE, NACKF, STOPF, BUSY = 1 << 0, 1 << 4, 1 << 5, 1 << 15
EVENTS = 0b1111_1110  # TXIS to TCR
ERRORS = 0b111111 << 8
CLEARABLE = ERRORS | 0b111 << 3
#: CR1 interrupt enable bit and the flags that it lets through
ENABLES = {1: 1 << 1, 2: 1 << 2, 3: 1 << 3, 4: NACKF, 5: STOPF, 6: 0b11 << 6}
ADDRESS_BITS = 10  # start condition, seven bits, direction, acknowledge


class I2c(Peripheral):
    cr1 = Reg(
        0x00, pe=bit(0), interrupts=bits(1, 6), errie=bit(7), filters=bits(8, 5),
        more=bits(14, 10),
    )  # fmt: skip
    cr2 = Reg(
        0x04, sadd=bits(0, 10), rd_wrn=bit(10), add10=bit(11), head10r=bit(12), start=bit(13),
        stop=bit(14), nack=bit(15), nbytes=bits(16, 8), reload=bit(24), autoend=bit(25),
        pecbyte=bit(26),
    )  # fmt: skip
    oar1 = Reg(0x08, oa1=bits(0, 11), oa1en=bit(15))
    oar2 = Reg(0x0C, oa2=bits(1, 10), oa2en=bit(15))
    timingr = Reg(
        0x10, scll=bits(0, 8), sclh=bits(8, 8), sdadel=bits(16, 4), scldel=bits(20, 4),
        presc=bits(28, 4),
    )  # fmt: skip
    timeoutr = Reg(
        0x14, timeouta=bits(0, 12), tidle=bit(12), timouten=bit(15), timeoutb=bits(16, 12),
        texten=bit(31),
    )  # fmt: skip
    isr = Reg(0x18, reset=TXE, access="r")
    icr = Reg(0x1C, access="w")
    pecr = Reg(0x20, access="r")
    rxdr = Reg(0x24, access="r")
    txdr = Reg(0x28, txdata=bits(0, 8))

    def __init__(self, machine: Machine, *, frequency: int = 120_000_000) -> None:
        """`frequency` is i2c_ker_ck in Hz."""
        super().__init__(machine)
        self.EventInterrupt, self.ErrorInterrupt = Line(), Line()
        self.frequency = frequency
        self._due: Handle | None = None

    def reset(self) -> None:
        super().reset()
        self._idle()

    def _idle(self) -> None:
        if self._due:
            self._due.cancel()
            self._due = None
        self.update_irq()

    @property
    def bit_ns(self) -> int:
        """A period of SCL, without the delays of its edges (47.4.10)."""
        timing = self.timingr
        return (timing.scll + timing.sclh + 2) * (timing.presc + 1) * 10**9 // self.frequency

    @cr1.on_write
    def _control(self) -> None:
        """PE clear is a software reset (47.4.6)."""
        if not self.cr1.pe:
            self.cr2.start = self.cr2.stop = self.cr2.nack = 0
            self.isr.value = TXE
            self._idle()
        self.update_irq()

    @cr2.on_write
    def _transfer(self) -> None:
        if not self.cr1.pe:
            self.cr2.start = self.cr2.stop = self.cr2.nack = 0
        elif self.cr2.start and not self._due:
            self.isr.value |= BUSY
            after = self.machine.now + ADDRESS_BITS * self.bit_ns
            self._due = self.machine.schedule(after, self._refused)
        elif not self._due:
            self.cr2.stop = 0  # there is no transfer to be stopped

    def _refused(self) -> None:
        """Nobody has pulled SDA down in the ninth clock: the master sends a stop condition."""
        self._due = None
        self.cr2.start = self.cr2.stop = 0
        self.isr.value = self.isr.value & ~BUSY | TXE | NACKF | STOPF
        self.update_irq()

    @icr.on_write
    def _clear(self, value: int) -> None:
        self.isr.value &= ~(value & CLEARABLE)
        self.update_irq()

    def update_irq(self) -> None:
        enabled = sum(flags for n, flags in ENABLES.items() if self.cr1.value >> n & 1)
        self.EventInterrupt.set(self.isr.value & enabled & EVENTS)
        self.ErrorInterrupt.set(self.cr1.errie and self.isr.value & ERRORS)

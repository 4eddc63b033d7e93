"""Hardware semaphores (RM0433 section 10), as the Cortex-M7 sees them: its MASTERID is 3.

Not modelled: a second core, which this chip has not.
"""

from __future__ import annotations

from omvsim.peripherals.base import Line, Machine, Peripheral, Reg, RegArray, bit, bits

SEMAPHORES = 32
MASTER = 3
LOCK, OWNER = 1 << 31, 0xFFFF  # MASTERID and PROCID


class Hsem(Peripheral):
    r = RegArray(0x00, SEMAPHORES, procid=bits(0, 8), masterid=bits(8, 8), lock=bit(31))
    rlr = RegArray(0x80, SEMAPHORES, access="r")
    ier = Reg(0x100)
    icr = Reg(0x104, access="w")
    isr = Reg(0x108, access="r")
    misr = Reg(0x10C, access="r")
    cr = Reg(0x140, access="w")
    keyr = Reg(0x144, key=bits(16, 16))

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.IRQ = Line()

    def reset(self) -> None:
        super().reset()
        self._update()

    @r.on_write
    def _take(self, index: int, value: int, old: int) -> None:
        """A 2-step lock, or the owner's release (10.3.4)."""
        self.r[index].value = old
        if value & LOCK and not old & LOCK and value >> 8 & 0xFF == MASTER:
            self.r[index].value = LOCK | value & OWNER
        elif not value & LOCK and old & LOCK and value & OWNER == old & OWNER:
            self._free(1 << index)

    @rlr.on_read
    def _take_at_once(self, index: int) -> int:
        """A 1-step lock, with PROCID 0."""
        if not self.r[index].lock:
            self.r[index].value = LOCK | MASTER << 8
        return self.r[index].value

    @cr.on_write
    def _clear_all(self, value: int) -> None:
        """With the key, all semaphores of a master are free."""
        if value >> 16 == self.keyr.key:
            owned = [n for n, r in enumerate(self.r) if r.lock and r.masterid == value >> 8 & 0xFF]
            self._free(sum(1 << n for n in owned))

    def _free(self, which: int) -> None:
        for n, r in enumerate(self.r):
            if which >> n & 1:
                r.value = 0
        self.isr.value |= which
        self._update()

    @icr.on_write
    def _acknowledge(self, value: int) -> None:
        self.isr.value &= ~value
        self._update()

    @ier.on_write
    def _update(self) -> None:
        self.misr.value = self.isr.value & self.ier.value
        self.IRQ.set(self.misr.value != 0)

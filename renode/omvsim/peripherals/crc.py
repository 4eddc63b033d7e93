"""Cyclic redundancy check calculation unit (RM0433 section 21)."""

from __future__ import annotations

from omvsim.peripherals.base import Machine, Peripheral, Reg, bit, bits

WIDTHS = (32, 16, 8, 7)  # by POLYSIZE


def _reverse(value: int, width: int) -> int:
    return int(f"{value:0{width}b}"[::-1], 2)


class Crc(Peripheral):
    dr = Reg(0x00, reset=0xFFFFFFFF, access="r")
    idr = Reg(0x04)
    cr = Reg(0x08, reset_=bit(0, "w"), polysize=bits(3, 2), rev_in=bits(5, 2), rev_out=bit(7))
    init = Reg(0x10, reset=0xFFFFFFFF)
    pol = Reg(0x14, reset=0x04C11DB7)

    def __init__(
        self, machine: Machine, *, series: str = "F0", configurablePoly: bool = True
    ) -> None:
        """The properties are Renode's; this chip's unit always has the programmable polynomial."""
        super().__init__(machine)
        self._crc = 0xFFFFFFFF

    def reset(self) -> None:
        super().reset()
        self._crc = 0xFFFFFFFF

    @cr.on_write
    def _control(self, value: int) -> None:
        if value & 1:
            self._crc = self.init.value
        self._show()

    @init.on_write
    def _initial(self, value: int) -> None:
        """A new initial value is loaded at once."""
        self._crc = value
        self._show()

    @dr.on_write
    def _feed(self, value: int) -> None:
        """A byte, half-word or word, most significant bit first, reversed as REV_IN says."""
        width = 8 * self.access_size
        value &= (1 << width) - 1
        unit = min((width, 8, 16, 32)[self.cr.rev_in], width)
        parts = [value >> shift & (1 << unit) - 1 for shift in range(width - unit, -1, -unit)]
        if self.cr.rev_in:
            parts = [_reverse(part, unit) for part in parts]
        data = 0
        for part in parts:
            data = data << unit | part
        degree = WIDTHS[self.cr.polysize]
        mask, polynomial, crc = (1 << degree) - 1, self.pol.value, self._crc
        for n in range(width - 1, -1, -1):
            top = crc >> degree - 1 & 1 ^ data >> n & 1
            crc = (crc << 1 ^ (polynomial if top else 0)) & mask
        self._crc = crc
        self._show()

    def _show(self) -> None:
        degree = WIDTHS[self.cr.polysize]
        crc = self._crc & (1 << degree) - 1
        self.dr.value = _reverse(crc, degree) if self.cr.rev_out else crc

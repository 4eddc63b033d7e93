"""Flexible memory controller (RM0433 section 22): its registers.

What a board has behind it answers at once, whatever is written here. Not modelled: NAND, ECC.
"""

from __future__ import annotations

from omvsim.peripherals.base import Line, Machine, Peripheral, Reg, RegArray, bits

SELF_REFRESH, POWER_DOWN = 0b101, 0b110  # SDCMR.MODE


class Fmc(Peripheral):
    size = 0x1000
    bcr1 = Reg(0x00, reset=0x000030DB)
    btr1 = Reg(0x04, reset=0x0FFFFFFF)
    bcr = RegArray(0x08, 3, reset=0x000030D2, stride=8)
    btr = RegArray(0x0C, 3, reset=0x0FFFFFFF, stride=8)
    pcr = Reg(0x80, reset=0x00000018)
    sr = Reg(0x84, reset=0x00000040)
    pmem = Reg(0x88, reset=0xFCFCFCFC)
    patt = Reg(0x8C, reset=0xFCFCFCFC)
    eccr = Reg(0x94, access="r")
    bwtr = RegArray(0x104, 4, reset=0x0FFFFFFF, stride=8)
    sdcr = RegArray(0x140, 2, reset=0x000002D0, sdcr=bits(0, 15))
    sdtr = RegArray(0x148, 2, reset=0x0FFFFFFF, sdtr=bits(0, 28))
    sdcmr = Reg(0x150, sdcmr=bits(0, 23))
    sdrtr = Reg(0x154, cre=bits(0, 1, "w"), rest=bits(1, 14))
    sdsr = Reg(0x158, access="r", re=bits(0, 1), modes1=bits(1, 2), modes2=bits(3, 2))

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.IRQ = Line()

    @sdcmr.on_write
    def _command(self, value: int) -> None:
        """An SDRAM bank's mode follows at once (22.9.5, SDSR)."""
        mode = {SELF_REFRESH: 1, POWER_DOWN: 2}.get(value & 7, 0)
        if value >> 4 & 1:  # CTB1
            self.sdsr.modes1 = mode
        if value >> 3 & 1:  # CTB2
            self.sdsr.modes2 = mode

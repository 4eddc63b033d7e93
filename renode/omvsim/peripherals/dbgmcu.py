"""Debug unit (RM0433 section 60.5.8): the device identity. Freezing has no effect here."""

from __future__ import annotations

from omvsim.peripherals.base import Machine, Peripheral, Reg

DEVICE_ID = 0x450  # STM32H742, H743, H753, H750
REVISIONS = {"Z": 0x1001, "Y": 0x1003, "X": 0x2001, "V": 0x2003}


class Dbgmcu(Peripheral):
    idc = Reg(0x00, access="r")
    cr = Reg(0x04)
    apb3fz1 = Reg(0x34)
    apb1lfz1 = Reg(0x3C)
    apb2fz1 = Reg(0x4C)
    apb4fz1 = Reg(0x54)

    def __init__(self, machine: Machine, *, revision: str = "V") -> None:
        super().__init__(machine)
        if revision not in REVISIONS:
            raise ValueError(f'no revision "{revision}"; use one of {", ".join(REVISIONS)}')
        self.revision = REVISIONS[revision]
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.idc.value = self.revision << 16 | DEVICE_ID

"""System configuration controller (RM0433 section 12): chooses the port of each EXTI line."""

from __future__ import annotations

from typing import ClassVar

from omvsim.peripherals.base import Line, Machine, Peripheral, Reg, RegArray, bit, bits

PORTS, PINS = 11, 16


class Syscfg(Peripheral):
    """Input is receiver PORT, pin PIN (`syscfg#PORT@PIN`); output N goes to EXTI line N."""

    local_inputs: ClassVar[int] = PINS

    pmcr = Reg(0x04, fmp=bits(0, 8), boost=bits(8, 2), epis=bits(21, 3), so=bits(24, 4))
    exticr = RegArray(0x08, 4, exti=bits(0, 16))
    cfgr = Reg(0x18, locks=bits(0, 16))
    cccsr = Reg(0x20, en=bit(0), cs=bit(1), ready=bit(8, "r"), hslv=bit(16))
    ccvr = Reg(0x24, reset=0x88, access="r")
    cccr = Reg(0x28, ncc=bits(0, 4), pcc=bits(4, 4))
    pwrcr = Reg(0x2C, oden=bits(0, 4))
    pkgr = Reg(0x124, access="r")
    ur = RegArray(0x300, 18, access="r")

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.outputs = [Line() for _ in range(PINS)]
        self._levels = [0] * PORTS  # by port, a bit for each pin

    def has_input(self, number: int) -> bool:
        return 0 <= number < PORTS * PINS

    def on_gpio(self, number: int, level: bool) -> None:
        port, pin = divmod(number, PINS)
        self._levels[port] = self._levels[port] & ~(1 << pin) | level << pin
        if self._port(pin) == port:
            self.outputs[pin].set(level)

    def _port(self, pin: int) -> int:
        return self.exticr[pin // 4].value >> pin % 4 * 4 & 0xF

    @exticr.on_write
    def _select(self, index: int) -> None:
        for pin in range(index * 4, index * 4 + 4):
            port = self._port(pin)
            self.outputs[pin].set(port < PORTS and self._levels[port] >> pin & 1)

    @cccsr.on_write
    def _compensation_cell(self) -> None:
        self.cccsr.ready = self.cccsr.en

    def reset(self) -> None:
        super().reset()
        for index in range(len(self.exticr)):
            self._select(index)

"""Extended interrupt and event controller (RM0433 section 20), CPU part.

Configurable lines latch edges in PR and are masked by IMR. Direct lines carry a peripheral's own
interrupt to the NVIC unmasked, and do not end Stop mode, in which their peripherals have no clock.
Events and the D3 domain are not modelled; their registers keep what is written.
"""

from __future__ import annotations

from omvsim.peripherals.base import Line, Machine, Peripheral, RegArray

LINES = 96
#: configurable lines (RM0433 table 150): 0-21, 49, 51, 82, 84, 85, 86
CONFIGURABLE = (0x003FFFFF, 0x000A0000, 0x00740000)


class Exti(Peripheral):
    rtsr = RegArray(0x00, 3, stride=0x20)
    ftsr = RegArray(0x04, 3, stride=0x20)
    swier = RegArray(0x08, 3, stride=0x20, access="w")
    d3pmr = RegArray(0x0C, 3, stride=0x20)
    d3pcrl = RegArray(0x10, 3, stride=0x20)
    d3pcrh = RegArray(0x14, 3, stride=0x20)
    imr = RegArray(0x80, 3, stride=0x10)
    emr = RegArray(0x84, 3, stride=0x10)
    pr = RegArray(0x88, 3, stride=0x10, access="w1c")

    #: CPUIMR1 to 3 after reset: direct lines are not masked
    IMR = (0xFFC00000, 0xFFF5FFFF, 0x018BFFFF)

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.outputs = [Line() for _ in range(LINES)]
        self.wakeup = Line()  # of a configurable line: ends Stop mode
        self._defaults()

    def _defaults(self) -> None:
        for view, value in zip(self.imr, self.IMR, strict=True):
            view.value = value

    def reset(self) -> None:
        super().reset()
        self._defaults()
        for index in range(3):
            self._update(index)

    def has_input(self, number: int) -> bool:
        return 0 <= number < LINES

    def on_gpio(self, number: int, level: bool) -> None:
        index, n = number >> 5, number & 31
        if not CONFIGURABLE[index] >> n & 1:
            self.outputs[number].set(level)
            return
        trigger = self.rtsr if level else self.ftsr
        if trigger[index].value >> n & 1:
            self.pr[index].value |= 1 << n
            self._update(index)

    @swier.on_write
    def _software(self, index: int, value: int) -> None:
        self.pr[index].value |= value & CONFIGURABLE[index]
        self._update(index)

    @imr.on_write
    @pr.on_write
    def _update(self, index: int) -> None:
        pending = self.pr[index].value & self.imr[index].value
        lines = CONFIGURABLE[index]
        for n in range(32):
            if lines >> n & 1:
                self.outputs[index * 32 + n].set(pending >> n & 1)
        self.wakeup.set(any(p.value & i.value for p, i in zip(self.pr, self.imr, strict=True)))

"""The CPU and its interrupt controller as the board description names them.

The engine executes both; these hold the properties and pass interrupt lines on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from omvsim.peripherals.base import Component, Line, Machine

FASTEST = 1000  # MHz, twice what any STM32H7 runs at
CPU_TYPES = ("cortex-m7",)


class Nvic(Component):
    """IRQControllers.NVIC: 150 interrupts on this chip (RM0433 table 149)."""

    regions: ClassVar[dict[str, tuple[int, int]]] = {"": (0, 0x1000)}
    INPUTS = 240

    def __init__(
        self, machine: Machine, *, systickFrequency: int = 0, priorityMask: int = 0xF0
    ) -> None:
        super().__init__(machine)
        self.IRQ = Line()
        self.systick_frequency = systickFrequency
        self.priority_mask = priorityMask

    def has_input(self, number: int) -> bool:
        return 0 <= number < self.INPUTS

    def on_gpio(self, number: int, level: bool) -> None:
        self.machine.set_line(number, level)

    def sink(self, number: int) -> Callable[[bool], object]:
        return partial(self.machine.set_line, number)  # most edges are for it


class Dwt(Component):
    """Miscellaneous.DWT: its cycle counter counts the core's own clocks."""

    regions: ClassVar[dict[str, tuple[int, int]]] = {"": (0, 0x1000)}

    def __init__(self, machine: Machine, *, frequency: int) -> None:
        """`frequency` in Hz is for Renode, whose core has no clock to count."""
        super().__init__(machine)


class CortexM(Component):
    """CPU.CortexM: one instruction counts as one clock of PerformanceInMips MHz."""

    def __init__(
        self, machine: Machine, *, cpuType: str, nvic: Nvic, numberOfMPURegions: int = 16,
        PerformanceInMips: int = 100,
    ) -> None:  # fmt: skip
        super().__init__(machine)
        if cpuType not in CPU_TYPES:
            raise ValueError(f'cpuType "{cpuType}" is not emulated; use "{CPU_TYPES[0]}"')
        if not 0 < PerformanceInMips <= FASTEST:
            raise ValueError(f"PerformanceInMips is 1 to {FASTEST}, the core's MHz")
        self.nvic = nvic
        self.mpu_regions = numberOfMPURegions
        self.clock_mhz = PerformanceInMips

    def has_input(self, number: int) -> bool:
        return number == 0

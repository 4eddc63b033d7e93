"""Several lines into one: an OR gate (Renode: Miscellaneous.CombinedInput)."""

from __future__ import annotations

from omvsim.peripherals.base import Component, Line, Machine


class CombinedInput(Component):
    """The output is high while any input is."""

    def __init__(self, machine: Machine, *, numberOfInputs: int) -> None:
        super().__init__(machine)
        self.IRQ = Line()
        self.levels = [False] * numberOfInputs

    def has_input(self, number: int) -> bool:
        return 0 <= number < len(self.levels)

    def on_gpio(self, number: int, level: bool) -> None:
        self.levels[number] = level
        self.IRQ.set(any(self.levels))

    def reset(self) -> None:
        self.levels = [False] * len(self.levels)
        self.IRQ.set(False)

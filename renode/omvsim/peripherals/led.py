"""A lamp on a GPIO pin (Renode: Miscellaneous.LED)."""

from __future__ import annotations

from omvsim.peripherals.base import Component, Machine


class Led(Component):
    """`lit` follows the pin; `invert` for a lamp between pin and supply (lit at low level)."""

    def __init__(self, machine: Machine, *, invert: bool = False) -> None:
        super().__init__(machine)
        self.invert = invert
        self.lit = False

    def has_input(self, number: int) -> bool:
        return number == 0

    def on_gpio(self, number: int, level: bool) -> None:
        self.lit = level != self.invert

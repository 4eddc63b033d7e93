"""General-purpose I/O port (RM0433 section 11). The lock register only keeps its value."""

from __future__ import annotations

from typing import ClassVar

from omvsim.peripherals.base import Component, Line, Machine, Peripheral, Reg, RegArray, bit, bits

PINS = 16
INPUT, OUTPUT, ALTERNATE, ANALOG = range(4)


def _spread(value: int, code: int) -> int:
    """The pins whose two bits in `value` are `code`, as a mask."""
    return sum(1 << pin for pin in range(PINS) if value >> 2 * pin & 3 == code)


class Gpio(Peripheral):
    """Output N follows pin N; input N is what the board drives pin N to, input AF of receiver N
    what the block drives it to that has this alternate function there (`gpioPortB#0@2`)."""

    local_inputs: ClassVar[int] = 16
    local_first: ClassVar[int] = PINS

    moder = Reg(0x00, reset=0xFFFFFFFF)
    otyper = Reg(0x04, ot=bits(0, 16))
    ospeedr = Reg(0x08)
    pupdr = Reg(0x0C)
    idr = Reg(0x10, access="r", id=bits(0, 16))
    odr = Reg(0x14, od=bits(0, 16))
    bsrr = Reg(0x18, access="w")
    lckr = Reg(0x1C, lck=bits(0, 16), lckk=bit(16))
    afr = RegArray(0x20, 2)

    def __init__(
        self,
        machine: Machine,
        *,
        modeResetValue: int = 0xFFFFFFFF,
        outputSpeedResetValue: int = 0,
        pullUpPullDownResetValue: int = 0,
        numberOfAFs: int = 16,
        invertedAFPins: list[list[int]] | None = None,
    ) -> None:
        super().__init__(machine)
        self.outputs = [Line() for _ in range(PINS)]
        self._reset_values = (modeResetValue, outputSpeedResetValue, pullUpPullDownResetValue)
        self._external = 0  # levels that the board drives
        self._driven = 0  # pins that the board drives
        self._wired, self._high = [0] * PINS, [0] * PINS  # by pin: a bit for each function
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.moder.value, self.ospeedr.value, self.pupdr.value = self._reset_values
        self._modes()

    def has_input(self, number: int) -> bool:
        return 0 <= number < PINS + PINS * self.local_inputs

    def on_gpio(self, number: int, level: bool) -> None:
        if number >= PINS:
            pin, function = divmod(number - PINS, self.local_inputs)
            self._wired[pin] |= 1 << function
            self._high[pin] = self._high[pin] & ~(1 << function) | level << function
            self._by_blocks()
            return
        self._driven |= 1 << number
        self._external = self._external & ~(1 << number) | level << number
        self._levels()

    def attach(self, address: int, child: Component) -> None:
        """A lamp or button belongs to pin `address`; wires are connections of their own."""
        if not 0 <= address < PINS:
            raise ValueError("a GPIO port has pins 0 to 15")

    @moder.on_write
    @pupdr.on_write
    @otyper.on_write
    def _modes(self) -> None:
        mode = self.moder.value
        self._output = _spread(mode, OUTPUT)
        self._analog = _spread(mode, ANALOG)
        self._pull_up = _spread(self.pupdr.value, 1)
        self._shown = -1  # outputs may be driven anew at the same level
        self._by_blocks()

    @afr.on_write
    def _by_blocks(self) -> None:
        """What alternate functions drive, where a block is wired to the one that is selected."""
        alternate = _spread(self.moder.value, ALTERNATE)
        selected = self.afr[0].value | self.afr[1].value << 32
        self._function = self._function_high = 0
        for pin in range(PINS):
            function = selected >> 4 * pin & 0xF
            if alternate >> pin & self._wired[pin] >> function & 1:
                self._function |= 1 << pin
                self._function_high |= (self._high[pin] >> function & 1) << pin
        self._levels()

    @odr.on_write
    def _levels(self) -> None:
        """IDR and the output lines from what drives the pins."""
        driven = self._output | self._function
        high = self.odr.value & self._output | self._function_high
        pushed = driven & ~(self.otyper.value & high)  # open drain drives low only
        released = self._external & self._driven | self._pull_up & ~self._driven
        level = high & pushed | released & ~pushed
        self.idr.value = level & ~self._analog & 0xFFFF
        shown = driven << PINS | level
        if shown == self._shown:
            return
        changed = (shown ^ self._shown) if self._shown >= 0 else -1
        self._shown = shown
        for pin in range(PINS):
            if (changed >> pin | changed >> pin + PINS) & 1:
                self._drive(pin, bool(level >> pin & 1))

    def _drive(self, pin: int, level: bool) -> None:
        """Tell sinks even without an edge: a lamp wants to hear when the pin starts to drive."""
        line = self.outputs[pin]
        if line.level != level:
            line.set(level)
        elif (self._output | self._function) >> pin & 1:
            for sink in line.sinks:
                sink(level)

    @bsrr.on_write
    def _set_reset(self, value: int) -> None:
        """Set wins over reset (RM0433 11.4.7)."""
        self.odr.value = self.odr.value & ~(value >> 16) | value & 0xFFFF
        self._levels()

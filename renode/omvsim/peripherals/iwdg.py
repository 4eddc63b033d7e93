"""Independent watchdog (RM0433 section 46)."""

from __future__ import annotations

from omvsim.peripherals.base import Handle, Machine, Peripheral, Reg, RegView, bits, ns_of, ticks

RELOAD, UNLOCK, START = 0xAAAA, 0x5555, 0xCCCC


class Iwdg(Peripheral):
    kr = Reg(0x00, access="w", key=bits(0, 16, "w"))
    pr = Reg(0x04, pr=bits(0, 3))
    rlr = Reg(0x08, reset=0xFFF, rl=bits(0, 12))
    sr = Reg(0x0C, access="r")  # updates take effect at once
    winr = Reg(0x10, reset=0xFFF, win=bits(0, 12))

    def __init__(self, machine: Machine, *, frequency: int = 32_000) -> None:
        """`frequency` is the LSI's in Hz."""
        super().__init__(machine)
        self.frequency = frequency
        self._stopped()

    def _stopped(self) -> None:
        self._due: Handle | None = None
        self._started = 0  # when the counter last held RLR, in ns
        self._unlocked = False

    def reset(self) -> None:
        super().reset()
        if self._due:
            self._due.cancel()
        self._stopped()

    @property
    def _division(self) -> int:
        return 4 << min(self.pr.pr, 6)

    @kr.on_write
    def _key(self, value: int) -> None:
        key = value & 0xFFFF
        self._unlocked = key == UNLOCK
        if key == START and not self._due:
            self._reload()
        elif key == RELOAD and self._due:
            passed = ticks(self.machine.now - self._started, self.frequency, self._division)
            if self.rlr.rl - passed > self.winr.win:
                self._bite()
            else:
                self._reload()

    @pr.on_write
    def _prescaler(self, old: int) -> None:
        self._guard(self.pr, old)

    @rlr.on_write
    def _reload_value(self, old: int) -> None:
        self._guard(self.rlr, old)

    @winr.on_write
    def _window(self, old: int) -> None:
        """Writing the window reloads the counter."""
        if self._guard(self.winr, old) and self._due:
            self._reload()

    def _guard(self, register: RegView, old: int) -> bool:
        """Without the key the registers are read only."""
        if not self._unlocked:
            register.value = old
        return self._unlocked

    def _reload(self) -> None:
        if self._due:
            self._due.cancel()
        self._started = self.machine.now
        period = ns_of(self.rlr.rl + 1, self.frequency, self._division)
        self._due = self.machine.schedule(self.machine.now + period, self._bite)

    def _bite(self) -> None:
        self.machine.reset("IWDG1RSTF")

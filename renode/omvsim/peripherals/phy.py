"""Ethernet PHY on MDIO: IEEE 802.3 clause 22 registers and those of the LAN8742A (DS00001989)."""

from __future__ import annotations

from omvsim.peripherals.base import Component, Machine

BMCR, BMSR, ID1, ID2, ANAR, ANLPAR, ANER = range(7)
MODE_CONTROL, SPECIAL_MODES, ERROR_COUNTER, CONTROL_STATUS = 17, 18, 26, 27
INTERRUPT_SOURCE, INTERRUPT_MASK, SPECIAL_STATUS = 29, 30, 31

RESET, LOOPBACK, SPEED_100, AUTONEGOTIATE, POWER_DOWN, ISOLATE, RESTART, DUPLEX = (
    1 << n for n in (15, 14, 13, 12, 11, 10, 9, 8)
)
#: 100BASE-TX and 10BASE-T, half and full duplex, auto-negotiation ability, extended registers
ABILITIES = 0x7809
NEGOTIATED, LINK = 1 << 5, 1 << 2
AUTODONE = 1 << 12  # of the special status register
#: interrupt sources: energy detected, auto-negotiation complete, link down
ENERGY_ON, COMPLETE, LINK_DOWN = 1 << 7, 1 << 6, 1 << 4
#: shorter than the usual 1.5 s: firmware that polls the link costs host time for each of them
NEGOTIATION_NS = 200_000_000


class Phy(Component):
    """The link partner offers everything up to 100BASE-TX full duplex."""

    def __init__(
        self, machine: Machine, *, Id1: int = 0x0007, Id2: int = 0xC131, BasicStatus: int = 0,
        AutoNegotiationAdvertisement: int = 0x01E1,
        AutoNegotiationLinkPartnerBasePageAbility: int = 0xCDE1, VendorSpecific15: int = 0,
    ) -> None:  # fmt: skip
        """The properties are Renode's; BasicStatus and VendorSpecific15 follow the link here."""
        super().__init__(machine)
        self.id = (Id1, Id2)
        self.advertised = AutoNegotiationAdvertisement
        self.partner = AutoNegotiationLinkPartnerBasePageAbility
        self.cable = True
        self._link_lost = False  # latched low until BMSR is read
        self._registers: dict[int, int] = {}
        self.reset()

    def reset(self) -> None:
        """A reset of the PHY; it starts to negotiate with the values of its straps."""
        self._registers = {
            BMCR: AUTONEGOTIATE | SPEED_100 | DUPLEX,
            ID1: self.id[0],
            ID2: self.id[1],
            ANAR: self.advertised,
            SPECIAL_MODES: 0x00E0,
        }
        self._negotiate()

    def set_link(self, up: bool) -> None:
        """Plug or pull the cable."""
        if self.cable and not up:
            self._interrupt(LINK_DOWN)
            self._link_lost = True
        elif up and not self.cable:
            self._interrupt(ENERGY_ON)
            self._negotiate()
        self.cable = up

    @property
    def link(self) -> bool:
        """Whether frames pass."""
        usable = not self._registers[BMCR] & (POWER_DOWN | ISOLATE)
        return self.cable and usable and self.machine.now >= self._up_at

    @property
    def _common(self) -> int:
        """Technologies that both ends offer: bits of ANAR."""
        return self._registers[ANAR] & self.partner & 0x01E0

    @property
    def mode(self) -> tuple[int, bool]:
        """Speed in Mbit/s and full duplex."""
        control, common = self._registers[BMCR], self._common
        if not control & AUTONEGOTIATE:
            return 100 if control & SPEED_100 else 10, bool(control & DUPLEX)
        for ability, mode in (
            (0x100, (100, True)), (0x80, (100, False)), (0x40, (10, True)), (0x20, (10, False)),
        ):  # fmt: skip
            if common & ability:
                return mode
        return 10, False

    def read(self, register: int) -> int:  # noqa: PLR0911
        if register == BMSR:
            status = ABILITIES
            if self.link and not self._link_lost:
                status |= LINK
            if self.link and self._registers[BMCR] & AUTONEGOTIATE:
                status |= NEGOTIATED
            self._link_lost = False
            return status
        if register == ANLPAR:
            return self.partner if self.link else 0
        if register == ANER:
            return 0x0003 if self.link else 0  # partner negotiates, page received
        if register == INTERRUPT_SOURCE:
            return self._registers.pop(INTERRUPT_SOURCE, 0)
        if register == SPECIAL_STATUS:
            speed, full = self.mode
            done = AUTODONE if self.link else 0
            return done | (0b10 if speed == 100 else 0b01) << 2 | full << 4 | 0x40
        if register == MODE_CONTROL:
            return self._registers.get(register, 0) & ~2 | (2 if self.link else 0)  # ENERGYON
        return self._registers.get(register, 0)

    def write(self, register: int, value: int) -> None:
        if register in (BMSR, ID1, ID2, ANLPAR, ANER, INTERRUPT_SOURCE, SPECIAL_STATUS):
            return
        if register == BMCR:
            if value & RESET:
                self.reset()
                return
            old = self._registers[BMCR]
            self._registers[BMCR] = value & ~(RESET | RESTART)
            woken = old & ~value & (POWER_DOWN | ISOLATE)
            if value & AUTONEGOTIATE and (value & RESTART or not old & AUTONEGOTIATE or woken):
                self._negotiate()
            return
        self._registers[register] = value

    def _negotiate(self) -> None:
        self._up_at = self.machine.now + NEGOTIATION_NS
        self.machine.schedule(self._up_at, self._negotiated)

    def _negotiated(self) -> None:
        if self.link:
            self._interrupt(COMPLETE)

    def _interrupt(self, source: int) -> None:
        """Sources latch until register 29 is read."""
        self._registers[INTERRUPT_SOURCE] = self._registers.get(INTERRUPT_SOURCE, 0) | source

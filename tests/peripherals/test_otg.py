"""USB cores with nothing plugged in (RM0433 section 57), as drivers begin with them."""

import pytest
from fake import Bus, FakeMachine
from omvsim.peripherals.otg import Otg

GOTGCTL, GAHBCFG, GUSBCFG, GRSTCTL, GINTSTS, GINTMSK = 0x00, 0x08, 0x0C, 0x10, 0x14, 0x18
GRXFSIZ, HNPTXFSIZ, HNPTXSTS, GCCFG, DIEPTXF1 = 0x24, 0x28, 0x2C, 0x38, 0x104
HCFG, HAINT, HAINTMSK, HPRT, HCCHAR, HCINT, HCINTMSK = (
    0x400, 0x414, 0x418, 0x440, 0x500, 0x508, 0x50C,
)  # fmt: skip
DCFG, DCTL, DSTS, DIEPMSK, DOEPMSK, DAINT, DAINTMSK = (
    0x800, 0x804, 0x808, 0x810, 0x814, 0x818, 0x81C,
)  # fmt: skip
DIEPCTL, DIEPINT, DTXFSTS, DOEPCTL, DOEPINT, PCGCCTL = 0x900, 0x908, 0x918, 0xB00, 0xB08, 0xE00
DEVICE = 0x04000020  # of GINTSTS: transmit FIFOs are empty
CNAK, SNAK, EPDIS, EPENA = 1 << 26, 1 << 27, 1 << 30, 1 << 31


@pytest.fixture
def block(machine: FakeMachine) -> Otg:
    return Otg(machine)


@pytest.fixture
def bus(block: Otg) -> Bus:
    return Bus(block)


def test_a_core_reset_ends_and_leaves_what_the_manual_says(bus: Bus) -> None:
    """57.14.5: the clocks' gates, FSLSPCS, DSPD, SDIS and GCCFG."""
    for offset, value in ((GCCFG, 1 << 16), (GRXFSIZ, 0x80), (HCFG, 1), (DCFG, 0x2F7), (DCTL, 0),
                          (PCGCCTL, 1), (GINTMSK, 2), (DIEPTXF1, 1)):  # fmt: skip
        bus.write(offset, value)
    assert bus.read(GRSTCTL) == 1 << 31  # AHBIDL
    bus.write(GRSTCTL, 1)
    assert bus.read(GRSTCTL) == 1 << 31
    kept = [bus.read(offset) for offset in (GCCFG, HCFG, DCFG, DCTL, PCGCCTL)]
    assert kept == [1 << 16, 1, 0x02200003, 0, 1]
    assert [bus.read(offset) for offset in (GRXFSIZ, GINTMSK, DIEPTXF1)] == [0x200, 0, 0x02000400]


def test_a_flush_ends(bus: Bus) -> None:
    bus.write(GRSTCTL, 0x10 << 6 | 1 << 5 | 1 << 4)  # TXFNUM: all; TXFFLSH, RXFFLSH
    assert bus.read(GRSTCTL) == 1 << 31 | 0x10 << 6


def test_mode_follows_what_is_forced(bus: Bus) -> None:
    """There is no cable: ID floats, which is a device's."""
    assert (bus.read(GINTSTS), bus.read(GOTGCTL)) == (DEVICE, 1 << 16)
    bus.write(GUSBCFG, 1 << 29)  # FHMOD
    assert (bus.read(GINTSTS), bus.read(GOTGCTL)) == (DEVICE | 1, 1 << 21 | 1 << 16)
    bus.write(GUSBCFG, 1 << 30)  # FDMOD
    assert (bus.read(GINTSTS), bus.read(GOTGCTL)) == (DEVICE, 1 << 16)


def test_a_host_sees_no_device(machine: FakeMachine, bus: Bus) -> None:
    bus.write(GUSBCFG, 1 << 29)
    bus.write(HPRT, 1 << 12)  # PPWR
    machine.run(10**9)
    assert bus.read(HPRT) == 1 << 12
    bus.write(HPRT, 1 << 12 | 0x2E)  # the change flags, and PENA: a one clears them
    assert bus.read(HPRT) == 1 << 12


def test_a_channel_is_halted(block: Otg, bus: Bus) -> None:
    bus.write(GAHBCFG, 1)
    bus.write(GINTMSK, 1 << 25)
    bus.write(HAINTMSK, 1 << 2)
    bus.write(HCINTMSK + 0x40, 2)
    bus.write(HCCHAR + 0x40, 1 << 31 | 64)
    assert bus.read(HCCHAR + 0x40) == 1 << 31 | 64
    bus.write(HCCHAR + 0x40, 1 << 31 | 1 << 30 | 64)
    assert bus.read(HCCHAR + 0x40) == 64
    assert (bus.read(HCINT + 0x40), bus.read(HAINT)) == (2, 1 << 2)
    assert (bus.read(GINTSTS), block.IRQ.level) == (DEVICE | 1 << 25, True)
    bus.write(GAHBCFG, 0)  # GINTMSK: no interrupt at all
    assert not block.IRQ.level
    bus.write(HCINT + 0x40, 2)
    assert (bus.read(HAINT), bus.read(GINTSTS)) == (0, DEVICE)
    bus.write(HCCHAR + 0x40, 1 << 30)  # it is not on: nothing to tell
    assert (bus.read(HCCHAR + 0x40), bus.read(HCINT + 0x40)) == (0, 0)


def test_global_naks_are_effective_at_once(bus: Bus) -> None:
    bus.write(DCTL, 1 << 7 | 2)  # SGINAK
    assert (bus.read(DCTL), bus.read(GINTSTS)) == (1 << 2 | 2, DEVICE | 1 << 6)
    bus.write(DCTL, 1 << 9 | 2)  # SGONAK
    assert (bus.read(DCTL), bus.read(GINTSTS)) == (3 << 2 | 2, DEVICE | 3 << 6)
    bus.write(DCTL, 1 << 8 | 1 << 10 | 2)  # CGINAK, CGONAK
    assert (bus.read(DCTL), bus.read(GINTSTS)) == (2, DEVICE)


def test_an_endpoint_is_disabled(block: Otg, bus: Bus) -> None:
    bus.write(GAHBCFG, 1)
    bus.write(GINTMSK, 3 << 18)
    bus.write(DAINTMSK, 1 << 17 | 1 << 1)
    bus.write(DIEPMSK, 1 << 1)
    bus.write(DOEPMSK, 1 << 1)
    settings = 1 << 22 | 2 << 18 | 1 << 15 | 64  # TXFNUM 1, bulk, active
    bus.write(DIEPCTL + 0x20, settings | EPENA | CNAK)
    assert bus.read(DIEPCTL + 0x20) == settings | EPENA
    bus.write(DIEPCTL + 0x20, settings | SNAK)  # EPENA stays until it is disabled
    assert bus.read(DIEPCTL + 0x20) == settings | EPENA | 1 << 17
    assert bus.read(DIEPINT + 0x20) == 1 << 7 | 1 << 6  # TXFE, INEPNE
    bus.write(DIEPCTL + 0x20, settings | EPDIS)
    assert bus.read(DIEPCTL + 0x20) == settings | 1 << 17
    assert bus.read(DIEPINT + 0x20) == 1 << 7 | 1 << 6 | 1 << 1
    assert (bus.read(DAINT), bus.read(GINTSTS)) == (1 << 1, DEVICE | 1 << 18)
    assert block.IRQ.level
    bus.write(DIEPINT + 0x20, 0xFB7F)  # as ST's driver clears them
    assert (bus.read(DIEPINT + 0x20), block.IRQ.level) == (1 << 7, False)
    bus.write(DOEPCTL + 0x20, 2 << 18 | EPENA)
    bus.write(DOEPCTL + 0x20, 2 << 18 | EPDIS)
    assert (bus.read(DOEPCTL + 0x20), bus.read(DOEPINT + 0x20)) == (2 << 18, 1 << 7 | 1 << 1)
    assert (bus.read(DAINT), bus.read(GINTSTS)) == (1 << 17, DEVICE | 1 << 19)
    assert block.IRQ.level


def test_endpoint_0_has_its_own_rules(bus: Bus) -> None:
    """It is active and of control kind; its way out cannot be disabled."""
    assert (bus.read(DIEPCTL), bus.read(DOEPCTL)) == (1 << 15, 1 << 15)
    bus.write(DOEPCTL, EPENA | 3 << 18 | 0x7FF)
    bus.write(DOEPCTL, EPDIS)
    assert (bus.read(DOEPCTL), bus.read(DOEPINT)) == (EPENA | 1 << 15, 1 << 7)
    bus.write(DIEPCTL, 3 << 18 | 0x7FF)
    assert bus.read(DIEPCTL) == 1 << 15 | 3


def test_data_toggles_as_it_is_set(bus: Bus) -> None:
    bus.write(DIEPCTL + 0x40, 1 << 29)
    assert bus.read(DIEPCTL + 0x40) == 1 << 16
    bus.write(DIEPCTL + 0x40, 1 << 28)
    assert bus.read(DIEPCTL + 0x40) == 0


def test_fifos_have_all_their_room(bus: Bus) -> None:
    bus.write(HNPTXFSIZ, 0x40 << 16 | 0x80)
    bus.write(DIEPTXF1 + 4, 0x20 << 16 | 0xC0)
    bus.write(DIEPCTL + 0x60, 2 << 22)
    assert [bus.read(o) for o in (HNPTXSTS, DTXFSTS, DTXFSTS + 0x60)] == [0x00080040, 0x40, 0x20]


def test_a_device_without_a_host_is_suspended(machine: FakeMachine, bus: Bus, block: Otg) -> None:
    """Where VBUS is not looked at and the session is taken for valid; 3 ms of an idle bus."""
    bus.write(GAHBCFG, 1)
    bus.write(GINTMSK, 1 << 11 | 1 << 12 | 1 << 13)  # USBSUSPM, USBRST, ENUMDNEM
    bus.write(GCCFG, 1 << 16)  # PWRDWN: the full-speed PHY is on
    bus.write(GUSBCFG, 1 << 30 | 1 << 6)
    bus.write(DCTL, 0)
    machine.run(10_000_000)
    assert (bus.read(DSTS), bus.read(GINTSTS)) == (0x10, DEVICE)  # no session, no end of it
    bus.write(GOTGCTL, 3 << 6)  # BVALOEN, BVALOVAL
    assert bus.read(GOTGCTL) == 1 << 19 | 1 << 16 | 3 << 6
    machine.run(12_999_999)
    assert (bus.read(DSTS), block.IRQ.level) == (0x10, False)
    machine.run(13_000_000)
    assert (bus.read(DSTS), bus.read(GINTSTS)) == (0x11, DEVICE | 3 << 10)
    assert block.IRQ.level
    bus.write(GINTSTS, 3 << 10)
    assert (bus.read(GINTSTS), block.IRQ.level) == (DEVICE, False)
    machine.run(10**9)
    assert bus.read(GINTSTS) == DEVICE  # once
    bus.write(DCTL, 2)  # SDIS
    assert bus.read(DSTS) == 0x10


def test_an_external_phy_is_on(machine: FakeMachine, bus: Bus) -> None:
    bus.write(GOTGCTL, 3 << 6)
    bus.write(DCTL, 0)
    machine.run(4_000_000)
    assert bus.read(DSTS) == 0x11
    bus.write(GUSBCFG, 1 << 6)  # PHYSEL: its own, which is off
    assert bus.read(DSTS) == 0x10


def test_who_disconnects_in_time_is_not_suspended(machine: FakeMachine, bus: Bus) -> None:
    for offset, value in ((GCCFG, 1 << 16), (GOTGCTL, 3 << 6), (DCTL, 0)):
        bus.write(offset, value)
    machine.run(2_000_000)
    bus.write(DCTL, 2)
    machine.run(10**9)
    assert (bus.read(DSTS), bus.read(GINTSTS)) == (0x10, DEVICE)

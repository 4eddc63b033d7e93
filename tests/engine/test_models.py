"""The blocks in renode/models beside the classes of the embedded engine, register by register."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest
from omvsim import image
from omvsim.board import load
from omvsim.engine import renode
from omvsim.engine.embedded import Embedded
from omvsim.errors import UserError
from omvsim.peripherals import TYPES
from omvsim.peripherals.base import Peripheral

BOARD = load(Path(__file__).parents[2] / "renode/portenta_h7.repl")  # which has them all
OURS = sorted(path.stem for path in (BOARD.path.parent / "models").glob("*.cs"))
RCC, RTC, RNG, SDMMC1, HSEM = 0x58024400, 0x58004000, 0x48021800, 0x52007000, 0x58026400
MDMA, OTG = 0x52000000, 0x40080000
MS, SECOND = 10**6, 10**9
START = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)


class Bus(Protocol):
    def read(self, address: int) -> int: ...
    def write(self, address: int, value: int) -> None: ...
    def wait(self, nanoseconds: int) -> None: ...


class OfEmbedded:
    """The embedded engine; its image runs, and stays away from what is tried."""

    def __init__(self, start: datetime | None) -> None:
        self.engine = Embedded(BOARD, image.load(), seed=5, rtc_start=start)

    def read(self, address: int) -> int:
        return self.engine._machine.read_bus(address, 4)

    def write(self, address: int, value: int) -> None:
        self.engine._machine.write_bus(address, value, 4)

    def wait(self, nanoseconds: int) -> None:
        until = self.engine.now + nanoseconds
        while self.engine.now < until:
            self.engine.run(until)

    def close(self) -> None:
        pass


class OfRenode(OfEmbedded):
    """Renode."""

    engine: renode.Renode  # type: ignore[assignment]

    def __init__(self, start: datetime | None) -> None:
        try:
            renode.find()
        except UserError as error:
            pytest.skip(str(error))
        self.engine = renode.Renode(BOARD, image.load(), seed=5, rtc_start=start)

    def read(self, address: int) -> int:
        return int(self.engine._do(f"sysbus ReadDoubleWord 0x{address:X}"), 16)

    def write(self, address: int, value: int) -> None:
        self.engine._do(f"sysbus WriteDoubleWord 0x{address:X} 0x{value:X}")

    def close(self) -> None:
        self.engine.close()


ENGINES = {"embedded": OfEmbedded, "renode": OfRenode}


@pytest.fixture(params=ENGINES)
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    """A board without a battery."""
    made = ENGINES[request.param](None)
    yield made
    made.close()


def registers(model: str) -> Iterator[int]:
    """The addresses of a block's registers, in its first place on the board."""
    kind = TYPES[f"Miscellaneous.{model}"]
    assert issubclass(kind, Peripheral)
    entry = next(e for e in BOARD.entries.values() if TYPES.get(e.type) is kind)
    base = entry.registrations[0].address
    assert base is not None
    for register in kind._registers.values():
        yield from (base + offset for offset in register.offsets())


def clocks_on(bus: Bus) -> None:
    """Those of all peripherals: RCC_AHB3ENR to RCC_APB4ENR."""
    for offset in range(0xD4, 0xF8, 4):
        bus.write(RCC + offset, 0xFFFFFFFF)


def test_every_register_is_the_same_in_both() -> None:
    """After power-on; after a word of ones, and one of zeros; but not what needs time."""
    ours, theirs = OfEmbedded(None), OfRenode(None)
    try:
        differ = []
        for model in OURS:
            for value in (None, 0xFFFFFFFF & ~(1 << 16), 0):  # 16 is BDRST, RMVF
                for address in registers(model):
                    if value is not None and address not in (RTC + 0x24, SDMMC1 + 0x0C):
                        ours.write(address, value)
                        theirs.write(address, value)
                for address in registers(model):
                    pair = ours.read(address), theirs.read(address)
                    if pair[0] != pair[1]:
                        differ.append(f"{model} 0x{address:X} after {value}: {pair}")
            clocks_on(ours)
            clocks_on(theirs)
        assert not differ
    finally:
        theirs.close()


def test_a_block_answers_with_its_clock_alone(bus: Bus) -> None:
    """RM0433 8.5.11; and is reset by its bit of RSTR (8.7.28)."""
    bus.write(RCC + 0xDC, 0)  # AHB2ENR
    bus.write(RCC + 0xD4, 1 << 16)  # AHB3ENR: SDMMC1EN
    bus.write(SDMMC1 + 0x08, 0x1234)  # ARGR
    bus.write(RCC + 0xD4, 0)
    bus.write(SDMMC1 + 0x08, 0x5678)
    assert bus.read(SDMMC1 + 0x08) == 0
    bus.write(RCC + 0x134, 1 << 16)  # C1_AHB3ENR is the same
    assert bus.read(SDMMC1 + 0x08) == 0x1234
    bus.write(RCC + 0x7C, 1 << 16)  # AHB3RSTR
    assert bus.read(SDMMC1 + 0x08) == 0


def start_rtc(bus: Bus) -> None:
    """By LSI, at 250 x 128 periods a second (RM0433 46.3.7)."""
    bus.write(RCC + 0x74, 1)  # LSION
    bus.write(RCC + 0x70, 1 << 15 | 2 << 8)  # RTCEN, RTCSEL
    for key in (0xCA, 0x53):
        bus.write(RTC + 0x24, key)


def set_clock(bus: Bus, time: int, date: int) -> None:
    bus.write(RTC + 0x0C, 1 << 7)
    bus.wait(MS)
    assert bus.read(RTC + 0x0C) & 1 << 6  # INITF
    bus.write(RTC + 0x10, 127 << 16 | 249)
    bus.write(RTC, time)
    for digits in (0xFFFFFFF0, 0xFFFFFFFF):  # as drivers may: the unit of the day last
        bus.write(RTC + 4, date & digits)
    bus.write(RTC + 0x0C, 0)
    bus.wait(MS)


def test_the_clock_turns_the_year(bus: Bus) -> None:
    start_rtc(bus)
    set_clock(bus, 0x235958, 0x269231)  # a Thursday
    bus.wait(3 * SECOND)
    assert (bus.read(RTC), bus.read(RTC + 4)) == (0x000001, 0x27A101)


def test_any_date_can_be_set(bus: Bus) -> None:
    """Renode's own clock ended at each tenth of 2026, in October, and on a leap day."""
    start_rtc(bus)
    for date in (0x26D010, 0x26B130, 0x26D001, 0x406229, 0x00C101 | 7 << 13):
        set_clock(bus, 0x120000, date)
        assert (bus.read(RTC), bus.read(RTC + 4)) == (0x120000, date)


def test_alarm_and_wakeup(bus: Bus) -> None:
    start_rtc(bus)
    set_clock(bus, 0x100000, 0x269231)
    bus.write(RTC + 0x1C, 1 << 31 | 0x100002)  # ALRMAR: any day
    bus.write(RTC + 0x14, 1999)  # WUTR: a second of RTCCLK/16
    bus.write(RTC + 0x08, 1 << 8 | 1 << 10)  # ALRAE, WUTE
    bus.wait(900 * MS)
    assert bus.read(RTC + 0x0C) & 7 << 8 == 0
    bus.wait(200 * MS)
    assert bus.read(RTC + 0x0C) & 7 << 8 == 1 << 10  # WUTF
    bus.wait(SECOND)
    assert bus.read(RTC + 0x0C) & 7 << 8 == 1 << 10 | 1 << 8  # ALRAF


@pytest.mark.parametrize("kind", ENGINES)
def test_a_battery_has_kept_the_clock(kind: str) -> None:
    bus = ENGINES[kind](START)
    try:
        bus.wait(2 * SECOND)
        assert (bus.read(RTC), bus.read(RTC + 4)) == (0x040508, 0x312203)  # a Monday
        assert bus.read(RCC + 0x70) == 0x8103
        bus.write(RTC + 0x50, 0xCAFE)
        bus.engine.reset()
        bus.wait(MS)
        assert bus.read(RTC + 0x50) == 0xCAFE
        bus.write(RCC + 0x70, 1 << 16)  # BDRST
        assert bus.read(RTC + 0x50) == 0
    finally:
        bus.close()


def test_entropy_is_that_of_the_seed(bus: Bus) -> None:
    """The generator is CPython's; a word is given once, and another takes 40 periods."""
    bus.wait(30 * MS)  # the image has taken what it wants
    numbers = random.Random(5)
    words = [numbers.getrandbits(32) for _ in range(1000)]
    bus.write(RNG, 0)
    assert bus.read(RNG + 4) == 0 == bus.read(RNG + 8)
    bus.write(RNG, 1 << 2)
    found = []
    for _ in range(700):  # the state is made anew after 624
        bus.wait(MS // 1000)
        assert bus.read(RNG + 4) == 1
        found.append(bus.read(RNG + 8))
        assert bus.read(RNG + 4) == 0 == bus.read(RNG + 8)
    at = words.index(found[0])
    assert found == words[at : at + 700]


def test_a_command_without_a_card_times_out(bus: Bus) -> None:
    clocks_on(bus)
    bus.write(SDMMC1 + 0x0C, 1 << 12 | 1 << 8 | 8)  # CPSMEN, WAITRESP, CMD8
    bus.wait(MS)
    assert bus.read(SDMMC1 + 0x34) == 1 << 2  # CTIMEOUT
    bus.write(SDMMC1 + 0x38, 1 << 2)
    assert bus.read(SDMMC1 + 0x34) == 0


def test_a_semaphore_is_taken_in_one_step_or_two(bus: Bus) -> None:
    """RM0433 10.3.2 to 10.3.7; the Cortex-M7 has MASTERID 3."""
    clocks_on(bus)
    lock, mine = 1 << 31, 3 << 8
    bus.write(HSEM + 4, lock | 1 << 8 | 7)  # another master's id
    assert bus.read(HSEM + 4) == 0
    bus.write(HSEM + 4, lock | mine | 7)
    assert bus.read(HSEM + 4) == lock | mine | 7
    for wrong in (lock | mine | 8, mine | 8, 0):  # another process takes, or frees
        bus.write(HSEM + 4, wrong)
        assert bus.read(HSEM + 4) == lock | mine | 7
    assert bus.read(HSEM + 0x80 + 4) == lock | mine | 7
    bus.write(HSEM + 4, mine | 7)
    assert bus.read(HSEM + 4) == 0
    assert (bus.read(HSEM + 0x108), bus.read(HSEM + 0x10C)) == (1 << 1, 0)  # ISR, MISR
    bus.write(HSEM + 0x100, 1 << 1)
    assert bus.read(HSEM + 0x10C) == 1 << 1
    bus.write(HSEM + 0x104, 1 << 1)
    assert bus.read(HSEM + 0x108) == 0
    assert bus.read(HSEM + 0x80 + 4 * 31) == lock | mine == bus.read(HSEM + 4 * 31)
    bus.write(HSEM + 0x144, 0x1234 << 16)  # KEYR
    bus.write(HSEM + 0x140, 0x4321 << 16 | mine)
    assert bus.read(HSEM + 4 * 31) == lock | mine
    bus.write(HSEM + 0x140, 0x1234 << 16 | mine)
    assert (bus.read(HSEM + 4 * 31), bus.read(HSEM + 0x108)) == (0, 1 << 31)


def test_a_usb_core_begins_without_a_host(bus: Bus) -> None:
    """As drivers begin with it: reset, flush, an endpoint off, and the suspend that follows."""
    clocks_on(bus)
    bus.write(OTG + 0x38, 1 << 16)  # GCCFG: PWRDWN
    bus.write(OTG + 0x804, 0)  # DCTL
    bus.write(OTG + 0x24, 0x80)  # GRXFSIZ
    bus.write(OTG + 0x10, 1)  # CSRST
    assert [bus.read(OTG + o) for o in (0x10, 0x24, 0x38, 0x804)] == [1 << 31, 0x200, 1 << 16, 0]
    bus.write(OTG + 0x10, 0x10 << 6 | 1 << 5)  # TXFFLSH
    assert bus.read(OTG + 0x10) == 1 << 31 | 0x10 << 6
    bus.write(OTG + 0x920, 1 << 31 | 1 << 15)  # DIEPCTL1: EPENA
    bus.write(OTG + 0x920, 1 << 30 | 1 << 27)  # EPDIS, SNAK
    assert [bus.read(OTG + o) for o in (0x920, 0x928)] == [1 << 17, 1 << 7 | 1 << 6 | 1 << 1]
    bus.write(OTG + 0x804, 1 << 9 | 2)  # SGONAK, SDIS
    assert [bus.read(OTG + o) for o in (0x804, 0x14)] == [1 << 3 | 2, 0x04000020 | 1 << 7]
    bus.write(OTG, 3 << 6)  # GOTGCTL: BVALOEN, BVALOVAL
    bus.write(OTG + 0x804, 1 << 10)  # CGONAK
    bus.wait(2 * MS)
    assert [bus.read(OTG + o) for o in (0x808, 0x14)] == [0x10, 0x04000020]
    bus.wait(2 * MS)
    assert [bus.read(OTG + o) for o in (0x808, 0x14)] == [0x11, 0x04000020 | 3 << 10]


def test_the_mdma_goes_to_the_cores_memory_and_back(bus: Bus) -> None:
    """By its bus to the core (SBUS, DBUS), 16 bytes of SRAM4 each way."""
    clocks_on(bus)
    words = [0x01234567, 0x89ABCDEF, 0xDEADBEEF, 0x0BADCAFE]
    for n, word in enumerate(words):
        bus.write(0x38000000 + 4 * n, word)
    for source, target, buses in (
        (0x38000000, 0x2001FFE0, 1 << 17), (0x2001FFE0, 0x38000100, 1 << 16),
    ):  # fmt: skip
        tcr = 2 | 2 << 2 | 2 << 4 | 2 << 6 | 2 << 8 | 2 << 10 | 15 << 18 | 1 << 28 | 1 << 30
        for offset, value in (
            (0x50, tcr), (0x54, 16), (0x58, source), (0x5C, target), (0x68, buses),
            (0x4C, 1), (0x4C, 1 | 1 << 16),
        ):  # fmt: skip
            bus.write(MDMA + offset, value)
        assert bus.read(MDMA + 0x40) == 0b11110  # ISR of channel 0
        bus.write(MDMA + 0x44, 0b11110)
    assert [bus.read(0x38000100 + 4 * n) for n in range(4)] == words

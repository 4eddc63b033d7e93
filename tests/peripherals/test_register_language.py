"""The register language, by the access words of RM0433 section 1.2."""

from fake import Bus, FakeMachine
from omvsim.peripherals.base import Line, Peripheral, Reg, RegArray, bit, bits, ns_of, ticks


class Block(Peripheral):
    size = 0x40
    cr = Reg(0x00, reset=0x80000010, en=bit(0), mode=bits(4, 2), ready=bit(31, "r"))
    sr = Reg(0x04, reset=0x3, access="r", a=bit(0, "w1c"), b=bit(1, "rc_w0"), c=bit(2))
    dr = Reg(0x08)
    ch = RegArray(0x10, 3, stride=8, en=bit(0))
    fifo = Reg(0x30, access="w")

    def __init__(self, machine: FakeMachine) -> None:
        super().__init__(machine)
        self.calls: list[tuple[int, ...]] = []

    @cr.on_write
    def enable(self, value: int, old: int) -> None:
        self.calls.append((value, old, self.cr.value))

    @ch.on_write
    def channel(self, index: int, value: int) -> None:
        self.calls.append((index, value))

    @fifo.on_write
    def push(self, value: int) -> None:
        self.calls.append((value, self.access_size))

    @dr.on_read
    def pop(self) -> int:
        return 0x12345678


def test_reserved_bits_and_read_only_fields_keep_their_reset_value(machine: FakeMachine) -> None:
    block = Block(machine)
    Bus(block).write(0, 0x7FFFFFFF)
    assert block.cr.value == 0x80000031
    assert (block.cr.en, block.cr.mode, block.cr.ready) == (1, 3, 1)
    block.reset()
    assert block.cr.value == 0x80000010


def test_hook_gets_the_old_value(machine: FakeMachine) -> None:
    block = Block(machine)
    Bus(block).write(0, 1)
    assert block.calls == [(1, 0x80000010, 0x80000001)]


def test_w1c_and_rc_w0_clear_and_read_only_stays(machine: FakeMachine) -> None:
    block, bus = Block(machine), Bus(Block(machine))
    bus = Bus(block)
    bus.write(4, 0x2)  # rc_w0 kept by 1, w1c kept by 0
    assert block.sr.value == 0x3
    bus.write(4, 0x5)
    assert block.sr.value == 0
    assert block.sr.c == 0


def test_byte_access_leaves_the_other_lanes(machine: FakeMachine) -> None:
    block, bus = Block(machine), Bus(Block(machine))
    bus = Bus(block)
    bus.write(1, 0xFF, 1)
    assert block.cr.value == 0x80000010
    assert bus.read(0xA, 2) == 0x1234
    bus.write(0x30, 0x41, 1)
    assert block.calls[-1] == (0x41, 1)


def test_array_passes_the_index_and_gaps_are_unmodelled(machine: FakeMachine) -> None:
    block = Block(machine)
    bus = Bus(block)
    bus.write(0x20, 1)
    assert block.calls == [(2, 1)]
    assert [c.en for c in block.ch] == [0, 0, 1]
    assert bus.read(0x14) == 0
    assert bus.unmodelled == [0x14]


def test_line_reports_edges_only() -> None:
    line, seen = Line(), list[bool]()
    line.connect(seen.append)
    for level in (0, 1, 1, 0):
        line.set(level)
    assert seen == [True, False]


def test_ticks_are_exact() -> None:
    """Also where a period is no whole number of nanoseconds."""
    assert ticks(900, 240_000_000) == 216
    for hertz, division in ((240_000_000, 1), (480_000_000, 3), (32_768, 1), (32_000, 256)):
        for count in (*range(1, 500), 10**9, 10**15 + 1):
            ns = ns_of(count, hertz, division)
            assert (ticks(ns, hertz, division), ticks(ns - 1, hertz, division)) == (
                count,
                count - 1,
            )

"""The supported subset of the .repl language, and one clear line for everything else."""

import sys
import textwrap
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "peripherals"))
from fake import Bus, FakeMachine
from omvsim.board import ReplError, load
from omvsim.board.model import Enum, Reference
from omvsim.board.parser import parse
from omvsim.peripherals.gpio import Gpio
from omvsim.peripherals.led import Led
from omvsim.peripherals.tim import Tim
from omvsim.peripherals.usart import Usart

BOARD = Path(__file__).parents[2] / "renode" / "openmv_h7.repl"
SYSTEM = """\
cpu: CPU.CortexM @ sysbus
    cpuType: "cortex-m7"
    nvic: nvic

nvic: IRQControllers.NVIC @ sysbus 0xE000E000
    -> cpu@0

"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, name: str = "b.repl") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_init_replaces_and_init_add_adds(write) -> None:
    base = write("m: T @ none\n    init:\n        WriteByte 0 1\n", "base.repl")
    for text, expected in (
        ("    init:\n        WriteByte 1 2\n", [(1, 2)]),
        ("    init add:\n        WriteByte 1 2\n", [(0, 1), (1, 2)]),
    ):
        entries = parse(write(f'using "{base}"\nm:\n{text}')).entries
        assert [init.arguments for init in entries["m"].init] == expected


def test_where_the_console_is(write) -> None:
    assert load(BOARD).console == "usart3"
    text = 'sysbus:\n    init add:\n        Tag <0x40011000, 0x40011003> "CONSOLE"\n'
    assert load(write(f'using "{BOARD}"\n{text}')).console == "usart1"


def test_values(write) -> None:
    path = write(
        "a: T @ none // comment\n"
        "    n: 480_000_000 /* over\n lines */\n"
        "    h: 0xFFFF_0000\n"
        "    f: 3.3\n"
        "    m: -5\n"
        '    s: "a \\"b\\""\n'
        "    e: STM32Series.H7\n"
        "    t: true\n"
        "    r: other\n"
        "    o: none\n"
        "    l: [[0, 1],\n        [2, 3]]\n"
    )
    values = {name: p.value for name, p in parse(path).entries["a"].properties.items()}
    assert values == {
        "n": 480_000_000, "h": 0xFFFF0000, "f": 3.3, "m": -5, "s": 'a "b"',
        "e": Enum("STM32Series.H7"), "t": True, "r": Reference("other"), "o": None,
        "l": [[0, 1], [2, 3]],
    }  # fmt: skip


def test_registrations(write) -> None:
    path = write(
        "a: T @ sysbus 0x40000000\n"
        "b: T @ sysbus <0x40001000, +0x400>\n"
        "c: T @ sysbus <0x40002000, 0x400023FF>\n"
        "d: T @ {\n"
        "        sysbus 0x40028000;\n"
        "        sysbus new Bus.BusMultiRegistration "
        '{ address: 0x40029000; size: 0x200; region: "dma" };\n'
        "        rcc RegistrationPeripheralAlias.ETH1MAC\n"
        "    }\n"
        "e: T @ d 3\n"
        "f: T @ none\n"
    )
    entries = parse(path).entries
    found = {
        name: [(r.bus, r.address, r.size, r.region) for r in entry.registrations]
        for name, entry in entries.items()
    }
    assert found == {
        "a": [("sysbus", 0x40000000, None, "")],
        "b": [("sysbus", 0x40001000, 0x400, "")],
        "c": [("sysbus", 0x40002000, 0x400, "")],
        "d": [("sysbus", 0x40028000, None, ""), ("sysbus", 0x40029000, 0x200, "dma"),
              ("rcc", None, None, "")],
        "e": [("d", 3, None, "")],
        "f": [("none", None, None, "")],
    }  # fmt: skip


def test_connections(write) -> None:
    path = write(
        "a: T @ none\n"
        "    -> nvic@61\n"
        "    IRQ -> exti@28 | led@0\n"
        "    [0-2, 7] -> nvic@[6-8, 40]\n"
        "    [A, B] -> nvic@[1, 2]\n"
        "    9 -> syscfg#2@05\n"
    )
    wires = [(c.source, c.target, c.local, c.number) for c in parse(path).entries["a"].connections]
    assert wires == [
        ("", "nvic", None, 61), ("IRQ", "exti", None, 28), ("IRQ", "led", None, 0),
        ("0", "nvic", None, 6), ("1", "nvic", None, 7), ("2", "nvic", None, 8),
        ("7", "nvic", None, 40), ("A", "nvic", None, 1), ("B", "nvic", None, 2),
        ("9", "syscfg", 2, 5),
    ]  # fmt: skip


def test_using_and_opening_again(write) -> None:
    write("a: T @ sysbus 0x0\n    x: 1\n    y: 2\n    0 -> n@0\n    1 -> n@1\n", "soc.repl")
    path = write('using "./soc.repl"\na: @ sysbus 0x400\n    x: 3\n    0 -> n@5\n    1 -> none\n')
    entry = parse(path).entries["a"]
    assert entry.registrations[0].address == 0x400
    assert {n: p.value for n, p in entry.properties.items()} == {"x": 3, "y": 2}
    assert [(c.source, c.number) for c in entry.connections] == [("0", 5)]


def test_the_board_builds_and_is_wired() -> None:
    board = load(BOARD)
    machine = FakeMachine()
    hardware = board.build(machine)
    uart = hardware.components["usart3"]
    assert isinstance(uart, Usart)
    uart.IRQ.set(True)
    assert machine.irqs[39]  # USART3's interrupt (RM0433 table 149)
    ethernet = [(d.base, d.size) for d in hardware.devices if d.name == "ethernet"]
    assert ethernet == [(0x40028000, 0xC00), (0x40028C00, 0x200), (0x40029000, 0x200)]
    flash = next(m for m in hardware.memories if m.name == "system_flash_ro")
    assert flash.component.data[0x1E880:0x1E882] == b"\x00\x08"
    assert {path.name for path in board.files} == {"openmv_h7.repl", "stm32h743.repl"}
    assert range(0x24000000, 0x24080000) in board.memories
    assert any(tag.name == "JPEG" and tag.first == 0x52003000 for tag in board.tags)


def test_a_lamp_follows_its_pin() -> None:
    hardware = load(BOARD).build(FakeMachine())
    port = next(d for d in hardware.devices if d.name == "gpioPortC")
    lamp = hardware.components["redLed"]
    assert isinstance(lamp, Led)
    assert not lamp.lit
    port.component.moder.value = 0xFFFFFFFD  # PC0 output, low
    port.bus_write(0x00, 0xFFFFFFFD, 4)
    assert lamp.lit
    port.bus_write(0x18, 1, 4)  # BSRR: PC0 high
    assert not lamp.lit


def test_a_timer_meets_a_pin_by_its_alternate_function(write) -> None:
    """And another timer captures what a jumper brings there; as CONTRIBUTING.md has it."""
    contributing = (BOARD.parents[1] / "CONTRIBUTING.md").read_text()
    wires = contributing.partition("by wires, too")[2].partition("\n\n")[2].partition("Another")[0]
    board = load(write(f'using "{BOARD}"\n\n{textwrap.dedent(wires)}'))
    machine = FakeMachine()
    made = board.build(machine).components
    timer, capturing, port = (made[name] for name in ("timer3", "timer2", "gpioPortB"))
    assert isinstance(timer, Tim) and isinstance(capturing, Tim) and isinstance(port, Gpio)
    for block, writes in (
        (port, ((0x00, 2), (0x20, 2))),  # PB0: alternate function 2
        (capturing, ((0x18, 1), (0x20, 1), (0x00, 1))),  # IC1 is TI1
        (timer, ((0x2C, 239), (0x3C, 120), (0x1C, 7 << 4), (0x20, 1 << 8), (0x00, 1))),  # PWM 2
    ):
        block.clock(True)  # as the RCC does
        bus = Bus(block)
        for offset, value in writes:
            bus.write(offset, value)
    machine.run(900)  # of a period of 1000 ns
    assert Bus(port).read(0x10) & 1
    assert Bus(capturing).read(0x34) == 120


def test_a_region_starts_at_its_own_offset() -> None:
    hardware = load(BOARD).build(FakeMachine())
    dma = next(d for d in hardware.devices if d.base == 0x40029000)
    dma.mem[0x134 // 4] = 0x8040  # DMACIER
    dma.bus_write(0x134, 0x8040, 4)
    assert hardware.components["ethernet"].dmacier.value == 0x8040


BAD = [
    # text, line, column, part of the message
    ("cpu: CPU.CortexM @\n", 1, 19, "expected a bus, found end of line"),
    ("cpu CPU.CortexM\n", 1, 5, "expected `:`"),
    (SYSTEM + "a: UART.STM32F7_USART @ sysbus 0x4000G800\n", 8, 32, "not a number"),
    (SYSTEM + "a: UART.STM32F7_USRT @ sysbus 0x40004800\n", 8, 1,
     "did you mean `UART.STM32F7_USART`?"),
    (SYSTEM + "a: Nothing.Like @ none\n", 8, 1, "unknown type `Nothing.Like`"),
    (SYSTEM + "a: UART.STM32F7_USART @ sysbus 0x40004800\n    frequencies: 1\n", 9, 5,
     "has no property `frequencies`; did you mean `frequency`?"),
    (SYSTEM + "a: UART.STM32F7_USART @ sysbus 0x40004800\n    frequency: \"fast\"\n", 9, 5,
     "property `frequency` takes a whole number"),
    (SYSTEM + "a: UART.STM32F7_USART @ sysbus 0x40004800\n", 8, 1, "needs property `frequency`"),
    (SYSTEM + "m: Memory.MappedMemory @ sysbus 0x20000000\n    size: 0x2000\n"
     "k: Memory.MappedMemory @ sysbus 0x20001000\n    size: 0x1000\n", 10, 26,
     "`k` (0x20001000 to 0x20001FFF) overlaps `m` (0x20000000 to 0x20001FFF"),
    (SYSTEM + "m: Memory.MappedMemory @ sysbus 0x20000010\n    size: 0x2000\n", 8, 26,
     "multiple of"),
    (SYSTEM + "a: CRC.STM32_CRC @ sysbus 0x20000000\n", 8, 20, "0x40000000 to 0x5FFFFFFF"),
    (SYSTEM + "a: CRC.STM32_CRC @ sysbus\n", 8, 20, "`a` needs an address"),
    (SYSTEM + "a: CRC.STM32_CRC @ sysbuss 0x40000000\n", 8, 20, "no entry `sysbuss`"),
    (SYSTEM + "a: Miscellaneous.STM32H7_RNG @ sysbus 0x48021800\n    -> nvix@80\n", 9, 5,
     "no entry `nvix` to connect to; did you mean `nvic`?"),
    (SYSTEM + "a: Miscellaneous.STM32H7_RNG @ sysbus 0x48021800\n    -> nvic@[80, 81]\n", 9, 5,
     "1 outputs but 2 inputs"),
    (SYSTEM + "cpu: CPU.CortexM @ sysbus\n", 8, 1, "duplicate entry `cpu`, first at"),
    (SYSTEM + "gpu:\n    x: 1\n", 8, 1, "no entry `gpu` to change"),
    (SYSTEM + "nvic:\n    priorityMask: 1\n    priorityMask: 2\n", 10, 5, "given twice"),
    (SYSTEM + "cpu:\n    nvic: cpu\n", 9, 5, "takes an entry of type Nvic"),
    (SYSTEM + "cpu:\n    nvic: other\n", 9, 5, "no entry `other`"),
    (SYSTEM + "cpu:\n    script: '''x'''\n", 9, 13, "multi-line strings"),
    (SYSTEM + "cpu:\n    cpuType: \"cortex\n", 9, 14, "string without end"),
    (SYSTEM + "/* open\n", 8, 1, "comment without end"),
    (SYSTEM + "cpu: ?\n", 8, 6, "unexpected character"),
    (SYSTEM + "local cpu: x\n", 8, 1, "outside the supported subset"),
    (SYSTEM + "cpu: @ none 5 x\n", 8, 15, "expected end of line"),
    (SYSTEM + "cpu:\n    x 1\n", 9, 7, "expected `->`"),
    (SYSTEM + "cpu:\n    init:\n        DoIt 5\n", 10, 9, "no init statement"),
    ('using "./none.repl"\n', 1, 1, 'no file "./none.repl"'),
    ('using "./b.repl"\n', 1, 1, "uses this file in turn"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "part"), BAD)
def test_bad_descriptions_say_where(write, text: str, line: int, column: int, part: str) -> None:
    path = write(text)
    with pytest.raises(ReplError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}:{column}: ")
    assert part in message
    assert "\n" not in message


WIRES = [
    ("e: Miscellaneous.LED @ none\n    5 -> nvic@1\n", 9, 5, "has no output `5`"),
    ("e: Miscellaneous.LED @ none\n    -> nvic@1\n", 9, 5, "has no default output"),
    ("e: Miscellaneous.STM32H7_RNG @ sysbus 0x48021800\n    -> nvic@999\n", 9, 5, "no input 999"),
    ("e: Miscellaneous.LED @ nvic 0\n", 8, 24, "nothing can be registered at Nvic"),
    ("cpu:\n    cpuType: \"cortex-m4\"\n", 1, 1, "is not emulated"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "part"), WIRES)
def test_bad_wires_say_where(write, text: str, line: int, column: int, part: str) -> None:
    path = write(SYSTEM + text)
    board = load(path)
    with pytest.raises(ReplError) as caught:
        board.build(FakeMachine())
    assert str(caught.value).startswith(f"{path}:{line}:{column}: ")
    assert part in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ReplError, match="cannot read"):
        load(tmp_path / "none.repl")
    (tmp_path / "binary.repl").write_bytes(b"a: B\n\xff\xfe")
    with pytest.raises(ReplError, match=r"binary.repl:2:1: not UTF-8"):
        load(tmp_path / "binary.repl")

"""What Renode lacks is C# in renode/models, loaded by the script, named as omvsim's class."""

import re
from pathlib import Path

import pytest
from omvsim.board import load
from omvsim.board.check import properties_of
from omvsim.peripherals import TYPES
from omvsim.peripherals.rcc import CLOCKS

RENODE = Path(__file__).parents[2] / "renode"
MODELS = sorted((RENODE / "models").glob("*.cs"))
BOARDS = sorted(path.stem for path in RENODE.glob("*_*.repl"))


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_model_matches_its_class(path: Path, board: str) -> None:
    text = path.read_text()
    name = f"Miscellaneous.{path.stem}"
    assert name in TYPES
    assert "namespace Antmicro.Renode.Peripherals.Miscellaneous\n{" in text
    entries = [e for e in load(RENODE / f"{board}.repl").entries.values() if e.type == name]
    # one command for all: each takes half a second to compile
    [command] = re.findall("^include (.*)$", (RENODE / f"{board}.resc").read_text(), re.MULTILINE)
    assert (f"$ORIGIN/models/{path.name}" in command.split()) == bool(entries)
    used = {p.name for entry in entries for p in entry.properties.values()}
    constructor = re.search(rf"public {path.stem}\((.*?)\)", text)
    assert constructor
    assert used <= set(re.findall(r"(\w+)(?: =|,|$)", constructor[1]))
    assert used <= set(properties_of(TYPES[name]))


def test_both_engines_gate_the_same_clocks() -> None:
    """By the names of the boards' entries, which are there."""
    text = (RENODE / "models" / "STM32H743_RCC.cs").read_text()
    table = re.search(r"> enables = .*?\{(.*?)\n        \};", text, re.DOTALL)
    assert table
    found: dict[str, list[tuple[int, int]]] = {}
    for offset, names in re.findall(r"\{ 0x(\w+), (.*?) \},", table[1], re.DOTALL):
        for name, bit in re.findall(r"(\w+)=(\d+)", names):
            found.setdefault(name, []).append(((int(offset, 16) - 0xD4) // 4, int(bit)))
    assert found == CLOCKS
    assert CLOCKS.keys() <= load(RENODE / "portenta_h7.repl").entries.keys()


@pytest.mark.parametrize("board", BOARDS)
def test_every_other_type_is_renodes_own(board: str) -> None:
    """The types of Renode 1.16.1 that the board uses; a new one needs a model or this list."""
    used = {e.type for e in load(RENODE / f"{board}.repl").entries.values()}
    own = {f"Miscellaneous.{path.stem}" for path in MODELS}
    some = {"Network.EthernetPhysicalLayer", "SPI.GenericSpiFlash"}
    assert used - own - some == {
        "Bus.SystemBus", "CPU.CortexM", "CRC.STM32_CRC", "DMA.STM32DMA",
        "DMA.STM32LDMA", "GPIOPort.STM32_GPIOPort",
        "I2C.STM32F7_I2C", "IRQControllers.NVIC", "IRQControllers.STM32H7_EXTI",
        "MTD.STM32H7_FlashController", "SPI.STM32H7_QuadSPI", "SPI.STM32H7_SPI",
        "Memory.MappedMemory", "Miscellaneous.CombinedInput", "Miscellaneous.DWT",
        "Miscellaneous.LED", "Miscellaneous.STM32_DMAMUX", "Miscellaneous.STM32_SYSCFG",
        "Network.SynopsysDWCEthernetQualityOfService",
        "Timers.STM32H7_SystemWindowWatchdog", "Timers.STM32L0_LpTimer",
        "Timers.STM32_IndependentWatchdog", "Timers.STM32_Timer",
        "UART.STM32F7_USART",
    }  # fmt: skip

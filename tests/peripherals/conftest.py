from pathlib import Path

import pytest
from fake import Bus, FakeMachine
from omvsim import board as repl
from omvsim.peripherals.base import Peripheral

BOARD = Path(__file__).parents[2] / "renode" / "openmv_h7.repl"
ENABLES = range(0x580244D4, 0x580244F8, 4)  # RCC_AHB3ENR to RCC_APB4ENR


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


@pytest.fixture
def board(machine: FakeMachine) -> FakeMachine:
    """A machine with the blocks of a board, whose clocks are on."""
    for device in repl.load(BOARD).build(machine).devices:
        if isinstance(device.component, Peripheral):
            machine.devices[device.base] = Bus(device.component)
    for enable in ENABLES:
        machine.write_bus(enable, 0xFFFFFFFF, 4)
    return machine

"""Whatever firmware does to registers, the models neither raise nor leave 32 bits."""

import random
from pathlib import Path

import pytest
from fake import RAM, Bus, FakeMachine
from omvsim.board import load
from omvsim.peripherals.base import Peripheral
from omvsim.peripherals.eth.mac import Eth
from omvsim.peripherals.usart import Usart

BOARD = Path(__file__).parents[2] / "renode" / "portenta_h7.repl"  # it has most blocks
LOADED = load(BOARD)
#: one of each kind; timers by their width
BLOCKS = sorted(
    {
        (type(c), getattr(c, "limit", 0)): name
        for name, c in LOADED.build(FakeMachine()).components.items()
        if isinstance(c, Peripheral)
    }.values()
)
KEYS = [0x45670123, 0xCDEF89AB, 0x08192A3B, 0x4C5D6E7F, 0xCA, 0x53, 0xCCCC, 0x5555, 0xAAAA]
VALUES = [0, 1, 0xFFFFFFFF, 0x80000000, RAM, RAM + 0x1000, *KEYS]


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("seed", range(3))
def test_random_accesses(name: str, seed: int) -> None:
    rng = random.Random(f"{name} {seed}")
    machine = FakeMachine()
    machine.ram[:0x400] = rng.randbytes(0x400)
    hardware = LOADED.build(machine)
    block = hardware.components[name]
    assert isinstance(block, Peripheral)
    bus = Bus(block)
    block.clock(True)
    modelled = [4 * i for i, flag in enumerate(block.flags) if flag]
    for _ in range(1500):
        offset, size = rng.choice(modelled), rng.choice((1, 2, 4, 4, 4, 4))
        offset += rng.randrange(0, 4, size)
        if rng.random() < 0.7:
            value = rng.choice(VALUES) if rng.random() < 0.5 else rng.getrandbits(32)
            bus.write(offset, value & (1 << 8 * size) - 1, size)
        else:
            assert 0 <= bus.read(offset, size) < 1 << 8 * size
        if rng.random() < 0.05:
            machine.run(machine.now + rng.choice((1, 1_000, 1_000_000, 300_000_000)))
        if rng.random() < 0.02 and isinstance(block, Eth):
            block.receive_frame(rng.randbytes(rng.choice((0, 13, 60, 200, 1514, 2000))))
        if rng.random() < 0.02 and isinstance(block, Usart):
            block.receive(rng.randbytes(20))
        inputs = [number for number in range(8) if block.has_input(number)]
        if inputs and rng.random() < 0.05:
            block.on_gpio(rng.choice(inputs), rng.random() < 0.5)
    hardware.reset()
    machine.run(machine.now + 10**9)
    assert all(0 <= word <= 0xFFFFFFFF for word in block.mem)

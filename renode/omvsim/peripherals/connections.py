"""What the blocks of the SoC say to each other, where Renode's models have no lines for it: DMA
requests, triggers, clocks, what ends deep sleep. Blocks go by the names of their entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TypeVar

from omvsim.peripherals.adc import Adc
from omvsim.peripherals.base import Component, Peripheral
from omvsim.peripherals.bdma import Bdma
from omvsim.peripherals.dac import Dac
from omvsim.peripherals.dma import STREAMS, Dma, DmaMux, Requested
from omvsim.peripherals.mdma import Mdma
from omvsim.peripherals.pwr import Pwr
from omvsim.peripherals.quadspi import Quadspi
from omvsim.peripherals.rcc import Rcc
from omvsim.peripherals.spi import Spi
from omvsim.peripherals.tim import TRIGGER, UPDATE, Tim
from omvsim.peripherals.usart import Usart

Kind = TypeVar("Kind", bound=Component)

#: inputs of DMAMUX1 and of DMAMUX2 (tables 121 and 124) for what may go out
TRANSMIT_REQUESTS = {
    "dmamux1": {
        "spi1": 38, "spi2": 40, "spi3": 62, "spi4": 84, "spi5": 86, "usart1": 42, "usart2": 44,
        "usart3": 46, "uart4": 64, "uart5": 66, "usart6": 72, "uart7": 80, "uart8": 82,
    },
    "dmamux2": {"lpuart1": 10, "spi6": 12},
}  # fmt: skip
#: of timers: channels 1 to 4, update, trigger; 0: none
TIMER_REQUESTS = {
    "timer1": (11, 12, 13, 14, 15, 16), "timer2": (18, 19, 20, 21, 22, 0),
    "timer3": (23, 24, 25, 26, 27, 28), "timer4": (29, 30, 31, 0, 32, 0),
    "timer5": (55, 56, 57, 58, 59, 60), "timer6": (0, 0, 0, 0, 69, 0),
    "timer7": (0, 0, 0, 0, 70, 0), "timer8": (47, 48, 49, 50, 51, 52),
    "timer15": (105, 0, 0, 0, 106, 107), "timer16": (109, 0, 0, 0, 110, 0),
    "timer17": (111, 0, 0, 0, 112, 0),
}  # fmt: skip
#: of ADC1 and ADC2, of ADC3, of the DAC's channels
ANALOG_REQUESTS = {("adc12", "dmamux1"): (9, 10), ("adc3", "dmamux1"): (115,),
                   ("adc3", "dmamux2"): (17,), ("dac", "dmamux1"): (67, 68)}  # fmt: skip
#: whose TRGO is ITR0 to ITR3; "": none's
INTERNAL_TRIGGERS = {
    "timer1": ("timer15", "timer2", "timer3", "timer4"),
    "timer2": ("timer1", "timer8", "timer3", "timer4"),
    "timer3": ("timer1", "timer2", "timer15", "timer4"),
    "timer4": ("timer1", "timer2", "timer3", "timer8"),
    "timer5": ("timer1", "timer8", "timer3", "timer4"),
    "timer8": ("timer1", "timer2", "timer4", "timer5"),
    "timer12": ("timer4", "timer5", "", ""),
    "timer15": ("timer1", "timer3", "", ""),
}
#: TRGO, and TRGO2, by EXTSEL and JEXTSEL of the ADCs
ADC_TRIGGERS = {
    "timer1": ((9, 0), (10, 8)), "timer2": ((11, 2),), "timer3": ((4, 12),), "timer4": ((12, 5),),
    "timer6": ((13, 14),), "timer8": ((7, 9), (8, 10)), "timer15": ((14, 15),),
}  # fmt: skip
#: TRGO by TSEL of the DAC
DAC_TRIGGERS = {"timer1": 1, "timer2": 2, "timer4": 3, "timer5": 4, "timer6": 5, "timer7": 6,
                "timer8": 7, "timer15": 8}  # fmt: skip
#: timers' complementary outputs, whose channels the main output enable holds back
COMPLEMENTARY = {"timer1": 3, "timer8": 3, "timer15": 1, "timer16": 1, "timer17": 1}
#: the MDMA's requests: transfer complete of eight streams; QUADSPI's FIFO threshold and end
MDMA_REQUESTS = {"dma1": range(8), "dma2": range(8, 16), "quadspi": (22, 23)}


class Blocks(dict[str, Component]):
    """The components of a board by the names of their entries."""

    def of(self, kind: type[Kind]) -> dict[str, Kind]:
        return {name: block for name, block in self.items() if isinstance(block, kind)}


def wire_up(components: Mapping[str, Component]) -> None:
    """Connect a board's blocks, as far as it has them."""
    blocks = Blocks(components)
    for rcc in blocks.of(Rcc).values():
        rcc.gate(blocks.of(Peripheral))
    for pwr in blocks.of(Pwr).values():
        pwr.connect(blocks.values())
    for name, mux in blocks.of(DmaMux).items():
        kind: type[Requested] = Dma if name == "dmamux1" else Bdma
        _streams(mux, blocks.of(kind).values())
        _level_requests(name, mux, blocks)
        if name == "dmamux1":
            _pulsed_requests(mux, blocks)
    _triggers(blocks)
    for mdma in blocks.of(Mdma).values():
        for name, numbers in MDMA_REQUESTS.items():
            block = blocks.get(name)
            if isinstance(block, Dma | Quadspi):
                for line, number in zip(block.ends, numbers, strict=True):
                    line.connect(partial(mdma.on_gpio, number))


def _streams(mux: DmaMux, controllers: Iterable[Requested]) -> None:
    """What the multiplexer's outputs ask; the board wires DMA1's and DMA2's levels."""
    streams = [(dma, n) for dma in controllers for n in range(STREAMS)]
    mux.pulses = [partial(dma.pulse, n) for dma, n in streams]
    for line, (dma, n) in zip(mux.outputs, streams, strict=False):
        if isinstance(dma, Bdma):
            line.connect(partial(dma.on_gpio, n))


def _level_requests(name: str, mux: DmaMux, blocks: Blocks) -> None:
    """Of those who ask until it has been done."""
    transmit = TRANSMIT_REQUESTS.get(name, {})
    for other, block in blocks.items():
        if isinstance(block, Spi | Usart) and other in transmit:
            block.room.connect(partial(mux.on_gpio, transmit[other]))
        elif isinstance(block, Adc | Dac):
            numbers = ANALOG_REQUESTS.get((other, name), ())
            for line, number in zip(block.requests, numbers, strict=False):
                line.connect(partial(mux.on_gpio, number))


def _pulsed_requests(mux: DmaMux, blocks: Blocks) -> None:
    """Of those who ask once."""
    for name, timer in blocks.of(Tim).items():
        numbers = zip((1, 2, 3, 4, UPDATE, TRIGGER), TIMER_REQUESTS.get(name, ()), strict=False)
        timer.dma_requests = {n: partial(mux.pulse, number) for n, number in numbers if number}


def _triggers(blocks: Blocks) -> None:
    """Who hears a timer's TRGO."""
    timers, adcs, dacs = blocks.of(Tim), blocks.of(Adc).values(), blocks.of(Dac).values()
    for name, timer in timers.items():
        timer.complementary = COMPLEMENTARY.get(name, 0)
        for number, master in enumerate(INTERNAL_TRIGGERS.get(name, ())):
            if master in timers:
                timers[master].triggers[0].connect(partial(timer.on_trigger, number))
        for line, sources in zip(timer.triggers, ADC_TRIGGERS.get(name, ()), strict=False):
            for adc in adcs:
                for injected, source in enumerate(sources):
                    line.connect(partial(adc.on_trigger, injected > 0, source))
        for dac in dacs if name in DAC_TRIGGERS else ():
            timer.triggers[0].connect(partial(dac.on_trigger, DAC_TRIGGERS[name]))

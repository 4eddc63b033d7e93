"""RCC, PWR, SYSCFG, EXTI, DBGMCU and the watchdog, by RM0433."""

from pathlib import Path

import pytest
from fake import Bus, FakeMachine
from omvsim.board import load
from omvsim.peripherals.combined_input import CombinedInput
from omvsim.peripherals.dbgmcu import Dbgmcu
from omvsim.peripherals.dma import DmaMux
from omvsim.peripherals.exti import Exti
from omvsim.peripherals.iwdg import Iwdg
from omvsim.peripherals.pwr import Pwr
from omvsim.peripherals.rcc import CLOCKS, Rcc
from omvsim.peripherals.rtc import Rtc
from omvsim.peripherals.syscfg import Syscfg
from omvsim.peripherals.tim import Tim

RENODE = Path(__file__).parents[2] / "renode"

RCC_CR, CFGR, D1CFGR, PLLCKSELR, PLLCFGR, PLL1DIVR, CIER, CIFR, CICR, BDCR, CSR, RSR = (
    0x00, 0x10, 0x18, 0x28, 0x2C, 0x30, 0x60, 0x64, 0x68, 0x70, 0x74, 0xD0,
)  # fmt: skip


@pytest.mark.parametrize(("on", "ready"), [(0, 2), (7, 8), (12, 13), (16, 17), (24, 25), (28, 29)])
def test_ready_follows_on(machine: FakeMachine, on: int, ready: int) -> None:
    bus = Bus(Rcc(machine))
    bus.write(RCC_CR, 1 | 1 << on)
    assert bus.read(RCC_CR) >> ready & 1
    bus.write(RCC_CR, 1)
    assert bus.read(RCC_CR) >> ready & 1 == (on == 0)


def test_sws_follows_sw_once_the_clock_is_ready(machine: FakeMachine) -> None:
    bus = Bus(Rcc(machine))
    bus.write(CFGR, 3)  # PLL1, which is off
    assert bus.read(CFGR) >> 3 & 7 == 0
    bus.write(RCC_CR, 1 | 1 << 24)
    assert bus.read(CFGR) >> 3 & 7 == 3
    bus.write(RCC_CR, 1)  # in use: stays on
    assert bus.read(RCC_CR) >> 24 & 3 == 3


def test_core_clock_of_480_mhz(machine: FakeMachine) -> None:
    rcc = Rcc(machine, hseFrequency=12_000_000)
    bus = Bus(rcc)
    assert rcc.core_clock == 64_000_000
    bus.write(RCC_CR, 1 | 1 << 16)
    bus.write(PLLCKSELR, 2 | 3 << 4)  # HSE, DIVM1 = 3: 4 MHz
    bus.write(PLL1DIVR, 239 | 1 << 9 | 3 << 16 | 1 << 24)  # times 240, P divides by 2
    bus.write(RCC_CR, 1 | 1 << 16 | 1 << 24)
    bus.write(CFGR, 3)
    assert rcc.core_clock == 480_000_000
    bus.write(D1CFGR, 8 << 8)  # D1CPRE: divided by 2
    assert rcc.core_clock == 240_000_000
    assert bus.read(PLL1DIVR) == 239 | 1 << 9 | 3 << 16 | 1 << 24


def test_ready_interrupt(machine: FakeMachine) -> None:
    rcc = Rcc(machine)
    bus = Bus(rcc)
    bus.write(CIER, 1 << 3)  # HSERDYIE
    bus.write(RCC_CR, 1 | 1 << 16)
    assert bus.read(CIFR) == 1 << 3
    assert rcc.IRQ.level
    bus.write(CICR, 1 << 3)
    assert bus.read(CIFR) == 0
    assert not rcc.IRQ.level


def test_reset_flags(machine: FakeMachine) -> None:
    rcc = Rcc(machine)
    bus = Bus(rcc)
    assert bus.read(RSR) == 0x00E80000
    bus.write(RSR, 1 << 16)  # RMVF
    assert bus.read(RSR) == 0
    rcc.reset()
    rcc.note_reset("SFTRSTF")
    assert bus.read(RSR) == 1 << 24 | 1 << 22 | 1 << 17
    assert bus.read(0x130) == bus.read(RSR)
    bus.write(RSR, 1 << 16)
    rcc.note_reset("STANDBY")  # both domains and the CPU, no pin (table 57)
    assert bus.read(RSR) == 1 << 20 | 1 << 19 | 1 << 17


def test_backup_domain_survives_a_system_reset(machine: FakeMachine) -> None:
    rcc = Rcc(machine)
    bus = Bus(rcc)
    bus.write(BDCR, 1 | 1 << 8 | 1 << 15)
    bus.write(CSR, 1)
    bus.write(0xE8, 0xFF)
    rcc.reset()
    assert bus.read(BDCR) == 0x8103
    assert bus.read(CSR) == 3
    assert bus.read(0xE8) == 0
    bus.write(BDCR, 1 << 16)
    assert bus.read(BDCR) == 1 << 16


def test_enable_bits_keep_and_unknown_offsets_are_unmodelled(machine: FakeMachine) -> None:
    bus = Bus(Rcc(machine))
    bus.write(0xD8, 0x00038000)  # AHB1ENR: the three clocks of ETH
    assert bus.read(0xD8) == bus.read(0x138) == 0x00038000  # RCC_C1_AHB1ENR is the same
    bus.write(0x154, 2)
    assert bus.read(0xF4) == 2
    bus.read(0x3F0)
    assert bus.unmodelled == [0x3F0]


def test_pwr_ready_flags(machine: FakeMachine) -> None:
    bus = Bus(Pwr(machine))
    assert bus.read(0x04) & 1 << 13  # ACTVOSRDY
    bus.write(0x18, 3 << 14)
    assert bus.read(0x18) == 3 << 14 | 1 << 13  # VOSRDY
    assert bus.read(0x04) >> 14 & 3 == 3  # ACTVOS
    bus.write(0x00, 1 << 8)
    assert bus.read(0x00) & 1 << 8  # DBP
    bus.write(0x0C, 1 << 24 | 6)
    assert bus.read(0x0C) == 1 << 26 | 1 << 24 | 6  # USB33RDY


def test_syscfg_routes_the_chosen_port(machine: FakeMachine) -> None:
    syscfg = Syscfg(machine)
    bus = Bus(syscfg)
    syscfg.on_gpio(2 * 16 + 13, True)  # PC13
    assert not syscfg.outputs[13].level
    bus.write(0x14, 2 << 4)  # EXTICR4: EXTI13 is port C
    assert syscfg.outputs[13].level
    syscfg.on_gpio(13, False)  # PA13
    assert syscfg.outputs[13].level
    syscfg.on_gpio(2 * 16 + 13, False)
    assert not syscfg.outputs[13].level
    bus.write(0x20, 1)
    assert bus.read(0x20) >> 8 & 1  # compensation cell ready


def test_exti_latches_configured_edges(machine: FakeMachine) -> None:
    exti = Exti(machine)
    bus = Bus(exti)
    bus.write(0x04, 1 << 13)  # FTSR1
    bus.write(0x80, 0xFFC00000 | 1 << 13)  # CPUIMR1
    exti.on_gpio(13, True)
    assert bus.read(0x88) == 0
    exti.on_gpio(13, False)
    assert bus.read(0x88) == 1 << 13
    assert exti.outputs[13].level
    bus.write(0x88, 1 << 13)
    assert not exti.outputs[13].level


def test_exti_mask_and_software_trigger(machine: FakeMachine) -> None:
    exti = Exti(machine)
    bus = Bus(exti)
    bus.write(0x08, 1 << 17)  # SWIER1
    assert bus.read(0x88) == 1 << 17
    assert not exti.outputs[17].level
    bus.write(0x80, 1 << 17)
    assert exti.outputs[17].level


def test_exti_direct_lines_pass_through(machine: FakeMachine) -> None:
    exti = Exti(machine)
    bus = Bus(exti)
    bus.write(0x80, 0)
    exti.on_gpio(28, True)
    assert exti.outputs[28].level
    assert bus.read(0x88) == 0
    exti.on_gpio(28, False)
    assert not exti.outputs[28].level


def test_combined_input_is_an_or(machine: FakeMachine) -> None:
    gate = CombinedInput(machine, numberOfInputs=2)
    gate.on_gpio(0, True)
    gate.on_gpio(1, True)
    gate.on_gpio(0, False)
    assert gate.IRQ.level
    gate.on_gpio(1, False)
    assert not gate.IRQ.level


def test_device_identity(machine: FakeMachine) -> None:
    assert Bus(Dbgmcu(machine)).read(0x00) == 0x20030450
    assert Bus(Dbgmcu(machine, revision="Y")).read(0x00) == 0x10030450


def start_watchdog(machine: FakeMachine, window: int = 0xFFF) -> Bus:
    bus = Bus(Iwdg(machine, frequency=32_000))
    bus.write(0x00, 0xCCCC)
    bus.write(0x00, 0x5555)
    bus.write(0x04, 3)  # 32: 1 ms a count
    bus.write(0x08, 999)
    if window != 0xFFF:
        bus.write(0x10, window)  # reloads as well; the key would be too early
    else:
        bus.write(0x00, 0xAAAA)
    return bus


def test_watchdog_bites_after_a_second(machine: FakeMachine) -> None:
    bus = start_watchdog(machine)
    machine.run(900_000_000)
    bus.write(0x00, 0xAAAA)
    machine.run(1_899_999_999)
    assert machine.resets == []
    machine.run(1_900_000_000)
    assert machine.resets == ["IWDG1RSTF"]


def test_watchdog_registers_need_the_key(machine: FakeMachine) -> None:
    bus = start_watchdog(machine)
    bus.write(0x08, 5)
    assert bus.read(0x08) == 999


def test_watchdog_window(machine: FakeMachine) -> None:
    bus = start_watchdog(machine, window=500)
    machine.run(600_000_000)
    bus.write(0x00, 0xAAAA)
    assert machine.resets == []
    machine.run(700_000_000)
    bus.write(0x00, 0xAAAA)
    assert machine.resets == ["IWDG1RSTF"]


def test_a_block_without_its_clock_answers_nothing(machine: FakeMachine) -> None:
    """RM0433 8.5.11; the multiplexer's clock comes with either of its controllers."""
    components = load(RENODE / "openmv_h7.repl").build(machine).components
    rcc, timer, mux = (components[name] for name in ("rcc", "timer2", "dmamux1"))
    assert isinstance(rcc, Rcc) and isinstance(timer, Tim) and isinstance(mux, DmaMux)
    bus = Bus(rcc)
    assert not any(timer.flags) and not any(mux.flags)
    for register in (0xE8, 0x148):  # APB1LENR, and the name that the CPU has for it
        bus.write(register, 1)  # TIM2EN
        assert any(timer.flags)
        bus.write(register, 0)
        assert not any(timer.flags)
    bus.write(0xE8, 1)
    timer.reset()
    assert any(timer.flags)
    rcc.reset()
    timer.reset()
    assert not any(timer.flags)
    bus.write(0xD8, 2)  # DMA2EN
    assert any(mux.flags)
    assert CLOCKS.keys() <= components.keys()


def test_a_block_is_reset_by_its_bit(machine: FakeMachine) -> None:
    """RM0433 8.7.34: as the bit is set, not as it is cleared or written again."""
    components = load(RENODE / "openmv_h7.repl").build(machine).components
    rcc, timer, rtc = (components[name] for name in ("rcc", "timer2", "rtc"))
    assert isinstance(rcc, Rcc) and isinstance(timer, Tim) and isinstance(rtc, Rtc)
    bus, auto_reload = Bus(rcc), 0x2C
    bus.write(0xE8, 1)  # APB1LENR.TIM2EN
    for written, kept in ((1, False), (1, True), (0, True), (2, True), (3, False)):
        Bus(timer).write(auto_reload, 7)
        bus.write(0x90, written)  # APB1LRSTR
        assert (Bus(timer).read(auto_reload) == 7) == kept
        assert bus.read(0x90) == written
    Bus(rtc).write(0x50, 7)  # BKP0R
    bus.write(0x9C, 1 << 16)
    assert Bus(rtc).read(0x50) == 7

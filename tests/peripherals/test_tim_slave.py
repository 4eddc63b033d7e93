"""Timers by others, and others by timers: slave modes, encoder, TRGO and DMA requests (RM0433
sections 38.3 and 39.3)."""

import pytest
from fake import RAM, Bus, FakeMachine
from omvsim.peripherals.tim import ETR, Tim

CR1, CR2, SMCR, DIER, SR, EGR, CCMR1, CCER = 0, 4, 8, 0x0C, 0x10, 0x14, 0x18, 0x20
CNT, PSC, ARR, RCR, CCR1 = 0x24, 0x28, 0x2C, 0x30, 0x34
CEN, URS, OPM, DIR = 1 << 0, 1 << 2, 1 << 3, 1 << 4
UIF, CC1IF, TIF = 1 << 0, 1 << 1, 1 << 6
US = 1000  # ns; a tick of these timers
RESET, ENABLE, UPDATE, PULSE, REFERENCE = (n << 4 for n in range(5))  # MMS
TI1, TI2, ED, ETRF = 5 << 4, 6 << 4, 4 << 4, 7 << 4  # TS


@pytest.fixture
def timer(machine: FakeMachine) -> Tim:
    return Tim(machine, frequency=1_000_000)


@pytest.fixture
def bus(timer: Tim) -> Bus:
    return Bus(timer)


def pulse(timer: Tim, number: int, times: int = 1) -> None:
    for _ in range(times):
        timer.on_gpio(number, True)
        timer.on_gpio(number, False)


def trigger(timer: Tim, times: int = 1) -> None:
    """Of ITR0."""
    for _ in range(times):
        timer.on_trigger(0, True)
        timer.on_trigger(0, False)


def write(bus: Bus, *what: tuple[int, int]) -> None:
    for offset, value in what:
        bus.write(offset, value)


QUADRATURE = [(0, 1), (1, 1), (0, 0), (1, 0)]  # TI1 leads: a whole turn


@pytest.mark.parametrize(("mode", "counts"), [(1, 2), (2, 2), (3, 4)])
def test_an_encoder_counts_both_ways(timer: Tim, bus: Bus, mode: int, counts: int) -> None:
    """Table of the encoder interface mode: TI1 before TI2 is up, at edges of one or of both."""
    write(bus, (ARR, 99), (SMCR, mode), (CR1, CEN))
    for _ in range(3):
        for number, level in QUADRATURE:
            timer.on_gpio(number, level > 0)
    assert (bus.read(CNT), bus.read(CR1)) == (3 * counts, CEN)
    for _ in range(4):
        for number, level in QUADRATURE:
            timer.on_gpio(1 - number, level > 0)
    assert (bus.read(CNT), bus.read(CR1)) == (100 - counts, CEN | DIR)
    assert bus.read(SR) & UIF  # it went below 0
    bus.write(CR1, CEN)  # DIR is the encoder's
    assert bus.read(CR1) == CEN | DIR


def test_polarity_turns_an_encoder(timer: Tim, bus: Bus) -> None:
    write(bus, (ARR, 99), (CCER, 1 << 1), (SMCR, 3), (CR1, CEN))
    for number, level in QUADRATURE:
        timer.on_gpio(number, level > 0)
    assert bus.read(CNT) == 96


def test_edges_clock_the_counter(machine: FakeMachine, timer: Tim, bus: Bus) -> None:
    """External clock mode 1 by TI2, divided by the prescaler: compare and update as by time."""
    write(bus, (PSC, 1), (ARR, 4), (CCR1, 3), (EGR, 1), (SR, 0), (SMCR, TI2 | 7), (CR1, CEN))
    machine.run(10**9 + 3 * US)
    assert (bus.read(CNT), bus.read(SR)) == (0, 0)  # of time alone nothing
    pulse(timer, 1, 5)
    assert (bus.read(CNT), bus.read(SR)) == (2, TIF)
    pulse(timer, 1)
    assert (bus.read(CNT), bus.read(SR)) == (3, TIF | CC1IF)
    pulse(timer, 1)
    bus.write(ARR, 4)  # a register that is written leaves the prescaler where it is
    pulse(timer, 1, 3)
    assert (bus.read(CNT), bus.read(SR)) == (0, TIF | CC1IF | UIF)
    bus.write(SMCR, 0)
    machine.run(machine.now + 4 * US)
    assert bus.read(CNT) == 2  # by time again


def test_a_counter_that_is_off_counts_no_edges(timer: Tim, bus: Bus) -> None:
    write(bus, (ARR, 2), (SMCR, 7))
    trigger(timer, 7)
    assert (bus.read(CNT), bus.read(SR)) == (0, TIF)


def test_repetition_counts_clocks_from_outside(timer: Tim, bus: Bus) -> None:
    write(bus, (ARR, 2), (RCR, 1), (EGR, 1), (SR, 0), (SMCR, 7), (CR1, CEN))
    trigger(timer, 5)
    assert bus.read(SR) == TIF
    trigger(timer)
    assert (bus.read(SR), bus.read(CNT)) == (TIF | UIF, 0)


def test_a_chain_of_two_triggers_at_once(timer: Tim, bus: Bus) -> None:
    """One pulse in external clock mode stops the counter (OPM)."""
    write(bus, (ARR, 2), (SMCR, 7), (CR1, CEN | OPM))
    trigger(timer, 3)
    assert (bus.read(CR1), bus.read(CNT)) == (OPM, 0)
    trigger(timer, 2)
    assert bus.read(CNT) == 0


def test_external_clock_mode_2(timer: Tim, bus: Bus) -> None:
    """By ETR: polarity and its own prescaler."""
    write(bus, (ARR, 99), (SMCR, 1 << 14), (CR1, CEN))
    pulse(timer, ETR, 5)
    assert bus.read(CNT) == 5
    timer.on_gpio(ETR, True)
    bus.write(SMCR, 1 << 15 | 1 << 14)  # falling edges
    timer.on_gpio(ETR, False)
    assert bus.read(CNT) == 7
    timer.on_gpio(ETR, True)
    assert bus.read(CNT) == 7
    timer.on_gpio(ETR, False)
    bus.write(SMCR, 2 << 12 | 1 << 14)  # each fourth
    pulse(timer, ETR, 8)
    assert bus.read(CNT) == 10


def test_a_trigger_begins_the_count_anew(machine: FakeMachine, timer: Tim, bus: Bus) -> None:
    write(bus, (ARR, 99), (SMCR, TI1 | 4), (CR1, CEN))
    machine.run(30 * US)
    timer.on_gpio(0, True)
    assert (bus.read(CNT), bus.read(SR)) == (0, TIF | UIF)
    bus.write(SR, 0)
    machine.run(35 * US)
    timer.on_gpio(0, False)
    assert (bus.read(CNT), bus.read(SR)) == (5, 0)
    bus.write(CR1, CEN | URS)
    timer.on_gpio(0, True)
    assert (bus.read(CNT), bus.read(SR)) == (0, TIF)


def test_a_gate_holds_the_counter(machine: FakeMachine, timer: Tim, bus: Bus) -> None:
    write(bus, (ARR, 99), (SMCR, TI1 | 5), (CR1, CEN))
    machine.run(10 * US)
    assert (bus.read(CNT), bus.read(SR)) == (0, 0)
    timer.on_gpio(0, True)
    assert bus.read(SR) == TIF
    machine.run(17 * US)
    bus.write(SR, 0)
    timer.on_gpio(0, False)
    machine.run(50 * US)
    assert (bus.read(CNT), bus.read(SR)) == (7, TIF)
    timer.on_gpio(0, True)
    machine.run(51 * US)
    assert bus.read(CNT) == 8


@pytest.mark.parametrize("mode", [6, 1 << 16])
def test_a_trigger_starts(machine: FakeMachine, timer: Tim, bus: Bus, mode: int) -> None:
    """Trigger mode, and with it a reset (SMS 8)."""
    write(bus, (ARR, 9), (CNT, 3), (DIER, TIF), (SMCR, TI2 | mode))
    machine.run(5 * US)
    timer.on_gpio(1, True)
    assert (bus.read(CR1), timer.IRQ.level, timer.TriggerInterrupt.level) == (CEN, True, True)
    machine.run(9 * US)
    assert bus.read(CNT) == (7 if mode == 6 else 4)
    bus.write(SR, 0)
    assert not timer.TriggerInterrupt.level


def test_both_edges_of_ti1_trigger(timer: Tim, bus: Bus) -> None:
    write(bus, (ARR, 99), (SMCR, ED | 7), (CR1, CEN))
    pulse(timer, 0, 3)
    assert bus.read(CNT) == 6


def test_etr_triggers(timer: Tim, bus: Bus) -> None:
    write(bus, (ARR, 99), (SMCR, 1 << 12 | ETRF | 7), (CR1, CEN))
    pulse(timer, ETR, 6)
    assert bus.read(CNT) == 3  # ETPS: each second


def heard(timer: Tim, number: int = 0) -> list[tuple[int, bool]]:
    """When TRGO, or TRGO2, changed."""
    found: list[tuple[int, bool]] = []
    machine = timer.machine
    timer.triggers[number].connect(lambda level: found.append((machine.now // US, level)))
    return found


def pulses(*when: int) -> list[tuple[int, bool]]:
    return [(at, level) for at in when for level in (True, False)]


def test_trgo(machine: FakeMachine, timer: Tim, bus: Bus) -> None:
    """Reset, enable, update, compare pulse, OC1REF (38.4.2, MMS); a flag that is still set does
    not keep the next event from it."""
    found = heard(timer)
    write(bus, (ARR, 9), (CCR1, 4), (CCMR1, 6 << 4))
    write(bus, (CR2, RESET), (EGR, 1))
    assert found == pulses(0)
    found.clear()
    write(bus, (CR2, ENABLE), (CR1, CEN))
    assert found == [(0, True)]
    bus.write(CR1, 0)
    assert found == [(0, True), (0, False)]
    found.clear()
    write(bus, (CR2, UPDATE), (CR1, CEN))
    machine.run(25 * US)
    assert found == pulses(10, 20)
    found.clear()
    bus.write(EGR, 1)
    assert found == pulses(25)
    found.clear()
    bus.write(CR2, PULSE)
    machine.run(45 * US)
    assert found == pulses(29, 39)
    found.clear()
    bus.write(CR2, REFERENCE)
    machine.run(59 * US)
    assert found == [(45, True), (49, False), (55, True), (59, False)]


def test_trgo2(machine: FakeMachine, timer: Tim, bus: Bus) -> None:
    first, second = heard(timer), heard(timer, 1)
    write(bus, (ARR, 9), (CR2, 2 << 20), (CR1, CEN))
    machine.run(25 * US)
    assert (first, second) == ([], pulses(10, 20))


class Asked(list[tuple[int, int]]):
    """DMA requests, and when."""

    def __init__(self, timer: Tim) -> None:
        super().__init__()
        for number in (0, 1, 2, 3, 4, 6):
            timer.dma_requests[number] = lambda number=number: self.append(
                (timer.machine.now // US, number)
            )


def test_dma_requests(machine: FakeMachine, timer: Tim, bus: Bus) -> None:
    """Of update, compare and trigger, each time, as DIER lets them."""
    asked = Asked(timer)
    write(bus, (ARR, 9), (CCR1, 4), (CR1, CEN))
    machine.run(20 * US)
    assert asked == []
    bus.write(DIER, 1 << 8 | 1 << 9)
    machine.run(40 * US)
    assert asked == [(24, 1), (30, 0), (34, 1), (40, 0)]
    asked.clear()
    write(bus, (CR2, 1 << 3))  # CCDS: channels ask at the update
    machine.run(50 * US)
    assert asked == [(50, 0), (50, 1)]
    asked.clear()
    write(bus, (CR2, 0), (DIER, 1 << 14 | 1 << 10), (SMCR, 4))
    timer.on_trigger(0, True)
    assert asked == [(50, 6)]
    asked.clear()
    write(bus, (CCMR1, 1 << 8), (CCER, 1 << 4))
    timer.on_gpio(1, True)  # a capture
    assert asked == [(50, 2)]


def test_software_asks_unless_urs(timer: Tim, bus: Bus) -> None:
    asked = Asked(timer)
    write(bus, (DIER, 1 << 8 | 1 << 9 | 1 << 14), (EGR, 1 | 1 << 1 | 1 << 6))
    assert (asked, bus.read(SR)) == ([(0, 0), (0, 1), (0, 6)], UIF | CC1IF | TIF)
    asked.clear()
    write(bus, (CR1, URS), (EGR, 1))
    assert asked == []


# On a board

DMA1, MUX = 0x40020000, 0x40020800
TIM2, TIM3, TIM6, DAC, ADC1 = 0x40000000, 0x40000400, 0x40001000, 0x40007400, 0x40022000
DMAEN, ADVREGEN = 1 << 12, 1 << 28


def put(board: FakeMachine, base: int, *what: tuple[int, int]) -> None:
    for offset, value in what:
        board.write_bus(base + offset, value, 4)


def stream(board: FakeMachine, request: int, peripheral: int, items: int, how: int) -> None:
    """Stream 0 of DMA1, of half words in RAM, one after the other."""
    board.write_bus(MUX, request, 4)
    put(
        board,
        DMA1,
        (0x14, items),
        (0x18, peripheral),
        (0x1C, RAM),
        (0x10, 1 << 13 | 1 << 11 | 1 << 10 | how | 1),
    )


def test_a_timer_clocks_another(board: FakeMachine) -> None:
    """TIM2's update is ITR1 of TIM3."""
    put(board, TIM3, (ARR, 99), (SMCR, 1 << 4 | 7), (CR1, CEN))
    put(board, TIM2, (ARR, 239), (CR2, UPDATE), (CR1, CEN))
    board.run(5 * US)
    assert board.read_bus(TIM3 + CNT, 4) == 5


def test_dma_feeds_the_dac_by_a_timer(board: FakeMachine) -> None:
    """As MicroPython's DAC.write_timed: each trigger gives out what the one before has brought."""
    board.ram[:8] = b"".join(v.to_bytes(2, "little") for v in (100, 200, 300, 400))
    stream(board, 67, DAC + 0x08, 4, 1 << 8 | 1 << 6)  # CIRC, memory to DHR12R1
    put(board, DAC, (0x08, 50), (0x00, DMAEN | 5 << 2 | 1 << 1 | 1))  # TSEL: TIM6
    put(board, TIM6, (ARR, 239), (CR2, UPDATE), (CR1, CEN))
    found = []
    for tick in range(1, 7):
        board.run(tick * US)
        found.append(board.read_bus(DAC + 0x2C, 4))
    assert found == [50, 100, 200, 300, 400, 100]
    assert board.read_bus(DAC + 0x34, 4) == 0


def test_a_dac_that_waits_for_its_dma_tells(board: FakeMachine) -> None:
    put(board, DAC, (0x08, 50), (0x00, DMAEN | 5 << 2 | 1 << 1 | 1))
    put(board, TIM6, (ARR, 239), (CR2, UPDATE), (CR1, CEN))
    board.run(US)
    assert board.read_bus(DAC + 0x34, 4) == 0
    board.run(2 * US)
    assert board.read_bus(DAC + 0x34, 4) == 1 << 13  # DMAUDR1
    stream(board, 67, DAC + 0x08, 4, 1 << 6)
    assert board.read_bus(DMA1 + 0x14, 4) == 3  # the request has waited
    board.run(5 * US)
    assert board.read_bus(DMA1 + 0x14, 4) == 3  # and no other comes before the flag is cleared
    put(board, DAC, (0x08, 60), (0x34, 1 << 13))
    board.run(6 * US)
    assert (board.read_bus(DAC + 0x34, 4), board.read_bus(DAC + 0x2C, 4)) == (0, 60)
    assert board.read_bus(DMA1 + 0x14, 4) == 2
    put(board, DAC, (0x08, 70), (0x00, DMAEN | 6 << 2 | 1 << 1 | 1))  # TSEL: TIM7
    board.run(7 * US)
    assert (board.read_bus(DAC + 0x2C, 4), board.read_bus(DMA1 + 0x14, 4)) == (60, 2)
    put(board, DAC, (0x00, 5 << 2 | 1 << 1 | 1))  # without DMA
    board.run(8 * US)
    assert (board.read_bus(DAC + 0x2C, 4), board.read_bus(DMA1 + 0x14, 4)) == (70, 2)


@pytest.mark.parametrize(("exten", "polls"), [(1, 4), (2, 4), (3, 4)])
def test_a_timer_triggers_the_adc_and_dma_takes_it(
    board: FakeMachine, exten: int, polls: int
) -> None:
    """ADC1 by TIM6's TRGO, a pulse with both edges; its pins are at 0 V, which is written."""
    board.ram[:12] = b"\xff" * 12
    stream(board, 9, ADC1 + 0x40, 5, 0)
    put(board, ADC1, (0x08, 0), (0x08, ADVREGEN), (0x08, ADVREGEN | 1))
    put(board, ADC1, (0x0C, 1 << 31 | exten << 10 | 13 << 5 | 1), (0x08, ADVREGEN | 1 << 2))
    put(board, TIM6, (ARR, 2399), (CR2, UPDATE), (CR1, CEN))
    board.run(9 * US)
    assert board.ram[:2] == b"\xff\xff"
    board.run(45 * US)
    assert bytes(board.ram[:12]) == b"\0" * 2 * polls + b"\xff" * (12 - 2 * polls)
    assert board.read_bus(ADC1 + 0x08, 4) & 1 << 2  # ADSTART stands
    put(board, TIM3, (ARR, 2399), (CR2, UPDATE), (CR1, CEN))  # another's
    put(board, TIM6, (CR1, 0))
    board.run(70 * US)
    assert board.ram[2 * polls :][:1] == b"\xff"
    put(board, ADC1, (0x08, ADVREGEN | 1 << 4))  # ADSTP
    assert not board.read_bus(ADC1 + 0x08, 4) & 1 << 2


def test_dma_takes_a_result_when_it_is_let(board: FakeMachine) -> None:
    """DMNGT; what has been converted before is asked for then."""
    board.ram[:4] = b"\xff" * 4
    stream(board, 9, ADC1 + 0x40, 2, 0)
    put(board, ADC1, (0x08, 0), (0x08, ADVREGEN), (0x08, ADVREGEN | 1), (0x08, ADVREGEN | 1 << 2))
    board.run(5 * US)
    assert (board.read_bus(ADC1, 4) & 1 << 2, board.read_bus(DMA1 + 0x14, 4)) == (1 << 2, 2)
    put(board, ADC1, (0x0C, 1 << 31 | 3))
    assert (board.read_bus(ADC1, 4) & 1 << 2, board.read_bus(DMA1 + 0x14, 4)) == (0, 1)


def test_an_injected_conversion_has_a_trigger_of_its_own(board: FakeMachine) -> None:
    put(board, ADC1, (0x08, 0), (0x08, ADVREGEN), (0x08, ADVREGEN | 1))
    put(board, ADC1, (0x4C, 14 << 2 | 1 << 7), (0x08, ADVREGEN | 1 << 3))  # JEXTSEL: TIM6
    board.run(5 * US)
    assert board.read_bus(ADC1, 4) & 3 << 5 == 0
    put(board, TIM6, (ARR, 2399), (CR2, UPDATE), (CR1, CEN))
    board.run(20 * US)
    assert board.read_bus(ADC1, 4) & 3 << 5 == 3 << 5


def test_a_timers_dma_writes_what_it_compares_with(board: FakeMachine) -> None:
    """TIM2_UP (22): CCR1 from memory at each update."""
    board.ram[:6] = b"".join(v.to_bytes(2, "little") for v in (11, 22, 33))
    stream(board, 22, TIM2 + CCR1, 3, 1 << 6)
    put(board, TIM2, (ARR, 239), (DIER, 1 << 8), (CR1, CEN))
    found = []
    for tick in range(1, 5):
        board.run(tick * US)
        found.append(board.read_bus(TIM2 + CCR1, 4))
    assert found == [11, 22, 33, 33]


def test_a_request_waits_for_its_stream(board: FakeMachine) -> None:
    board.ram[:2] = (77).to_bytes(2, "little")
    board.write_bus(MUX, 22, 4)
    put(board, TIM2, (DIER, 1 << 8), (EGR, 1))
    assert board.read_bus(TIM2 + CCR1, 4) == 0
    stream(board, 22, TIM2 + CCR1, 3, 1 << 6)
    assert (board.read_bus(TIM2 + CCR1, 4), board.read_bus(DMA1 + 0x14, 4)) == (77, 2)
    put(board, TIM3, (DIER, 1 << 8), (EGR, 1))  # of nobody's stream
    assert board.read_bus(DMA1 + 0x14, 4) == 2

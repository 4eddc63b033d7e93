"""What peripherals have to do at a core clock."""

import gc
import random
import weakref

import pytest
from omvsim.engine.unicorn import Event

LOOP = """
    .thumb_func
reset: b .
"""
SLEEP = """
    .thumb_func
reset: wfi
    b reset
"""


@pytest.mark.parametrize("source", [LOOP, SLEEP], ids=["runs", "sleeps"])
def test_the_earliest_first_and_of_one_clock_in_their_order(program, source):
    p, told = program(source), []
    due = [random.Random(1).randrange(50) * 100 for _ in range(300)]
    for clock in due:
        p.core.schedule(clock, lambda: told.append(None))
    p.core.events = []  # none of these
    events = [
        p.core.schedule(clock, lambda n=number: told.append((p.core.now, n)))
        for number, clock in enumerate(due)
    ]
    for event in events[::3]:
        event.cancel()
    assert p.core.run(10_000) == "limit"
    expected = sorted((clock, n) for n, clock in enumerate(due) if n % 3)
    assert [n for _, n in told] == [n for _, n in expected]
    late = [now - clock for (now, _), (clock, _) in zip(told, expected, strict=True)]
    assert min(late) >= 0 and max(late) <= (1 if source is LOOP else 0)
    assert p.core.events == []


def test_one_may_make_another_and_one_in_the_past_is_due_at_once(program):
    p, told = program(LOOP), []

    def first():
        told.append("first")
        p.core.schedule(0, lambda: told.append("again"))

    p.core.schedule(100, first)
    p.core.schedule(100, lambda: told.append("second"))
    p.core.run(1000)
    assert told == ["first", "second", "again"]


def test_one_made_by_a_register_is_due_while_the_core_runs(program):
    p = program("""
        .thumb_func
    reset:
        ldr r0, =0x40000000
        movs r1, #0
    1:  str r1, [r0]
        adds r1, #1
        cmp r1, #9
        bne 1b
    2:  b 2b
    """)
    told = []

    def write(offset, value, size):
        if value == 8:  # Unicorn knows the page by now
            due = p.core.now + 7
            p.core.schedule(due, lambda: told.append(p.core.now - due))

    p.on_write = write
    p.core.run(1000)
    assert told == [0]


def test_what_one_raises_ends_the_run(program):
    p, told = program(LOOP), []

    def fail():
        raise ValueError("as asked")

    p.core.schedule(10, fail)
    p.core.schedule(20, lambda: told.append(p.core.now))
    with pytest.raises(ValueError, match="as asked"):
        p.core.run(1000)
    assert told == []
    assert p.core.run(1000) == "limit" and told == [20]


def test_one_that_stops_is_told_behind_all_that_are_due(program):
    p, told = program(LOOP), []
    p.core.schedule(50, p.core.stop)
    p.core.schedule(50, lambda: told.append(1))
    assert p.core.run(1000) == "stop" and told == [1]
    assert p.core.run(1000) == "limit"


def test_those_of_another_core_go_on_here(program):
    p, q, told = program(LOOP), program(LOOP), []
    for clock in (30, 10, 20):
        p.core.schedule(clock, lambda clock=clock: told.append(clock))
    q.core.events = [
        (clock, order, Event(event.callback)) for clock, order, event in reversed(p.core.events)
    ]
    q.core.order = p.core.order
    q.core.schedule(20, lambda: told.append("last of 20"))
    q.core.run(1000)
    assert told == [10, 20, "last of 20", 30]


@pytest.mark.parametrize("events", [None, [1], [(1, 2)], [(1, 2, None)]])
def test_what_is_no_event_is_refused(program, events):
    with pytest.raises(TypeError):
        program(LOOP).core.events = events


def test_a_core_that_its_events_refer_to_is_found_by_the_collector(program):
    p = program(LOOP)
    p.core.schedule(10, p.run)
    gone = weakref.ref(p)
    del p
    gc.collect()
    assert gone() is None

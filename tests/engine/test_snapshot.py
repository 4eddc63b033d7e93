"""Snapshots of the embedded engine: it goes on as if it had never stopped, also elsewhere."""

import json
import random
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
import pytest
from omvsim import board, image
from omvsim.engine import Engine, Stop, choice, snapshot
from omvsim.engine.embedded import Embedded
from omvsim.errors import UserError
from omvsim.peripherals.base import Part, Peripheral
from omvsim.testbed import BOARD, find_board

SECOND, HOLD = 1_000_000_000, 5_000_000
FLASH, BANK = 0x08000000, 1 << 20
#: flash, RTC alarm, interrupts, sockets; a key now and then
SCRIPT = b"""
import machine, network, os, socket, time
def some(n):
    with open("f%d" % n, "w") as file: file.write("x" * 700 * n)
    machine.RTC().datetime((2026, 11, 26, 4, n, 0, 0, 0))
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try: s.sendto(b"hello" * n, ("192.168.1.9", 9))
    except OSError as error: print(error)
    time.sleep_ms(7 * n)
    print(n, time.ticks_us(), os.urandom(4), 1.5 * n, "line" * 99 * n)
for n in range(1, 9): some(n)
"""


def fresh(**more: object) -> Engine:
    description = board.load(find_board(BOARD))
    given = {"seed": 1, "rtc_start": None, **more}
    return choice.make("embedded", description, image.load(), **given)  # type: ignore[arg-type]


def go_on(engine: Engine, moments: list[int]) -> list[object]:
    """What comes out up to each moment."""
    seen: list[object] = []
    for moment in moments:
        while (stop := engine.run(moment)) is not Stop.DEADLINE:
            seen.append((stop.value, engine.now, engine.console_read().hex(), engine.frames()))
        seen.append((engine.now, engine.instructions))
    return json.loads(json.dumps(seen, default=bytes.hex))  # type: ignore[no-any-return]


def begun(moment: int, hold: int = 0, **more: object) -> Engine:
    engine = fresh(**more)
    go_on(engine, [SECOND // 2])
    engine.hold_ns = hold
    engine.console_write(b"\x01" + SCRIPT + b"\x04")
    go_on(engine, [SECOND // 2 + moment])
    return engine


@pytest.mark.parametrize("seed", range(16))
def test_goes_on_in_another_engine(seed: int) -> None:
    """At any moment: while it types, sends, erases, sleeps, boots."""
    dice = random.Random(seed)
    moment = dice.randrange(SECOND)
    moments = sorted(SECOND // 2 + moment + dice.randrange(SECOND) for _ in range(3))
    engine = begun(moment, hold=seed % 2 * HOLD, seed=seed)
    state, other = engine.snapshot(), fresh(seed=99)
    for _ in range(2):  # in a fresh one, and in one that has gone on
        other.restore(state)
        assert other.snapshot() == state
        assert go_on(other, moments) == go_on(engine, moments)
        assert other.snapshot() == engine.snapshot()
        engine.restore(state)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_blocks_are_doing(seed: int) -> None:
    """Counting, sending, waiting: all that is under way is plain data."""
    engine, other, dice = begun(0, seed=seed), fresh(), random.Random(seed)
    assert isinstance(engine, Embedded)
    devices = [d for d in engine._hardware.devices if d.name not in ("rcc", "iwdg", "wwdg", "pwr")]
    for device in devices:
        assert isinstance(device.component, Peripheral)
        device.component.clock(True)
    for _ in range(400):
        for device in devices:
            value = dice.getrandbits(32) & dice.getrandbits(32)
            at = device.base + 4 * dice.randrange(min(device.size // 4, 40))
            engine._core.write_register(at, value, 4)
    state = engine.snapshot()
    other.restore(state)
    assert other.snapshot() == state


def test_an_interrupt_that_stands_goes_on_standing() -> None:
    engine, other = begun(SECOND // 10), fresh()
    assert isinstance(engine, Embedded)
    while not engine._uart.IRQ.level:
        go_on(engine, [engine.now + 1_000])
    other.restore(engine.snapshot())
    assert other.snapshot() == engine.snapshot()
    assert go_on(other, [2 * SECOND]) == go_on(engine, [2 * SECOND])


CONTINUE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from test_snapshot import SECOND, fresh, go_on
engine = fresh()
engine.restore(open(sys.argv[2], "rb").read())
print(json.dumps(go_on(engine, [2 * SECOND])))
"""


def test_goes_on_in_another_process(tmp_path: Path) -> None:
    engine = begun(SECOND // 3)
    file = tmp_path / "state"
    file.write_bytes(engine.snapshot())
    done = subprocess.run(
        [sys.executable, "-c", CONTINUE, Path(__file__).parent, file],
        capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert json.loads(done.stdout) == go_on(engine, [2 * SECOND])


def test_translated_code_is_forgotten_where_flash_is_another() -> None:
    """And nowhere else: to translate is what takes time."""
    engine, other = begun(SECOND), fresh()
    assert isinstance(other, Embedded)
    told: set[tuple[int, int]] = set()
    other._whole.changed = lambda memory, offset, size: told.add((offset, size))
    expected = set()
    for n in range(0, 2 * BANK, snapshot.PAGE):
        if engine.memory(FLASH + n, snapshot.PAGE) != other.memory(FLASH + n, snapshot.PAGE):
            expected.add((n % BANK, snapshot.PAGE))
    other.restore(engine.snapshot())
    assert told == expected
    assert told


@cache
def one() -> bytes:
    return fresh().snapshot()


def refused(state: bytes, engine: Engine | None = None) -> str:
    with pytest.raises(UserError) as error:
        (engine or fresh()).restore(state)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    state, mine = one(), snapshot.made_by()
    monkeypatch.setattr(snapshot, "made_by", lambda: "omvsim 9")
    assert refused(state) == f"a snapshot of {mine}, this is omvsim 9: make it again"


def test_of_another_image() -> None:
    description = board.load(find_board(BOARD))
    other = image.holding(image.load(), {"a": b"b"}, description.memories)
    assert other
    engine = choice.make("embedded", description, other, 1, None)
    assert refused(one(), engine) == "a snapshot of another image: make one of this"


def test_of_another_board(tmp_path: Path) -> None:
    file = tmp_path / "my.repl"
    file.write_text(f'using "{find_board(BOARD).resolve()}"\n')
    engine = choice.make("embedded", board.load(file), image.load(), 1, None)
    assert refused(one(), engine) == "a snapshot of another board: make one of this"


@pytest.mark.parametrize("made", [Part, lambda: lambda: None, object])
def test_what_is_no_plain_data_is_told(made: Callable[[], object]) -> None:
    """A part that was not made with its block, a function, any other object."""
    engine = fresh()
    assert isinstance(engine, Embedded)
    vars(engine._pwr)["kept"] = [made()]
    with pytest.raises(TypeError, match="is no plain data: a snapshot cannot hold it"):
        engine.snapshot()


def test_damaged() -> None:
    state, dice, engine = one(), random.Random(1), fresh()
    whole = zlib.decompress(state)
    assert refused(b"").startswith("no snapshot, or a damaged one")
    assert refused(b"\x7fELF" * 9).startswith("no snapshot, or a damaged one")
    assert refused(state[:-1]) == (
        "no snapshot, or a damaged one (its end is missing): make it again"
    )
    for _ in range(200):
        broken = bytearray(state)
        broken[dice.randrange(len(state))] ^= 1 << dice.randrange(8)
        try:  # of the last byte of what is packed, not all bits count
            unpacked = zlib.decompress(broken)
        except zlib.error:
            unpacked = b""
        if unpacked != whole:
            refused(bytes(broken), engine)


def test_hostile() -> None:
    """Whole, but made by somebody: names of what is not there, values of other kinds."""
    plain = msgspec.msgpack.decode(zlib.decompress(one()))

    def with_(change: dict[str, object]) -> bytes:
        return zlib.compress(msgspec.msgpack.encode({**plain, **change}))

    assert with_({})  # which is not refused
    fresh().restore(with_({}))
    parts = plain["parts"]
    changes: tuple[dict[str, object], ...] = (
        {"parts": {**parts, "usart9": {}}},
        {"parts": {**parts, "usart3": {"machine": 3}}},
        {"parts": {**parts, "usart3": {**parts["usart3"], "_wire": ["os.system", ["true"]]}}},
        {"parts": {**parts, "usart3": {**parts["usart3"], "_wire": ["line", True]}}},
        {"parts": {**parts, "usart3": {**parts["usart3"], "IRQ": True}}},
        {"parts": {**parts, "usart3": {**parts["usart3"], "IRQ": ["lines", [True]]}}},
        {"events": [[1, 1, ["method", "usart3", "__class__", []]]]},
        {"events": [[1, 1, ["method", "", "name", []]]]},
        {"events": [[1, 1, ["method", "usart3", "no_such", []]]]},
        {"core": b"x"},
        {"registers": {}},
        {"registers": {**plain["registers"], "usart3": [b"", b"", []]}},
        {"pages": {}},
        {"machine": {}},
        {"own": {}},
    )
    for change in changes:
        assert refused(with_(change)).startswith("a damaged snapshot ("), change

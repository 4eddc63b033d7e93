"""A taped camera against one that executes everything: a toy, and the real one."""

import random
import zlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from omvsim import board, image
from omvsim.engine import Engine, Fault, Stop, Unmodelled, taped
from omvsim.engine.embedded import Embedded
from omvsim.engine.taped import Taped
from omvsim.errors import UserError
from omvsim.testbed import BOARD, SECOND, Testbed

from netsim import scenario


class Toy:
    """Speaks now and then; when and what follows from all that it has heard, and when."""

    name, version, hertz = "toy", "1", 1000
    evidence: Path | None = None
    fault: Fault | None = None
    clock: datetime | None = None
    unmodelled_beyond = 0
    patience_ns = 0

    def __init__(self) -> None:
        self.executed = 0  # of this object
        self.now, self._heard, self._hold_ns = 0, 1, 0
        self._printed, self._frames = b"", list[tuple[int, bytes]]()

    @property
    def unmodelled(self) -> list[Unmodelled]:
        return []

    @property
    def programmed_hertz(self) -> int:
        return self.hertz

    @property
    def instructions(self) -> int:
        return self.now // 2

    @property
    def wake(self) -> int:
        return self.now

    def _mix(self, *what: object) -> None:
        self._heard = zlib.crc32(repr((self._heard, self.now, what)).encode())

    def run(self, until: int) -> Stop:
        while self.now < until:
            self.now += 1
            self.executed += 1
            dice = zlib.crc32(b"%d %d" % (self._heard, self.now)) % 16
            if dice == 0:
                self._printed += b"%d." % (self._heard % 10)
                return Stop.CONSOLE
            if dice == 1:
                self._frames.append((self.now, b"%d" % self._heard))
                return Stop.FRAME
            if dice == 2:
                self._mix("reset")
                return Stop.RESET
            if dice == 3 and self.patience_ns:
                return Stop.HOST
        return Stop.DEADLINE

    @property
    def hold_ns(self) -> int:
        return self._hold_ns

    @hold_ns.setter
    def hold_ns(self, value: int) -> None:
        self._hold_ns = value
        self._mix("hold", value)

    def console_write(self, data: bytes) -> None:
        self._mix("write", data)

    def send_frame(self, frame: bytes) -> None:
        self._mix("frame", frame)

    def set_link(self, up: bool) -> None:
        self._mix("link", up)

    def reset(self) -> None:
        self._mix("pressed")

    def console_read(self, rest: bool = False) -> bytes:
        data, self._printed = self._printed, b""
        return data

    def frames(self) -> list[tuple[int, bytes]]:
        frames, self._frames = self._frames, []
        return frames

    def memory(self, address: int, size: int) -> bytes | None:
        return b"%d" % self._heard

    def doze(
        self, others: Sequence[tuple[Engine, int]], until: int, lookahead: int
    ) -> tuple[Engine, Stop] | None:
        return None

    def snapshot(self) -> bytes:
        return b"%d %d %d" % (self.now, self._heard, self._hold_ns)

    def restore(self, state: bytes) -> None:
        self.now, self._heard, self._hold_ns = map(int, state.split())

    def keep(self, last: bool = False) -> None:
        pass

    def close(self) -> None:
        pass


CALLS = ("run",) * 12 + ("write", "frame", "link", "hold")


def program(dice: random.Random, length: int) -> list[tuple[str, int]]:
    """Calls and what is given; to `run`, how far from now."""
    return [(dice.choice(CALLS), dice.choice((0, 1, 2, 3, 10, 30))) for _ in range(length)]


def perform(
    engine: Engine, calls: list[tuple[str, int]], keeps: Sequence[int] = ()
) -> list[object]:
    """All that comes out."""
    seen: list[object] = []
    for n, (call, given) in enumerate(calls):
        if n in keeps:
            engine.keep(last=n == keeps[-1])
        match call:
            case "run":
                stop = engine.run(engine.now + given)
                if stop is not Stop.HOST:  # those are no fact of the run
                    seen.append((stop, engine.console_read(), engine.frames()))
            case "write":
                engine.console_write(b"%d" % given)
            case "frame":
                engine.send_frame(b"%d" % given)
            case "link":
                engine.set_link(given > 1)
            case "hold":
                if given != engine.hold_ns:  # as Testbed may set what it is
                    engine.hold_ns = given
        seen.append((engine.now, engine.instructions))
    return [*seen, engine.memory(0, 4)]


@pytest.fixture(autouse=True)
def no_engines_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taped, "_idle", type(taped._idle)())


@pytest.mark.parametrize("seed", range(300))
def test_what_comes_out_is_what_an_engine_would_say(seed: int, tmp_path: Path) -> None:
    """Whatever was done before: all of it again, a part of it and then something else."""
    dice = random.Random(seed)
    files = tmp_path / "prompt", tmp_path / "booted"
    first = program(dice, 30)
    keeps = sorted(dice.sample(range(5, 30), 2))
    for _ in range(6):
        same = dice.randrange(31)
        calls = first[:same] + program(dice, 30 - same)
        camera = Taped(Toy, *files)
        assert perform(camera, calls, keeps) == perform(Toy(), calls)
        camera.close()
        dice.random() < 0.2 and files[dice.randrange(2)].unlink(missing_ok=True)


def test_a_boot_that_is_on_the_tape_is_not_executed(tmp_path: Path) -> None:
    made: list[Toy] = []

    def make() -> Toy:
        made.append(Toy())
        return made[-1]

    calls = [("run", 30)] * 8
    for _ in range(2):
        camera = Taped(make, tmp_path / "a", tmp_path / "a")
        seen = perform(camera, calls, [7])[:-1]
        camera.keep(last=True)
    assert len(made) == 1 + 1  # the second one, for the last call and what its memory holds
    assert made[1].executed < made[0].executed / 3
    assert seen == perform(Toy(), calls)[:-1]


def test_host_time_is_not_on_a_tape(tmp_path: Path) -> None:
    calls = [("run", 30)] * 20
    for patience in (1, 0, 1):
        camera = Taped(Toy, tmp_path / "a", tmp_path / "a")
        camera.patience_ns = patience
        until, seen = 0, list[object]()
        for _ in calls:
            until += 30
            while (stop := camera.run(until)) is not Stop.DEADLINE:
                if stop is not Stop.HOST:
                    seen.append((camera.now, stop, camera.console_read(), camera.frames()))
            camera.keep()
        plain, other, end = Toy(), list[object](), 0
        for _ in calls:
            end += 30
            while (stop := plain.run(end)) is not Stop.DEADLINE:
                other.append((plain.now, stop, plain.console_read(), plain.frames()))
        assert seen == other


def test_a_damaged_tape_is_none(tmp_path: Path) -> None:
    file = tmp_path / "a"
    calls = [("run", 30)] * 9
    perform(Taped(Toy, file, file), calls, [8])
    whole = file.read_bytes()
    dice = random.Random(1)
    for content in (
        b"",
        b"x",
        whole[:-9],
        zlib.compress(b"\x90"),
        zlib.compress(msgspec.msgpack.encode(3)),
    ):
        file.write_bytes(content)
        assert perform(Taped(Toy, file, file), calls) == perform(Toy(), calls)
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        file.write_bytes(damaged)
        assert perform(Taped(Toy, file, file), calls) == perform(Toy(), calls)


def test_a_snapshot_that_is_refused_is_not_needed(tmp_path: Path) -> None:
    class Refuses(Toy):
        def restore(self, state: bytes) -> None:
            self.now = 99
            raise UserError("a damaged snapshot")

    calls = [("run", 30)] * 9
    perform(Taped(Toy, tmp_path / "a", tmp_path / "a"), calls, [5])
    assert perform(Taped(Refuses, tmp_path / "a", tmp_path / "a"), calls) == perform(Toy(), calls)


def test_only_the_last_used_tapes_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taped, "FILES", 3)
    for n in range(6):
        file = tmp_path / f"{n}.tape"
        perform(Taped(Toy, file, file), [("run", 30)] * 3, [2])
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"{n}.tape" for n in (2, 3, 4, 5)]


def test_a_cache_that_cannot_be_written_to_is_none(tmp_path: Path) -> None:
    (tmp_path / "no folder").write_bytes(b"")
    file = tmp_path / "no folder/a"
    calls = [("run", 30)] * 3
    assert perform(Taped(Toy, file, file), calls, [2]) == perform(Toy(), calls)


# the camera

DHCP = '[dhcp]\nfirst = "192.168.1.150"\nlast = "192.168.1.160"\n'


SCRIPT = """
import time
with open("x", "w") as file: file.write("y" * 5000)
time.sleep_ms(300)
"""


def evidence(out: Path) -> dict[str, bytes]:
    names = ("net.pcapng", "console.log", "console.times", "calls.jsonl")
    return {name: (out / name).read_bytes() for name in names}


def played(out: Path, world: str, **more: object) -> dict[str, bytes]:
    with Testbed(scenario=scenario.loads(world), out=out, **more) as camera:  # type: ignore[arg-type]
        camera.boot()
        camera.exec(SCRIPT)
        camera.ping()
        assert camera.get("x") == b"y" * 5000
    return evidence(out)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMVSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OMVSIM_NO_SNAPSHOT", raising=False)
    return tmp_path / "cache/snapshots"


def plain(out: Path, world: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    with monkeypatch.context() as patch:
        patch.setenv("OMVSIM_NO_SNAPSHOT", "1")
        return played(out, world)


def test_a_camera_boots_once(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run, one from the tape with an engine of its own, one with the second's."""
    expected = plain(tmp_path / "plain", "", monkeypatch)
    assert not cache.exists()
    for name in "abc":
        assert played(tmp_path / name, "") == expected, name
    assert len(list(cache.iterdir())) == 1
    assert cache.stat().st_mode & 0o777 == 0o700


def test_another_network_and_another_limit(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds = ["", DHCP, '[[fault]]\nkind = "delay"\ndelay_ms = 7\n']
    for n, world in enumerate(worlds):
        assert played(tmp_path / f"{n}", world) == plain(tmp_path / f"p{n}", world, monkeypatch)
    again = played(tmp_path / "limit", DHCP, boot_limit=3 * SECOND)
    assert again == evidence(tmp_path / "p1")
    assert len(list(cache.iterdir())) == 1


def test_what_comes_before_is_on_a_tape_too(cache: Path, tmp_path: Path) -> None:
    script = tmp_path / "before.py"
    script.write_text("import builtins\nbuiltins.answer = 42\nprint('before')\n")
    results = []
    for name in "ab":
        with Testbed(before=script, scenario=scenario.loads(""), out=tmp_path / name) as camera:
            camera.boot()
            engine = camera.engine
            assert isinstance(engine, Taped)
            assert (engine._engine is None) == (name == "b")
            results.append(camera.exec("print(answer)"))
    assert results == ["42\n"] * 2
    assert evidence(tmp_path / "a") == evidence(tmp_path / "b")
    assert len(list(cache.iterdir())) == 2


def test_a_camera_that_is_switched_off_can_be_asked(cache: Path) -> None:
    told = []
    for n in range(3):
        with Testbed(scenario=scenario.loads("")) as camera:
            camera.boot()
            camera.exec(f"import time\ntime.sleep_ms({n * 50})")
        told.append((camera, camera.engine.now, camera.engine.memory(0x20000000, 64)))
    for camera, now, memory in told:
        assert (camera.engine.now, camera.engine.memory(0x20000000, 64)) == (now, memory)


def test_one_that_is_forgotten_leaves_its_engine(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a last snapshot of what nobody asks for."""
    with Testbed(scenario=scenario.loads("")) as first:
        first.boot()
        first.exec("pass")
    engine = first.engine._engine  # type: ignore[attr-defined]
    first.engine.forget()
    with monkeypatch.context() as patch:
        patch.delattr(Embedded, "snapshot")
        with Testbed(scenario=scenario.loads("")) as second:
            second.boot()
            assert second.exec("print(6 * 7)") == "42\n"
            assert second.engine._engine is engine  # type: ignore[attr-defined]


def test_what_is_held_comes_with_what_is_awaited() -> None:
    """At the very time at which it would be told if nothing were held."""

    def told(hold: int, until: bytes) -> list[tuple[int, bytes]]:
        engine = Embedded(board.load(BOARD), image.load())
        engine.hold_ns, engine.hold_until = hold, until
        found = []
        while engine.now < SECOND:
            engine.run(SECOND)
            if printed := engine.console_read():
                found.append((engine.now, printed))
        return found

    each = told(0, b"")
    assert {len(printed) for _, printed in each} == {1}
    text = b"".join(printed for _, printed in each)
    held = told(5_000_000, b">")
    assert b"".join(printed for _, printed in held) == text
    assert text.endswith(b"information.\r\n>>> ")
    last = max(at for at, printed in each if printed == b">")
    assert [(at, printed[-1:]) for at, printed in held][-2:] == [
        (last, b">"),
        (each[-1][0] + 5_000_000, b" "),
    ]
    assert len(held) < len(each) / 4

"""Whatever stands in a file from outside, its reader takes it or says what is wrong with it.

ci/soak readers gives each reader 10,000 files, ci/test a few.
"""

import os
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import edits
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omvsim import board as repl
from omvsim import image as images
from omvsim.captures import importer
from omvsim.commands import certs
from omvsim.engine import choice as engines
from omvsim.evidence.places import place_at
from omvsim.pages import examples, surroundings
from omvsim.repeat import replay, shrink
from omvsim.suites import conformance
from omvsim.testbed import BOARD, Testbed, read_script
from test_image import dfuse

import netsim
from netsim import scenario as scenarios
from netsim.errors import UserError
from netsim.tls.certificates import Authority

ROOT = Path(__file__).resolve().parents[1]
PAGES = Path(__file__).parent / "pages/samples"
COUNT = int(os.environ.get("OMVSIM_FUZZ", "20"))


class Reader(NamedTuple):
    """`seeds` are good files, `read` takes a folder in which one of them is changed."""

    seeds: Callable[[Path], dict[str, bytes]]
    read: Callable[[Path, Path], object]
    tokens: list[bytes] = edits.TEXTS


def files(*paths: Path) -> Callable[[Path], dict[str, bytes]]:
    return lambda folder: {path.name: path.read_bytes() for path in paths}


def worlds(folder: Path) -> dict[str, bytes]:
    """Scenarios, without lines that name files beside them."""
    paths = [*(ROOT / "netsim/scenarios").glob("*.toml"), *(ROOT / "robot").glob("*/*.toml")]
    found = {path.name: re.sub(r".* path = .*\n", "", path.read_text()).encode() for path in paths}
    return {name: text for name, text in found.items() if name != "statements.toml"}


def read_scenario(path: Path, folder: Path) -> None:
    scenario = scenarios.load(path)
    netsim.camera_files(scenario)
    network = netsim.build(scenario)
    network.run(50_000_000)


def read_board(path: Path, folder: Path) -> None:
    board = folder / BOARD.name
    description = repl.load(board if board.exists() else path, folder)
    engine = engines.make("embedded", description, images.load(), 1, None)
    engine.run(1_000_000)
    engine.close()


def read_image(path: Path, folder: Path) -> None:
    image = images.load(path)
    place_at([path], 0x08000008)
    memories = repl.load(BOARD).memories
    images.check_vectors(image, memories)
    image = images.holding(image, {"a/b": b"x"}, memories) or image
    engines.make("embedded", repl.load(BOARD), image, 1, None).close()


def read_capture(path: Path, folder: Path) -> None:
    made = importer.read(path, None)
    scenarios.loads(shrink.render(made.table))


def read_evidence(path: Path, folder: Path) -> None:
    run = folder / "run"
    replay.recorded(run)
    replay.first_difference(run, run)


def read_page(path: Path, folder: Path) -> None:
    for example in examples.read(path):
        if not example.reason:
            surroundings.of(example.source)


def read_certificate(path: Path, folder: Path) -> None:
    with suppress(UserError):
        list(certs._parts(path))
    world = f'[camera.files]\nx = {{certificate="x"}}\n[certificates.x]\nfile = "{path.name}"\n'
    netsim.camera_files(scenarios.loads(world, folder=folder))


def evidence(folder: Path) -> dict[str, bytes]:
    """A short run's, whose calls are all kinds of them."""
    run = folder / "run"
    scenario = scenarios.loads(
        '[camera.files]\n"a.txt" = { text = "x" }\n[dhcp]\nenabled = false\n'
    )
    with Testbed(scenario=scenario, out=run) as testbed:
        testbed.boot()
        testbed.exec("import machine\nprint(1)")
        testbed.suffer(kind="loss", rate=0.5)
        testbed.rule(match="IP", action="drop", count=1)
        testbed.type(b"x = 1\r\n")
        testbed.serve(kind="tcp", name="a.lan", address="192.168.1.7", greeting="hello")
        testbed.call(kind="tcp", name="b.lan", address="192.168.1.8", port=7, send="x")
        testbed.set_link(False)
        testbed.set_link(True)
    return {
        f"run/{path.relative_to(run)}": path.read_bytes()
        for path in run.rglob("*") if path.is_file() and path.suffix != ".html"
    }  # fmt: skip


def baseline(folder: Path) -> dict[str, bytes]:
    return {"b.json": b'{"schema": 1, "tests": [{"name": "a", "passed": true, "seconds": 1.5}]}'}


def elf(folder: Path) -> dict[str, bytes]:
    """An image with one segment, one function and a file system (ELF specification, figure 1-3)."""
    names = b"\0.symtab\0.strtab\0.shstrtab\0.littlefs\0"
    code = struct.pack("<IIHH", 0x20000400, 0x08000009, 0xE7FE, 0xBF00)
    symbols = bytes(16) + struct.pack("<IIIBBH", 1, 0x08000009, 2, 0x12, 0, 0xFFF1)
    lfs = struct.pack("<3I", 0x08100000, 8 * 4096, 4096)
    blobs = [code, symbols, b"\0main\0", names, lfs]
    places = [52 + 32]
    for blob in blobs:
        places.append(places[-1] + len(blob))
    sections = [(0,) * 10] + [
        (names.index(name), kind, 0, 0, place, len(blob), link, 1 if kind == 2 else 0, 4, size)
        for name, kind, place, blob, link, size in (
            (b".symtab", 2, places[1], symbols, 2, 16),
            (b".strtab", 3, places[2], blobs[2], 0, 0),
            (b".shstrtab", 3, places[3], names, 0, 0),
            (b".littlefs", 1, places[4], lfs, 0, 0),
        )
    ]
    ident = b"\x7fELF\1\1\1" + bytes(9)
    head = struct.pack("<HHIIIIIHHHHHH", 2, 40, 1, 0x08000009, 52, places[-1], 0x5000400,
                       52, 32, 1, 40, len(sections), 3)  # fmt: skip
    segment = struct.pack("<8I", 1, places[0], 0x08000000, 0x08000000, len(code), len(code), 5, 4)
    table = b"".join(struct.pack("<10I", *section) for section in sections)
    return {"image.elf": ident + head + segment + b"".join(blobs) + table}


def certificates(folder: Path) -> dict[str, bytes]:
    """PEM with a key, and DER, by cryptography."""
    made = Authority(scenarios.load(ROOT / "robot/hostile/certificates.toml", True))
    some = [made[name] for name in list(made.scenario.certificates)[:4]]
    found = {f"{number}.der": one.der for number, one in enumerate(some)}
    return found | {f"{number}.pem": one.pem + one.key_pem for number, one in enumerate(some)}


def other_formats(folder: Path) -> dict[str, bytes]:
    hex = b":020000040800F2\n:0400000000000220DA\n:0401000000000220D9\n:00000001FF\n"
    return {"f.hex": hex, "f.dfu": dfuse([(0x08000000, b"abcd" * 9), (0x08001000, b"ef")])}


def captures(folder: Path) -> dict[str, bytes]:
    """Of the suites: TLS, DTLS and their services."""
    with Testbed(scenario="default", out=folder / "out") as testbed:
        testbed.boot()
        testbed.run(ROOT / "firmware/examples/tls_client.py")
    return {"net.pcapng": (folder / "out/net.pcapng").read_bytes()}


READERS = {
    "scenario": Reader(worlds, read_scenario),
    "board": Reader(files(BOARD, BOARD.parent / "stm32h743.repl"), read_board),
    "image": Reader(elf, read_image, edits.NUMBERS),
    "HEX and DfuSe": Reader(other_formats, lambda path, folder: images.load(path), edits.NUMBERS),
    "capture": Reader(captures, read_capture, edits.NUMBERS),
    "certificate": Reader(certificates, read_certificate, edits.NUMBERS),
    "evidence": Reader(evidence, read_evidence, edits.TEXTS + edits.NUMBERS),
    "baseline": Reader(baseline, lambda path, folder: conformance.read_baseline(path)),
    "known": Reader(
        files(conformance.KNOWN),
        lambda path, folder: conformance.expectations(
            path, conformance.Versions("1.26.1", "3.6.4", "page")
        ),
    ),
    "page": Reader(files(*PAGES.iterdir()), read_page),
    "script": Reader(
        files(*(ROOT / "firmware/examples").glob("*.py")), lambda path, folder: read_script(path)
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_reader(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    seeds = reader.seeds(tmp_path)
    for file, content in seeds.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(content)
    for file in seeds:
        reader.read(tmp_path / file, tmp_path)

    @settings(max_examples=COUNT, deadline=None, database=None, derandomize=COUNT < 1000,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.sampled_from(sorted(seeds)), edits.edits(reader.tokens))
    def damage(file: str, done: list[edits.Edit]) -> None:
        path = tmp_path / file
        path.write_bytes(edits.changed(seeds[file], done))
        try:
            reader.read(path, tmp_path)
        except UserError as error:
            assert 0 < len(str(error)) < 1100  # one line, by UserError itself
        finally:
            path.write_bytes(seeds[file])

    damage()


@pytest.mark.parametrize(
    ("reader", "name", "content", "told"),
    [
        ("scenario", "a.toml", b"a = " + b"[" * 2000, ":1: no valid scenario: maximum recursion"),
        ("scenario", "a.toml", b"a = " + b"1" * 5000, ":1: no valid scenario: exceeds the limit"),
        ("scenario", "a.toml", b"\ntime = 0001-01-01T00:00:00+23:59",
         ":2: time: 0001-01-01 00:00:00+23:59 is outside the calendar in UTC"),
        ("board", "a.repl", b"a: Memory.MappedMemory @ sysbus " + b"1" * 5000,
         ":1:33: an address has 1 to 20 digits; write fewer"),
        ("board", "a.repl", b"a: Memory.MappedMemory @ sysbus 0x_",
         ":1:33: an address has 1 to 20 digits; write fewer"),
        ("board", "a.repl", b"a: Memory.MappedMemory @ sysbus 0\n    size: " + b"[" * 2000,
         ": nested too deep; write lists of values"),
        ("board", "a.repl", b'using "' + b"x" * 300 + b'"\n', ":1:1: no file"),
        ("page", "a.rst", b"".join(b" " * i + b"x\n\n" for i in range(400)), ": nested too deep"),
        ("page", "a.html", b"<pre>import ssl</pre><![] x>", ": no HTML: "),
        ("baseline", "a.json", b'{"x": ' + b"[" * 5000, ": nested too deep: make it anew"),
    ],
)  # fmt: skip
def test_what_ended_in_a_traceback(
    reader: str, name: str, content: bytes, told: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        READERS[reader].read(tmp_path / name, tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / name}{told}")


def test_a_capture_that_ends_within_its_secrets(tmp_path: Path) -> None:
    section = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    for rest in (4, 7, 12):
        path = tmp_path / "a.pcapng"
        path.write_bytes(section + struct.pack("<II", 0x0A, 40) + bytes(rest))
        with pytest.raises(UserError, match=r"a\.pcapng: "):
            importer.read(path, None)


def test_images_and_certificates_that_ended_in_a_traceback(tmp_path: Path) -> None:
    content = elf(tmp_path)["image.elf"]
    path = tmp_path / "image.elf"
    path.write_bytes(content[:44] + struct.pack("<H", 300) + content[46:])  # e_phnum
    with pytest.raises(UserError, match="300 program headers"):
        images.load(path)
    table = int.from_bytes(content[32:36], "little") + 40  # e_shoff, the section .symtab
    path.write_bytes(content[: table + 36] + bytes(4) + content[table + 40 :])  # sh_entsize
    assert place_at([path], 0x08000008) == ""
    der = certificates(tmp_path)["0.der"]
    (tmp_path / "0.der").write_bytes(der[:12] + bytes([der[12] ^ 1]) + der[13:])  # version 4
    with pytest.raises(UserError, match=r"certificates.x: 3 is not a valid X509 version"):
        read_certificate(tmp_path / "0.der", tmp_path)

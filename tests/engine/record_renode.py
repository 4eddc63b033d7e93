#!/usr/bin/env python3
"""Record what the real Renode answers, for stand_in.py: RENODE=... tests/engine/record_renode.py"""

import json
import sys

from omvsim import image
from omvsim.board import load
from omvsim.engine import Stop, Unmodelled, renode
from omvsim.testbed import BOARD
from stand_in import SESSION, key

FRAME = bytes.fromhex("ffffffffffff020000000001" + "0806" + "00" * 46)


class Recording(renode.Renode):
    """Keeps every command's first words with what Renode said."""

    def _do(self, command: str) -> str:
        told = super()._do(command)
        said.append([key(command), told])
        return told


def conversation(engine: renode.Renode) -> bytes:
    """The same calls that the tests make; what the console printed."""
    printed = b""
    while engine.now < 4_000_000:
        engine.run(4_000_000)
        printed += engine.console_read()
    engine.set_link(False)
    engine.set_link(True)
    engine.send_frame(FRAME)
    engine.console_write(b"print(6*7)\r")
    while engine.now < 8_000_000:
        engine.run(8_000_000)
        printed += engine.console_read()
    return printed


def accidents(engine: renode.Renode) -> tuple[list[Stop], list[Unmodelled]]:
    """A place that nothing models, then a bus error, then the button; why it came back."""
    stops = []
    for line in (b"import machine as m; m.mem32[0x40008800] = 7", b"m.mem32[0xD0000000]"):
        engine.console_write(line + b"\r")
        until = engine.now + 12_000_000
        while engine.now < until:
            if (stop := engine.run(until)) is not Stop.CONSOLE:
                stops.append(stop)
            engine.console_read()
    places = engine.unmodelled
    engine.reset()
    stops.append(engine.run(engine.now + 1_000_000))
    return stops, places


said: list[list[str]] = []
if __name__ == "__main__":
    made = Recording(load(BOARD), image.load())
    try:
        sys.stdout.buffer.write(conversation(made))
        print(accidents(made), made.fault)
    finally:
        made.close()
    SESSION.write_text(json.dumps(said, indent=0) + "\n")

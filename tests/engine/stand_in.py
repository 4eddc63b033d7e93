#!/usr/bin/env python3
"""Stands in for the program Renode: its options, OmvsimLink's FIFOs, and what the real one said in
renode_session.json. STAND_IN tells what goes wrong: old, mute, other, dies, hangs, nonsense,
refuses, dies-at-COMMAND, hangs-at-COMMAND. Its process id is left in $PID_FILE."""

import json
import os
import re
import sys
import time
from pathlib import Path

SESSION = Path(__file__).with_name("renode_session.json")
WRONG = os.environ.get("STAND_IN", "")
SAID = iter(json.loads(SESSION.read_text()))


def key(command: str) -> str:
    """What stays the same from one run to the next."""
    return re.sub(r"@\S+", "@", " ".join(command.split()[:2]))


def answer(command: str) -> tuple[str, str]:
    if command.startswith(WRONG.partition("dies-at-")[2] or "\0"):
        os._exit(7)
    if command.startswith(WRONG.partition("hangs-at-")[2] or "\0"):
        time.sleep(600)
    if WRONG == "nonsense":
        return "MAYBE", "5"
    expected, told = next(SAID)
    if key(command) != expected:
        return "FAIL", f"recorded is {expected}, not {key(command)}"
    return "PASS", told


def main() -> None:
    with Path(os.environ["PID_FILE"]).open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    if "--version" in sys.argv:
        if WRONG == "mute":
            time.sleep(600)
        version = "1.15.3" if WRONG == "old" else "1.16.1"
        print("nothing to see" if WRONG == "other" else f"Renode, version {version} (d66b0c2a)")
    elif WRONG == "dies":
        sys.exit("no display")
    elif WRONG == "hangs":
        time.sleep(600)
    else:
        script = Path(sys.argv[sys.argv.index("-e") + 1].partition("@")[2])
        folder = Path(script.read_text().split('"')[-2])
        with (folder / "commands").open() as commands, (folder / "answers").open("w") as answers:
            for line in commands:
                status, told = answer(line.rstrip("\n"))
                size = told.count("\n") + 1
                print(f"{status} {size}", told, sep="\n", file=answers, flush=True)


if __name__ == "__main__":
    main()

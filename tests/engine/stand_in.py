#!/usr/bin/env python3
"""Stands in for the program Renode: its options, its robot server, and what the real one said in
renode_session.json. STAND_IN tells what goes wrong: old, mute, other, dies, hangs, nonsense,
refuses, dies-at-COMMAND, hangs-at-COMMAND. Its process id is left in $TMPDIR/pid."""

import json
import os
import sys
import time
from pathlib import Path
from xmlrpc.server import SimpleXMLRPCServer

sys.path.insert(0, str(Path(__file__).parent))
from record_renode import SESSION, key

WRONG = os.environ.get("STAND_IN", "")
SAID = iter(json.loads(SESSION.read_text()))


def run_keyword(keyword: str, arguments: list[str]) -> object:
    assert keyword == "ExecuteCommand"
    [command] = arguments
    if command.startswith(WRONG.partition("dies-at-")[2] or "\0"):
        os._exit(7)
    if command.startswith(WRONG.partition("hangs-at-")[2] or "\0"):
        time.sleep(600)
    if WRONG == "nonsense":
        return {"status": "MAYBE", "return": 5}
    expected, told = next(SAID)
    if key(command) != expected:
        return {"status": "FAIL", "error": f"recorded is {expected}, not {key(command)}"}
    return {"status": "PASS", "return": told}


with Path(os.environ["PID_FILE"]).open("a") as pids:
    pids.write(f"{os.getpid()}\n")
if "--version" in sys.argv:
    if WRONG == "mute":
        time.sleep(600)
    print(
        "nothing to see"
        if WRONG == "other"
        else f"Renode, version {'1.15.3' if WRONG == 'old' else '1.16.1'} (d66b0c2a-202602160910)"
    )
elif WRONG == "dies":
    sys.exit("no display")
elif WRONG == "hangs":
    time.sleep(600)
else:
    port = int(sys.argv[sys.argv.index("--robot-server-port") + 1])
    server = SimpleXMLRPCServer(("127.0.0.1", port), logRequests=False)
    server.register_function(run_keyword)
    server.serve_forever()

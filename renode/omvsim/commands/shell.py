"""omvsim shell: a Python prompt with the running camera, and scapy on the virtual cable."""

from __future__ import annotations

import argparse
import code
import runpy
import textwrap
from pathlib import Path
from typing import Any

from omvsim.commands.options import camera_options, switched_on
from omvsim.testbed import Testbed, read_script


def add_command(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser(
        "shell", help="a Python prompt with the camera and scapy on its cable",
        description="Boot the camera and open a Python prompt, or run SCRIPT, in which `camera`\n"
        "is the Testbed and scapy's sr1, srp1, sniff and sendp work on the virtual cable.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent("""\
            examples:
              omvsim shell
              omvsim shell --scenario wrong_name probe.py
              echo 'print(arp())' > probe.py && omvsim shell probe.py

            exit codes: 0; 1 the script raised; 2 bad input; 130 Ctrl-C while no prompt waits
            """),
    )  # fmt: skip
    camera_options(command)
    command.add_argument("--scenario", metavar="FILE", help="the world")
    command.add_argument("--allow-outside", action="store_true", help="see omvsim run --help")
    command.add_argument("--seed", type=int, metavar="N", help="instead of the scenario's seed")
    command.add_argument("--out", type=Path, metavar="DIR", help="keep console and capture")
    command.add_argument("script", type=Path, nargs="?", metavar="SCRIPT")
    command.set_defaults(call=shell)


def shell(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from omvsim.testbed.shell import ADDRESS, BANNER, MAC, names  # noqa: PLC0415 - a second

    if options.script:
        read_script(options.script)
    with Testbed(
        options.firmware, options.scenario, seed=options.seed, **switched_on(options),
        out=options.out, script=str(options.script or ""), outside=options.allow_outside,
    ) as testbed:  # fmt: skip
        testbed.waiting = options.interrupt.check
        testbed.boot()
        known = names(testbed)
        if options.script:
            try:
                runpy.run_path(str(options.script), known, "__main__")
            except Exception:
                code.InteractiveInterpreter().showtraceback()
                return 1
        else:
            banner = BANNER.format(mac=MAC, address=ADDRESS, ip=known["ip"])
            code.interact(banner, local=known, exitmsg="")
    return 0

"""omvsim import: from a capture of a real device, a scenario whose peers do the same."""

from __future__ import annotations

import argparse
import sys
import textwrap
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from netsim import scenario as scenarios
from omvsim import outputs
from omvsim.captures import script, secrets, trust
from omvsim.captures.importer import read
from omvsim.errors import UserError
from omvsim.evidence.case import Case
from omvsim.repeat import shrink
from omvsim.terminal import visible


def add_command(commands: Any) -> None:
    """The parser of omvsim import."""
    command = commands.add_parser(
        "import", help="a scenario from a capture of a real device",
        description="Write a scenario in which the peers of a capture do what they did there: "
        "servers, clients, DHCP, DNS and NTP with their addresses, delays, TLS versions, suites, "
        "certificates, sizes, alerts and ends; and frames that were lost are lost again.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent("""\
            examples:
              omvsim import --camera 10.0.0.7 --out robot/field/office.toml office.pcapng
              omvsim import --ca customer-ca.pem customer.pcapng
              omvsim import --keylog secrets.log office.pcapng

            Private keys are not in a capture: certificates are made anew with the same kinds of
            keys, names, dates and issuers. What could not be carried over is told.

            exit codes: 0 written, 2 usage or bad input
            """),
    )  # fmt: skip
    command.add_argument("capture", type=Path, metavar="CAPTURE", help="a pcap or pcapng file")
    command.add_argument(
        "--camera",
        metavar="ADDRESS",
        help="the device (default: who got a lease, else who opens most connections)",
    )
    command.add_argument(
        "--ca", type=Path, metavar="FILE",
        help="the authority that the device trusts, PEM or DER: the recorded certificates are "
        "checked against it, and the camera gets one that stands in for it",
    )  # fmt: skip
    command.add_argument(
        "--keylog", type=Path, metavar="FILE",
        help="secrets of its TLS sessions (SSLKEYLOGFILE): what was said, and TLS 1.3's "
        "certificates; those inside a pcapng are read anyway",
    )  # fmt: skip
    command.add_argument(
        "--out", type=Path, metavar="FILE",
        help="default: CAPTURE's name .toml; the camera's script lies beside it, as .py",
    )  # fmt: skip
    command.add_argument("--force", action="store_true", help="overwrite a file that is there")
    command.set_defaults(call=import_capture)


def import_capture(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    if options.camera:
        try:
            ip_address(options.camera)
        except ValueError:
            raise UserError(f"--camera {options.camera}: no address: write one") from None
    options.interrupt.at_once = True  # nothing of ctypes runs
    anchors = trust.authorities(options.ca) if options.ca else []
    known = secrets.from_file(options.keylog) if options.keylog else {}
    made = read(options.capture, options.camera, anchors, known)
    name = visible(options.capture.name.replace("\n", " "))
    text = f"# from {name}, the device was {made.camera}\n"
    text += shrink.render(made.table)
    out = options.out or options.capture.with_suffix(".toml")
    world = scenarios.loads(text, str(out))  # what it cannot hold is told with its line
    program = script.written(made.own, made.camera, world, name)
    files = {out: text.encode()} | ({out.with_suffix(".py"): program.encode()} if program else {})
    outputs.write(files, options.force, "choose another --out")
    for what in dict.fromkeys(made.lost):
        print(f"not carried over: {what}", file=sys.stderr)
    counts = [f"{len(made.table.get(key, []))} {key}(s)" for key in ("server", "client", "rule")]
    print(f"{out}: {', '.join(counts)}")
    if anchors:
        case = Case(
            "exception", "", clock=datetime.fromtimestamp(made.began, UTC),
            scenario=world, files={options.ca.name: anchors[0].public_bytes(Encoding.DER)},
            camera=made.camera,
        )  # fmt: skip
        case.talks = made.own
        for told in trust.verdicts(case):
            print(visible(told))
    if program:
        print(f"next: omvsim run --scenario {out} {out.with_suffix('.py')}")
    return 0

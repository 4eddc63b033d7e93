"""omvsim renode: which Renode is found, and Antmicro's renode-run to install the supported one."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import textwrap
from typing import Any

from omvsim.engine.renode import RELEASE, find, version_of
from omvsim.errors import UserError

LAUNCHER = "git+https://github.com/antmicro/renode-run"
RELEASES = "https://github.com/renode/renode/releases/download"


def add_command(commands: Any) -> None:
    """The parser of omvsim renode."""
    command = commands.add_parser(
        "renode", help="the Renode that --engine renode uses",
        description=f"Renode {RELEASE} is the supported release. It is looked for in RENODE (the "
        "program or its folder), on PATH, and where renode-run has installed it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent(f"""\
            examples:
              omvsim renode status         which program, and its version
              omvsim renode install        calls renode-run (pip install {LAUNCHER})

            exit codes: 0 the supported release is there, 2 it is not, or cannot be installed
            """),
    )  # fmt: skip
    command.add_argument("action", choices=("status", "install"))
    command.set_defaults(call=renode)


def renode(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    if options.action == "install":
        _install()
    program = find()
    version = version_of(program)
    print(f"{program}: Renode {version}")
    if version != RELEASE:
        raise UserError(f"{program}: Renode {version}, needs {RELEASE}: omvsim renode install")
    return 0


def _install() -> None:
    launcher = shutil.which("renode-run")
    if launcher is None:
        raise UserError(f"no renode-run on PATH: pip install {LAUNCHER}")
    package = f"{RELEASES}/v{RELEASE}/renode-{RELEASE}.linux-portable-dotnet.tar.gz"
    command = [launcher, "install", package, "--version-override", f"gh-{RELEASE}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise UserError(f"{' '.join(command)}: ended with {done.returncode}: see its words above")

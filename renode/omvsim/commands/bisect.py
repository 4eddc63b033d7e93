"""omvsim bisect: the first commit, or image of a folder, with another verdict."""

from __future__ import annotations

import argparse
import os
import textwrap
from pathlib import Path
from typing import Any

from omvsim import image as images
from omvsim.commands.options import duration, whole
from omvsim.repeat.bisect import Trial, of_commits, of_images
from omvsim.testbed import BOARD, find_scenario, read_script

SCRIPT = images.ROOT / "firmware/examples/tls_client.py"


def add_command(commands: Any) -> None:
    """The parser of omvsim bisect."""
    command = commands.add_parser(
        "bisect", help="the first commit or image that ends a scenario otherwise",
        description="Find the first commit after GOOD, up to BAD, on which the scenario's\n"
        "verdict is another than on GOOD; or the first image of a folder.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent("""\
            examples:
              omvsim bisect v1.25 master --tree ~/micropython robot/field/fault.toml \\
                --build 'firmware/build --sources {tree} --output {image}.d &&
                         cp {image}.d/openmv_h7.elf {image}'
              omvsim bisect 2026-01.elf 2026-06.elf --images releases robot/field/fault.toml

            CMD is a shell command that finds the commit in {tree}, a temporary worktree,
            and makes {image}. What does not build, or not boot where GOOD and BAD do, is
            skipped, as git bisect skip does. Verdicts are kept by image, scenario and
            script in the cache ($OMVSIM_CACHE).

            exit codes:
              0    found
              1    GOOD and BAD end alike, or skipped commits hide the first
              2    usage or bad input
              130  interrupted by Ctrl-C
            """),
    )  # fmt: skip
    command.add_argument("good", metavar="GOOD", help="a commit, or the name of an image")
    command.add_argument("bad", metavar="BAD", help="a later one")
    command.add_argument("scenario", metavar="SCENARIO", help="a .toml file, or a packaged name")
    command.add_argument(
        "script", type=Path, nargs="?", default=SCRIPT, metavar="SCRIPT",
        help="what the camera runs (default: firmware/examples/tls_client.py)",
    )  # fmt: skip
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--build", metavar="CMD", help="makes {image} of the commit in {tree}")
    source.add_argument("--images", type=Path, metavar="DIR", help="images, in natural order")
    command.add_argument(
        "--tree", type=Path, default=Path(), metavar="DIR",
        help="the git repository of the firmware (default: here)",
    )  # fmt: skip
    command.add_argument("--board", type=Path, metavar="FILE", default=BOARD)
    command.add_argument("--allow-outside", action="store_true", help="see omvsim run --help")
    command.add_argument("--seed", type=int, metavar="N", help="instead of the scenario's seed")
    command.add_argument(
        "--time-limit", type=duration, default="20s", metavar="TIME",
        help="virtual time that the script may take (default: 20s)",
    )  # fmt: skip
    command.add_argument(
        "--jobs", type=whole(1000, "number of images"), default=os.cpu_count() or 1, metavar="N",
        help="images of --images that are tried at once (default: one a core)",
    )  # fmt: skip
    command.add_argument(
        "--dask", metavar="ADDRESS",
        help="try them on the workers of a Dask scheduler, as omvsim check does",
    )  # fmt: skip
    command.set_defaults(call=bisect)


def bisect(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    world = find_scenario(options.scenario, options.allow_outside)
    world = world if options.seed is None else world.with_seed(options.seed)
    source = read_script(options.script)
    trial = Trial(
        world, source, options.time_limit, options.board, options.jobs, options.dask,
        options.interrupt.check,
    )  # fmt: skip
    if options.images:
        return of_images(trial, options.images, options.good, options.bad)
    return of_commits(trial, options.tree, options.build, options.good, options.bad)

"""omvsim docs: does what a page of documentation shows work on the camera?"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omvsim.commands.options import duration
from omvsim.errors import UserError
from omvsim.pages import examples, surroundings
from omvsim.pages.docs import Outcome, try_out


def add_command(commands: Any) -> None:
    """Add `docs` to the program's commands."""
    command = commands.add_parser(
        "docs", help="run the examples of documentation pages on the camera",
        description="Run each Python example of the pages on a camera of its own, in a network\n"
        "with the names, ports and files that it uses.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent("""\
            examples:
              omvsim docs docs/library/ssl.rst
              omvsim docs --out evidence --time-limit 2m tutorial.md reference.html

            For each example one line:
              ran to its end     nothing was raised
              served a client    it listens, and the client that came was served
              raised             the exception and the page's line, or a limit that passed
              not runnable       a syntax error with its line, or a fragment

            exit codes:
              0    all examples ran or served; fragments do not count
              1    one raised, or has a syntax error
              2    bad input: a page is missing, is not UTF-8, or has no example
              130  interrupted by Ctrl-C

            Names that an example leaves undefined are modules to import, or of this table. NAME is
            the name, and example.com the example's server_hostname if it gives one. A listener
            calls accept() itself; set-up is for a socket that the example connects or binds itself.

            """) + surroundings.describe_table(),
    )  # fmt: skip
    command.add_argument(
        "pages", type=Path, nargs="+", metavar="PAGE", help="page: .rst, .md, .html, .txt"
    )
    command.add_argument(
        "--firmware",
        type=Path,
        metavar="IMAGE",
        help="ELF, HEX, DfuSe or FILE@ADDRESS (default: build/firmware's)",
    )
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="write DIR/docs.json and a folder for each example"
    )
    command.add_argument(
        "--time-limit", type=duration, default="30s", metavar="TIME",
        help="virtual time that an example may take (default: 30s)",
    )  # fmt: skip
    command.set_defaults(call=check_pages)


def check_pages(options: argparse.Namespace) -> int:
    """The command: run the examples of all pages, tell of each, sum up."""
    found = [example for page in options.pages for example in examples.read(page)]
    outcomes: list[Outcome] = []
    for number, example in enumerate(found, 1):
        name = f"{number:02}-{example.page.stem}-line-{example.line}"
        out = options.out / name if options.out else None
        outcome = try_out(
            example, options.firmware, options.time_limit, options.interrupt.check, out
        )
        outcomes.append(outcome)
        print(outcome, flush=True)
        if options.out:
            try:
                options.out.mkdir(parents=True, exist_ok=True)
                _record(options.out, outcomes)
            except OSError as error:
                raise UserError(f"{options.out}: {error.strerror}: choose another --out") from None
    print(_summary(outcomes))
    return 0 if all(outcome.good for outcome in outcomes) else 1


def _summary(outcomes: list[Outcome]) -> str:
    counts = Counter(outcome.status for outcome in outcomes)
    told = ", ".join(
        f"{number} {status if number == 1 else status.replace('its', 'their')}"
        for status, number in counts.items()
    )
    return f"{len(outcomes)} example{'s' * (len(outcomes) != 1)}: {told}"


def _record(folder: Path, outcomes: list[Outcome]) -> None:
    content = {
        "schema": 1,
        "summary": _summary(outcomes),
        "examples": [asdict(o) for o in outcomes],
    }
    (folder / "docs.json").unlink(missing_ok=True)  # of an earlier run, or a link
    (folder / "docs.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

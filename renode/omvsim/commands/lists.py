"""omvsim scenarios, misbehaviours, keywords: what there is to choose from."""

from __future__ import annotations

import argparse
import inspect
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from netsim.scenario import json_schema
from omvsim import image
from omvsim.errors import UserError

Named = Iterable[tuple[str, str]]


def add_command(commands: Any) -> None:
    """The parsers of the three."""
    for name, (tell, text) in LISTS.items():
        command = commands.add_parser(name, help=text, description=f"Lists {text}.")
        command.set_defaults(call=show, tell=tell, schema=False, page=None)
        if name == "keywords":
            command.add_argument(
                "--page", type=Path, metavar="FILE",
                help="write Robot Framework's page of the library instead: .html, .json or .xml",
            )  # fmt: skip
        if name == "scenarios":
            command.add_argument(
                "--schema", action="store_true",
                help="print the JSON schema of a scenario instead, for editors",
            )  # fmt: skip


def show(options: argparse.Namespace) -> int:
    """Run one of them; its exit code."""
    if options.schema:
        print(json.dumps(json_schema.scenario(), indent=1))
        return 0
    if options.page:
        return _write_page(options.page)
    told = list(options.tell())
    width = max(len(name) for name, _ in told)
    for name, text in told:
        print(f"{name:{width}}  {text}".rstrip())
    return 0


def _write_page(page: Path) -> int:
    from robot.libdoc import libdoc  # noqa: PLC0415

    if page.suffix not in (".html", ".json", ".xml"):
        raise UserError(f"{page}: name it .html, .json or .xml")
    try:
        page.open("w").close()
    except OSError as error:
        raise UserError(f"{page}: {error.strerror}: choose another place") from None
    libdoc("omvsim.robotlib", str(page), quiet=True)
    print(f"the page is {image.display(page)}")
    return 0


def scenarios() -> Named:
    from netsim.scenario import PACKAGED  # noqa: PLC0415 - each list imports what it needs

    for path in sorted(PACKAGED.glob("*.toml")):
        yield path.stem, path.read_text().splitlines()[0].lstrip("# ")


def misbehaviours() -> Named:
    from netsim.tls import dtls12_misdeeds, tls12_misdeeds  # noqa: PLC0415

    found: dict[str, list[str]] = {}
    for kind, module in (("tls", tls12_misdeeds), ("dtls", dtls12_misdeeds)):
        for name in module.MISBEHAVIOURS:
            found.setdefault(name, []).append(kind)
    for name, kinds in sorted(found.items()):
        yield name, ", ".join(kinds)


def keywords() -> Named:
    from omvsim.suites.robotlib import robotlib  # noqa: PLC0415

    for name, made in inspect.getmembers(robotlib, inspect.isfunction):
        if hasattr(made, "robot_name"):
            text = " ".join((inspect.getdoc(made) or "").split())
            yield name.replace("_", " ").title(), re.split(r"[.;:] ", text)[0].rstrip(".:;")


LISTS: dict[str, tuple[Callable[[], Named], str]] = {
    "scenarios": (scenarios, "the packaged scenarios, for --scenario"),
    "misbehaviours": (
        misbehaviours,
        "what `misbehave` may be; netsim/README.md tells its numbers",
    ),
    "keywords": (keywords, "Robot Framework's keywords for the camera"),
}

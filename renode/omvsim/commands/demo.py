"""omvsim demo: one verified TLS connection of the camera."""

from __future__ import annotations

import argparse
from typing import Any

from omvsim import image


def add_command(commands: Any) -> None:
    """The parser of omvsim demo."""
    command = commands.add_parser(
        "demo", help="one verified TLS connection, with its evidence",
        description="Boot the camera in the default world: it gets an address, sets its clock, "
        "resolves example.com, verifies the server's certificate and prints the page. The image "
        "is built when there is none.",
    )  # fmt: skip
    command.set_defaults(call=demo)


def demo(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from omvsim import cli  # noqa: PLC0415 - it is what calls this

    script = str(image.ROOT / "firmware/examples/tls_client.py")
    return cli.main(["run", script])

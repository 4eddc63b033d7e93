"""What a job of GitHub's Actions shows of a run of omvsim check: annotations and its summary."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from html import escape

from omvsim.suites.conformance import Conformance, kinds

KINDS = {"broken": "error", "changed": "warning", "fixed": "notice"}


def tell(result: Conformance) -> None:
    """In such a job, by its variables; elsewhere nothing."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in commands(result):
            print(line)
    if place := os.environ.get("GITHUB_STEP_SUMMARY"):
        with suppress(OSError), open(place, "a", encoding="utf-8") as file:
            file.write(summary(result))


def commands(result: Conformance) -> Iterator[str]:
    """Workflow commands, a line each; what comes from outside ends none and begins none."""
    for difference in result.differences:
        title = _data(difference.test).replace(":", "%3A").replace(",", "%2C")
        told = difference.message.strip() or difference.kind
        yield f"::{KINDS[difference.kind]} title={title}::{_data(told)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def summary(result: Conformance) -> str:
    """Markdown."""
    counts = ", ".join(f"{number} {verdict}" for verdict, number in result.counts.items())
    lines = [f"### The ssl page on {escape(result.image)}", ""]
    lines += [f"{escape(str(result.versions))}: {len(result.tests)} tests; statements: {counts}."]
    lines += [f"**{escape(what)}**" for what in (result.interrupted, result.part) if what]
    found = kinds(result.differences)
    if not found:
        lines += ["", f"No difference from {escape(result.against)}."]
    for kind, differences in found.items():
        lines += ["", f"#### {kind.capitalize()}: {len(differences)}", ""]
        for difference in differences:
            name = f"{difference.test} ({', '.join(difference.statements)})"
            lines.append(
                f"<details><summary>{escape(name)}</summary>"
                f"<pre>{escape(difference.message.strip())}</pre></details>"
            )
    return "\n".join(lines) + "\n"

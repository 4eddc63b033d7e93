"""What ci/bench has measured over time: a plot for each figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pygal
from omvsim.errors import UserError

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>ci/bench over time</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self' file:">
<h1>{count} measurements, {first} to {last}</h1>
{images}
</html>
"""


def plot(folder: Path, figures: Sequence[tuple[str, str, str]]) -> Path:
    """The page that shows a plot of each of `figures` (key, name, unit): medians of all *.json in
    the folder, oldest first, labelled with their commits; UserError where there is nothing."""
    try:
        runs = sorted((json.loads(path.read_text()) for path in folder.glob("*.json")),
                      key=lambda run: str(run["date"]))  # fmt: skip
        labels = [str(run["commit"]) for run in runs]
        medians = [{str(k): float(v) for k, v in run["median"].items()} for run in runs]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder}: not of ci/bench --json: {error!r}") from None
    if len(runs) < 2:
        raise UserError(f"{folder}: {len(runs)} measurements: two are needed (ci/bench --json)")
    images = []
    for key, name, unit in figures:
        values = [median.get(key) for median in medians]
        if any(value is not None for value in values):
            chart = pygal.Line(
                title=f"{name}, {unit}", width=900, height=320, range=(0, None), js=[],
                show_legend=False, x_label_rotation=30,
            )  # fmt: skip
            chart.x_labels = labels
            chart.add(name, values)
            (folder / f"{key}.svg").write_bytes(chart.render())
            images.append(f'<p><img src="{key}.svg" alt="{escape(name)}"></p>')
    page = folder / "history.html"
    page.write_text(PAGE.format(
        count=len(runs), first=escape(labels[0]), last=escape(labels[-1]), images="\n".join(images)
    ))  # fmt: skip
    return page

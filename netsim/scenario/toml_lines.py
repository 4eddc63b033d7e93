"""Where each key of a TOML text stands: tomllib checks and converts, but forgets lines."""

import re

Path = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]#]+?)\s*\]")
_KEY = re.compile(
    r"""^\s*((?:[\w.-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""([\w-]+)|"([^"]*)"|'([^']*)'""")


def _split(dotted: str) -> Path:
    return tuple(a or b or c for a, b, c in _PART.findall(dotted))


def key_lines(text: str) -> dict[Path, int]:
    """Line number (from 1) of every table and key; array tables count as (name, 0), (name, 1)."""
    lines: dict[Path, int] = {(): 1}
    counts: dict[Path, int] = {}
    table: Path = ()
    quote = ""  # the delimiter of a multi-line string that is open
    for number, line in enumerate(text.splitlines(), 1):
        if quote:
            quote = "" if quote in line else quote
            continue
        if header := _HEADER.match(line):
            *around, name = _split(header[2])
            table = ()
            for part in around:  # of an array of tables, the last
                table = (*table, part)
                table = (*table, counts[table]) if table in counts else table
            table = (*table, name)
            if header[1] == "[[":
                lines.setdefault(table, number)
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_split(key[1])), number)
            quote = next((q for q in ('"""', "'''") if line.count(q) % 2), "")
    return lines


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of `path`, or of the nearest table around it."""
    while path not in lines:
        path = path[:-1]
    return lines[path]

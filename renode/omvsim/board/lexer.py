"""Splits a `.repl` file into tokens that remember their line and column (both from 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from netsim import paths
from omvsim.errors import UserError


@dataclass(frozen=True)
class Where:
    """A place in a board description."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class ReplError(UserError):
    """A board description is wrong: `FILE:LINE:COLUMN: what; remedy`."""

    def __init__(self, where: Where | str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where


@dataclass(frozen=True)
class Token:
    kind: str  # "name", "number", "string", "symbol", "newline", "end"
    text: str
    where: Where
    starts_line: bool = False

    def __str__(self) -> str:
        return {"newline": "end of line", "end": "end of file"}.get(self.kind, f"`{self.text}`")


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+) | (?P<newline>\n)
      | (?P<comment>//[^\n]* | /\*.*?\*/)
      | (?P<number>0[xX][0-9A-Fa-f_]+ | [0-9][0-9_]*(?:\.[0-9]+)?)(?![A-Za-z0-9_])
      | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<symbol>->|[:@<>,+{};\[\]|\#()-])""",
    re.VERBOSE | re.DOTALL,
)


@lru_cache(maxsize=16)  # each camera reads its board anew
def tokens(text: str, file: str) -> tuple[Token, ...]:
    """Newlines inside brackets of any kind are spaces, as in Renode."""
    found: list[Token] = []
    position, line, start, depth, fresh = 0, 1, 0, 0, True
    while position < len(text):
        where = Where(file, line, position - start + 1)
        match = _TOKEN.match(text, position)
        if not match:
            raise ReplError(where, _complaint(text, position))
        kind, word = str(match.lastgroup), match.group()
        if kind == "newline":
            if not depth:
                found.append(Token(kind, "", where))
                fresh = True
        elif kind not in ("space", "comment"):
            if word in "{[":
                depth += 1
            elif word in "}]" and depth:
                depth -= 1
            found.append(Token(kind, word, where, fresh))
            fresh = False
        if "\n" in word:
            line += word.count("\n")
            start = position + word.rindex("\n") + 1
        position = match.end()
    where = Where(file, line, position - start + 1)
    return (*found, Token("newline", "", where), Token("end", "", where))


def _complaint(text: str, position: int) -> str:
    if text.startswith("/*", position):
        return "comment without end; close it with */"
    if text.startswith("'''", position):
        return "multi-line strings are outside the supported subset; put the script in a model"
    if text[position] == '"':
        return 'string without end; close it with " on the same line'
    if text[position] == "`":
        return "monitor expressions are outside the supported subset; write the value"
    if text[position].isdigit():
        return "not a number; write decimal or 0x hexadecimal digits"
    return f"unexpected character {text[position]!r}; remove it"


def read(path: Path) -> str:
    """The text of a board description; ReplError where there is none."""
    try:
        return paths.read(path).decode()
    except OSError as error:
        raise ReplError(str(path), f"cannot read: {error.strerror}; check the path") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ReplError(f"{path}:{line}:1", "not UTF-8 text; save the file as UTF-8") from None

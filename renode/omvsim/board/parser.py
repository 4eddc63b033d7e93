"""Parser for the subset of Renode's platform description language that the testbed supports.

    using "./other.repl"                      the other file's entries first
    name: Type @ sysbus 0x40004800            a new entry at an address
    name: Type @ sysbus <0x40000000, +0x400>  ... with a size
    name: Type @ { sysbus 0x0; rcc X.Y }      several registrations
    sysbus new Bus.BusMultiRegistration { address: 0x0; size: 0x200; region: "dma" }
    name: Type @ ethernet 0  /  @ none        below another entry, or nowhere
    name:                                     opens an entry again: adds or replaces
        property: 0x10                        number, "text", true, Enum.Value, entry, [list]
        -> nvic@61                            the default output
        IRQ -> exti@28 | led@0                an output by name or number, several sinks
        [0-4] -> nvic@[6-10]                  many at once
        0 -> syscfg#2@0                       local receiver 2
        init:
            WriteDoubleWord 0x10 0x1234       memory: also WriteWord, WriteByte
            Tag <0x52003000, 0x52003FFF> "JPEG"   on sysbus; a value behind it is what reads give

Comments are // and /* */. Anything else is an error.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from netsim.paths import below
from omvsim.board.lexer import ReplError, Token, Where, read, tokens
from omvsim.board.model import (
    Connection,
    Entry,
    Enum,
    Init,
    Property,
    Reference,
    Registration,
    Value,
)

_UNSUPPORTED = {"local", "alias", "reset", "preinit", "prefixed", "else", "if"}


@dataclass
class Description:
    """All entries of a file and of the files it uses, in order; files in order of reading."""

    entries: dict[str, Entry] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def parse(path: Path, within: Path | None = None) -> Description:
    """Read a board description with everything it uses, which may have to lie in a folder."""
    description = Description()
    try:
        _Parser(path, description, (), within).run()
    except RecursionError:
        raise ReplError(str(path), "nested too deep; write lists of values") from None
    return description


LONGEST = 20  # digits of 64 bits


class _Parser:
    def __init__(
        self, path: Path, description: Description, users: tuple[Path, ...], within: Path | None
    ) -> None:
        self.path, self.description, self.users, self.within = path, description, users, within
        self.tokens = tokens(read(path), str(path))
        self.position = 0
        description.files.append(path)

    # tokens

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def next(self) -> Token:
        token = self.token
        self.position += 1
        return token

    def at(self, text: str) -> bool:
        return self.token.text == text and self.token.kind in ("symbol", "name")

    def accept(self, text: str) -> bool:
        if self.at(text):
            self.position += 1
            return True
        return False

    def expect(self, text: str, remedy: str) -> Token:
        if not self.at(text):
            raise ReplError(self.token.where, f"expected `{text}`, found {self.token}; {remedy}")
        return self.next()

    def take(self, kind: str, what: str, remedy: str) -> Token:
        if self.token.kind != kind:
            raise ReplError(self.token.where, f"expected {what}, found {self.token}; {remedy}")
        return self.next()

    def number(self, what: str) -> int:
        token = self.take("number", what, "write decimal or 0x hexadecimal digits")
        if "." in token.text:
            raise ReplError(token.where, f"{what} is a whole number, found {token}; drop the `.`")
        digits = token.text.replace("_", "")
        base = 16 if digits[:2] in ("0x", "0X") else 10
        if not digits.removeprefix("0x").removeprefix("0X") or len(digits) > LONGEST:
            raise ReplError(token.where, f"{what} has 1 to {LONGEST} digits; write fewer")
        return int(digits, base)

    def end_line(self) -> None:
        if self.token.kind != "newline":
            raise ReplError(
                self.token.where, f"expected end of line, found {self.token}; start a new line"
            )
        self.next()

    def skip_lines(self) -> None:
        while self.token.kind == "newline":
            self.next()

    # files and entries

    def run(self) -> None:
        self.skip_lines()
        while self.at("using"):
            self.using()
            self.skip_lines()
        while self.token.kind != "end":
            self.entry()
            self.skip_lines()

    def using(self) -> None:
        where = self.next().where
        name = self.take("string", "a file name", 'write using "./file.repl"').text[1:-1]
        self.end_line()
        path = Path(name) if name.startswith("/") else self.path.parent / name
        if self.within:
            try:
                below(self.within, os.path.relpath(path, self.within))
            except ValueError:
                raise ReplError(where, f'"{name}" leads out of the folder; put it there') from None
        if not os.path.isfile(path):  # also where no file can have the name
            raise ReplError(
                where, f'no file "{name}" beside {self.path.name}; give a path that starts with ./'
            )
        if path.resolve() in (self.path.resolve(), *self.users):
            raise ReplError(where, f'"{name}" uses this file in turn; remove one `using`')
        if path.resolve() not in (file.resolve() for file in self.description.files):
            users = (*self.users, self.path.resolve())
            _Parser(path, self.description, users, self.within).run()

    def entry(self) -> None:
        token = self.take("name", "an entry", "write `name: Type @ sysbus 0x...`")
        if token.where.column != 1:
            raise ReplError(token.where, "unexpected indentation; entries start in column 1")
        if token.text in _UNSUPPORTED:
            raise ReplError(token.where, f"`{token.text}` is outside the supported subset")
        if "." in token.text:
            raise ReplError(token.where, f"{token} is no entry name; names have no dots")
        self.expect(":", "write `name: Type @ sysbus 0x...`")
        entries = self.description.entries
        known = entries.get(token.text)
        if self.token.kind == "name":
            kind = self.next().text
            if known:
                raise ReplError(
                    token.where, f"duplicate entry {token}, first at {known.where}; "
                    f"write `{token.text}:` without a type to change it",
                )  # fmt: skip
            known = entries[token.text] = Entry(token.text, kind, token.where)
        elif known is None and token.text == "sysbus":
            known = entries["sysbus"] = Entry("sysbus", "Bus.SystemBus", token.where)
        elif known is None:
            raise ReplError(
                token.where, f"no entry {token} to change; give a type: `{token.text}: Type`"
            )
        if self.accept("@"):
            known.registrations = self.registrations()
        self.end_line()
        fresh: set[str] = set()  # outputs and properties of this block: they replace older ones
        self.skip_lines()
        while self.token.kind != "end" and self.token.where.column > 1:
            self.attribute(known, fresh)
            self.skip_lines()

    def registrations(self) -> list[Registration]:
        if not self.accept("{"):
            return [self.registration()]
        found = []
        while not self.at("}"):
            found.append(self.registration())
            if not self.accept(";"):
                break
        self.expect("}", "separate registrations with `;`")
        return found

    def registration(self) -> Registration:
        token = self.take("name", "a bus", "write `@ sysbus 0x...` or `@ none`")
        address = size = None
        region = ""
        if self.accept("new"):
            address, size, region = self.multi_registration()
        elif self.accept("<"):
            address, size = self.range()
        elif self.token.kind == "number":
            address = self.number("an address")
        elif self.token.kind == "name":
            self.next()  # such as RegistrationPeripheralAlias.ETH1MAC: how RCC names it
        return Registration(token.text, address, size, region, token.where)

    def range(self) -> tuple[int, int]:
        """After `<`: first address and size in bytes; `<a, b>` names the last address."""
        first = self.number("an address")
        self.expect(",", "write <0x40000000, +0x400>")
        where = self.token.where
        size = self.number("a size") if self.accept("+") else self.number("an end") - first + 1
        if size <= 0:
            raise ReplError(where, "a range that is empty; the second number is the last address")
        self.expect(">", "write <0x40000000, +0x400>")
        return first, size

    def multi_registration(self) -> tuple[int, int, str]:
        kind = self.take("name", "a type", "write new Bus.BusMultiRegistration { ... }")
        if kind.text not in ("Bus.BusMultiRegistration", "Bus.BusRangeRegistration"):
            raise ReplError(kind.where, f"{kind} is outside the supported subset")
        self.expect("{", "write { address: ...; size: ... }")
        given: dict[str, Value] = {}
        while self.token.kind == "name":
            name = self.next().text
            self.expect(":", f"write `{name}: value`")
            given[name] = self.value()
            if not self.accept(";"):
                break
        self.expect("}", "separate properties with `;`")
        match given.get("address"), given.get("size"), given.get("region", ""):
            case int(address), int(size), str(region) if size > 0:
                return address, size, region
        raise ReplError(kind.where, "needs address, size and region: numbers, numbers and a string")

    # what stands below an entry

    def attribute(self, entry: Entry, fresh: set[str]) -> None:
        if not self.token.starts_line:
            raise ReplError(self.token.where, f"unexpected {self.token}; start a new line")
        following = self.tokens[self.position + 1]
        if self.token.text == "init" and following.text in (":", "add"):
            self.init(entry)
            return
        if self.token.kind == "name" and following.text == ":" and following.kind == "symbol":
            if self.token.text in _UNSUPPORTED:
                raise ReplError(self.token.where, f"{self.token} is outside the supported subset")
            name = self.next()
            self.next()
            if f"{name.text}:" in fresh:
                raise ReplError(name.where, f"property {name} is given twice; remove one")
            fresh.add(f"{name.text}:")
            entry.properties[name.text] = Property(name.text, self.value(), name.where)
            self.end_line()
            return
        self.connection(entry, fresh)

    def value(self) -> Value:  # noqa: PLR0911
        token = self.token
        if token.kind == "string":
            return self.next().text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        if token.kind == "number":
            if "." in token.text:
                return float(self.next().text.replace("_", ""))
            return self.number("a number")
        if self.accept("-"):
            number = self.value()
            if isinstance(number, int | float):
                return -number
        elif self.accept("["):
            items: list[Value] = []
            while not self.at("]"):
                items.append(self.value())
                if not self.accept(","):
                    break
            self.expect("]", "separate items with `,`")
            return items
        elif token.kind == "name" and token.text != "new":
            self.next()
            if token.text in ("true", "false"):
                return token.text == "true"
            if token.text == "none":
                return None
            return Enum(token.text) if "." in token.text else Reference(token.text)
        raise ReplError(
            token.where, f"expected a value, found {token}; "
            'write a number, "text", true, false, Enum.Value, an entry or [a, list]',
        )  # fmt: skip

    def connection(self, entry: Entry, fresh: set[str]) -> None:
        where = self.token.where
        sources = [""] if self.at("->") else self.ends(names=True)
        self.expect("->", "write `property: value` or `OUTPUT -> entry@input`")
        for source in set(sources) - fresh:
            entry.connections = [c for c in entry.connections if c.source != source]
        fresh.update(sources)
        if self.accept("none"):
            self.end_line()
            return
        while True:
            target = self.take("name", "an entry", "write `OUTPUT -> entry@input`")
            local = self.number("a local receiver") if self.accept("#") else None
            self.expect("@", "write `OUTPUT -> entry@input`")
            numbers = [int(end) for end in self.ends(names=False)]
            if len(numbers) != len(sources):
                raise ReplError(
                    where, f"{len(sources)} outputs but {len(numbers)} inputs; make them equal"
                )
            entry.connections += [
                Connection(source, target.text, local, number, where)
                for source, number in zip(sources, numbers, strict=True)
            ]
            if not self.accept("|"):
                break
        self.end_line()

    def ends(self, names: bool) -> list[str]:
        """Outputs or inputs: one, or a list such as [0-4, 7]."""
        if not self.accept("["):
            if names and self.token.kind == "name":
                return [self.next().text]
            return [str(self.number("an output" if names else "an input"))]
        found: list[str] = []
        while True:
            if names and self.token.kind == "name":
                found.append(self.next().text)
            else:
                where = self.token.where
                first = last = self.number("a number")
                if self.accept("-"):
                    last = self.number("a number")
                if not first <= last < 1024:
                    raise ReplError(where, f"bad range {first}-{last}; write the lower end first")
                found += map(str, range(first, last + 1))
            if not self.accept(","):
                break
        self.expect("]", "write [0-4, 7]")
        return found

    def init(self, entry: Entry) -> None:
        """`init:` replaces what the entry had, `init add:` adds to it."""
        column = self.next().where.column
        if not self.accept("add"):
            entry.init.clear()
        self.expect(":", "write `init:` or `init add:`")
        self.end_line()
        self.skip_lines()
        while self.token.kind != "end" and self.token.where.column > column:
            command = self.take("name", "a command", "write Tag or WriteDoubleWord")
            arguments: list[int | str | tuple[int, int]] = []
            while self.token.kind != "newline":
                if self.accept("<"):
                    arguments.append(self.range())
                elif self.token.kind == "string":
                    arguments.append(self.next().text[1:-1])
                else:
                    arguments.append(self.number("an argument"))
            entry.init.append(Init(command.text, tuple(arguments), command.where))
            self.skip_lines()


__all__ = ["Description", "ReplError", "Where", "parse"]

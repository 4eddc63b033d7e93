"""What Hypothesis does to a good file to make a bad one."""

import re

from hypothesis import strategies as st

NUMERALS = [
    b"0", b"-1", b"1", b"1.5", b"4294967295", b"9223372036854775808", b"1" * 400, b"1" * 5000,
    b"1e999", b"nan", b"0x7fffffffffffffff", b"0xffffffff",
]  # fmt: skip
STRINGS = [
    b'""', b'"' + b"x" * 300 + b'"', b'"' + b"x" * 70_000 + b'"', b'"\\u0000"', b'"\\ud800"',
    b'"../x"', b'"/etc"', b'"."', b'".."', b'"a\\nb"', b'"\\u001b[2J"', b'"*.x"',
    b'"\xc3\xa9.x"', b'"255.255.255.255"', b'"0.0.0.0"', b'"0.0.0.0/0"', b'"::1"', b'"224.0.0.1"',
]  # fmt: skip
DATES = [
    b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59Z", b"0001-01-01T00:00:00+23:59",
    b"9999-12-31T23:59:59-23:59", b"1969-12-31T23:59:59Z", b"2106-02-07T06:28:16Z",
    b"2026-01-01", b"12:00:00",
]  # fmt: skip
#: what is put anywhere in a text
TEXTS = [
    *NUMERALS, *STRINGS, *DATES, b"", b"true", b"null", b"[]", b"{}", b"[" * 2000, b"{" * 2000,
    b"\n", b"\x00", b"\xff", b"\xed\xa0\x80", b"=", b"]", b"[[", b"(", b":", b"    ", b"\t", b"`",
    b"..", b"'''",
]  # fmt: skip
#: and in what is no text
NUMBERS = [
    b"\x00", b"\xff", b"\x80", b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f",
    b"\x00\x01\x00\x00", b"\xff" * 8, b"\x00" * 40, b"\xff" * 40, b"\x30\x84\xff\xff\xff\xff",
]  # fmt: skip
VALUE = re.compile(rb'"[^"\n]*"|[\w.+:-]+')
Edit = tuple[str, int, int, bytes]


def edits(tokens: list[bytes]) -> st.SearchStrategy[list[Edit]]:
    """What is done to a file, one after the other."""
    number = st.integers(0, 1 << 32)
    kinds = st.sampled_from(("like", "value", "put", "over", "cut", "again", "flip", "end"))
    return st.lists(
        st.tuples(kinds, number, number, st.sampled_from(tokens)), min_size=1, max_size=4
    )


def _like(old: bytes, which: int) -> bytes:
    """Another value of the same type; a name stays."""
    if old[:1] != b'"' and not old[:1].isdigit():
        return old
    values = STRINGS if old[:1] == b'"' else DATES if b":" in old else NUMERALS
    return values[which % len(values)]


def changed(content: bytes, done: list[Edit]) -> bytes:
    """The content after the edits."""
    for kind, first, second, token in done:
        at = first % (len(content) + 1)
        size = second % 64 if second % 3 else second % (len(content) - at + 1)
        match kind:
            case "like" | "value":
                spans = [found.span() for found in VALUE.finditer(content)] or [(0, 0)]
                start, stop = spans[first % len(spans)]
                new = token if kind == "value" else _like(content[start:stop], second)
                content = content[:start] + new + content[stop:]
            case "put":
                content = content[:at] + token + content[at:]
            case "over":
                content = content[:at] + token + content[at + len(token) :]
            case "cut":
                content = content[:at] + content[at + size :]
            case "again":
                content = content[: at + size] + content[at:]
            case "flip" if at < len(content):
                content = content[:at] + bytes([content[at] ^ 1 << second % 8]) + content[at + 1 :]
            case "end":
                content = content[:at]
    return content

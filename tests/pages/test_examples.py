"""The examples that documentation pages hold."""

from __future__ import annotations

import ast
import contextlib
import html
import json
import re
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from omvsim.errors import UserError
from omvsim.pages import examples

PAGES = Path(__file__).parent / "samples"
SOURCES = Path.home() / ".cache/openmv-testbed/sources"
Docs = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., Path]:
    """page(code, ...) is a Markdown page with these examples, the first in line 2."""

    def write(*codes: str) -> Path:
        path = tmp_path / "page.md"
        path.write_text("".join(f"```python\n{code.strip()}\n```\n" for code in codes))
        return path

    return write


def found(name: str) -> list[tuple[int, str]]:
    """(line, first line of the source) of a page's examples."""
    return [(e.line, e.source.split("\n")[0]) for e in examples.read(PAGES / name)]


# Pages -----------------------------------------------------------------------------------


def test_markdown() -> None:
    assert found("weather.md") == [
        (6, "import ntptime"),
        (31, "quick = ssl.wrap_socket(sock)"),
        (38, "readings = [20, 21]"),
        (43, "for reading in (20, 21)"),
        (50, "forecast(hours: int = 24) -> list[float]"),
    ]


def test_restructured_text() -> None:
    assert found("weather.rst") == [
        (13, "import socket"),
        (37, "_, visitor = sock.recvfrom(1, socket.MSG_PEEK)"),
        (43, "reading = 20"),
    ]


def test_html() -> None:
    assert found("weather.html") == [(6, "import socket"), (17, "import time")]
    served = examples.read(PAGES / "weather.html")[0].source
    assert 'b"HTTP/1.0 200 OK\\r\\n\\r\\n20 < 21\\n"' in served


@pytest.mark.parametrize(
    ("around", "python"),
    [
        ('<div class="highlight highlight-source-python"><pre>{}</pre></div>', True),
        ('<pre class="sourceCode python"><code>{}</code></pre>', True),
        ('<div class="highlight-default"><div class="highlight"><pre>{}</pre></div></div>', True),
        ("<pre>{}</pre>", True),
        ('<pre><code class="language-c">{}</code></pre>', False),
    ],
)
def test_languages_in_html(tmp_path: Path, around: str, python: bool) -> None:
    path = tmp_path / "page.html"
    path.write_text("<p>\n</p>" + around.format("if f():<br>&nbsp; &nbsp;print(1)"))
    if python:
        (example,) = examples.read(path)
        assert (example.source, example.lines) == ("if f():\n   print(1)\n", (2, 2))
    else:
        with pytest.raises(UserError):
            examples.read(path)


def test_plain_text() -> None:
    assert found("weather.txt") == [(11, "import socket"), (26, "readings = []")]
    first, second = examples.read(PAGES / "weather.txt")
    assert first.source.endswith("print(s.recv(6))\n")
    assert "\n# The station" in first.source
    assert second.source.endswith("print(readings)\n")


@pytest.mark.parametrize("name", ["weather.md", "weather.rst", "weather.html", "weather.txt"])
def test_lines_are_the_pages(name: str) -> None:
    text = (PAGES / name).read_text()
    if name.endswith(".html"):
        text = html.unescape(re.sub("</?[a-z][^>]*>", "", text))
    lines = text.split("\n")
    for example in examples.read(PAGES / name):
        for number, line in zip(example.lines, example.source.split("\n"), strict=False):
            assert line.strip() in lines[number - 1]


def test_reasons() -> None:
    reasons = [e.reason for e in examples.read(PAGES / "weather.md")]
    assert reasons == [
        "",
        "",
        "",
        "syntax error in line 43: expected ':'",
        "a fragment: a signature",
    ]
    broken = examples.read(PAGES / "weather.txt")[1]
    assert (broken.reason, broken.broken) == ("syntax error in line 27: expected ':'", True)


def test_line_in_a_message_is_the_pages(page: Callable[..., Path]) -> None:
    broken = examples.read(page("x = 1", "if x:\nprint(x)"))[1]
    assert broken.reason.startswith("syntax error in line 6: ")
    assert broken.reason.endswith(" on line 5")


def test_each_mistake_in_plain_text_is_told(tmp_path: Path) -> None:
    """A missing bracket, comma, colon or quote neither hides an example nor tears it apart."""
    lines = (PAGES / "weather.txt").read_text().split("\n")
    good = examples.read(PAGES / "weather.txt")[0]
    path = tmp_path / "mistake.txt"
    made = 0
    for number in good.lines:
        line = lines[number - 1]
        for at in [at for at, sign in enumerate(line) if sign in '(),:="']:
            changed = [*lines]
            changed[number - 1] = line[:at] + line[at + 1 :]
            block = "\n".join(changed[good.lines[0] - 1 : good.lines[-1]])
            with contextlib.suppress(SyntaxError):
                ast.parse(textwrap.dedent(block))
                continue
            path.write_text("\n".join(changed))
            first, second = examples.read(path)
            assert (first.line, first.lines[-1], first.broken) == (11, 18, True), changed[
                number - 1
            ]
            assert second.line == 26
            made += 1
    assert made > 10


@pytest.mark.parametrize("around", ["Then close it (see below).", "An example (of a client):"])
def test_prose_next_to_code(tmp_path: Path, around: str) -> None:
    path = tmp_path / "page.txt"
    path.write_text(f"{around}\nimport socket\nsocket.socket().close()\n{around}\n")
    (example,) = examples.read(path)
    assert example.source == "import socket\nsocket.socket().close()\n"


def test_data_before_code_and_long_code(tmp_path: Path) -> None:
    """Brackets of JSON belong to no example, and thousands of lines take no time."""
    path = tmp_path / "page.txt"
    code = "\n".join(f"x{number} = f({number})" for number in range(3000))
    path.write_text(json.dumps([{"a": [1]}] * 50, indent=1) + "\n\n" + code)
    began = time.monotonic()
    (example,) = examples.read(path)
    assert example.source == code + "\n"
    assert time.monotonic() - began < 5


def test_micropythons_pages() -> None:
    """All of its reStructuredText can be read, and lines are right."""
    pages = sorted(SOURCES.glob("micropython_*/docs/library/*.rst"))
    if not pages:
        pytest.skip("no sources: firmware/build fetches them")
    number = 0
    for path in pages:
        lines = path.read_text().split("\n")
        try:
            read = examples.read(path)
        except UserError:
            continue
        for example in read:
            for at, line in zip(example.lines, example.source.split("\n"), strict=False):
                assert "".join(line.split()) in "".join(lines[at - 1].split()), (path, at)
                number += 1
    assert number > 1000


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("gone.md", None, "no such page: check the path"),
        ("page.pdf", b"", "no page that is known: name one of .rst, .md"),
        ("latin.md", b"one\ntwo \xe9\n", "line 2 is not UTF-8: save the page as UTF-8"),
        ("prose.txt", b"Note\n\nNothing to run, and no code.\n", "no Python example in it"),
        ("shell.md", b"```sh\nmake\n```\n", "no Python example in it"),
        ("settings.md", b"```\n[camera]\nname = 1\n```\n", "no Python example in it"),
    ],
)
def test_bad_pages(tmp_path: Path, name: str, content: bytes | None, what: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"^[^\n]+$") as caught:
        examples.read(path)
    assert str(caught.value).startswith(f"{path}: {what}")

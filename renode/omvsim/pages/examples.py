"""Pages of documentation, and the Python examples that stand in them."""

from __future__ import annotations

import ast
import keyword
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bs4 import BeautifulSoup
from bs4.builder import ParserRejectedMarkup
from bs4.element import NavigableString, Tag
from docutils import frontend, nodes
from docutils.parsers.rst import Directive, Parser, directives
from docutils.parsers.rst.languages import en
from docutils.utils import new_document
from markdown_it import MarkdownIt

from netsim import paths
from omvsim.errors import UserError

PYTHON = {"python", "python3", "py", "py3", "micropython", "pycon", "pycon3", "ipython", "doctest"}
UNTOLD = {"", "default", "guess", "none", "notranslate"}  # no language is named: see for oneself
CODE_DIRECTIVES = {"code-block", "code", "sourcecode"}
DOCTEST_DIRECTIVES = {"testcode", "testsetup", "doctest"}  # Sphinx: Python without saying so
#: what str.splitlines() and so docutils takes for the end of a line, and an editor does not
SPACES = {ord(c): " " for c in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"} | {0: "\ufffd"}
LONGEST = 100  # lines of one statement in plain text: a bracket in prose may never be closed
_INCOMPLETE = ast.PyCF_ONLY_AST | 0x4000  # codeop.PyCF_ALLOW_INCOMPLETE_INPUT
_SIGNATURE = re.compile(
    r"(?:(?:async )?def |class )?[\w.]+\((.*)\)\s*(?:->)?\s*[\w.\[\], |]*:?", re.DOTALL
)
_LANGUAGE = re.compile(r"(?:highlight|lang\w*)-(?:source-)?(.+)")  # in an HTML class
# How lines look that are code but do not parse.
_CALL = re.compile(r"\s*[\w.]+(?:, ?[\w.]+)* ?= ?(?:await )?[\w.]+\(")
_BLOCK = re.compile(r"\s*(?:async|def|class|for|while|if|elif|else|with|try|except|finally)\b")
_STRING = re.compile(r"\"[^\"]*\"?|'[^']*'?|#.*")
_KEYWORD = re.compile(rf"\b(?:{'|'.join(keyword.kwlist)})\b")
_PROSE = re.compile(r"[A-Za-z]\w* +[A-Za-z]\w* +[A-Za-z]")


@dataclass(frozen=True)
class Example:
    """Python in a page; `lines` are the page's, one for each line of the source."""

    page: Path
    source: str
    lines: tuple[int, ...]
    reason: str = ""  # why it cannot run
    broken: bool = False  # because of a mistake in the page

    @property
    def line(self) -> int:
        """The page's line that it begins at."""
        return self.lines[0]

    def page_line(self, line: int) -> int:
        """The page's line for a line of the source, from 1."""
        return self.lines[min(max(line, 1), len(self.lines)) - 1]


@dataclass(frozen=True)
class Block:
    """Preformatted lines with their numbers; `language` "" if the page names none."""

    lines: Sequence[tuple[int, str]]
    language: str = ""


def read(page: Path) -> list[Example]:
    """The examples of a page; UserError if it cannot be read or has none."""
    blocks = FORMATS.get(page.suffix.lower())
    if blocks is None:
        raise UserError(f"{page}: no page that is known: name one of {', '.join(FORMATS)}")
    try:
        examples = [e for block in blocks(_text(page)) if (e := _example(page, block)) is not None]
    except RecursionError:
        raise UserError(f"{page}: nested too deep: name a page that a person can read") from None
    except ParserRejectedMarkup as error:
        raise UserError(f"{page}: no HTML: {str(error).splitlines()[-1].strip()}") from None
    if not examples:
        raise UserError(f"{page}: no Python example in it: name a page that has some")
    return examples


def _text(page: Path) -> str:
    try:
        content = paths.read(page)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{page}: no such page: check the path") from None
    except OSError as error:
        raise UserError(f"{page}: cannot read the page: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{page}: line {line} is not UTF-8: save the page as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(SPACES)


# What the formats mark as code ------------------------------------------------------------


def _restructured(text: str) -> Iterator[Block]:
    """Literal blocks, code blocks, doctest blocks; docutils finds them in whatever nests."""
    for name in re.findall(r"\.\. +(?:\|[^|\n]+\| +)?([\w.+:-]+?)::(?:\s|$)", text):
        if name.lower() not in en.directives:
            directives.register_directive(name.lower(), _Unknown)
    for name in CODE_DIRECTIVES | DOCTEST_DIRECTIVES:
        directives.register_directive(name, _Code)
    directives.register_directive("highlight", _Highlight)
    settings = frontend.get_default_settings(Parser)
    settings.report_level, settings.halt_level = 5, 6  # what Sphinx knows is no error here
    settings.file_insertion_enabled = settings.raw_enabled = False
    document = new_document("page", settings)
    Parser().parse(text, document)
    page = [line.strip() for line in text.split("\n")]
    default, seen = "", 0
    for node in document.findall(nodes.Element):
        if isinstance(node, nodes.comment) and "highlight" in node:
            default = node["highlight"]
        elif isinstance(node, nodes.doctest_block):  # docutils is not sure of its line
            lines = node.astext().split("\n")
            same = [line.strip() for line in lines]
            starts = range(seen, len(page) - len(same) + 1)
            start = next((at for at in starts if page[at : at + len(same)] == same), seen)
            seen = start + len(same)
            yield Block(list(enumerate(lines, start + 1)), "pycon")
        elif isinstance(node.parent, nodes.system_message):
            continue  # it quotes what is wrong
        elif isinstance(node, nodes.literal_block) and node.line:
            lines = node.astext().split("\n")
            yield Block(list(enumerate(lines, node.line)), node.get("language", default))


class _Options(dict[str, Callable[[str], object]]):
    """Every option is allowed."""

    def __missing__(self, name: str) -> Callable[[str], object]:
        return directives.unchanged


ANY = _Options({"class": directives.unchanged})  # an empty one would mean no options


class _Unknown(Directive):
    """A directive of Sphinx: whatever it means, its content is part of the page."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec = ANY

    def run(self) -> list[nodes.Node]:
        node = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, node, match_titles=True)
        return [node]


class _Code(Directive):
    """A code block with its language, its line, and any option."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec = ANY

    def run(self) -> list[nodes.Node]:
        node = nodes.literal_block("", "\n".join(self.content))
        language = "python" if self.name in DOCTEST_DIRECTIVES else ""
        node["language"] = language or (self.arguments[0] if self.arguments else "")
        node.line = self.content.offset(0) + 1 if self.content else None
        return [node]


class _Highlight(Directive):
    """From here on, blocks without a language are of this one."""

    required_arguments = 1
    option_spec = ANY

    def run(self) -> list[nodes.Node]:
        return [nodes.comment(highlight=self.arguments[0])]


def _markdown(text: str) -> Iterator[Block]:
    """Fenced and indented blocks, in lists and quotes too."""
    for token in MarkdownIt("commonmark").parse(text):
        if token.type in ("fence", "code_block") and token.map:
            words = re.findall(r"[\w+-]+", token.info)
            named = [word for word in words if word.lower() not in CODE_DIRECTIVES]
            first = token.map[0] + (2 if token.type == "fence" else 1)
            lines = token.content.rstrip("\n").split("\n")
            yield Block(list(enumerate(lines, first)), named[0] if named else "")


def _html(text: str) -> Iterator[Block]:
    """Every <pre>; the class of it, of what it is in or of what is in it names the language."""
    soup = BeautifulSoup(text, "html.parser")
    for pre in soup.find_all("pre"):
        number = pre.sourceline or 1
        lines = [(number, "")]
        for node in pre.descendants:
            if isinstance(node, Tag):
                number = node.sourceline or number
                if node.name == "br":
                    lines.append((number, ""))
            elif type(node) is NavigableString:  # no comment
                first, *others = str(node).replace("\xa0", " ").split("\n")
                lines[-1] = (lines[-1][0], lines[-1][1] + first)
                lines += [(number + ahead, line) for ahead, line in enumerate(others, 1)]
                number += len(others)
        around = [pre.find("code"), pre, *list(pre.parents)[:3]]
        classes = [c for tag in around if isinstance(tag, Tag) for c in tag.get("class") or []]
        marks = [mark[1] for c in classes if (mark := _LANGUAGE.fullmatch(c))]
        yield Block(lines, next(iter(marks), next((c for c in classes if c in PYTHON), "")))


# Python in text without marks -------------------------------------------------------------


def _plain(text: str) -> Iterator[Block]:
    """The longest runs of lines that parse and are code; what is broken amid code, with it."""
    lines = list(enumerate(text.split("\n"), 1))
    spans: list[tuple[int, int, bool]] = []  # start, end, broken
    at = 0
    while at < len(lines):
        end = _session(lines, at) or _run(lines, at)
        if end is not None or _CALL.match(lines[at][1]):
            spans.append((at, end or at + 1, end is None))
        at = end or at + 1
    for start, end in _joined(lines, _grown(lines, spans)):
        yield Block(lines[start:end], "python")


def _session(lines: Sequence[tuple[int, str]], start: int) -> int | None:
    """Where an interactive session that starts here ends: at an empty line."""
    if not lines[start][1].lstrip().startswith(">>> "):
        return None
    blank = (at for at in range(start, len(lines)) if not lines[at][1].strip())
    return next(blank, len(lines))


def _run(lines: Sequence[tuple[int, str]], start: int) -> int | None:
    """Where the longest code that starts at this line ends."""
    first = lines[start][1]
    if not first.strip():
        return None
    indent = len(first) - len(first.lstrip())
    statement, whole = "", True  # the last one so far, and whether it is whole
    does, best = False, None
    for at in range(start, len(lines)):
        line = lines[at][1]
        if line[:indent].strip():
            break
        line = line[indent:] + "\n"
        if not line.strip():
            statement += line
            continue
        tree = _parse(line)
        if line[0].isspace() or not whole or _is_wrong(tree):
            statement += line
            tree = _parse(statement)
        else:
            statement = line
        if _is_wrong(tree) or at >= (best or start) + LONGEST:
            break
        whole = isinstance(tree, ast.Module)
        if isinstance(tree, ast.Module):
            if not all(map(_is_code, tree.body)):
                break
            does |= any(map(_does, tree.body))
            best = at + 1 if does else None
    return best


def _is_wrong(tree: ast.Module | SyntaxError) -> bool:
    """Not to be mended by more lines."""
    return isinstance(tree, SyntaxError) and "incomplete" not in tree.msg


def _grown(
    lines: Sequence[tuple[int, str]], spans: Sequence[tuple[int, int, bool]]
) -> Iterator[tuple[int, int, bool]]:
    """Spans with the lines directly around them that are code, but for a mistake."""
    taken = {at for start, end, _ in spans for at in range(start, end)}
    for start, end, broken in spans:
        first, last = start, end
        while first - 1 not in taken and first and _looks_torn(lines[first - 1][1]):
            first -= 1
        while last not in taken and last < len(lines) and lines[last][1].strip():
            if not _looks_torn(lines[last][1]) and last + 1 not in taken:
                break  # what stands between code and code is code
            last += 1
        taken |= {*range(first, last)}
        yield first, last, broken or (first, last) != (start, end)


def _looks_torn(line: str) -> bool:
    """Code rather than prose, by its punctuation and by how many words follow each other."""
    bare = _STRING.sub('""', line).rstrip()
    block = _BLOCK.match(bare) is not None
    if _PROSE.search(_KEYWORD.sub(",", bare)) or (bare.endswith(":") and not block):
        return False
    code = re.search(r"[()\[\]{}=@]|^\s*(?:import|from) ", bare)
    return block or code is not None


def _joined(
    lines: Sequence[tuple[int, str]], spans: Iterable[tuple[int, int, bool]]
) -> Iterator[tuple[int, int]]:
    """Spans, and as one what a broken line has torn apart."""
    joined: list[tuple[int, int, bool]] = []
    for start, end, broken in spans:
        first, last, torn = joined[-1] if joined else (0, 0, False)
        between = any(line.strip() for _, line in lines[last:start])
        if joined and (broken or torn) and not between:
            joined[-1] = (first, end, True)
        else:
            joined.append((start, end, broken))
    return ((start, end) for start, end, _ in joined)


def _is_code(statement: ast.stmt) -> bool:
    """Not prose that happens to parse, as a heading of one word does."""
    match statement:
        case ast.Expr(value=ast.Call() | ast.Await()):
            return True
        case ast.Expr(value=ast.Constant(value=value)):
            return isinstance(value, str) or value is ...
        case ast.Expr() | ast.AnnAssign(value=None) | ast.Pass() | ast.Break() | ast.Continue():
            return False
        case ast.Return(value=None) | ast.Raise(exc=None):
            return False
    return True


def _does(statement: ast.stmt) -> bool:
    """Code that does something, more than a string or an ellipsis."""
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return _is_code(statement) and not constant


def _parse(source: str) -> ast.Module | SyntaxError:
    """The tree; or what is wrong, "incomplete input" if more lines could mend it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = compile(source, "<example>", "exec", _INCOMPLETE)
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError, MemoryError):
        return SyntaxError("too deeply nested")
    assert isinstance(tree, ast.Module)
    return tree


# From block to example --------------------------------------------------------------------


def _example(page: Path, block: Block) -> Example | None:
    """The example that a block is, or None if it is something else."""
    language = block.language.lower()
    if language not in PYTHON | UNTOLD:
        return None
    lines = _trimmed(_without_prompts(block.lines))
    if not lines:
        return None
    source = textwrap.dedent("\n".join(line for _, line in lines)) + "\n"
    numbers = tuple(number for number, _ in lines)
    tree = _parse(source)
    example = Example(page, source, numbers)
    sure = language in PYTHON
    if isinstance(tree, ast.Module):
        section = any(  # [name], of a settings file
            isinstance(statement, ast.Expr) and isinstance(statement.value, ast.List)
            for statement in tree.body
        )
        if any(_does(statement) for statement in tree.body) and (sure or not section):
            return example
        reason = "a fragment: no statement that does anything" if sure and tree.body else ""
    elif _is_signature(source):
        reason = "a fragment: a signature" if sure else ""
    elif sure or _mostly_code(source):
        error = _complete_error(source)
        what = re.sub(  # "... on line 5" is of the example
            r"(?<= line )\d+", lambda found: str(example.page_line(int(found[0]))), error.msg
        )
        reason = f"syntax error in line {example.page_line(error.lineno or 1)}: {what}"
        return replace(example, reason=reason, broken=True)
    else:
        reason = ""
    return replace(example, reason=reason) if reason else None


def _complete_error(source: str) -> SyntaxError:
    """Why a source does not parse, in Python's own words."""
    try:
        ast.parse(source)
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError, MemoryError):
        pass
    return SyntaxError("too deeply nested")


def _without_prompts(lines: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    """An interactive session without its prompts, and empty lines for what was printed."""
    lines = list(lines)
    if not any(line.lstrip().startswith(">>> ") for _, line in lines):
        return lines
    found = [(number, re.match(r"\s*(?:>>>|\.\.\.)(?: (.*)|$)", line)) for number, line in lines]
    return [(number, (match[1] or "") if match else "") for number, match in found]


def _trimmed(lines: Sequence[tuple[int, str]]) -> Sequence[tuple[int, str]]:
    """Without empty lines at the ends."""
    filled = [at for at, (_, line) in enumerate(lines) if line.strip()]
    return lines[filled[0] : filled[-1] + 1] if filled else []


def _is_signature(source: str) -> bool:
    """Nothing but how something is called: a name, parameters, perhaps a type."""
    paragraphs = [part.strip() for part in source.strip().split("\n\n")]
    found = [_SIGNATURE.fullmatch(part) for part in paragraphs]
    return all(
        match and isinstance(_parse(f"def _({match[1]}): pass\n"), ast.Module) for match in found
    )


def _mostly_code(source: str) -> bool:
    """Is at least half of it what a run in plain text would hold, and more than settings?"""
    lines = list(enumerate(source.split("\n")))
    held: list[str] = []
    start = 0
    while start < len(lines):
        end = _run(lines, start)
        held += [line for _, line in lines[start:end] if line.strip()] if end else []
        start = end or start + 1
    calls = re.search(r"^\s*(import|from|def|class|for|while|with)\b|\w\(", "\n".join(held), re.M)
    return bool(calls) and len(held) * 2 >= sum(bool(line.strip()) for _, line in lines)


FORMATS: dict[str, Callable[[str], Iterator[Block]]] = {
    ".rst": _restructured,
    ".md": _markdown,
    ".html": _html,
    ".htm": _html,
    ".txt": _plain,
}

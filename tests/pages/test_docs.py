"""Documentation pages whose examples run on the camera."""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from omvsim.commands import docs as docs_command
from omvsim.pages import surroundings
from omvsim.pages.programs import Uses, unbound

PAGES = Path(__file__).parent / "samples"
SOURCES = Path.home() / ".cache/openmv-testbed/sources"
Docs = Callable[..., tuple[int, list[str]]]


class NoInterrupt:
    def check(self) -> None:
        """Nobody presses Ctrl-C."""


@pytest.fixture
def run_docs(capsys: pytest.CaptureFixture[str]) -> Docs:
    """run_docs(argument, ...) gives the exit code and the lines that it prints."""

    def run(*arguments: object) -> tuple[int, list[str]]:
        parser = argparse.ArgumentParser()
        docs_command.add_command(parser.add_subparsers())
        options = parser.parse_args(["docs", *map(str, arguments)])
        options.interrupt = NoInterrupt()
        code = options.call(options)
        return code, capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., Path]:
    """page(code, ...) is a Markdown page with these examples, the first in line 2."""

    def write(*codes: str) -> Path:
        path = tmp_path / "page.md"
        path.write_text("".join(f"```python\n{code.strip()}\n```\n" for code in codes))
        return path

    return write


# What is around an example -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("x = y\ny = 1", ["y"]),
        ("sock = wrap(sock)", ["wrap", "sock"]),
        ("def f(a):\n    return a + b + c\nb = 1", ["c"]),
        ("for i in range(3):\n    print(i)", []),
        ("print([n for n in many])", ["many"]),
        ("try:\n    f = open('x')\nexcept OSError as e:\n    print(e, f)", []),
        ("class A:\n    def go(self):\n        return A, self, B", ["B"]),
        ("f = lambda x: x + z", ["z"]),
        ("import os.path\nos.listdir()", []),
    ],
)
def test_unbound_names(source: str, names: list[str]) -> None:
    assert unbound(ast.parse(source)) == names


def test_prelude_depends_on_what_the_example_does() -> None:
    client = surroundings.of('ssl.wrap_socket(sock, server_hostname="a.example")')
    assert 'getaddrinfo("a.example", 443)' in client.prelude
    listener = surroundings.of("c, _ = sock.accept()\nctx.wrap_socket(c, server_side=True)")
    assert "sock.listen(1)" in listener.prelude
    assert "PROTOCOL_TLS_SERVER" in listener.prelude
    datagrams = surroundings.of("sock.recvfrom(1)\nctx.wrap_socket(sock, client_id=b'x')")
    assert "SOCK_DGRAM" in datagrams.prelude
    assert surroundings.of("sock.connect(addr)").prelude.startswith("sock = socket.socket()\naddr")
    assert surroundings.of("frob(x)\ntime.sleep(1)").missing == ["frob", "x"]


@pytest.mark.parametrize(
    ("host", "name", "names"),
    [
        ("a.example", "b.example", ["a.example"]),
        ("a.example", "a.example", ["a.example"]),
        ("192.168.1.77", "b.example", ["192.168.1.77", "b.example"]),
    ],
)
def test_a_server_has_the_name_by_which_it_is_reached(
    host: str, name: str, names: list[str]
) -> None:
    """An example that asks for another one has to fail; at an address it may ask for any."""
    needs = surroundings.of(f"""\
import socket, ssl
s = socket.socket()
s.connect(socket.getaddrinfo("{host}", 443)[0][-1])
s = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(s, server_hostname="{name}")
""")
    assert needs.scenario.certificates["server-0"].names == tuple(names)


def test_world_follows_the_example() -> None:
    source = """\
import socket, ssl
HOST = "a.example"
def dial(host, port=9000):
    s = socket.socket()
    s.connect(socket.getaddrinfo(host, port)[0][-1])
    return s
plain = dial(HOST, 7000)
peer = socket.socket()
peer.connect(("192.168.1.1", 9443))
plain.connect(("192.168.1.20", 9))
tls = ssl.wrap_socket(peer, key="own.key", cert=open("own.der", "rb").read())
door = socket.socket()
door.bind(("", 8080))
door.listen(1)
settings = open("settings.txt").read()
log = open("log.txt", "w")
with open("shown.bin", "rb") as f:
    shown = f.read()
with open("secret.bin", "rb") as f:
    secret = f.read()
ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(shown, secret)
"""
    world = surroundings.of(source).scenario
    servers = {(s.name, s.kind, s.listening_port) for s in world.servers}
    assert servers >= {("a.example", "tcp", 7000), ("192.168.1.1", "tls", 9443)}
    assert {(c.kind, c.port) for c in world.clients} == {("tcp", 8080)}
    assert str(world.network.gateway) == "192.168.1.254"
    assert str(world.clients[0].address) == "192.168.1.21"
    files = {n: (f.key, f.certificate, f.text) for n, f in world.camera.files.items()}
    assert files == {
        "own.key": ("camera", None, None),
        "own.der": (None, "camera", None),
        "shown.bin": (None, "camera", None),
        "secret.bin": ("camera", None, None),
        "settings.txt": (None, None, "hello\n"),
    }


@pytest.mark.parametrize(
    ("source", "kind", "port"),
    [
        ("s.connect(socket.getaddrinfo('a.example', 80)[0][-1])", "http", 80),
        ("ssl.wrap_socket(s)\ns.connect(('a.example', 443))", "https", 443),
        ("ssl.wrap_socket(s)\ns.connect(('a.example', 8883))", "tls", 8883),
        ("s.send(b'GET / HTTP/1.0')\ns.connect(('a.example', 8000))", "http", 8000),
        ("asyncio.open_connection('a.example', 8883, ssl=True)", "tls", 8883),
        ("asyncio.open_connection('a.example', 8883)", "tcp", 8883),
        ("get('http://a.example:81/x')", "http", 81),
        (
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.connect(socket.getaddrinfo('a.example', 5684)[0][-1])\n"
            "ssl.SSLContext(ssl.PROTOCOL_DTLS_CLIENT).wrap_socket(s)",
            "dtls", 5684,
        ),
    ],
)  # fmt: skip
def test_kind_of_server(source: str, kind: str, port: int) -> None:
    servers = surroundings.of(source).scenario.servers
    assert [(s.kind, s.listening_port) for s in servers if s.name == "a.example"] == [(kind, port)]


def test_client_speaks_only_to_who_listens() -> None:
    serve = "s.bind(('', 90))\ns.listen(1)\nc = s.accept()[0]\nc.write(open('a.txt').read())\n"
    (client,) = surroundings.of(serve).scenario.clients
    assert (client.send, client.hold_ms) == ("", 0)
    (client,) = surroundings.of(f"{serve}print(c.read())").scenario.clients
    assert (client.send, client.hold_ms) == ("hello\n", 3000)


def test_kind_of_client() -> None:
    serve = "import asyncio\nasyncio.start_server(print, '0.0.0.0', 90, ssl={})"
    assert Uses(ast.parse(serve.format("None"))).listeners() == [(90, "tcp")]
    assert Uses(ast.parse(serve.format("context"))).listeners() == [(90, "tls")]


# On the camera --------------------------------------------------------------------------


def test_markdown_runs(run_docs: Docs, image: Path, tmp_path: Path) -> None:
    code, lines = run_docs("--out", tmp_path / "out", PAGES / "weather.md")
    assert code == 1
    assert [line.partition("weather.md:")[2] for line in lines[:-1]] == [
        "6: ran to its end",
        "31: ran to its end",
        "38: raised: IndexError: list index out of range (line 39)",
        "43: not runnable: syntax error in line 43: expected ':'",
        "50: not runnable: a fragment: a signature",
    ]
    assert lines[-1] == "5 examples: 2 ran to their end, 1 raised, 2 not runnable"

    told = json.loads((tmp_path / "out/docs.json").read_text())
    assert told["summary"] == lines[-1]
    first, _, third, *_ = told["examples"]
    assert first["printed"] == "b'HTTP/1.1 200 OK\\r\\n'\n"
    assert third["raised_line"] == 39
    result = json.loads((Path(first["evidence"]) / "result.json").read_text())
    assert result["outcome"] == "passed"
    assert (Path(first["evidence"]) / "net.pcapng").stat().st_size > 1000
    assert len(list((tmp_path / "out").glob("*/report.html"))) == 3


def test_a_changed_page_brings_its_world(run_docs: Docs, image: Path, tmp_path: Path) -> None:
    text = (PAGES / "weather.md").read_text()
    for old, new in (
        ("weather.example.org", "klima.example.net"),
        ("443", "8888"),
        ("certs/station-ca.der", "root.der"),
        ("for reading in (20, 21)", "for reading in (20, 21):"),
        ("readings[2]", "readings[1]"),
    ):
        assert old in text
        text = text.replace(old, new)
    changed = tmp_path / "changed.md"
    changed.write_text(text)
    code, lines = run_docs(changed)
    assert (code, lines[-1]) == (0, "5 examples: 4 ran to their end, 1 not runnable")


def test_servers_and_a_second_contact(run_docs: Docs, image: Path) -> None:
    code, lines = run_docs(PAGES / "weather.rst", PAGES / "weather.html", PAGES / "weather.txt")
    assert code == 1
    assert [line.partition("weather.")[2] for line in lines[:-1]] == [
        "rst:13: served a client",
        "rst:37: served a client: at its second contact",
        "rst:43: ran to its end",
        "html:6: served a client",
        "html:17: raised: OSError: [Errno 5] EIO (line 20)",
        "txt:11: ran to its end",
        "txt:26: not runnable: syntax error in line 27: expected ':'",
    ]


def test_not_served(run_docs: Docs, image: Path, page: Callable[..., Path]) -> None:
    """A server that loops for ever is judged by its client."""
    serve = """
sock = socket.socket()
sock.bind(("0.0.0.0", 8443))
sock.listen(1)
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
while True:
    client, _ = sock.accept()
    try:
        ctx.wrap_socket(client, server_side=True)
    except OSError:
        client.close()
"""
    code, lines = run_docs("--time-limit", "5s", page(serve))
    assert code == 1
    assert "raised: the client was not served, visitor-8443: " in lines[0]


def test_listening_alone_serves_nobody(
    run_docs: Docs, image: Path, page: Callable[..., Path]
) -> None:
    listen = 'door = socket.socket()\ndoor.bind(("0.0.0.0", 7000))\ndoor.listen(1)\ntime.sleep(2)\n'
    greet = "c, _ = door.accept()\nc.send(b'hello')\nc.close()\n"
    _, lines = run_docs(page(listen, listen + greet))
    assert [line.rpartition(": ")[2] for line in lines[:2]] == ["ran to its end", "served a client"]


def test_time_limit_names_what_it_waits_for(
    run_docs: Docs, image: Path, page: Callable[..., Path]
) -> None:
    silent = "client, _ = sock.accept()\nwhile True:\n    time.sleep(1)"
    code, lines = run_docs("--time-limit", "3s", page("while True:\n    time.sleep(1)", silent))
    assert code == 1
    assert "page.md:2: raised: time limit: its end did not come within 3 s" in lines[0]
    assert "visitor-8443 waits for the connection to be closed" in lines[1]


DEAF = "while True:\n    try:\n        while True: pass\n    except KeyboardInterrupt: pass"


@pytest.mark.parametrize("loop", ["while True:\n    pass", DEAF])
def test_a_busy_loop_without_end_ends_by_the_limit(
    run_docs: Docs, image: Path, page: Callable[..., Path], loop: str
) -> None:
    code, lines = run_docs("--time-limit", "300ms", page(loop, "print('the next one')"))
    assert code == 1
    assert "page.md:2: raised: time limit: its end did not come within 0.3 s" in lines[0]
    assert lines[1].endswith(": ran to its end")


@pytest.mark.parametrize(
    "code",
    [
        "raise OSError(-27265)",
        "ctx = ssl.SSLContext(ssl.PROTOCOL_DTLS_SERVER)\n"  # whose cookies nobody else knows
        "raise OSError(-27264)",
    ],
)
def test_what_is_no_first_contact_runs_once(
    run_docs: Docs, image: Path, page: Callable[..., Path], tmp_path: Path, code: str
) -> None:
    fragment = "ctx.wrap_socket(sock, server_side=True, client_id=b'x')"
    status, lines = run_docs("--out", tmp_path / "out", page(f"print('once')\n{code}\n{fragment}"))
    assert status == 1
    assert "raised: OSError: " in lines[0]
    (told,) = json.loads((tmp_path / "out/docs.json").read_text())["examples"]
    assert told["printed"].count("once") == 1


@pytest.mark.parametrize(("code", "status"), [("for i in x\n    print(i)", 1), ("frob(x)", 0)])
def test_exit_code_of_what_cannot_run(
    run_docs: Docs, image: Path, page: Callable[..., Path], code: str, status: int
) -> None:
    assert run_docs(page(code))[0] == status


def test_interrupt_keeps_what_is_known(
    image: Path, page: Callable[..., Path], tmp_path: Path
) -> None:
    parser = argparse.ArgumentParser()
    docs_command.add_command(parser.add_subparsers())
    path = page("print(1)", "while True:\n    pass")
    options = parser.parse_args(["docs", "--out", str(tmp_path / "out"), str(path)])

    class Interrupt:
        def check(self) -> None:
            if (tmp_path / "out/docs.json").exists():
                raise KeyboardInterrupt

    options.interrupt = Interrupt()
    with pytest.raises(KeyboardInterrupt):
        options.call(options)
    assert len(json.loads((tmp_path / "out/docs.json").read_text())["examples"]) == 1
    (second,) = (tmp_path / "out").glob("02-*")
    assert json.loads((second / "result.json").read_text())["outcome"] == "interrupted"


def test_controls_show_as_escapes(run_docs: Docs, image: Path, page: Callable[..., Path]) -> None:
    _, lines = run_docs(page(r'raise ValueError("\x1b[2J")'))
    assert lines[0].endswith(r"raised: ValueError: \x1b[2J (line 2)")


def test_micropythons_ssl_page(run_docs: Docs, image: Path) -> None:
    pages = sorted(SOURCES.glob("micropython_*/docs/library/ssl.rst"))
    if not pages:
        pytest.skip("no sources: firmware/build fetches them")
    code, lines = run_docs(pages[-1])
    assert code == 0
    assert "served a client: at its second contact" in lines[0]


@pytest.mark.parametrize("name", ["gone.md", "weather.png", "latin.txt"])
def test_bad_input_is_told_in_one_line(
    omvsim: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, name: str
) -> None:
    (tmp_path / "latin.txt").write_bytes(b"import caf\xe9\n")
    done = omvsim("docs", PAGES / "weather.md", tmp_path / name)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(rf"omvsim: \S+/{name}: [^\n]+: [^\n]+\n", done.stderr)


def test_help_shows_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog="omvsim")
    docs_command.add_command(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["docs", "--help"])
    text = capsys.readouterr().out
    for names in surroundings.UNBOUND:
        assert ", ".join(names) in text
    assert max(map(len, text.splitlines())) <= 100

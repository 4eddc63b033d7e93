"""What an example of a page needs around it: names that it leaves unbound, and a world.

Both come from its syntax tree alone, so a page that changes brings its own world with it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from pathlib import PurePosixPath
from typing import Literal

import netsim
from netsim import scenario as scenarios
from netsim.services.dns import is_name
from omvsim.pages.programs import Destination, Uses, called, keyword, unbound

_LISTEN = """\
{0} = socket.socket()
{0}.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
{0}.bind(socket.getaddrinfo("0.0.0.0", 8443)[0][-1])
{0}.listen(1)
"""
_SERVER = 'NAME.load_cert_chain("server.der", "server.key")\n'
_WRAP = 'NAME = ssl_ctx.wrap_socket(sock, server_hostname="example.com")\n'
_DATAGRAMS = "NAME = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"

#: Names that an example may leave unbound, by what the example is: the code that binds NAME
#: first. That code may leave names of the table unbound itself. For "example.com" it uses what
#: the example gives as server_hostname. Other names are imported, if the camera can.
UNBOUND: dict[tuple[str, ...], dict[str, str]] = {
    ("sock", "s", "conn", "client", "cl", "server", "listener"): {
        "TLS client": "ntptime.settime()\nNAME = socket.socket()\n"
        'NAME.connect(socket.getaddrinfo("example.com", 443)[0][-1])\n',
        "TLS listener": _LISTEN.format("NAME"),
        "TLS server": _LISTEN.format("listener") + "NAME, _ = listener.accept()\n",
        "TLS set-up": "NAME = socket.socket()\n",
        "DTLS client": f"ntptime.settime()\n{_DATAGRAMS}"
        'NAME.connect(socket.getaddrinfo("example.com", 5684)[0][-1])\n',
        "DTLS server": f"{_DATAGRAMS}NAME.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        'NAME.bind(socket.getaddrinfo("0.0.0.0", 5684)[0][-1])\n',
        "DTLS set-up": _DATAGRAMS,
    },
    ("ssl_ctx", "ctx", "context", "ssl_context"): {
        "TLS client": "NAME = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n",
        "TLS listener": "NAME = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n" + _SERVER,
        "TLS server": "NAME = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n" + _SERVER,
        "DTLS client": "NAME = ssl.SSLContext(ssl.PROTOCOL_DTLS_CLIENT)\n",
        "DTLS server": "NAME = ssl.SSLContext(ssl.PROTOCOL_DTLS_SERVER)\n" + _SERVER,
    },
    ("ssock", "ssl_sock", "sclient"): {
        "TLS client": _WRAP,
        "TLS server": "NAME = ssl_ctx.wrap_socket(sock, server_side=True)\n",
        "DTLS client": _WRAP,
    },
    ("addr", "address"): {
        "TLS client": 'NAME = socket.getaddrinfo("example.com", 443)[0][-1]\n',
        "TLS listener": 'NAME = socket.getaddrinfo("0.0.0.0", 8443)[0][-1]\n',
        "TLS server": 'NAME = socket.getaddrinfo("0.0.0.0", 8443)[0][-1]\n',
        "DTLS client": 'NAME = socket.getaddrinfo("example.com", 5684)[0][-1]\n',
        "DTLS server": 'NAME = socket.getaddrinfo("0.0.0.0", 5684)[0][-1]\n',
    },
}
SUBNET = scenarios.NetworkOptions().subnet
SOCKETS, CONTEXTS, *_ = UNBOUND
REQUEST = "GET / HTTP/1.0\r\nHost: camera.local\r\n\r\n"
#: What an argument of a function is: its position and its keywords.
ROLES = (
    ("certificate", "load_cert_chain", 0, ("certfile",)),
    ("key", "load_cert_chain", 1, ("keyfile",)),
    ("ca", "load_verify_locations", 0, ("cafile", "cadata")),
    ("ca", "load_verify_locations", 1, ()),
    ("key", "wrap_socket", 2, ("key",)),
    ("certificate", "wrap_socket", 3, ("cert",)),
    ("ca", "wrap_socket", 5, ("cadata",)),
)
CREDENTIALS = {".der", ".pem", ".key", ".crt", ".cer"}


def describe_table() -> str:
    """The table of unbound names, for people."""
    lines = []
    for names, kinds in UNBOUND.items():
        lines.append(", ".join(names))
        for kind, source in kinds.items():
            lines.append(f"  in a {kind}:")
            lines += [f"    {line}" for line in source.splitlines()]
    return "\n".join(lines) + "\n"


@dataclass
class Surroundings:
    """What runs before an example and around it; `missing` names cannot be provided."""

    prelude: str  # binds names of the table
    again: str  # binds the sockets anew, for a second contact
    modules: list[str]  # to import
    missing: list[str]
    scenario: netsim.Scenario
    files: dict[str, scenarios.File] = field(default_factory=dict)  # those in folders


def kind_of(uses: Uses) -> str:
    """What an example is that leaves names unbound: a column of the table."""
    if not uses.datagrams:
        listener = "TLS listener" if uses.calls("accept") else "TLS server"
        return listener if uses.serves else "TLS client"
    return "DTLS server" if uses.serves else "DTLS client"


def _column(kind: str, name: str, uses: Uses) -> str:
    """Where in the table a name is looked up: a socket may be for the example to set up."""
    done = {ast.unparse(call.func) for call in uses.calls("connect", "bind")}
    if f"{name}.bind" in done or (f"{name}.connect" in done and kind != "DTLS server"):
        return f"{kind.split(maxsplit=1)[0]} set-up"
    return kind


def of(source: str) -> Surroundings:
    """What the example needs; UserError if its names make no scenario."""
    tree = ast.parse(source)
    uses = Uses(tree)
    kind = kind_of(uses)
    hosts = [h for call in uses.wraps for h in uses.constants(keyword(call, "server_hostname"))]
    host = next((h for h in hosts if isinstance(h, str) and _is_host(h)), "example.com")
    pieces: dict[str, str] = {}
    modules: list[str] = []
    missing: list[str] = []

    def provide(tree: ast.AST) -> None:
        nodes = list(ast.walk(tree))
        bases = {ast.unparse(node.value) for node in nodes if isinstance(node, ast.Attribute)}
        for name in unbound(tree):
            row = next((kinds for names, kinds in UNBOUND.items() if name in names), {})
            if name in pieces or name in modules or name in missing:
                continue
            column = _column(kind, name, uses)
            if column in row:
                piece = row[column].replace("NAME", name).replace("example.com", host)
                provide(ast.parse(piece))
                pieces[name] = piece
            else:
                (modules if name in bases else missing).append(name)

    provide(tree)
    if any(argument.value is ... for call in uses.nodes if isinstance(call, ast.Call)
           for argument in call.args if isinstance(argument, ast.Constant)):  # fmt: skip
        missing.append("what ... stands for")
    prelude = "".join(pieces.values())
    sockets = [name for name in pieces if name in SOCKETS]
    again = "".join(f"{name}.close()\n{pieces[name]}" for name in sockets)
    if not pieces.keys() & set(CONTEXTS):
        again = ""  # a context of its own would be another one then
    text, files = _world(Uses(ast.parse(prelude + source)))
    return Surroundings(
        prelude, again, modules, missing, scenarios.loads(text, "the example's world"), files
    )


# The world -------------------------------------------------------------------------------------


def _world(uses: Uses) -> tuple[str, dict[str, scenarios.File]]:
    """The scenario's text, and the files that belong into folders."""
    destinations = [one for one in uses.destinations() if _is_host(one.host)]
    known = [IPv4Address(one.host) for one in destinations if _is_address(one.host)]
    names = sorted({one.host for one in destinations if not _is_address(one.host)})
    free = (IPv4Address("93.184.215.14") + n for n in range(1 << 16))
    addresses = {name: next(a for a in free if a not in known) for name in names}
    addresses |= {str(address): address for address in known}
    addresses["pool.ntp.org"] = IPv4Address("162.159.200.1")
    # What the example does not use of its own network is for the gateway, the camera, clients.
    inside = {int(address) & 0xFF for address in known if address in SUBNET}
    gateway = next(n for n in (1, *range(254, 1, -1)) if n not in inside)
    first = next(n for n in range(100, 250) if n not in inside | {gateway})
    numbers = [n for n in range(20, 250) if n not in inside | {gateway, first}]
    files = dict(_files(uses))
    flat = {name: file for name, file in files.items() if "/" not in name}
    lines = [
        "# The world of an example.",
        "[camera.files]",
        *(f"{_quoted(name)} = {_inline(file)}" for name, file in flat.items()),
        "[network]",
        f'gateway = "{SUBNET[gateway]}"',
        "[dhcp]",
        f'first = "{SUBNET[first]}"',
        f'last = "{SUBNET[first]}"',
        "[dns.zone]",
        *(f'{_quoted(name)} = "{addresses[name]}"' for name in names),
        "[certificates.ca]",
        "ca = true",
        *_certificate("camera", ["camera.local"]),
        *_certificate("visitor", ["visitor.local"]),
        *_server("ntp", "pool.ntp.org", addresses["pool.ntp.org"], 123),
        *_servers(uses, destinations, addresses),
        *_clients(uses, numbers),
    ]
    return "\n".join(lines) + "\n", {n: file for n, file in files.items() if n not in flat}


def _servers(
    uses: Uses, destinations: list[Destination], addresses: dict[str, IPv4Address]
) -> Iterator[str]:
    """What the example connects to."""
    wrapping = uses.calls("wrap_socket", "open_connection")
    shown = [host for call in wrapping for host in uses.constants(keyword(call, "server_hostname"))]
    names = [host for host in shown if isinstance(host, str) and _is_host(host)]
    taken = {(addresses["pool.ntp.org"], 123)}
    for number, one in enumerate(destinations):
        address, kind = addresses[one.host], _server_kind(uses, one)
        if kind is None or (address, one.port) in taken:
            continue
        taken.add((address, one.port))
        # the server's own name; at an address it may have any that the example asks for
        shown_by = [one.host, *names] if _is_address(one.host) else [one.host]
        yield from _certificate(f"server-{number}", shown_by)
        yield from _server(kind, one.host, address, one.port)
        if kind in scenarios.SECURED:
            yield f'certificate = "server-{number}"'
            if uses.calls("load_cert_chain") and not uses.serves:
                yield 'verify = "ca"'  # the example wants to show its own, too
        if kind in ("tls", "dtls", "tcp"):
            to_the_end = any(called(call) == "read" and not call.args for call in uses.reads())
            yield 'greeting = "hello\\n"'
            yield f"echo = {'false' if to_the_end else 'true'}"


def _clients(uses: Uses, numbers: list[int]) -> Iterator[str]:
    """Who connects to what the example serves."""
    reads = bool(uses.reads())
    http = any("HTTP/" in text for text in uses.texts)
    for (port, kind), number in zip(uses.listeners(), numbers, strict=False):
        yield "[[client]]"
        yield f'kind = "{kind}"'
        yield f'name = "visitor-{port}"'
        yield f'address = "{SUBNET[number]}"'
        yield f"port = {port}"
        if kind != "tcp":
            yield 'certificate = "visitor"'
            yield 'server_name = "camera.local"'
        if reads:
            yield f"send = {_quoted(REQUEST if http and kind != 'dtls' else 'hello' + chr(10))}"
        if reads or kind == "dtls":  # what reads to the end must see one; a datagram has no end
            yield "hold_ms = 3000"


def _server_kind(uses: Uses, one: Destination) -> str | None:
    """A scenario's kind of server, or None if there is none for it."""
    if one.datagrams:
        return "dtls" if one.secured else "ntp" if one.port == 123 else None
    http = one.http or one.port in (80, 443) or uses.requests
    return {(True, True): "https", (True, False): "http", (False, True): "tls"}.get(
        (http, one.secured), "tcp"
    )


def _server(kind: str, name: str, address: object, port: int) -> list[str]:
    return [
        "[[server]]",
        f'kind = "{kind}"',
        f"name = {_quoted(name)}",
        f'address = "{address}"',
        f"port = {port}",
    ]


def _certificate(name: str, names: list[str]) -> list[str]:
    listed = ", ".join(_quoted(one) for one in dict.fromkeys(names))
    return [f"[certificates.{name}]", 'issuer = "ca"', f"names = [{listed}]"]


def _quoted(text: str) -> str:
    """A TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline(file: scenarios.File) -> str:
    keys = {"text": file.text, "certificate": file.certificate, "key": file.key}
    told = [f"{key} = {_quoted(value)}" for key, value in keys.items() if value is not None]
    if file.text is None:
        told.append(f'format = "{file.format}"')
    return "{ " + ", ".join(told) + " }"


def _is_host(text: str) -> bool:
    """A name or an address that a server may have here."""
    return is_name(text) and text not in ("gateway", "camera")


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def _files(uses: Uses) -> Iterator[tuple[str, scenarios.File]]:
    """Files that the program reads, with what should be in them."""
    for call in uses.calls("open"):
        mode = keyword(call, "mode") or (call.args[1] if len(call.args) > 1 else None)
        if not any("w" in str(m) or "a" in str(m) for m in uses.constants(mode)):
            for name in _paths(uses, *call.args[:1]):
                if PurePosixPath(name).suffix not in CREDENTIALS:
                    yield name, scenarios.File(text="hello\n")
    roles: dict[str, str] = {}
    for text in uses.texts:
        if re.fullmatch(r"[\w./-]+", text) and PurePosixPath(text).suffix in CREDENTIALS:
            words = set(re.split(r"[^a-z0-9]+", text.lower()))
            ca = words & {"ca", "cacert", "root", "roots", "cafile", "authority"}
            roles[text] = "key" if "key" in words else "ca" if ca else "certificate"
    # What is done with a file says more than its name.
    for role, function, at, keywords in ROLES:
        for call in uses.calls(function):
            nodes = call.args[at : at + 1] + [k.value for k in call.keywords if k.arg in keywords]
            roles |= dict.fromkeys(_paths(uses, *nodes), role)
    for name, role in roles.items():
        owner = "ca" if role == "ca" else "camera"
        style: Literal["der", "pem"] = "pem" if name.endswith(".pem") else "der"
        certificate, key = (None, "camera") if role == "key" else (owner, None)
        yield name, scenarios.File(certificate=certificate, key=key, format=style)


def _paths(uses: Uses, *nodes: ast.expr) -> Iterator[str]:
    """Names of files that arguments are, or are read from."""
    for node in nodes:
        for leaf in uses.origins(node):
            parts = [part for part in ast.walk(leaf) if isinstance(part, ast.expr)]
            for one in [origin for part in parts for origin in uses.origins(part)]:
                if isinstance(one, ast.Call) and called(one) == "open" and one.args:
                    yield from (v for v in uses.constants(one.args[0]) if isinstance(v, str))
            yield from (v for v in uses.constants(leaf) if isinstance(v, str))

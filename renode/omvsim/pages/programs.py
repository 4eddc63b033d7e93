"""What a program binds, connects to and serves, as far as its syntax tree tells."""

from __future__ import annotations

import ast
import builtins
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef
BUILTINS = {*dir(builtins), "const", "__file__"}
READS = ("read", "recv", "readline", "readinto", "recv_into", "readexactly", "makefile")
EVERYWHERE = {"", "0.0.0.0", "127.0.0.1", "localhost", "::", "::0"}  # hosts that are no other's


# Names --------------------------------------------------------------------------------------


def unbound(tree: ast.AST) -> list[str]:
    """Names that are used before anything binds them, in their order."""
    order = _Order()
    order.visit(tree)
    late = [name for name in order.late if name not in order.bound]
    return [name for name in dict.fromkeys([*order.missing, *late]) if name not in BUILTINS]


class _Order(ast.NodeVisitor):
    """Walks in the order of evaluation; what functions use is looked up at the end."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.missing: list[str] = []
        self.late: list[str] = []

    def _visit_all(self, *nodes: ast.AST | Iterable[ast.AST] | None) -> None:
        for node in nodes:
            for one in [node] if isinstance(node, ast.AST) else node or ():
                self.visit(one)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bound.add(node.id)
        elif node.id not in self.bound:
            self.missing.append(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._visit_all(node.value, node.targets)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self._visit_all(node.value, node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name) and node.target.id not in self.bound:
            self.missing.append(node.target.id)
        self._visit_all(node.value, node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._visit_all(node.value, node.target)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self._visit_all(node.iter, node.target, node.body, node.orelse)

    visit_AsyncFor = visit_For

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._visit_all(node.iter, node.target, node.ifs)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> None:
        self._visit_all(node.generators, node.elt)

    visit_SetComp = visit_GeneratorExp = visit_ListComp

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._visit_all(node.generators, node.key, node.value)

    def visit_alias(self, node: ast.alias) -> None:
        self.bound.add(node.asname or node.name.partition(".")[0])

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._visit_all(node.type)
        self.bound |= {node.name} if node.name else set()
        self._visit_all(node.body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.generic_visit(node)
        self.bound.add(node.name)

    def visit_FunctionDef(self, node: Function) -> None:
        self._visit_all(node.decorator_list)
        self.bound.add(node.name)
        self._function(node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node.args, [node.body])

    def _function(self, arguments: ast.arguments, body: Iterable[ast.AST]) -> None:
        defaults = [default for default in arguments.kw_defaults if default]
        self._visit_all(arguments.defaults, defaults)
        inner = _Order()
        inner.bound = {node.arg for node in ast.walk(arguments) if isinstance(node, ast.arg)}
        nodes = [node for statement in body for node in ast.walk(statement)]
        shared = {n for node in nodes if isinstance(node, ast.Global) for n in node.names}
        inner.bound |= {  # wherever it is bound: a function may loop
            node.id for node in nodes
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
        } - shared  # fmt: skip
        inner._visit_all(body)
        self.bound |= shared
        self.late += [name for name in (*inner.missing, *inner.late) if name not in inner.bound]


# What a program does ------------------------------------------------------------------------


@dataclass(frozen=True)
class Destination:
    """Where a program connects to."""

    host: str
    port: int
    secured: bool
    datagrams: bool
    http: bool = False


class Uses:
    """A syntax tree, and what its names may stand for."""

    def __init__(self, tree: ast.AST) -> None:
        self.nodes = list(ast.walk(tree))
        self._values: dict[str, list[ast.expr]] = defaultdict(list)
        self._opened: dict[int, ast.expr] = {}  # by the id of a name's node in a with's body
        for node in self.nodes:
            self._note(node)
        self._note_parameters()
        marks = {"SOCK_DGRAM", "MSG_PEEK", "recvfrom", "sendto"}
        names = {node.attr for node in self.nodes if isinstance(node, ast.Attribute)}
        names |= {node.id for node in self.nodes if isinstance(node, ast.Name)}
        self.wraps = self.calls("wrap_socket")
        self.datagrams = (
            bool(names & marks)
            or any(name.startswith("PROTOCOL_DTLS") for name in names)
            or any(keyword(call, "client_id") for call in self.wraps)
        )
        self.serves = (
            any(self.is_server(call) for call in self.wraps)
            or any(re.fullmatch(r"PROTOCOL_D?TLS_SERVER", name) for name in names)
            or bool(names & {"accept", "listen", "bind", "start_server"})
        )
        self.texts = [
            node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            for node in self.nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
        ]
        self.requests = any(re.match("(GET|HEAD|POST|PUT) ", text) for text in self.texts)

    def calls(self, *names: str) -> list[ast.Call]:
        """Calls of functions or methods of these names."""
        return [node for node in self.nodes if isinstance(node, ast.Call) and called(node) in names]

    def reads(self) -> list[ast.Call]:
        """Calls that read from something else than a file."""
        found = []
        for call in self.calls(*READS):
            leaves = self._object(call)
            if not any(isinstance(leaf, ast.Call) and called(leaf) == "open" for leaf in leaves):
                found.append(call)
        return found

    def constants(self, node: ast.expr | None) -> list[object]:
        """Values that an expression may have, as far as they stand in the program."""
        found = self.origins(node) if node else []
        return [leaf.value for leaf in found if isinstance(leaf, ast.Constant)]

    def origins(self, node: ast.expr) -> list[ast.expr]:
        """The expressions that a name or a function's result comes from; others are their own."""
        found: list[ast.expr] = []
        seen: set[str] = set()
        left = [node]
        while left:
            one = left.pop(0)
            key = ast.unparse(one) if isinstance(one, ast.Name | ast.Attribute) else ""
            if isinstance(one, ast.Call):
                key = f"{called(one)}()"
            if id(one) in self._opened:
                left.append(self._opened[id(one)])
            elif key not in self._values:
                found.append(one)
            elif key not in seen:
                seen.add(key)
                left += self._values[key]
        return found

    def is_server(self, call: ast.Call) -> bool:
        """Does this wrap_socket() make the camera the server?"""
        side = keyword(call, "server_side") or (call.args[1] if len(call.args) > 1 else None)
        context = call.func.value if isinstance(call.func, ast.Attribute) else None
        origins = self.origins(context) if context else []
        return any(self.constants(side)) or any("_SERVER" in ast.unparse(n) for n in origins)

    def destinations(self) -> list[Destination]:
        """Hosts and ports that the program connects to."""
        found = []
        for call in self.calls("connect", "sendto"):
            if call.args and isinstance(call.func, ast.Attribute):
                sock = self.origins(call.func.value)
                datagrams = any("SOCK_DGRAM" in ast.unparse(leaf) for leaf in sock)
                for host, port in self.endpoints(call.args[-1]):
                    found.append(Destination(host, port, self._wrapped(sock), datagrams))
        for call in self.calls("open_connection"):
            secured = any(self._truthy(keyword(call, "ssl")))
            for host, port in self._pairs(*call.args[:2]):
                found.append(Destination(host, port, secured, False))
        for text in self.texts:
            if url := re.match(r"(https?)://([\w.-]+)(?::(\d+))?", text):
                secured = url[1] == "https"
                port = int(url[3] or (443 if secured else 80))
                if port < 1 << 16:
                    found.append(Destination(url[2], port, secured, False, True))
        known = {(one.host, one.port) for one in found}
        for call in self.calls("bind"):
            known |= set(self.endpoints(call.args[0]) if call.args else ())
        secured = any(not self.is_server(call) for call in self.wraps)
        for call in self.calls("getaddrinfo"):  # of a connect() that could not be followed
            for host, port in self.endpoints(call):
                if (host, port) not in known:
                    found.append(Destination(host, port, secured, self.datagrams))
        return [one for one in dict.fromkeys(found) if one.host not in EVERYWHERE]

    def listeners(self) -> list[tuple[int, str]]:
        """Ports that the program serves, with the kind of client that belongs there."""
        found = []
        secured = any(self.is_server(call) for call in self.wraps)
        listening = {id(leaf) for call in self.calls("listen") for leaf in self._object(call)}
        for call in self.calls("bind"):
            sock = self._object(call)
            datagrams = any("SOCK_DGRAM" in ast.unparse(leaf) for leaf in sock)
            for _, port in self.endpoints(call.args[0]) if call.args else ():
                if datagrams and secured:
                    found.append((port, "dtls"))
                elif listening & {id(leaf) for leaf in sock}:
                    found.append((port, "tls" if secured else "tcp"))
        for call in self.calls("start_server"):
            kind = "tls" if any(self._truthy(keyword(call, "ssl"))) else "tcp"
            found += [(port, kind) for _, port in self._pairs(*call.args[1:3])]
        return list(dict.fromkeys(found))

    def endpoints(self, node: ast.expr) -> list[tuple[str, int]]:
        """(host, port) pairs that an expression may stand for: a tuple, or by getaddrinfo()."""
        found: list[tuple[str, int]] = []
        for leaf in self.origins(node):
            if isinstance(leaf, ast.Subscript):
                found += self.endpoints(leaf.value)
            elif isinstance(leaf, ast.Tuple | ast.List):
                found += self._pairs(*leaf.elts[:2])
            elif isinstance(leaf, ast.Call) and called(leaf) == "getaddrinfo":
                found += self._pairs(*leaf.args[:2])
        return found

    def _note(self, node: ast.AST) -> None:
        """What an assignment, a loop or a with gives to names."""
        match node:
            case ast.Assign():
                for target in node.targets:
                    self._bind(target, node.value)
            case ast.AnnAssign(value=ast.expr() as value) | ast.NamedExpr(value=value):
                self._bind(node.target, value)
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                self._bind(node.target, node.iter)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    if item.optional_vars:
                        self._bind(item.optional_vars, item.context_expr)
                        self._open(node, ast.unparse(item.optional_vars), item.context_expr)

    def _open(self, node: ast.With | ast.AsyncWith, name: str, value: ast.expr) -> None:
        """Within the body the name is this value, whatever it is elsewhere."""
        for statement in node.body:
            for part in ast.walk(statement):
                if isinstance(part, ast.Name) and part.id == name:
                    self._opened[id(part)] = value

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            pairs = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
            for at, one in enumerate(target.elts):
                self._bind(one, value.elts[at] if pairs else value)  # type: ignore[attr-defined]
        elif isinstance(target, ast.Name | ast.Attribute):
            self._values[ast.unparse(target)].append(value)

    def _note_parameters(self) -> None:
        """What calls within the program, and defaults, give to a function's parameters."""
        functions: dict[str, Function] = {}
        for node in self.nodes:
            if isinstance(node, Function):
                functions[node.name] = node
        for node in self.nodes:
            if isinstance(node, ast.ClassDef):
                inits = [one for one in node.body if getattr(one, "name", "") == "__init__"]
                functions |= {node.name: one for one in inits if isinstance(one, Function)}  # noqa: B035
        for name, function in functions.items():
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and node.value:
                    self._values[f"{name}()"].append(node.value)
            names, defaults = _parameters(function), function.args.defaults
            self._assign(zip(names[len(names) - len(defaults) :], defaults, strict=True))
        for node in self.nodes:
            if isinstance(node, ast.Call) and called(node) in functions:
                self._assign(zip(_parameters(functions[called(node)]), node.args, strict=False))
                self._assign((one.arg, one.value) for one in node.keywords if one.arg)

    def _assign(self, values: Iterable[tuple[str, ast.expr]]) -> None:
        for name, value in values:
            self._values[name].append(value)

    def _object(self, call: ast.Call) -> list[ast.expr]:
        """What the object of a method call may be."""
        return self.origins(call.func.value) if isinstance(call.func, ast.Attribute) else []

    def _wrapped(self, sock: list[ast.expr]) -> bool:
        """Is a socket that comes from there wrapped as a client's, as far as one can tell?"""
        leaves = {id(leaf) for leaf in sock}
        for call in self.wraps:
            if call.args and not self.is_server(call):
                origins = self.origins(call.args[0])
                made = any(isinstance(one, ast.Call) and called(one) == "socket" for one in origins)
                if not made or leaves & {id(one) for one in origins}:
                    return True
        return False

    def _truthy(self, node: ast.expr | None) -> Iterator[bool]:
        """Of each value that is not known to be false."""
        for leaf in self.origins(node) if node else ():
            yield not isinstance(leaf, ast.Constant) or bool(leaf.value)

    def _pairs(self, *nodes: ast.expr) -> list[tuple[str, int]]:
        if len(nodes) < 2:
            return []
        hosts = [value for value in self.constants(nodes[0]) if isinstance(value, str)]
        ports = [value for value in self.constants(nodes[1]) if type(value) is int]
        return [(host, port) for host in hosts for port in ports if 0 < port < 1 << 16]


def _parameters(function: Function) -> list[str]:
    """Names of positional parameters, without self."""
    names = [argument.arg for argument in function.args.args]
    return names[1:] if names[:1] == ["self"] else names


def called(call: ast.Call) -> str:
    """The last name of what is called."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """The argument of this name."""
    return next((one.value for one in call.keywords if one.arg == name), None)

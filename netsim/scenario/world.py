"""A whole scenario, and reading it from TOML."""

import tomllib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from netsim import paths
from netsim.errors import ScenarioError, UserError
from netsim.scenario.check import problems
from netsim.scenario.model import (
    Camera,
    CertificateOptions,
    Client,
    Dhcp,
    Dns,
    Fault,
    NetworkOptions,
    Rule,
    Server,
)
from netsim.scenario.schema import Problem, convert
from netsim.scenario.toml_lines import key_lines, line_of

PACKAGED = Path(__file__).parents[1] / "scenarios"


@dataclass(frozen=True)
class Scenario:
    """The whole world. `time` is the true time at power-on, which NTP tells; files that it names
    lie below `folder` unless they may be `outside`."""

    seed: int = 1
    time: datetime = datetime(2026, 6, 15, 12, 0, 0, tzinfo=UTC)
    camera: Camera = field(default_factory=Camera)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    dhcp: Dhcp = field(default_factory=Dhcp)
    dns: Dns = field(default_factory=Dns)
    certificates: dict[str, CertificateOptions] = field(default_factory=dict)
    servers: tuple[Server, ...] = field(default=(), metadata={"key": "server"})
    clients: tuple[Client, ...] = field(default=(), metadata={"key": "client"})
    faults: tuple[Fault, ...] = field(default=(), metadata={"key": "fault"})
    rules: tuple[Rule, ...] = field(default=(), metadata={"key": "rule"})
    text: str = field(default="", metadata={"key": ""}, compare=False)
    folder: Path = field(default=Path(), metadata={"key": ""}, compare=False)
    outside: bool = field(default=False, metadata={"key": ""}, compare=False)

    def with_seed(self, seed: int) -> "Scenario":
        """The same world with other random numbers and keys."""
        return replace(self, seed=seed)

    def with_one(
        self, key: Literal["server", "client", "fault", "rule"], **table: Any
    ) -> "Scenario":
        """The same world with one more server, client, fault or rule, last of its list.

        `table` has the keys of a scenario file; raises UserError.
        """
        kind = {"server": Server, "client": Client, "fault": Fault, "rule": Rule}[key]
        try:
            more: dict[str, Any] = {f"{key}s": (*getattr(self, f"{key}s"), convert(kind, table))}
            result: Scenario = replace(self, **more)
            for problem in problems(result):
                raise problem
        except Problem as problem:
            at = [str(step) for step in problem.path[-1:] if isinstance(step, str)]
            raise UserError(": ".join([key, *at, problem.what])) from None
        return result


def load(path: Path | str, outside: bool = False) -> Scenario:
    """Read a scenario file, which may name files outside its folder if it is trusted; raises
    ScenarioError."""
    path = Path(path)
    try:
        text = paths.read(path).decode()
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8, save the scenario as UTF-8 text") from None
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise UserError(f"{path}: {reason}, name a readable scenario file (TOML)") from None
    return loads(text, str(path), path.parent, outside)


@cache
def named(name: str) -> Scenario:
    """A scenario of this package: `default`, `unknown_ca`, `wrong_name`, `expired`."""
    if name not in (known := sorted(p.stem for p in PACKAGED.glob("*.toml"))):
        raise UserError(f"no scenario is called {name}, use a file or one of {', '.join(known)}")
    return load(PACKAGED / f"{name}.toml")


def default() -> Scenario:
    """The world in which the ssl page's client example runs."""
    return named("default")


def loads(
    text: str, origin: str = "<scenario>", folder: Path = Path(), outside: bool = False
) -> Scenario:
    """Read a scenario; relative paths in it start at `folder`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).partition(" (at ")
        line = int("".join(c for c in place.split(",")[0] if c.isdigit()) or text.count("\n") + 1)
        raise ScenarioError(origin, line, "", f"no valid TOML: {what.lower()}") from None
    except (ValueError, RecursionError) as error:  # an int of 5000 digits, a list of a list of ...
        what = str(error).partition(":")[0].lower()
        raise ScenarioError(origin, 1, "", f"no valid scenario: {what}") from None
    try:
        result: Scenario = convert(Scenario, table)
        result = replace(result, text=text, folder=folder, outside=outside)
        for problem in problems(result):
            raise problem
    except Problem as problem:
        lines = key_lines(text)
        key = ".".join(str(p) for p in problem.path)
        line = line_of(lines, problem.path)
        raise ScenarioError(origin, line, key, problem.what) from None
    return result

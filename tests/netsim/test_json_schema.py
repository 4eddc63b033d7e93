"""The JSON schema takes what the scenario's own reader takes, and refuses its mistakes."""

import json
import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from netsim import scenario
from netsim.scenario import json_schema

ROOT = Path(__file__).parents[2]
FILES = [*sorted((ROOT / "netsim/scenarios").glob("*.toml")), *sorted(ROOT.glob("robot/*/*.toml"))]
WORLDS = [path for path in FILES if path.name not in ("statements.toml", "certificates.toml")]
SERVER = '[[server]]\nkind = "http"\nname = "a"\naddress = "1.2.3.4"\n'
VALIDATOR = Draft202012Validator(
    json_schema.scenario(), format_checker=Draft202012Validator.FORMAT_CHECKER
)


def as_json(text: str) -> Any:
    def plain(value: object) -> str:
        assert isinstance(value, datetime)
        return value.isoformat()

    return json.loads(json.dumps(tomllib.loads(text), default=plain))


def paths(text: str) -> Iterator[str]:
    return (".".join(map(str, error.path)) for error in VALIDATOR.iter_errors(as_json(text)))


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(json_schema.scenario())


@pytest.mark.parametrize("path", WORLDS, ids=lambda path: path.name)
def test_it_takes_scenarios(path: Path) -> None:
    scenario.load(path, outside=True)
    assert list(paths(path.read_text())) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("sed = 1", ""),
        ('seed = "1"', "seed"),
        ("[dhcp]\nlease_s = -1", "dhcp.lease_s"),
        (SERVER + "port = 0", "server.0.port"),
        (SERVER.replace("http", "ftp"), "server.0.kind"),
        (SERVER.replace("1.2.3.4", "1.2.3"), "server.0.address"),
        ('[[server]]\nkind = "http"\nname = "a"', "server.0"),
        ('[dns.zone]\n"a.b" = []', "dns.zone.a.b"),
        (SERVER + '[server.pages."/"]\nstatus = "x"', "server.0.pages./.status"),
        ("[certificates.a]\nnot_after = 5", "certificates.a.not_after"),
    ],
)
def test_it_refuses_mistakes(text: str, where: str) -> None:
    with pytest.raises(scenario.ScenarioError):
        scenario.loads(text)
    assert list(paths(text)) == [where]

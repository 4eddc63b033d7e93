"""The scenario's JSON schema (draft 2020-12), for editors: made from the dataclasses."""

from dataclasses import MISSING, is_dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from netsim.scenario import Scenario
from netsim.scenario.schema import Count, Port, Records, keys

_ADDRESS = {"type": "string", "format": "ipv4"}
_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: {"type": "number"},
    datetime: {"type": "string", "format": "date-time"},
    Port: {"type": "integer", "minimum": 1, "maximum": 65535},
    Count: {"type": "integer", "minimum": 0, "maximum": (1 << 32) - 1},
    Records: {"anyOf": [{"type": "string"}, {"type": "array", "items": _ADDRESS, "minItems": 1}]},
    IPv4Address: _ADDRESS,
    IPv4Network: {"type": "string", "pattern": r"^\d+(\.\d+){3}/\d+$"},
}


def scenario() -> dict[str, Any]:
    """The schema of a scenario file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A scenario of the OpenMV camera testbed",
        **_schema(Scenario),
    }


def _schema(kind: Any) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if origin in (UnionType, Union):
        [kind] = [a for a in arguments if a is not NoneType]
        return _schema(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1])}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0])}
    assert isinstance(kind, type) and is_dataclass(kind)
    known, hints = keys(kind)
    needed = [n for n, f in known.items() if f.default is f.default_factory is MISSING]
    made: dict[str, Any] = {
        "type": "object",
        "description": " ".join((kind.__doc__ or "").split()),
        "properties": {name: _schema(hints[field.name]) for name, field in known.items()},
        "additionalProperties": False,
    }
    return made | ({"required": needed} if needed else {})

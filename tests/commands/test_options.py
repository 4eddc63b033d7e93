"""Values on the command line: read as meant, or refused with what to write."""

from argparse import ArgumentTypeError
from collections.abc import Callable

import pytest
from omvsim.commands import cameras
from omvsim.commands.options import duration, size, whole

from netsim.services.dns import is_name

LONG = "9" * 400


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("500ms", 500_000_000), ("20s", 20_000_000_000), ("1.5m", 90_000_000_000),
     ("525600m", 31_536_000_000_000_000)],
)  # fmt: skip
def test_duration(text: str, nanoseconds: int) -> None:
    assert duration(text) == nanoseconds


@pytest.mark.parametrize(
    ("read", "texts"),
    [
        (duration, ["", "1", "0s", "-1s", "1e3s", "²s", "٣s", "525601m", f"{LONG}s"]),
        (size(16 << 30), ["", "1", "0MB", "1mb", "1 MB", "-1MB", "10000MB", "1.5MB", "17GB"]),
        (whole(9, "number"), ["", "0", "10", "-1", "1.0", "²", "٣", LONG, "9" * 5000]),
        (cameras.forward, ["80", "80:0", "65536:80", f"{LONG}:80", "٣:80", "a..b:80:80",
                           "::1:8:8"]),
        (cameras.reach, ["x", "=h:1", "x=h:0", f"x=h:{LONG}", "x=h:٣", "a..b=h:1", "x=a..b:1",
                        "x=é:1", f"{'x' * 64}=h:1", "\x1b=h:1"]),
        (cameras.beside, ["x", "=s", "x=", "a..b=s", "-x=s", f"{'x' * 64}=s", "é=s"]),
    ],
)  # fmt: skip
def test_refused(read: Callable[[str], object], texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(ArgumentTypeError, match="write"):
            read(text)


def test_size() -> None:
    assert [size(2 << 30)(text) for text in ("1kB", "16MB", "2GB")] == [1 << 10, 16 << 20, 2 << 30]


def test_names() -> None:
    """RFC 1035 section 2.3.4: labels of 63 octets, names of 255 with the length octets."""
    assert all(map(is_name, ("a", "a.b", "_x-1.lan", "x" * 63, ".".join(["a" * 62] * 4))))
    assert not any(
        map(is_name, ("", ".", "a.", "a..b", "-a", "a-", "a b", "x" * 64, "a." * 127 + "aa"))
    )

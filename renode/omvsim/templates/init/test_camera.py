"""The camera's script, in the world that it is written for and in worse ones."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omvsim import Testbed

SCRIPT = Path(__file__).with_name("client.py").read_text()
WORLD = Path(__file__).with_name("world.toml")


@pytest.mark.omvsim(scenario=WORLD)
def test_the_page_is_fetched(camera: Testbed) -> None:
    assert camera.exec(SCRIPT) == "Hello, camera.\n"


def test_an_expired_certificate_is_refused(
    testbed: Callable[..., Testbed], tmp_path: Path
) -> None:
    expired = tmp_path / "expired.toml"
    dates = 'names = ["server.example"]\nnot_after = 2026-06-14T00:00:00Z'
    expired.write_text(WORLD.read_text().replace('names = ["server.example"]', dates))
    with pytest.raises(Exception, match="The certificate validity has expired"):
        testbed(scenario=expired).exec(SCRIPT)

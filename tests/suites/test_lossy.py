"""ci/lossy with a few handshakes: what the bad network does must end, and leave no memory lost."""

import pytest
from omvsim.suites.lossy import KINDS, WORLD, measure
from omvsim.testbed import Testbed


@pytest.mark.parametrize("kind", KINDS)
def test_handshakes_complete(kind: str) -> None:
    seen: list[int] = []
    with Testbed(scenario=WORLD) as testbed:
        testbed.boot()
        row = measure(testbed, kind, 2, seen.append)
    assert row.hung == 0 and row.memory == 0 and len(row.seconds) == 2, (row.errors, str(row))
    assert seen == [1, 2] and max(row.seconds) < 60
    assert kind in str(row) and "2/2" in str(row)

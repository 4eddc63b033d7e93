"""Nothing that arrives may break the camera or the testbed (ci/fuzz sends more of it)."""

from omvsim.suites.soak import soak
from omvsim.testbed import Testbed


def test_camera_survives() -> None:
    with Testbed() as testbed:
        testbed.boot()
        report = soak(testbed, 5_000)
        assert report.ping_ns is not None, "no answer to a ping any more"
        assert report.ping_ns < 10_000_000
        assert testbed.engine.fault is None
        assert not testbed.engine.unmodelled

"""Robot Framework keywords that are thin over Testbed (the class is named as Robot looks for it).

*** Settings ***
Library    omvsim.robotlib
"""

from robot.api.deco import library

from omvsim.suites.peer_keywords import PeerKeywords


@library(scope="TEST", auto_keywords=False)
class robotlib(PeerKeywords):
    """A camera in its network. A failing keyword shows what the camera printed."""

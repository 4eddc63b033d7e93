"""Robot Framework's library, by the name that suites use.

*** Settings ***
Library    omvsim.robotlib
"""

from omvsim.suites.robotlib import robotlib

__all__ = ["robotlib"]

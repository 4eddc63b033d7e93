"""Errors that are meant for the person who runs the camera."""

from netsim.errors import UserError

__all__ = ["UserError"]

"""Errors that are meant for the person who runs the simulation."""


class UserError(Exception):
    """Something the user can mend; `str()` is one line that says what and how."""


class ScenarioError(UserError):
    """A scenario file is wrong: `FILE:LINE: key: what, remedy`."""

    def __init__(self, origin: str, line: int, key: str, what: str) -> None:
        super().__init__(f"{origin}:{line}: {key}: {what}" if key else f"{origin}:{line}: {what}")
        self.origin, self.line, self.key = origin, line, key


class WireError(ValueError):
    """Bytes that are no valid header; hosts drop such packets."""

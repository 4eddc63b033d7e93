"""Errors that are meant for the person who runs the simulation."""

LONGEST = 1000  # characters of a message: what is wrong may be a name of any length


class UserError(Exception):
    """Something the user can mend; `str()` is one line that says what and how."""

    def __init__(self, text: str) -> None:
        line = " ".join(text.splitlines())
        if len(line) > LONGEST:
            line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
        super().__init__(line)


class ScenarioError(UserError):
    """A scenario file is wrong: `FILE:LINE: key: what, remedy`."""

    def __init__(self, origin: str, line: int, key: str, what: str) -> None:
        super().__init__(f"{origin}:{line}: {key}: {what}" if key else f"{origin}:{line}: {what}")
        self.origin, self.line, self.key = origin, line, key


class WireError(ValueError):
    """Bytes that are no valid header; hosts drop such packets."""

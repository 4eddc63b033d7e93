"""When something is due."""


def earliest(*deadlines: int | None) -> int | None:
    """The smallest of some deadlines, of which any may be None."""
    return min((d for d in deadlines if d is not None), default=None)

"""What contracts assert by that need no pytest: `python -O` keeps it, and it says what is wrong."""

__all__ = ["check"]


def check(fine: bool, complaint: str) -> None:  # noqa: FBT001  the one thing that it is about
    """See that something holds.

    Raises:
        AssertionError: If it does not; the complaint is its message.
    """
    if not fine:
        raise AssertionError(complaint)

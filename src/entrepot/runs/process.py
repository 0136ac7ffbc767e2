"""What a process is called: not by its number, which another one gets when it has ended."""

import os

from entrepot.states import new_id

__all__ = ["process_token"]

_token = ""


def process_token() -> str:
    """Return what tells this process from every other: a UUID, as text. A forked child has another one."""
    global _token  # noqa: PLW0603  one for each process, made on first need
    if not _token:
        _token = new_id()
    return _token


def _after_fork_in_child() -> None:
    global _token  # noqa: PLW0603  as above
    _token = ""


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

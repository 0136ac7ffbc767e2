"""The flow run that current code is part of, for floors below `entrepot.context` that keep things for its duration."""

from collections.abc import Callable

__all__ = ["current_scope", "find_scope_with"]

_finders: list[Callable[[], object | None]] = []


def find_scope_with(finder: Callable[[], object | None]) -> None:
    """Have `current_scope` ask a function; `entrepot.context` calls this when it is imported."""
    _finders[:] = [finder]


def current_scope() -> object | None:
    """Return what stands for the nearest enclosing flow run (it takes weak references), or None outside of all."""
    return _finders[0]() if _finders else None

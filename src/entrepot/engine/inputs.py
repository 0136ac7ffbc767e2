"""Futures and states among arguments: found, and replaced by what they stand for."""

import dataclasses
from collections.abc import Callable, Collection
from typing import Any

from entrepot.errors import NotReadyError
from entrepot.futures import EntrepotFuture, FutureList
from entrepot.states import State

__all__ = ["find", "replaced", "upstream_result"]

_COLLECTIONS = frozenset({list, tuple, set, frozenset, dict, FutureList})
_LEAVES = frozenset({EntrepotFuture, State})
_DEPTH = 50  # levels that are searched; it also ends the search of structures that hold themselves


def find(value: Any) -> list[EntrepotFuture[Any] | State[Any]]:
    """Return the futures and states in a value: itself, or in lists, tuples, sets, dicts and dataclasses in it.

    What holds none is passed over at the speed of C, whatever its length. Nothing is found below 50 levels.
    """
    found: list[EntrepotFuture[Any] | State[Any]] = []
    _walk(value, found, _DEPTH, set())
    return found


def replaced(value: Any, substitute: Callable[[Any], Any]) -> Any:
    """Return a value with each future and state in it replaced; what holds none is the very object.

    Args:
        value: Any value.
        substitute: Called with a future or a state.
    """
    return _replaced(value, substitute, _DEPTH, {})


def upstream_result(upstream: EntrepotFuture[Any] | State[Any]) -> Any:
    """Return what an upstream run returned; it is over.

    Raises:
        NotReadyError: If it did not complete; chained to its exception.
    """
    state = upstream.state if isinstance(upstream, EntrepotFuture) else upstream
    if state.is_completed():
        return state.result()
    who = f"task run {upstream.task_run_name!r}" if isinstance(upstream, EntrepotFuture) else "a run"
    cause = state.result(raise_on_failure=False) if state.is_final() or state.name == "NotReady" else None
    message = f"{who}, whose result this needs, did not complete: it is {state.name}"
    raise NotReadyError(message) from cause if isinstance(cause, BaseException) else None


def _holds(kind: type) -> bool:
    """Return whether values of a class may have futures in them that we look for."""
    return (
        kind in _COLLECTIONS
        or (dataclasses.is_dataclass(kind) and kind not in _LEAVES)
        or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )


_known: dict[type, bool] = {}  # class -> whether to look at its values: all that are no leaves to us


def _interesting(kind: type) -> bool:
    known = _known.get(kind)
    if known is None:
        # Classes made at run time must not stay alive through this; the common ones are few.
        known = kind in _LEAVES or _holds(kind)
        if len(_known) < 1000:  # noqa: PLR2004  a bound, no more
            _known[kind] = known
    return known


def _members(kind: type, value: Any) -> Collection[Any]:
    """Return what a value of an interesting class holds."""
    if kind is dict:
        members: Collection[Any] = value.values()
        return members
    if kind in _COLLECTIONS or issubclass(kind, tuple):
        return value  # type: ignore[no-any-return]  # a list, a tuple or a set
    return [getattr(value, field.name, None) for field in dataclasses.fields(value)]


def _worth_a_look(members: Collection[Any]) -> bool:
    return any(map(_interesting, set(map(type, members))))


def _walk(value: Any, found: list[EntrepotFuture[Any] | State[Any]], depth: int, seen: set[int]) -> None:
    kind = type(value)
    if kind in _LEAVES:
        found.append(value)
    elif depth and _interesting(kind) and id(value) not in seen:
        seen.add(id(value))
        members = _members(kind, value)
        if _worth_a_look(members):
            for member in members:
                _walk(member, found, depth - 1, seen)


def _replaced(value: Any, substitute: Callable[[Any], Any], depth: int, known: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in _LEAVES:
        return substitute(value)
    if not depth or not _interesting(kind):
        return value
    if id(value) not in known:
        known[id(value)] = value  # a structure that holds itself keeps itself
        members = _members(kind, value)
        if _worth_a_look(members):
            new = [_replaced(member, substitute, depth - 1, known) for member in members]
            if any(old is not member for old, member in zip(members, new, strict=True)):
                known[id(value)] = _made(kind, value, new)
    return known[id(value)]


def _made(kind: type, value: Any, new: list[Any]) -> Any:
    if kind is dict:
        return dict(zip(value, new, strict=True))
    if kind is FutureList:
        return new
    if kind in _COLLECTIONS:
        return kind(new)
    return kind(*new) if issubclass(kind, tuple) else _rebuilt(value, new)


def _rebuilt(value: Any, new: list[Any]) -> Any:
    """Return a copy of a dataclass object with other members; its `__init__` is not called again."""
    copy = object.__new__(type(value))
    if hasattr(value, "__dict__"):
        copy.__dict__.update(value.__dict__)
    for field, member in zip(dataclasses.fields(value), new, strict=True):
        object.__setattr__(copy, field.name, member)
    return copy

"""Futures, lazy results and states among arguments: found, and replaced by what they stand for."""

import dataclasses
import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeAlias

from entrepot._sentinels import MISSING
from entrepot.annotations import AllowFailure, Quote
from entrepot.errors import NotReadyError
from entrepot.futures import EntrepotFuture, FutureList
from entrepot.results.lazy import Lazy
from entrepot.states import State

__all__ = [
    "Upstream",
    "check",
    "find",
    "leaves_of",
    "must_be_read",
    "replaced",
    "run_ids_of",
    "upstream_of",
    "upstream_result",
]

Upstream: TypeAlias = EntrepotFuture[Any] | Lazy[Any] | State[Any]
"""What stands for the result of a run."""

_COLLECTIONS = frozenset({list, tuple, set, frozenset, dict, FutureList})
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})  # there is nothing in one of these
_LEAVES = frozenset({EntrepotFuture, Lazy, State, AllowFailure, Quote})
_FINE = frozenset({AllowFailure, Lazy, Quote})  # whatever became of it
_FEW = 8  # members that are looked at one by one, before their classes are
_DEPTH = 50  # levels that are searched; it also ends the search of structures that hold themselves


def find(value: Any) -> list[Upstream]:
    """Return the futures, lazy results and states that are in a value, those that may fail included."""
    return upstream_of(leaves_of(value))


def leaves_of(value: Any) -> list[Any]:
    """Return the futures, lazy results, states, `allow_failure(...)` and `quote(...)` in a value.

    They are looked for in the value itself, and in lists, tuples, sets, dicts, dataclasses and pydantic models in it.
    What holds none is passed over at the speed of C, whatever its length. Nothing is found below 50 levels.
    """
    found: list[Any] = []
    _walk(value, found, _DEPTH, set())
    return found


def upstream_of(leaves: Iterable[Any]) -> list[Upstream]:
    """Return the futures, lazy results and states that leaves are or hold; what is quoted holds none."""
    upstream: list[Upstream] = []
    for leaf in leaves:
        if type(leaf) is AllowFailure:
            upstream += find(leaf.value)
        elif type(leaf) is not Quote:
            upstream.append(leaf)
    return upstream


def run_ids_of(upstream: Iterable[Upstream]) -> list[str]:
    """Return the ids of the runs behind futures and lazy results."""
    return [found.task_run_id for found in upstream if not isinstance(found, State)]


def must_be_read(upstream: Iterable[Upstream]) -> bool:
    """Return whether what one of them stands for is in a store and not in memory; all are over."""
    return any(
        isinstance(found, Lazy) or type((found.peek() if isinstance(found, EntrepotFuture) else found).data) is Lazy
        for found in upstream
    )


def check(leaves: Iterable[Any]) -> None:
    """See that every run completed whose result is needed; those that may fail are passed over.

    Raises:
        NotReadyError: If one did not complete; chained to its exception.
    """
    for leaf in leaves:
        if type(leaf) not in _FINE:
            _done(leaf)


def replaced(value: Any, substitute: Callable[[Any], Any]) -> Any:
    """Return a value with each future, lazy result and state in it replaced; what holds none is the very object.

    Args:
        value: Any value.
        substitute: Called with one of those; but in what is wrapped in `allow_failure` an exception takes the
            place of a result that there is not, and what is quoted is unwrapped and not looked into.
    """

    def in_place_of(leaf: Any) -> Any:
        if type(leaf) is Quote:
            return leaf.value
        return replaced(leaf.value, _result_or_error) if type(leaf) is AllowFailure else substitute(leaf)

    return _replaced(value, in_place_of, _DEPTH, {})


def _result_or_error(upstream: Upstream) -> Any:
    if isinstance(upstream, Lazy):
        return upstream.get()
    state = upstream.state if isinstance(upstream, EntrepotFuture) else upstream
    return state.result(raise_on_failure=False)


def upstream_result(upstream: Upstream) -> Any:
    """Return what an upstream run returned; it is over.

    Raises:
        NotReadyError: If it did not complete; chained to its exception.
        EntrepotError: What reading a lazy result raises.
    """
    return upstream.get() if isinstance(upstream, Lazy) else _done(upstream).result()


def _done(upstream: EntrepotFuture[Any] | State[Any]) -> State[Any]:
    state = upstream.peek() if isinstance(upstream, EntrepotFuture) else upstream
    if state.is_completed():
        if state.data is MISSING:
            state.result()  # which says so
        return state
    if isinstance(upstream, EntrepotFuture):
        upstream.asked = True  # who needs it learns here that it failed
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
        or _is_model(kind)
    )


def _is_model(kind: type) -> bool:
    pydantic = sys.modules.get("pydantic")  # where it was never loaded, nothing is a model of it
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)


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
    if dataclasses.is_dataclass(kind):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    return [*value.__dict__.values(), *(value.__pydantic_extra__ or {}).values()]


def _worth_a_look(members: Collection[Any]) -> bool:
    return any(map(_interesting, set(map(type, members))))


def _walk(value: Any, found: list[Any], depth: int, seen: set[int]) -> None:
    kind = type(value)
    if kind in _LEAVES:
        found.append(value)
    elif depth and (kind is dict or kind is list or _interesting(kind)) and id(value) not in seen:
        seen.add(id(value))
        members = value.values() if kind is dict else value if kind is list else _members(kind, value)
        if not _PLAIN.issuperset(map(type, members)) and (len(members) <= _FEW or _worth_a_look(members)):
            for member in members:
                if type(member) not in _PLAIN:
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
    if issubclass(kind, tuple):
        return kind(*new)
    return _rebuilt(value, new) if dataclasses.is_dataclass(kind) else _remodelled(value, new)


def _rebuilt(value: Any, new: list[Any]) -> Any:
    """Return a copy of a dataclass object with other members; its `__init__` is not called again."""
    copy = object.__new__(type(value))
    if hasattr(value, "__dict__"):
        copy.__dict__.update(value.__dict__)
    for field, member in zip(dataclasses.fields(value), new, strict=True):
        object.__setattr__(copy, field.name, member)
    return copy


def _remodelled(value: Any, new: list[Any]) -> Any:
    """Return a copy of a pydantic model with other members, which are not validated again."""
    copy = value.model_copy()
    members = iter(new)
    copy.__dict__.update({name: next(members) for name in value.__dict__})
    if value.__pydantic_extra__:
        copy.__pydantic_extra__.update({name: next(members) for name in value.__pydantic_extra__})
    return copy

"""One call of a task for each element of its arguments."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from io import IOBase
from itertools import islice, repeat
from typing import Any, NamedTuple

from entrepot._sentinels import MISSING
from entrepot.annotations import AllowFailure, Unmapped, allow_failure
from entrepot.engine import inputs
from entrepot.engine.submission import make_room
from entrepot.errors import ParameterError
from entrepot.futures import EntrepotFuture

__all__ = ["mapped_calls"]

_WHOLE = (str, bytes, bytearray, memoryview, Mapping, IOBase)  # can be iterated over, but are one thing


def mapped_calls(
    args: Sequence[Any], kwargs: Mapping[str, Any], *, what: str
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return the arguments of each call, as they are asked for.

    Collections give one element to each call. Texts, bytes, mappings and what cannot be iterated over go whole to each,
    and so does what is `unmapped`. A future stands for its result, which is waited for. Generators are read no further
    than calls are made; and before each call there is a wait, while very many of those before are under way.

    Args:
        args: What `.map()` was given.
        kwargs: The same, by name.
        what: What the task is called in messages.

    Raises:
        ParameterError: If nothing can be iterated over, or lengths differ. Where a length is only known at its end, it
            is raised there; the calls until then were made.
        NotReadyError: If the run behind a future did not complete.
    """
    given = [*((f"argument {number}", value) for number, value in enumerate(args, 1)), *kwargs.items()]
    columns = {name: _column(value) for name, value in given}
    mapped = {name: column for name, column in columns.items() if column.is_mapped}
    if not mapped:
        raise ParameterError(
            f"{what}.map() got nothing to iterate over; give at least one list, or call the task itself", parameter=""
        )
    lengths = {name: column.length for name, column in mapped.items() if column.length is not None}
    if len(set(lengths.values())) > 1:
        raise _uneven(what, lengths)
    return _rows(columns, len(args), list(kwargs), what)


def _uneven(what: str, lengths: Mapping[str, object]) -> ParameterError:
    shown = ", ".join(f"{name} has {length}" for name, length in lengths.items())
    return ParameterError(
        f"{what}.map() got collections of different lengths ({shown}); wrap what goes whole to each in unmapped()",
        parameter=next(iter(lengths)),
    )


class _Column(NamedTuple):
    """What one argument is in each call.

    Attributes:
        members: One for each call.
        is_mapped: Whether they differ from call to call; else there is no end to them.
        length: How many there are, where that is known.
    """

    members: Iterator[Any]
    is_mapped: bool = True
    length: int | None = None


def _column(value: Any) -> _Column:
    if isinstance(value, EntrepotFuture):
        value.wait()
        value = inputs.upstream_result(value)
    if isinstance(value, Unmapped):
        return _Column(repeat(value.value), is_mapped=False)
    if isinstance(value, AllowFailure):
        inner = _column(value.value)
        return inner._replace(members=map(allow_failure, inner.members))
    if isinstance(value, _WHOLE) or not isinstance(value, Iterable):
        return _Column(repeat(value), is_mapped=False)
    try:
        members = iter(value)
        length = len(value) if isinstance(value, Sized) else None
    except TypeError:  # an array without dimensions says that it can be iterated over
        return _Column(repeat(value), is_mapped=False)
    return _Column(members if length is None else islice(members, length), length=length)


def _rows(
    columns: Mapping[str, _Column], positional: int, names: Sequence[str], what: str
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    members = [column.members for column in columns.values()]
    number = 0
    while True:
        row = [next(each, MISSING) for each in members]
        if any(value is MISSING for value in row):
            _check_ends(columns, row, number, what)
            return
        make_room()
        yield tuple(row[:positional]), dict(zip(names, row[positional:], strict=True))
        del row
        number += 1


def _check_ends(columns: Mapping[str, _Column], row: Sequence[Any], number: int, what: str) -> None:
    """See that all end together that have an end."""
    ends = {
        name: number if value is MISSING else f"more than {number}"
        for (name, column), value in zip(columns.items(), row, strict=True)
        if column.is_mapped
    }
    if len(set(ends.values())) > 1:
        raise _uneven(what, ends)

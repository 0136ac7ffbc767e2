"""One call of a task for each element of its arguments."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from io import IOBase
from typing import Any

from entrepot.annotations import AllowFailure, Unmapped, allow_failure
from entrepot.engine import inputs
from entrepot.errors import ParameterError
from entrepot.futures import EntrepotFuture

__all__ = ["mapped_calls"]

_WHOLE = (str, bytes, bytearray, memoryview, Mapping, IOBase)  # can be iterated over, but are one thing


def mapped_calls(
    args: Sequence[Any], kwargs: Mapping[str, Any], *, what: str
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return the arguments of each call.

    Collections give one element to each call. Texts, bytes, mappings and what cannot be iterated over go whole to each,
    and so does what is `unmapped`. A future stands for its result, which is waited for.

    Args:
        args: What `.map()` was given.
        kwargs: The same, by name.
        what: What the task is called in messages.

    Raises:
        ParameterError: If nothing can be iterated over, or lengths differ.
        NotReadyError: If the run behind a future did not complete.
    """
    given = [*((f"argument {number}", value) for number, value in enumerate(args, 1)), *kwargs.items()]
    columns: list[Sequence[Any] | Unmapped[Any]] = [_column(value) for _, value in given]
    lengths = {name: len(column) for (name, _), column in zip(given, columns, strict=True) if isinstance(column, Sized)}
    if not lengths:
        raise ParameterError(
            f"{what}.map() got nothing to iterate over; give at least one list, or call the task itself", parameter=""
        )
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ParameterError(
            f"{what}.map() got collections of different lengths ({shown}); wrap what goes whole to each in unmapped()",
            parameter=next(iter(lengths)),
        )
    return _rows(columns, len(args), list(kwargs), next(iter(lengths.values())))


def _column(value: Any) -> Sequence[Any] | Unmapped[Any]:
    if isinstance(value, EntrepotFuture):
        value.wait()
        value = inputs.upstream_result(value)
    if isinstance(value, Unmapped):
        return value
    if isinstance(value, AllowFailure):
        inner = _column(value.value)
        return Unmapped(value) if isinstance(inner, Unmapped) else [allow_failure(member) for member in inner]
    if isinstance(value, _WHOLE) or not isinstance(value, Iterable):
        return Unmapped(value)
    try:
        return value if isinstance(value, Sequence) else list(value)
    except TypeError:  # an array without dimensions says that it can be iterated over
        return Unmapped(value)


def _rows(
    columns: Sequence[Sequence[Any] | Unmapped[Any]], positional: int, names: Sequence[str], length: int
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    for number in range(length):
        row = [column.value if isinstance(column, Unmapped) else column[number] for column in columns]
        yield tuple(row[:positional]), dict(zip(names, row[positional:], strict=True))

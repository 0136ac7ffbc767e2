"""Paths that are given where a task asks for a `File` or a `Dir`: they become one, so that their content counts.

    @task(cache_policy=INPUTS)
    def total(prices: File) -> float: ...

    total("prices.csv")         as total(File("prices.csv"))

A key that saw only the path would be the same whatever the file holds. Nothing else of a task's annotations is looked
at: what does not fit them is the function's own business, as in any call.
"""

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from entrepot.engine.validation import meaning_of
from entrepot.errors import ParameterError

__all__ = ["References", "asks_for_references"]

_UNIONS: Final = (typing.Union, types.UnionType)
_LISTS: Final = (list, tuple, set, frozenset)


def asks_for_references(signature: inspect.Signature) -> bool:
    """Return whether an annotation may speak of a `File` or a `Dir`; what is named in texts is not looked up yet."""
    return any(
        "File" in (text := str(parameter.annotation)) or "Dir" in text for parameter in signature.parameters.values()
    )


class References:
    """Makes files and folders of paths, in the parameters of one task.

    Args:
        fn: The task's function.
        signature: Of it.
        what: What the task is called in messages.
    """

    __slots__ = ("_annotations", "_fn", "_signature", "_what")

    def __init__(self, fn: Callable[..., Any], signature: inspect.Signature, what: str) -> None:
        self._fn = fn
        self._signature = signature
        self._what = what
        self._annotations: dict[str, Any] | None = None

    def validated(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters, with a `File` or `Dir` for each text or path that stands where one is asked for.

        Raises:
            ParameterError: If such a text is empty.
        """
        if self._annotations is None:
            self._annotations = {
                name: meaning_of(self._fn, name, parameter.annotation, what=self._what)
                for name, parameter in self._signature.parameters.items()
            }
        made = dict(parameters)
        for name, annotation in self._annotations.items():
            kind = self._signature.parameters[name].kind
            try:
                if kind is inspect.Parameter.VAR_POSITIONAL:
                    made[name] = tuple(_made(annotation, item) for item in parameters[name])
                elif kind is inspect.Parameter.VAR_KEYWORD:
                    made[name] = {key: _made(annotation, item) for key, item in parameters[name].items()}
                else:
                    made[name] = _made(annotation, parameters[name])
            except _EmptyPathError:
                raise ParameterError(
                    f"{self._what} was called with an empty text for {name!r}, which asks for the path of a file or"
                    " folder",
                    parameter=name,
                ) from None
        return made

    def doubtful(self, parameters: Mapping[str, Any]) -> list[str]:  # noqa: ARG002  as that of flows
        """Return nothing: no value is doubted here."""
        return []


class _EmptyPathError(Exception):
    """An empty text stands where a path is asked for."""


def _made(annotation: Any, value: Any) -> Any:
    """Return a value with references in the place of paths; itself where there is nothing to make."""
    from entrepot.hashing.files import Dir, File  # noqa: PLC0415  there already, where somebody asks for one

    if annotation is File or annotation is Dir:
        if isinstance(value, str) and not value:
            raise _EmptyPathError
        return annotation(Path(value)) if isinstance(value, str | Path) else value
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _made(members[0], value)
    if origin in _UNIONS:
        if any(isinstance(member, type) and isinstance(value, member) for member in members):
            return value  # what may be a text as well stays one
        return next((made for member in members if (made := _made(member, value)) is not value), value)
    if members and isinstance(origin, type) and issubclass(type(value), origin):
        return _made_inside(members, value)
    return value


def _made_inside(members: Sequence[Any], value: Any) -> Any:
    """Return a list, tuple, set or dict of exactly such a class with references in it; itself if there are none."""
    made: Any
    if type(value) is dict and len(members) == 2:  # noqa: PLR2004  keys and values
        made = {key: _made(members[1], item) for key, item in value.items()}
        return made if any(made[key] is not item for key, item in value.items()) else value
    if type(value) not in _LISTS:
        return value
    items = list(value)
    is_row = type(value) is tuple and Ellipsis not in members and len(members) == len(items)  # a type for each
    kinds = members if is_row else [members[0]] * len(items)
    made = [_made(member, item) for member, item in zip(kinds, items, strict=True)]
    return type(value)(made) if any(one is not item for one, item in zip(made, items, strict=True)) else value

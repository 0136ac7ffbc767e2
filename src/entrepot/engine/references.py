"""Paths that are given where a task asks for a `File` or a `Dir`: they become one, so that their content counts.

    @task(cache_policy=INPUTS)
    def total(prices: File) -> float: ...

    total("prices.csv")         as total(File("prices.csv"))

A key that saw only the path would be the same whatever the file holds. Nothing else of a task's annotations is looked
at: what does not fit them is the function's own business, as in any call.
"""

import builtins
import inspect
import re
import types
import typing
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from entrepot.engine.validation import meaning_of
from entrepot.errors import ParameterError

__all__ = ["References", "asks_for_references"]

_UNIONS: Final = (typing.Union, types.UnionType)
_LISTS: Final = (list, tuple, set, frozenset, deque)
_DICTS: Final = (dict, OrderedDict, defaultdict)
_NAME: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def asks_for_references(fn: Callable[..., Any], signature: inspect.Signature) -> bool:
    """Return whether an annotation may speak of a `File` or a `Dir`.

    What is named in texts is looked up as far as it is there already: a row or an alias stands before the task.
    """
    names = getattr(inspect.unwrap(fn), "__globals__", {})
    return any(_may_ask(parameter.annotation, names, set()) for parameter in signature.parameters.values())


def _may_ask(annotation: Any, names: Mapping[str, Any], seen: set[Any]) -> bool:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__forward_arg__", None)
    shown = str(annotation) if text is None else text
    if "File" in shown or "Dir" in shown:
        return True
    key = id(annotation) if text is None else text
    if key in seen or (isinstance(annotation, type) and annotation.__module__ == "builtins"):
        return False
    seen.add(key)
    return any(_may_ask(one, names, seen) for one in (_below(annotation) if text is None else _named(text, names)))


def _below(annotation: Any) -> Iterator[Any]:
    """Yield the annotations inside of one."""
    yield from typing.get_args(annotation)
    if (inner := _unwrapped(annotation)) is not annotation:
        yield inner
    if _has_fields(annotation):
        yield from _fields_of(annotation).values()


def _named(text: str, names: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what the names in a text stand for, as far as they stand for anything yet."""
    for path in _NAME.findall(text):
        first, *rest = path.split(".")
        found = names.get(first, getattr(builtins, first, None))
        for name in rest:
            found = vars(found).get(name) if isinstance(found, types.ModuleType | type) else None
        if found is not None:
            yield found


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

    annotation = _unwrapped(annotation)
    if annotation is File or annotation is Dir:
        if isinstance(value, str) and not value:
            raise _EmptyPathError
        return annotation(Path(value)) if isinstance(value, str | Path) else value
    if _has_fields(annotation):
        return _made_row(annotation, value)
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in _UNIONS:
        return _made_of_one(members, value)
    if members and isinstance(origin, type) and issubclass(type(value), origin):
        return _made_inside(members, value)
    return value


def _unwrapped(annotation: Any) -> Any:
    """Return what a NewType, the name of a `type` statement, or an annotation with notes stands for."""
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            inner = typing.get_args(annotation)[0]
        else:
            inner = getattr(annotation, "__supertype__", None) or getattr(annotation, "__value__", None)
        if inner is None:
            return annotation
        annotation = inner


def _made_of_one(members: Sequence[Any], value: Any) -> Any:
    if any(isinstance(member, type) and not _has_fields(member) and isinstance(value, member) for member in members):
        return value  # what may be a text as well stays one
    return next((made for member in members if (made := _made(member, value)) is not value), value)


def _made_inside(members: Sequence[Any], value: Any) -> Any:
    """Return a collection of exactly a known class with references in it; itself if there are none."""
    if type(value) in _DICTS and len(members) == 2:  # noqa: PLR2004  keys and values
        items = [(_made(members[0], key), _made(members[1], item)) for key, item in value.items()]
        if all(one is key and two is value[key] for (one, two), key in zip(items, value, strict=True)):
            return value
        return defaultdict(value.default_factory, items) if type(value) is defaultdict else type(value)(items)
    if type(value) not in _LISTS:
        return value
    items = list(value)
    is_row = type(value) is tuple and Ellipsis not in members and len(members) == len(items)  # a type for each
    kinds = members if is_row else [members[0]] * len(items)
    made = [_made(member, item) for member, item in zip(kinds, items, strict=True)]
    if all(one is item for one, item in zip(made, items, strict=True)):
        return value
    return deque(made, value.maxlen) if type(value) is deque else type(value)(made)


def _has_fields(annotation: Any) -> bool:
    """Tell whether this is a named tuple, or the type of a dict with given keys."""
    return typing.is_typeddict(annotation) or (
        isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields")
    )


@lru_cache(maxsize=256)
def _fields_of(row: Hashable) -> Mapping[str, Any]:
    """Return the annotations of the fields of a named tuple or typed dict; none where they cannot be had."""
    try:
        return typing.get_type_hints(row)
    except Exception:  # noqa: BLE001  whatever an annotation does when it is evaluated
        return {}


def _made_row(row: Any, value: Any) -> Any:
    """Return a named tuple or dict with references in its fields; itself if there are none."""
    fields = _fields_of(row)
    if type(value) is dict and typing.is_typeddict(row):
        made = {key: _made(fields.get(key, Any), item) for key, item in value.items()}
        return made if any(made[key] is not item for key, item in value.items()) else value
    if type(value) is not row:
        return value
    items = [_made(fields.get(name, Any), item) for name, item in zip(row._fields, value, strict=True)]
    return tuple.__new__(row, items) if any(one is not item for one, item in zip(items, value, strict=True)) else value

"""Parameters of flows against their annotations: quick where a value fits as it is, by pydantic where it does not."""

import inspect
import logging
import types
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from entrepot._sentinels import MISSING
from entrepot.errors import ParameterError

if TYPE_CHECKING:
    from entrepot.engine.adapters import Adapter

__all__ = ["Validator", "meaning_of"]

_log = logging.getLogger("entrepot.flows")

_EXACT = frozenset(
    {
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        bytearray,
        list,
        dict,
        tuple,
        set,
        frozenset,
        date,
        datetime,
        time,
        timedelta,
    }
)
_COLLECTIONS = frozenset({list, set, frozenset})
_ONCE = frozenset({Iterable, Iterator, Generator, AsyncIterable, AsyncIterator, AsyncGenerator})
_ANYTHING = frozenset({Any, object, inspect.Parameter.empty})


class Validator:
    """Validates and coerces the parameters of one flow.

    Annotations are looked at when the flow is first called, since they may name what is defined later.

    Args:
        fn: The flow's function.
        signature: Of it.
        what: What the flow is called in messages.
    """

    __slots__ = ("_adapters", "_annotations", "_fn", "_signature", "_what")

    def __init__(self, fn: Callable[..., Any], signature: inspect.Signature, what: str) -> None:
        self._fn = fn
        self._signature = signature
        self._what = what
        self._annotations: dict[str, Any] | None = None
        self._adapters: dict[str, Adapter | None] = {}

    def validated(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters, each as its annotation wants it.

        A value that is its parameter's default is not looked at: `date: str = None` accepts None.

        Raises:
            ParameterError: If some cannot be that; the message names each, and shows no value.
        """
        if self._annotations is None:
            self._annotations = self._resolve()
        validated = dict(parameters)
        troubles: dict[str, str] = {}
        for name, annotation in self._annotations.items():
            value = parameters[name]
            if self._is_fine(name, annotation, value):
                continue
            adapter = self._adapter(name, annotation)
            if adapter is None:
                continue
            validated[name], trouble = adapter.validated(value)
            if trouble:
                troubles[name] = trouble
        if troubles:
            raise ParameterError(
                f"{self._what} was called with parameters that do not fit their annotations:"
                f" {'; '.join(f'{name}: {trouble}' for name, trouble in troubles.items())}",
                parameter=next(iter(troubles)),
            )
        return validated

    def doubtful(self, parameters: Mapping[str, Any]) -> list[str]:
        """Return the names of the parameters that only pydantic could tell to be what their annotations want."""
        known = self._annotations or {}
        return [name for name, annotation in known.items() if not self._is_fine(name, annotation, parameters[name])]

    def _is_fine(self, name: str, annotation: Any, value: Any) -> bool:
        return value is self._signature.parameters[name].default or _fits(annotation, value)

    def _adapter(self, name: str, annotation: Any) -> "Adapter | None":
        known = self._adapters.get(name, MISSING)
        if known is not MISSING:
            return known
        from entrepot.engine.adapters import adapter_for  # noqa: PLC0415  the lazy seam: it loads pydantic

        made = adapter_for(annotation)
        if made is None:
            _log.debug("%s: no value can be validated against the annotation of %r", self._what, name)
        self._adapters[name] = made
        return made

    def _resolve(self) -> dict[str, Any]:
        """Return the annotations that say something, by parameter; what is named in texts is looked up."""
        annotations = {}
        for name, parameter in self._signature.parameters.items():
            annotation = self._meaning(name, parameter.annotation)
            if _says_something(annotation):
                if parameter.kind is parameter.VAR_POSITIONAL:
                    annotation = tuple.__class_getitem__((annotation, ...))
                elif parameter.kind is parameter.VAR_KEYWORD:
                    annotation = dict.__class_getitem__((str, annotation))
                annotations[name] = annotation
        return annotations

    def _meaning(self, name: str, annotation: Any) -> Any:
        meaning = meaning_of(self._fn, name, annotation, what=self._what)
        # Pydantic would put an iterator of its own in the place of a list that was given for an `Iterable[int]`.
        return Any if typing.get_origin(meaning) in _ONCE else meaning


def meaning_of(fn: Callable[..., Any], name: str, annotation: Any, *, what: str) -> Any:
    """Return an annotation with what is named in texts looked up; `Any` where that cannot be.

    Args:
        fn: Whose annotation it is.
        name: Of the parameter.
        annotation: As it stands there.
        what: What `fn` is called in the log.
    """
    if annotation is inspect.Parameter.empty or (isinstance(annotation, type) and not hasattr(annotation, "__args__")):
        return annotation

    def holder() -> None:  # what `get_type_hints` wants to see
        pass

    holder.__annotations__ = {name: annotation}
    names = _names_around(fn)
    try:
        return typing.get_type_hints(holder, names, names, include_extras=True)[name]
    except Exception as error:  # noqa: BLE001  whatever an annotation does when it is evaluated
        _log.debug("%s: the annotation of %r is not understood (%s); it is not validated", what, name, error)
        return Any


def _names_around(fn: Any) -> dict[str, Any]:
    """Return what names mean where a function was written: its globals, and its closure over them."""
    while not hasattr(fn, "__globals__"):
        inner = getattr(fn, "func", None) or getattr(fn, "__func__", None)  # a partial; a bound method
        if inner is None:
            return {}
        fn = inner
    fn = inspect.unwrap(fn)
    names = dict(fn.__globals__)
    for free, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            names[free] = cell.cell_contents
        except ValueError:
            continue  # not assigned yet
    return names


def _says_something(annotation: Any) -> bool:
    try:
        return annotation not in _ANYTHING | _ONCE
    except TypeError:  # Annotated[..., something that cannot be hashed]
        return True


def _fits(annotation: Any, value: Any) -> bool:
    """Return whether a value surely is what an annotation wants, so that pydantic would give it back as it is."""
    kind = type(value)
    if annotation is kind:
        return kind in _EXACT
    if annotation is Any or annotation is object or (value is None and annotation in (None, type(None))):
        return True
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Union or origin is types.UnionType:
        return any(_fits(member, value) for member in members)
    if origin is not kind:  # also `Annotated`: what it adds is pydantic's to say
        return False
    if kind is dict:
        return len(members) == 2 and _all_fit(members[0], value.keys()) and _all_fit(members[1], value.values())  # noqa: PLR2004  keys and values
    return kind in _COLLECTIONS and len(members) == 1 and _all_fit(members[0], value)


def _all_fit(wanted: Any, members: Collection[Any]) -> bool:
    if isinstance(wanted, type) and wanted in _EXACT:
        return set(map(type, members)) <= {wanted}
    return all(_fits(wanted, member) for member in members)

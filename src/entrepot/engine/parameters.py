"""Arguments and parameters: which is which, and what is wrong where they do not fit."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from entrepot.errors import ParameterError

__all__ = ["Binder", "copied"]

_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_FIXED = frozenset({type(None), bool, int, float, complex, str, bytes})  # nobody can change one of these
_COPIED = frozenset({list, tuple, set, frozenset, dict})
_MOST = 1000  # values in the collections of a call that is copied
_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Binder:
    """The signature of a function, made quick to bind.

    Args:
        fn: The function.
        what: What it is called in messages: `task 'extract'`.

    Attributes:
        signature: The whole of it.
        secrets: The names of parameters whose annotations speak of secrets.
    """

    __slots__ = ("_defaults", "_fn", "_known", "_positional", "_simple", "_what", "secrets", "signature")

    def __init__(self, fn: Callable[..., Any], what: str) -> None:
        self._fn = fn
        self._what = what
        self.signature = _signature(fn)
        parameters = self.signature.parameters.values()
        self._simple = all(parameter.kind in (_POSITIONAL, _KEYWORD) for parameter in parameters)
        self._positional = tuple(parameter.name for parameter in parameters if parameter.kind is _POSITIONAL)
        self._known = frozenset(self.signature.parameters)
        self.secrets = frozenset(
            parameter.name
            for parameter in parameters
            if parameter.annotation is not parameter.empty and "Secret" in str(parameter.annotation)
        )
        self._defaults = {
            parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty
        }

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters by name, defaults included.

        Raises:
            ParameterError: If the arguments do not fit; the message lists what is missing, unknown or too much.
        """
        positional = self._positional
        if self._simple and len(args) <= len(positional):  # `Signature.bind` costs several times as much
            parameters = dict(zip(positional, args, strict=False))
            if kwargs:
                known = self._known
                for name in kwargs:
                    if name in parameters or name not in known:
                        self._refuse(args, kwargs)
                parameters.update(kwargs)
            if len(parameters) < len(self._known):
                for name, default in self._defaults.items():
                    parameters.setdefault(name, default)
                if len(parameters) < len(self._known):
                    self._refuse(args, kwargs)
            return parameters
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError:
            bound = None
        if bound is None:  # outside the handler: our error says all that Python's does
            self._refuse(args, kwargs)
            raise ParameterError(f"{self._what} cannot be called like this; see its signature", parameter="")
        bound.apply_defaults()
        return dict(bound.arguments)

    def call(self, parameters: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Return the arguments that bind to these parameters."""
        if self._simple:
            return (), parameters
        bound = inspect.BoundArguments(self.signature, dict(parameters))
        return bound.args, bound.kwargs

    def _refuse(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise what is wrong with these arguments; return if it is nothing that we know."""
        parameters = self.signature.parameters.values()
        positional = [p.name for p in parameters if p.kind in (_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY)]
        by_name = {p.name for p in parameters if p.kind in (_POSITIONAL, _KEYWORD)}
        starred = {p.kind for p in parameters if p.kind in _STARRED}
        given = set(positional[: len(args)])
        troubles = []
        missing = [
            p.name
            for p in parameters
            if p.kind not in _STARRED
            and p.default is p.empty
            and p.name not in given
            and (p.name not in kwargs or p.name not in by_name)
        ]
        if missing:
            troubles.append("missing: " + ", ".join(missing))
        unknown = [name for name in kwargs if name not in by_name]
        if unknown and inspect.Parameter.VAR_KEYWORD not in starred:
            troubles.append("unknown: " + ", ".join(f"{name}{self._nearest(name)}" for name in unknown))
        twice = sorted(given & kwargs.keys() & by_name)
        if twice:
            troubles.append("given twice: " + ", ".join(twice))
        if len(args) > len(positional) and inspect.Parameter.VAR_POSITIONAL not in starred:
            troubles.append(f"{len(args)} positional arguments for {len(positional)}")
        if troubles:
            takes = ", ".join(_shown(parameter) for parameter in parameters) or "nothing"
            raise ParameterError(
                f"{self._what} cannot be called like this ({'; '.join(troubles)}); it takes: {takes}",
                parameter=(missing + unknown + twice + [""])[0],
            )

    def _nearest(self, name: str) -> str:
        from difflib import get_close_matches  # noqa: PLC0415  only a mistake pays for it

        found = get_close_matches(name, self._known, n=1)
        return f" (did you mean {found[0]!r}?)" if found else ""


def copied(parameters: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return parameters as they are now, whatever becomes of them; None where a quick copy cannot be made.

    It can of texts, numbers and the like, and of lists, tuples, sets and dicts of them, up to 1,000 values in all.
    """
    if all(type(value) in _FIXED for value in parameters.values()):
        return parameters
    left = _MOST

    def copy(value: Any) -> Any:
        nonlocal left
        kind = type(value)
        if kind in _FIXED:
            return value
        left -= len(value) if kind in _COPIED else left + 1
        if left < 0:
            raise ValueError
        if kind is dict:
            return {copy(key): copy(member) for key, member in value.items()}
        return kind(map(copy, value))

    try:
        return {name: copy(value) for name, value in parameters.items()}
    except (ValueError, RecursionError):  # too much, something else, or something that holds itself
        return None


def _signature(fn: Callable[..., Any]) -> inspect.Signature:
    """Return the signature; one that takes anything for a built-in that has none."""
    try:
        if sys.version_info >= (3, 14):
            from annotationlib import Format  # noqa: PLC0415  new in Python 3.14

            # Annotations may name what is defined later, or only for type checkers.
            return inspect.signature(fn, annotation_format=Format.FORWARDREF)
        return inspect.signature(fn)
    except ValueError:
        return inspect.Signature(
            [
                inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
                inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
            ]
        )


def _shown(parameter: inspect.Parameter) -> str:
    """Return a parameter as a caller sees it; not its default, which may be long or secret."""
    stars = ""
    if parameter.kind in _STARRED:
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
    return f"{stars}{parameter.name}{'' if parameter.default is parameter.empty else '=...'}"

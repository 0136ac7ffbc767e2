"""Before the work: does the annotation of a return value already show that no store could keep it?

Only what is certain is said. An annotation that could be met by a value that can be kept says nothing, and so does one
that cannot be read.
"""

import copyreg
import inspect
import types
import typing
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from entrepot.engine.definition import Definition
from entrepot.errors import SerializationError
from entrepot.protocols.serializer import Serializer
from entrepot.serializers import COMPRESSED, is_allowed

__all__ = ["check_return"]

_PROCESS: Final = "it belongs to this process; return what you made with it"
_FILE: Final = "an open file belongs to this process; return what you read from it, or its path"
_RUNNING: Final = "it is code that is still to run; return what it gives, a list for instance"

_UNKEPT: Final[Mapping[str, str]] = {
    "_thread.lock": _PROCESS,
    "_thread.allocate_lock": _PROCESS,  # what `threading.Lock` is up to Python 3.12
    "_thread.RLock": _PROCESS,
    "threading.RLock": _PROCESS,
    "threading.Condition": _PROCESS,
    "threading.Semaphore": _PROCESS,
    "threading.BoundedSemaphore": _PROCESS,
    "threading.Event": _PROCESS,
    "threading.Barrier": _PROCESS,
    "threading.Thread": _PROCESS,
    "socket.socket": "a connection belongs to this process; return what you received through it",
    "_io.TextIOWrapper": _FILE,
    "_io.BufferedReader": _FILE,
    "_io.BufferedWriter": _FILE,
    "_io.BufferedRandom": _FILE,
    "_io.FileIO": _FILE,
    "memoryview": "it shows memory of this process; make it bytes",
    "frame": _PROCESS,
    "traceback": _PROCESS,
    "generator": _RUNNING,
    "async_generator": _RUNNING,
    "collections.abc.Generator": _RUNNING,
    "collections.abc.AsyncGenerator": _RUNNING,
}
"""What neither pickle nor any other of our serializers writes, by name: nothing is imported to look for it."""

_OURS: Final = frozenset({"auto", "json", "pickle"})
_fine: Final[weakref.WeakKeyDictionary[Callable[..., Any], set[tuple[str, frozenset[str] | None]]]] = (
    weakref.WeakKeyDictionary()
)


def check_return(definition: Definition, serializer: Serializer, allow: frozenset[str] | None) -> None:
    """See that what a run is annotated to return can be kept at all. That it can is remembered with its function.

    Args:
        definition: Of the run.
        serializer: What is to write its result.
        allow: The serializers that its store allows; None for all.

    Raises:
        SerializationError: If it is certain that it cannot.
    """
    fn, name = definition.fn, serializer.name.removeprefix(COMPRESSED)
    try:
        fine = _fine.setdefault(fn, set())
    except TypeError:  # a callable that cannot be remembered
        fine = set()
    if (name, allow) in fine:
        return
    if problem := _problem(fn, name, allow):
        raise SerializationError(
            f"{definition.label} returns a {problem}, or do not keep this result (persist_result=False); nothing was"
            " run",
            serializer=name,
            path="value",
        )
    fine.add((name, allow))


def _problem(fn: Callable[..., Any], name: str, allow: frozenset[str] | None) -> str:
    if name not in _OURS or (name == "auto" and _has_own_serializers()):
        return ""  # what another's writes, only a value shows
    left_to_pickle: Callable[[type], bool] | None = None
    if name == "json":
        left_to_pickle = partial(_is_left_to_pickle, allow=frozenset({"json"}))
    elif name == "auto" and not is_allowed("pickle", allow):
        left_to_pickle = partial(_is_left_to_pickle, allow=allow)
    found = _unkept(_return_annotation(fn), left_to_pickle)
    return "" if found is None else f"{found[0]}, as its annotation says, and that cannot be kept: {found[1]}"


def _has_own_serializers() -> bool:
    from entrepot.serializers.auto import own_serializers  # noqa: PLC0415  it is there already where it is in use

    return any(True for _ in own_serializers())


def _is_left_to_pickle(cls: type, allow: frozenset[str] | None) -> bool:
    from entrepot.serializers.keepable import is_left_to_pickle  # noqa: PLC0415  it loads what JSON needs

    return is_left_to_pickle(cls, allow)


def _return_annotation(fn: Callable[..., Any]) -> Any:
    """Return the annotation; `Any` where there is none, or it cannot be read."""
    while isinstance(fn, partial):
        fn = fn.func
    fn = inspect.unwrap(fn)
    annotation = getattr(fn, "__annotations__", {}).get("return", Any)
    if isinstance(annotation, str):
        holder = types.SimpleNamespace(__annotations__={"return": annotation})
        names = getattr(fn, "__globals__", {})
        with suppress(Exception):  # a name that only type checkers see, say
            return typing.get_type_hints(holder, names, include_extras=True)["return"]
        return Any
    return annotation


def _unkept(annotation: Any, left_to_pickle: Callable[[type], bool] | None) -> tuple[str, str] | None:
    """Return what cannot be kept, and why; None if something that meets the annotation can."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _unkept(arguments[0], left_to_pickle)
    if origin in {typing.Union, types.UnionType}:
        found = [_unkept(member, left_to_pickle) for member in arguments]
        return None if None in found else found[0]
    if origin is tuple and arguments and Ellipsis not in arguments:  # all of its members are there
        return next(filter(None, (_unkept(member, left_to_pickle) for member in arguments)), None)
    return _unkept_class(annotation if origin is None else origin, left_to_pickle)


def _unkept_class(cls: Any, left_to_pickle: Callable[[type], bool] | None) -> tuple[str, str] | None:
    why = _UNKEPT.get(_shown(cls))
    if why is not None and cls not in copyreg.dispatch_table:
        return _shown(cls), why
    if not isinstance(cls, type):
        return None
    if hasattr(cls, "get_secret_value"):
        return _shown(cls), "secrets are never written into results; return what the secret was used for"
    if left_to_pickle is not None and _is_concrete(cls) and left_to_pickle(cls):
        return _shown(cls), "only pickle could write it, which is not allowed here; return plain data"
    return None


def _is_concrete(cls: type) -> bool:
    """Return whether an annotation with this class speaks of its instances, not of a role that others play.

    A run that returns a future or a state of ours ends with what that gives.
    """
    if cls is object or getattr(cls, "_is_protocol", False) or typing.is_typeddict(cls):
        return False
    return not inspect.isabstract(cls) and cls.__module__.partition(".")[0] not in {"entrepot", "typing"}


def _shown(cls: Any) -> str:
    """Return the full name of a class or function; nothing for anything else."""
    name, module = getattr(cls, "__qualname__", None), getattr(cls, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str):
        return ""
    return name if module == "builtins" else f"{module}.{name}"

"""How to write what can be called besides plain functions: methods, built-in functions, wrappers, tasks and flows."""

import sys
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any, Final

from entrepot._sentinels import MISSING
from entrepot.hashing._bytes import text
from entrepot.hashing._encoder import Encoder, Refused
from entrepot.hashing._labels import function_label, is_runnable, module_label, with_article
from entrepot.hashing._origins import origin_of
from entrepot.hashing._plan import OF_WRAPPERS

if TYPE_CHECKING:
    from entrepot.hashing._walker import CodeWalker

__all__ = ["callable_form", "is_at_its_name", "is_pythons_own", "library_closure"]

_PLAIN: Final = frozenset({int, float, str, bytes, bool, complex, type(None)})


def callable_form(walker: "CodeWalker", value: Any) -> bytes:
    """Return the form of a callable that is neither a plain function nor a class."""
    write = _FORMS.get(type(value).__name__) or (_of_engine if is_runnable(type(value)) else _of_library)
    return walker.container(value, lambda _, it: write(walker, it))


def library_closure(encoder: Encoder, fn: Any) -> bytes:
    """Return the form of a function that a library made for us: a decorator's wrapper, say."""
    name = text(function_label(fn.__code__, fn.__globals__.get("__name__", "")))
    registry = getattr(fn, "registry", None)
    if registry is not None and fn.__code__.co_qualname.startswith("singledispatch."):
        return encoder.named("library", name, encoder.encode(dict(registry)))
    parts = [encoder.part(".__defaults__", (fn.__defaults__, fn.__kwdefaults__))]
    marks = {name: value for name, value in vars(fn).items() if type(value) in _PLAIN}  # what the user put on it
    if marks:
        parts.append(encoder.encode(marks))
    for variable, cell in zip(fn.__code__.co_freevars, fn.__closure__, strict=True):
        try:
            content = cell.cell_contents
        except ValueError:  # not assigned yet
            content = MISSING
        parts += [text(variable), encoder.part(f".{variable}", content)]
    return encoder.named("library", name, *parts)


def is_at_its_name(value: Any) -> bool:
    """Tell whether something is what a library's module has under its name: then it is the library's own."""
    module, path = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    found: Any = sys.modules.get(module) if isinstance(module, str) else None
    if found is None or not isinstance(path, str) or origin_of(str(module)).kind == "project":
        return False
    for name in path.split("."):
        found = getattr(found, name, None)
    return found is value


def is_pythons_own(name: str, value: Any) -> bool:
    """Tell whether a built-in name stands for what Python put there."""
    if isinstance(value, type):
        return value.__module__ == "builtins"
    if isinstance(value, BuiltinFunctionType):
        return value.__module__ in {"builtins", "_io", "io"} and value.__name__ == name
    return (
        any(value is constant for constant in (None, True, False, ..., NotImplemented))
        or name.startswith("__")
        or type(value).__module__ == "_sitebuiltins"  # quit, help
    )


def _of_engine(walker: "CodeWalker", value: Any) -> bytes:
    """Write a task or a flow: by its function, or by the version that its author gave it.

    A class of the user's that wraps a function says the same with a method `__entrepot_code__`, which returns the
    function, or a pair of the function and a dict of what else counts (a "version" among it stands for the function).
    """
    answer = (
        value.__entrepot_code__() if hasattr(value, "__entrepot_code__") else (value.fn, {"version": value.version})
    )
    fn: Any
    options: Mapping[str, Any]
    fn, options = answer if isinstance(answer, tuple) else (answer, {})
    if options.get("version") is None:
        code = walker.encode(fn)
    else:
        module = module_label(str(getattr(fn, "__module__", "")))
        code = text(f"{module}:{getattr(fn, '__qualname__', type(fn).__qualname__)}")
    return walker.named("engine", text(type(value).__name__), code, walker.encode(dict(options)))


def _of_library(walker: "CodeWalker", value: Any) -> bytes:
    """Write an object that a library offers as if it were a function of its own, like `numpy.sum`."""
    if not is_at_its_name(value):
        raise Refused(with_article(type(value)), "which has no stable identity")
    walker.library(origin_of(value.__module__))
    return walker.named("library", text(f"{value.__module__}:{value.__qualname__}"))


def _method(walker: "CodeWalker", value: Any) -> bytes:
    return walker.named("method", walker.encode(value.__func__), walker.part(".__self__", value.__self__))


def _builtin(walker: "CodeWalker", value: Any) -> bytes:
    owner = value.__self__
    if owner is None or type(owner).__name__ == "module":
        module = str(getattr(value, "__module__", None) or getattr(owner, "__name__", "builtins"))
        walker.library(origin_of(module))
        return walker.named("builtin", text(f"{module}:{value.__qualname__}"))
    # A method of an object: what `index.get` does depends on the object.
    return walker.named("builtin method", text(value.__name__), walker.encode(owner))


def _descriptor(walker: "CodeWalker", value: Any) -> bytes:
    return walker.named("descriptor", walker.encode(value.__objclass__), text(value.__name__))


def _wrapped(walker: "CodeWalker", value: Any) -> bytes:
    return walker.named(type(value).__name__, walker.encode(value.__func__))


def _property(walker: "CodeWalker", value: Any) -> bytes:
    return walker.named("property", walker.encode((value.fget, value.fset, value.fdel)))


def _cached_property(walker: "CodeWalker", value: Any) -> bytes:
    return walker.named("cached_property", walker.encode(value.func))


def _dispatched(walker: "CodeWalker", value: Any) -> bytes:
    return walker.named("singledispatchmethod", walker.encode(value.func), walker.encode(value.dispatcher))


def _lru_cache(walker: "CodeWalker", value: Any) -> bytes:
    parts = [walker.encode(value.__wrapped__), walker.encode(value.cache_parameters())]
    marks = {name: mark for name, mark in vars(value).items() if type(mark) in _PLAIN and name not in OF_WRAPPERS}
    if marks:
        parts.append(walker.encode(marks))
    return walker.named("lru_cache", *parts)


def _tuple_getter(walker: "CodeWalker", value: Any) -> bytes:
    return walker.named("field", walker.encode(value.__reduce__()[1][0]))


def _ufunc(walker: "CodeWalker", value: Any) -> bytes:
    name: str = value.__name__
    for module in ("numpy", "scipy.special"):  # the packages that offer ufuncs
        if getattr(sys.modules.get(module), name, None) is value:
            walker.library(origin_of(module))
            return walker.named("numpy.ufunc", text(f"{module}:{name}"))
    raise Refused("a numpy.ufunc", "which was made from a Python function that it does not show")


_FORMS: Final[dict[str, "Callable[[CodeWalker, Any], bytes]"]] = {
    "builtin_function_or_method": _builtin,
    "cached_property": _cached_property,
    "classmethod": _wrapped,
    "classmethod_descriptor": _descriptor,
    "_lru_cache_wrapper": _lru_cache,
    "method": _method,
    "method-wrapper": _builtin,
    "method_descriptor": _descriptor,
    "property": _property,
    "singledispatchmethod": _dispatched,
    "staticmethod": _wrapped,
    "_tuplegetter": _tuple_getter,
    "ufunc": _ufunc,
    "wrapper_descriptor": _descriptor,
}

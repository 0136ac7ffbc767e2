"""How to write a value that is no plain data: who knows its type, or why nobody may.

Asked in this order: what this program registered (`@hasher`) and what the class says itself (`__entrepot_key__`), the
nearest base first; the standard library's types; code; the libraries whose types have a module of their own here;
classes that say what makes two instances equal; the hashers of installed packages. The rest is refused. Nothing is
imported to find out, but for the last: a type can only be met when its library is loaded.
"""

import io
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from entrepot.hashing._callables import is_at_its_name
from entrepot.hashing._encoder import Encoder, Encoding, Refused
from entrepot.hashing._labels import is_runnable, with_article
from entrepot.hashing._objects import object_encoding
from entrepot.hashing._stdlib import STANDARD
from entrepot.hashing._typing import typing_encoding
from entrepot.hashing.hashers import FOUND, hasher_encoding, installed_hasher, registered_hasher

__all__ = ["find_encoding"]

_LIBRARIES: Final = {
    "PIL": "entrepot.hashing._images",
    "dateutil": "entrepot.hashing._zones",
    "entrepot": "entrepot.hashing.files",
    "numpy": "entrepot.hashing._arrays",
    "pandas": "entrepot.hashing._frames",
    "polars": "entrepot.hashing._polars",
    "pyarrow": "entrepot.hashing._arrow",
    "pydantic": "entrepot.hashing._models",
    "pydantic_core": "entrepot.hashing._models",
    "pytz": "entrepot.hashing._zones",
    "scipy": "entrepot.hashing._sparse",
    "torch": "entrepot.hashing._tensors",
}
_CODE: Final = {
    "builtins.function",
    "builtins.builtin_function_or_method",
    "builtins.method",
    "builtins.method_descriptor",
    "builtins.classmethod_descriptor",
    "builtins.wrapper_descriptor",
    "builtins.method-wrapper",
    "builtins.module",
    "builtins.staticmethod",
    "builtins.classmethod",
    "builtins.property",
    "functools._lru_cache_wrapper",
    "functools.cached_property",
    "functools.singledispatchmethod",
    "_collections._tuplegetter",
    "collections._tuplegetter",  # its name on later Pythons
    "numpy.ufunc",
}


def find_encoding(value: object) -> Encoding:
    """Return how to write a value whose exact type is not among the plain ones.

    Raises:
        Refused: If its type says nothing about what makes two of its instances the same.
    """
    cls = type(value)
    encoding = FOUND.get(cls)
    if encoding is None:
        encoding = _search(cls, value)
        FOUND[cls] = encoding
    return encoding


def _search(cls: type, value: object) -> Encoding:
    encoding = _said(cls) or _standard(cls)
    if encoding is not None:
        return encoding
    for base in cls.__mro__:
        library = _LIBRARIES.get(base.__module__.partition(".")[0])
        if library is not None:
            encoding = _of_library(library, cls)
            if encoding is not None:
                return encoding
    encoding = typing_encoding(cls) or _logger_encoding(cls) or object_encoding(cls)
    if encoding is not None:
        return encoding
    if callable(value) and is_at_its_name(value):
        return _code
    installed = installed_hasher(cls)
    if installed is not None:
        return hasher_encoding(installed)
    raise Refused(with_article(cls), _why(cls, value), advice=_advice(cls))


def _of_library(module: str, cls: type) -> Encoding | None:
    try:
        find: Callable[[type], Encoding | None] = import_module(module).encoding_for
    except ImportError as error:  # frames of polars are read with pyarrow
        raise Refused(with_article(cls), f"which is not hashed without {error.name} (install it)") from None
    return find(cls)


def _standard(cls: type) -> Encoding | None:
    """Return how to write the standard library's types, and code."""
    standard = STANDARD.get(f"{cls.__module__}.{cls.__qualname__}")
    if standard is not None and _is_original(cls):
        return standard
    return _code if _is_code(cls) else None


def _said(cls: type) -> Encoding | None:
    """Return what the user says of a class: in a hasher, or in the class itself."""
    for base in cls.__mro__:
        found = registered_hasher(cls, base)
        if found is not None:
            return hasher_encoding(found)
        if "__entrepot_key__" in vars(base) and callable(getattr(cls, "__entrepot_key__", None)):
            return _own_key
    # A metaclass may answer for attributes that no base has.
    return _own_key if callable(getattr(cls, "__entrepot_key__", None)) else None


def _is_code(cls: type) -> bool:
    """Tell whether the instances of a class are code: functions, methods, classes, modules, tasks, flows."""
    return is_runnable(cls) or issubclass(cls, type) or f"{cls.__module__}.{cls.__qualname__}" in _CODE


def _is_original(cls: type) -> bool:
    """Tell whether a class is what its name says, and not one of the user's that says the same of itself."""
    if cls.__module__ == "builtins":
        return True  # function, mappingproxy, dict_keys, ... are in no module's namespace; nobody else says so
    module = sys.modules.get(cls.__module__)
    return getattr(module, cls.__qualname__, None) is cls


def _code(encoder: Encoder, value: Any) -> bytes:
    return encoder.code(value)  # looked up anew: inside a walk over code, functions are written in another way


def _logger_encoding(cls: type) -> Encoding | None:
    """Return how to write loggers of classes that other libraries derive: by name, as they only take notes."""
    logging = sys.modules.get("logging")
    if logging is None:
        return None
    if issubclass(cls, logging.Logger):
        return STANDARD["logging.Logger"]
    return _adapter if issubclass(cls, logging.LoggerAdapter) else None


def _adapter(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("logging.LoggerAdapter", encoder.part(".logger", value.logger))


def _own_key_form(encoder: Encoder, value: Any) -> bytes:
    key = encoder.part(".__entrepot_key__()", value.__entrepot_key__())
    return encoder.named("key", encoder.instance_of(type(value)), key)


def _own_key(encoder: Encoder, value: Any) -> bytes:
    return encoder.container(value, _own_key_form)


def _advice(cls: type) -> str:
    """Return what to pass in the place of what is used up by reading it, where there is no doubt about that."""
    if issubclass(cls, io.IOBase):
        is_memory = issubclass(cls, io.BytesIO | io.StringIO)
        return "Pass what is in it: {path}.getvalue()" if is_memory else "Pass the path of the file, as File(path)"
    is_iterator = hasattr(cls, "__next__") and cls.__module__ in {"builtins", "itertools"}
    return "Pass its items in its place: list({path})" if is_iterator else ""


def _why(cls: type, value: object) -> str:
    if hasattr(cls, "__next__"):
        return "which is used up by reading it"
    if cls.__module__ == "builtins" or getattr(value, "__dict__", None) is None:
        return "which has no stable identity"
    return "whose class does not say what makes two of its instances equal (a dataclass does)"

"""Methods that were generated from the fields of a dataclass, a named tuple or an attrs class.

The fields are written on their own, so what was made from them is not. That leaves what somebody changed of it
afterwards: the defaults that stand on the method itself, as in `Row.__init__.__defaults__ = (2,)`.
"""

import sys
from collections.abc import Iterator
from types import FunctionType
from typing import TYPE_CHECKING, Any

from entrepot._sentinels import MISSING
from entrepot.hashing._bytes import text
from entrepot.hashing._encoder import Refused
from entrepot.hashing._origins import origin_of_function

if TYPE_CHECKING:
    from entrepot.hashing._walker import CodeWalker

__all__ = ["changed_defaults", "is_generated"]


def is_generated(value: Any) -> bool:
    """Tell whether a method was generated from the fields of a dataclass, a named tuple or an attrs class."""
    function: Any = getattr(value, "__func__", value)
    while _is_guard_of_repr(function):
        function = function.__wrapped__
    if type(function) is not FunctionType or vars(function):  # what was put on it would not be seen otherwise
        return False
    code, module = function.__code__, str(function.__globals__.get("__name__", ""))
    return (
        (code.co_qualname.startswith("__create_fn__.<locals>.") and code.co_filename == "<string>")
        or (code.co_qualname.startswith("namedtuple.<locals>.") and module == "collections")
        or (module.startswith("namedtuple_") and "_tuple_new" in function.__globals__)
        or code.co_filename.startswith("<attrs generated")
        or (module.startswith("attr.") and function.__closure__ is not None)
    )


def _is_guard_of_repr(value: Any) -> bool:
    """Tell whether this is the wrapper that keeps a generated `__repr__` from recursion; others' wrappers do more."""
    if type(value) is not FunctionType or set(vars(value)) != {"__wrapped__"}:
        return False
    module = value.__globals__.get("__name__")
    return module in {"dataclasses", "reprlib"} and origin_of_function(value).kind == "python"


def changed_defaults(walker: "CodeWalker", cls: type) -> Iterator[bytes]:
    """Yield the form of the defaults that were set on a generated method, where they are not those of the fields.

    Raises:
        Refused: If one has no stable identity.
    """
    namespace = vars(cls)
    new = getattr(namespace.get("__new__"), "__func__", namespace.get("__new__"))
    if type(new) is FunctionType and is_generated(new) and isinstance(fields := namespace.get("_field_defaults"), dict):
        walker.plan.generated(new)
        if (new.__defaults__ or ()) != tuple(fields.values()):
            yield walker.part(".__new__", walker.named("defaults", walker.encode(new.__defaults__)))
    init = namespace.get("__init__")
    if type(init) is FunctionType and is_generated(init):
        walker.plan.generated(init)
        said = _of_dataclass(namespace) if "__dataclass_fields__" in namespace else _of_attrs(namespace)
        found = _defaults(init)
        try:
            for name in _parameters(init):
                if (value := found.get(name, MISSING)) is not said.get(name, MISSING):
                    yield walker.named("default", text(name), *([] if value is MISSING else [walker.held(value)]))
        except Refused as refusal:
            raise refusal.inside(".__init__") from None


def _parameters(function: FunctionType) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _defaults(function: FunctionType) -> dict[str, Any]:
    """Return the defaults of a function by parameter."""
    given, code = function.__defaults__ or (), function.__code__
    names = code.co_varnames[: code.co_argcount]
    return dict(zip(reversed(names), reversed(given), strict=False)) | (function.__kwdefaults__ or {})


def _of_dataclass(namespace: Any) -> dict[str, Any]:
    """Return the defaults of a dataclass's fields as its `__init__` has them."""
    dataclasses = sys.modules["dataclasses"]
    mark = getattr(dataclasses, "_HAS_DEFAULT_FACTORY", MISSING)
    said = {}
    for name, field in namespace["__dataclass_fields__"].items():
        if field.default is not dataclasses.MISSING:
            said[name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            said[name] = mark
    return said


def _of_attrs(namespace: Any) -> dict[str, Any]:
    """Return the defaults of an attrs class's fields as its `__init__` has them."""
    attr = sys.modules["attr"]
    said = {}
    for field in namespace.get("__attrs_attrs__", ()):
        if field.default is not attr.NOTHING:
            name = getattr(field, "alias", None) or field.name.lstrip("_")
            said[name] = attr.NOTHING if isinstance(field.default, attr.Factory) else field.default
    return said

"""What a class does: its bases, its methods and its attributes."""

import inspect
import sys
from abc import ABCMeta
from collections.abc import Iterator
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final

from entrepot._sentinels import MISSING
from entrepot.hashing._bytes import text
from entrepot.hashing._encoder import Refused
from entrepot.hashing._enumerations import enum_namespace, member_forms
from entrepot.hashing._generated import changed_defaults, is_generated
from entrepot.hashing._labels import is_runnable
from entrepot.hashing._objects import is_enum, is_python_class
from entrepot.hashing._plan import never_changes

if TYPE_CHECKING:
    from entrepot.hashing._walker import CodeWalker

__all__ = ["annotations_of", "class_form", "plain_attribute"]

_NO_MEANING: Final = frozenset(
    {
        # What Python notes of a class, or keeps so as to answer faster.
        "__abstractmethods__",
        "__annotate__",
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__classcell__",
        "__conditional_annotations__",
        "__dict__",
        "__doc__",
        "__firstlineno__",
        "__module__",
        "__qualname__",
        "__signature__",
        "__slotnames__",
        "__static_attributes__",
        "__weakref__",
        "_abc_impl",
        # Made from the fields, which are written on their own.
        "__attrs_attrs__",
        "__attrs_own_setattr__",
        "__attrs_props__",
        "__dataclass_fields__",
        "__dataclass_params__",
    }
)


def class_form(walker: "CodeWalker", cls: type, label: str) -> bytes:
    """Return the form of a class; the names that its methods use become parts of the walk.

    Raises:
        Refused: If an attribute has no stable identity; the path says which.
    """
    namespace = dict(vars(cls))
    if is_enum(cls):
        namespace = enum_namespace(cls, namespace)
    elif "__pydantic_decorators__" in namespace:
        namespace = _model_namespace(cls, namespace)
        walker.plan.give_up()  # fields can be changed where they are
    items = []
    for name, value in namespace.items():
        if name not in _NO_MEANING and not is_generated(value):
            items += [text(name), _attribute(walker, value, name, label)]
    bases = [walker.encode(base) for base in cls.__bases__ if base is not object]
    return walker.named(
        "class",
        walker.encode(type(cls)),
        walker.named("bases", *bases),
        walker.named("fields", *_fields(walker, cls)),
        walker.named("annotations", *_annotations(walker, cls)),
        *_registered(walker, cls),
        *changed_defaults(walker, cls),
        *items,
        *member_forms(walker, cls),
    )


def _registered(walker: "CodeWalker", cls: type) -> Iterator[bytes]:
    """Yield the form of the classes that were registered as kinds of an abstract one: `isinstance` says so."""
    dump = getattr(sys.modules.get("_abc"), "_get_dump", None)  # CPython shows it in no other way
    if dump is None or not isinstance(cls, ABCMeta):
        return
    walker.plan.abstract_class()
    classes = [known for ref in dump(cls)[0] if (known := ref()) is not None]
    if classes:
        yield walker.named("registered", walker.encode(set(classes)))


def annotations_of(thing: Any) -> dict[str, Any]:
    """Return the annotations of a class (its own, not those of its bases) or function, as far as they can be had."""
    try:
        return dict(inspect.get_annotations(thing))
    except Exception:  # noqa: BLE001  from 3.14 on to ask is to run them, and names may be missing
        return {}


def plain_attribute(value: Any, name: str) -> Any:
    """Return an attribute of a class or object if reading it runs no code, and nothing else decides what it is.

    Returns:
        The attribute, or `MISSING` where the whole object has to be looked at.
    """
    cls = type(value)
    if hasattr(cls, "__entrepot_key__") or is_runnable(cls):
        return MISSING  # it says itself what it stands for
    if isinstance(value, type):
        if cls is not type or not is_python_class(value):
            return MISSING
        found = inspect.getattr_static(value, name, MISSING)
        return MISSING if hasattr(type(found), "__get__") else found
    state = getattr(value, "__dict__", None)
    if type(state) is not dict or name not in state or _reads_otherwise(cls):
        return MISSING
    decides = hasattr(type(inspect.getattr_static(cls, name, None)), "__set__")  # a property, say
    return MISSING if decides or not is_python_class(cls) else state[name]


def _reads_otherwise(cls: Any) -> bool:
    return cls.__getattribute__ is not object.__getattribute__


def _attribute(walker: "CodeWalker", value: Any, name: str, label: str) -> bytes:
    if type(value) is FunctionType and not walker.is_library_function(value):
        return walker.function(value, walker.label(value, f"{label}.{name}"))
    if type(value) in {staticmethod, classmethod}:
        return walker.named(type(value).__name__, _attribute(walker, value.__func__, name, label))
    if type(value) is property:
        accessors: tuple[Any, ...] = (value.fget, value.fset, value.fdel)
        return walker.named("property", *[_attribute(walker, accessor, name, label) for accessor in accessors])
    if type(value) in {MemberDescriptorType, GetSetDescriptorType}:
        return walker.named("slot")
    try:
        return walker.held(value)
    except Refused as refusal:
        raise refusal.inside(f".{name}") from None


# --- what classes are made from -------------------------------------------------------------------------------------


def _fields(walker: "CodeWalker", cls: type) -> Iterator[bytes]:
    namespace = vars(cls)
    dataclasses = sys.modules.get("dataclasses")
    if dataclasses is not None and "__dataclass_fields__" in namespace:
        yield walker.named("dataclass", text(repr(namespace["__dataclass_params__"])))
        for name, field in namespace["__dataclass_fields__"].items():
            if not never_changes(field.default) and field.default is not dataclasses.MISSING:
                walker.plan.give_up()
            yield walker.part(f".{name}", _field(field, dataclasses.MISSING))
    for field in namespace.get("__attrs_attrs__", ()):
        walker.plan.give_up()
        said = [(key, _of_attrs(getattr(field, key))) for key in _ATTRS if getattr(field, key, None) is not None]
        yield walker.part(f".{field.name}", (field.name, said)) + walker.annotation(field.type, {})
    decorators = namespace.get("__pydantic_decorators__")
    if decorators is not None:
        for name, field in namespace.get("__pydantic_fields__", {}).items():
            yield text(name) + walker.part(f".{name}", field)
        for kind in sorted(decorators.__dataclass_fields__):
            for name, decorator in getattr(decorators, kind).items():
                yield text(kind) + text(name) + walker.part(f".{name}", getattr(decorator, "info", None))


def _of_attrs(value: Any) -> Any:
    """Return what an attrs class says of a field; of what attrs wraps around a function, the parts."""
    if type(value).__module__ != "attr._make" or type(value).__name__ not in {"Converter", "Factory"}:
        return value
    flags = [getattr(value, flag, None) for flag in ("takes_self", "takes_field")]
    return (type(value).__name__, getattr(value, "converter", None) or value.factory, flags)


_ATTRS: Final = (
    "default",
    "validator",
    "converter",
    "on_setattr",
    "repr",
    "eq",
    "order",
    "hash",
    "init",
    "kw_only",
    "alias",
)


def _annotations(walker: "CodeWalker", cls: type) -> Iterator[bytes]:
    """Yield the types that the author gave to names: libraries that build objects read them, and so may the project."""
    if "__pydantic_decorators__" in vars(cls) or is_enum(cls):
        return  # of a model they are among its fields
    module = sys.modules.get(cls.__module__)
    namespace = vars(module) if module is not None else {}
    kept = vars(cls).get("__annotations__")
    for name, said in annotations_of(cls).items():
        if isinstance(kept, dict):
            walker.plan.read(kept, name, said)
        yield text(name) + walker.annotation(said, namespace)


def _field(field: Any, missing: object) -> tuple[object, ...]:
    return (
        field.name,
        None if field.default is missing else (field.default,),
        None if field.default_factory is missing else (field.default_factory,),
        None if field.kw_only is missing else field.kw_only,
        (field.init, field.repr, field.hash, field.compare, dict(field.metadata)),
    )


_MADE_BY_PYDANTIC: Final = frozenset(
    {"__class_vars__", "__private_attributes__", "model_computed_fields", "model_fields"}
)


def _model_namespace(cls: type, namespace: dict[str, Any]) -> dict[str, Any]:
    """Return what the author of a pydantic model wrote, without what pydantic made of it."""
    inherited = [getattr(base, "__private_attributes__", {}) for base in cls.__mro__[1:]]
    private = namespace.get("__private_attributes__", {})
    own = {name: value for name, value in private.items() if not any(of.get(name) is value for of in inherited)}
    return {"__private_attributes__": own} | {
        name: value
        for name, value in namespace.items()
        if not name.startswith("__pydantic_") and name not in _MADE_BY_PYDANTIC
    }

"""How to write instances of classes that say what makes two of them equal.

These are dataclasses, attrs classes, named tuples, enumerations and subclasses of plain data (`class Row(dict)`).
All of an instance's attributes count, declared or not: what a `__post_init__` leaves can change what methods return.
 A class written in C has state that cannot be seen, so one anywhere among the bases (beyond plain data) means no.
"""

import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, Final

from entrepot.hashing._bytes import text
from entrepot.hashing._encoder import Encoder, Encoding
from entrepot.hashing._stdlib import STANDARD

__all__ = ["is_enum", "is_python_class", "object_encoding", "state_names", "state_of"]

_PLAIN: Final[dict[str, Callable[[Any], object]]] = {
    # What a subclass's instance holds as plain data, read by the base's own methods, whatever the subclass overrides.
    "builtins.int": int.__index__,
    "builtins.float": float.__float__,
    "builtins.complex": complex.__complex__,
    "builtins.str": str.__str__,
    "builtins.bytes": lambda value: bytes(memoryview(value)),
    "builtins.bytearray": lambda value: bytes(memoryview(value)),
    "builtins.list": list.copy,
    "builtins.tuple": lambda value: tuple(tuple.__iter__(value)),
    "builtins.set": lambda value: set(set.__iter__(value)),
    "builtins.frozenset": lambda value: frozenset(frozenset.__iter__(value)),
    "builtins.dict": dict.copy,
    "collections.OrderedDict": lambda value: (list(value), dict.copy(value)),
    "collections.defaultdict": lambda value: (value.default_factory, dict.copy(value)),
    "collections.deque": lambda value: (value.maxlen, list(value)),
}
_SCALARS: Final = {
    "datetime.date",
    "datetime.datetime",
    "datetime.time",
    "datetime.timedelta",
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
}
_C_METHODS: Final = (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)
_STATELESS: Final = {"builtins.object", "typing.Generic", "typing.Protocol"}  # whatever they are made of


def object_encoding(cls: type) -> Encoding | None:
    """Return how to write instances of a class, or None if it does not say what makes two of them equal."""
    if is_enum(cls):
        return _enum
    content = _content_base(cls)
    if content is None:
        return None
    if content is object and not (hasattr(cls, "__dataclass_fields__") or hasattr(cls, "__attrs_attrs__")):
        return None
    return _instance_encoding(cls, content)


def is_python_class(cls: type) -> bool:
    """Tell whether a class was made by a class statement (or by `type(...)`), so that its state can be seen."""
    if f"{cls.__module__}.{cls.__qualname__}" in _STATELESS:
        return True
    for value in vars(cls).values():
        if isinstance(value, _C_METHODS) and value.__objclass__ is cls:
            return False
        if isinstance(value, types.BuiltinFunctionType) and value.__self__ is cls:  # a `__new__` written in C
            return False
    return True


def state_names(cls: type, *, above: type = object) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return what to read of an instance besides its `__dict__`, and what in the `__dict__` is only kept, not said.

    Args:
        cls: The class.
        above: The base whose own slots are not looked at, because it is read as plain data.

    Returns:
        The names of its slots, and the names of its cached properties.
    """
    slots: dict[str, None] = {}
    cached: set[str] = set()
    functools = sys.modules.get("functools")
    kept = (functools.cached_property,) if functools is not None else ()
    for base in cls.__mro__:
        if base is above:
            break
        for name, value in vars(base).items():
            if isinstance(value, types.MemberDescriptorType):
                slots[name] = None
            elif isinstance(value, kept):
                cached.add(name)
    return tuple(slots), frozenset(cached)


def state_of(value: object, slots: tuple[str, ...], cached: frozenset[str]) -> Mapping[str, Any]:
    """Return an instance's attributes by name."""
    state: dict[str, Any] = getattr(value, "__dict__", {})
    if not slots and not cached:
        return state
    state = {name: item for name, item in state.items() if name not in cached}
    for name in slots:
        try:
            state[name] = object.__getattribute__(value, name)
        except AttributeError:  # never set
            continue
    return state


def _content_base(cls: type) -> type | None:
    """Return the base that holds plain data, `object` where none does, or None where there is state out of sight."""
    for base in cls.__mro__:
        name = f"{base.__module__}.{base.__qualname__}"
        if base is object or (base is not cls and (name in _PLAIN or name in _SCALARS)):
            return base
        if not is_python_class(base) or name in STANDARD:
            return None
    return None


def _instance_encoding(cls: type, content: type) -> Encoding:
    # The functions below are kept in a cache by class, and must not keep the class itself alive.
    slots, cached = state_names(cls, above=content)
    fields = text(",".join(getattr(cls, "_fields", ()))) if issubclass(cls, tuple) else b"N"
    read = _content_reader(content)

    def form(encoder: Encoder, value: Any) -> bytes:
        label = encoder.instance_of(type(value))
        state = encoder.attributes(state_of(value, slots, cached))
        if read is None:
            return encoder.named("instance", label, state)
        return encoder.named("subclass", label, fields, read(encoder, value), state)

    def encoding(encoder: Encoder, value: Any) -> bytes:
        return encoder.container(value, form)

    return encoding


def _content_reader(content: type) -> Encoding | None:
    """Return how to write the plain data that an instance of a subclass holds."""
    if content is object:
        return None
    name = f"{content.__module__}.{content.__qualname__}"
    if name in _SCALARS:
        return STANDARD[name]
    plain = _PLAIN[name]
    kind = text(name)
    return lambda encoder, value: kind + encoder.encode(plain(value))


def is_enum(cls: type) -> bool:
    """Tell whether a class is an enumeration."""
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(cls, enum.EnumMeta)


def _enum(encoder: Encoder, value: Any) -> bytes:
    label = encoder.instance_of(type(value))
    # `name` and `value` can be members' own attributes; a flag made of several members has no name.
    name, content = value._name_, value._value_
    return encoder.named("enum", label, text(name or ""), encoder.part(".value", content))

"""Frozen dataclasses that are made as quickly as others: for those of which every run makes some.

The `__init__` of a frozen dataclass cannot assign, since assigning is what it refuses: it calls `object.__setattr__`
for each field, which takes several times as long. What is made here is for a moment an object of a class with the same
slots that does not refuse, is filled, and then becomes one of the frozen class. Nobody else can have it meanwhile.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["quick"]

C = TypeVar("C", bound=type)

_become: Callable[[object, type], None] = object.__dict__["__class__"].__set__


def quick(cls: C) -> C:
    """Give a frozen dataclass with slots an `__init__` that takes less time and does the same; use it as a decorator.

    Subclasses are made as before; so is everything where Python does not let such objects change their class, as those
    that have room for weak references.
    """
    original: Callable[..., None] = cls.__init__  # type: ignore[misc]  # of this very class
    body = {name: vars(cls)[name] for name in ("__slots__", "__orig_bases__") if name in vars(cls)}
    twin = type(f"_Open{cls.__name__}", cls.__bases__, body)
    try:
        _become(object.__new__(cls), twin)
    except TypeError:  # their layouts differ, to this Python
        return cls
    names: dict[str, Any] = {"become": _become, "twin": twin, "cls": cls, "original": original}
    names["ABSENT"] = dataclasses.MISSING
    fields = dataclasses.fields(cls)
    given = ", ".join(field.name for field in fields)
    arguments = ["self"]
    lines = [f"if self.__class__ is not cls: return original(self, {given})"]
    for number, field in enumerate(fields):
        if field.default is not dataclasses.MISSING:
            names[f"default_{number}"] = field.default
            arguments.append(f"{field.name}=default_{number}")
        elif field.default_factory is not dataclasses.MISSING:
            names[f"make_{number}"] = field.default_factory
            arguments.append(f"{field.name}=ABSENT")
            lines.insert(0, f"if {field.name} is ABSENT: {field.name} = make_{number}()")
        else:
            arguments.append(field.name)
    lines.append("become(self, twin)")
    lines += [f"self.{field.name} = {field.name}" for field in fields]
    lines.append("self.__class__ = cls")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    source = f"def __init__({', '.join(arguments)}):\n" + "\n".join(f"    {line}" for line in lines)
    exec(source, names)  # noqa: S102  as dataclasses do; there is nothing in it but the names of fields
    made = names["__init__"]
    made.__module__, made.__qualname__ = cls.__module__, original.__qualname__
    made.__annotations__ = original.__annotations__
    cls.__init__ = made  # type: ignore[misc]  # it takes the same
    return cls

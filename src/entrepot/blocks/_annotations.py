"""What the annotations of a class can hold: which classes, whether secrets, whether anything at all.

The classes that a model's annotations name, directly or inside containers and other models, are the registry for
reading its stored values: data may name one of these, and nothing else.
"""

import dataclasses
import types
import typing
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

__all__ = ["UNIONS", "ClassFacts", "FieldFacts", "facts_of", "is_alias"]

UNIONS: Final = (typing.Union, types.UnionType)
"""Both origins of annotations such as `int | None`."""


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """What one field can hold.

    Attributes:
        secret: Its annotation names a secret type, at whatever depth.
        open: Its annotation lets anything in (`Any`, `object`).
        bare: The secret type that a plain str or bytes in this field is meant to be, or None.
        keys: The names under which input can give it: its own, and its aliases.
        block: Its annotation names a block class, at whatever depth.
    """

    secret: bool
    open: bool
    bare: type | None
    keys: frozenset[str]
    block: bool = False


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """What a model's fields can hold.

    Attributes:
        fields: By field name.
        classes: The classes that the annotations name; by qualified name, and by module and qualified name.
        safe_keys: Input keys of fields that can hold no secret.
        names: The input keys of all fields, those of the classes inside included: words that are no secrets.
    """

    fields: Mapping[str, FieldFacts]
    classes: Mapping[str, type]
    safe_keys: frozenset[str]
    names: frozenset[str]

    def name_of(self, cls: type) -> str | None:
        """Return the shortest name under which `classes` has this class, or None."""
        for name in (cls.__qualname__, _full_name(cls)):
            if self.classes.get(name) is cls:
                return name
        return None


_known: Final[weakref.WeakKeyDictionary[type[BaseModel], ClassFacts]] = weakref.WeakKeyDictionary()


def facts_of(cls: type[BaseModel]) -> ClassFacts:
    """Return the facts of a model class; kept for classes whose annotations are all resolved."""
    facts = _known.get(cls)
    if facts is None:
        facts = _find_facts(cls)
        if cls.__pydantic_complete__:
            _known[cls] = facts
    return facts


def _find_facts(cls: type[BaseModel]) -> ClassFacts:
    fields: dict[str, FieldFacts] = {}
    found: dict[int, type] = {}
    for name, info in cls.__pydantic_fields__.items():
        walk = _Walk()
        walk.visit(info.annotation)
        secret = any(_is_secret_type(each) for each in walk.classes.values())
        block = any(hasattr(each, "get_block_type_slug") for each in walk.classes.values())
        fields[name] = FieldFacts(secret, walk.open, _bare_secret(info.annotation), frozenset(_keys(name, info)), block)
        found |= walk.classes
    safe = [facts.keys for facts in fields.values() if not facts.secret and not facts.open]
    names = frozenset(name for each in (cls, *found.values()) for name in _member_names(each))
    return ClassFacts(fields, _by_name(found.values()), frozenset().union(*safe), names)


def is_alias(annotation: Any) -> bool:
    """Return whether an annotation is a name for another one: `type Name = ...`."""
    return hasattr(annotation, "__value__") and hasattr(annotation, "__type_params__")


class _Walk:
    """Goes through one annotation."""

    def __init__(self) -> None:
        self.classes: dict[int, type] = {}
        self.open = False
        self._seen: set[int] = set()
        self._kept: list[object] = []  # an id stays one object's own only while that object lives

    def visit(self, annotation: Any) -> None:  # noqa: C901  one case a kind of annotation
        if id(annotation) in self._seen:
            return
        self._seen.add(id(annotation))
        self._kept.append(annotation)
        origin = get_origin(annotation)
        if annotation is Any or annotation is object or isinstance(annotation, str | typing.ForwardRef):
            self.open = True  # a name that is not resolved yet could be anything
        elif is_alias(annotation):
            self.visit(annotation.__value__)
        elif isinstance(annotation, TypeVar):
            inner = annotation.__constraints__ or (annotation.__bound__,)
            for each in inner:
                self.visit(Any if each is None else each)
        elif origin is typing.Annotated:
            self.visit(get_args(annotation)[0])
        elif origin is Literal:
            for each in get_args(annotation):
                self.visit(type(each))
        elif origin is not None:
            if origin not in UNIONS:
                self.visit(origin)
            for each in get_args(annotation):
                self.visit(each)
        elif isinstance(annotation, type):
            self._visit_class(annotation)

    def _visit_class(self, cls: type) -> None:
        self.classes[id(cls)] = cls
        for annotation in _members(cls):
            self.visit(annotation)


def _members(cls: type) -> Iterable[Any]:
    if issubclass(cls, BaseModel):
        return [info.annotation for info in cls.__pydantic_fields__.values()]
    if dataclasses.is_dataclass(cls) or hasattr(cls, "__total__") or hasattr(cls, "_fields"):  # the second: TypedDict
        try:
            return list(typing.get_type_hints(cls).values())
        except Exception:  # noqa: BLE001  annotations run as code; unresolved ones could be anything
            return [Any]
    return ()


def _member_names(cls: type) -> Iterable[str]:
    if issubclass(cls, BaseModel):
        return [key for name, info in cls.__pydantic_fields__.items() for key in _keys(name, info)]
    return getattr(cls, "__annotations__", {}).keys()


def _by_name(classes: Iterable[type]) -> dict[str, type]:
    named: dict[str, type] = {}
    shared: set[str] = set()
    for cls in classes:
        if named.setdefault(cls.__qualname__, cls) is not cls:
            shared.add(cls.__qualname__)
        named[_full_name(cls)] = cls
    for name in shared:
        del named[name]
    return named


def _full_name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _is_secret_type(cls: type) -> bool:
    return hasattr(cls, "get_secret_value")


def _bare_secret(annotation: Any) -> type | None:
    """Return SecretStr or SecretBytes where that, or None, is all that the field takes."""
    if get_origin(annotation) is typing.Annotated:
        return _bare_secret(get_args(annotation)[0])
    if get_origin(annotation) in UNIONS:
        members = {_bare_secret(each) for each in get_args(annotation) if each is not type(None)}
        return members.pop() if len(members) == 1 else None
    return annotation if annotation in (SecretStr, SecretBytes) else None


def _keys(name: str, info: FieldInfo) -> Iterable[str]:
    yield name
    aliases: list[Any] = [info.alias, info.validation_alias]
    for alias in aliases:
        for choice in getattr(alias, "choices", [alias]):
            path = getattr(choice, "path", [choice])  # of a path, the first step is the key in the input
            if path and isinstance(path[0], str):
                yield path[0]

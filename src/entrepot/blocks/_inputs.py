"""Texts that are given for secrets and are references to them: found by the annotations of the fields.

Only plain texts are read so. What is given as a `SecretStr` is the secret itself, whatever it looks like.
"""

import copy
import dataclasses
import types
import typing
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeVar, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr

from entrepot.blocks._annotations import UNIONS, facts_of, is_alias
from entrepot.blocks._references import AnyReference, SecretBytesReference, SecretReference, is_reference

__all__ = [
    "as_secret",
    "mark_foreign",
    "place_references",
    "read_defaults",
    "read_field",
    "read_fields",
    "references_in",
]

_WRAPPERS: Final = (typing.Annotated, typing.Required, typing.NotRequired)
_KINDS: Final[Mapping[object, type[AnyReference]]] = {SecretStr: SecretReference, SecretBytes: SecretBytesReference}
_LISTS: Final = (list, tuple, set, frozenset, deque)
_MARKS: Final = ("__total__", "_fields")  # of classes with named members: TypedDict, NamedTuple
_PLAIN: Final = (bytes, int, float, types.NoneType)
_DEPTH: Final = 50


def as_secret(text: str) -> SecretStr:
    """Return a text as a secret: the one that it names, if it is a reference, else itself."""
    return SecretReference(text) if is_reference(text) else SecretStr(text)


def read_fields(cls: type[BaseModel], data: object) -> object:
    """Return the input of a model with references for the texts that are some; the same object where there is none.

    Args:
        cls: The model.
        data: What is given to it: usually a mapping by field name or alias.
    """
    return _fields(cls, data, 0)


def read_field(cls: type[BaseModel], name: str, value: object) -> object:
    """Return what is given for one field, read as by `read_fields`."""
    field = cls.__pydantic_fields__.get(name)
    return value if field is None or not facts_of(cls).fields[name].secret else _read(field.annotation, value, 0)


def read_defaults(model: BaseModel) -> None:
    """Read defaults that are plain texts as what is given is read; references are copied: they say whose they are."""
    cls = type(model)
    for name, facts in facts_of(cls).fields.items():
        field = cls.__pydantic_fields__[name]
        if isinstance(field.default, AnyReference) and vars(model).get(name) is field.default:
            vars(model)[name] = copy.copy(field.default)
        if facts.bare is not None and isinstance(field.default, str) and name not in model.model_fields_set:
            read = _read(field.annotation, field.default, 0)
            if read is not field.default:
                vars(model)[name] = read


def _fields(cls: type[BaseModel], data: object, depth: int) -> object:
    if not isinstance(data, Mapping) or depth > _DEPTH:
        return data
    changed: dict[object, object] = {}
    for name, facts in facts_of(cls).fields.items():
        for key in facts.keys if facts.secret else ():
            if key in data:
                read = _read(cls.__pydantic_fields__[name].annotation, data[key], depth + 1)
                if read is not data[key]:
                    changed[key] = read
    return {**data, **changed} if changed else data


def _read(annotation: Any, value: object, depth: int) -> object:  # noqa: PLR0911  one case a kind of annotation
    """Return a value with references for texts, as an annotation has it."""
    if depth > _DEPTH or isinstance(value, (*_PLAIN, BaseModel)):
        return value
    annotation = _unwrapped(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in UNIONS:
        read = (_read(each, value, depth + 1) for each in arguments)
        return next((each for each in read if each is not value), value)
    if isinstance(value, str):
        kind = _KINDS.get(annotation)
        return value if kind is None or not is_reference(value) else kind(value)
    if isinstance(value, Mapping):
        return _mapping(annotation, origin, arguments, value, depth)
    if isinstance(value, list | tuple) and hasattr(annotation, "_fields"):
        return _named_tuple(annotation, value, depth)
    if type(value) in _LISTS and arguments:
        return _list(origin, arguments, value, depth)
    return value


def _unwrapped(annotation: Any) -> Any:
    """Return an annotation without what says no more of the value: `Annotated`, `type Name = ...`, a root model."""
    for _ in range(_DEPTH):  # a root model may be of itself
        if get_origin(annotation) in _WRAPPERS:
            annotation = get_args(annotation)[0]
        elif is_alias(annotation):
            annotation = annotation.__value__
        elif isinstance(annotation, TypeVar):
            annotation = annotation.__bound__
        elif getattr(annotation, "__pydantic_root_model__", False):
            annotation = annotation.__pydantic_fields__["root"].annotation
        else:
            break
    return annotation


def _mapping(annotation: Any, origin: Any, arguments: tuple[Any, ...], value: Mapping[Any, Any], depth: int) -> object:
    if isinstance(origin, type) and issubclass(origin, Mapping) and arguments:
        read = {key: _read(arguments[-1], each, depth + 1) for key, each in value.items()}
        return read if any(read[key] is not each for key, each in value.items()) else value
    cls = origin or annotation
    if not isinstance(cls, type):
        return value
    if issubclass(cls, BaseModel):
        return _fields(cls, value, depth)
    if not dataclasses.is_dataclass(cls) and not any(hasattr(cls, mark) for mark in _MARKS):
        return value
    hints = _hints(cls)
    read = {key: _read(hints.get(key), each, depth + 1) for key, each in value.items()}
    return read if any(read[key] is not each for key, each in value.items()) else value


def _named_tuple(cls: Any, value: Sequence[Any], depth: int) -> object:
    hints = _hints(cls)
    kinds = [hints.get(name) for name in cls._fields[: len(value)]]
    read = [*(_read(kind, each, depth + 1) for kind, each in zip(kinds, value, strict=False)), *value[len(kinds) :]]
    if all(new is old for new, old in zip(read, value, strict=True)):
        return value
    return cls(*read) if isinstance(value, cls) else read


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:  # noqa: BLE001  annotations run as code; validation complains of those that do not resolve
        return {}


def _list(origin: Any, arguments: tuple[Any, ...], value: Any, depth: int) -> object:
    if not isinstance(origin, type) or not issubclass(origin, Sequence | AbstractSet):
        return value
    each_own = origin is tuple and arguments[-1] is not Ellipsis
    if each_own and len(arguments) != len(value):
        return value
    kinds = arguments if each_own else (arguments[0],) * len(value)
    given = list(value)
    read = [_read(kind, each, depth + 1) for kind, each in zip(kinds, given, strict=True)]
    made = deque(read, value.maxlen) if isinstance(value, deque) else type(value)(read)
    return made if any(new is not old for new, old in zip(read, given, strict=True)) else value


def place_references(model: BaseModel, whose: str, *, again: bool = True) -> None:
    """Have the references in a model say whose they are, where a secret cannot be had.

    Args:
        model: The model.
        whose: What the model is called: `s3/prod`, or by its class.
        again: Whether that replaces what they say already.
    """
    for path, reference in references_in(model):
        if again or not reference.said_of:
            reference.said_of = f"{whose}: {path}"


def mark_foreign(block: BaseModel, store: str) -> None:
    """Have every reference in a block that was loaded from a shared store say so.

    Most do: they were made for it. Those that do not are defaults, which a class gives to all its blocks: this block
    gets copies. Blocks inside that came by name have marks of their own.

    Args:
        block: The block.
        store: The location of that store.
    """
    for values in (vars(block), block.model_extra or {}, block.__pydantic_private__ or {}):
        for name, value in list(values.items()):
            if any(not each.store for _, each in _found(value, name, 0, named=False)):
                values[name] = own = copy.deepcopy(value)
                for _, each in _found(own, name, 0, named=False):
                    each.store = each.store or store


def references_in(model: BaseModel) -> Iterator[tuple[str, AnyReference]]:
    """Yield the references that stand in a model, at whatever depth, each with its path: `headers.Authorization`."""
    for name, facts in facts_of(type(model)).fields.items():
        if (facts.secret or facts.open or facts.block) and name in vars(model):
            yield from _found(vars(model)[name], name, 0)
    for name, value in (model.model_extra or {}).items():
        yield from _found(value, name, 0)


def _found(value: object, path: str, depth: int, *, named: bool = True) -> Iterator[tuple[str, AnyReference]]:
    """Yield the references in a value; without `named`, those in blocks that came by name are left out."""
    if isinstance(value, AnyReference):
        yield path, value
    elif isinstance(value, str | bytes | int | float) or value is None or depth > _DEPTH:
        return
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _found(each, f"{path}.{key}" if isinstance(key, str) else path, depth + 1, named=named)
    elif isinstance(value, _LISTS):
        for place, each in enumerate(value):
            yield from _found(each, f"{path}[{place}]", depth + 1, named=named)
    elif isinstance(value, BaseModel) or dataclasses.is_dataclass(value):
        if not named and getattr(getattr(value, "_origin", None), "value", None) is not None:
            return
        for name, each in _members(value).items():
            yield from _found(each, f"{path}.{name}", depth + 1, named=named)


def _members(value: Any) -> dict[str, object]:
    if isinstance(value, BaseModel):
        return {**vars(value), **(value.model_extra or {})}
    return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}

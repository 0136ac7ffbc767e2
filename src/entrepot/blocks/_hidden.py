"""Plain values that stand where an annotation has a secret, made secrets: what nothing has validated shows nothing."""

import types
import typing
from collections.abc import Mapping
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from entrepot.blocks._annotations import UNIONS, facts_of, is_alias
from entrepot.blocks._inputs import as_secret
from entrepot.blocks._references import SecretBytesReference, is_reference

__all__ = ["hide", "hide_defaults"]

_PLAIN: Final = (str, bytes)
_LISTS: Final = (list, tuple, set, frozenset)
_CONTAINERS: Final = (*_LISTS, dict)
_NO_TEXTS: Final = (types.NoneType, bool, int, float, SecretStr, SecretBytes)
_DEPTH: Final = 20


def hide(annotation: Any, value: object, depth: int = 0) -> object:  # noqa: PLR0911  one case a kind of annotation
    """Return a value with secrets for the plain values where its annotation has secrets; the same one if none is there.

    A text that is a reference becomes one. Where plain text may stand, too (`str | SecretStr`), it stays.

    Args:
        annotation: Of the value.
        value: Valid or not.
        depth: How many containers are around it.
    """
    annotation = _bare(annotation)
    origin = get_origin(annotation)
    if origin in UNIONS:
        kinds = [_bare(kind) for kind in get_args(annotation)]
        if type(value) in kinds or (isinstance(value, _PLAIN) and any(map(_may_be_plain, kinds))):
            return value
        return next((new for kind in kinds if (new := hide(kind, value, depth)) is not value), value)
    if isinstance(value, _PLAIN):
        return _secret(annotation, value)
    if origin is Secret and value is not None and not isinstance(value, Secret):
        return annotation(value)
    if depth < _DEPTH:
        if isinstance(value, Mapping):
            return _hide_in_mapping(annotation, value, depth)
        if type(value) in _LISTS:
            return _hide_in_list(annotation, value, depth)
    return value


def _bare(annotation: Any) -> Any:
    """Return an annotation without what is only said about it."""
    while True:
        if get_origin(annotation) is typing.Annotated:
            annotation = get_args(annotation)[0]
        elif is_alias(annotation):
            annotation = annotation.__value__
        else:
            return annotation


def _may_be_plain(kind: Any) -> bool:
    """Return whether text or bytes may be meant for this member of a union, and not for a secret beside it."""
    if kind in _NO_TEXTS or get_origin(kind) in (Secret, *_CONTAINERS):
        return False
    return not (isinstance(kind, type) and issubclass(kind, BaseModel))


def _secret(kind: Any, value: Any) -> object:
    if kind is SecretStr:
        return as_secret(value) if isinstance(value, str) else SecretStr(value.decode("utf-8", "backslashreplace"))
    if kind is SecretBytes:
        if isinstance(value, str) and is_reference(value):
            return SecretBytesReference(value)
        return SecretBytes(value.encode() if isinstance(value, str) else value)
    return kind(value) if get_origin(kind) is Secret else value


def _hide_in_mapping(annotation: Any, value: Mapping[Any, Any], depth: int) -> object:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.__pydantic_fields__
        kinds = {key: fields[key].annotation if key in fields else None for key in value}
    else:
        kinds = dict.fromkeys(value, (get_args(annotation) or (None,))[-1])
    hidden = {key: hide(kinds[key], each, depth + 1) for key, each in value.items()}
    return hidden if any(hidden[key] is not each for key, each in value.items()) else value


def _hide_in_list(annotation: Any, value: Any, depth: int) -> object:
    arguments = get_args(annotation) or (None,)
    given = list(value)
    own = get_origin(annotation) is tuple and arguments[-1] is not Ellipsis and len(arguments) == len(given)
    kinds = arguments if own else (arguments[0],) * len(given)
    hidden = [hide(kind, each, depth + 1) for kind, each in zip(kinds, given, strict=True)]
    return type(value)(hidden) if any(new is not old for new, old in zip(hidden, given, strict=True)) else value


def hide_defaults(cls: type[BaseModel]) -> None:
    """Make defaults and examples of a class secrets where they are meant to be: signatures and fields are printed.

    A default that is a reference stays a text: each instance gets a reference of its own.
    """
    plain = {
        name: info
        for name, info in cls.__pydantic_fields__.items()
        if info.examples or isinstance(info.default, _PLAIN + _CONTAINERS)
    }
    facts = facts_of(cls).fields if plain else {}
    changed = False
    for name, info in plain.items():
        if not facts[name].secret:
            continue
        default = info.default
        if not (isinstance(default, str) and is_reference(default)):
            default = hide(info.annotation, default)
        examples = info.examples and [hide(info.annotation, each) for each in info.examples]
        if default is not info.default or examples != info.examples:
            info.default, info.examples, changed = default, examples, True
    if changed:
        cls.model_rebuild(force=True)

"""How to write what annotations are made of: `list[int]`, `T | None`, type variables, aliases."""

from typing import Any

from entrepot.hashing._bytes import text
from entrepot.hashing._encoder import Encoder, Encoding

__all__ = ["typing_encoding"]

_MODULES = {"typing", "types", "typing_extensions"}


def typing_encoding(cls: type) -> Encoding | None:
    """Return how to write a value of this class, or None if it is none of the forms of `typing`."""
    if cls.__module__ not in _MODULES and cls.__qualname__ != "_CallableGenericAlias":
        return None
    known = _KNOWN.get(cls.__qualname__)
    if known is not None:
        return known
    if (
        hasattr(cls, "__args__")
        or hasattr(cls, "__origin__")
        or cls.__qualname__.endswith(("Alias", "UnionType", "Union"))
    ):
        return _generic
    return None


def _generic_form(encoder: Encoder, value: Any) -> bytes:
    return encoder.named(
        "typing",
        text(type(value).__qualname__),
        encoder.encode(getattr(value, "__origin__", None)),
        encoder.encode(tuple(getattr(value, "__args__", ()))),
        encoder.encode(tuple(getattr(value, "__metadata__", ()))),
    )


def _generic(encoder: Encoder, value: Any) -> bytes:
    return encoder.container(value, _generic_form)


def _variable_form(encoder: Encoder, value: Any) -> bytes:
    bounds = (getattr(value, "__bound__", None), getattr(value, "__constraints__", ()))
    return encoder.named("typing.TypeVar", text(value.__name__), encoder.encode(bounds))


def _variable(encoder: Encoder, value: Any) -> bytes:
    return encoder.container(value, _variable_form)


def _new_type(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("typing.NewType", text(value.__name__), encoder.encode(value.__supertype__))


def _forward(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("typing.ForwardRef", text(value.__forward_arg__))


def _alias_form(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("typing.TypeAliasType", text(value.__name__), encoder.encode(value.__value__))


def _alias(encoder: Encoder, value: Any) -> bytes:
    return encoder.container(value, _alias_form)


def _special(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("typing.special", text(str(value)))


_KNOWN: dict[str, Encoding] = {
    "ForwardRef": _forward,
    "NewType": _new_type,
    "ParamSpec": _variable,
    "TypeAliasType": _alias,
    "TypeVar": _variable,
    "TypeVarTuple": _variable,
    "_AnyMeta": _special,
    "_SpecialForm": _special,
    "_SpecialGenericAlias": _special,
    "_TypedCacheSpecialForm": _special,
}

"""How to write pydantic models and the few types of pydantic that appear as values.

A model is its fields, its extra and private attributes, and which fields were set (`exclude_unset` sees that). Secrets
are refused: the records that keys stand in are not sealed, and the digest of a short secret can be guessed.
"""

from collections.abc import Mapping
from inspect import get_annotations
from typing import Any, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo, ModelPrivateAttr
from pydantic_core import PydanticUndefinedType

from entrepot.hashing._bytes import text
from entrepot.hashing._encoder import Encoder, Encoding, Refused
from entrepot.hashing._labels import class_label
from entrepot.hashing._objects import state_names, state_of

__all__ = ["encoding_for"]

_SECRETS = {
    "pydantic.types._SecretBase",
    "pydantic.types.Secret",
    "pydantic.types.SecretStr",
    "pydantic.types.SecretBytes",
}
_URLS = {"_BaseUrl", "_BaseMultiHostUrl", "Url", "MultiHostUrl"}


def encoding_for(cls: type) -> Encoding | None:
    """Return how to write a value of this class, or None if this module does not know it."""
    if _is_secret(cls):
        return _secret
    if any(base.__qualname__ in _URLS for base in cls.__mro__):
        return _url
    if cls.__qualname__ == "_PydanticGeneralMetadata":
        return _constraints
    if cls.__qualname__ == "ValidateCallWrapper":
        return _validated
    return next((encoding for base, encoding in _KNOWN.items() if issubclass(cls, base)), None)


def _is_secret(cls: type) -> bool:
    return any(f"{base.__module__}.{base.__qualname__}" in _SECRETS for base in cls.__mro__)


def _secret(_: Encoder, value: object) -> bytes:
    name = type(value).__qualname__
    raise Refused(f"a {name}", "which is a secret, and keys are no place for one (a saved block that holds it is)")


def _model_form(encoder: Encoder, value: BaseModel) -> bytes:
    cls = type(value)
    slots, cached = state_names(cls, above=BaseModel)
    return encoder.named(
        "pydantic.BaseModel",
        encoder.instance_of(cls),
        encoder.attributes(state_of(value, slots, cached)),
        encoder.attributes(value.__pydantic_extra__ or {}),
        encoder.attributes(_set(value.__pydantic_private__)),
        encoder.encode(value.__pydantic_fields_set__),
    )


def _set(private: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: item for name, item in (private or {}).items() if type(item) is not PydanticUndefinedType}


def _model(encoder: Encoder, value: BaseModel) -> bytes:
    return encoder.container(value, _model_form)


def _url(encoder: Encoder, value: object) -> bytes:
    return encoder.named("pydantic.Url", text(class_label(type(value))), text(str(value)))


# What a model's class is made of, for the code that uses it.


def _field(encoder: Encoder, value: FieldInfo) -> bytes:
    # A default that is a secret stands in the source, and among so much else its digest tells nobody what it is.
    said = {name: getattr(value, name) for name in value._attributes_set if name not in _PROSE}  # noqa: SLF001  the only list of what was said
    default: Any = said.get("default")
    if _is_secret(type(default)):
        # Where a secret is stands in the source, not the secret: code that refers to one is the same after a rotation.
        said["default"] = ("secret", getattr(default, "reference", None) or default.get_secret_value())
    return encoder.named("pydantic.FieldInfo", encoder.attributes(said), encoder.encode(value.metadata))


_PROSE = {"title", "description", "examples", "deprecated"}


def _private(encoder: Encoder, value: ModelPrivateAttr) -> bytes:
    return encoder.named("pydantic.PrivateAttr", encoder.encode(value.default), encoder.encode(value.default_factory))


def _undefined(encoder: Encoder, _: object) -> bytes:
    return encoder.named("pydantic.Undefined")


def _constraints(encoder: Encoder, value: object) -> bytes:
    return encoder.named("pydantic.constraints", encoder.attributes(vars(value)))


def _validated(encoder: Encoder, value: Any) -> bytes:
    """Write what `validate_call` puts around a function: it goes by the annotations, so these count."""
    try:
        hints = get_type_hints(value.schema_type, include_extras=True)
    except (NameError, TypeError):  # names that are only there for type checkers
        hints = get_annotations(value.schema_type)
    return encoder.named(
        "pydantic.validate_call",
        encoder.encode(value.function),
        encoder.encode(hints),
        encoder.encode((value.validate_return, dict(value.config_wrapper.config_dict))),
    )


_KNOWN: dict[type, Encoding] = {
    BaseModel: _model,
    FieldInfo: _field,
    ModelPrivateAttr: _private,
    PydanticUndefinedType: _undefined,
}

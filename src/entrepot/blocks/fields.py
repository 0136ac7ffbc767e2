"""Secrets in fields: finding them, and keeping them out of error messages and schemas."""

import base64
import json
from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from types import NoneType
from typing import Any, Final
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from entrepot._secrets import MASK, mask, remember_secret
from entrepot._text import reason
from entrepot.blocks._annotations import facts_of
from entrepot.blocks._references import AnyReference

__all__ = [
    "MASK",
    "MASKS",
    "drop_secret_defaults",
    "holds_secret",
    "is_mask",
    "is_secret",
    "reasons",
    "remember_secrets",
    "scrub",
    "secret_texts",
    "shows",
]

MASKS: Final = frozenset(
    {MASK, repr(MASK.encode()), f"Secret({MASK!r})", f"SecretStr({MASK!r})", f"SecretBytes({MASK.encode()!r})"}
)
"""What secrets print as, by `str` and `repr`."""

_HIDDEN: Final = "the value was refused (the reason is not shown, because it repeats a part of a secret)"
_SHARED: Final = 8  # characters in a row that a message and a secret may not have in common
_SHORT: Final = 4  # a shorter secret is in half of all sentences by chance: it is looked for in quotes only
_USER_ERRORS: Final = ("value_error", "assertion_error")
_DEPTH: Final = 50
_NO_PARTS: Final = (str, bytes, int, float, NoneType)


def is_secret(value: object) -> bool:
    """Return whether a value is one of pydantic's secrets (`SecretStr`, `SecretBytes`, `Secret[...]`)."""
    return hasattr(type(value), "get_secret_value")


def is_mask(value: object) -> bool:
    """Return whether a value is what a secret is shown as."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return isinstance(text, str) and text in MASKS


def holds_secret(value: object) -> bool:
    """Return whether there is a secret in a value, at whatever depth of containers and models."""
    return any(True for _ in _leaves(value, secrets_only=True))


def remember_secrets(model: BaseModel) -> None:
    """Have the secrets in a model masked from now on in what is logged and kept of runs."""
    values = vars(model)
    held = [
        values[name]
        for name, field in facts_of(type(model)).fields.items()
        if (field.secret or field.open) and name in values
    ]
    pending = [(value, 0) for value in (*held, *(model.model_extra or {}).values())]
    pending += [(value, 0) for value in (model.__pydantic_private__ or {}).values()]
    while pending:
        value, depth = pending.pop()
        if isinstance(value, AnyReference):
            continue  # it is masked from when it is looked up
        if is_secret(value):
            with suppress(Exception):  # of a class of the user's: whoever reads it next hears of it
                remember_secret(value.get_secret_value())
        elif depth < _DEPTH and not isinstance(value, _NO_PARTS):
            pending += [(part, depth + 1) for part in _parts(value, ())]


def secret_texts(cls: type[BaseModel], data: object) -> set[str]:
    """Return the texts in the input of a model that may be secrets.

    Args:
        cls: The model.
        data: What was given to it: usually a mapping by field name or alias, or an instance.
    """
    facts = facts_of(cls)
    if isinstance(data, BaseModel):
        data = {**vars(data), **(data.model_extra or {})}
    if not isinstance(data, Mapping):
        return set(_leaves(data, facts.names))
    texts: set[str] = set()
    opened = {key for field in facts.fields.values() if field.open and not field.secret for key in field.keys}
    for key, value in data.items():
        if key not in facts.safe_keys:  # a key that is unknown may be a misspelt one
            texts.update(_leaves(value, facts.names, secrets_only=key in opened))
    for name, field in facts.fields.items():
        if field.secret:
            texts.update(_leaves(cls.__pydantic_fields__[name].default, facts.names))
    return texts


def _leaves(value: object, names: Container[str] = (), *, secrets_only: bool = False, depth: int = 0) -> Iterator[str]:
    """Yield the texts in a value, keys too unless they are in `names`; with `secrets_only`, those of its secrets."""
    if isinstance(value, AnyReference):
        return  # where a secret is, is none
    if is_secret(value):
        yield from _leaves(value.get_secret_value(), depth=depth + 1)  # type: ignore[attr-defined]
    elif isinstance(value, str):
        if value and not secrets_only:
            yield value
    elif isinstance(value, bytes | bytearray | memoryview):
        if value and not secrets_only:
            yield bytes(value).decode("utf-8", "backslashreplace")
            yield bytes(value).decode("latin-1")
    elif depth < _DEPTH:
        for each in _parts(value, names):
            yield from _leaves(each, names, secrets_only=secrets_only, depth=depth + 1)
        if isinstance(value, int | float) and not isinstance(value, bool) and not secrets_only:
            yield str(value)


def _parts(value: object, names: Container[str]) -> Iterable[object]:
    if isinstance(value, Mapping):
        return [*(key for key in value if not isinstance(key, str) or key not in names), *value.values()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return value
    if isinstance(value, BaseModel):
        return [
            *vars(value).values(),
            *(value.model_extra or {}).values(),
            *(value.__pydantic_private__ or {}).values(),
        ]
    if hasattr(type(value), "__dataclass_fields__"):
        return [getattr(value, name, None) for name in value.__dataclass_fields__]  # type: ignore[attr-defined]
    return ()


# --- messages -----------------------------------------------------------------------------------------------------


def shows(message: str, secrets: Iterable[str]) -> bool:
    """Return whether a message has a part of a secret in it: as it is, quoted, escaped, or encoded."""
    message = message.casefold()
    pieces = {message[start : start + _SHARED] for start in range(len(message) - _SHARED + 1)}
    for secret in secrets:
        if len(secret) < _SHORT:
            forms = {f"{mark}{secret}{mark}".casefold() for mark in "'\"`"}
        else:
            forms = {form.casefold() for form in _forms(secret)}
        for form in forms:
            if form in message or (len(form) > _SHARED and any(piece in form for piece in pieces)):
                return True
    return False


def _forms(secret: str) -> Iterator[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    yield secret
    yield repr(secret)[1:-1]
    yield json.dumps(secret)[1:-1]
    yield quote(raw, safe="")
    yield quote_plus(raw)
    yield raw.hex()
    yield base64.b64encode(raw).decode().rstrip("=")
    yield base64.urlsafe_b64encode(raw).decode().rstrip("=")


def scrub(cls: type[BaseModel], error: ValidationError, data: object) -> ValidationError:
    """Return the same error without the input: no value that was given, no exception that holds one.

    Messages of validators that repeat a part of a secret are replaced.

    Args:
        cls: The model that refused.
        error: What pydantic raised.
        data: What was given.
    """
    texts = secret_texts(cls, data)
    names = facts_of(cls).names
    details = [_scrubbed(each, texts, names) for each in error.errors(include_url=False)]
    return ValidationError.from_exception_data(error.title, details, hide_input=True)


def reasons(error: ValidationError) -> list[str]:
    """Return what is wrong with which field, for people; blocks keep values out of it."""
    return [
        ": ".join(filter(None, [".".join(map(str, detail["loc"])), reason(detail["msg"])]))
        for detail in error.errors(include_input=False, include_url=False, include_context=False)
    ]


def _scrubbed(detail: ErrorDetails, texts: set[str], names: Container[str]) -> InitErrorDetails:
    context: dict[str, Any] = detail.get("ctx", {})
    said = " ".join([detail["msg"], *map(str, context.values())])
    unsafe = shows(said, texts) or mask(said) != said  # the second: secrets that a validator looked up
    kind: str | PydanticCustomError = detail["type"]
    if detail["type"] in _USER_ERRORS:
        # A new exception: the one that the validator raised has a traceback, and that has the value.
        raised = ValueError if detail["type"] == "value_error" else AssertionError
        context = {"error": raised(_HIDDEN if unsafe else str(context.get("error", "")))}
    elif unsafe:
        kind, context = PydanticCustomError(detail["type"], _HIDDEN), {}
    where = tuple(
        MASK if isinstance(step, str) and step not in names and step in texts else step for step in detail["loc"]
    )
    try:
        built = InitErrorDetails(type=kind, loc=where, input=MASK, ctx=context)
        ValidationError.from_exception_data("", [built])
    except (KeyError, TypeError, ValueError):  # a type that a validator made up
        message = detail["msg"] if not context else detail["msg"].replace("{", "(").replace("}", ")")
        custom = PydanticCustomError(detail["type"], message, context or None)
        built = InitErrorDetails(type=custom, loc=where, input=MASK)
    return built


# --- schemas ------------------------------------------------------------------------------------------------------


def drop_secret_defaults(schema: Any) -> Any:
    """Remove, in place, the defaults and examples of what a JSON schema says is a secret; return the schema."""
    if isinstance(schema, dict):
        if _is_write_only(schema):
            for name in ("default", "examples", "example", "const", "enum"):
                schema.pop(name, None)
        for value in schema.values():
            drop_secret_defaults(value)
    elif isinstance(schema, list):
        for value in schema:
            drop_secret_defaults(value)
    return schema


def _is_write_only(schema: Mapping[str, Any]) -> bool:
    if schema.get("writeOnly") is True:
        return True
    inner = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ()), schema.get("items")]
    return any(_is_write_only(each) for each in inner if isinstance(each, dict))

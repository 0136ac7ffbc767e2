"""The fields of block types and forms: described, and read from options; `cli.asking` asks for them.

Secrets come from a prompt without echo, stdin, a variable or a file: what is on a command line can be seen by other
users of the machine, and stays in the shell's history.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import SecretStr, ValidationError
from pydantic_core import PydanticUndefined

from entrepot.blocks import Block
from entrepot.blocks._annotations import facts_of
from entrepot.blocks._references import is_reference
from entrepot.blocks.fields import reasons
from entrepot.errors import BlockSchemaError, OptionError
from entrepot.input.checking import Schema, is_secret, kinds, resolved

__all__ = [
    "FieldInfo",
    "build_block",
    "covered",
    "describe_fields",
    "describe_wholes",
    "fields_of_schema",
    "interactive",
    "read_options",
    "value_of",
]

_KINDS: Final = {bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}

_AS_JSON: Final = {  # what to say of the errors of pydantic that a text gets which is none of these
    "dict_type": '; an object is written as JSON, as in {"name": "value"}',
    "list_type": '; a list is written as JSON, as in ["one", "two"]',
}

_WORDS: Final = MappingProxyType(
    {
        "string": "text",
        "boolean": "yes or no",
        "integer": "whole number",
        "number": "number",
        "array": "list, as JSON",
        "object": "object, as JSON",
    }
)


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """One field of a block type.

    Attributes:
        name: As it is given: the alias, where there is one.
        type: Its annotation, for people.
        required: Whether it has no default.
        secret: Whether it holds a secret.
        default: Its default as text; None where there is none, or where it is secret.
        description: What it is for.
        kinds: The JSON types that it takes, except null; empty for any.
        words: Its type, for people who are asked for it.
        schema: Its JSON schema, with the `$defs` that it refers to.
        block: Whether a saved block can be named for it: `block://type/name`.
    """

    name: str
    type: str
    required: bool
    secret: bool
    default: str | None
    description: str
    kinds: frozenset[str]
    words: str = ""
    schema: Schema = field(default_factory=dict, hash=False, compare=False)
    block: bool = False

    @property
    def choices(self) -> tuple[object, ...]:
        """Return the values that it takes, where they are few and known."""
        return _choices(self.schema, self.schema.get("$defs", {}))


def describe_fields(cls: type[Block]) -> list[FieldInfo]:
    """Return the fields of a block type, in their order."""
    schema = cls.model_json_schema()
    facts = facts_of(cls)
    found = []
    for name, info in cls.model_fields.items():
        given = info.alias or name
        secret = facts.fields[name].secret
        default = None
        if not secret and not info.is_required():
            value = info.get_default(call_default_factory=True) if not _takes_data(info) else PydanticUndefined
            default = None if value is PydanticUndefined else str(value.value if isinstance(value, Enum) else value)
        property_ = schema.get("properties", {}).get(given, {})
        found.append(
            FieldInfo(
                given,
                _type_text(info.annotation),
                info.is_required(),
                secret,
                default,
                info.description or "",
                frozenset(taken := kinds(property_, schema.get("$defs", {}))),
                _words(property_, schema.get("$defs", {}), taken),
                {**property_, "$defs": schema.get("$defs", {})},
                facts.fields[name].block,
            )
        )
    return found


def describe_wholes(cls: type[Block]) -> dict[str, tuple[FieldInfo, tuple[str, ...]]]:
    """Return by name what a block type takes in the place of several fields, and which those are."""
    return {
        name: (
            FieldInfo(
                name,
                "str",
                required=False,
                secret=True,
                default=None,
                description=f"All of {', '.join(parts[:-1])} and {parts[-1]} in one; Enter to give each of them.",
                kinds=frozenset({"string"}),
                words="text",
                schema={"type": "string"},
            ),
            parts,
        )
        for name, parts in cls._stands_for.items()
    }


def covered(cls: type[Block], answers: Mapping[str, object]) -> set[str]:
    """Return the fields for which something else was given that stands for them, such as a URL."""
    return {part for name, parts in cls._stands_for.items() if answers.get(name) for part in parts}


def fields_of_schema(form: Schema) -> list[FieldInfo]:
    """Return the fields of an object by its JSON schema, in their order."""
    definitions = form.get("$defs", {})
    found = []
    for name, schema in form.get("properties", {}).items():
        shown = resolved(schema, definitions) if isinstance(schema, Mapping) else {}
        secret = is_secret(schema, definitions)
        default = None
        if "default" in shown and not secret:
            default = shown["default"] if isinstance(shown["default"], str) else json.dumps(shown["default"])
        taken = kinds(schema, definitions)
        words = _words(schema, definitions, taken)
        found.append(
            FieldInfo(
                name=str(name),
                type=words,
                required=name in form.get("required", ()),
                secret=secret,
                default=default,
                description=str(shown.get("description", "")),
                kinds=frozenset(taken),
                words=words,
                schema={**shown, "$defs": definitions},
            )
        )
    return found


def interactive() -> bool:
    """Return whether there is a person to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def read_options(
    fields: Sequence[FieldInfo],
    *,
    plain: Sequence[str] = (),
    from_env: Sequence[str] = (),
    from_file: Sequence[str] = (),
    from_stdin: str | None = None,
) -> dict[str, object]:
    """Return the values that options give.

    Args:
        fields: The fields of the type.
        plain: `name=value`, for fields that hold no secret; for others, where the secret is: `env://NAME`.
        from_env: `name=VARIABLE`.
        from_file: `name=path`.
        from_stdin: The name of the field that stdin is for.

    Raises:
        OptionError: If an option is none, names no field, gives a field twice, or gives a secret in clear or an empty
            one.
    """
    known = {field.name: field for field in fields}
    values: dict[str, object] = {}

    def keep(name: str, text: str, option: str) -> None:
        if name in values:
            raise OptionError(f"{option} gives the field {name!r} a second time; give it once", option=option)
        _check_given(known[name], text, option)
        value = value_of(known[name], text)
        # A variable or a file that is named for a secret has the secret itself, whatever that looks like.
        if known[name].secret and option != "--field" and isinstance(value, str) and is_reference(value):
            value = SecretStr(value)
        values[name] = value

    for option in plain:
        name, text = _pair(option, "--field", known)
        if known[name].secret and not is_reference(text):
            raise OptionError(
                f"the field {name!r} is a secret, and a command line can be seen by others and stays in the shell's"
                f" history: leave it out to be asked for it, or use --secret-env {name}=VARIABLE, --secret-file"
                f" {name}=PATH, or --secret-from-stdin {name} (if that was a real secret, change it); what a field"
                f" takes here is a reference to where the secret is, as {name}=env://NAME",
                option="--field",
            )
        keep(name, text, "--field")
    for option in from_env:
        name, variable = _pair(option, "--secret-env", known)
        if variable not in os.environ:
            raise OptionError(f"--secret-env: the variable {variable} is not set", option="--secret-env")
        keep(name, os.environ[variable], "--secret-env")
    for option in from_file:
        name, path = _pair(option, "--secret-file", known)
        keep(name, _read_file(path), "--secret-file")
    if from_stdin is not None:
        _check_known(from_stdin, "--secret-from-stdin", known)
        keep(from_stdin, _without_line_end(sys.stdin.read()), "--secret-from-stdin")
    return values


def build_block(cls: type[Block], values: Mapping[str, object]) -> Block:
    """Return a block of these values.

    Raises:
        BlockSchemaError: If they do not make one; the message names fields and reasons, never values.
    """
    try:
        return cls(**values)
    except ValidationError as error:
        raise BlockSchemaError(
            f"these fields do not make a block of the type {cls.get_block_type_slug()}: "
            + "; ".join(reasons(error))
            + "".join({_AS_JSON.get(detail["type"], ""): None for detail in error.errors(include_input=False)}),
            name=cls.get_block_type_slug(),
        ) from None


# --- reading ----------------------------------------------------------------------------------------------------------


def _pair(option: str, what: str, known: Mapping[str, FieldInfo]) -> tuple[str, str]:
    name, mark, text = option.partition("=")
    if not mark:
        # What stands there may be a secret: it is not repeated.
        raise OptionError(f"{what} takes name=..., and there is no '=' in what was given", option=what)
    _check_known(name, what, known)
    return name, text


def _check_known(name: str, what: str, known: Mapping[str, FieldInfo]) -> None:
    if name not in known:
        from difflib import get_close_matches  # noqa: PLC0415  only a slip pays for it

        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"{what}: no field named {name!r}{hint}; known: {', '.join(known)}", option=what)


def _check_given(field: FieldInfo, text: str, option: str) -> None:
    """Refuse an empty secret: a variable that a CI job lacks, a command before the pipe that failed."""
    if field.secret and not text:
        raise OptionError(
            f"{option}: what was given for the secret {field.name!r} is empty, and nothing is saved; see to where it"
            ' comes from (one that is to be empty is typed: leave the option out, and answer "")',
            option=option,
        )


def _read_file(path: str) -> str:
    try:
        return _without_line_end(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise OptionError(f"--secret-file: {path} cannot be read: {reason}", option="--secret-file") from None


def _without_line_end(text: str) -> str:
    """Return text without one line end at its end: what `echo` and editors put there."""
    return text.removesuffix("\n").removesuffix("\r")


def value_of(field: FieldInfo, text: str) -> object:
    """Return the JSON value that text stands for where the field takes such, else the text."""
    if field.kinds == {"string"}:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    kind = _KINDS.get(type(value))
    if not field.kinds:
        return value
    if kind in field.kinds or (kind == "integer" and "number" in field.kinds):
        return value
    return text


# --- describing -------------------------------------------------------------------------------------------------------


def _takes_data(info: Any) -> bool:
    return bool(getattr(info, "default_factory_takes_validated_data", False))


def _type_text(annotation: Any) -> str:
    if isinstance(annotation, type) and not getattr(annotation, "__args__", None):
        return annotation.__name__
    text = str(annotation)
    for noise in ("typing.", "pydantic.types.", "collections.abc."):
        text = text.replace(noise, "")
    return text


def _words(schema: Any, definitions: Schema, taken: set[str]) -> str:
    """Return what a schema takes, for people who are asked for it."""
    shown = resolved(schema, definitions) if isinstance(schema, Mapping) else {}
    choices = _choices(shown, definitions)
    if choices:
        *first, last = map(str, choices)
        return f"{', '.join(first)} or {last}" if first else last
    if taken == {"string"} and shown.get("format") not in {None, "password"}:
        return str(shown["format"])
    return " or ".join(_WORDS.get(kind, kind) for kind in sorted(taken)) or "anything, as JSON"


def _choices(schema: Any, definitions: Schema) -> tuple[object, ...]:
    shown = resolved(schema, definitions) if isinstance(schema, Mapping) else {}
    if "enum" in shown or "const" in shown:
        return tuple(shown.get("enum", [shown.get("const")]))
    inner = [each for each in shown.get("anyOf", ()) if each != {"type": "null"}]
    return _choices(inner[0], definitions) if len(inner) == 1 else ()

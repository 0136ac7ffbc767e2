"""Answers as people and programs give them at the command line: asked for field by field, or read from its options."""

import json
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import typer

from entrepot.cli.block_fields import FieldInfo, ask_for_field, interactive, value_of
from entrepot.cli.output import clean, ok, warn
from entrepot.errors import InputError, OptionError
from entrepot.flow_runs.answering import Waiting, form_of
from entrepot.input.checking import is_secret, kinds, problems, resolved

__all__ = ["read_answer"]

_TRIES: Final = 3
_WORDS: Final = MappingProxyType(
    dict.fromkeys(("yes", "y", "true", "on"), True) | dict.fromkeys(("no", "n", "false", "off"), False)
)
_KINDS: Final = MappingProxyType(
    {
        "string": "text",
        "boolean": "yes or no",
        "integer": "whole number",
        "number": "number",
        "array": "list, as JSON",
        "object": "object, as JSON",
    }
)


def read_answer(found: Waiting, given: Sequence[str], json_input: str | None) -> Any:
    """Return an answer as JSON values, read from the options, or from the person at the terminal.

    Args:
        found: What is to be answered.
        given: `FIELD=VALUE`. If there are any, only what must be there besides is asked for.
        json_input: The whole answer instead: JSON, `@file`, or `-` for stdin.

    Raises:
        InputError: If it is none.
        OptionError: If a secret is given where others can see it, or a file cannot be read.
    """
    form = form_of(found.pause)
    if json_input is not None and given:
        raise OptionError("--json-input is the whole answer; give FIELD=VALUE or that", option="--json-input")
    if form is None:
        if given or json_input is not None:
            raise InputError(f"flow run {found.name!r} waits for no input; answer without any", field="")
        return None
    return _read_form(found, form, given) if json_input is None else _read_json(form, json_input)


def _read_json(form: Mapping[str, Any], source: str) -> Any:
    """Return the answer that is given as JSON."""
    if source == "-":
        text = sys.stdin.read()
    elif source.startswith("@"):
        try:
            text = Path(source[1:]).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise OptionError(f"--json-input: {source[1:]} cannot be read: {reason}", option="--json-input") from None
    else:
        secret = [field.name for field in _fields(form) if field.secret]
        if secret:
            raise _seen(secret[0], "--json-input=@FILE or --json-input=-")
        text = source
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # whose message and attributes hold the text
        raise InputError("--json-input is no JSON", field="") from None


def _read_form(found: Waiting, form: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """Return the answer of `FIELD=VALUE`, and of what is asked for."""
    fields = {field.name: field for field in _fields(form)}
    said: dict[str, Any] = {}
    for pair in given:
        name, mark, text = pair.partition("=")
        if not mark or name not in fields:
            near = get_close_matches(name, fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"fields: {', '.join(fields)}"
            raise InputError("an answer is FIELD=VALUE; " + hint, field=name if mark else "")
        if name in said:
            raise InputError(f"the field {name!r} is given a second time; give it once", field=name)
        if fields[name].secret:
            raise _seen(name, "the prompt (leave it out), --json-input=@FILE or --json-input=-")
        said[name] = _typed(form, fields[name], text)
    missing = [field for field in fields.values() if field.name not in said and (field.required or not given)]
    if not missing:
        return said
    if not interactive():
        raise InputError(
            f"flow run {found.name!r} waits for {', '.join(f'{field.name} ({field.type})' for field in missing)}: give"
            " it as FIELD=VALUE or with --json-input (for the defaults: --json-input={})",
            field=missing[0].name,
        )
    ok(f"Flow run {found.name!r} asks: {found.pause.message}")
    if found.pause.refused:
        warn(f"the last answer was refused: {found.pause.refused}")
    for field in missing:
        _ask(form, field, said)
    return said


def _ask(form: Mapping[str, Any], field: FieldInfo, said: dict[str, Any]) -> None:
    """Ask for a field until what is said fits, and put it into the answer; leave it out for the default."""
    for turn in range(_TRIES):
        text = ask_for_field(field)
        if text is None:
            return
        said[field.name] = _typed(form, field, text)
        wrong = problems(_field_form(form, field.name), said[field.name])
        if not wrong or turn == _TRIES - 1:  # what does not fit even then is refused as a whole
            return
        typer.echo(f"  {clean('; '.join(map(str, wrong)))}", err=True)


def _typed(form: Mapping[str, Any], field: FieldInfo, text: object) -> object:
    """Return the JSON value that a text stands for."""
    if not isinstance(text, str):
        return text  # the prompt has seen to it
    value = value_of(field, text)
    if isinstance(value, str) and "string" not in field.kinds:
        if "boolean" in field.kinds and value.lower() in _WORDS:
            return _WORDS[value.lower()]
        if value == "null" and not problems(_field_form(form, field.name), None):
            return None
    return value


def _seen(name: str, instead: str) -> OptionError:
    return OptionError(
        f"the field {name!r} is a secret, and a command line can be seen by others and stays in the shell's history:"
        f" use {instead} (if that was a real secret, change it)",
        option=name,
    )


def _fields(form: Mapping[str, Any]) -> list[FieldInfo]:
    """Return the fields of a form, in their order."""
    definitions = form.get("$defs", {})
    found = []
    for name, schema in form["properties"].items():
        shown = resolved(schema, definitions) if isinstance(schema, Mapping) else {}
        secret = is_secret(schema, definitions)
        default = None
        if "default" in shown and not secret:
            default = shown["default"] if isinstance(shown["default"], str) else json.dumps(shown["default"])
        taken = kinds(schema, definitions)
        found.append(
            FieldInfo(
                name=str(name),
                type=_type_text(shown, taken),
                required=name in form.get("required", ()),
                secret=secret,
                default=default,
                description=str(shown.get("description", "")),
                kinds=frozenset(taken),
            )
        )
    return found


def _field_form(form: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return {**form["properties"][name], "$defs": form.get("$defs", {})}


def _type_text(schema: Mapping[str, Any], taken: set[str]) -> str:
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if taken == {"string"} and schema.get("format") not in {None, "password"}:
        return str(schema["format"])
    return " or ".join(_KINDS.get(kind, kind) for kind in sorted(taken)) or "anything, as JSON"

"""Answers as people and programs give them at the command line: asked for field by field, or read from its options."""

import json
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from entrepot.cli.asking import YES_NO, ask_for_fields
from entrepot.cli.block_fields import FieldInfo, fields_of_schema, interactive, value_of
from entrepot.cli.output import ok, warn
from entrepot.errors import InputError, OptionError
from entrepot.flow_runs.answering import Waiting, form_of
from entrepot.input.checking import problems

__all__ = ["read_answer"]


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
        secret = [field.name for field in fields_of_schema(form) if field.secret]
        if secret:
            raise _seen(secret[0], "--json-input=@FILE or --json-input=-")
        text = source
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # whose message and attributes hold the text
        raise InputError("--json-input is no JSON", field="") from None


def _read_form(found: Waiting, form: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """Return the answer of `FIELD=VALUE`, and of what is asked for."""
    fields = {field.name: field for field in fields_of_schema(form)}
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
    _ask(form, missing, said)
    return said


def _ask(form: Mapping[str, Any], fields: Sequence[FieldInfo], said: dict[str, Any]) -> None:
    """Ask for fields, and put the answers in; what is left to its default is left out."""

    def check(field: FieldInfo, value: object, _: Mapping[str, object]) -> list[str]:
        found = problems(_field_form(form, field.name), value)
        return [str(each) if each.where else f"it {each}" for each in found]

    ask_for_fields(fields, check, said)


def _typed(form: Mapping[str, Any], field: FieldInfo, text: str) -> object:
    """Return the JSON value that a text stands for."""
    value = value_of(field, text)
    if isinstance(value, str) and "string" not in field.kinds:
        if "boolean" in field.kinds and value.lower() in YES_NO:
            return YES_NO[value.lower()]
        if value == "null" and not problems(_field_form(form, field.name), None):
            return None
    return value


def _seen(name: str, instead: str) -> OptionError:
    return OptionError(
        f"the field {name!r} is a secret, and a command line can be seen by others and stays in the shell's history:"
        f" use {instead} (if that was a real secret, change it)",
        option=name,
    )


def _field_form(form: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return {**form["properties"][name], "$defs": form.get("$defs", {})}

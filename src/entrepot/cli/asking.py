"""One way to ask a person for the fields of something: blocks, and the answers that flow runs wait for.

Each answer is checked when it is given. A person can go back, and take the default after all; what they typed before
stays the answer until they type another.
"""

import dataclasses
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

import typer
from pydantic_core import to_jsonable_python

from entrepot._sentinels import MISSING
from entrepot.cli.block_fields import FieldInfo, fields_of_schema, value_of
from entrepot.cli.output import clean, cut
from entrepot.errors import OptionError
from entrepot.input.checking import problems, resolved

if sys.platform != "win32":
    import termios

__all__ = ["HINT", "YES_NO", "Check", "ask_for_fields", "ask_hidden", "ask_line", "confirm", "tell"]

Check: TypeAlias = Callable[[FieldInfo, object, Mapping[str, object]], Sequence[str]]
"""Says what is wrong with an answer for a field, given the answers so far; nothing if it will do."""

HINT: Final = "Enter takes the default (or keeps an answer), - clears an answer, < goes back."
YES_NO: Final = MappingProxyType(
    dict.fromkeys(("yes", "y", "true", "on"), True) | dict.fromkeys(("no", "n", "false", "off"), False)
)

_BACK: Final = "<"
_RESET: Final = "-"
_LITERAL: Final = MappingProxyType({"\\<": "<", "\\-": "-", '""': ""})  # how these are given as texts
_NOTHING: Final = (None, "None", "null", "", "[]", "{}")  # defaults that say nothing to a person
_READABLE: Final = 20  # columns, below which nothing is wrapped
_TRIES: Final = 5
_SHOWN: Final = 40  # characters of a default
_MAX_LINES: Final = 500  # of a secret that is pasted


class _Back(Exception):  # noqa: N818  no error: the person wants the field before this one
    """Somebody goes back."""


def ask_for_fields(fields: Sequence[FieldInfo], check: Check, answers: MutableMapping[str, object]) -> None:
    """Ask for fields, one after another.

    Args:
        fields: Which.
        check: Called with each answer.
        answers: By field name; those that are there are what Enter keeps. A field is left out for its default.

    Raises:
        OptionError: If the input ends, or no answer will do after some tries.
    """
    _ask_all(fields, check, answers, outer=False)


def ask_line(prompt: str) -> str:
    """Return a line that a person types, without its end.

    Raises:
        OptionError: If the input ends.
    """
    typer.echo(clean(prompt), nl=False, err=True)
    return _read_line()


def confirm(question: str, *, default: bool) -> bool:
    """Ask until the answer is yes, no or Enter.

    Raises:
        OptionError: If the input ends.
    """
    while True:
        text = ask_line(f"{question} {'[Y/n]' if default else '[y/N]'} ").strip().lower()
        if not text:
            return default
        if text in YES_NO:
            return YES_NO[text]
        tell("yes or no?")


def tell(text: str, margin: str = "  ") -> None:
    """Print something for the person at the terminal, in lines that fit it."""
    columns = shutil.get_terminal_size().columns if sys.stderr.isatty() else 0
    said = clean(text)
    if len(margin) + len(said) > columns > _READABLE:
        said = f"\n{margin}".join(textwrap.wrap(said, columns - len(margin), break_long_words=False))
    typer.echo(margin + said, err=True)


# --- fields -----------------------------------------------------------------------------------------------------------


def _ask_all(
    fields: Sequence[FieldInfo], check: Check, answers: MutableMapping[str, object], *, outer: bool, margin: str = ""
) -> None:
    """Ask for fields; where there is something outside of them, going back from the first one leads there."""
    at = 0
    while at < len(fields):
        try:
            _ask_one(fields[at], check, answers, margin)
        except _Back:
            if at == 0 and outer:
                raise
            if at == 0:
                tell("this is the first field", f"{margin}  ")
            at = max(at - 1, 0)
        else:
            at += 1


def _ask_one(field: FieldInfo, check: Check, answers: MutableMapping[str, object], margin: str) -> None:
    if field.description:
        tell(field.description, margin)
    for turn in range(_TRIES):
        answer = _answer(field, answers, margin)
        if answer is None:
            return
        wrong = check(field, answer[0], answers)
        if not wrong:
            answers[field.name] = answer[0]
            return
        reason = "; ".join(dict.fromkeys(wrong))
        if turn == _TRIES - 1:
            raise OptionError(f"{field.name}: {reason}; {_TRIES} answers would not do, nothing was saved", option="")
        tell(reason, f"{margin}  ")


def _answer(field: FieldInfo, answers: MutableMapping[str, object], margin: str) -> tuple[object] | None:
    """Return an answer; or None for the one that is there, or the default."""
    while True:
        try:
            value = _read(field, answers, margin)
        except ValueError as error:
            tell(str(error), f"{margin}  ")
            continue
        is_reset = value == _RESET and isinstance(value, _Command)
        if is_reset and field.required and field.name in answers:
            tell("it has no default: give another value, or Enter to keep what is there", f"{margin}  ")
            continue
        if is_reset:
            answers.pop(field.name, None)
        elif not isinstance(value, _Command):
            return (value,)
        if field.name in answers or not field.required:
            return None
        tell('it has no default: give a value ("" is an empty text)', f"{margin}  ")


class _Command(str):
    """What is no answer, but says what to do: nothing, or `-`."""

    __slots__ = ()


def _read(field: FieldInfo, answers: Mapping[str, object], margin: str) -> object:
    """Return what a person answers: a value or a `_Command`.

    Raises:
        ValueError: If it is none.
        _Back: If they want to go back.
    """
    kind = _shape(field)
    prompt = f"{margin}  {field.name} ({', '.join([_words(field, kind), *_default(field, answers)])}): "
    hidden = field.secret and kind in {"", "list"}
    text = _line(prompt, hidden=hidden)
    if isinstance(text, _Command):
        return text
    whole = _value(field, text) if not kind or not field.secret else text
    if not kind or not isinstance(whole, str):
        return whole  # all of it at once, as JSON
    try:
        if kind == "list":
            return _list(field, text, margin)
        if kind == "dict":
            return _dict(field, text, margin, answers.get(field.name))
        return _model(field, text, margin)
    except _Back:
        raise ValueError("from its beginning") from None


def _shape(field: FieldInfo) -> str:
    """Return what a field is asked for as: "list", "dict", "model", or "" for one text."""
    if field.kinds == {"array"} and "prefixItems" not in _only(field):
        return "list"
    if field.kinds != {"object"} or field.block:
        return ""
    form = _only(field)
    if form.get("properties"):
        return "model"
    inner = form.get("additionalProperties")
    plain = isinstance(inner, Mapping) and inner and not _member(field, inner, "").kinds & {"array", "object"}
    return "dict" if plain or (form.get("additionalProperties") is True and not field.secret) else ""


def _only(field: FieldInfo) -> Mapping[str, object]:
    """Return the schema of what is not null in a field."""
    definitions = field.schema.get("$defs", {})
    shown = resolved(field.schema, definitions)
    inner = [each for each in shown.get("anyOf", ()) if each != {"type": "null"}]
    return resolved(inner[0], definitions) if len(inner) == 1 else shown


def _member(field: FieldInfo, schema: object, name: str) -> FieldInfo:
    """Return a member of a field as a field of its own."""
    form = {"properties": {name: schema}, "required": [name], "$defs": field.schema.get("$defs", {})}
    return fields_of_schema(form)[0]


def _words(field: FieldInfo, kind: str) -> str:
    words = field.words or field.type
    if field.block:
        return "a saved block, as block://type/name"
    if kind == "list":
        words = "list, one a line"
    elif kind == "dict":
        words = "names and values, a name first"
    elif kind == "model":
        words = ", ".join(each.name for each in _inner_fields(field)) + "; y to give them"
    return f"{words}, not shown" if field.secret and kind in {"", "list"} else words


def _default(field: FieldInfo, answers: Mapping[str, object]) -> list[str]:
    """Say what Enter does."""
    value = answers.get(field.name, MISSING)
    by_default = field.default in _NOTHING and not field.required
    if value is None or value in ([], {}):
        return ["optional"] if by_default else ["Enter keeps nothing"]
    if isinstance(value, Mapping) and _shape(field) == "dict":
        return [f"Enter keeps {cut(', '.join(map(str, value)), _SHOWN)}"]
    if value is not MISSING and field.secret:
        return ["Enter keeps it"]
    if value is not MISSING and (
        field.required or str(value.value if isinstance(value, Enum) else value) != field.default
    ):
        return [f"Enter keeps {_said(field, value)}"]
    if field.required:
        return []
    return ["optional"] if by_default else [f"default {_said(field, field.default)}"]


def _said(field: FieldInfo, value: object) -> str:
    """Return a value as a person would type it."""
    plain = to_jsonable_python(value, fallback=str)
    if "boolean" in field.kinds and str(plain) in {"True", "False"}:  # defaults are texts
        return "yes" if str(plain) == "True" else "no"
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    return cut(text, _SHOWN) or "an empty text"


# --- values -----------------------------------------------------------------------------------------------------------


def _value(field: FieldInfo, text: str) -> object:
    """Return the value that a text stands for."""
    if field.secret and field.kinds <= {"string"}:
        return text
    words = YES_NO if "string" not in field.kinds else ("yes", "no", "true", "false")
    if "boolean" in field.kinds and text.lower() in words:
        return YES_NO[text.lower()]
    alike = [each for each in field.choices if str(each).lower() == text.lower()]
    if len(alike) == 1:
        return alike[0]
    if text == "null" and "string" not in field.kinds:
        return None
    return value_of(field, text)


def _list(field: FieldInfo, text: str, margin: str) -> list[object]:
    member = _member(field, _only(field).get("items", {}), "item")
    found: list[object] = []
    while not isinstance(text, _Command):
        found.append(_value(member, text))
        text = _next(f"{margin}    number {len(found) + 1} (Enter ends): ", hidden=field.secret)
    return found


def _dict(field: FieldInfo, name: str, margin: str, before: object) -> dict[str, object]:
    """Ask for names and values; they join those that are there, of which `-` takes one away."""
    schema = _only(field).get("additionalProperties")
    member = _member(field, schema if isinstance(schema, Mapping) else {}, "value")
    if name.startswith("{"):
        raise ValueError("give a name; its value is asked for next, and not shown")
    found: dict[str, object] = dict(before) if isinstance(before, Mapping) else {}
    hidden = field.secret or member.secret
    while not isinstance(name, _Command):
        value = _line(f"{margin}    {name}{' (not shown)' if hidden else ''}: ", hidden=hidden)
        if value == _RESET and isinstance(value, _Command):
            found.pop(name, None)
        else:
            found[name] = "" if isinstance(value, _Command) else _value(member, value)
        name = _next(f"{margin}    another name (Enter ends): ", hidden=False)
    return found


def _model(field: FieldInfo, text: str, margin: str) -> dict[str, object]:
    if not YES_NO.get(text.lower(), False):
        raise ValueError("y asks for each of them")
    found: dict[str, object] = {}

    def check(inner: FieldInfo, value: object, _: Mapping[str, object]) -> list[str]:
        return [str(each) if each.where else f"it {each}" for each in problems(inner.schema, value)]

    _ask_all(_inner_fields(field), check, found, outer=True, margin=margin + "    ")
    return found


def _inner_fields(field: FieldInfo) -> list[FieldInfo]:
    fields = fields_of_schema({**_only(field), "$defs": field.schema.get("$defs", {})})
    if field.secret and not any(each.secret for each in fields):  # which one it is cannot be told: none is shown
        return [dataclasses.replace(each, secret=True) for each in fields]
    return fields


# --- lines ------------------------------------------------------------------------------------------------------------


def _line(prompt: str, *, hidden: bool) -> str:
    """Return a text that a person gives, or a `_Command`.

    Raises:
        ValueError: If keys are in it that are no text.
        _Back: If they want to go back.
    """
    text = ask_hidden(prompt) if hidden else ask_line(prompt)
    if text == _BACK:
        raise _Back
    if text in {"", _RESET}:
        return _Command(text)
    if any((letter < " " and letter not in "\t\n") or letter == "\x7f" for letter in text):
        raise ValueError("a key was pressed that is no text (an arrow, say): type it again")
    return _LITERAL.get(text, text)


def _next(prompt: str, *, hidden: bool) -> str:
    """Return one more entry, or a `_Command` for none; to clear what was said so far is to begin again."""
    text = _line(prompt, hidden=hidden)
    if text == _RESET and isinstance(text, _Command):
        raise _Back
    return text


def ask_hidden(prompt: str) -> str:
    """Return what a person types, without echo: a line, or the lines of a key or of JSON that are pasted.

    Raises:
        OptionError: If the input ends.
    """
    if sys.platform == "win32":
        import getpass  # noqa: PLC0415  only where there is no other way

        return getpass.getpass(prompt, stream=sys.stderr)
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):  # no terminal: nobody echoes
        return ask_line(prompt)
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    try:
        # Not flushed: what is pasted comes in one piece, and getpass would throw away all but its first line.
        termios.tcsetattr(descriptor, termios.TCSADRAIN, silent)
        lines = [ask_line(prompt)]
        while _is_open(lines) and len(lines) < _MAX_LINES:
            lines.append(_read_line())
        return "\n".join(lines) + ("\n" if len(lines) > 1 else "")
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        typer.echo("", err=True)


def _is_open(lines: Sequence[str]) -> bool:
    """Return whether a text goes on: a key without its last line, or JSON without its end."""
    first, last = lines[0].lstrip(), lines[-1]
    if first.startswith("-----BEGIN "):
        return not last.startswith("-----END ")
    if not first.startswith("{") or not lines[0].endswith(("{", ",")) or not last:
        return False
    try:
        json.loads("\n".join(lines))
    except ValueError:
        return True
    return False


def _read_line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise OptionError("the input ended before the answer; nothing was saved", option="stdin")
    return line.rstrip("\r\n")

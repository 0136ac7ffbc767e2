"""What is wrong with a JSON value, by a JSON Schema as pydantic writes it: an early word, where the model is not known.

The model itself has the last word; so what is not understood here (`pattern`, most formats) is let pass. Messages never
repeat the value, which may be a secret.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

__all__ = ["Problem", "Schema", "is_secret", "kinds", "problems", "resolved"]

Schema: TypeAlias = Mapping[str, Any]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_DEPTH: Final = 50  # of values and references; a schema that refers to itself ends there
_TYPES: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = MappingProxyType(
    {
        "string": (lambda value: isinstance(value, str), "a text"),
        "boolean": (lambda value: isinstance(value, bool), "true or false"),
        "integer": (lambda value: _is_number(value) and value == value // 1, "a whole number"),
        "number": (_is_number, "a number"),
        "array": (lambda value: isinstance(value, list), "a list"),
        "object": (lambda value: isinstance(value, dict), "an object, {...}"),
        "null": (lambda value: value is None, "null"),
    }
)
_FORMATS: Final[Mapping[str, tuple[Callable[[str], object], str]]] = MappingProxyType(
    {
        "date": (date.fromisoformat, "a date, as 2026-01-31"),
        "time": (time.fromisoformat, "a time of day, as 13:45"),
        "date-time": (datetime.fromisoformat, "a date and time, as 2026-01-31T13:45:00+00:00"),
        "uuid": (UUID, "a UUID"),
    }
)


class Problem(NamedTuple):
    """Something that is wrong.

    Attributes:
        where: The place in the value, as `address.street`; empty for all of it.
        what: What is wrong there.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


def problems(schema: Schema, value: Any) -> list[Problem]:
    """Return what is wrong with a value; nothing if it fits as far as can be told here.

    Args:
        schema: With its `$defs`, if it refers to any.
        value: As `json.loads` gives it.
    """
    try:
        return list(_Checker(schema.get("$defs", {})).check(schema, value, "", 0))
    except (AttributeError, TypeError, ValueError):  # pydantic wrote no such thing
        return [Problem("", "cannot be checked: the schema that it is to fit is none")]


def resolved(schema: Schema, definitions: Schema) -> Schema:
    """Return a schema with what it refers to in its place, and what it says beside that."""
    for _ in range(_DEPTH):
        reference = schema.get("$ref")
        target = definitions.get(str(reference).rpartition("/")[2]) if reference else None
        if not isinstance(target, Mapping):
            break
        schema = {**target, **{name: said for name, said in schema.items() if name != "$ref"}}
    return schema


def kinds(schema: Any, definitions: Schema, depth: int = 0) -> set[str]:
    """Return the JSON types that a schema takes, except null; none where it takes anything."""
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return set()
    schema = resolved(schema, definitions)
    found = {
        kind
        for each in ("anyOf", "oneOf", "allOf")
        for inner in schema.get(each, ())
        for kind in kinds(inner, definitions, depth + 1)
    }
    kind = schema.get("type")
    return (found | set([kind] if isinstance(kind, str) else kind or ())) - {"null"}


def is_secret(schema: Any, definitions: Schema, depth: int = 0) -> bool:
    """Return whether a schema says that there is a secret in its values."""
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return False
    schema = resolved(schema, definitions)
    if schema.get("writeOnly") is True:
        return True
    inner = [part for each in ("anyOf", "oneOf", "allOf", "prefixItems") for part in schema.get(each, ())]
    inner += [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return any(is_secret(part, definitions, depth + 1) for part in inner)


class _Checker:
    def __init__(self, definitions: Schema) -> None:
        self._definitions = definitions

    def check(self, schema: Any, value: Any, where: str, depth: int) -> Iterator[Problem]:
        """Yield what is wrong with a value at a place."""
        if not isinstance(schema, Mapping) or depth > _DEPTH:
            return
        schema = resolved(schema, self._definitions)
        for part in schema.get("allOf", ()):
            yield from self.check(part, value, where, depth + 1)
        choices = schema.get("anyOf") or schema.get("oneOf")
        if choices:
            yield from self._choose(choices, value, where, depth)
        known = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if known is not None and not any(type(value) is type(one) and value == one for one in known):
            yield Problem(where, f"is not {' or '.join(map(str, known))}")
        wanted = schema.get("type")
        names = [name for name in ([wanted] if isinstance(wanted, str) else wanted or ()) if name in _TYPES]
        if names and not any(_TYPES[name][0](value) for name in names):
            yield Problem(where, f"is not {' or '.join(_TYPES[name][1] for name in names)}")
        elif isinstance(value, str):
            yield from _of_text(schema, value, where)
        elif _is_number(value):
            yield from _of_number(schema, value, where)
        elif isinstance(value, list):
            yield from self._of_list(schema, value, where, depth)
        elif isinstance(value, dict):
            yield from self._of_object(schema, value, where, depth)

    def _choose(self, choices: list[Any], value: Any, where: str, depth: int) -> Iterator[Problem]:
        troubles = [list(self.check(choice, value, where, depth + 1)) for choice in choices]
        if not all(troubles):
            return
        # Of a choice between something and null, what the something says is clearer.
        real = [found for choice, found in zip(choices, troubles, strict=True) if choice != {"type": "null"}]
        if len(real) == 1:
            yield from real[0]
        else:
            yield Problem(where, " and ".join(dict.fromkeys(found[0].what for found in real)))

    def _of_list(self, schema: Schema, value: list[Any], where: str, depth: int) -> Iterator[Problem]:
        if len(value) < schema.get("minItems", 0):
            yield Problem(where, f"has fewer than {schema['minItems']} items")
        if "maxItems" in schema and len(value) > schema["maxItems"]:
            yield Problem(where, f"has more than {schema['maxItems']} items")
        first = schema.get("prefixItems", ())
        for at, member in enumerate(value):
            inner = first[at] if at < len(first) else schema.get("items")
            yield from self.check(inner, member, _inside(where, at), depth + 1)

    def _of_object(self, schema: Schema, value: dict[str, Any], where: str, depth: int) -> Iterator[Problem]:
        known = schema.get("properties", {})
        others = schema.get("additionalProperties", not known)
        for name in schema.get("required", ()):
            if name not in value:
                yield Problem(_inside(where, name), "is missing")
        for name, member in value.items():
            if name in known:
                yield from self.check(known[name], member, _inside(where, name), depth + 1)
            elif not others:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                yield Problem(_inside(where, name), f"is no field; {hint}")
            else:
                yield from self.check(others, member, _inside(where, name), depth + 1)


def _of_text(schema: Schema, value: str, where: str) -> Iterator[Problem]:
    if len(value) < schema.get("minLength", 0):
        yield Problem(where, f"has fewer than {schema['minLength']} characters")
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        yield Problem(where, f"has more than {schema['maxLength']} characters")
    form = _FORMATS.get(schema.get("format", ""))
    if form is not None:
        try:
            form[0](value)
        except ValueError:
            yield Problem(where, f"is not {form[1]}")


def _of_number(schema: Schema, value: float, where: str) -> Iterator[Problem]:
    if "minimum" in schema and value < schema["minimum"]:
        yield Problem(where, f"is less than {schema['minimum']}")
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        yield Problem(where, f"is not more than {schema['exclusiveMinimum']}")
    if "maximum" in schema and value > schema["maximum"]:
        yield Problem(where, f"is more than {schema['maximum']}")
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        yield Problem(where, f"is not less than {schema['exclusiveMaximum']}")


def _inside(where: str, step: object) -> str:
    return f"{where}.{step}" if where else str(step)

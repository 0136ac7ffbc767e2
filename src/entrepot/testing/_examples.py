"""A block of a class that is only known by its schema."""

from collections.abc import Mapping
from typing import Any, Final

from entrepot.blocks.core import Block

__all__ = ["example_of"]

_DEEPEST: Final = 8
_TEXT: Final = "example-text"
_FORMATS: Final = {"uri": "https://example.com/", "date": "2026-01-01", "date-time": "2026-01-01T00:00:00Z"}
_PLAIN: Final[Mapping[str, object]] = {"integer": 1, "number": 1.5, "boolean": True, "null": None, "array": []}


def example_of(cls: type[Block]) -> Block:
    """Return a block of a class, whose required fields are made up from its schema.

    Raises:
        AssertionError: If what was made up does not fit: only a contract of its own knows what does.
    """
    schema = cls.model_json_schema()
    try:
        return cls.model_validate(_fields(schema, schema.get("$defs", {}), 0))
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # the last three: the schema is its own idea
        raise AssertionError(
            f"no {cls.__name__} could be made up from its schema: name a contract in the manifest that makes one"
            f" ({error})"
        ) from None


def _fields(schema: Mapping[str, Any], known: Mapping[str, Any], depth: int) -> dict[str, object]:
    return {name: _made_up(schema["properties"][name], known, depth + 1) for name in schema.get("required", ())}


def _made_up(schema: Mapping[str, Any], known: Mapping[str, Any], depth: int) -> object:
    given = [schema[key] for key in ("const", "default") if key in schema]
    given += [schema[key][0] for key in ("examples", "enum") if schema.get(key)]
    if given:
        return given[0]
    if depth > _DEEPEST:
        return None  # a class that contains itself
    if "$ref" in schema:
        return _made_up(known[schema["$ref"].rpartition("/")[2]], known, depth + 1)
    if schema.get("anyOf"):
        return _made_up(schema["anyOf"][0], known, depth + 1)
    kind = schema.get("type", "string")
    return _fields(schema, known, depth) if kind == "object" else _PLAIN.get(kind, _text(schema))


def _text(schema: Mapping[str, Any]) -> str:
    return _FORMATS.get(schema.get("format", ""), _TEXT)

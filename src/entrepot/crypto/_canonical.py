"""JSON with one spelling: sorted keys, no spaces, ASCII; what is spelled otherwise is not read."""

import json

__all__ = ["canonical", "parse"]

_SURPRISES = (ValueError, RecursionError)  # ValueError covers bad UTF-8, bad JSON, NaN and over-long numbers


class _DuplicateKeyError(ValueError):
    pass


def canonical(value: object) -> bytes:
    """Return the one spelling of a JSON value, without a line end."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def parse(data: bytes) -> tuple[object, str]:
    """Return (the value, "") or (None, what is wrong).

    Nothing is raised: a `JSONDecodeError` holds the whole document, and here documents can hold keys.
    """
    try:
        return json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse_constant), ""
    except _DuplicateKeyError:
        return None, "a name occurs twice in one object"
    except _SURPRISES:
        return None, "it is not JSON"


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _DuplicateKeyError
    return result


def _refuse_constant(name: str) -> object:
    raise ValueError(name)

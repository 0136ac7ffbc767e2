"""How messages name types and the places inside a value. Values themselves are never shown."""

from typing import Final

__all__ = ["key_step", "shown", "type_name"]

_MAX_SHOWN: Final = 60


def type_name(kind: type) -> str:
    """Return a class's name, with its module unless it is built in."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def shown(name: object) -> str:
    """Return a name in ASCII, cut short."""
    text = ascii(name)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 4] + "..."


def key_step(key: object) -> str:
    """Return the step from a dict to one of its values; keys that are not simple are named by their type."""
    return f"[{shown(key)}]" if type(key) in {str, int, bool, type(None)} else f"[<{type_name(type(key))}>]"

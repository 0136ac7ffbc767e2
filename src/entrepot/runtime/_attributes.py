"""How the attributes of these modules are found: computed when asked for, unless a variable stands in for them."""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from entrepot.errors import ConfigurationError

__all__ = ["Attribute", "as_count", "as_mapping", "as_tags", "as_text", "as_time", "attribute"]


class Attribute(NamedTuple):
    """One attribute of a module.

    Attributes:
        read: Returns its value, from the run whose code asks.
        parse: Makes a value of the same type of the text of a variable.
    """

    read: Callable[[], Any]
    parse: Callable[[str], Any]


def attribute(module: str, known: Mapping[str, Attribute], name: str) -> Any:
    """Return the value of an attribute.

    Args:
        module: Whose it is: `entrepot.runtime.flow_run`.
        known: The attributes of that module.
        name: Which of them.

    Raises:
        AttributeError: If there is none of this name; the message has the nearest.
        ConfigurationError: If a variable stands in for it whose text is no such value.
    """
    found = known.get(name)
    if found is None:
        raise AttributeError(_unknown(module, known, name), name=name)
    variable = "__".join(("ENTREPOT", *module.split(".")[1:], name)).upper()
    text = os.environ.get(variable)
    if text is None:
        return found.read()
    try:
        return found.parse(text)
    except ValueError as error:
        raise ConfigurationError(
            f"the variable {variable} cannot stand in for {module}.{name}: {error}", setting=variable
        ) from None


def as_text(text: str) -> str:
    """Return it."""
    return text


def as_count(text: str) -> int:
    """Return a number."""
    return int(text)


def as_time(text: str) -> datetime:
    """Return a time in ISO 8601; without a zone it is in UTC."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def as_tags(text: str) -> list[str]:
    """Return texts that are separated by commas."""
    return sorted(filter(None, (part.strip() for part in text.split(","))))


def as_mapping(text: str) -> dict[str, Any]:
    """Return a JSON object."""
    import json  # noqa: PLC0415  a flow without such a variable does not pay for it

    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"it is a JSON object, not {text[:40]}")  # noqa: TRY004  as json.loads raises
    return value


def _unknown(module: str, known: Mapping[str, Attribute], name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  only a slip pays for it

    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{module} has no attribute {name!r}{hint} (known: {', '.join(sorted(known))})"

"""Options that are a text, or that are on or off."""

from collections.abc import Mapping
from typing import Any

from entrepot.errors import OptionError

__all__ = ["flag_option", "text_option"]


def text_option(what: str, option: Mapping[str, Any], name: str) -> str | None:
    """Return an option that is a text; None if it was not given.

    Raises:
        OptionError: If it is none, or says nothing.
    """
    value = option.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise OptionError(f"{what}: {name} is a text, not {value!r}", option=name)
    return value


def flag_option(what: str, option: Mapping[str, Any], name: str) -> bool | None:
    """Return an option that is on or off; None if it was not given.

    Raises:
        OptionError: If it is neither.
    """
    value = option.get(name)
    if value is not None and not isinstance(value, bool):
        raise OptionError(f"{what}: {name} is True or False, not {value!r}", option=name)
    return value

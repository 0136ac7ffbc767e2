"""What may be a name: slugs of block types and names of saved blocks."""

import re

from entrepot.errors import InvalidNameError

__all__ = ["MAX_NAME_LENGTH", "check_name", "slugify"]

MAX_NAME_LENGTH = 100

# ASCII only: look-alikes from other alphabets and case-folding file systems can then never make two names one.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?\Z", re.ASCII)
_NOT_SLUG = re.compile(r"[^a-z0-9]+", re.ASCII)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def check_name(name: str, *, what: str = "block name") -> str:
    """Return `name` if it may name a block, a block type or a plugin.

    A name is 1 to 100 characters of `a-z`, `0-9`, `-` and `_`, and starts and ends with a letter or digit.

    Args:
        name: The name as the user gave it.
        what: What it names, for the message.

    Raises:
        InvalidNameError: If it is anything else; the message offers the nearest allowed name.
    """
    if not isinstance(name, str):
        raise InvalidNameError(f"a {what} is a string, not {type(name).__name__}", name=repr(type(name)))
    if len(name) <= MAX_NAME_LENGTH and _NAME.match(name):
        return name
    shown = ascii(name if len(name) <= MAX_NAME_LENGTH else name[:40] + "...")
    rule = f"use 1 to {MAX_NAME_LENGTH} characters of a-z, 0-9, - and _, with a letter or digit at both ends"
    nearest = _NOT_SLUG.sub("-", name[:MAX_NAME_LENGTH].lower()).strip("-")
    hint = f"; for example {nearest!r}" if nearest else ""
    raise InvalidNameError(f"{shown} ({len(name)} characters) cannot be a {what}: {rule}{hint}", name=name)


def slugify(class_name: str) -> str:
    """Return the slug of a class name: `MyHTTPBlock` gives `my-http-block`."""
    return _NOT_SLUG.sub("-", _CAMEL.sub("-", class_name).lower()).strip("-")

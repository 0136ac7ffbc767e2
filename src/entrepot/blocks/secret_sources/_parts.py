"""One member of a secret that is a JSON object: what stands after `#` in a reference."""

import json
from collections.abc import Mapping

from entrepot.errors import SecretReferenceError

__all__ = ["member_of", "part_of"]


def part_of(found: str | bytes, key: str) -> str:
    """Return a member of a secret that is JSON.

    Raises:
        SecretReferenceError: If it is no JSON object, or has no such member.
    """
    try:
        whole = json.loads(found)
    except ValueError:
        whole = None
    if isinstance(whole, dict):
        return member_of(whole, key)
    del found, whole
    raise SecretReferenceError(f"the secret is no JSON object, so that it has no key {key!a}; leave out #{key}")


def member_of(whole: Mapping[str, object], key: str) -> str:
    """Return a member of a secret of several; one that is no text, as JSON.

    Raises:
        SecretReferenceError: If it has no such member.
    """
    if key in whole:
        value = whole[key]
        return value if isinstance(value, str) else json.dumps(value)
    known = ", ".join(sorted(map(str, whole))) or "none"
    del whole
    raise SecretReferenceError(f"the secret has no key {key!a}; known: {known}")

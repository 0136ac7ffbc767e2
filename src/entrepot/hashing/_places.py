"""Where a walk over code finds a value: how the part of the key is called, and how a refusal says it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from entrepot.hashing._encoder import Refused

__all__ = ["CodeRefused", "Place"]


class CodeRefused(Exception):  # noqa: N818  a signal inside this package; callers get UnhashableValueError
    """Something that a function uses has no stable identity.

    Args:
        where: What it is: "global 'client' of extract".
        refusal: What is the matter with it.
    """

    def __init__(self, where: str, refusal: Refused) -> None:
        super().__init__(where, refusal)
        self.where = where
        self.refusal = refusal


class Place(NamedTuple):
    """Where a value was found: what the part of the key is called, and who reads it there."""

    part: str
    kind: str  # "global", "variable", "default"
    name: str
    label: str  # of the function that reads it
    namespace: Mapping[str, Any]

    def at(self, part: str, name: str, namespace: Mapping[str, Any] | None = None) -> "Place":
        """Return the place of what was read from what is here."""
        return Place(part, self.kind, name, self.label, self.namespace if namespace is None else namespace)

    def __str__(self) -> str:
        module, _, function = self.label.partition(":")
        return f"{self.kind} {self.name!r} of {function or module}"

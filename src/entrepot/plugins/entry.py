"""What a registry says of each claim to each name, for `entrepot plugins`."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["PluginEntry", "PluginStatus"]

PluginStatus: TypeAlias = Literal["built-in", "available", "loaded", "conflict", "broken", "denied", "other API"]


@dataclass(frozen=True, slots=True)
class PluginEntry:
    """What a registry knows of one claim to one name.

    Attributes:
        group: The entry point group.
        name: The name that is claimed.
        target: Where the object is: `module:attribute`.
        distribution: Whose it is; "" for a class that this program defined itself.
        version: The distribution's version; "" where there is none.
        status: "built-in"; "available" (not imported yet); "loaded"; "conflict" (claimed twice); "broken"; "denied" (by
            the settings); "other API" (its manifest needs another version of ours).
        detail: For what cannot be used, why; else "".
    """

    group: str
    name: str
    target: str
    distribution: str
    version: str
    status: PluginStatus
    detail: str = ""

    @property
    def usable(self) -> bool:
        """Whether its name leads to an object, as far as is known."""
        return self.status in {"built-in", "available", "loaded"}

"""Claims to names, and the distributions that make them."""

from __future__ import annotations

from entrepot._version import __version__

TYPE_CHECKING = False  # `typing` takes longer to import than a look-up among 300 distributions
if TYPE_CHECKING:
    from typing import Final, Protocol

    class Owner(Protocol):
        """A distribution, whose metadata may be read when it is asked for."""

        @property
        def name(self) -> str: ...
        @property
        def version(self) -> str: ...
        @property
        def key(self) -> str: ...


__all__ = ["OWN", "OWN_DISTRIBUTION", "PROGRAM", "Claim", "KnownOwner", "normalise"]

OWN_DISTRIBUTION: Final = "entrepot"


def normalise(distribution: str) -> str:
    """Return the name that decides whether two spellings are one distribution (PEP 503)."""
    name = distribution.replace("_", "-").replace(".", "-").lower()
    while "--" in name:
        name = name.replace("--", "-")
    return name


class KnownOwner:
    """A distribution of which all is known.

    Attributes:
        name: Its name; "" for this program, which is none.
        version: Its version, or "" where its metadata does not say.
        key: What it is found by: the name of its metadata folder, normalised.
    """

    __slots__ = ("key", "name", "version")

    def __init__(self, name: str, version: str, key: str) -> None:
        self.name = name
        self.version = version
        self.key = key


class Claim:
    """One entry point, or what is as good as one. It is as immutable as its distribution.

    Attributes:
        name: The name that is claimed.
        target: Where the object is: `module:attribute`, as the distribution wrote it.
    """

    __slots__ = ("_owner", "name", "target")

    def __init__(self, name: str, target: str, owner: Owner) -> None:
        self.name = name
        self.target = target
        self._owner = owner

    @property
    def distribution(self) -> str:
        """The distribution's name as its metadata has it; "" for a class of this program."""
        return self._owner.name

    @property
    def version(self) -> str:
        """Its version, or "" where its metadata does not say."""
        return self._owner.version

    @property
    def key(self) -> str:
        """What the distribution is found by, normalised; another name than its metadata's is somebody's doing."""
        return self._owner.key

    @property
    def is_own(self) -> bool:
        """Whether it is one of ours: no metadata says so, for anybody could write that."""
        return self._owner is OWN

    def __str__(self) -> str:
        """Return the distribution, for messages: `acme-plugin 1.2`."""
        return f"{self.distribution} {self.version}".rstrip()

    def __repr__(self) -> str:
        return f"Claim({self.name!r}, {self.target!r}, {str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Claim) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash((self.name, self.target))

    def _facts(self) -> tuple[str, ...]:
        return (self.name, self.target, self.distribution, self.version, self.key)


OWN: Final = KnownOwner(OWN_DISTRIBUTION, __version__, OWN_DISTRIBUTION)
"""Whose the built-in classes are."""

PROGRAM: Final = KnownOwner("", "", "")
"""Whose the classes are that this program defines itself."""

"""Key providers, held to their contract: what else they raise or give is an error of ours.

What a service answers, and a client library makes of it, is not foreseen here; plugins have errors of their own. What
they raise may show a key, so nothing of that is repeated but its kind, and none of its frames is kept.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from entrepot.crypto._keys import hide
from entrepot.errors import EntrepotError, KeyProviderError
from entrepot.protocols.keys import KeyProvider, LooksCheaply

__all__ = ["guard", "guarded_call"]

T = TypeVar("T")


class _Guarded:
    """A provider, asked with care.

    Args:
        provider: Ours, or a plugin's.
        name: What it is called in the setting.
    """

    def __init__(self, provider: KeyProvider, name: str) -> None:
        self._provider = provider
        self._name = name
        self.location = str(guarded_call(name, name, lambda: provider.location))

    def read(self) -> bytes | None:
        """Return the document, or None where there is none yet; raises what `KeyProvider.read` may."""
        document: object = self._call(self._provider.read)
        if document is None or isinstance(document, bytes):
            return document
        kind = type(document).__name__
        del document  # it may be a key
        raise KeyProviderError(
            f"the key provider {self._name} gave a {kind} for the keyring at {self.location}, where bytes are due; see"
            " whoever made it",
            provider=self._name,
            location=self.location,
        )

    def create(self, document: bytes) -> None:
        """Keep a first document; raises what `KeyProvider.create` may."""
        held = hide(document)  # prints as nothing, in whatever frame
        del document
        self._call(lambda: self._provider.create(held))

    def replace(self, document: bytes, *, old: bytes) -> None:
        """Put a new document in place of the one that was read; raises what `KeyProvider.replace` may."""
        new, before = hide(document), hide(old)
        del document, old
        self._call(lambda: self._provider.replace(new, old=before))

    def left_behind(self) -> list[Path]:
        """Return the temporary files of writers that were killed, where it can say."""
        return self._call(getattr(self._provider, "left_behind", list))

    def _call(self, call: Callable[[], T]) -> T:
        return guarded_call(self._name, self.location, call)


class _GuardedLooking(_Guarded):
    """One that can be looked at, too."""

    def look(self) -> object | None:
        """Return what tells one state of the document from another; None where there is none, or nobody can say."""
        provider = self._provider
        return self._call(provider.look) if isinstance(provider, LooksCheaply) else None


def guard(provider: KeyProvider, name: str) -> KeyProvider:
    """Return a provider that raises errors of ours only.

    Raises:
        KeyProviderError: If it does not say where it is.
    """
    return (_GuardedLooking if isinstance(provider, LooksCheaply) else _Guarded)(provider, name)


def guarded_call(name: str, location: str, call: Callable[[], T]) -> T:
    """Return what a call of a key provider returns.

    Raises:
        KeyProviderError: In the place of what is no error of ours.
    """
    try:
        return call()
    except EntrepotError:
        raise
    except Exception as error:  # noqa: BLE001  of a plugin, or of a client library
        kind = type(error).__name__
    raise KeyProviderError(
        f"the key provider {name} failed for the keyring at {location} ({kind}, whose words are not repeated: they may"
        " show a key); see that its options name the service that is meant, and try again; if it stays so, see whoever"
        " made that provider",
        provider=name,
        location=location,
    )

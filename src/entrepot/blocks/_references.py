"""Secrets that are kept as where they are, `env://NAME` or `vault://mount/path#key`, and looked up when they are used.

A reference stands in a block in the place of a secret, and has its `get_secret_value()`, which asks the source of the
reference's scheme (`blocks._lookups`). It keeps which shared store its block came from, wherever it is copied or
pickled to: there it is followed only if the owner of the machine listed it.
"""

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Generic, TypeAlias, TypeVar

from pydantic import SecretBytes, SecretStr

from entrepot.blocks._lookups import error_of, look_up, made_in, once, refused, shown
from entrepot.errors import BlockFileError, EntrepotError, ForeignReferenceError, SecretReferenceError
from entrepot.plugins import SECRET_SOURCES

__all__ = [
    "SEALED_AT_APPLY",
    "AnyReference",
    "SecretBytesReference",
    "SecretReference",
    "is_reference",
    "refusal",
    "resolve",
]

SEALED_AT_APPLY: Final = frozenset({"env", "file"})
"""The schemes whose references in a file of blocks are looked up when it is applied, unless it says otherwise."""

T = TypeVar("T", str, bytes)
R = TypeVar("R", bound="SecretReference | SecretBytesReference")

_REFERENCE: Final = re.compile(r"([a-z][a-z0-9+-]*)://(.+)\Z", re.ASCII | re.DOTALL)


def is_reference(text: str) -> bool:
    """Return whether a text in the place of a secret is a reference to one: whether a source has its scheme."""
    match = _REFERENCE.match(text)
    return match is not None and match[1] in SECRET_SOURCES.names()


class _ByPlace(ABC, Generic[T]):
    """A secret by where it is."""

    reference: str
    said_of: str
    store: str

    def __init__(self, reference: str) -> None:
        if not isinstance(reference, str) or _REFERENCE.match(reference) is None:
            # What was given is not repeated: it may be the secret itself.
            raise SecretReferenceError(
                "a reference to a secret is written scheme://..., as in env://API_KEY; what is no reference goes into"
                " SecretStr",
                reference="",
            )
        self.reference = reference
        self.said_of = ""
        self.store = made_in()
        # pydantic's masks are made of this; it is no secret, and whatever reads it gets no secret.
        self._secret_value: T = self._from_text(reference)

    def get_secret_value(self) -> T:
        """Return the secret; inside a flow run the first answer is kept until the run is over.

        Raises:
            SecretReferenceError: If it is not there, its source cannot be reached, or (`ForeignReferenceError`) the
                block came from a shared store and may not use it here.
        """
        if _is_masking(sys._getframe(1)):  # noqa: SLF001  the only way to tell
            return self._from_text(self.reference)
        return self._from_source(look_up(self.reference, self.said_of, self.store))

    @abstractmethod
    def _from_text(self, text: str) -> T:
        """Return a text as this kind of secret."""

    @abstractmethod
    def _from_source(self, found: str | bytes) -> T:
        """Return what a source gave as this kind of secret; raise where it is none."""

    def __bool__(self) -> bool:
        return True  # nobody is asked to tell that there is one; pydantic looks at what it copies in this way

    def __len__(self) -> int:
        return len(self.get_secret_value())

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, _ByPlace) and other.reference == self.reference

    def __hash__(self) -> int:
        return hash(self.reference)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(self.reference)!r})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[type, str, str, str]]:
        return _made_again, (type(self), self.reference, self.said_of, self.store)


class SecretReference(_ByPlace[str], SecretStr):
    """A text that is a secret, by where it is.

    Args:
        reference: `scheme://...`; nothing is looked up yet, and the scheme may be one that is not installed here.

    Attributes:
        reference: That.
        said_of: Which field of which block has it, for messages; "" where that is not known.
        store: The location of the shared store that its block came from; "" for this user's own.

    Raises:
        SecretReferenceError: If it is no reference.
    """

    def _from_text(self, text: str) -> str:
        return text

    def _from_source(self, found: str | bytes) -> str:
        text = _as_text(found)
        if text is None:
            del found  # tracebacks can be logged with locals
            raise error_of(self.reference, self.said_of, "it is no UTF-8 text; use a field of type SecretBytes")
        return text


class SecretBytesReference(_ByPlace[bytes], SecretBytes):
    """Bytes that are a secret, by where they are; otherwise as `SecretReference`."""

    def _from_text(self, text: str) -> bytes:
        return text.encode()

    def _from_source(self, found: str | bytes) -> bytes:
        if isinstance(found, bytes):
            return found
        try:
            return found.encode()
        except UnicodeEncodeError:  # it has the secret
            del found
        raise error_of(self.reference, self.said_of, "what its source gave is no text")


AnyReference: TypeAlias = SecretReference | SecretBytesReference


def refusal(reference: AnyReference) -> ForeignReferenceError | None:
    """Return why a reference of a block of a shared store is not followed here; None if it is. Nobody is asked."""
    return refused(reference.reference, reference.said_of, reference.store)


def _is_masking(caller: FrameType) -> bool:
    """Return whether pydantic asks for a secret only to write a mask for it: nothing is looked up for that."""
    return caller.f_code.co_name == "_serialize_secret_field" and caller.f_globals.get("__name__") == "pydantic.types"


def _made_again(cls: type[R], reference: str, said_of: str, store: str) -> R:
    """Return a reference that was copied or pickled; pickles name this function."""
    made = cls(reference)
    made.said_of, made.store = said_of, store
    return made


def resolve(reference: str, *, where: str) -> str:
    """Return the secret that a reference in a file of blocks names.

    Args:
        reference: For which `is_reference` holds.
        where: Whose it is, for messages.

    Raises:
        BlockFileError: If it is not there, or cannot be read.
    """
    found = once(reference)
    text = None if isinstance(found, EntrepotError) else _as_text(found)
    if isinstance(found, EntrepotError):
        raise BlockFileError(f"{where}: {found}", path="")
    if text is None:
        raise BlockFileError(f"{where}: {shown(reference)} is no UTF-8 text", path="")
    return text


def _as_text(found: str | bytes) -> str | None:
    if isinstance(found, str):
        return found
    try:
        return found.decode()
    except UnicodeDecodeError:
        return None

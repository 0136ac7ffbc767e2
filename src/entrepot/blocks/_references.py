"""Secrets that are kept as where they are, `env://NAME` or `vault://mount/path#key`, and looked up when they are used.

A reference stands in a block in the place of a secret, and has its `get_secret_value()`. That asks the source of the
reference's scheme; the answer is masked from then on, and kept until the flow run that asked is over.
"""

import re
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, Final, Self, TypeAlias

from pydantic import SecretBytes, SecretStr

from entrepot._scope import current_scope
from entrepot._secrets import MASK, remember_secret
from entrepot.errors import BlockFileError, EntrepotError, SecretReferenceError
from entrepot.plugins import SECRET_SOURCES

__all__ = [
    "SEALED_AT_APPLY",
    "AnyReference",
    "SecretBytesReference",
    "SecretReference",
    "is_reference",
    "resolve",
    "shown",
]

SEALED_AT_APPLY: Final = frozenset({"env", "file"})
"""The schemes whose references in a file of blocks are looked up when it is applied, unless it says otherwise."""

_REFERENCE: Final = re.compile(r"([a-z][a-z0-9+-]*)://(.+)\Z", re.ASCII | re.DOTALL)
_USER: Final = re.compile(r"://[^/?#\s]*:[^/?#\s]*@")


def is_reference(text: str) -> bool:
    """Return whether a text in the place of a secret is a reference to one: whether a source has its scheme."""
    match = _REFERENCE.match(text)
    return match is not None and match[1] in SECRET_SOURCES.names()


def shown(reference: str) -> str:
    """Return a reference for people: one that somebody wrote a password into is shown without it."""
    return _USER.sub(f"://{MASK}@", reference)


class SecretReference(SecretStr):
    """A text that is a secret, by where it is.

    Args:
        reference: `scheme://...`; nothing is looked up yet, and the scheme may be one that is not installed here.

    Attributes:
        reference: That.
        said_of: Which field of which block has it, for messages; "" where that is not known.

    Raises:
        SecretReferenceError: If it is no reference.
    """

    reference: str
    said_of: str

    def __init__(self, reference: str) -> None:
        _set_up(self, reference)

    def get_secret_value(self) -> str:
        """Return the secret; inside a flow run the first answer is kept until the run is over.

        Raises:
            SecretReferenceError: If it is not there, or its source cannot be reached.
        """
        if _is_masking(sys._getframe(1)):  # noqa: SLF001  the only way to tell
            return self.reference
        found = _look_up(self.reference, self.said_of)
        text = _as_text(found)
        if text is None:
            raise _error(self.reference, self.said_of, "it is no UTF-8 text; use a field of type SecretBytes")
        return text

    def __len__(self) -> int:
        return len(self.get_secret_value())

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.reference == self.reference

    def __hash__(self) -> int:
        return hash(self.reference)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(self.reference)!r})"

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self.reference,)


class SecretBytesReference(SecretBytes):
    """Bytes that are a secret, by where they are; otherwise as `SecretReference`."""

    reference: str
    said_of: str

    def __init__(self, reference: str) -> None:
        _set_up(self, reference)

    def get_secret_value(self) -> bytes:
        """Return the secret; see `SecretReference.get_secret_value`."""
        if _is_masking(sys._getframe(1)):  # noqa: SLF001  the only way to tell
            return self.reference.encode()
        found = _look_up(self.reference, self.said_of)
        return found.encode() if isinstance(found, str) else found

    def __len__(self) -> int:
        return len(self.get_secret_value())

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.reference == self.reference

    def __hash__(self) -> int:
        return hash(self.reference)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(self.reference)!r})"

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self.reference,)


AnyReference: TypeAlias = SecretReference | SecretBytesReference


def _is_masking(caller: FrameType) -> bool:
    """Return whether pydantic asks for a secret only to write a mask for it: nothing is looked up for that."""
    return caller.f_code.co_name == "_serialize_secret_field" and caller.f_globals.get("__name__") == "pydantic.types"


def _set_up(made: Any, reference: str) -> None:
    if not isinstance(reference, str) or _REFERENCE.match(reference) is None:
        # What was given is not repeated: it may be the secret itself.
        raise SecretReferenceError(
            "a reference to a secret is written scheme://..., as in env://API_KEY; what is no reference goes into"
            " SecretStr",
            reference="",
        )
    made.reference = reference
    # pydantic's masks are made of this; it is no secret, and whatever reads it gets no secret.
    made._secret_value = reference if isinstance(made, SecretReference) else reference.encode()  # noqa: SLF001  its own
    made.said_of = ""


def resolve(reference: str, *, where: str) -> str:
    """Return the secret that a reference in a file of blocks names.

    Args:
        reference: For which `is_reference` holds.
        where: Whose it is, for messages.

    Raises:
        BlockFileError: If it is not there, or cannot be read.
    """
    found = _asked(reference)
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


# --- looking up -------------------------------------------------------------------------------------------------------


class _Kept:
    """The secrets that one flow run has looked up. It neither prints nor pickles them."""

    __slots__ = ("locks", "values")

    def __init__(self) -> None:
        self.values: dict[str, str | bytes] = {}
        self.locks: dict[str, threading.Lock] = {}


_runs: Final[dict[int, _Kept]] = {}
_within: ContextVar[tuple[str, ...]] = ContextVar("entrepot_references_within", default=())


def _chose_documents() -> bool:
    documents = sys.modules.get("entrepot.blocks.documents")  # who chose some has loaded it; others need no ciphers
    return documents is not None and documents.has_chosen()


def _look_up(reference: str, where: str) -> str | bytes:
    if reference in _within.get():
        raise _error(reference, where, "it leads back to itself; let one of them be the secret")
    # What a block says depends on the documents: the answer of one team's must not be given for another's.
    kept = None if reference.startswith("block://") and _chose_documents() else _kept()
    with _alone(kept, reference):
        found = None if kept is None else kept.values.get(reference)
        answer = _asked(reference) if found is None else found
        if isinstance(answer, EntrepotError):
            raise _error(reference, where, str(answer))
        if kept is not None:
            kept.values[reference] = answer
    return answer


def _asked(reference: str) -> str | bytes | EntrepotError:
    """Return what the source of a reference says, or why it does not; no frame with a secret is left."""
    scheme, _, rest = reference.partition("://")
    token = _within.set((*_within.get(), reference))
    try:
        answer: object = SECRET_SOURCES.get(scheme)().get(rest)
    except EntrepotError as error:
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    except Exception as error:  # noqa: BLE001  of a plugin or a client library: its words may show the secret
        return SecretReferenceError(f"its source failed ({type(error).__name__})", reference=reference)
    finally:
        _within.reset(token)
    if not isinstance(answer, str | bytes):
        return SecretReferenceError(f"its source gave a {type(answer).__name__}, no text or bytes", reference=reference)
    remember_secret(answer)
    return answer


def _error(reference: str, where: str, why: str) -> SecretReferenceError:
    whose = f"{where}: " if where else ""
    message = f"{whose}the secret {shown(reference)} cannot be had: {why}"
    return SecretReferenceError(message, reference=shown(reference), where=where)


def _kept() -> _Kept | None:
    """Return what the current flow run has looked up, or None outside of runs: there nothing is kept."""
    run = current_scope()
    if run is None:
        return None
    kept = _runs.get(id(run))
    if kept is None:
        kept = _runs.setdefault(id(run), _Kept())
        weakref.finalize(run, _runs.pop, id(run), None)
    return kept


@contextmanager
def _alone(kept: _Kept | None, reference: str) -> Iterator[None]:
    """Let one thread of a run ask for a secret, and the others wait for its answer.

    Not while another reference is followed: two threads with two that lead to each other would wait forever.
    """
    if kept is None or _within.get():
        yield
        return
    with kept.locks.setdefault(reference, threading.Lock()):
        yield

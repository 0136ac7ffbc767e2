"""Secrets that are kept as where they are, `env://NAME` or `vault://mount/path#key`, and looked up when they are used.

A reference stands in a block in the place of a secret, and has its `get_secret_value()`. That asks the source of the
reference's scheme; the answer is masked from then on, and kept until the flow run that asked is over.

Who can save blocks in a shared store writes the references in them, and where the blocks send the secrets. So a
reference keeps which store its block came from, wherever it is copied or pickled to, and is followed there only if the
owner of the machine listed it (`blocks._listed`); a reference to another block leads into the same store.
"""

import re
import sys
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

from pydantic import SecretBytes, SecretStr

from entrepot._scope import current_scope
from entrepot._secrets import MASK, remember_secret
from entrepot.blocks._listed import is_listed, line_for
from entrepot.errors import BlockFileError, EntrepotError, ForeignReferenceError, SecretReferenceError
from entrepot.plugins import SECRET_SOURCES

__all__ = [
    "SEALED_AT_APPLY",
    "AnyReference",
    "SecretBytesReference",
    "SecretReference",
    "Whose",
    "asked_by",
    "is_reference",
    "made_for",
    "refusal",
    "resolve",
    "shown",
]

SEALED_AT_APPLY: Final = frozenset({"env", "file"})
"""The schemes whose references in a file of blocks are looked up when it is applied, unless it says otherwise."""

T = TypeVar("T", str, bytes)
R = TypeVar("R", bound="SecretReference | SecretBytesReference")

_BLOCK: Final = "block://"
_LONGEST: Final = 1 << 20  # characters or bytes
_REFERENCE: Final = re.compile(r"([a-z][a-z0-9+-]*)://(.+)\Z", re.ASCII | re.DOTALL)
_USER: Final = re.compile(r"://[^/?#\s]*:[^/?#\s]*@")


def is_reference(text: str) -> bool:
    """Return whether a text in the place of a secret is a reference to one: whether a source has its scheme."""
    match = _REFERENCE.match(text)
    return match is not None and match[1] in SECRET_SOURCES.names()


def shown(reference: str) -> str:
    """Return a reference for people: one that somebody wrote a password into is shown without it."""
    return _USER.sub(f"://{MASK}@", reference)


class Whose(NamedTuple):
    """What is being made: a block of a shared store, or one of this user's own.

    Attributes:
        store: The location of the shared store; "" for this user's own.
        name: What the block is called.
    """

    store: str = ""
    name: str = ""


_OWN: Final = Whose()
_making: ContextVar[Whose] = ContextVar("entrepot_references_making", default=_OWN)


@contextmanager
def made_for(whose: Whose = _OWN) -> Iterator[None]:
    """Let the references that are made inside a `with` belong to a block of a shared store, or to none."""
    token = _making.set(whose)
    try:
        yield
    finally:
        _making.reset(token)


class _ByPlace(Generic[T]):
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
        self.store = _making.get().store
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
        return self._from_source(_look_up(self.reference, self.said_of, self.store))

    def _from_text(self, text: str) -> T:
        raise NotImplementedError

    def _from_source(self, found: str | bytes) -> T:
        raise NotImplementedError

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
            raise _error(self.reference, self.said_of, "it is no UTF-8 text; use a field of type SecretBytes")
        return text


class SecretBytesReference(_ByPlace[bytes], SecretBytes):
    """Bytes that are a secret, by where they are; otherwise as `SecretReference`."""

    def _from_text(self, text: str) -> bytes:
        return text.encode()

    def _from_source(self, found: str | bytes) -> bytes:
        return found.encode() if isinstance(found, str) else found


AnyReference: TypeAlias = SecretReference | SecretBytesReference


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

_Key: TypeAlias = tuple[str, str, Hashable]


class _Kept:
    """The secrets that one flow run has looked up. It neither prints nor pickles them."""

    __slots__ = ("locks", "values")

    def __init__(self) -> None:
        self.values: dict[_Key, str | bytes] = {}
        self.locks: dict[_Key, threading.Lock] = {}


_runs: Final[dict[int, _Kept]] = {}
_within: ContextVar[tuple[_Key, ...]] = ContextVar("entrepot_references_within", default=())


def asked_by() -> str:
    """Return, to a source, which shared store the reference that it is asked for came from; "" for none."""
    within = _within.get()
    return within[-1][1] if within else ""


def refusal(reference: AnyReference) -> ForeignReferenceError | None:
    """Return why a reference of a block of a shared store is not followed here; None if it is. Nobody is asked."""
    store = reference.store
    if not store or reference.reference.startswith(_BLOCK) or is_listed(reference.reference):
        return None
    return _refused(reference.reference, reference.said_of, store)


def _look_up(reference: str, where: str, store: str) -> str | bytes:
    making = _making.get()  # a validator may ask for the secret of a default, say, which is not marked yet
    store, where = store or making.store, where or making.name
    if store and is_listed(reference):
        store = ""  # as if this user had written it
    if store and not reference.startswith(_BLOCK):
        raise _refused(reference, where, store)
    kept, key = _kept(), (reference, store, _place(reference))
    if key in _within.get():
        raise _error(reference, where, "it leads back to itself; let one of them be the secret")
    with _alone(kept, key):
        found = None if kept is None else kept.values.get(key)
        answer = _asked(*key) if found is None else found
        if isinstance(answer, EntrepotError):
            raise _error(reference, where, answer)
        if kept is not None:
            kept.values[key] = answer
    return answer


def _place(reference: str) -> Hashable:
    """Return what the answer depends on besides the reference: of a block, the places where blocks are looked up."""
    if not reference.startswith(_BLOCK):
        return None
    from entrepot.blocks.sources import chain_for  # noqa: PLC0415  blocks know references, so these find blocks when used

    return chain_for(*reference.removeprefix(_BLOCK).split("/")[:2])


def _asked(reference: str, store: str = "", place: Hashable = None) -> str | bytes | EntrepotError:
    """Return what the source of a reference says, or why it does not; no frame with a secret is left."""
    scheme, _, rest = reference.partition("://")
    token = _within.set((*_within.get(), (reference, store, place)))
    try:
        with made_for():
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
    if len(answer) > _LONGEST:
        return SecretReferenceError(
            f"its source gave more than {_LONGEST} characters: no secret is", reference=reference
        )
    remember_secret(answer)
    return answer


def _error(reference: str, where: str, why: str | EntrepotError) -> SecretReferenceError:
    message = f"{_begin(reference, where)}: {why}"
    if isinstance(why, ForeignReferenceError):  # of a block that this one leads to
        return ForeignReferenceError(
            message, reference=why.reference, where=why.where, store=why.store, setting=why.setting
        )
    return SecretReferenceError(message, reference=shown(reference), where=where)


def _refused(reference: str, where: str, store: str) -> ForeignReferenceError:
    line = shown(line_for(reference))
    what_to_do = (
        f"if everybody who can save there may have this one, set {line}"
        if line
        else "this one cannot be listed, since it is written so that it may lead elsewhere than it looks"
    )
    return ForeignReferenceError(
        f"{_begin(reference, where)}: the block is of the shared store {store}, and blocks from there may use those"
        f" secrets of this machine only that its owner lists; {what_to_do}",
        reference=shown(reference),
        where=where,
        store=store,
        setting=line,
    )


def _begin(reference: str, where: str) -> str:
    return f"{where}{': ' if where else ''}the secret {shown(reference)} cannot be had"


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
def _alone(kept: _Kept | None, key: _Key) -> Iterator[None]:
    """Let one thread of a run ask for a secret, and the others wait for its answer.

    Not while another reference is followed: two threads with two that lead to each other would wait forever.
    """
    if kept is None or _within.get():
        yield
        return
    with kept.locks.setdefault(key, threading.Lock()):
        yield

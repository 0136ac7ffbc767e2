"""Looking up the secrets that references name: once a flow run, in bounded time, and for whom they are meant only.

Who can save blocks in a shared store writes the references in them, and where the blocks send the secrets. So it is
known of what is looked up which store its block came from, and what its owner did not list is refused.
"""

import contextvars
import os
import re
import threading
import weakref
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple, TypeAlias

from entrepot._scope import current_scope
from entrepot._secrets import MASK, remember_secret
from entrepot.blocks._team_references import is_listed, line_for
from entrepot.errors import EntrepotError, ForeignReferenceError, SecretReferenceError
from entrepot.plugins import SECRET_SOURCES
from entrepot.protocols.secret_source import SecretSource

__all__ = ["Whose", "asked_by", "error_of", "look_up", "made_for", "made_in", "once", "refused", "shown"]

_DEADLINE = 120.0
"""Seconds after which a source that did not answer is given up: a person may have to unlock a keyring."""

_BLOCK: Final = "block://"
_AT_ONCE: Final = frozenset({"block", "env", "file"})  # bounded by themselves; no thread is needed
_LONGEST: Final = 1 << 20  # characters or bytes
_USER: Final = re.compile(r"://[^/?#\s]*:[^/?#\s]*@")


# --- for whom ---------------------------------------------------------------------------------------------------------


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


def made_in() -> str:
    """Return the location of the shared store whose block is being made; "" for one's own."""
    return _making.get().store


def asked_by() -> str:
    """Return, to a source, which shared store the reference that it is asked for came from; "" for none."""
    within = _within.get()
    return within[-1][1] if within else ""


def refused(reference: str, where: str, store: str) -> ForeignReferenceError | None:
    """Return why a reference in a block of a store is not followed here; None if it is. Nobody is asked."""
    if not store or reference.startswith(_BLOCK) or is_listed(reference):
        return None
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


# --- looking up -------------------------------------------------------------------------------------------------------

_Key: TypeAlias = tuple[str, str, Hashable]
_Answer: TypeAlias = str | bytes | EntrepotError


class _Flight:
    """A look-up that others wait for."""

    __slots__ = ("answer", "done")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: _Answer | None = None


class _Kept:
    """The secrets that one flow run has looked up. It neither prints nor pickles them."""

    __slots__ = ("flights", "lock", "values")

    def __init__(self) -> None:
        self.values: dict[_Key, str | bytes] = {}
        self.flights: dict[_Key, _Flight] = {}
        self.lock = threading.Lock()


_runs: Final[dict[int, _Kept]] = {}
_within: ContextVar[tuple[_Key, ...]] = ContextVar("entrepot_references_within", default=())


def _after_fork_in_child() -> None:
    _runs.clear()  # a thread that looked something up is not here to say what it found


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def look_up(reference: str, where: str, store: str) -> str | bytes:
    """Return the secret that a reference names; inside a flow run the first answer is kept.

    Args:
        reference: `scheme://...`.
        where: Whose it is, for messages.
        store: The location of the shared store that its block came from; "" for this user's own.

    Raises:
        SecretReferenceError: If it cannot be had.
    """
    making = _making.get()  # a validator may ask for the secret of a default, say, which is not marked yet
    store, where = store or making.store, where or making.name
    if store and is_listed(reference):
        store = ""  # as if this user had written it
    refusal = refused(reference, where, store)
    if refusal is not None:
        raise refusal
    key = (reference, store, _place(reference))
    if key in _within.get():
        raise error_of(reference, where, "it leads back to itself; let one of them be the secret")
    kept = _kept()
    answer = once(reference, store, key[2]) if kept is None else _shared(kept, key)
    if isinstance(answer, EntrepotError):
        raise error_of(reference, where, answer)
    return answer


def once(reference: str, store: str = "", place: Hashable = None) -> _Answer:
    """Return what the source of a reference says, or why it does not; no frame with a secret is left."""
    scheme, _, rest = reference.partition("://")
    token = _within.set((*_within.get(), (reference, store, place)))
    try:
        with made_for():
            source = SECRET_SOURCES.get(scheme)()
            answer = source.get(rest) if scheme in _AT_ONCE else _in_time(source, rest)
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
        problem = f"its source gave more than {_LONGEST} characters: no secret is so long"
        return SecretReferenceError(problem, reference=reference)
    remember_secret(answer)
    return answer


def _in_time(source: SecretSource, rest: str) -> object:
    """Return what a source says, if it does so before the deadline: all of a run may be waiting for it."""
    answers: list[object] = []
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            answers.append(source.get(rest))
        except BaseException as error:  # noqa: BLE001  raised again where it was asked for
            errors.append(error)

    # Ended by nobody: that cannot be done to a thread. It ends with the process.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(ask,), name="entrepot-secret", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is ending, and starts no threads
        return source.get(rest)
    thread.join(_DEADLINE)
    if errors:
        raise errors.pop()
    if not answers:
        raise SecretReferenceError(f"its source gave no answer in {_DEADLINE:g} seconds; see that it can be reached")
    return answers.pop()


def _shared(kept: _Kept, key: _Key) -> _Answer:
    """Return what is kept of a run; else let one thread ask, and the others have its answer, an error too.

    Not while another reference is followed: two threads with two that lead to each other would wait forever.
    """
    waits = not _within.get()
    while True:
        with kept.lock:
            if key in kept.values:
                return kept.values[key]
            flight = kept.flights.get(key) if waits else None
            if flight is None:
                own = _Flight()
                if waits:
                    kept.flights[key] = own
                break
        if not flight.done.wait(2 * _DEADLINE):  # whoever asks looks into many stores, or was stopped before it began
            return once(*key)
        if flight.answer is not None:  # else whoever asked was stopped
            return flight.answer
    try:
        answer = own.answer = once(*key)
    finally:
        with kept.lock:
            if not isinstance(own.answer, EntrepotError) and own.answer is not None:
                kept.values[key] = own.answer
            if waits:
                del kept.flights[key]
        own.done.set()
    return answer


def _place(reference: str) -> Hashable:
    """Return what the answer depends on besides the reference: of a block, the places where blocks are looked up."""
    if not reference.startswith(_BLOCK):
        return None
    from entrepot.blocks.sources import chain_for  # noqa: PLC0415  blocks know references, so these find blocks when used

    return chain_for(*reference.removeprefix(_BLOCK).split("/")[:2])


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


# --- messages ---------------------------------------------------------------------------------------------------------


def shown(reference: str) -> str:
    """Return a reference for people: one that somebody wrote a password into is shown without it."""
    return _USER.sub(f"://{MASK}@", reference)


def error_of(reference: str, where: str, why: str | EntrepotError) -> SecretReferenceError:
    """Return the error that a secret cannot be had.

    Args:
        reference: Which.
        where: Whose it is; "" where that is not known.
        why: Why, and what to do.
    """
    message = f"{_begin(reference, where)}: {'; '.join([str(why), *getattr(why, '__notes__', ())])}"
    if isinstance(why, ForeignReferenceError):  # of a block that this one leads to
        return ForeignReferenceError(
            message, reference=why.reference, where=why.where, store=why.store, setting=why.setting
        )
    return SecretReferenceError(message, reference=shown(reference), where=where)


def _begin(reference: str, where: str) -> str:
    return f"{where}{': ' if where else ''}the secret {shown(reference)} cannot be had"

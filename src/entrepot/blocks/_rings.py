"""Under which keyring and key the documents of a store are, and what may be saved or deleted where that is another one.

A document says in clear which keyring and key have sealed it. That is not verified here: who can write to the store can
hinder saving by it, or have another key of the same keyring used that is in use there, and nothing else.
"""

import logging
from collections.abc import Iterable, Iterator
from heapq import nlargest
from typing import Final, NamedTuple

from entrepot._clock import Clock
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import read_key
from entrepot.errors import UnknownKeyError
from entrepot.protocols.documents import DocumentRef, DocumentStore

__all__ = [
    "check_deletion",
    "check_new_name",
    "check_overwriting",
    "is_alone",
    "is_foreign",
    "not_behind",
    "of_another",
]

_LOOKED_AT: Final = 8  # the newest documents, each a read: enough to tell a store from one of ours
_KEPT_SECONDS: Final = 300.0  # for which what was seen of a store counts: others rotate keys meanwhile

_logger = logging.getLogger("entrepot.keys")
_looks: dict[tuple[str, str], tuple[float, str]] = {}  # stores and rings -> (until when, the newest one's key there)
_told: set[tuple[str, str]] = set()  # stores and rings of which it was said that there are others beside them


class _Sealed(NamedTuple):
    """A document, and the ids of the ring and the key that it names."""

    ref: DocumentRef
    ring_id: str
    key_id: str


def is_foreign(ring: Keyring, store: DocumentStore, ref: DocumentRef) -> bool:
    """Say whether a version names another keyring; one that names none does not."""
    named = _named(store, ref)
    return named is not None and named[0] != ring.ring_id


def check_overwriting(ring: Keyring, store: DocumentStore, latest: DocumentRef, sealed: bytes | None) -> None:
    """Refuse to save over what another keyring sealed: those who share the store would lose the block.

    Args:
        ring: The one that is here.
        store: Where the block is.
        latest: Its newest version.
        sealed: The bytes of that.

    Raises:
        UnknownKeyError: If the newest version is under a key that this ring does not have.
    """
    named = None if sealed is None else read_key(sealed)
    if named is not None and not _has(ring, named[1]):
        raise _refused(
            ring,
            named[1],
            f"{latest} in {store.location} is sealed under key {named[1]}, which keyring {ring.ring_id}"
            f" ({ring.location}) does not have: nothing was saved over it, since who shares that store could not open"
            " it; use their keyring (entrepot keys import FILE), or, if that key is lost, delete the block"
            f" (entrepot block delete {latest.slug}/{latest.name} --force) and save it again",
        )


def not_behind(ring: Keyring, sealed: bytes | None) -> Keyring:
    """Return a ring that seals under a key no older than that of the newest version.

    A ring that has got the key of a rotation, and not yet heard that it is the primary now, would put the block back
    under the old key, which those who rotated are about to destroy.
    """
    named = None if sealed is None else read_key(sealed)
    return ring if named is None or named[0] != ring.ring_id else _level_with(ring, named[1])


def check_new_name(ring: Keyring, store: DocumentStore, clock: Clock, *, is_mixed: bool) -> Keyring | None:
    """Refuse to save the first version of a block in a store that is another keyring's, or further on than this one.

    The newest documents are looked at until one is of this ring, which is done again after some minutes. If that one is
    under a newer key than the primary one here, a rotation was finished elsewhere.

    Args:
        ring: The one that is here.
        store: Where the block is to be.
        clock: Tells when to look again.
        is_mixed: Whether documents of several rings are to be there.

    Returns:
        The ring under which to seal it, as `not_behind`; None where the store has no documents: then it is anybody's,
        and whoever saves there asks `is_alone` afterwards.

    Raises:
        UnknownKeyError: If those that were looked at are all of another ring, or the newest one of this ring is under a
            key that this copy of it does not have.
    """
    known = _looks.get((store.location, ring.ring_id))
    if known is not None and clock.monotonic() < known[0]:
        return _level_with(ring, known[1])
    ours, theirs = _look(ring, store)
    if ours is None and theirs is None:
        return None
    if ours is None and theirs is not None and not is_mixed:
        raise _refused(
            ring,
            theirs.key_id,
            f"nothing was saved in {store.location}: what is there is sealed under keyring {theirs.ring_id}"
            f" ({theirs.ref}, say), and the one here, {ring.ring_id} ({ring.location}), is another one, so that nobody"
            " else could open it. Use the keyring of those who share that store: entrepot keys import FILE, or entrepot"
            " keys join FILE where there are blocks under this one already. If the store is to have documents of"
            " several keyrings, say so with the setting blocks_mixed_keyrings",
        )
    if ours is None:
        return ring
    if not _has(ring, ours.key_id):
        raise _refused(
            ring,
            ours.key_id,
            f"nothing was saved in {store.location}: {ours.ref} there is sealed under key {ours.key_id}, which the copy"
            f" of keyring {ring.ring_id} that is here ({ring.location}) does not have. The keyring was rotated"
            " elsewhere, and its older keys are given up there: bring an export from there (entrepot keys import FILE);"
            " or, if that key is lost, delete what is under it (entrepot block delete"
            f" {ours.ref.slug}/{ours.ref.name} --force)",
        )
    if theirs is not None and not is_mixed:
        _warn_of_others(ring, store, theirs)
    _looks[store.location, ring.ring_id] = clock.monotonic() + _KEPT_SECONDS, ours.key_id
    return _level_with(ring, ours.key_id)


def is_alone(ring: Keyring, store: DocumentStore, ref: DocumentRef, clock: Clock) -> bool:
    """Say whether nobody with another keyring saved, too, in a store that was empty a moment ago.

    Of two who both found it empty, the one that looks later sees what the other one saved: each saves before it looks.

    Args:
        ring: The one that is here.
        store: Where a version was saved.
        ref: That version, which is not looked at.
        clock: Tells when to look again.
    """
    saved = ref.slug, ref.name, ref.version
    others = (each for each in store.list() if (each.slug, each.name, each.version) != saved)
    if any(each.ring_id != ring.ring_id for each in _newest(store, others)):
        return False
    _looks[store.location, ring.ring_id] = clock.monotonic() + _KEPT_SECONDS, ring.primary("block").id
    return True


def of_another(ring: Keyring, store: DocumentStore) -> tuple[DocumentRef, str, str] | None:
    """Return one of the newest documents, and the ids of its ring and key, if all of them are of other rings.

    None where there are no documents, or one is of this ring.
    """
    ours, theirs = _look(ring, store)
    return theirs if ours is None else None


def check_deletion(ring: Keyring, store: DocumentStore, latest: DocumentRef, sealed: bytes | None) -> None:
    """Refuse to delete what another keyring sealed.

    Args:
        ring: The one that is here.
        store: Where the block is.
        latest: Its newest version.
        sealed: The bytes of that.

    Raises:
        UnknownKeyError: If that is so.
    """
    named = None if sealed is None else read_key(sealed)
    if named is not None and named[0] != ring.ring_id:
        raise _refused(
            ring,
            named[1],
            f"{latest} in {store.location} was not deleted: it is sealed under another keyring, {named[0]}, than the"
            f" one here, {ring.ring_id}, and so it is somebody else's. If it is to go for them as well:"
            f" entrepot block delete {latest.slug}/{latest.name} --force",
        )


def _has(ring: Keyring, key_id: str) -> bool:
    """Say whether a ring has a key, in whatever state, or opens by it since it was rotated after it was read."""
    if any(key.id == key_id for key in ring.all_keys()):
        return True
    try:
        ring.key(key_id, "block")
    except UnknownKeyError:
        return False
    return True


def _level_with(ring: Keyring, key_id: str) -> Keyring:
    """Return a ring whose primary block key is no older than a key of it."""
    if not ring.is_ahead(key_id, "block"):
        return ring
    is_held = any(key.id == key_id for key in ring.all_keys())
    newest = ring if is_held or ring.newest is None else ring.newest()
    usable = any(key.id == key_id and key.opens for key in newest.all_keys())
    return newest.with_primary(key_id) if usable else ring


def _look(ring: Keyring, store: DocumentStore) -> tuple[_Sealed | None, _Sealed | None]:
    """Return the newest document of this ring, and of others the newest that is newer; or None."""
    theirs: _Sealed | None = None
    for each in _newest(store, store.list()):
        if each.ring_id == ring.ring_id:
            return each, theirs
        theirs = theirs or each
    return None, theirs


def _warn_of_others(ring: Keyring, store: DocumentStore, theirs: _Sealed) -> None:
    if (store.location, ring.ring_id) in _told:
        return
    _told.add((store.location, ring.ring_id))
    _logger.warning(
        "%s in %s is sealed under keyring %s, and others there under the one here, %s (%s): who has one of them cannot"
        " open what is under the other. What to do says entrepot keys doctor; if it is to be so, the setting"
        " blocks_mixed_keyrings says that",
        theirs.ref,
        store.location,
        theirs.ring_id,
        ring.ring_id,
        ring.location,
    )


def _newest(store: DocumentStore, refs: Iterable[DocumentRef]) -> Iterator[_Sealed]:
    for ref in nlargest(_LOOKED_AT, refs, key=lambda ref: ref.modified.timestamp() if ref.modified else 0.0):
        named = _named(store, ref)
        if named is not None:
            yield _Sealed(ref, *named)


def _named(store: DocumentStore, ref: DocumentRef) -> tuple[str, str] | None:
    sealed = store.read(ref)
    return None if sealed is None else read_key(sealed)


def _refused(ring: Keyring, key_id: str, message: str) -> UnknownKeyError:
    return UnknownKeyError(message, location=ring.location, key_id=key_id)

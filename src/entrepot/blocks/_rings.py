"""Whose keyring the documents of a store are under, and what may be saved or deleted where that is another one.

A document says in clear which keyring sealed it. That is not verified here: who can write to the store can hinder
saving by it, and nothing else.
"""

from collections.abc import Iterator
from heapq import nlargest
from typing import Final

from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import read_key
from entrepot.errors import UnknownKeyError
from entrepot.protocols.documents import DocumentRef, DocumentStore

__all__ = ["check_deletion", "check_new_name", "check_overwriting", "is_foreign", "not_behind", "of_another"]

_LOOKED_AT: Final = 8  # the newest documents, each a read: enough to tell a store from one of ours

_ours: set[tuple[str, str]] = set()  # stores, and rings that they were seen to have documents of


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
    if named is None or any(key.id == named[1] for key in ring.all_keys()):
        return
    try:
        ring.key(named[1], "block")  # which asks whether the keyring was rotated since it was read
    except UnknownKeyError as error:
        raise _refused(
            ring,
            named[1],
            f"{latest} in {store.location} is sealed under key {named[1]}, which keyring {ring.ring_id}"
            f" ({ring.location}) does not have: nothing was saved over it, since who shares that store could not open"
            " it; use their keyring (entrepot keys import FILE), or, if that key is lost, delete the block"
            f" (entrepot block delete {latest.slug}/{latest.name} --force) and save it again",
        ) from error


def not_behind(ring: Keyring, sealed: bytes | None) -> Keyring:
    """Return a ring that seals under a key no older than that of the newest version.

    A ring that has got the key of a rotation, and not yet heard that it is the primary now, would put the block back
    under the old key, which those who rotated are about to destroy.
    """
    named = None if sealed is None else read_key(sealed)
    if named is None or named[0] != ring.ring_id or not ring.is_ahead(named[1], "block"):
        return ring
    usable = any(key.id == named[1] and key.opens for key in ring.all_keys())
    return ring.with_primary(named[1]) if usable else ring


def check_new_name(ring: Keyring, store: DocumentStore) -> None:
    """Refuse to save the first version of a block in a store that is another keyring's.

    The newest documents are looked at, once in a process, until one is of this ring. A store without any is anybody's.

    Raises:
        UnknownKeyError: If those that were looked at are all of another ring.
    """
    if (store.location, ring.ring_id) in _ours:
        return
    theirs = of_another(ring, store)
    if theirs is not None:
        ref, ring_id, key_id = theirs
        raise _refused(
            ring,
            key_id,
            f"nothing was saved in {store.location}: what is there is sealed under keyring {ring_id} ({ref}, say), and"
            f" the one here, {ring.ring_id} ({ring.location}), is another one, so that nobody else could open it. Use"
            " the keyring of those who share that store: entrepot keys import FILE, or entrepot keys join FILE where"
            " there are blocks under this one already. If the store is to have documents of several keyrings, say so"
            " with the setting blocks_mixed_keyrings",
        )


def of_another(ring: Keyring, store: DocumentStore) -> tuple[DocumentRef, str, str] | None:
    """Return one of the newest documents, and the ids of its ring and key, if all of them are of other rings.

    None where there are no documents, or one is of this ring.
    """
    first: tuple[DocumentRef, str, str] | None = None
    for ref, ring_id, key_id in _newest(store):
        if ring_id == ring.ring_id:
            _ours.add((store.location, ring.ring_id))
            return None
        first = first or (ref, ring_id, key_id)
    return first


def check_deletion(ring: Keyring, store: DocumentStore, latest: DocumentRef) -> None:
    """Refuse to delete what another keyring sealed.

    Raises:
        UnknownKeyError: If that is so.
    """
    named = _named(store, latest)
    if named is not None and named[0] != ring.ring_id:
        raise _refused(
            ring,
            named[1],
            f"{latest} in {store.location} was not deleted: it is sealed under another keyring, {named[0]}, than the"
            f" one here, {ring.ring_id}, and so it is somebody else's. If it is to go for them as well:"
            f" entrepot block delete {latest.slug}/{latest.name} --force",
        )


def _newest(store: DocumentStore) -> Iterator[tuple[DocumentRef, str, str]]:
    refs = nlargest(_LOOKED_AT, store.list(), key=lambda ref: ref.modified.timestamp() if ref.modified else 0.0)
    for ref in refs:
        named = _named(store, ref)
        if named is not None:
            yield ref, *named


def _named(store: DocumentStore, ref: DocumentRef) -> tuple[str, str] | None:
    sealed = store.read(ref)
    return None if sealed is None else read_key(sealed)


def _refused(ring: Keyring, key_id: str, message: str) -> UnknownKeyError:
    return UnknownKeyError(message, location=ring.location, key_id=key_id)

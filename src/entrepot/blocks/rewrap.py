"""Saved blocks, sealed again under the primary key: what is left to do after the keyring was rotated.

Each version of each document is changed by itself, and only if it is still the one that was read. So this may be
stopped at any moment (`kill -9`, a power cut) and run again, and others may save, load and delete meanwhile. What they
seal under the old key while this runs is found by another pass; it ends with a pass that finds nothing to do.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from entrepot.blocks.documents import BlockDocuments
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import read_key
from entrepot.errors import EntrepotError, IntegrityError, KeyringError, StorageError, UnknownKeyError
from entrepot.protocols.documents import DocumentRef, RewrapsDocuments

__all__ = ["Rewrapped", "rewrap_documents"]

_PASSES: Final = 100
_AT_ONCE: Final = 8  # a document is a few syncs of a disk, or a few requests


@dataclass(slots=True)
class Rewrapped:
    """What was done.

    Attributes:
        key_id: The key under which all is sealed now, but for the problems.
        seen: Versions that were looked at.
        done: Those that were sealed again.
        ahead: Those that are under a key which came after that one: they stay, since this copy of the keyring lags.
        problems: What could not be read, by place; it is left as it is.
    """

    key_id: str
    seen: int = 0
    done: int = 0
    ahead: int = 0
    problems: dict[str, str] = field(default_factory=dict)


def rewrap_documents(
    documents: BlockDocuments,
    tick: Callable[[int, int], object] = lambda _, __: None,
    other: Keyring | None = None,
) -> Rewrapped:
    """Seal every version of every saved block again that is under an older key than the primary block key.

    Args:
        documents: The blocks.
        tick: Told how many versions were looked at in this pass, of how many.
        other: Another keyring: what that has sealed is done, and nothing else.

    Raises:
        KeyringError: If the keyring cannot be used, or if others kept sealing under other keys.
        StorageError: If the store cannot be read or written; what was done is done.
    """
    store = documents.store
    if not isinstance(store, RewrapsDocuments):
        raise StorageError(
            f"{store.location} cannot exchange what it keeps; move the blocks to a store that can",
            location=store.location,
        )
    ring = documents.ring()
    work = _Work(documents, store, ring, other)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="entrepot-rewrap") as pool:
        for _ in range(_PASSES):
            refs = [ref for ref in store.every() if _which(ref) not in work.settled]
            is_quiet = True
            for number, was_well in enumerate(pool.map(work.one, refs), 1):
                is_quiet = is_quiet and was_well
                tick(number, len(refs))
            if is_quiet:  # what comes later is under the new key: who seals reads the keyring as it is then
                return work.found
    raise KeyringError(
        f"blocks in {store.location} are not all under key {work.found.key_id}: other programs kept writing them; are"
        " there some that use an older copy of the keyring? Run it again when they have ended",
        location=store.location,
    )


class _Work:
    """One run: what is done, what is left."""

    def __init__(
        self, documents: BlockDocuments, store: RewrapsDocuments, ring: Keyring, other: Keyring | None
    ) -> None:
        self._documents = documents
        self._store = store
        self._ring = ring
        self._other = other
        self._lock = threading.Lock()
        self.settled: set[tuple[str, str, int, bool]] = set()  # a time of writing changes with the writing
        self.found = Rewrapped(ring.primary("block").id)

    def one(self, ref: DocumentRef) -> bool:
        """Seal one version again; return whether it was under the key already, or cannot be.

        What was changed by others meanwhile stays for the next pass.
        """
        problem, is_done, is_ahead = "", False, False
        try:
            sealed = self._documents.store.read(ref)
            if sealed is None:
                return True  # deleted meanwhile
            fresh = self._documents.reseal(self._ring, ref, sealed, self._other)
            if fresh is not None:
                if not self._store.exchange(ref, sealed, fresh):
                    return False
                is_done = True
            elif self._other is None:
                named = read_key(sealed)
                is_ahead = named is not None and named[1] != self.found.key_id
        except (IntegrityError, UnknownKeyError) as error:
            problem = str(error)
        except EntrepotError as error:
            error.add_note("What was sealed again by then is done; run it again to go on: entrepot keys rewrap")
            raise
        with self._lock:
            self.settled.add(_which(ref))
            self.found.seen += 1
            self.found.done += is_done
            self.found.ahead += is_ahead
            if problem:
                self.found.problems[f"{ref} in {self._documents.store.location}"] = problem
        return not is_done


def _which(ref: DocumentRef) -> tuple[str, str, int, bool]:
    return ref.slug, ref.name, ref.version, ref.deleted

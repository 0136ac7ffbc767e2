"""What a collection is about to delete. It says so before, and writers look, so that neither needs to wait for a lock.

    collected/payloads/<2 hex>/<collection>-<number>.json     names of payloads
    collected/records/<2 hex>/<collection>-<number>.json      names of records

A collection names a payload here, then looks through all records, then deletes it if none needs it, then takes the
name back. A writer that relies on a payload which it did not just make puts its record, then looks here. Whichever of
the two comes second sees what the first has done: the collection finds the record, or the writer finds the name, and
writes the value again under another one. No clock is asked.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from entrepot._clock import Clock
from entrepot.errors import ObjectExistsError, ObjectNotFoundError
from entrepot.protocols.storage import Storage

__all__ = ["COLLECTED", "NOTICE_FORMAT", "PATIENCE", "RECHECK", "Condemned", "notice_folder"]

COLLECTED: Final = "collected"
NOTICE_FORMAT: Final = "entrepot-collection/1"
RECHECK: Final = 600.0
"""Seconds from which on a writer does not rely even on a payload that it made itself without looking again.

A collection leaves payloads alone that are younger than its grace, which is to be more than twice as long.
"""

PATIENCE: Final = 10.0
"""Seconds that a writer waits for a collection to be done with a record, which takes it milliseconds."""

_MAX_SIZE: Final = 1 << 20  # bytes of a notice; what is longer cannot be read, and so names everything
_STEP: Final = 0.02


class Condemned:
    """The notices of collections in one store.

    Args:
        storage: Where.
        clock: Waits.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def names(self, path: str) -> bool:
        """Return whether a collection may be about to delete a payload or record.

        A notice that cannot be read names everything in its folder.

        Raises:
            StorageError: If the store cannot be read.
        """
        name = path.rpartition("/")[2]
        return any(found is None or name in found for found in self._notices(notice_folder(path)))

    def wait_for(self, path: str) -> bool:
        """Wait until no collection is about to delete a record; return whether one was.

        One that died leaves its notice behind, so this ends after ten seconds in any case.

        Raises:
            StorageError: If the store cannot be read.
        """
        if not self.names(path):
            return False
        until = self._clock.monotonic() + PATIENCE
        while self._clock.monotonic() < until and self.names(path):
            self._clock.sleep(_STEP)
        return True

    def has(self, path: str) -> bool:
        """Return whether a payload is there and nobody is about to delete it; asked after its record was put.

        Raises:
            StorageError: If the store cannot be read.
        """
        if self.names(path):
            return False
        # In this order: a notice that is no longer there was taken back when the payload had been deleted.
        try:
            self._storage.stat(path)
        except ObjectNotFoundError:
            return False
        return True

    def put_back(self, path: str, sealed: bytes) -> None:
        """See that a record stays which was put over another one, where a collection was about to delete that.

        Raises:
            StorageError: If the store cannot be read or written.
        """
        if not self.wait_for(path):
            return
        try:
            if self._storage.creates_exclusively:
                self._storage.create(path, sealed)
            else:
                self._storage.stat(path)
        except ObjectExistsError:
            return  # it stayed, or somebody else's is there by now
        except ObjectNotFoundError:
            self._storage.put(path, sealed)

    def give_notice(self, folder: str, name: str, condemned: Sequence[str]) -> str:
        """Say what will be deleted; on return that is durable, and seen by who looks.

        Args:
            folder: `notice_folder` of all of it.
            name: Of the notice: no other has it.
            condemned: The last components of the paths.

        Returns:
            The path of the notice, which whoever gave it deletes at the end.

        Raises:
            StorageError: If the store cannot be written.
        """
        path = f"{folder}/{name}.json"
        self._storage.put(
            path, json.dumps({"format": NOTICE_FORMAT, "names": list(condemned)}, separators=(",", ":")).encode()
        )
        return path

    def _notices(self, folder: str) -> Iterator[frozenset[str] | None]:
        for info in self._storage.list(folder):
            try:
                fields = json.loads(bytes(self._storage.get(info.path, length=_MAX_SIZE)))
                yield frozenset(fields["names"]) if fields["format"] == NOTICE_FORMAT else None
            except ObjectNotFoundError:
                continue  # taken back meanwhile
            except (ValueError, TypeError, LookupError, RecursionError):
                yield None


def notice_folder(path: str) -> str:
    """Return where notices are that may name a payload or record."""
    return f"{COLLECTED}/{path.rpartition('/')[0]}"

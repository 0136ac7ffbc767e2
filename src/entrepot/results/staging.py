"""Results that wait for their transaction to be committed, one set inside another like the transactions."""

import threading

from entrepot.errors import TransactionError
from entrepot.protocols.storage import Touches
from entrepot.results.prepared import Prepared
from entrepot.results.record import Record, record_path
from entrepot.results.store import ResultStore

__all__ = ["Staging"]


class Staging:
    """What one transaction has staged, in memory but for payloads. All that is committed together goes to one store.

    Args:
        parent: Of the transaction that it will be committed with; None where it is committed by itself.
    """

    __slots__ = ("_items", "_lock", "_parent", "_store")

    def __init__(self, parent: "Staging | None" = None) -> None:
        self._parent = parent
        self._lock = threading.Lock()
        self._items: dict[str, Prepared] = {}  # by the path of the record
        self._store: ResultStore | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def store(self) -> ResultStore | None:
        """The store of what is committed together; None before the first result."""
        return self._store if self._parent is None else self._parent.store

    def bind(self, store: ResultStore) -> None:
        """Say that a result for a store is to come.

        Raises:
            TransactionError: If others are in another store: what is in two places cannot become visible at once.
        """
        if self._parent is not None:
            self._parent.bind(store)
            return
        with self._lock:
            if self._store is None:
                self._store = store
            known = self._store
        if not _same(known, store):
            raise TransactionError(
                f"the results of one transaction are kept in one store: this one's are in {known.location}, and now one"
                f" is to go to {store.location}. Give its tasks the same result_storage, or put some of them into a"
                " transaction(commit_mode=CommitMode.EAGER) of their own",
                key="",
            )

    def find(self, key: str) -> Record | None:
        """Return the record that is staged for a key, here or in what this will be committed with."""
        found = self._items.get(record_path(key))  # one step: others may add meanwhile
        if found is not None:
            return found.record
        return None if self._parent is None else self._parent.find(key)

    def add(self, prepared: Prepared) -> Record:
        """Stage a result whose payload is in place.

        Returns:
            The record that is staged for its key: its own, or an earlier one that it does not replace.
        """
        path, placed, store = prepared.record.path, prepared.placed, self.store
        is_touched = store is not None and isinstance(store.storage, Touches)
        if placed is not None and placed.shared and placed.again is not None and not is_touched:
            prepared = placed.again()  # an old payload without a record may be collected before the commit
        with self._lock:
            known = self._items.get(path)
            if known is None or prepared.replace:
                self._items[path] = prepared.without_value()
                return prepared.record
            return known.record

    def take(self) -> list[Prepared]:
        """Return what is staged, and forget it."""
        with self._lock:
            items, self._items = list(self._items.values()), {}
        return items

    def hand_up(self) -> None:
        """Give what is staged to what this is committed with."""
        if self._parent is not None:
            for item in self.take():
                self._parent.add(item)


def _same(one: ResultStore, other: ResultStore) -> bool:
    if one is other or one.storage is other.storage:
        return True
    # The same place may have been opened twice: by its URL, and by the name of a block. Memory is its own place.
    same = type(one.storage) is type(other.storage) and one.location == other.location
    return same and not one.location.startswith("memory:")

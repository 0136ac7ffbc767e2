"""Results that become visible together: all of them or none, whenever the process dies.

Their payloads are in place. Then, each step durable before the next:

1. The record of each result, with the transaction's id: in its place where nothing is, else as a version beside what is
   there (`versions`). Nobody believes any of them yet.
2. The transaction's marker (`markers`). With it, and at once, all of them count.

Of two transactions with a key in common, the one that comes second waits until the first is over. One that is not over
for long has a dead process, and is aborted; if it lives after all, it begins again under a new id. Where two could wait
for each other, the one with the larger id gives up its own, and begins again when the other is over.
"""

import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from entrepot.errors import (
    EntrepotError,
    IntegrityError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    TransactionError,
)
from entrepot.protocols.storage import MakesDurable, SwapsConditionally
from entrepot.results.claims import is_claim, standing_in
from entrepot.results.lookup import Outcome
from entrepot.results.markers import Fate
from entrepot.results.prepared import Prepared
from entrepot.results.record import MAX_RECORD_SIZE, Record, Versioned, open_record, seal_record
from entrepot.results.store import ResultStore
from entrepot.results.versions import chain_of

__all__ = ["PATIENCE", "Commit"]

PATIENCE: Final = 10.0
"""Seconds that a transaction waits for another that is being committed, which takes one write for each result."""

_STEP: Final = 0.02  # seconds between two looks
_WORKERS: Final = 16  # records that are written at a time: stores are far away, and disks sync several at once
_ATTEMPTS: Final = 20  # to commit, each time in the way of others
_LOOKS: Final = 100  # at one place, while others change it


class _InTheWayError(Exception):
    """Another transaction has a key in common, and may be waiting for this one."""

    def __init__(self, transaction: str) -> None:
        self.transaction = transaction


class Commit:
    """One commit.

    Args:
        store: Where all the results go.
        items: The results; of each key one.
        check: Called right before the decision; what it raises is the end of the commit.
        patience: Seconds to wait for another transaction with a key in common.
        workers: How many records are written at a time.

    Attributes:
        fate: What is known to have become of it; unless it is `COMMITTED` or `in_doubt`, it never will be.
        in_doubt: Whether that is not known, since the store did not say.
    """

    def __init__(
        self,
        store: ResultStore,
        items: Sequence[Prepared],
        *,
        check: Callable[[], object] | None = None,
        patience: float = PATIENCE,
        workers: int = _WORKERS,
    ) -> None:
        self._store = store
        self._items = sorted(items, key=lambda item: item.record.path)  # in one order: they meet at the first in common
        self._check = check
        self._patience = patience
        self._workers = workers
        self._outgrown: list[tuple[str, list[int]]] = []
        self._revoked = False
        self._running = threading.Lock()
        self._deciding: str | None = None  # whose marker may have been made
        self.fate = Fate.PENDING
        self.in_doubt = False

    def run(self) -> None:
        """Commit; on return everything is visible and durable.

        Raises:
            TransactionError: If others were in its way again and again, or if one of its results had to be the first of
                its key and is not.
            EntrepotError: What the store raises, or the check. Nothing is visible then, unless it is `in_doubt`.
        """
        with self._running:
            if self._revoked:
                return
            try:
                self._run()
            except BaseException:
                if self._deciding is not None and self.fate is Fate.PENDING and not self.in_doubt:
                    self._find_out(self._deciding)  # interrupted between the decision and the note of it
                raise

    def _run(self) -> None:
        if len(self._items) == 1:
            self._commit_one(self._items[0])
            return
        for _ in range(_ATTEMPTS):
            if self._commit_all():
                return
        raise TransactionError(
            f"{len(self._items)} results were not kept in {self._store.location}: other transactions were writing some"
            " of the same keys all the time; nothing of this one is visible",
            key="",
        )

    def revoke(self) -> None:
        """See that it is over; it does not begin if it has not. For who was interrupted while another thread ran it."""
        self._revoked = True
        with self._running:
            return

    # --- one ----------------------------------------------------------------------------------------------------------

    def _commit_one(self, item: Prepared) -> None:
        """Keep a single record: one object is all or nothing by itself."""
        if self._check is not None:
            self._check()
        try:
            kept = self._store.put(item)
            if not item.first or self._is(kept, item):
                self.fate = Fate.COMMITTED
                return
        except BaseException as error:
            found = self._store.describe(item.record.key)
            self.in_doubt = found.outcome is Outcome.UNREACHABLE
            if found.outcome is Outcome.HIT and self._is(found.record, item):
                self.fate = Fate.COMMITTED
                if isinstance(error, Exception):
                    return  # only the answer was lost
            raise
        raise self._not_first(item)

    def _is(self, record: Record | None, item: Prepared) -> bool:
        # Not by equality: a record that was read has long texts as hashes.
        return record is not None and seal_record(record, self._store.keys()) == item.sealed

    # --- several ------------------------------------------------------------------------------------------------------

    def _commit_all(self) -> bool:
        """Try once; return False if it is to be tried again."""
        transaction = uuid.uuid4().hex
        self._outgrown = []
        try:
            any_staged = self._stage_all(transaction)
            self._check_payloads()
            if self._check is not None:
                self._check()
        except _InTheWayError as other:
            self._abandon(transaction)
            self._wait_for(other.transaction)
            return False
        except BaseException:
            self._abandon(transaction)
            raise
        if not any_staged:
            self.fate = Fate.COMMITTED
        elif not self._decide(transaction):
            return False
        if self._store.storage.creates_exclusively:
            for chain, numbers in self._outgrown:
                self._store.versions.forget(chain, numbers)
        return True

    def _decide(self, transaction: str) -> bool:
        """Make the marker; return False if another has aborted the transaction."""
        self._deciding = transaction
        try:
            self._store.markers.decide(transaction, Fate.COMMITTED)
            self.fate = Fate.COMMITTED
        except BaseException as error:
            # It may have been made, or not, or be made yet. A store also says that there is one if it was asked twice.
            self._find_out(transaction)
            if self.fate is Fate.COMMITTED and isinstance(error, Exception):
                return True
            if self.fate is Fate.ABORTED and isinstance(error, ObjectExistsError):
                self.fate, self._deciding = Fate.PENDING, None
                return False
            raise
        return True

    def _find_out(self, transaction: str) -> None:
        """See that a transaction is over, and what became of it."""
        markers = self._store.markers
        self.in_doubt = True
        try:
            if self._store.storage.creates_exclusively:
                self.fate = markers.try_abort(transaction)
            else:
                self.fate = markers.fate(transaction)
        except EntrepotError:
            return
        self.in_doubt = self.fate is Fate.PENDING

    def _abandon(self, transaction: str) -> None:
        with suppress(EntrepotError):  # so that nobody waits for it; it never counts anyway
            self._store.markers.decide(transaction, Fate.ABORTED)

    def _stage_all(self, transaction: str) -> bool:
        """Put all records where they will count; return whether there were any: not all were there already."""
        stage = partial(self._stage, transaction)
        if self._workers == 1:
            return any(list(map(stage, self._items)))
        pool = ThreadPoolExecutor(min(self._workers, len(self._items)), thread_name_prefix="entrepot-commit")
        try:
            return any(list(pool.map(stage, self._items)))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _stage(self, transaction: str, item: Prepared) -> bool:
        """Put a record where it will count once its transaction is committed.

        Returns:
            False if there is one that counts and is as good: it stays.
        """
        storage, exclusive = self._store.storage, self._store.storage.creates_exclusively
        if not exclusive:
            self._store.warn_not_exclusive()
        record = replace(item.record, transaction=transaction)
        sealed = seal_record(record, self._store.keys())
        is_absent = exclusive and not item.replace  # so it is most often
        waited = False
        for _ in range(_LOOKS):
            if is_absent and self._create(record.path, sealed):
                return True
            is_absent = False
            try:
                data = bytes(storage.get(record.path, length=MAX_RECORD_SIZE + 1))
            except ObjectNotFoundError:
                is_absent = True
                continue
            if len(data) <= MAX_RECORD_SIZE and is_claim(data) and not standing_in(data):
                if self._displace(record.path, sealed):
                    return True
                continue
            if self._has_as_good(item):
                return False
            if self._stage_beside(record, data):
                if waited or not self._store.condemned.wait_for(record.path):
                    return True
                waited = True  # a collection may have taken away what it was put beside: looked at once more
        raise TransactionError(
            f"the place of {record.path} in {self._store.location} was changed by others all the time; nothing of this"
            " transaction is visible",
            key=record.key,
        )

    def _has_as_good(self, item: Prepared) -> bool:
        """Return whether a record is there that counts, and that stays.

        Raises:
            TransactionError: If there must be none.
        """
        if item.replace or self._store.usable(item.record) is None:
            return False
        if item.first:
            raise self._not_first(item)
        return True

    def _check_payloads(self) -> None:
        """Refuse to commit records whose payloads a collection took for left over: a block may last for days."""
        for item in self._items:
            if not self._store.still_has_payload(item):
                raise TransactionError(
                    f"the payload of {item.record.key!r} in {self._store.location} was deleted by a collection, whose"
                    " grace was shorter than this transaction; nothing of it is visible: run it again",
                    key=item.record.key,
                )

    def _create(self, path: str, sealed: bytes) -> bool:
        """Put a record where there was none; return False if there is one by now."""
        storage = self._store.storage
        with suppress(ObjectExistsError):
            (storage.create if storage.creates_exclusively else storage.put)(path, sealed)
            return True
        return False

    def _displace(self, path: str, sealed: bytes) -> bool:
        """Put a record in the place of a claim; return False if that is gone. Whoever has it keeps nothing then."""
        storage = self._store.storage
        if not isinstance(storage, SwapsConditionally):  # then nobody could have claimed anything
            storage.put(path, sealed)
            return True
        with suppress(ObjectNotFoundError, ObjectChangedError, IntegrityError):
            data, tag = storage.get_tagged(path, limit=MAX_RECORD_SIZE)
            if is_claim(found := bytes(data)) and not standing_in(found):
                storage.swap(path, sealed, tag)
                return True
        return False

    def _stage_beside(self, record: Record, data: bytes) -> bool:
        """Put a record beside what is in its place; return False if that is to be looked at again."""
        versions, path, ours = self._store.versions, record.path, record.transaction or ""
        found = self._opened(path, data)
        if isinstance(found, Record) and found.transaction == ours:
            return True  # a request that was sent twice: the second time, it was there
        if isinstance(found, Versioned) and isinstance(self._store.storage, MakesDurable):
            self._store.storage.make_durable(path)  # who put it there may have died before; ours counts by it
        chain = found.chain if isinstance(found, Versioned) else chain_of(path, data)
        numbers = versions.numbers(chain)
        pending = self._pending(path, found, chain, numbers)
        if self._give_way(pending - {ours}, ours):
            return False
        if ours not in pending:
            if not versions.add(record, chain, numbers[0] + 1 if numbers else 0):
                return False
            self._outgrown.append((chain, numbers))
        if found is None or isinstance(found, Record):
            versions.keep_base(chain, data)
            # Looked at again: what somebody else has put there meanwhile is not to be taken for what we found.
            with suppress(ObjectNotFoundError):
                if bytes(self._store.storage.get(path, length=MAX_RECORD_SIZE + 1)) == data:
                    versions.begin(path, chain)
                    return True
            return False
        return True

    def _pending(self, path: str, found: Record | Versioned | None, chain: str, numbers: list[int]) -> set[str]:
        """Return the transactions that are not over and have a record for this place."""
        if not self._store.storage.creates_exclusively:
            return set()  # nobody can say there who decides, and so nobody waits
        pending = set(self._store.versions.pending(path, chain, numbers))
        if isinstance(found, Record) and found.transaction and self._is_pending(found.transaction):
            pending.add(found.transaction)
        return pending

    def _give_way(self, others: set[str], ours: str) -> bool:
        """Wait until other transactions are over; return whether there were any."""
        for other in sorted(others):
            if ours > other:
                raise _InTheWayError(other)
            self._wait_for(other)
        return bool(others)

    def _opened(self, path: str, data: bytes) -> Record | Versioned | None:
        """Return what bytes say that are in the place of a record; None if they do not verify."""
        try:
            return open_record(data, self._store.keys(), path=path, location=self._store.location)
        except EntrepotError:
            return None

    def _is_pending(self, transaction: str) -> bool:
        try:
            return self._store.markers.fate(transaction) is Fate.PENDING
        except IntegrityError:  # whatever it was, it makes nothing visible any more
            return False

    def _wait_for(self, transaction: str) -> None:
        """Wait until a transaction is over; abort it if that takes too long."""
        clock = self._store.clock
        until = clock.monotonic() + self._patience
        while self._is_pending(transaction):
            if clock.monotonic() >= until:
                self._store.markers.try_abort(transaction)
            else:
                clock.sleep(_STEP)

    def _not_first(self, item: Prepared) -> TransactionError:
        return TransactionError(
            f"another transaction with the key {item.record.key!r} was committed in {self._store.location} meanwhile;"
            " nothing of this one is visible",
            key=item.record.key,
        )

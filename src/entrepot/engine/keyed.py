"""Transactions with a key: where their values are kept, and who may work on one at a time.

This module loads stores and cryptography; the engine imports it for the first transaction with a key.
"""

import logging
import uuid
from functools import partial
from typing import Any

from entrepot._secrets import disguised
from entrepot._sentinels import MISSING, Missing
from entrepot.context import CURRENT
from entrepot.engine.effects import Call, Do, Steps
from entrepot.engine.keeping import NOTHING_SAID
from entrepot.engine.places import result_store
from entrepot.engine.unit_of_work import Setting, UnitOfWork
from entrepot.engine.world import current_world
from entrepot.errors import LeaseLostError, TransactionError
from entrepot.protocols.locking import LockManager
from entrepot.results.lookup import Outcome
from entrepot.results.store import ResultStore
from entrepot.serializers import Serializer, get_serializer

__all__ = ["KeyLock", "Keyed"]

_log = logging.getLogger("entrepot.transactions")


class Keyed:
    """The value of a transaction under its key.

    Args:
        key: The user's text.
        overwrite: Whether a value that is there is passed over and replaced.
        serial: Whether only one transaction at a time may work on the key.
        kept: Whether the transaction keeps a value.
    """

    __slots__ = ("_kept", "_kept_key", "_overwrite", "_place", "_run", "_serial", "key")

    def __init__(self, key: str, *, overwrite: bool, serial: bool, kept: bool) -> None:
        self.key = key = disguised(key)
        self._kept_key = f"transaction/{key}"
        self._overwrite = overwrite
        self._serial = serial
        self._kept = kept
        self._run: dict[str, str] = {}
        self._place: tuple[ResultStore, Serializer] | None = None

    @property
    def place(self) -> tuple[ResultStore, Serializer]:
        """Where the value is kept, and how; open once the transaction was entered.

        Raises:
            TransactionError: If it was not.
        """
        if self._place is None:
            raise TransactionError(f"the transaction {self.key!r} was not entered", key=self.key)
        return self._place

    def opening(
        self, store: Any, unit: UnitOfWork, lock_manager: LockManager | None, setting: Setting
    ) -> Steps[tuple[bool, BaseException | None]]:
        """Open the store, wait for the lock if there is one, and see whether the key is committed.

        Args:
            store: What an option `result_storage` takes, a `ResultStore`, or None to do as the flow around does.
            unit: Of the transaction; it gets the lock.
            lock_manager: Keeps the lock; None for the default.
            setting: Of the transaction.

        Returns:
            Whether the key is committed, or staged in the transaction around; and what kept it from finding out.
        """
        staged, problem = yield Do(partial(self._open, store, unit))
        if problem is not None or staged:
            return bool(staged), problem
        name = f"transaction {self.place[0].location} {self.key}"
        if self._serial and not unit.holds(name):
            lock = KeyLock(_default_lock_manager() if lock_manager is None else lock_manager, name)
            taken, problem = yield Call(lock.aacquire if setting.is_async else lock.acquire, (), {}, setting.context)
            if problem is None and not taken:
                problem = TransactionError(f"the lock {name!r} could not be had", key=self.key)
            if problem is not None:
                return False, problem
            unit.locks.append(lock)
        if self._overwrite:
            return False, None
        value, problem = yield Do(self.committed)
        return problem is None and value is not MISSING, problem

    def _open(self, store: Any, unit: UnitOfWork) -> bool:
        """Open the store; return whether the transaction around has staged the key."""
        context = CURRENT.get()
        if context is None:
            world, around = current_world(), NOTHING_SAID
        else:
            run = context.engine
            world, around, self._run = run.world, run.inherited, {"id": run.id, "name": run.name}
        if not isinstance(store, ResultStore):
            store = result_store(around.storage if store is None else store, world)
        named = world.settings.results_serializer if around.serializer is None else around.serializer
        self._place = store, get_serializer(named)
        store.check_serializer(self._place[1])
        if self._kept:
            unit.staging().bind(store)  # before any work: its results are to be there too
        return not self._overwrite and self.staged(unit) is not MISSING

    def committed(self) -> Any | Missing:
        """Return the value that is committed under the key, else `MISSING`.

        Raises:
            EntrepotError: What the store raises: an outage is not a miss.
        """
        store, serializer = self.place
        found = store.fetch(self._kept_key, serializer=serializer)
        return found.value if found.outcome is Outcome.HIT else MISSING

    def staged(self, unit: UnitOfWork) -> Any | Missing:
        """Return the value that is staged under the key in a transaction, else `MISSING`."""
        store, serializer = self.place
        record = unit.staging().find(self._kept_key)
        return MISSING if record is None else store.load_record(record, serializer=serializer)

    def stage(self, value: Any, unit: UnitOfWork) -> None:
        """Make a value ready to be committed.

        Raises:
            SerializationError: If it cannot be written.
            StorageError: If the store cannot be written.
        """
        store, serializer = self.place
        unit.staging().add(
            store.prepare(
                self._kept_key,
                value,
                serializer=serializer,
                parts={"transaction": self.key},
                task={"kind": "transaction", "name": self.key},
                run=self._run,
                replace=self._overwrite,
                first=self._serial and not self._overwrite,
            )
        )


class KeyLock:
    """The lock of a key, for one transaction.

    Args:
        manager: Keeps it.
        name: Of the lock.

    Attributes:
        name: As given.
    """

    __slots__ = ("_holder", "_manager", "name")

    def __init__(self, manager: LockManager, name: str) -> None:
        self._manager = manager
        self.name = name
        self._holder = f"transaction-{uuid.uuid4().hex}"

    def acquire(self) -> bool:
        """Wait for it."""
        return self._manager.acquire_lock(self.name, self._holder)

    async def aacquire(self) -> bool:
        """Wait for it, while the loop runs on."""
        return await self._manager.aacquire_lock(self.name, self._holder)

    def check(self) -> None:
        """See that it is still held.

        Raises:
            LeaseLostError: If it is not: another may be at work.
        """
        if not self._manager.is_lock_holder(self.name, self._holder):
            raise LeaseLostError(
                f"the lock {self.name!r} was lost before the transaction could commit: its process stood still for"
                " long, or its time was over; another may have begun",
                name=self.name,
            )

    def release(self) -> None:
        """Give it back; where that fails, it is logged: what is committed is."""
        try:
            self._manager.release_lock(self.name, self._holder)
        except Exception as error:  # noqa: BLE001  of any manager
            _log.warning("The lock %r could not be given back: %s", self.name, error)


def _default_lock_manager() -> LockManager:
    """Return the manager for all processes of this machine that share the home."""
    from entrepot.locking import SharedLockManager  # noqa: PLC0415  the lazy seam: it loads SQLite

    manager: LockManager = SharedLockManager()
    return manager

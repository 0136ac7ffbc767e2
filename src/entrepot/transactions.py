"""Transactions: results that become visible together, and hooks that undo what was done when they do not."""

import logging
from typing import Any

from entrepot.context import TRANSACTION
from entrepot.engine.transaction_kinds import CommitMode, IsolationLevel, TransactionResult, TransactionState
from entrepot.engine.transactions import Transaction
from entrepot.protocols.locking import LockManager

__all__ = [
    "CommitMode",
    "IsolationLevel",
    "Transaction",
    "TransactionResult",
    "TransactionState",
    "atransaction",
    "get_transaction",
    "transaction",
]


def transaction(
    key: str | None = None,
    store: Any = None,
    commit_mode: CommitMode | None = None,
    isolation_level: IsolationLevel | None = None,
    *,
    overwrite: bool = False,
    write_on_commit: bool = True,
    logger: "logging.Logger | logging.LoggerAdapter[Any] | None" = None,
    lock_manager: LockManager | None = None,
) -> Transaction:
    """Return a transaction, for a `with` or an `async with`.

    What tasks and flows inside keep becomes visible to others at its end, all of it at once; if something is raised,
    nothing does, and the `on_rollback` hooks of the tasks that completed are called, newest first. Its end waits for
    what was submitted inside. If one of these runs failed and nobody asked for its result, its error is raised there.
    Inside, results are found from the moment that they are staged.

    A transaction inside another one becomes a part of that. One that fails, and whose error is caught outside it, takes
    nothing else with it.

    Args:
        key: Its name. It then has a value, `stage(value)`, that is kept under the key when it is committed; when its
            key is committed already, `is_committed()` says so from the beginning, and the body can be skipped.
        store: Where that is kept: as the option `result_storage`; as the flow around does if not given.
        commit_mode: When it is committed; LAZY if not given.
        isolation_level: READ_COMMITTED if not given, or that of the transaction around. SERIALIZABLE needs a key.
        overwrite: Whether to take no notice of what is kept under the key, and to replace it.
        write_on_commit: Whether a value is kept under the key.
        logger: Is told what hooks raise; the run's own if not given.
        lock_manager: Keeps the lock of a SERIALIZABLE one; one for all processes of this machine with the same home if
            not given. All that use a key need the same.

    Raises:
        OptionError: If an argument makes no sense.
    """
    return Transaction(
        key,
        store,
        commit_mode,
        isolation_level,
        overwrite=overwrite,
        write_on_commit=write_on_commit,
        logger=logger,
        lock_manager=lock_manager,
    )


atransaction = transaction
"""Its name for an `async with` in Prefect."""


def get_transaction() -> Transaction | None:
    """Return the innermost transaction that the current code is part of: inside a task that runs in one, its own."""
    found: Transaction | None = TRANSACTION.get()
    return found

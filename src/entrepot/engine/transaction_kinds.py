"""What kinds of transactions there are, and how far one can be."""

import os
from dataclasses import dataclass
from enum import Enum
from typing import Any

from entrepot.errors import OptionError
from entrepot.protocols.locking import LockManager
from entrepot.protocols.storage import SupportsStorage

__all__ = ["CommitMode", "IsolationLevel", "TransactionResult", "TransactionState", "check_kind"]


class IsolationLevel(Enum):
    """What transactions with the same key have to do with each other.

    Attributes:
        READ_COMMITTED: Each sees what is committed when it begins. Two at the same time both do their work.
        SERIALIZABLE: One waits until the other is over, and then finds what that has committed.
    """

    READ_COMMITTED = "READ_COMMITTED"
    SERIALIZABLE = "SERIALIZABLE"


class CommitMode(Enum):
    """When a transaction is committed.

    Attributes:
        EAGER: At its own end, also inside another one.
        LAZY: At its own end, or with the one around it.
        OFF: Where `commit()` is called, else never.
    """

    EAGER = "EAGER"
    LAZY = "LAZY"
    OFF = "OFF"


class TransactionState(Enum):
    """How far a transaction is.

    Attributes:
        PENDING: Not begun.
        ACTIVE: Under way.
        STAGED: It has its value, or waits for the transaction around it.
        COMMITTED: What it kept is visible and durable; or was so when it began.
        ROLLED_BACK: Nothing of it is, and never will be.
    """

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    STAGED = "STAGED"
    COMMITTED = "COMMITTED"
    ROLLED_BACK = "ROLLED_BACK"


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """What is kept under the key of a transaction.

    Attributes:
        result: The value.
    """

    result: Any


def check_kind(key: Any, store: Any, commit_mode: Any, isolation_level: Any, lock_manager: Any) -> None:
    """Refuse a transaction that makes no sense.

    Raises:
        OptionError: If an argument is of the wrong type, or SERIALIZABLE without a key.
    """
    if key is not None and (not isinstance(key, str) or not key):
        raise OptionError(f"the key of a transaction is a text, not {key!r}", option="key")
    if store is not None and not _may_be_a_store(store):
        raise OptionError(
            "the store of a transaction is a folder, a URL, the name of a saved block such as 's3/prod', a storage"
            f" block, a Storage or a ResultStore, not {store!r}",
            option="store",
        )
    if lock_manager is not None and not isinstance(lock_manager, LockManager):
        raise OptionError(
            f"lock_manager is a lock manager such as FileSystemLockManager(folder), not {lock_manager!r}",
            option="lock_manager",
        )
    if commit_mode is not None and not isinstance(commit_mode, CommitMode):
        raise OptionError(f"commit_mode is one of CommitMode, not {commit_mode!r}", option="commit_mode")
    if isolation_level is not None and not isinstance(isolation_level, IsolationLevel):
        raise OptionError(
            f"isolation_level is one of IsolationLevel, not {isolation_level!r}", option="isolation_level"
        )
    if isolation_level is IsolationLevel.SERIALIZABLE and key is None:
        raise OptionError(
            "IsolationLevel.SERIALIZABLE is for transactions with a key: those with the same one wait for each other;"
            " give it a key",
            option="isolation_level",
        )


def _may_be_a_store(store: Any) -> bool:
    if isinstance(store, type):
        return False
    methods = [("get", "put", "create", "list"), ("fetch", "prepare", "put")]  # of a Storage, of a ResultStore
    return isinstance(store, str | os.PathLike | SupportsStorage) or any(
        all(hasattr(store, method) for method in names) for names in methods
    )

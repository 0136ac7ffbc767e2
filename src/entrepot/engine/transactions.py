"""Transactions: what runs inside one is kept together, or undone together.

Every run inside a transaction is one itself, as is a run of a task with hooks for them. What a run, or a `with` inside
another one, has kept goes up to the one around it when it is over, and its hooks with it; or nowhere if it failed. The
outermost one, and each that is EAGER, commits: the `on_commit` hooks are called, oldest first, and then all results
become visible at once. If such a hook raises, or the store fails, none does, and the `on_rollback` hooks are called.
"""

import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from entrepot._clock import SYSTEM_CLOCK
from entrepot._sentinels import MISSING
from entrepot.context import CURRENT, TRANSACTION
from entrepot.engine.drive import drive
from entrepot.engine.effects import Do, Steps
from entrepot.engine.transaction_kinds import (
    CommitMode,
    IsolationLevel,
    TransactionResult,
    TransactionState,
    check_kind,
)
from entrepot.engine.unit_of_work import Setting, UnitOfWork, reset
from entrepot.errors import TransactionError
from entrepot.logging import get_logger, get_run_logger
from entrepot.protocols.locking import LockManager

if TYPE_CHECKING:
    from entrepot.engine.keyed import Keyed

__all__ = ["Transaction", "active"]

T = TypeVar("T")


class Transaction:
    """A transaction; use it in a `with` or an `async with`. `entrepot.transactions.transaction` explains the arguments.

    Attributes:
        key: As given.
        store: As given.
        commit_mode: As given, or LAZY.
        isolation_level: As given, or as that of the transaction around it; READ_COMMITTED at the outermost.
        overwrite: As given.
        write_on_commit: As given.
        state: How far it is.
        parent: The transaction around it, or None.
        children: Those inside it that are over, and are committed with it.
        unit: What it has to commit; for the engine.

    Raises:
        OptionError: If an argument makes no sense.
    """

    key: str | None
    state: TransactionState

    def __init__(
        self,
        key: str | None = None,
        store: Any = None,
        commit_mode: CommitMode | None = None,
        isolation_level: IsolationLevel | None = None,
        *,
        overwrite: bool = False,
        write_on_commit: bool = True,
        logger: "logging.Logger | logging.LoggerAdapter[Any] | None" = None,
        lock_manager: LockManager | None = None,
    ) -> None:
        check_kind(key, store, commit_mode, isolation_level, lock_manager)
        self.key = key
        self.store = store
        self.commit_mode = commit_mode
        self.isolation_level = isolation_level
        self.overwrite = overwrite
        self.write_on_commit = write_on_commit
        self.state = TransactionState.PENDING
        self.parent: Transaction | None = None
        self.children: list[Transaction] = []
        self._logger = logger
        self._lock_manager = lock_manager
        self._values: dict[str, Any] = {}
        self._value: Any = MISSING  # of its key
        self._keyed: Keyed | None = None
        self._known = False  # whether its key was committed when it began
        self.unit = UnitOfWork(None)
        self._token: Any = None

    def __repr__(self) -> str:
        return f"<Transaction{'' if self.key is None else f' {self.key!r}'} {self.state.name}>"

    # --- what users ask and say ---------------------------------------------------------------------------------------

    def is_pending(self) -> bool:
        """Return whether it has not begun."""
        return self.state is TransactionState.PENDING

    def is_active(self) -> bool:
        """Return whether it is under way."""
        return self.state is TransactionState.ACTIVE

    def is_staged(self) -> bool:
        """Return whether it has its value, or waits for the transaction around it."""
        return self.state is TransactionState.STAGED

    def is_committed(self) -> bool:
        """Return whether it is committed; right at its beginning: whether its key was."""
        return self.state is TransactionState.COMMITTED

    def is_rolled_back(self) -> bool:
        """Return whether it is rolled back."""
        return self.state is TransactionState.ROLLED_BACK

    def get_parent(self) -> "Transaction | None":
        """Return the transaction around it, or None."""
        return self.parent

    def set(self, name: str, value: Any) -> None:
        """Note a value, for what runs inside it and for its hooks; it is not kept anywhere."""
        self._values[name] = value

    def get(self, name: str, default: Any = MISSING) -> Any:
        """Return a value that was noted here, or in a transaction around this one.

        Args:
            name: Of the value.
            default: What to return if there is none.

        Raises:
            TransactionError: If there is none, and no default.
        """
        if name in self._values:
            return self._values[name]
        if self.parent is not None:
            return self.parent.get(name, default)
        if default is MISSING:
            raise TransactionError(
                f"nothing was noted as {name!r} in this transaction; txn.set({name!r}, ...) does so", key=self.key or ""
            )
        return default

    def stage(
        self,
        value: Any,
        *,
        on_commit_hooks: Iterable[Callable[..., Any]] = (),
        on_rollback_hooks: Iterable[Callable[..., Any]] = (),
    ) -> None:
        """Give it the value that is kept under its key, and hooks. If its key was committed already, nothing happens.

        Args:
            value: Kept when it is committed; None if this is never called.
            on_commit_hooks: Called with the transaction when it is committed.
            on_rollback_hooks: Called with the transaction when it is rolled back.

        Raises:
            TransactionError: If it is over, or its value was committed by hand.
        """
        if self._known:
            return
        if self.key is not None and self.is_committed():
            raise TransactionError(
                "its value is committed already; another one needs another transaction", key=self.key
            )
        self.unit.add_hooks(self, on_commit_hooks, on_rollback_hooks)
        self._value = value
        if self.is_active():
            self.state = TransactionState.STAGED

    def read(self) -> TransactionResult | None:
        """Return what it has staged, or what is committed under its key; None if there is nothing.

        Raises:
            EntrepotError: What the store raises.
        """
        if self._value is not MISSING:
            return TransactionResult(self._value)
        keyed = self._keyed
        if keyed is None:
            return None
        value = keyed.staged(self.unit)
        value = keyed.committed() if value is MISSING else value
        return None if value is MISSING else TransactionResult(value)

    def commit(self) -> bool:
        """Commit what was staged until now, when what was submitted until now is over.

        Returns:
            Whether there was anything to commit.

        Raises:
            TransactionError: If it was not entered, or is over; or if a hook raised, and so it was rolled back.
            EntrepotError: What the store raises: then it was rolled back.
        """
        return drive(self._by_hand(is_async=False, commit=True), SYSTEM_CLOCK)

    async def acommit(self) -> bool:
        """As `commit`."""
        return await _drive_async(self._by_hand(is_async=True, commit=True))

    def rollback(self) -> bool:
        """Roll back what was staged until now; nothing of this transaction is committed any more.

        Returns:
            Whether it was rolled back now: not if it was before, or is over.
        """
        return drive(self._by_hand(is_async=False, commit=False), SYSTEM_CLOCK)

    async def arollback(self) -> bool:
        """As `rollback`."""
        return await _drive_async(self._by_hand(is_async=True, commit=False))

    # --- with ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Begin; with a key: wait for its lock if that is SERIALIZABLE, and see whether it is committed."""
        drive(self._entering(is_async=False), SYSTEM_CLOCK)
        self._token = TRANSACTION.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Wait for what was submitted inside; then commit, become a part of the transaction around, or roll back."""
        self._leave()
        _raise(drive(self._exiting(error, is_async=False), SYSTEM_CLOCK))

    async def __aenter__(self) -> Self:
        """As `__enter__`."""
        await _drive_async(self._entering(is_async=True))
        self._token = TRANSACTION.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """As `__exit__`."""
        if isinstance(error, GeneratorExit):  # the coroutine is thrown away: it cannot await any more
            self.__exit__(kind, error, traceback)
            return
        self._leave()
        _raise(await _drive_async(self._exiting(error, is_async=True)))

    def _leave(self) -> None:
        token, self._token = self._token, None
        reset(token)

    # --- the steps ----------------------------------------------------------------------------------------------------

    def begin(self, parent: "Transaction | None") -> None:
        """Become active, inside another transaction or not. The engine calls this, and `end`.

        Raises:
            TransactionError: If it was begun before.
        """
        if not self.is_pending():
            raise TransactionError("a transaction is entered once; make another one", key=self.key or "")
        self.parent = parent
        if self.commit_mode is None:
            self.commit_mode = CommitMode.LAZY
        if self.isolation_level is None:
            self.isolation_level = IsolationLevel.READ_COMMITTED if parent is None else parent.isolation_level
        joins = parent is not None and self.commit_mode is not CommitMode.EAGER
        self.unit = UnitOfWork(parent.unit if joins and parent is not None else None)
        self.state = TransactionState.ACTIVE

    def end(self, setting: Setting, *, failed: bool, is_run: bool = False) -> Steps[BaseException | None]:
        """Commit, become a part of the transaction around, or roll back.

        Args:
            setting: Where hooks are called.
            failed: Whether something was raised inside.
            is_run: Whether this is a run; users see those only in hooks.

        Returns:
            What kept it from that, or came through a hook.
        """
        problem: BaseException | None = None
        if not failed and not self.is_rolled_back():
            problem = yield from self._staging_its_value()
            if problem is None and self.unit.joins:
                unseen = is_run and not (self.children or self.unit.has_hooks)
                problem = self._become_a_part(unseen=unseen)
                if problem is None:
                    return None
            elif problem is None and (self.commit_mode is not CommitMode.OFF or self._is_done):
                committed, problem = yield from self._committing(setting)
                if committed is not False:
                    return problem
        interrupt = yield from self.unit.rolling_back(setting)
        self._mark(TransactionState.ROLLED_BACK)
        return problem if interrupt is None else interrupt

    @property
    def declines(self) -> bool:
        """Whether what has not started is not to start any more: this, or one around it, is being or was undone."""
        unit = self.unit
        here = unit.refuses or (unit.undone and unit.over)
        return here or (self.parent is not None and self.parent.declines)

    @property
    def _is_done(self) -> bool:
        return self.is_committed() and self.unit.is_empty

    def _entering(self, *, is_async: bool) -> Steps[None]:
        self.begin(active())
        if self.key is None:
            return
        from entrepot.engine.keyed import Keyed  # noqa: PLC0415  the lazy seam: it loads stores and cryptography

        setting = self._setting(is_async=is_async)
        serial = self.isolation_level is IsolationLevel.SERIALIZABLE
        self._keyed = Keyed(self.key, overwrite=self.overwrite, serial=serial, kept=self.write_on_commit)
        self._known, problem = yield from self._keyed.opening(self.store, self.unit, self._lock_manager, setting)
        if problem is not None:
            yield from self.unit.rolling_back(setting)
            self._mark(TransactionState.ROLLED_BACK)
            raise problem
        if self._known:
            self.state = TransactionState.COMMITTED

    def _exiting(self, error: BaseException | None, *, is_async: bool) -> Steps[BaseException | None]:
        """End it; return what is to be raised in the place of what was raised inside."""
        setting = self._setting(is_async=is_async)
        self.unit.refuses = error is not None
        failure = yield from self.unit.waiting()
        problem = yield from self.end(setting, failed=error is not None or failure is not None)
        if error is None or isinstance(error, Exception):
            for other in (problem, failure):
                if other is not None and not isinstance(other, Exception):
                    return other
        return (failure or problem) if error is None else None

    def _by_hand(self, *, is_async: bool, commit: bool) -> Steps[bool]:
        """Commit or roll back what was staged until now; the block goes on."""
        unit, setting = self.unit, self._setting(is_async=is_async)
        if self._token is None:
            raise TransactionError(
                "this transaction was not entered, or is over; commit() and rollback() are called inside its with",
                key=self.key or "",
            )
        if self.is_rolled_back() or self._is_done:
            return False
        failure: BaseException | None = None
        if commit:
            failure = yield from unit.waiting()
            failure = (yield from self._staging_its_value()) if failure is None else failure
        committed = False
        if commit and failure is None:
            done, failure = yield from self._committing(setting)
            committed = done is not False
        if not committed:
            interrupt = yield from unit.rolling_back(setting)
            self._mark(TransactionState.ROLLED_BACK)
            failure = failure if interrupt is None else interrupt
        unit.over = False
        if failure is not None:
            raise failure
        return True

    def _staging_its_value(self) -> Steps[BaseException | None]:
        keyed = self._keyed
        if keyed is None or not self.write_on_commit or self.is_committed():
            return None
        value = None if self._value is MISSING else self._value
        _, problem = yield Do(lambda: keyed.stage(value, self.unit))
        return problem

    def _become_a_part(self, *, unseen: bool) -> BaseException | None:
        try:
            self.unit.go_up()
        except TransactionError as error:
            return error
        if self.parent is not None and not unseen:
            self.parent.children.append(self)  # one step: others may do so at the same moment
        if not self.is_committed():
            self.state = TransactionState.STAGED
        return None

    def _committing(self, setting: Setting) -> Steps[tuple[bool | None, BaseException | None]]:
        committed, problem = yield from self.unit.committing(setting)
        if committed:
            self._mark(TransactionState.COMMITTED)
        return committed, problem

    def _mark(self, state: TransactionState) -> None:
        for child in self.children:
            child._mark(state)  # noqa: SLF001  the same class
        if not self.is_committed() and not self.is_rolled_back():
            self.state = state

    def _setting(self, *, is_async: bool) -> Setting:
        context = CURRENT.get()
        logger = self._logger
        if logger is None:
            logger = get_logger("transactions") if context is None else get_run_logger(context)
        return Setting(is_async, context, logger)


def active() -> Transaction | None:
    """Return the innermost transaction that the current code is part of and that is not over, or None."""
    transaction: Transaction | None = TRANSACTION.get()
    while transaction is not None and transaction.unit.over:  # code may outlive the block that it was started in
        transaction = transaction.parent
    return transaction


def _raise(error: BaseException | None) -> None:
    if error is not None:
        try:
            raise error
        finally:
            del error  # this frame is in the traceback, and would hold the error that holds it


async def _drive_async(steps: Steps[T]) -> T:
    from entrepot.engine.drive_async import drive_async  # noqa: PLC0415  asyncio is loaded by who uses it

    return await drive_async(steps, SYSTEM_CLOCK)

"""What a transaction has to commit or to undo: results, hooks and locks; and how that is done.

The steps are generators, for the same drivers as those of runs.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from entrepot.context import TRANSACTION
from entrepot.engine.definition import function_name
from entrepot.engine.effects import Call, Do, Steps
from entrepot.engine.hooks import in_step
from entrepot.errors import NotReadyError, TransactionError
from entrepot.futures import EntrepotFuture

if TYPE_CHECKING:
    from entrepot.engine.keyed import KeyLock
    from entrepot.results.staging import Staging

__all__ = ["Setting", "UnitOfWork", "reset"]

Hook: TypeAlias = Callable[..., Any]
_Called: TypeAlias = tuple[Any, Hook]  # the transaction that it is called with, and the hook


@dataclass(frozen=True, slots=True)
class Setting:
    """Where hooks are called.

    Attributes:
        is_async: Whether a loop drives the steps, so that async hooks are awaited in it.
        context: Of the run whose code this is; None outside runs.
        logger: Is told what hooks raise.
    """

    is_async: bool
    context: Any
    logger: "logging.Logger | logging.LoggerAdapter[Any]"


class UnitOfWork:
    """What becomes visible together, or is undone together; units inside one another go up when they are over.

    Args:
        outer: The unit that it goes up to; None where it is committed by itself.

    Attributes:
        refuses: Whether what has not started inside is not to start any more.
        over: Whether it was committed, undone, or went up.
        undone: Whether it was undone.
        locks: What is held until then.
    """

    __slots__ = (
        "_guard",
        "_on_commit",
        "_on_rollback",
        "_outer",
        "_staging",
        "_submitted",
        "_undo",
        "locks",
        "over",
        "refuses",
        "undone",
    )

    def __init__(self, outer: "UnitOfWork | None") -> None:
        self._outer = outer
        self._guard = threading.Lock()
        self._staging: Staging | None = None
        self._on_commit: list[_Called] = []
        self._on_rollback: list[_Called] = []
        self._submitted: dict[int, EntrepotFuture[Any]] = {}
        self._undo: list[Callable[[], object]] = []
        self.locks: list[KeyLock] = []
        self.refuses = False
        self.over = False
        self.undone = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit and nothing to undo."""
        return not (self._staging or self._on_commit or self._on_rollback)

    @property
    def has_hooks(self) -> bool:
        """Whether users' functions will be called with its transactions."""
        return bool(self._on_commit or self._on_rollback)

    @property
    def joins(self) -> bool:
        """Whether it goes up to another one."""
        return self._outer is not None

    def holds(self, lock: str) -> bool:
        """Return whether a lock of this name is held, here or in what this goes up to."""
        here = any(held.name == lock for held in self.locks)
        return here or (self._outer is not None and self._outer.holds(lock))

    def staging(self) -> "Staging":
        """Return what it has staged; made at the first question."""
        if self._staging is None:
            from entrepot.results.staging import Staging  # noqa: PLC0415  the lazy seam: hooks alone need no stores

            outer = None if self._outer is None else self._outer.staging()
            with self._guard:
                if self._staging is None:
                    self._staging = Staging(outer)
        return self._staging

    def add_hooks(self, transaction: Any, on_commit: Iterable[Hook], on_rollback: Iterable[Hook]) -> None:
        """Let hooks be called with a transaction when this is committed or undone.

        Raises:
            TransactionError: If it is over.
        """
        with self._guard:
            if self.over:
                raise TransactionError("the transaction is over; nothing can become a part of it any more", key="")
            self._on_commit += [(transaction, hook) for hook in on_commit]
            self._on_rollback += [(transaction, hook) for hook in on_rollback]

    def when_undone(self, action: Callable[[], object]) -> None:
        """Let something of the engine's own be done if this is undone; it raises nothing."""
        with self._guard:
            self._undo.append(action)

    def go_up(self) -> None:
        """Become a part of the outer unit.

        Raises:
            TransactionError: If that is over.
        """
        if self._outer is not None:
            self._outer.take_over(self)

    def take_over(self, inner: "UnitOfWork") -> None:
        """Take what an inner unit has, to commit it or undo it with the rest.

        Raises:
            TransactionError: If this is over.
        """
        with self._guard:
            if self.over:
                raise TransactionError(
                    "the transaction around this was over first, and so nothing of it is kept; wait inside the"
                    " transaction for what is started in it",
                    key="",
                )
            on_commit, on_rollback, undo, locks = inner.give()
            self._on_commit += on_commit
            self._on_rollback += on_rollback
            self._undo += undo
            self.locks += locks

    def give(self) -> "tuple[list[_Called], list[_Called], list[Callable[[], object]], list[KeyLock]]":
        """Be over, and return hooks, what is to be done if they are undone, and locks; results go up by themselves."""
        with self._guard:
            self.over = True
            if self._staging:
                self._staging.hand_up()
            given = self._on_commit, self._on_rollback, self._undo, self.locks
            self._on_commit, self._on_rollback, self._undo, self.locks = [], [], [], []
            return given

    # --- what was submitted inside ------------------------------------------------------------------------------------

    def adopt(self, future: EntrepotFuture[Any]) -> None:
        """Wait for a run at the end, and fail if it fails and nobody asks."""
        with self._guard:
            if self.over:
                return
            self._submitted[id(future)] = future
        future.add_done_callback(self._let_go)

    def _let_go(self, future: EntrepotFuture[Any]) -> None:
        if future.peek().is_completed():  # those that did not complete are asked about at the end
            with self._guard:
                self._submitted.pop(id(future), None)

    def waiting(self) -> Steps[BaseException | None]:
        """Wait for what was submitted; return an interrupt, or the error of a run that failed and nobody asked for."""
        if not self._submitted:
            return None
        _, interrupt = yield Do(self._wait)
        return self._unseen() if interrupt is None else interrupt

    def _wait(self) -> None:
        while True:  # what is waited for may submit more
            with self._guard:
                pending = [future for future in self._submitted.values() if not future.done()]
            if not pending:
                return
            for future in pending:
                future.wait()

    def _unseen(self) -> BaseException | None:
        with self._guard:
            futures = list(self._submitted.values())
            self._submitted.clear()
        errors = []
        for future in futures:
            state = future.peek()
            if not state.is_completed() and not future.asked:
                try:
                    state.result()
                except BaseException as error:  # noqa: BLE001  it is the block's now
                    errors.append(error)
        # One that failed says more than those that did not start because of it.
        return next((error for error in errors if not isinstance(error, NotReadyError)), next(iter(errors), None))

    # --- the end ------------------------------------------------------------------------------------------------------

    def committing(self, setting: Setting) -> Steps[tuple[bool | None, BaseException | None]]:
        """Call the hooks, oldest first, and then make the results visible; undo all if that fails.

        Returns:
            Whether it is committed, None where the store did not say; and an error, which is an interrupt if it is.
        """
        with self._guard:
            self.over = True
            hooks, self._on_commit = self._on_commit, []
        error: BaseException | None = None
        for transaction, hook in hooks:
            error = yield from _called(hook, transaction, setting)
            if error is not None:
                if isinstance(error, Exception):
                    error = _hook_failed(hook, transaction, error)
                break
        if error is None and self._staging:
            committed, error = yield from self._kept(self._staging)
            if committed is not False:
                self._on_rollback = []
                yield from self._release()
                return committed, error
        if error is not None:
            interrupt = yield from self.rolling_back(setting)
            return False, error if interrupt is None else interrupt
        self._on_rollback = []
        yield from self._release()
        return True, None

    def _kept(self, staging: "Staging") -> Steps[tuple[bool | None, BaseException | None]]:
        from entrepot.results.commit import Commit  # noqa: PLC0415  the lazy seam, as above
        from entrepot.results.markers import Fate  # noqa: PLC0415  the same

        store = staging.store
        if store is None:
            return True, None
        commit = Commit(store, staging.take(), check=self._check_locks)
        _, error = yield Do(commit.run)
        if error is None:
            return True, None
        # An async driver was interrupted, and the thread may go on.
        _, again = yield Do(commit.revoke)
        if again is not None:
            commit.revoke()
        if commit.fate is Fate.COMMITTED:
            return True, error
        if commit.in_doubt:
            doubt = TransactionError(
                f"{store.location} stopped answering while a transaction was committed there. Whether it was is not"
                " known: who looks later sees all of its results, or none. Its on_rollback hooks were not called",
                key="",
            )
            doubt.__cause__ = error
            return None, doubt if isinstance(error, Exception) else error
        return False, error

    def _check_locks(self) -> None:
        for lock in self.locks:
            lock.check()

    def rolling_back(self, setting: Setting) -> Steps[BaseException | None]:
        """Forget the results, and call the hooks, newest first; return an interrupt that came through one of them.

        What they raise is logged, and the others are called all the same.
        """
        with self._guard:
            self.over = self.undone = True
            hooks, self._on_rollback, self._on_commit = self._on_rollback, [], []
            undo, self._undo = self._undo, []
        for action in undo:
            action()
        dropped = self._staging.take() if self._staging else []
        if hooks or dropped:
            setting.logger.info(
                "Transaction rolled back; results that are not kept: %d; hooks that are called: %d",
                len(dropped),
                len(hooks),
            )
        interrupt: BaseException | None = None
        for transaction, hook in reversed(hooks):
            error = yield from _called(hook, transaction, setting)
            if isinstance(error, Exception):
                setting.logger.error("Its on_rollback hook %s raised %r", function_name(hook), error, exc_info=error)
            elif error is not None:
                interrupt = error
                break
        yield from self._release()
        return interrupt

    def _release(self) -> Steps[None]:
        locks, self.locks = self.locks, []
        for lock in locks:
            yield Do(lock.release)


def reset(token: Any) -> None:
    """Leave a transaction, in the context where it was entered; elsewhere there is nothing to leave."""
    with contextlib.suppress(ValueError):  # a coroutine that is thrown away may be closed in another context
        TRANSACTION.reset(token)


def _called(hook: Hook, transaction: Any, setting: Setting) -> Steps[BaseException | None]:
    # What a hook runs is no part of what it is a hook of.
    token = TRANSACTION.set(None)
    try:
        call = hook if setting.is_async else in_step(hook)
        _, error = yield Call(call, (transaction,), {}, setting.context)
    finally:
        reset(token)
    return error


def _hook_failed(hook: Hook, transaction: Any, error: Exception) -> TransactionError:
    failed = TransactionError(
        f"the transaction was rolled back, since its on_commit hook {function_name(hook)} raised {error!r}",
        key=transaction.key or "",
    )
    failed.__cause__ = error
    return failed

"""Transactions inside transactions against a model of them: whatever happens, others see what the model says."""

import itertools
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from entrepot import task
from entrepot.context import TRANSACTION
from entrepot.storage import MemoryStorage
from entrepot.transactions import CommitMode, Transaction, get_transaction, transaction
from entrepot_test_transactions import visible

KEYS = st.sampled_from(["a", "b", "c", "d"])


class Failure(Exception):  # noqa: N818  a test's own
    """Ends a block."""


@dataclass
class Level:
    """The model of one block: what it has staged, and whose hooks it would call."""

    block: Transaction | None
    staged: dict[str, Any] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)
    by_hand: bool = False  # whether some of it is committed, whatever becomes of the rest


class AnyNesting(RuleBasedStateMachine):
    """Blocks are opened and closed, tasks run, and somebody else writes, in any order."""

    @initialize()
    def begin(self) -> None:
        TRANSACTION.set(None)  # an example that failed may have left one open
        self.storage = MemoryStorage()
        self.numbers = itertools.count()
        self.committed: list[int] = []
        self.undone: list[int] = []
        self.model_committed: list[int] = []
        self.model_undone: list[int] = []
        self.kept: dict[str, Any] = {}
        self.levels = [Level(None)]
        self.calls: list[int] = []
        self.step = self.make(refresh=False)
        self.fresh = self.make(refresh=True)

    def make(self, *, refresh: bool) -> Any:
        def step(key: str, fail: bool) -> int:  # noqa: FBT001  by name below
            number = next(self.numbers)
            self.calls.append(number)
            own = get_transaction()
            assert own is not None
            own.set("number", number)
            if fail:
                raise Failure
            return number

        made = task(
            step,
            cache_key_fn=lambda _, parameters: parameters["key"],
            result_storage=self.storage,
            refresh_cache=refresh or None,
        )

        made.on_commit(lambda txn: self.committed.append(txn.get("number")))
        made.on_rollback(lambda txn: self.undone.append(txn.get("number")))
        return made

    def teardown(self) -> None:
        if hasattr(self, "levels"):
            while len(self.levels) > 1:
                self.close(fails=False)

    def known(self, key: str) -> Any:
        """Return what a task would find here for a key."""
        for level in reversed(self.levels):
            if key in level.staged:
                return level.staged[key][0]
            if level.block is not None and level.block.commit_mode is CommitMode.EAGER:
                break
        return self.kept.get(key)

    @rule(key=KEYS, refresh=st.booleans(), fails=st.booleans())
    def call(self, key: str, refresh: bool, fails: bool) -> None:  # noqa: FBT001  by name
        known = None if refresh else self.known(key)
        before = len(self.calls)
        made = self.fresh if refresh else self.step
        state = made(key, fails, return_state=True)
        if known is not None:
            assert state.result() == known
            assert len(self.calls) == before
            return
        assert len(self.calls) == before + 1
        assert state.is_failed() == fails
        if fails:
            return
        number = state.result()
        level = self.levels[-1]
        if level.block is None:
            self.kept[key] = number
            self.model_committed.append(number)
        else:
            level.staged[key] = (number, refresh)
            level.done.append(number)

    @rule(mode=st.sampled_from([CommitMode.LAZY, CommitMode.LAZY, CommitMode.EAGER, CommitMode.OFF]))
    @precondition(lambda self: len(self.levels) < 5)
    def open(self, mode: CommitMode) -> None:
        self.levels.append(Level(transaction(commit_mode=mode).__enter__()))

    @rule(fails=st.booleans())
    @precondition(lambda self: len(self.levels) > 1)
    def close(self, fails: bool) -> None:  # noqa: FBT001  by name
        level = self.levels.pop()
        block = level.block
        assert block is not None
        error = Failure() if fails else None
        block.__exit__(type(error) if error else None, error, None)
        outer = self.levels[-1]
        joins = outer.block is not None and block.commit_mode is not CommitMode.EAGER
        if fails or (not joins and block.commit_mode is CommitMode.OFF):
            self.model_undone += reversed(level.done)
            assert block.is_rolled_back() or level.by_hand
        elif joins:
            outer.staged |= level.staged
            outer.done += level.done
            assert block.is_staged() or level.by_hand
        else:
            self.keep(level)
            assert block.is_committed()

    def keep(self, level: Level) -> None:
        for key, (number, replaces) in level.staged.items():
            if replaces or key not in self.kept:  # one that was kept meanwhile, by a block inside, is the newer one
                self.kept[key] = number
        self.model_committed += level.done

    @rule()
    @precondition(lambda self: len(self.levels) > 1)
    def commit_by_hand(self) -> None:
        level = self.levels[-1]
        assert level.block is not None
        level.block.commit()
        self.keep(level)
        level.staged, level.done, level.by_hand = {}, [], True

    @invariant()
    def others_see_what_is_committed(self) -> None:
        if hasattr(self, "levels"):
            assert visible(self.storage) == self.kept
            assert self.committed == self.model_committed  # oldest first
            assert self.undone == self.model_undone  # newest first


AnyNesting.TestCase.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
TestAnyNesting = AnyNesting.TestCase

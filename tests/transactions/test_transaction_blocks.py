"""`with transaction()`: what is kept, when others see it, which hooks are called."""

# ruff: noqa: PT012  the whole block is what raises

import asyncio
import contextvars
import logging
import threading
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.errors import OptionError, StorageUnreachableError, TransactionError
from entrepot.storage import MemoryStorage
from entrepot.testing import FaultyStorage
from entrepot.transactions import (
    CommitMode,
    IsolationLevel,
    Transaction,
    TransactionState,
    atransaction,
    get_transaction,
    transaction,
)
from entrepot_test_transactions import Diary


@pytest.fixture
def diary(storage: MemoryStorage) -> Diary:
    return Diary(storage)


@pytest.fixture(params=["sync", "async", "sync in a loop"])
def block(request: pytest.FixtureRequest) -> Any:
    """Return what calls a function inside a transaction: in a `with`, in a `with` in a loop, in an `async with`."""

    def plain(body: Any, **options: Any) -> Transaction:
        with transaction(**options) as txn:
            body(txn)
        return txn

    async def awaited(body: Any, **options: Any) -> Transaction:
        async with atransaction(**options) as txn:
            body(txn)
        return txn

    async def in_loop(body: Any, **options: Any) -> Transaction:
        return plain(body, **options)

    if request.param == "sync":
        return plain
    inner = awaited if request.param == "async" else in_loop
    return lambda body, **options: asyncio.run(inner(body, **options))


class TestOne:
    def test_nothing_is_visible_before_its_end_and_all_is_after_it(self, diary: Diary, block: Any) -> None:
        step = diary.task()
        seen = []

        def body(txn: Transaction) -> None:
            assert txn.is_active()
            for x in (1, 2, 3):
                step(x)
                seen.append(diary.visible)

        txn = block(body)
        assert seen == [[], [], []]
        assert diary.visible == [1, 2, 3]
        assert txn.is_committed()
        assert diary.lines == ["step 1", "step 2", "step 3", "commit step", "commit step", "commit step"]

    def test_if_it_raises_nothing_is_ever_visible_and_what_was_done_is_undone_newest_first(
        self, diary: Diary, block: Any
    ) -> None:
        one, two = diary.task("one"), diary.task("two")
        txns = []

        def body(txn: Transaction) -> None:
            txns.append(txn)
            one(1)
            two(2)
            one("bad")

        with pytest.raises(ValueError, match="bad"):
            block(body)
        assert diary.visible == []
        # The task that failed did not do its work: its own hook is not called, as in Prefect.
        assert diary.lines == ["one 1", "two 2", "one bad", "rollback two", "rollback one"]
        assert txns[0].is_rolled_back()

    def test_an_error_of_the_body_rolls_back_as_one_of_a_task_does(self, diary: Diary, block: Any) -> None:
        step = diary.task()

        def body(txn: Transaction) -> None:
            step(1)
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            block(body)
        assert (diary.visible, diary.lines) == ([], ["step 1", "rollback step"])

    @pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
    def test_an_interrupt_rolls_back(self, diary: Diary, interrupt: type[BaseException]) -> None:
        step = diary.task()
        with pytest.raises(interrupt), transaction():
            step(1)
            raise interrupt
        assert (diary.visible, diary.lines) == ([], ["step 1", "rollback step"])

    def test_a_call_that_was_made_in_it_is_not_made_again_in_it(self, diary: Diary, block: Any) -> None:
        step = diary.task()
        states = []

        def body(txn: Transaction) -> None:
            step(1)
            states.append(step(1, return_state=True))

        block(body)
        assert diary.lines == ["step 1", "commit step"]
        assert states[0].is_cached()
        assert states[0].result() == 1

    def test_of_a_result_that_was_known_no_hook_is_called(self, diary: Diary) -> None:
        step = diary.task()
        step(1)
        diary.lines.clear()
        with pytest.raises(RuntimeError), transaction():
            step(1)
            raise RuntimeError
        with transaction():
            step(1)
        assert diary.lines == []

    def test_a_rolled_back_call_is_made_again(self, diary: Diary) -> None:
        step = diary.task()
        for _ in range(2):
            with pytest.raises(RuntimeError), transaction():
                step(1)
                raise RuntimeError
        step(1)
        assert diary.lines.count("step 1") == 3
        assert diary.visible == [1]

    def test_refreshed_results_replace_those_that_are_there_only_when_it_commits(self, storage: MemoryStorage) -> None:
        numbers = iter(range(100))
        fresh = task(
            lambda x: [x, next(numbers)],
            name="fresh",
            cache_key_fn=lambda _, parameters: f"key-{parameters['x']}",
            refresh_cache=True,
            result_storage=storage,
        )
        diary = Diary(storage)
        fresh("a")
        fresh("b")
        before = diary.visible
        with pytest.raises(RuntimeError), transaction():
            fresh("a")
            fresh("b")
            assert diary.visible == before
            raise RuntimeError
        assert diary.visible == before
        with transaction():
            a, b = fresh("a"), fresh("b")
            assert diary.visible == before
        assert diary.visible == [a, b]

    def test_tasks_whose_results_are_not_kept_take_part_with_their_hooks(self, diary: Diary) -> None:
        plain = diary.task(cache_policy=None, result_storage=None, result_serializer=None, persist_result=False)
        with transaction():
            plain(1)
            plain(1)
        with pytest.raises(ValueError, match="bad"), transaction():
            plain(2)
            plain("bad")
        assert diary.lines == [
            *["step 1", "step 1", "commit step", "commit step"],
            *["step 2", "step bad", "rollback step"],
        ]
        assert diary.visible == []

    def test_hooks_get_what_was_noted_around_them(self, diary: Diary) -> None:
        step = diary.task()

        @task
        def noting() -> None:
            inner = get_transaction()
            assert inner is not None
            inner.set("x", "inside")

        with transaction() as txn:
            txn.set("x", "outside")
            noting()
            step(1)
        assert diary.lines[-1] == "commit step outside"
        assert txn.get("x") == "outside"

    def test_what_was_not_noted_is_an_error_or_the_default(self) -> None:
        with transaction() as txn:
            assert txn.get("x", 1) == 1
            assert txn.get("x", None) is None
            with pytest.raises(TransactionError, match="nothing was noted as 'x'"):
                txn.get("x")

    def test_flows_inside_it_are_a_part_of_it(self, diary: Diary) -> None:
        step = diary.task()

        @flow(result_storage=diary.storage, result_serializer="json", persist_result=True)
        def inner() -> str:
            step(1)
            return "inner"

        with pytest.raises(RuntimeError), transaction():
            inner()
            raise RuntimeError
        assert diary.visible == []
        with transaction():
            inner()
            assert diary.visible == []
        assert diary.visible == [1, "inner"]

    def test_a_block_without_anything_in_it_leaves_nothing(self, storage: MemoryStorage, block: Any) -> None:
        assert block(lambda txn: None).is_committed()
        assert list(storage.list()) == []

    def test_a_single_result_is_kept_without_a_marker(self, diary: Diary) -> None:
        with transaction():
            diary.task()(1)
        assert {info.path.partition("/")[0] for info in diary.storage.list()} == {"records"}

    def test_inside_a_task_the_transaction_is_its_own_and_outside_there_is_none(self, diary: Diary) -> None:
        inside: list[Any] = []
        look = task(lambda: inside.append(get_transaction()))
        look()
        with transaction() as txn:
            assert get_transaction() is txn
            look()
        assert get_transaction() is None
        assert inside[0] is None
        assert inside[1].parent is txn
        assert inside[1].get_parent() is txn


class TestHooks:
    def test_one_at_commit_that_raises_rolls_everything_back(self, diary: Diary, block: Any) -> None:
        one, two = diary.task("one"), diary.task("two")

        @two.on_commit
        def refuse(_: Transaction) -> None:
            raise OSError("the mail server is down")

        def body(_: Transaction) -> None:
            one(1)
            two(2)

        with pytest.raises(TransactionError, match="its on_commit hook refuse raised OSError") as caught:
            block(body)
        assert isinstance(caught.value.__cause__, OSError)
        assert diary.visible == []
        assert diary.lines == ["one 1", "two 2", "commit one", "commit two", "rollback two", "rollback one"]

    def test_one_at_rollback_that_raises_is_logged_and_the_others_are_called(
        self, diary: Diary, caplog: pytest.LogCaptureFixture
    ) -> None:
        step = diary.task()

        @step.on_rollback
        def fail(_: Transaction) -> None:
            raise OSError("no way back")

        with caplog.at_level(logging.INFO), pytest.raises(RuntimeError, match="mine"), transaction():
            step(1)
            step(2)
            raise RuntimeError("mine")
        assert diary.lines.count("rollback step") == 2
        assert caplog.text.count("Its on_rollback hook fail raised OSError('no way back')") == 2

    def test_those_of_a_store_that_fails_are_called(self, storage: MemoryStorage) -> None:
        faulty = FaultyStorage(storage, fail_at=3, on={"create"})
        diary = Diary(faulty)
        step = diary.task()
        with pytest.raises(StorageUnreachableError), transaction() as txn:
            step(1)
            step(2)
        assert txn.is_rolled_back()
        assert diary.lines[-2:] == ["rollback step", "rollback step"]
        assert diary.visible == []

    def test_where_the_store_does_not_say_whether_it_committed_no_work_is_undone(
        self, storage: MemoryStorage, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Unplugged(FaultyStorage):
            """The marker arrives, and then nothing comes back."""

            gone = False

            def create(self, path: str, data: Any) -> None:
                if self.gone:
                    raise StorageUnreachableError("no answer", location="s3://bucket")
                super().create(path, data)
                if path.startswith("transactions/"):
                    self.gone = True
                    raise StorageUnreachableError("no answer", location="s3://bucket")

        diary = Diary(Unplugged(storage))
        step = diary.task()
        with pytest.raises(TransactionError, match="Whether it was is not known"), transaction() as txn:
            step(1)
            step(2)
        assert not txn.is_rolled_back()
        assert not txn.is_committed()
        assert [line for line in diary.lines if line.startswith("rollback")] == []
        assert Diary(storage).visible == [1, 2]  # in this case, it was

    def test_async_ones_are_awaited_in_the_loop_of_an_async_with_and_run_to_their_end_elsewhere(
        self, diary: Diary
    ) -> None:
        loops: list[Any] = []
        step = diary.task()

        @step.on_commit
        async def later(_: Transaction) -> None:
            await asyncio.sleep(0)
            loops.append(asyncio.get_running_loop())

        async def main() -> None:
            async with transaction():
                step(1)
            assert loops == [asyncio.get_running_loop()]
            with transaction():
                step(2)
            assert len(loops) == 2

        asyncio.run(main())
        with transaction():
            step(3)
        assert len(loops) == 3

    def test_what_they_run_is_no_part_of_the_transaction(self, diary: Diary) -> None:
        note, step = diary.task("note"), diary.task()

        @step.on_rollback
        def undo(_: Transaction) -> None:
            assert get_transaction() is None
            note("undone")

        with pytest.raises(RuntimeError), transaction():
            step(1)
            raise RuntimeError
        assert diary.visible == ["undone"]

    def test_an_interrupt_in_one_goes_on_up(self, diary: Diary) -> None:
        step = diary.task()

        @step.on_commit
        def interrupt(_: Transaction) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), transaction():
            step(1)
        assert diary.visible == []
        assert diary.lines[-1] == "rollback step"

    def test_values_staged_by_hand_have_hooks_too(self) -> None:
        lines: list[str] = []
        with transaction() as txn:
            txn.stage(
                1,
                on_commit_hooks=[lambda t: lines.append(f"commit {t.read().result}")],
                on_rollback_hooks=[lambda t: lines.append("rollback")],
            )
            assert txn.is_staged()
        assert lines == ["commit 1"]


class TestNested:
    def test_one_inside_another_is_visible_with_that(self, diary: Diary, block: Any) -> None:
        step = diary.task()

        def body(outer: Transaction) -> None:
            with transaction() as inner:
                step(1)
                assert inner.parent is outer
            assert inner.is_staged()
            assert diary.visible == []
            step(2)

        txn = block(body)
        assert diary.visible == [1, 2]
        assert [child.state for child in txn.children] == [TransactionState.COMMITTED] * 2

    def test_one_that_fails_and_is_caught_takes_nothing_else_with_it(self, diary: Diary, block: Any) -> None:
        step = diary.task()

        def body(_: Transaction) -> None:
            step(1)
            with pytest.raises(ValueError, match="bad"), transaction():
                step(2)
                with transaction():
                    step(3)
                step("bad")
            assert diary.lines[-2:] == ["rollback step", "rollback step"]
            step(4)

        block(body)
        assert diary.visible == [1, 4]
        assert diary.lines.count("commit step") == 2

    def test_one_that_is_over_is_undone_with_the_one_around_it(self, diary: Diary, block: Any) -> None:
        step = diary.task()
        inners = []

        def body(_: Transaction) -> None:
            with transaction() as inner:
                inners.append(inner)
                step(1)
            raise RuntimeError

        with pytest.raises(RuntimeError):
            block(body)
        assert diary.visible == []
        assert inners[0].is_rolled_back()
        assert diary.lines == ["step 1", "rollback step"]

    def test_an_eager_one_is_visible_at_its_own_end_and_stays_so(self, diary: Diary, block: Any) -> None:
        step = diary.task()

        def body(_: Transaction) -> None:
            step(1)
            with transaction(commit_mode=CommitMode.EAGER) as inner:
                step(2)
                step(3)
                assert diary.visible == []
            assert inner.is_committed()
            assert diary.visible == [2, 3]
            raise RuntimeError

        with pytest.raises(RuntimeError):
            block(body)
        assert diary.visible == [2, 3]
        assert diary.lines[-1] == "rollback step"
        assert diary.lines.count("rollback step") == 1

    def test_what_is_staged_around_one_is_seen_in_it_but_not_what_is_staged_in_one_beside_it(
        self, diary: Diary
    ) -> None:
        step = diary.task()
        with transaction():
            step(1)
            with transaction():
                step(1)
                step(2)
            step(2)
            ready, go = threading.Event(), threading.Event()

            def beside() -> None:
                with transaction():
                    step(3)
                    ready.set()
                    assert go.wait(120)

            thread = threading.Thread(target=contextvars.copy_context().run, args=(beside,))
            thread.start()
            assert ready.wait(120)
            step(3)
            go.set()
            thread.join()
        assert [line for line in diary.lines if not line.startswith("commit")] == [
            "step 1",
            "step 2",
            "step 3",
            "step 3",
        ]
        assert diary.visible == [1, 2, 3]

    def test_tasks_that_call_tasks_are_undone_as_a_whole(self, diary: Diary) -> None:
        step = diary.task()
        attempts: list[int] = []

        @task(retries=1)
        def outer() -> None:
            attempts.append(1)
            step(len(attempts))
            if len(attempts) == 1:
                raise OSError("first try")

        with transaction():
            outer()
        assert diary.visible == [2]
        assert diary.lines == ["step 1", "rollback step", "step 2", "commit step"]

    def test_the_isolation_level_is_inherited_and_the_commit_mode_is_not(self, storage: MemoryStorage) -> None:
        with (
            transaction("k", storage, CommitMode.EAGER, IsolationLevel.SERIALIZABLE) as outer,
            transaction() as inner,
        ):
            assert inner.commit_mode is CommitMode.LAZY
            assert inner.isolation_level is IsolationLevel.SERIALIZABLE
            assert inner.is_active()
        assert outer.is_committed()
        assert inner.is_committed()


class TestByHand:
    def test_off_is_rolled_back_unless_commit_was_called(self, diary: Diary, block: Any) -> None:
        step = diary.task()
        txn = block(lambda _: step(1), commit_mode=CommitMode.OFF)
        assert txn.is_rolled_back()
        assert (diary.visible, diary.lines) == ([], ["step 1", "rollback step"])

        def body(txn: Transaction) -> None:
            step(2)
            assert txn.commit()
            assert diary.visible == [2]

        assert block(body, commit_mode=CommitMode.OFF).is_committed()
        assert diary.visible == [2]

    def test_after_a_commit_the_block_goes_on_and_what_fails_later_is_undone_alone(self, diary: Diary) -> None:
        step = diary.task()
        with pytest.raises(RuntimeError), transaction() as txn:
            step(1)
            assert txn.commit()
            assert not txn.commit()
            step(2)
            raise RuntimeError
        assert diary.visible == [1]
        assert diary.lines == ["step 1", "commit step", "step 2", "rollback step"]
        with transaction() as txn:
            step(3)
            txn.commit()
            step(4)
        assert diary.visible == [1, 3, 4]

    def test_after_a_rollback_nothing_of_it_is_kept(self, diary: Diary) -> None:
        step = diary.task()
        with transaction() as txn:
            step(1)
            assert txn.rollback()
            assert diary.lines[-1] == "rollback step"
            assert not txn.rollback()
            step(2)
            assert not txn.commit()
        assert txn.is_rolled_back()
        assert (diary.visible, diary.lines[-1]) == ([], "rollback step")

    def test_a_rollback_inside_does_not_reach_the_one_around(self, diary: Diary) -> None:
        step = diary.task()
        with transaction():
            step(1)
            with transaction() as inner:
                step(2)
                inner.rollback()
        assert diary.visible == [1]

    def test_they_can_be_awaited(self, diary: Diary) -> None:
        step = diary.task()

        async def main() -> None:
            async with transaction() as txn:
                step(1)
                assert await txn.acommit()
                step(2)
                assert await txn.arollback() is True

        asyncio.run(main())
        assert diary.visible == [1]

    def test_outside_the_block_they_are_refused(self) -> None:
        txn = transaction()
        for call in (txn.commit, txn.rollback):
            with pytest.raises(TransactionError, match="was not entered, or is over"):
                call()
        with txn:
            pass
        with pytest.raises(TransactionError, match="was not entered, or is over"):
            txn.commit()
        with pytest.raises(TransactionError, match="entered once"), txn:
            pass


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"key": ""}, "key of a transaction"),
            ({"key": 7}, "key of a transaction"),
            ({"key": "k", "store": 7}, "store of a transaction"),
            ({"key": "k", "store": MemoryStorage}, "store of a transaction"),
            ({"key": "k", "lock_manager": 7}, "lock_manager"),
            ({"commit_mode": "LAZY"}, "CommitMode"),
            ({"isolation_level": "SERIALIZABLE"}, "IsolationLevel"),
            ({"isolation_level": IsolationLevel.SERIALIZABLE}, "give it a key"),
        ],
    )
    def test_what_makes_no_sense(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError, match=message):
            transaction(**options)

    def test_results_in_two_stores_since_they_cannot_become_visible_at_once(self, diary: Diary) -> None:
        here, there = diary.task("here"), Diary(MemoryStorage()).task("there")
        with pytest.raises(TransactionError, match=r"kept in one store.*CommitMode.EAGER"), transaction():
            here(1)
            there(2)
        assert diary.visible == []
        assert "there 2" not in diary.lines  # before its work

    def test_but_an_eager_one_may_have_another_store(self, diary: Diary) -> None:
        other = Diary(MemoryStorage())
        here, there = diary.task("here"), other.task("there")
        with transaction():
            here(1)
            with transaction(commit_mode=CommitMode.EAGER):
                there(2)
        assert (diary.visible, other.visible) == ([1], [2])

    def test_two_names_of_one_folder_are_one_store(self, tmp_path: Any) -> None:
        one, two = Diary(str(tmp_path / "here")).task("one"), Diary(tmp_path / "here").task("two")
        with transaction():
            one(1)
            two(2)
        assert len(list((tmp_path / "here" / "records").rglob("*.json"))) == 2


class TestLoneTasks:
    def test_its_commit_hook_is_called_before_its_result_is_visible(self, diary: Diary) -> None:
        step = diary.task()
        seen = []
        step.on_commit(lambda _: seen.append(diary.visible))
        step(1)
        assert (seen, diary.visible) == ([[]], [1])

    def test_if_that_raises_the_run_fails_and_nothing_is_kept(self, diary: Diary) -> None:
        step = diary.task(retries=1)
        tries = []

        @step.on_commit
        def refuse(_: Transaction) -> None:
            tries.append(1)
            raise OSError("no")

        state = step(1, return_state=True)
        assert state.is_failed()
        assert len(tries) == 2  # a retry does its work again
        assert diary.lines.count("step 1") == 2
        assert diary.lines.count("rollback step") == 2
        assert diary.visible == []

    def test_its_rollback_hook_is_not_called_where_it_failed_itself(self, diary: Diary) -> None:
        with pytest.raises(ValueError, match="bad"):
            diary.task()("bad")
        assert diary.lines == ["step bad"]

    def test_its_rollback_hook_is_called_where_its_result_could_not_be_kept(self, storage: MemoryStorage) -> None:
        diary = Diary(FaultyStorage(storage, fail_at=1, on={"create"}))
        with pytest.raises(StorageUnreachableError):
            diary.task()(1)
        assert diary.lines == ["step 1", "commit step", "rollback step"]

    def test_what_it_calls_is_kept_with_it(self, diary: Diary) -> None:
        step = diary.task()

        @task
        def outer() -> None:
            step(1)
            raise ValueError("outer")

        outer.on_rollback(lambda _: None)
        with pytest.raises(ValueError, match="outer"):
            outer()
        assert (diary.visible, diary.lines) == ([], ["step 1", "rollback step"])

    def test_async_ones_do_the_same(self, diary: Diary) -> None:
        lines: list[str] = []

        @task
        async def step() -> int:
            return 1

        @step.on_commit
        async def committed(_: Transaction) -> None:
            await asyncio.sleep(0)
            lines.append("commit")

        @flow
        async def main() -> None:
            await step()
            assert lines == ["commit"]
            async with transaction():
                await asyncio.gather(step(), step())
                assert lines == ["commit"]

        asyncio.run(main())
        assert lines == ["commit"] * 3

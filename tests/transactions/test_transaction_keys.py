"""Transactions with a key: work that is done once, and values that stay."""

# ruff: noqa: PT012  the whole block is what raises

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from entrepot import flow, home, task
from entrepot._secrets import remember_secret
from entrepot.context import TRANSACTION
from entrepot.errors import LeaseLostError, SerializationError, StorageUnreachableError, TransactionError
from entrepot.locking import FileSystemLockManager, MemoryLockManager
from entrepot.results.store import ResultStore
from entrepot.storage import LocalStorage, MemoryStorage
from entrepot.testing import FaultyStorage
from entrepot.transactions import CommitMode, IsolationLevel, Transaction, TransactionResult, transaction
from entrepot_test_secrets import leaks
from entrepot_test_transactions import Diary, visible

SERIALIZABLE = IsolationLevel.SERIALIZABLE


class TestValue:
    def test_it_is_kept_and_found_again(self, storage: MemoryStorage) -> None:
        with transaction("load", storage) as txn:
            assert txn.is_active()
            assert txn.read() is None
            txn.stage({"rows": 3})
            assert txn.read() == TransactionResult({"rows": 3})
        assert txn.is_committed()
        assert txn.read() == TransactionResult({"rows": 3})
        with transaction("load", storage) as again:
            assert again.is_committed()
            assert again.read() == TransactionResult({"rows": 3})
            again.stage("ignored")
        assert visible(storage) == {"load": {"rows": 3}}

    @pytest.mark.parametrize("level", [IsolationLevel.READ_COMMITTED, SERIALIZABLE])
    def test_a_secret_in_the_key_is_kept_as_a_digest(
        self, storage: MemoryStorage, entrepot_home: Path, level: IsolationLevel
    ) -> None:
        remember_secret("hunter2-correct-horse")
        for key in ("load hunter2-correct-horse", "load"):
            with transaction(key, storage, isolation_level=level) as txn:
                assert not txn.is_committed()
                txn.stage(f"{len(key)} letters")
            with transaction(key, storage, isolation_level=level) as again:
                assert again.is_committed()
                assert again.read() == TransactionResult(f"{len(key)} letters")
        assert sorted(key[:7] for key in visible(storage)) == ["load", "secret:"]
        kept = [bytes(storage.get(info.path)) + info.path.encode() for info in storage.list()]
        kept += [path.read_bytes() + bytes(path) for path in entrepot_home.rglob("*") if path.is_file()]
        assert [leak for some in kept for leak in leaks(some, "hunter2-correct-horse")] == []

    def test_without_one_none_is_kept_and_the_work_is_known_to_be_done(self, storage: MemoryStorage) -> None:
        with transaction("load", storage):
            pass
        with transaction("load", storage) as again:
            assert again.is_committed()
            assert again.read() == TransactionResult(None)

    def test_it_is_visible_together_with_the_results_of_the_tasks(self, storage: MemoryStorage) -> None:
        diary = Diary(storage)
        with transaction("load", storage) as txn:
            diary.task()(1)
            txn.stage("done")
            assert diary.visible == []
        assert diary.visible == [1, "done"]

    def test_one_that_failed_is_not_committed(self, storage: MemoryStorage) -> None:
        for _ in range(2):
            with pytest.raises(RuntimeError), transaction("load", storage) as txn:
                assert not txn.is_committed()
                txn.stage(1)
                raise RuntimeError
        assert visible(storage) == {}

    def test_overwrite_does_the_work_again_and_replaces_the_value(self, storage: MemoryStorage) -> None:
        for value in (1, 2):
            with transaction("load", storage, overwrite=True) as txn:
                assert not txn.is_committed()
                txn.stage(value)
        with pytest.raises(RuntimeError), transaction("load", storage, overwrite=True) as txn:
            txn.stage(3)
            raise RuntimeError
        assert visible(storage) == {"load": 2}

    def test_one_that_is_committed_by_hand_takes_no_other(self, storage: MemoryStorage) -> None:
        with transaction("load", storage) as txn:
            txn.stage(1)
            txn.commit()
            with pytest.raises(TransactionError, match="committed already"):
                txn.stage(2)
        assert visible(storage) == {"load": 1}

    def test_write_on_commit_false_keeps_none(self, storage: MemoryStorage) -> None:
        with transaction("load", storage, write_on_commit=False) as txn:
            txn.stage(1)
        assert list(storage.list()) == []
        assert txn.is_committed()

    def test_a_value_that_cannot_be_written_rolls_back(self, storage: MemoryStorage) -> None:
        diary = Diary(storage)

        @flow(result_serializer="json", result_storage=storage)
        def main() -> None:
            with transaction("load") as txn:
                diary.task()(1)
                txn.stage(object())

        with pytest.raises(SerializationError):
            main()
        assert (diary.visible, diary.lines) == ([], ["step 1", "rollback step"])

    def test_a_body_that_does_not_skip_still_keeps_its_results_together(self, storage: MemoryStorage) -> None:
        diary = Diary(storage)
        step = diary.task()
        with transaction("load", storage):
            step(1)
        with pytest.raises(RuntimeError), transaction("load", storage):
            step(2)
            raise RuntimeError
        with transaction("load", storage):
            step(3)
            step(4)
            assert diary.visible == [1, None]
        assert diary.visible == [1, 3, 4, None]

    def test_it_goes_where_the_flow_around_keeps_its_results(self, storage: MemoryStorage) -> None:
        @flow(result_storage=storage)
        def main() -> None:
            with transaction("load") as txn:
                txn.stage(1)

        main()
        assert visible(storage)["load"] == 1

    def test_outside_flows_it_goes_to_the_default(self) -> None:
        with transaction("load") as txn:
            txn.stage(1)
        assert visible(home.results_storage()) == {"load": 1}

    def test_a_result_store_may_be_given(self, storage: MemoryStorage) -> None:
        with transaction("load", ResultStore(storage, ring=home.ring)) as txn:
            txn.stage(1)
        assert visible(storage) == {"load": 1}

    def test_a_store_that_cannot_be_reached_is_found_out_before_the_work(self, storage: MemoryStorage) -> None:
        faulty = FaultyStorage(storage, fail_at=1)
        with pytest.raises(StorageUnreachableError), transaction("load", faulty):
            pytest.fail("the body ran")

    def test_its_key_is_its_own(self, storage: MemoryStorage) -> None:
        mine = task(lambda: "mine", cache_key_fn=lambda: "load", result_storage=storage)
        mine()
        with transaction("load", storage) as txn:
            assert not txn.is_committed()


class TestNested:
    def test_it_is_committed_with_the_one_around_it(self, storage: MemoryStorage) -> None:
        with pytest.raises(RuntimeError), transaction():
            with transaction("load", storage) as inner:
                inner.stage(1)
            assert inner.is_staged()
            raise RuntimeError
        assert inner.is_rolled_back()
        assert visible(storage) == {}

    def test_the_same_key_twice_in_one_is_done_once(self, storage: MemoryStorage) -> None:
        for level in IsolationLevel:
            with transaction():
                with transaction("load", storage, isolation_level=level, overwrite=level is SERIALIZABLE) as one:
                    one.stage(level.value)
                with transaction("load", storage, isolation_level=level) as two:
                    assert two.is_committed()
                    assert two.read() == TransactionResult(level.value)
            assert visible(storage) == {"load": level.value}

    def test_the_same_key_inside_itself_does_not_wait_for_itself(self, storage: MemoryStorage) -> None:
        with (
            transaction("load", storage, isolation_level=SERIALIZABLE) as outer,
            transaction("load", storage, isolation_level=SERIALIZABLE) as inner,
        ):
            inner.stage("inner")
        assert outer.is_committed()
        assert visible(storage) == {"load": "inner"}

    def test_another_store_is_refused_at_its_beginning(self, storage: MemoryStorage) -> None:
        with transaction("outer", storage):
            with pytest.raises(TransactionError, match="one store"), transaction("inner", MemoryStorage()):
                pytest.fail("the body ran")
            with transaction("inner", MemoryStorage(), CommitMode.EAGER):
                pass


class TestSerializable:
    @pytest.mark.parametrize("manager", ["shared", "folder", "memory"])
    def test_of_two_threads_one_does_the_work_and_the_other_finds_it(
        self, manager: str, storage: MemoryStorage, tmp_path: Path
    ) -> None:
        locks = {"shared": None, "folder": FileSystemLockManager(tmp_path / "locks"), "memory": MemoryLockManager()}
        done: list[str] = []
        barrier = threading.Barrier(4)

        def work() -> None:
            barrier.wait()
            with transaction("load", storage, isolation_level=SERIALIZABLE, lock_manager=locks[manager]) as txn:
                if not txn.is_committed():
                    done.append("once")
                    txn.stage(len(done))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert done == ["once"]
        assert visible(storage) == {"load": 1}

    def test_coroutines_wait_for_each_other_while_the_loop_runs_on(self, storage: MemoryStorage) -> None:
        done: list[int] = []

        async def work(number: int) -> None:
            async with transaction("load", storage, isolation_level=SERIALIZABLE) as txn:
                if not txn.is_committed():
                    await asyncio.sleep(0.01)
                    done.append(number)

        async def main() -> None:
            await asyncio.gather(*map(work, range(4)))

        asyncio.run(main())
        assert len(done) == 1

    def test_its_lock_is_given_back_whatever_happens(self, storage: MemoryStorage) -> None:
        locks = MemoryLockManager()
        name = f"transaction {storage.location} load"

        def begun(**options: Any) -> Transaction:
            return transaction("load", storage, isolation_level=SERIALIZABLE, lock_manager=locks, **options)

        with pytest.raises(RuntimeError), begun():
            assert locks.is_locked(name)
            raise RuntimeError
        assert not locks.is_locked(name)
        with pytest.raises(TransactionError), begun() as txn:
            txn.stage(1, on_commit_hooks=[lambda _: 1 / 0])
        assert not locks.is_locked(name)
        with begun():
            pass
        assert not locks.is_locked(name)
        with begun() as txn:
            assert txn.is_committed()
        assert not locks.is_locked(name)
        faulty = FaultyStorage(storage, fail_at=1)
        with (
            pytest.raises(StorageUnreachableError),
            transaction("load", faulty, isolation_level=SERIALIZABLE, lock_manager=locks),
        ):
            pytest.fail("the body ran")
        assert not locks.is_locked(name)

    def test_inside_another_it_is_held_until_that_is_committed(self, storage: MemoryStorage) -> None:
        locks = MemoryLockManager()
        name = f"transaction {storage.location} load"
        with transaction():
            with transaction("load", storage, isolation_level=SERIALIZABLE, lock_manager=locks):
                pass
            assert locks.is_locked(name)
        assert not locks.is_locked(name)

    def test_one_that_lost_its_lock_does_not_commit(self, storage: MemoryStorage) -> None:
        locks = MemoryLockManager()
        diary = Diary(storage)
        with (
            pytest.raises(LeaseLostError, match="was lost before the transaction could commit"),
            transaction("load", storage, isolation_level=SERIALIZABLE, lock_manager=locks) as txn,
        ):
            diary.task()(1)
            txn.stage(1)
            held = txn.unit.locks[0]
            held.release()
        assert diary.visible == []
        assert diary.lines[-1] == "rollback step"

    def test_one_that_was_overtaken_does_not_commit_even_if_its_lock_manager_fails(
        self, storage: MemoryStorage
    ) -> None:
        class Useless(MemoryLockManager):
            """Gives everybody the lock."""

            def acquire_lock(self, *_: Any, **__: Any) -> bool:
                return True

            def is_lock_holder(self, *_: Any) -> bool:
                return True

            def release_lock(self, *_: Any) -> None:
                pass

        def begun() -> Transaction:
            return transaction("load", storage, isolation_level=SERIALIZABLE, lock_manager=Useless())

        diary = Diary(storage)
        with pytest.raises(TransactionError, match=r"was committed in .* meanwhile"), begun() as late:
            diary.task()(1)
            late.stage("late")
            with_other_context(lambda: commit_one(begun, "quick"))
        assert visible(storage) == {"load": "quick"}
        assert diary.lines[-1] == "rollback step"

    def test_an_interrupt_while_it_waits_leaves_no_lock(self, storage: MemoryStorage) -> None:
        locks = MemoryLockManager()
        name = f"transaction {storage.location} load"
        locks.acquire_lock(name, "somebody")

        async def work() -> None:
            async with transaction("load", storage, isolation_level=SERIALIZABLE, lock_manager=locks):
                pytest.fail("the body ran")

        async def main() -> None:
            running = asyncio.create_task(work())
            await asyncio.sleep(0.05)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

        asyncio.run(main())
        locks.release_lock(name, "somebody")
        assert not locks.is_locked(name)


def with_other_context(call: Any) -> None:
    """Call something as another process would: as no part of the transaction here."""

    def outside() -> None:
        TRANSACTION.set(None)
        call()

    thread = threading.Thread(target=outside)
    thread.start()
    thread.join(60)


def commit_one(begun: Any, value: object) -> None:
    with begun() as txn:
        txn.stage(value)


def test_read_committed_ones_both_do_their_work_and_the_first_value_stays(storage: MemoryStorage) -> None:
    diary = Diary(storage)
    with transaction("load", storage) as late:
        diary.task()(1)
        late.stage("late")
        with_other_context(lambda: commit_one(lambda: transaction("load", storage), "quick"))
    assert visible(storage)["load"] == "quick"
    assert 1 in diary.visible


PROGRAM = """
import os, sys, time
from entrepot import flow, task
from entrepot.transactions import IsolationLevel, transaction

@task(persist_result=True)
def work():
    with open("work.log", "a") as log:
        log.write(f"{os.getpid()}\\n")
    time.sleep(0.3)
    return os.getpid()

@flow
def main():
    with transaction("load", isolation_level=IsolationLevel.SERIALIZABLE) as txn:
        if txn.is_committed():
            print("found", txn.read().result)
            return
        txn.stage(work())
        print("did", os.getpid())

main()
"""


def test_of_two_processes_one_waits_and_finds_what_the_other_did(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM, encoding="utf-8")
    running = [
        subprocess.Popen([sys.executable, script], cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = sorted(process.communicate(timeout=120)[0].split()[0] for process in running)
    assert said == ["did", "found", "found"]
    assert len((tmp_path / "work.log").read_text().split()) == 1


def test_a_process_that_is_killed_inside_leaves_nothing_and_the_next_one_does_the_work(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.replace("time.sleep(0.3)", "os.kill(os.getpid(), 9)"), encoding="utf-8")
    killed = subprocess.run([sys.executable, script], cwd=tmp_path, timeout=120, check=False)
    assert killed.returncode == -9
    assert list(LocalStorage(home.results_storage().location).list("records")) == []
    script.write_text(PROGRAM, encoding="utf-8")
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, timeout=120, check=True, stdout=subprocess.PIPE)
    assert ran.stdout.startswith(b"did")

"""What every lock manager promises, and what each of them does beside."""

import asyncio
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.coordination import heartbeat
from entrepot.coordination.database import default_path, reading
from entrepot.errors import LeaseLostError, StorageError, StorageUnreachableError
from entrepot.locking import FileSystemLockManager, LockManager, MemoryLockManager, SharedLockManager
from entrepot.locking import filesystem as filesystem_module
from entrepot.testing.fakes import FrozenClock
from entrepot_test_processes import Program, until

Make = Callable[..., LockManager]
Start = Callable[..., Program]
KEY = "fn/flows:extract/2026?*\n"  # as keys are: no names of files


@pytest.fixture(params=["memory", "filesystem", "shared"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    def manager(clock: Clock = SYSTEM_CLOCK) -> LockManager:
        match request.param:
            case "memory":
                return MemoryLockManager(clock=clock)
            case "filesystem":
                return FileSystemLockManager(tmp_path / "locks", clock=clock)
            case _:
                return SharedLockManager(clock=clock)

    return manager


@pytest.fixture(autouse=True)
def no_locks(own_heart: None) -> None:
    """Each test has a memory of its own, and no lock is renewed after it."""
    from entrepot.locking import memory  # noqa: PLC0415  the one test that looks inside

    memory._held.clear()


class TestContract:
    def test_it_is_one(self, make: Make) -> None:
        assert isinstance(make(), LockManager)

    def test_one_holder_at_a_time(self, make: Make) -> None:
        first, second = make(), make()
        assert not first.is_locked(KEY)
        assert first.acquire_lock(KEY, "a")
        assert second.is_locked(KEY)
        assert second.is_lock_holder(KEY, "a")
        assert not second.is_lock_holder(KEY, "b")
        assert not second.acquire_lock(KEY, "b", acquire_timeout=0)
        assert not second.acquire_lock(KEY, "b", acquire_timeout=0.1)
        assert second.acquire_lock("other", "b", acquire_timeout=0)
        first.release_lock(KEY, "a")
        assert not second.is_locked(KEY)
        assert second.acquire_lock(KEY, "b", acquire_timeout=0)

    def test_a_holder_can_lock_again_and_releases_once(self, make: Make) -> None:
        manager = make()
        assert manager.acquire_lock(KEY, "a")
        assert manager.acquire_lock(KEY, "a", acquire_timeout=0)
        manager.release_lock(KEY, "a")
        assert not manager.is_locked(KEY)

    @pytest.mark.parametrize("holder", ["b", None])
    def test_what_is_not_held_cannot_be_released(self, make: Make, holder: str | None) -> None:
        manager = make()
        if holder is not None:
            manager.acquire_lock(KEY, holder)
        with pytest.raises(LeaseLostError, match="'a' does not hold the lock") as caught:
            manager.release_lock(KEY, "a")
        assert caught.value.name == KEY
        assert manager.is_locked(KEY) == (holder is not None)

    def test_a_lock_with_a_time_ends(self, make: Make) -> None:
        clock = FrozenClock()
        manager = make(clock)
        assert manager.acquire_lock(KEY, "a", hold_timeout=10)
        clock.advance(9)
        assert manager.is_lock_holder(KEY, "a")
        clock.advance(2)
        assert not manager.is_locked(KEY)
        assert not manager.is_lock_holder(KEY, "a")
        with pytest.raises(LeaseLostError):
            manager.release_lock(KEY, "a")
        assert manager.acquire_lock(KEY, "b", acquire_timeout=0)

    def test_locking_again_gives_it_more_time(self, make: Make) -> None:
        clock = FrozenClock()
        manager = make(clock)
        for _ in range(3):
            assert manager.acquire_lock(KEY, "a", hold_timeout=10)
            clock.advance(8)
        assert manager.is_lock_holder(KEY, "a")

    def test_waiting_ends_when_the_lock_is_free(self, make: Make) -> None:
        manager = make()
        manager.acquire_lock(KEY, "a")
        assert not manager.wait_for_lock(KEY, timeout=0.05)
        threading.Timer(0.1, manager.release_lock, (KEY, "a")).start()
        assert manager.wait_for_lock(KEY, timeout=60)
        manager.acquire_lock(KEY, "a")
        threading.Timer(0.1, manager.release_lock, (KEY, "a")).start()
        assert manager.acquire_lock(KEY, "b")

    def test_threads_exclude_each_other(self, make: Make) -> None:
        inside, seen = 0, []

        def work(number: int) -> None:
            nonlocal inside
            manager, holder = make(), f"holder-{number}"
            for _ in range(5):
                assert manager.acquire_lock(KEY, holder, acquire_timeout=120)
                inside += 1
                seen.append(inside)
                time.sleep(0.0005)
                inside -= 1
                manager.release_lock(KEY, holder)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [1] * 25

    def test_coroutines_exclude_each_other_and_the_loop_runs_on(self, make: Make) -> None:
        async def main() -> None:
            inside = 0
            ticks = 0

            async def work(number: int) -> None:
                nonlocal inside
                manager, holder = make(), f"holder-{number}"
                assert await manager.aacquire_lock(KEY, holder, acquire_timeout=120)
                inside += 1
                assert inside == 1
                before = ticks
                while ticks < before + 3:  # noqa: ASYNC110  the loop runs on while others wait for the lock
                    await asyncio.sleep(0.003)
                inside -= 1
                await manager.arelease_lock(KEY, holder)

            async def tick() -> None:
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0.001)

            ticking = asyncio.create_task(tick())
            await asyncio.gather(*[work(number) for number in range(5)])
            ticking.cancel()
            manager = make()
            assert await manager.await_for_lock(KEY, 0)
            await manager.aacquire_lock(KEY, "a")
            assert not await manager.aacquire_lock(KEY, "b", acquire_timeout=0.05)
            assert not await manager.await_for_lock(KEY, 0.05)
            with pytest.raises(LeaseLostError):
                await manager.arelease_lock(KEY, "b")

        asyncio.run(main())

    @pytest.mark.parametrize("pauses", [0, 1, 3, 20])
    def test_a_cancellation_at_any_moment_leaves_no_lock(self, make: Make, pauses: int) -> None:
        async def main() -> None:
            manager = make()
            for taken in (False, True):
                if taken:
                    manager.acquire_lock(KEY, "a")
                waiting = asyncio.create_task(manager.aacquire_lock(KEY, "b"))
                for _ in range(pauses):
                    await asyncio.sleep(0.001)
                if not waiting.done():
                    waiting.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await waiting
                    assert not manager.is_lock_holder(KEY, "b")
                else:
                    manager.release_lock(KEY, "b")

        asyncio.run(main())

    def test_an_interrupt_after_the_lock_came_gives_it_back_but_not_one_held_before(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manager = make()
        attempt = type(manager)._try

        def interrupted(self: LockManager, key: str, holder: str, hold_timeout: float | None) -> bool:
            attempt(self, key, holder, hold_timeout)
            raise KeyboardInterrupt

        manager.acquire_lock("before", "a")
        monkeypatch.setattr(type(manager), "_try", interrupted)
        for key in (KEY, "before"):
            with pytest.raises(KeyboardInterrupt):
                manager.acquire_lock(key, "a")
        assert not manager.is_locked(KEY)
        assert manager.is_lock_holder("before", "a")

    @pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
    def test_a_forked_child_does_not_hold_its_parents_locks_up(self, make: Make) -> None:
        manager = make()
        manager.acquire_lock(KEY, "a")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if manager.acquire_lock("other", "a", acquire_timeout=60) else 2
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert manager.is_lock_holder(KEY, "a")
        manager.release_lock(KEY, "a")
        assert manager.acquire_lock("other", "b", acquire_timeout=60) or isinstance(manager, MemoryLockManager)


HOLDER = """
import sys
from entrepot.locking import FileSystemLockManager, SharedLockManager
manager = FileSystemLockManager(sys.argv[1]) if sys.argv[1] else SharedLockManager()
assert manager.acquire_lock(sys.argv[2], "theirs")
print("locked", flush=True)
sys.stdin.readline()
"""

COUNTER = """
import sys
from pathlib import Path
from entrepot.locking import FileSystemLockManager, SharedLockManager
manager = FileSystemLockManager(sys.argv[1]) if sys.argv[1] else SharedLockManager()
file = Path(sys.argv[2])
for _ in range(10):
    assert manager.acquire_lock("counter", sys.argv[3])
    file.write_text(str(int(file.read_text()) + 1))
    manager.release_lock("counter", sys.argv[3])
"""


@pytest.mark.parametrize("folder", ["locks", ""], ids=["filesystem", "shared"])
class TestProcesses:
    def manager(self, folder: str) -> LockManager:
        return FileSystemLockManager(folder) if folder else SharedLockManager()

    @pytest.fixture(autouse=True)
    def in_a_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def test_they_exclude_each_other(self, folder: str, tmp_path: Path) -> None:
        file = tmp_path / "count"
        file.write_text("0")
        command = [sys.executable, "-c", COUNTER, folder, str(file)]
        workers = [subprocess.Popen([*command, f"holder-{number}"]) for number in range(4)]
        assert [worker.wait(120) for worker in workers] == [0] * 4
        assert file.read_text() == "40"

    def test_the_lock_of_a_killed_one_is_free_at_once(self, folder: str, start_program: Start) -> None:
        manager = self.manager(folder)
        program = start_program(HOLDER, folder, KEY)
        program.says("locked")
        assert manager.is_lock_holder(KEY, "theirs")
        assert not manager.acquire_lock(KEY, "ours", acquire_timeout=0)
        program.kill()
        assert not manager.is_locked(KEY)
        assert manager.acquire_lock(KEY, "ours", acquire_timeout=0)

    def test_so_is_that_of_one_that_ended_without_releasing_it(self, folder: str, start_program: Start) -> None:
        manager = self.manager(folder)
        program = start_program(HOLDER, folder, KEY)
        program.says("locked")
        program.tell()
        program.end()
        assert not manager.is_locked(KEY)
        assert manager.acquire_lock(KEY, "ours", acquire_timeout=0)

    def test_that_of_a_stopped_one_is_not(self, folder: str, start_program: Start) -> None:
        manager = self.manager(folder)
        program = start_program(HOLDER, folder, KEY)
        program.says("locked")
        program.stop()
        assert not manager.acquire_lock(KEY, "ours", acquire_timeout=0.1)


class TestShared:
    def test_a_lease_is_renewed_and_one_with_a_time_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def ends(key: str) -> float:
            with reading() as connection:
                assert connection is not None
                found: float = connection.execute("SELECT expires FROM locks WHERE key = ?", (key,)).fetchone()[0]
                return found

        monkeypatch.setattr(heartbeat, "_BEATS", 1000)  # so that a slow machine does not lose what is to be renewed
        manager = SharedLockManager()
        assert manager.acquire_lock("lease", "a")
        assert manager.acquire_lock("time", "a", hold_timeout=0.3)
        assert manager.acquire_lock("long", "a", hold_timeout=1e6)
        first, never = ends("lease"), ends("long")
        until(lambda: ends("lease") > first + 0.2)
        assert manager.is_lock_holder("lease", "a")
        assert ends("long") == never
        until(lambda: not manager.is_locked("time"))
        assert manager.acquire_lock("lease", "a", hold_timeout=0.1)  # it has a time now
        until(lambda: not manager.is_locked("lease"))

    def test_a_lease_that_ended_while_nobody_came_can_still_be_released(self) -> None:
        clock = FrozenClock()
        manager = SharedLockManager(clock=clock)
        assert manager.acquire_lock(KEY, "a")
        clock.advance(100)
        assert not manager.is_lock_holder(KEY, "a")  # anybody could take it
        manager.release_lock(KEY, "a")
        assert manager.acquire_lock(KEY, "a")
        clock.advance(100)
        assert manager.acquire_lock(KEY, "b", acquire_timeout=0)
        with pytest.raises(LeaseLostError):
            manager.release_lock(KEY, "a")

    def test_it_can_have_a_file_of_its_own(self, tmp_path: Path) -> None:
        manager = SharedLockManager(tmp_path / "own" / "locks.db")
        assert manager.acquire_lock(KEY, "a")
        assert SharedLockManager().acquire_lock(KEY, "b", acquire_timeout=0)
        assert "locks.db" in repr(manager)

    def test_looking_makes_no_file(self) -> None:
        assert not SharedLockManager().is_locked(KEY)
        assert not default_path().exists()

    def test_a_key_is_kept_as_it_is(self) -> None:
        SharedLockManager().acquire_lock(KEY, "a")
        with reading() as connection:
            assert connection is not None
            assert connection.execute("SELECT key, holder FROM locks").fetchall() == [(KEY, "a")]


class TestFileSystem:
    def test_its_files_are_for_their_owner_only(self, tmp_path: Path) -> None:
        manager = FileSystemLockManager(tmp_path / "a" / "locks")
        assert not manager.is_locked(KEY)
        assert not (tmp_path / "a").exists()
        manager.acquire_lock(KEY, "me")
        folder = tmp_path / "a" / "locks"
        modes = {file.suffix: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir() if file.is_file()}
        assert modes == {".lock": 0o600, "": 0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_a_lock_of_another_machine_ends_only_with_its_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = FrozenClock()
        manager = FileSystemLockManager(tmp_path, clock=clock)
        real = os.uname()
        far = os.uname_result((real[0], "elsewhere", *real[2:]))
        monkeypatch.setattr(filesystem_module, "process_token", lambda _: "a-process-that-nobody-knows")
        monkeypatch.setattr(os, "uname", lambda: far)
        manager.acquire_lock("with", "them", hold_timeout=10)
        manager.acquire_lock("without", "them")
        monkeypatch.undo()
        assert not manager.acquire_lock("with", "me", acquire_timeout=0)
        clock.advance(11)
        assert manager.acquire_lock("with", "me", acquire_timeout=0)
        assert not manager.acquire_lock("without", "me", acquire_timeout=0)

    @pytest.mark.parametrize("process", ["../../precious", "{tmp}/precious", "..", "", "a/b", 7, None, ["a"]])
    def test_a_planted_lock_has_no_file_of_its_reader_removed(self, process: object, tmp_path: Path) -> None:
        """Who can write to a shared folder says which process holds a lock, and its file is removed when it is dead."""
        precious = tmp_path / "precious"
        precious.write_text("precious")
        manager = FileSystemLockManager(tmp_path / "locks")
        manager.acquire_lock(KEY, "me")
        (file,) = (tmp_path / "locks").glob("*.lock")
        named = process.format(tmp=tmp_path) if isinstance(process, str) else process
        file.write_text(json.dumps(json.loads(file.read_text()) | {"process": named}))
        with pytest.raises(StorageError, match="is damaged; when nobody works under it"):
            manager.is_locked(KEY)
        assert precious.read_text() == "precious"

    @pytest.mark.parametrize(
        "content",
        ["", "[]", "{}", "[" * 100_000, '{"holder": "a", "expires": "soon", "process": "", "host": ""}'],
        ids=["nothing", "a list", "no fields", "nested without end", "no time"],
    )
    def test_a_damaged_lock_is_no_free_lock(self, content: str, tmp_path: Path) -> None:
        manager = FileSystemLockManager(tmp_path)
        manager.acquire_lock(KEY, "me")
        (file,) = tmp_path.glob("*.lock")
        assert json.loads(file.read_text())["key"] == KEY
        file.write_text(content)
        for act in (manager.is_locked, lambda key: manager.acquire_lock(key, "you", acquire_timeout=0)):
            with pytest.raises(StorageError, match="is damaged; when nobody works under it, remove the file"):
                act(KEY)

    def test_a_folder_that_cannot_be_made_is_one_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(StorageError, match=r"locks cannot be kept in .*file") as caught:
            FileSystemLockManager(tmp_path / "file").acquire_lock(KEY, "me")
        assert caught.value.location == str(tmp_path / "file")

    def test_a_guard_that_somebody_keeps_is_one_clear_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(filesystem_module, "_PATIENCE", 0.1)
        manager = FileSystemLockManager(tmp_path)
        with manager._guarded(), pytest.raises(StorageUnreachableError, match=r"\.guard locked"):
            manager.acquire_lock(KEY, "me")

    def test_a_home_is_expanded(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert FileSystemLockManager("~/locks").lock_files_directory == tmp_path / "locks"


def test_importing_the_package_loads_no_database() -> None:
    code = "import sys; from entrepot.locking import LockManager; assert 'sqlite3' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

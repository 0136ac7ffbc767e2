"""The thread in which coroutines use the shared file."""

import asyncio
import threading

import pytest

from entrepot.coordination.worker import on_worker
from entrepot_test_processes import until


def test_it_is_one_thread_and_not_the_loops() -> None:
    async def main() -> set[str]:
        return set(await asyncio.gather(*[on_worker(lambda: threading.current_thread().name) for _ in range(5)]))

    (name,) = asyncio.run(main())
    assert name.startswith("entrepot-limits")


def test_what_is_raised_there_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(on_worker(lambda: 1 // 0))


@pytest.mark.parametrize("fails", [False, True])
def test_a_cancellation_is_put_off_until_it_is_done(fails: bool) -> None:  # noqa: FBT001
    begun, end = threading.Event(), threading.Event()
    done: list[int] = []

    def act() -> None:
        begun.set()
        end.wait(60)
        done.append(1)
        if fails:
            raise ZeroDivisionError

    async def main() -> None:
        task = asyncio.create_task(on_worker(act))
        assert await asyncio.to_thread(begun.wait, 60)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.01)
            assert not task.done()
        end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done == [1]

    asyncio.run(main())


def test_who_times_out_meanwhile_gets_a_timeout() -> None:
    async def main() -> None:
        async with asyncio.timeout(0.05) as scope:
            await on_worker(lambda: until(scope.expired))

    with pytest.raises(TimeoutError):
        asyncio.run(main())

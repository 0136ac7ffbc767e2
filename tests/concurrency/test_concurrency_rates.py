"""`rate_limit` and `arate_limit`: slots that come back by themselves."""

import asyncio
import time
from collections.abc import Callable

import pytest

from entrepot.concurrency import arate_limit, rate_limit, read_limits, set_limit
from entrepot.coordination.claims import standings
from entrepot.coordination.database import default_path
from entrepot.errors import LimitError, LimitTimeoutError
from entrepot_test_processes import until

Take = Callable[..., None]


def take_async(*args: object, **options: object) -> None:
    asyncio.run(arate_limit(*args, **options))


both = pytest.mark.parametrize("take", [rate_limit, take_async])


@both
def test_it_lets_through_as_many_as_the_rate_says(take: Take) -> None:
    set_limit("api", 2, slot_decay_per_second=10)
    begun = time.monotonic()
    for _ in range(5):
        take("api")
    assert time.monotonic() - begun >= 0.3
    assert standings(default_path()) == {}


@both
def test_several_slots_at_once_take_longer(take: Take) -> None:
    set_limit("api", 4, slot_decay_per_second=20)
    begun = time.monotonic()
    take("api", 4)
    take("api", occupy=4)
    assert time.monotonic() - begun >= 0.2


@both
def test_what_takes_too_long_is_an_error_and_takes_nothing(take: Take) -> None:
    set_limit("api", 1, slot_decay_per_second=0.0001)
    take("api")
    (before,) = read_limits()
    with pytest.raises(LimitTimeoutError, match=r"its rate has room in (9\d\d\d|10000)\.\d seconds"):
        take("api", timeout_seconds=0.05)
    assert read_limits() == [before]
    assert standings(default_path()) == {}


@both
def test_a_limit_that_is_not_set_lets_everything_through_unless_strict(take: Take) -> None:
    take("api")
    assert not default_path().exists()
    with pytest.raises(LimitError, match="there is no limit 'api'"):
        take("api", strict=True)


@both
def test_one_that_is_not_active_does_too(take: Take) -> None:
    set_limit("api", 1, slot_decay_per_second=0.001, active=False)
    for _ in range(3):
        take("api", strict=True, timeout_seconds=0)


@both
def test_a_limit_without_a_rate_is_an_error(take: Take) -> None:
    set_limit("db", 5)
    with pytest.raises(LimitError, match="has no rate"):
        take("db")


@both
def test_no_names_are_no_limit(take: Take) -> None:
    take([])


def test_the_loop_runs_on_meanwhile() -> None:
    set_limit("api", 1, slot_decay_per_second=0.0001)

    async def main() -> None:
        await arate_limit("api")
        waiting = asyncio.create_task(arate_limit("api"))
        await asyncio.to_thread(until, lambda: bool(standings(default_path()).get("api")))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())

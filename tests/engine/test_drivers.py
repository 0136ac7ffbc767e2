"""The two drivers do the same: one table of cases, each run sync and async, as a task and as a flow."""

# ruff: noqa: FBT001  sync or async is a parameter of these tests

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.states import Cancelled, Completed, Failed, Pending, State
from entrepot.storage import MemoryStorage
from entrepot.testing import FaultyStorage, FrozenClock


class BoomError(Exception):
    pass


@dataclass
class Case:
    """What a function does at each of its calls, the options that it has, and what is to be seen."""

    does: list[Any]
    states: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    raises: type[BaseException] | None = None
    returns: Any = None
    epochs: list[int] | None = None
    slept: list[float] = field(default_factory=list)
    tasks_only: bool = False
    again: "Case | None" = None  # what is to be seen at a second call, a minute later


ATTEMPTS = ["Running", "Retrying", "Retrying"]


def only(kind: type[Exception]) -> Callable[..., bool]:
    return lambda _task, _run, state: isinstance(state.result(raise_on_failure=False), kind)


def broken_condition(*_: object) -> bool:
    raise KeyError


def key() -> str:
    return "key"


def cached(**more: Any) -> dict[str, Any]:
    return {"cache_key_fn": key, "result_storage": MemoryStorage(), "result_serializer": "json", **more}


def broken_key() -> str:
    raise BoomError


CASES: dict[str, Callable[[], Case]] = {
    "success": lambda: Case([1], ["Running", "Completed"], returns=1),
    "none": lambda: Case([None], ["Running", "Completed"], returns=None),
    "failure": lambda: Case([BoomError], ["Running", "Failed"], raises=BoomError),
    "retry": lambda: Case(
        [BoomError, 2], ["Running", "Retrying", "Completed"], {"retries": 1}, returns=2, epochs=[1, 2, 2]
    ),
    "retry with a delay": lambda: Case(
        [BoomError, BoomError, 3],
        ["Running", "AwaitingRetry", "Retrying", "AwaitingRetry", "Retrying", "Completed"],
        {"retries": 5, "retry_delay_seconds": [10, 20]},
        returns=3,
        epochs=[1, 1, 2, 2, 3, 3],
        slept=[10, 20],
    ),
    "retries used up": lambda: Case(
        [BoomError, BoomError], ["Running", "Retrying", "Failed"], {"retries": 1}, raises=BoomError, epochs=[1, 2, 2]
    ),
    "retry with a condition": lambda: Case(
        [BoomError, ValueError],
        ["Running", "Retrying", "Failed"],
        {"retries": 5, "retry_condition_fn": only(BoomError)},
        raises=ValueError,
        tasks_only=True,
    ),
    "a condition that raises": lambda: Case(
        [BoomError],
        ["Running", "Failed"],
        {"retries": 5, "retry_condition_fn": broken_condition},
        raises=BoomError,
        tasks_only=True,
    ),
    "a returned state": lambda: Case([Completed(data=4, name="Fine")], ["Running", "Fine"], returns=4),
    "a returned failure is retried": lambda: Case(
        [Failed("no"), 1], ["Running", "Retrying", "Completed"], {"retries": 1}, returns=1
    ),
    "a returned cancellation is not": lambda: Case(
        [Cancelled("no")], ["Running", "Cancelled"], {"retries": 1}, raises=Exception
    ),
    "a returned state that is no end": lambda: Case([Pending()], ["Running", "Failed"], raises=Exception),
    "interrupt": lambda: Case([KeyboardInterrupt], ["Running", "Cancelled"], {"retries": 3}, raises=KeyboardInterrupt),
    "exit": lambda: Case([SystemExit], ["Running", "Crashed"], {"retries": 3}, raises=SystemExit),
    "cancellation": lambda: Case(
        [asyncio.CancelledError], ["Running", "Cancelled"], {"retries": 3}, raises=asyncio.CancelledError
    ),
    "cache hit": lambda: Case(
        [5], ["Running", "Completed"], cached(), returns=5, again=Case([], ["Cached"], returns=5)
    ),
    "cache hit of none": lambda: Case(
        [None], ["Running", "Completed"], cached(), returns=None, again=Case([], ["Cached"], returns=None)
    ),
    "cache expired": lambda: Case(
        [5, 6],
        ["Running", "Completed"],
        cached(cache_expiration=timedelta(seconds=59)),
        returns=5,
        again=Case([], ["Running", "Completed"], returns=6),
    ),
    "cache not yet expired": lambda: Case(
        [5],
        ["Running", "Completed"],
        cached(cache_expiration=timedelta(seconds=61)),
        returns=5,
        again=Case([], ["Cached"], returns=5),
    ),
    "cache refreshed": lambda: Case(
        [5, 6],
        ["Running", "Completed"],
        cached(refresh_cache=True),
        returns=5,
        again=Case([], ["Running", "Completed"], returns=6),
    ),
    "no key, no cache": lambda: Case(
        [5, 6],
        ["Running", "Completed"],
        cached(cache_key_fn=lambda: None),
        returns=5,
        again=Case([], ["Running", "Completed"], returns=6),
    ),
    "failures are not cached": lambda: Case(
        [BoomError, 6],
        ["Running", "Failed"],
        cached(),
        raises=BoomError,
        again=Case([], ["Running", "Completed"], returns=6),
    ),
    "a key that cannot be made": lambda: Case(
        [], ["Failed"], cached(cache_key_fn=broken_key, retries=0), raises=ValueError
    ),
    "a store that is out at the look-up": lambda: Case(
        [], ["Failed"], cached(result_storage=FaultyStorage(MemoryStorage(), fail_at=1)), raises=ConnectionError
    ),
    "a result that cannot be written is not computed again": lambda: Case(
        [object()], ["Running", "Failed"], cached(retries=3), raises=TypeError
    ),
}


CASES_AND_KINDS = [
    (name, kind) for name, make in CASES.items() for kind in ("task", "flow") if kind == "task" or not make().tasks_only
]


def play(case: Case, kind: str, *, run_async: bool) -> tuple[Callable[..., Any], list[int]]:
    """Return a flow or task that does what the case says, and the list of its calls."""
    calls: list[int] = []

    def body() -> Any:
        step = case.does[len(calls)]
        calls.append(len(calls))
        if isinstance(step, type) and issubclass(step, BaseException):
            raise step("as planned")
        return step

    async def body_async() -> Any:
        await asyncio.sleep(0)
        return body()

    fn = body_async if run_async else body
    options = {"name": "case", **case.options}
    made = flow(fn, **options) if kind == "flow" else task(fn, **options)

    def call(**how: Any) -> Any:
        answer = made(**how)
        return asyncio.run(answer) if inspect.iscoroutine(answer) else answer

    return call, calls


def seen(call: Callable[..., Any], **how: Any) -> tuple[Any, type[BaseException] | None]:
    try:
        return call(**how), None
    except BaseException as error:  # noqa: BLE001  interrupts are among the cases
        return None, type(error)


@pytest.mark.parametrize("run_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(("name", "kind"), CASES_AND_KINDS)
class TestTheSameTable:
    def test_by_call(self, name: str, kind: str, run_async: bool, journal: Any, clock: FrozenClock) -> None:
        case = CASES[name]()
        call, calls = play(case, kind, run_async=run_async)
        for number, expected in enumerate(one for one in (case, case.again) if one is not None):
            value, error = seen(call)
            if expected.raises is None:
                assert error is None
                assert value == expected.returns
            else:
                assert error is not None
                assert issubclass(error, expected.raises)
            run = list(journal.created.values())[number]
            transitions = journal.transitions[run.run_id]
            assert [transition.state_name for transition in transitions] == expected.states
            if expected.epochs is not None:
                assert [transition.epoch for transition in transitions] == expected.epochs
            clock.advance(60)
        assert len(calls) == len(case.does)
        assert clock.slept == case.slept
        # At the end of a flow; and at the start of one that keeps its result, for who resumes it.
        each = 0 if kind == "task" else 2 if "result_storage" in case.options else 1
        assert len(journal.flushes) == each * (2 if case.again else 1)

    def test_by_return_state(self, name: str, kind: str, run_async: bool, journal: Any) -> None:
        case = CASES[name]()
        call, _ = play(case, kind, run_async=run_async)
        state, error = seen(call, return_state=True)
        if case.raises is not None and not issubclass(case.raises, Exception):
            assert error is case.raises  # an interrupt goes on up, whatever was asked for
            return
        assert error is None
        assert isinstance(state, State)
        assert state.name == case.states[-1]
        assert state.is_final()
        assert state.is_completed() is (case.raises is None)
        value, error = seen(state.result)
        assert (value, error is None) == (case.returns, case.raises is None)


@pytest.mark.parametrize("run_async", [False, True], ids=["sync", "async"])
def test_a_result_that_could_not_be_written_is_kept_by_a_retry_without_computing_it_again(
    run_async: bool, journal: Any
) -> None:
    storage = MemoryStorage()
    # The look-up is the first operation; the second is the first of writing.
    options = cached(retries=1, result_storage=FaultyStorage(storage, fail_at=2))
    case = Case([7], [], options)
    call, calls = play(case, "task", run_async=run_async)
    assert call() == 7
    assert len(calls) == 1
    assert journal.states("case") == ["Running", "Retrying", "Completed"]
    assert len(list(storage.list())) == 1


def test_a_coroutine_thrown_away_is_recorded_as_crashed(journal: Any) -> None:
    @task
    async def waits() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        coroutine = waits()
        coroutine.send(None)
        coroutine.close()

    asyncio.run(main())
    assert journal.states("waits") == ["Running", "Crashed"]


def test_a_cancelled_flow_is_recorded_as_cancelled(journal: Any) -> None:
    @flow
    async def waits() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        running = asyncio.create_task(waits())
        await asyncio.sleep(0.02)
        running.cancel()
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert journal.states("waits") == ["Running", "Cancelled"]
    assert len(journal.flushes) == 1

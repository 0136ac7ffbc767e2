"""Hooks: who is called, with what, in which order, and what becomes of one that raises."""

# ruff: noqa: FBT001  sync or async is a parameter of these tests

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.context import FlowRun, TaskRun, get_run_context
from entrepot.states import Cancelled, Completed, Crashed, Failed, State
from entrepot.storage import MemoryStorage
from entrepot.task_runners import SequentialTaskRunner

KINDS = ["on_running", "on_completion", "on_failure", "on_crashed", "on_cancellation"]
BY_END = {
    "on_completion": Completed,
    "on_failure": lambda: Failed("no"),
    "on_crashed": lambda: Crashed("gone"),
    "on_cancellation": lambda: Cancelled("stop"),
}


@pytest.fixture(params=["task", "flow"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def run_async(request: pytest.FixtureRequest) -> bool:
    return request.param  # type: ignore[no-any-return]


def make(kind: str, body: Callable[[], Any], *, run_async: bool, **options: Any) -> Any:
    async def body_async() -> Any:
        await asyncio.sleep(0)
        return body()

    return (flow if kind == "flow" else task)(body_async if run_async else body, name="made", **options)


def call(made: Any, **how: Any) -> Any:
    answer = made(**how)
    return asyncio.run(answer) if inspect.iscoroutine(answer) else answer


class Noted:
    """Hooks that note that they were called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.arguments: list[tuple[Any, Any, State[Any]]] = []

    def hook(self, name: str) -> Callable[..., Any]:
        def noted(definition: Any, run: Any, state: State[Any]) -> object:
            self.calls.append((name, state.name))
            self.arguments.append((definition, run, state))
            return "what a hook returns is ignored"

        return noted

    def async_hook(self, name: str) -> Callable[..., Any]:
        async def noted(definition: Any, run: Any, state: State[Any]) -> None:
            await asyncio.sleep(0)
            self.calls.append((name, state.name))
            self.arguments.append((definition, run, state))

        return noted


@pytest.mark.parametrize("end", BY_END)
def test_each_end_calls_its_own_hook_after_the_running_one(kind: str, run_async: bool, end: str) -> None:
    noted = Noted()
    made = make(kind, BY_END[end], run_async=run_async, **{name: [noted.hook(name)] for name in KINDS})
    state = call(made, return_state=True)
    assert noted.calls == [("on_running", "Running"), (end, state.name)]
    assert [(definition, type(run)) for definition, run, _ in noted.arguments] == [
        (made, FlowRun if kind == "flow" else TaskRun)
    ] * 2
    assert noted.arguments[-1][2] == state


@pytest.mark.parametrize(
    ("error", "hook", "name"),
    [
        (SystemExit, "on_crashed", "Crashed"),
        (asyncio.CancelledError, "on_cancellation", "Cancelled"),
    ],
)
def test_what_ends_a_run_from_outside_calls_hooks_and_goes_on_up(
    kind: str, run_async: bool, error: type[BaseException], hook: str, name: str
) -> None:
    def body() -> None:
        raise error

    noted = Noted()
    made = make(kind, body, run_async=run_async, **{hook: noted.hook(hook)})
    with pytest.raises(error):
        call(made)
    assert noted.calls == [(hook, name)]


def test_async_hooks_are_awaited_on_either_kind_of_run(kind: str, run_async: bool) -> None:
    noted = Noted()
    made = make(kind, lambda: 1, run_async=run_async, on_running=noted.async_hook("a"))
    made.on_completion(noted.async_hook("b"))
    assert call(made) == 1
    assert noted.calls == [("a", "Running"), ("b", "Completed")]


def test_hooks_are_called_in_order_and_those_of_decorators_last(kind: str, run_async: bool) -> None:
    noted = Noted()
    made = make(kind, lambda: 1, run_async=run_async, on_completion=[noted.hook("1"), noted.hook("2")])

    @made.on_completion
    def third(*_: object) -> None:
        noted.calls.append(("3", "Completed"))

    assert third.__name__ == "third"  # the function stays what it is
    call(made)
    call(made.with_options(name="copy"))
    assert [name for name, _ in noted.calls] == ["1", "2", "3"] * 2


def test_a_failure_that_is_tried_again_calls_no_failure_hook(kind: str, run_async: bool, journal: Any) -> None:
    noted = Noted()
    outcomes = [Failed("once"), Failed("twice"), Completed(data=3)]
    hooks = {name: noted.hook(name) for name in KINDS}
    made = make(kind, lambda: outcomes.pop(0), run_async=run_async, retries=2, **hooks)
    assert call(made) == 3
    assert noted.calls == [
        ("on_running", "Running"),
        ("on_running", "Retrying"),
        ("on_running", "Retrying"),
        ("on_completion", "Completed"),
    ]
    assert journal.states("made") == ["Running", "Retrying", "Retrying", "Completed"]


def test_a_cached_result_is_a_completion(run_async: bool) -> None:
    noted = Noted()
    options = {"cache_key_fn": lambda: "key", "result_storage": MemoryStorage(), "result_serializer": "json"}
    made = make("task", lambda: 1, run_async=run_async, on_completion=noted.hook("done"), **options)
    assert (call(made), call(made)) == (1, 1)
    assert noted.calls == [("done", "Completed"), ("done", "Cached")]


@pytest.mark.parametrize("hook", ["on_running", "on_completion"])
def test_a_hook_that_raises_is_logged_and_changes_nothing(
    kind: str, run_async: bool, hook: str, caplog: pytest.LogCaptureFixture, journal: Any
) -> None:
    noted = Noted()

    def broken(*_: object) -> None:
        raise ValueError("the hook is broken")

    made = make(kind, lambda: 5, run_async=run_async, **{hook: [broken, noted.hook("next")]})
    with caplog.at_level(logging.ERROR):
        assert call(made) == 5
    assert [name for name, _ in noted.calls] == ["next"]
    assert journal.states("made") == ["Running", "Completed"]
    assert "Its hook broken at " in caplog.text
    assert "the hook is broken" in caplog.text


def test_an_interrupt_in_the_running_hook_ends_the_run(kind: str, run_async: bool, journal: Any) -> None:
    def interrupts(*_: object) -> None:
        raise SystemExit(3)

    worked: list[int] = []
    made = make(kind, lambda: worked.append(1), run_async=run_async, on_running=interrupts)
    with pytest.raises(SystemExit):
        call(made)
    assert worked == []
    assert journal.states("made") == ["Running", "Crashed"]


def test_an_interrupt_in_the_last_hook_goes_on_up_and_the_state_stays(kind: str, run_async: bool, journal: Any) -> None:
    def interrupts(*_: object) -> None:
        raise SystemExit(3)

    made = make(kind, lambda: 1, run_async=run_async, on_completion=[interrupts])
    with pytest.raises(SystemExit):
        call(made)
    assert journal.states("made") == ["Running", "Completed"]


def test_a_hook_is_part_of_its_run() -> None:
    seen: list[str] = []

    def look(_task: Any, run: TaskRun, _state: State[Any]) -> None:
        context: Any = get_run_context()
        seen.extend([run.id, context.task_run.id])

    task(lambda: 1, on_completion=look)()
    assert seen[0] == seen[1]


def test_a_hook_of_a_method_is_called_with_the_method() -> None:
    noted = Noted()

    class Shop:
        @task(on_completion=[noted.hook("done")])
        def open(self) -> int:
            return 7

    assert Shop().open() == 7
    assert noted.calls == [("done", "Completed")]


def test_submitted_tasks_call_hooks_before_their_futures_are_done() -> None:
    noted = Noted()

    @task(on_failure=[noted.hook("failed")])
    def fails() -> None:
        raise ValueError

    @flow
    def main() -> list[tuple[str, str]]:
        fails.submit().wait()
        return list(noted.calls)

    assert main() == [("failed", "Failed")]


def test_what_is_cancelled_before_it_starts_calls_its_hook() -> None:
    noted = Noted()
    cancelled = threading.Event()

    @task(on_cancellation=[noted.hook("cancelled"), lambda *_: cancelled.set()], on_running=[noted.hook("running")])
    def waits(_: Any) -> None: ...

    @task
    def slow() -> None:
        cancelled.wait(30)  # it has the only thread until then

    from entrepot.task_runners import ThreadPoolTaskRunner  # noqa: PLC0415

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> None:
        slow.submit()
        waits.submit(1)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  the flow's own
        main()
    assert noted.calls == [("cancelled", "Cancelled")]


def test_an_interrupt_in_the_last_hook_of_a_submitted_task_leaves_its_state(journal: Any) -> None:
    def interrupts(*_: object) -> None:
        raise SystemExit(3)

    made = task(lambda: 1, name="made", on_completion=[interrupts])

    @flow(task_runner=SequentialTaskRunner())
    def main() -> None:
        made.submit()

    with pytest.raises(SystemExit):
        main()
    assert journal.states("made") == ["Running", "Completed"]

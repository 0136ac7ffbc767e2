"""`@task`: a function that is run with retries, a cache, states and a history, and is called like the function."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, Unpack, overload

from entrepot.annotations import Unmapped, allow_failure, quote, unmapped
from entrepot.engine.input_hash import task_input_hash
from entrepot.engine.mapping import mapped_calls
from entrepot.engine.options import TaskOptions
from entrepot.engine.retries import exponential_backoff
from entrepot.engine.runnable import H, Runnable
from entrepot.engine.submission import submit
from entrepot.futures import FutureList
from entrepot.states import State

__all__ = [
    "Task",
    "TaskOptions",
    "Unmapped",
    "allow_failure",
    "exponential_backoff",
    "quote",
    "task",
    "task_input_hash",
    "unmapped",
]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
T = TypeVar("T")


class Task(Runnable[P, R]):
    """A task. Make one with `@task`; its options are explained there."""

    _kind = "task"

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(
        self: "Task[..., Coroutine[Any, Any, T]]",
        *args: Any,
        return_state: Literal[True],
        wait_for: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, State[T]]: ...
    @overload
    def __call__(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> State[R]: ...
    @overload
    def __call__(self, *args: Any, wait_for: Iterable[Any] | None, **kwargs: Any) -> R: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task here and now, and return what it returns, or raise what it raises.

        Futures and states among the arguments (also in lists, tuples, sets, dicts and dataclasses) are waited for and
        stand for their results. The run of an async task begins when what is returned is awaited.

        Args:
            *args: As of the function.
            **kwargs: As of the function; and `return_state=True` to get the run's last state, whatever it is, and
                `wait_for=[...]` for futures of runs that must complete first.

        Raises:
            ParameterError: If the arguments do not fit the function.
            NotReadyError: If something upstream did not complete.
        """
        return self._call(args, kwargs)

    @overload
    def map(
        self: "Task[..., Coroutine[Any, Any, T]]",
        *args: Any,
        return_state: Literal[False] = False,
        wait_for: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> FutureList[T]: ...
    @overload
    def map(
        self,
        *args: Any,
        return_state: Literal[False] = False,
        wait_for: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> FutureList[R]: ...
    @overload
    def map(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> list[State[Any]]: ...
    def map(self, *args: Any, return_state: bool = False, wait_for: Iterable[Any] | None = None, **kwargs: Any) -> Any:
        """Submit the task once for each element of its arguments, and return the futures in order.

        Collections of one length give an element to each call. Texts, bytes, mappings, what cannot be iterated over,
        and what is wrapped in `unmapped(...)` go whole to each.

        Args:
            *args: As of the function, but in collections.
            return_state: Whether to wait, and return the runs' last states.
            wait_for: Futures of runs that must complete first.
            **kwargs: As `args`, by name.

        Raises:
            ParameterError: If nothing can be iterated over, lengths differ, or arguments do not fit the function.
        """
        upstream = None if wait_for is None else list(wait_for)
        calls = mapped_calls(args, kwargs, what=f"task {self.name!r}")
        futures = FutureList([submit(self._run(*call, upstream)) for call in calls])
        if not return_state:
            return futures
        futures.wait()
        return [future.state for future in futures]

    def on_commit(self, hook: H) -> H:
        """Call a function with the transaction when one is committed that this task ran in; use it as a decorator.

        Raises:
            OptionError: If it cannot be called.
        """
        return self._hook("on_commit", hook)

    def on_rollback(self, hook: H) -> H:
        """Call a function with the transaction when one is rolled back that this task ran in; as `on_commit`."""
        return self._hook("on_rollback", hook)

    def with_options(self, **options: Unpack[TaskOptions]) -> Self:
        """Return the same task with some options given anew; `None` takes an option back.

        What contradicts an option that is given now is dropped: a new `cache_policy` replaces a `cache_key_fn`, and
        `persist_result=False` every option of the cache.

        Raises:
            OptionError: As the decorator.
        """
        return self._with(options)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self: "Task[Concatenate[Any, Q], R]", instance: object, owner: type | None = None) -> "Task[Q, R]": ...
    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Return the task as a method, like a function in a class body."""
        return self._bind_to(instance, owner)


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(fn: Callable[P, R], /, **options: Unpack[TaskOptions]) -> Task[P, R]: ...
@overload
def task(**options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a task of a function, sync or async. Use it as `@task`, or as `@task(...)` with options.

    Args:
        fn: The function.
        **options: All by name:

            * `name`: For people; the function's name if not given.
            * `description`: The function's docstring if not given.
            * `tags`: A list of texts.
            * `version`: Your own.
            * `retries`: How many times a failed run is tried again; 0 if not given.
            * `retry_delay_seconds`: Seconds before each retry, a list of them (the last counts for all later ones), or
              a function of the number of retries that returns one of these: `exponential_backoff(backoff_factor=10)`.
            * `retry_jitter_factor`: How far a delay is moved at random, as a part of it.
            * `retry_condition_fn`: Called with (task, task_run, state); whether a failed run is tried again.
            * `timeout_seconds`: After which an attempt is stopped; a timeout is a failure and may be tried again.
            * `isolation`: "process" to run each attempt in a process of its own, which a timeout can end whatever it
              does.
            * `task_run_name`: The name of each run: a template of parameters (`"load-{day}"`), or a function of nothing
              or of `parameters`.
            * `on_running`, `on_completion`, `on_failure`, `on_crashed`, `on_cancellation`: Functions of
              (task, task_run, state), called when a run enters such a state. Also decorators: `@my_task.on_failure`.
            * `on_commit`, `on_rollback`: Functions of the transaction that the task ran in.
            * `persist_result`: Whether results are kept. Any of the options below means that they are.
            * `result_storage`: Where: a folder, a URL, the name of a saved block ("s3/prod"), a storage block, or a
              `Storage`. It is opened when the task runs.
            * `result_serializer`: How they become bytes: "auto" (by value), "json", "parquet", "pickle", ...,
              or a serializer.
            * `result_storage_key`: The key that results are found by: a text, perhaps with fields of `parameters`,
              `task_run` and `flow_run` (`"report-{parameters[day]}"`).
            * `cache_policy`: What the cache key is made of: `INPUTS + TASK_SOURCE`, say, of `entrepot.cache_policies`.
            * `cache_key_fn`: A function of (context, parameters), or of nothing, that returns the key; None for a call
              that is not cached. The key is this task's own.
            * `cache_expiration`: A timedelta; how long a result is used.
            * `keep`: How long a result is kept: "12h", "7d", a timedelta; then `entrepot store gc` removes it.
              "run" for until the flow run around it is completed.
            * `keep_last`: How many results of this task are kept; `entrepot store gc` removes older ones.
            * `refresh_cache`: Whether to compute again whatever is kept, and keep that instead.
            * `single_flight`: Whether equal calls at one moment compute once: True across processes and machines,
              False not even in one process; in one process if not given.
            * `refresh_early`: How long before a result expires one call computes it again, while others still use
              it: a timedelta, or a part of `cache_expiration` such as 0.1.
            * `log_prints`: Whether `print` goes to the run's log; as the flow does if not given.

    Raises:
        OptionError: If an option is unknown, of the wrong type, or contradicts another.
    """
    if fn is None:
        return lambda function: Task(function, **options)
    return Task(fn, **options)

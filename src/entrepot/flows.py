"""`@flow`: a function that orchestrates tasks and other flows, and is called like the function."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, Unpack, overload

from entrepot.engine.options import FlowOptions
from entrepot.engine.past import Past
from entrepot.engine.runnable import Runnable
from entrepot.errors import OptionError
from entrepot.states import State

__all__ = ["Flow", "FlowOptions", "flow"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
T = TypeVar("T")


class Flow(Runnable[P, R]):
    """A flow. Make one with `@flow`; its options are explained there."""

    _kind = "flow"

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(
        self: "Flow[..., Coroutine[Any, Any, T]]",
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
    @overload
    def __call__(self, *args: Any, resume: str | None, **kwargs: Any) -> R: ...
    @overload
    def __call__(self, *args: Any, rerun_from: str | None, **kwargs: Any) -> R: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow here and now, and return what it returns, or raise what it raises.

        Inside another flow or a task it is a subflow, with a run of its own. What decides the last state:

        * An exception: the flow failed, and the caller gets that exception.
        * A returned state decides; its result is returned.
        * Futures in the returned value, and states in a returned list, tuple or set of nothing else, decide together:
          if one did not complete, the flow failed, and the caller gets its exception. Else futures are replaced by
          their results.
        * Anything else: the flow completed, also where tasks failed whose results it did not ask for.

        Args:
            *args: As of the function.
            **kwargs: As of the function; and `return_state=True` to get the run's last state, whatever it is, and
                `wait_for=[...]` for futures of runs that must complete first. `resume="3f2a"` (an id, the beginning of
                one, or a name) continues a run of this flow that did not complete: what was completed in it and kept
                is not run again. `rerun_from="7c1d"` does a finished run again from one of its task runs on: what had
                completed before that began is used again, all else is computed anew and replaces what was kept. A
                flow that has parameters of these names gets them itself.

        Raises:
            ParameterError: If the arguments do not fit the function or its annotations.
            NotReadyError: If something upstream did not complete.
            RunNotFoundError: If there is no run to resume.
            NotResumableError: If it goes on, has completed, is of another flow, or is resumed by somebody else.
        """
        if "resume" in kwargs or "rerun_from" in kwargs:
            return self._continue(args, kwargs)
        return self._call(args, kwargs)

    def _continue(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        own = self._definition.binder.signature.parameters
        ours = {name: kwargs.pop(name) for name in ("resume", "rerun_from") if name in kwargs and name not in own}
        asked = [(name, value) for name, value in ours.items() if value is not None]
        if not asked:
            return self._call(args, kwargs)
        if len(asked) > 1:
            raise OptionError(
                "resume= and rerun_from= each say which run to continue; give one of them", option="resume"
            )

        def past() -> Past:
            from entrepot.engine.resuming import past_of  # noqa: PLC0415  the lazy seam: it loads SQLite and stores

            return past_of(*asked[0], self.key)

        return self._call(args, kwargs, past)

    def with_options(self, **options: Unpack[FlowOptions]) -> Self:
        """Return the same flow with some options given anew; `None` takes an option back.

        What contradicts an option that is given now is dropped: a new `cache_policy` replaces a `cache_key_fn`, and
        `persist_result=False` every option of the cache.

        Raises:
            OptionError: As the decorator.
        """
        return self._with(options)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self: "Flow[Concatenate[Any, Q], R]", instance: object, owner: type | None = None) -> "Flow[Q, R]": ...
    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Return the flow as a method, like a function in a class body."""
        return self._bind_to(instance, owner)


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(fn: Callable[P, R], /, **options: Unpack[FlowOptions]) -> Flow[P, R]: ...
@overload
def flow(**options: Unpack[FlowOptions]) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a flow of a function, sync or async. Use it as `@flow`, or as `@flow(...)` with options.

    Args:
        fn: The function. Parameters with annotations are validated and coerced when the flow is called.
        **options: All by name:

            * `name`: For people; the function's name if not given.
            * `description`: The function's docstring if not given.
            * `tags`: A list of texts.
            * `version`: Your own.
            * `retries`: How many times a failed run is tried again, as a whole; 0 if not given.
            * `retry_delay_seconds`: As of `@task`.
            * `timeout_seconds`: After which an attempt is stopped, with all that it runs; as of `@task`.
            * `flow_run_name`: The name of each run, as `task_run_name` of `@task`.
            * `on_running`, `on_completion`, `on_failure`, `on_crashed`, `on_cancellation`: Functions of
              (flow, flow_run, state), called when a run enters such a state. Also decorators: `@my_flow.on_failure`.
            * `task_runner`: Where submitted tasks run: a task runner, its class, or the name of one ("threads",
              "processes", "sequential"); `ThreadPoolTaskRunner()` if not given.
            * `validate_parameters`: Whether parameters are validated; True if not given.
            * `persist_result`, `result_storage`, `result_serializer`, `keep`, `keep_last`: As of `@task`, for its own
              result, and for tasks and flows inside it that do not say otherwise.
            * `result_storage_key`: As of `@task`.
            * `cache_policy`, `cache_key_fn`, `cache_expiration`, `refresh_cache`, `single_flight`, `refresh_early`:
              As of `@task`, for the flow as a whole. Without them a kept result is kept under the run's own id, and
              each call runs.
            * `log_prints`: Whether `print` goes to the run's log, here and in what it runs and does not say otherwise.

    Raises:
        OptionError: If an option is unknown, of the wrong type, or contradicts another.
    """
    if fn is None:
        return lambda function: Flow(function, **options)
    return Flow(fn, **options)

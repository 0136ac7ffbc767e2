"""What flows and tasks have in common as objects: a function with options that is called like the function."""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast

from entrepot.engine.core import run_steps
from entrepot.engine.drive import drive
from entrepot.engine.hooks import hooks_of
from entrepot.engine.options import define, merged
from entrepot.engine.outcomes import answer_of
from entrepot.engine.past import Past
from entrepot.engine.pickling import reduced
from entrepot.engine.run import Run
from entrepot.protocols.recorder import RunKind

__all__ = ["Runnable"]

P = ParamSpec("P")
R = TypeVar("R")
H = TypeVar("H", bound=Callable[..., Any])


class Runnable(Generic[P, R]):
    """A flow or a task. It has the name, the documentation and the signature of its function.

    Args:
        fn: The function; also a `staticmethod` or a `classmethod`.
        **options: As of the decorator.

    Raises:
        OptionError: If an option is unknown, of the wrong type, or contradicts another.
    """

    _kind: RunKind

    def __init__(self, fn: Callable[P, R], /, **options: Any) -> None:
        self._holder: Any = type(fn) if isinstance(fn, staticmethod | classmethod) else None
        plain: Any = fn if self._holder is None else getattr(fn, "__func__")  # noqa: B009  mypy knows no such function
        self._options = options
        self._bound: tuple[Any, ...] = ()
        self._definition = define(self._kind, plain, options)
        functools.update_wrapper(cast("Any", self), plain, updated=())
        if self._definition.is_async and sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def __reduce__(self) -> Any:
        return reduced(self)

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def fn(self) -> Callable[P, R]:
        """The function."""
        return self._definition.fn

    @property
    def name(self) -> str:
        """Its name, for people."""
        return self._definition.name

    @property
    def key(self) -> str:
        """Its stable identity: module and qualified name."""
        return self._definition.key

    @property
    def description(self) -> str | None:
        """What it does; the function's docstring if not given."""
        return self._definition.description

    @property
    def version(self) -> str | None:
        """The user's own version of it."""
        return self._definition.version

    @property
    def tags(self) -> frozenset[str]:
        """Its tags."""
        return frozenset(self._definition.tags)

    @property
    def retries(self) -> int:
        """How many times a failed run is tried again."""
        return self._definition.retry.retries

    @property
    def isasync(self) -> bool:
        """Whether calling it gives something to await."""
        return self._definition.is_async

    @property
    def options(self) -> Mapping[str, Any]:
        """The options that were given, by name."""
        return dict(self._options)

    # --- its hooks --------------------------------------------------------------------------------------------------

    def on_running(self, hook: H) -> H:
        """Call a function with (flow or task, run, state) when an attempt begins; use it as a decorator.

        Raises:
            OptionError: If it cannot be called.
        """
        return self._hook("on_running", hook)

    def on_completion(self, hook: H) -> H:
        """Call a function when a run completed; as `on_running`."""
        return self._hook("on_completion", hook)

    def on_failure(self, hook: H) -> H:
        """Call a function when a run failed and is not tried again; as `on_running`."""
        return self._hook("on_failure", hook)

    def on_crashed(self, hook: H) -> H:
        """Call a function when a run was ended from outside; as `on_running`."""
        return self._hook("on_crashed", hook)

    def on_cancellation(self, hook: H) -> H:
        """Call a function when a run was cancelled; as `on_running`."""
        return self._hook("on_cancellation", hook)

    def _hook(self, name: str, hook: H) -> H:
        known = getattr(self._definition.hooks, name)
        options = {**self._options, name: [*known, hook]}
        self._definition = replace(self._definition, hooks=hooks_of(self._definition.label, options))
        self._options = options  # with_options gives them to the copy
        return hook

    # --- how it is called ---------------------------------------------------------------------------------------------

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, past: Past | None = None) -> Run:
        """Return a new run of it.

        Raises:
            ParameterError: If the arguments do not fit.
        """
        arguments = (*self._bound, *args) if self._bound else args
        definition = self._definition
        try:
            parameters = definition.binder.bind(arguments, kwargs)
        except BaseException:
            if past is not None and past.claim is not None:
                past.claim.release()
            raise
        return Run(self, definition, arguments, kwargs, parameters, wait_for=wait_for, past=past)

    def _call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], past_of: Callable[[], Past | None] | None = None
    ) -> Any:
        """Call it.

        Args:
            args: As of the function.
            kwargs: As of the function, with what is ours among them.
            past_of: Returns what the run takes over from earlier ones; it may read files.
        """
        return_state = kwargs.pop("return_state", False)
        wait_for = kwargs.pop("wait_for", None)
        if self._definition.is_async:
            return self._call_async(args, kwargs, wait_for, return_state=return_state, past_of=past_of)
        run = self._run(args, kwargs, wait_for, None if past_of is None else past_of())
        steps, clock = run_steps(run), run.world.clock
        del run  # this frame is in the traceback of what the function raises: it holds nothing that holds that
        return answer_of(drive(steps, clock), return_state=return_state)

    async def _call_async(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any,
        *,
        return_state: bool,
        past_of: Callable[[], Past | None] | None,
    ) -> Any:
        from asyncio import to_thread  # noqa: PLC0415  asyncio is loaded by who uses it

        from entrepot.engine.drive_async import drive_async  # noqa: PLC0415  as above

        run = self._run(args, kwargs, wait_for, None if past_of is None else await to_thread(past_of))
        steps, clock = run_steps(run), run.world.clock
        del run  # as above
        return answer_of(await drive_async(steps, clock), return_state=return_state)

    # --- others like it -----------------------------------------------------------------------------------------------

    def _with(self, new: Mapping[str, Any]) -> Self:
        other = object.__new__(type(self))
        fn: Any = self.fn if self._holder is None else self._holder(self.fn)
        other.__init__(fn, **merged(self._kind, self._options, new))  # type: ignore[misc]  # the same class as ours
        other._bound = self._bound
        return other

    def _bind_to(self, instance: object, owner: type | None) -> Any:
        """Return it as a method of an object, as a function in a class body would be."""
        target = owner if self._holder is classmethod else instance
        if target is None or self._holder is staticmethod or self._bound:
            return self
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._bound = (target,)
        return other

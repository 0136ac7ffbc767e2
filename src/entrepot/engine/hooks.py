"""Hooks: functions of the user that are called when a run enters a state."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from entrepot.errors import OptionError
from entrepot.states import StateType

__all__ = ["HOOK_OPTIONS", "NO_HOOKS", "Hook", "Hooks", "hooks_of", "in_step"]

Hook: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of a flow or task, in the order in which they are called.

    Those of states are called with (flow, flow_run, state) or (task, task_run, state), sync or async.

    Attributes:
        on_running: When an attempt begins.
        on_completion: When the run completed, also where its result was known.
        on_failure: When it failed and is not tried again; a timeout is a failure.
        on_crashed: When it was ended from outside.
        on_cancellation: When it was cancelled.
        on_commit: Of tasks, called with the transaction: when it is committed.
        on_rollback: Of tasks, called with the transaction: when it is rolled back.
    """

    on_running: tuple[Hook, ...] = ()
    on_completion: tuple[Hook, ...] = ()
    on_failure: tuple[Hook, ...] = ()
    on_crashed: tuple[Hook, ...] = ()
    on_cancellation: tuple[Hook, ...] = ()
    on_commit: tuple[Hook, ...] = ()
    on_rollback: tuple[Hook, ...] = ()

    @property
    def are_of_transactions(self) -> bool:
        """Whether there are any for transactions."""
        return bool(self.on_commit or self.on_rollback)

    def at(self, kind: StateType) -> tuple[Hook, ...]:
        """Return the hooks of a type of states."""
        if self is NO_HOOKS:
            return ()
        name = _BY_TYPE.get(kind)
        return () if name is None else getattr(self, name)


NO_HOOKS = Hooks()

HOOK_OPTIONS = frozenset(field.name for field in fields(Hooks))
"""The names of the options that take hooks."""

_BY_TYPE: Mapping[StateType, str] = {
    StateType.RUNNING: "on_running",
    StateType.COMPLETED: "on_completion",
    StateType.FAILED: "on_failure",
    StateType.CRASHED: "on_crashed",
    StateType.CANCELLED: "on_cancellation",
}


def hooks_of(what: str, option: Mapping[str, Any]) -> Hooks:
    """Return the hooks among options.

    Args:
        what: Whose options these are, for messages.
        option: Options by name; others are passed over.

    Raises:
        OptionError: If a hook cannot be called.
    """
    given = {name: _checked(what, name, option[name]) for name in HOOK_OPTIONS & option.keys()}
    return Hooks(**given) if given else NO_HOOKS


def _checked(what: str, name: str, value: Any) -> tuple[Hook, ...]:
    hooks = tuple(value) if isinstance(value, Iterable) and not callable(value) else (value,)
    for hook in hooks:
        if not callable(hook):
            raise OptionError(f"{what}: {name} is a list of functions, not {value!r}", option=name)
    return hooks


def in_step(hook: Hook) -> Hook:
    """Return a hook that is over when its call is, also an async one: for runs that no loop drives."""

    def call(*args: Any) -> Any:
        answer = hook(*args)
        if not inspect.isawaitable(answer):
            return answer
        from entrepot.engine.drive_async import run_to_end  # noqa: PLC0415  asyncio is loaded by who uses it

        async def to_its_end() -> Any:
            return await answer

        return run_to_end(to_its_end())

    return call

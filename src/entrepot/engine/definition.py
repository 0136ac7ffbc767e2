"""What a decorated function is to the engine: the function, its facts, and its options in their final form."""

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrepot.engine.keeping import KeepingOptions
from entrepot.engine.parameters import Binder
from entrepot.engine.retries import RetryPolicy
from entrepot.engine.validation import Validator
from entrepot.protocols.recorder import RunKind
from entrepot.protocols.task_runner import TaskRunner

__all__ = ["Definition", "function_name", "is_async_function", "stable_key"]


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A flow or a task, as the engine sees it.

    Attributes:
        kind: "flow" or "task".
        fn: The user's function.
        name: For people.
        key: Its stable identity: module and qualified name.
        binder: Turns arguments into parameters.
        retry: When a failed run is tried again.
        keeping: Where and when results are kept.
        description: For people.
        version: The user's own.
        tags: Sorted.
        log_prints: Whether `print` goes to the run's log; None to do as the flow around it does.
        is_async: Whether calling it gives something to await.
        validator: Validates parameters against annotations; None for not at all.
        task_runner: For flows: where submitted tasks run; None for the default.
    """

    kind: RunKind
    fn: Callable[..., Any]
    name: str
    key: str
    binder: Binder
    retry: RetryPolicy
    keeping: KeepingOptions
    description: str | None = None
    version: str | None = None
    tags: tuple[str, ...] = ()
    log_prints: bool | None = None
    is_async: bool = False
    validator: Validator | None = None
    task_runner: TaskRunner | None = None

    @property
    def label(self) -> str:
        """What it is called in messages: `task 'extract'`."""
        return f"{self.kind} {self.name!r}"


def _plain(fn: Callable[..., Any]) -> Any:
    """Return the function inside partials."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def function_name(fn: Callable[..., Any]) -> str:
    """Return the name of a function, or of the class of an object that can be called."""
    plain = _plain(fn)
    return str(getattr(plain, "__name__", type(plain).__name__))


def is_async_function(fn: Callable[..., Any]) -> bool:
    """Return whether calling this gives something to await."""
    if inspect.iscoroutinefunction(fn):  # sees through partials
        return True
    call = getattr(type(fn), "__call__", None)  # noqa: B004  not whether it can be called, but what runs then
    return not inspect.isroutine(fn) and inspect.iscoroutinefunction(call)


def stable_key(fn: Callable[..., Any]) -> str:
    """Return module and qualified name of a function: the same in a script that is run and in one that is imported."""
    plain = _plain(fn)
    owner = plain if hasattr(plain, "__qualname__") else type(plain)
    module = str(getattr(plain, "__module__", None) or owner.__module__)
    if module in {"__main__", "__mp_main__"}:
        module = _main_module()
    return f"{module}.{owner.__qualname__}"


def _main_module() -> str:
    """Return what the main module would be called if it were imported."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)  # `python -m package.module`
    if spec is not None and spec.name:
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"

"""What a decorated function is to the engine: the function, its facts, and its options in their final form."""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from entrepot.engine.hooks import NO_HOOKS, Hooks
from entrepot.engine.keeping import KeepingOptions
from entrepot.engine.parameters import Binder
from entrepot.engine.references import References
from entrepot.engine.retries import RetryPolicy
from entrepot.engine.validation import Validator
from entrepot.protocols.recorder import RunKind
from entrepot.protocols.task_runner import TaskRunner

__all__ = ["Definition", "function_name", "is_async_function", "stable_key"]

_MARKERS = ("pyproject.toml", "setup.py", "setup.cfg", ".git")  # of the folder of a project
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_STDLIB = Path(os.__file__).parent


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A flow or a task, as the engine sees it.

    Attributes:
        kind: "flow" or "task".
        fn: The user's function.
        name: For people.
        key: Its stable identity: module, or place in its project, and qualified name.
        binder: Turns arguments into parameters.
        retry: When a failed run is tried again.
        keeping: Where and when results are kept.
        description: For people.
        version: The user's own.
        tags: Sorted.
        log_prints: Whether `print` goes to the run's log; None to do as the flow around it does.
        is_async: Whether calling it gives something to await.
        validator: Validates parameters against annotations, or only makes files of paths; None for neither.
        task_runner: For flows: where submitted tasks run; None for the default.
        hooks: What is called when its runs enter states.
        run_name: A template or a function for the names of its runs; None for the usual ones.
        timeout: Seconds after which an attempt is stopped; None for never.
        isolated: Whether each attempt runs in a process of its own.
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
    validator: Validator | References | None = None
    task_runner: TaskRunner | None = None
    hooks: Hooks = NO_HOOKS
    run_name: str | Callable[..., Any] | None = None
    timeout: float | None = None
    isolated: bool = False

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
    """Return where a function is at home and its qualified name: the same in a script that is run and one imported.

    A function of a package has the name that it is imported by: `package.module.extract`. One of a file that belongs to
    no package has the file's place in its project, `shop/flow.extract`: each project has a `flow` of its own.
    """
    plain = _plain(fn)
    owner = plain if hasattr(plain, "__qualname__") else type(plain)
    module = str(getattr(plain, "__module__", None) or owner.__module__)
    return f"{_home_of(module)}.{owner.__qualname__}"


def _home_of(name: str) -> str:
    """Return the name of a module of a package; else the place of its file in its project."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if name in {"__main__", "__mp_main__"} and spec is not None and spec.name:  # `python -m package.module`
        name = str(spec.name).removesuffix(".__main__")
    file = getattr(module, "__file__", None)
    if "." in name or not isinstance(file, str) or file.startswith("<") or hasattr(module, "__path__"):
        return name
    return _place_of(os.path.abspath(file)) or name  # noqa: PTH100  links stay: they may lead to a dated checkout


@lru_cache(maxsize=256)
def _place_of(file: str) -> str:
    """Return a file's path from its project's folder on, with that folder's name; "" for what was installed."""
    path = Path(file)
    if path.is_relative_to(_STDLIB) or not _INSTALLED.isdisjoint(path.parts):
        return ""
    project = next((folder for folder in path.parents if _is_project(folder)), path.parent)
    place = PurePath(project.name, path.relative_to(project).with_suffix("")).as_posix()
    return place.encode("utf-8", "backslashreplace").decode()  # a name that is no UTF-8 is still a name


def _is_project(folder: Path) -> bool:
    return any((folder / marker).exists() for marker in _MARKERS)

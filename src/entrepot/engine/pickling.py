"""Flows and tasks in pickles: by name where they have one, else by value."""

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

__all__ = ["reduced"]

_MAIN = frozenset({"__main__", "__mp_main__"})  # in another process, these are other modules


def reduced(made: Any) -> tuple[Any, ...]:
    """Return what `pickle` makes of a flow or task.

    The decorated function cannot be pickled by its own name, which leads to the flow or task. A flow or task can, and
    stands for its function. One made of the function of another (`with_options`) is made again of it. What a script,
    a notebook or a function defines goes by value, which only `cloudpickle` can.

    Args:
        made: The flow or task.
    """
    fn = made.fn
    module, path = getattr(fn, "__module__", None), getattr(fn, "__qualname__", "")
    if isinstance(module, str) and module not in _MAIN:
        found = _find(sys.modules.get(module), path)
        if found is made:
            return _by_name, (module, path)
        if found is not None and type(found) is type(made) and found.fn is fn:
            return _made_again, (module, path, dict(made.options), made._bound)  # noqa: SLF001  as it is made
    return _blank, (type(made),), vars(made), None, None, _fill


def _find(module: Any, path: str) -> Any:
    found = module
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


def _by_name(module: str, path: str) -> Any:
    return _find(import_module(module), path)


def _made_again(module: str, path: str, options: Mapping[str, Any], bound: tuple[Any, ...]) -> Any:
    found = _by_name(module, path)
    made = type(found)(found.fn, **options)
    made._bound = bound  # noqa: SLF001  as it was
    return made


def _blank(kind: type) -> Any:
    return object.__new__(kind)  # its function may refer to it: it is there first, and filled later


def _fill(made: Any, state: Mapping[str, Any]) -> None:
    made.__dict__.update(state)

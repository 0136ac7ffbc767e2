"""Where a flow is found: the module or the script that defines it, and its name there."""

import os
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from entrepot.engine.definition import Definition

__all__ = ["Entrypoint", "entrypoint_of", "named"]

_MAIN = frozenset({"__main__", "__mp_main__"})  # the second in the children of `multiprocessing`


@dataclass(frozen=True, slots=True)
class Entrypoint:
    """Where a flow is found by another process.

    Attributes:
        module: The name of the module; `__main__` for a script, and for what `python -m` runs.
        name: Of the flow in it, perhaps with dots: `etl`, `Shop.etl`.
        file: The module's file.
        imported_as: What `python -m` was asked for; else None.
    """

    module: str
    name: str
    file: str
    imported_as: str | None = None

    @property
    def text(self) -> str:
        """For people: `/home/me/flow.py:etl`, or `package.module:etl`."""
        if self.imported_as is not None:
            return f"{self.imported_as}:{self.name}"
        return f"{self.file if self.module == '__main__' else self.module}:{self.name}"


def entrypoint_of(definition: Definition) -> Entrypoint | None:
    """Return where a flow is found; None for one of a notebook, of a prompt, or made inside a function."""
    fn = definition.fn
    qualified = getattr(fn, "__qualname__", "")
    module = sys.modules.get(getattr(fn, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if module is None or not isinstance(file, str) or file.startswith("<"):
        return None
    name = qualified if _is(named(module, qualified), definition) else _name_in(module, definition)
    if not name:
        return None
    file = os.path.abspath(file)  # noqa: PTH100  links stay: they may lead to a dated checkout
    if fn.__module__ not in _MAIN:
        return Entrypoint(fn.__module__, name, file)
    spec = getattr(module, "__spec__", None)
    return Entrypoint("__main__", name, file, None if spec is None else str(spec.name))


def named(module: ModuleType, name: str) -> Any:
    """Return what a dotted name stands for in a module; None if nothing."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _is(found: Any, definition: Definition) -> bool:
    return getattr(found, "_definition", None) is definition


def _name_in(module: ModuleType, definition: Definition) -> str:
    """Return another name for it: of one with other options, say."""
    return next((name for name, value in list(vars(module).items()) if _is(value, definition)), "")

"""What a function's own import statements would find.

A module of the project is imported here, as the function would do, because its key must not depend on whether some
other code has imported it before. Modules of Python and of distributions are not: their version is known without.
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from entrepot.hashing._origins import BUILT_IN, Origin, origin_of_file

__all__ = ["absolute_name", "module_or_origin"]


def absolute_name(name: str, level: int, namespace: Mapping[str, Any]) -> str:
    """Return the full name of a module that was written with `level` dots in front."""
    if not level:
        return name
    package = str(namespace.get("__package__") or str(namespace.get("__name__", "")).rpartition(".")[0])
    base = package.rsplit(".", level - 1)[0] if level > 1 else package
    return f"{base}.{name}" if name else base


def module_or_origin(name: str) -> ModuleType | Origin | str:
    """Return a loaded module, or whose module it is without loading it, or in a word why there is none."""
    module = sys.modules.get(name)
    if module is not None:
        return module
    origin = _origin(name)
    if origin is None:
        return "missing"
    if origin.kind != "project":
        return origin
    try:
        return import_module(name)
    except Exception as error:  # noqa: BLE001  the function meets the same when it gets there, or never gets there
        return f"raises {type(error).__name__}"


def _origin(name: str) -> Origin | None:
    top = name.partition(".")[0]
    for place in (top, name):  # the second for packages that several distributions share; those have no code to run
        try:
            spec = find_spec(place)
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        if spec.origin in BUILT_IN:
            return Origin("python")
        if spec.origin is not None and spec.has_location:  # a file beside the script goes before Python's own
            return origin_of_file(spec.origin, name)
    return Origin("project")

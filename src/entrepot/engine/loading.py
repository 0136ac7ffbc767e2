"""Loading the file of a flow in a new process, without doing what the file does when it is run.

A script is loaded as `__main__`: its classes are then found under the name by which its results were pickled, and keys
are the same. Its block `if __name__ == "__main__":` is left out. If it calls a flow or a task outside of that block,
loading ends there: all that the call needs is defined by then.
"""

import ast
import importlib
import importlib.util
import os
import sys
from contextlib import suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from entrepot.engine.entrypoints import Entrypoint, named
from entrepot.engine.world import RunRefused, no_runs
from entrepot.errors import NotResumableError

if TYPE_CHECKING:
    from entrepot.engine.snapshots import Snapshot

__all__ = ["load_flow", "load_module"]


def load_flow(snapshot: "Snapshot") -> Any:
    """Return the flow of a run, in a process that is there for nothing else.

    The working directory, `sys.argv` and `sys.path` become those of the process that ran it.

    Raises:
        NotResumableError: If its file or the flow in it is not there any more, or the file cannot be loaded.
    """
    entrypoint = snapshot.entrypoint
    if os.path.isdir(snapshot.folder):  # noqa: PTH112  a text
        os.chdir(snapshot.folder)
    sys.argv = list(snapshot.arguments)
    sys.path[:0] = [place for place in snapshot.path if place not in sys.path]
    try:
        module = load_module(entrypoint)
    except Exception as error:
        raise NotResumableError(
            f"{entrypoint.file}, the file of the flow of {snapshot.name}, cannot be loaded: {type(error).__name__}:"
            f" {error}",
            run_id=snapshot.run_id,
        ) from error
    flow = named(module, entrypoint.name)
    if getattr(flow, "_kind", None) != "flow":
        raise NotResumableError(
            f"{entrypoint.file} has no flow {entrypoint.name!r} any more, or only after it has called another flow or"
            " task: put such calls under `if __name__ == '__main__':`, or call the flow itself with"
            f" resume={snapshot.run_id!r}",
            run_id=snapshot.run_id,
        )
    if flow.key != snapshot.key:
        raise NotResumableError(
            f"{entrypoint.text} is the flow {flow.key} now, and {snapshot.name} was a run of {snapshot.key}: its"
            " project has moved; nothing that was kept can be found from there",
            run_id=snapshot.run_id,
        )
    return flow


def load_module(entrypoint: Entrypoint) -> ModuleType:
    """Return the module of an entry point, with none of its flows and tasks run.

    Raises:
        Exception: What the module raises.
    """
    with no_runs():
        return _script(entrypoint) if entrypoint.module == "__main__" else _module(entrypoint.module)


def _module(name: str) -> ModuleType:
    known = sys.modules.get(name)
    if known is not None:
        return known
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"no module named {name!r}", name=name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except RunRefused:
        pass
    except BaseException:
        sys.modules.pop(name, None)
        raise
    package, _, short = name.rpartition(".")
    if package:
        setattr(sys.modules[package], short, module)
    return module


def _script(entrypoint: Entrypoint) -> ModuleType:
    spec: ModuleSpec | None = None
    if entrypoint.imported_as is not None:  # by `python -m`: its relative imports, and its key, go by that name
        spec = importlib.util.find_spec(entrypoint.imported_as)
    module = ModuleType("__main__")
    module.__file__ = entrypoint.file
    module.__spec__ = spec
    if spec is not None:
        module.__package__ = spec.parent
    code = compile(_without_main_block(Path(entrypoint.file).read_bytes()), entrypoint.file, "exec", dont_inherit=True)
    sys.modules["__main__"] = module
    with suppress(RunRefused):
        exec(code, module.__dict__)  # noqa: S102  the user's own script, named by what was sealed
    return module


def _without_main_block(source: bytes) -> ast.Module:
    tree = ast.parse(source)
    body: list[ast.stmt] = []
    for statement in tree.body:
        if isinstance(statement, ast.If) and _asks_for_main(statement.test):
            body.extend(statement.orelse)
        else:
            body.append(statement)
    tree.body = body
    return tree


def _asks_for_main(test: ast.expr) -> bool:
    """Return whether this is `__name__ == "__main__"`."""
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = (test.left, *test.comparators)
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    texts = [side.value for side in sides if isinstance(side, ast.Constant)]
    return names == ["__name__"] and texts == ["__main__"]

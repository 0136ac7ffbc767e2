"""Prefect's module names, served by what stands for each of their names here.

    from entrepot.compat.prefect import install

    install()                           # before the first import of Prefect
    from prefect import flow, task      # Entrepot's

A name that is not here raises `AbsentNameError`, an ImportError, which says why and what to use instead.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final, Self

from entrepot.compat.names import ROOT, Names, Verdict, absent_error, names, resolve
from entrepot.errors import ConfigurationError

__all__ = ["Installation", "install"]

_SHIM: Final = str(Path(__file__).with_name("shim"))
"""Has a package of Prefect's name, for new processes: multiprocessing hands them `sys.path`, and no import hooks."""


class _Modules(MetaPathFinder, Loader):
    """Finds modules under Prefect's names and makes them; says of all others that they are absent.

    Args:
        known: The names; read before this finder is asked for the first time, as it is asked for every import.
    """

    def __init__(self, known: Names) -> None:
        self._known = known

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002  the import system's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return the spec of a module that can be imported; None for modules that are not Prefect's.

        `from module import name` gets here with `module.name`, if the module has no such attribute: each of them is a
        package, so that Python asks. That is where a missing name gets its own error; as an attribute it is an
        AttributeError, as `hasattr` expects.

        Raises:
            AbsentNameError: If it is Prefect's, and not here.
        """
        parent, _, name = fullname.rpartition(".")
        if fullname == ROOT or fullname.startswith(f"{ROOT}."):
            if self._known.serves(fullname):
                return ModuleSpec(fullname, self, is_package=True)
            verdict = self._known.judge(parent, name)
            if verdict.works:
                return None  # a name, but no module
            raise absent_error(verdict)
        if fullname in self._known.packages:
            raise absent_error(Verdict(fullname, "absent", note=self._known.packages[fullname]))
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module: what is asked of it is looked up each time, since some of it depends on the run."""
        where, known = module.__name__, self._known
        working = known.working(where)

        def lookup(name: str) -> Any:
            if known.serves(f"{where}.{name}"):
                return import_module(f"{where}.{name}")
            if name.startswith("__") and name not in working:
                raise AttributeError(f"module {where!r} has no attribute {name!r}")
            verdict = known.judge(where, name)
            if not verdict.works:
                raise AttributeError(str(absent_error(verdict)))
            return resolve(verdict.target)

        module.__doc__ = f"What {where} of Prefect is in Entrepot; see docs/migrating-from-prefect.md."
        inside = known.inside(where)
        vars(module).update(
            __getattr__=lookup, __all__=working, __dir__=lambda: sorted({*vars(module), *working, *inside})
        )


class Installation:
    """Prefect's names, as long as they are Entrepot's. A context manager, too.

    Args:
        aside: Modules of Prefect itself, to be put back.
    """

    def __init__(self, aside: dict[str, ModuleType]) -> None:
        self._aside = aside
        self._finder = _Modules(names())
        sys.meta_path.insert(0, self._finder)
        if _SHIM not in sys.path:
            sys.path.insert(1, _SHIM)  # behind the script's own folder

    def uninstall(self) -> None:
        """Take the names away, and put back what was set aside; twice is once."""
        global _installed  # noqa: PLW0603  the import system is global, too
        if self._finder not in sys.meta_path:
            return
        sys.meta_path.remove(self._finder)
        if _SHIM in sys.path:
            sys.path.remove(_SHIM)
        for name, module in _loaded().items():
            if getattr(module, "__loader__", None) is self._finder:
                del sys.modules[name]
        sys.modules.update(self._aside)
        _installed = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.uninstall()


_installed: Installation | None = None

_REFUSAL: Final = (
    "Prefect itself is imported already, and code that has taken names from it keeps them; call install() before the"
    " first import of Prefect, or install(replace=True) to set it aside"
)


def install(*, replace: bool = False) -> Installation:
    """Let Prefect's module names mean Entrepot from now on, in this process; a second call changes nothing.

    Args:
        replace: Whether to set Prefect itself aside if it is imported; names that code has taken from it stay.

    Returns:
        What takes the names away again: `.uninstall()`, or the end of a `with`.

    Raises:
        ConfigurationError: If Prefect itself is imported, and `replace` is not given.
    """
    global _installed  # noqa: PLW0603  the import system is global, too
    if _installed is not None:
        return _installed
    aside = _loaded()
    if aside and not replace:
        raise ConfigurationError(_REFUSAL, setting="replace")
    for name in aside:
        del sys.modules[name]
    _installed = Installation(aside)
    return _installed


def _loaded() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name == ROOT or name.startswith(f"{ROOT}.")}

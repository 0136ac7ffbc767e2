"""Code of the user's that a command needs: modules and files with block classes that no installed package declares."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Final

import typer

from entrepot.errors import OptionError, PluginLoadError
from entrepot.plugins import BLOCKS
from entrepot.plugins.registry import IMPORT_FIRST

__all__ = ["Modules", "advice", "import_code", "import_modules"]

_KNOWN: Final = "; known: "
_SHOWN: Final = 6  # of the types that are known
_TAKEN_BY: Final = "apply, check, create, diff, doctor, edit, export, migrate, show and types"  # of `entrepot block`

Modules = Annotated[
    list[str] | None,
    typer.Option("--module", "-m", metavar="MODULE", help="A module of yours to import first, for its block types."),
]


def import_modules(names: list[str] | None) -> None:
    """Import what the option `--module` names.

    Raises:
        OptionError: If one is none but a file.
        PluginLoadError: If one cannot be imported.
    """
    for name in names or ():
        import_code(name)


def advice(message: str) -> str:
    """Return what an error for an unknown block type says, for who types commands: which option, and fewer types."""
    text = message.replace(
        IMPORT_FIRST, f"if your program defines it, pass -m your.module (entrepot block {_TAKEN_BY} take it)"
    )
    text, known, names = text.partition(_KNOWN)
    listed = names.split(", ")
    if len(listed) <= _SHOWN:
        return text + known + names
    return f"{text}{known}{', '.join(listed[:_SHOWN])} and {len(listed) - _SHOWN} more (entrepot block types)"


def import_code(wanted: str | Path) -> ModuleType:
    """Import a module by its name, or run a file as one.

    Raises:
        OptionError: If the name is none but that of a file.
        PluginLoadError: If that raises.
    """
    if isinstance(wanted, str) and ("/" in wanted or wanted.endswith(".py")):
        raise OptionError(
            f"-m takes the name of a module, as in my_package.blocks, and {wanted} is a file: in the folder where it"
            f" is, give -m {Path(wanted).stem}",
            option="--module",
        )
    try:
        return _run_file(wanted) if isinstance(wanted, Path) else _import_module(wanted)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit
        raise PluginLoadError(
            f"{wanted} cannot be imported: {type(error).__name__}: {error}; mend that, and try again",
            group=BLOCKS.group,
            name=str(wanted),
            distribution="",
        ) from error


def _import_module(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    return importlib.import_module(name)


def _run_file(file: Path) -> ModuleType:
    file = file.resolve()
    known = sys.modules.get(file.stem)
    free = known is None or getattr(known, "__file__", None) == str(file)
    name = file.stem if free else f"{file.stem}_"  # a file may be called json.py
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module

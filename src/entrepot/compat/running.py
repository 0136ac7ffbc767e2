"""Runs a script or a module as Python does, with Prefect's names installed."""

import builtins
import io
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from entrepot.compat.prefect import install

__all__ = ["run_module", "run_script"]

_OURS = frozenset({__file__, runpy.__file__, "<frozen runpy>"})


def run_script(path: str, arguments: Sequence[str]) -> int:
    """Run a file as `__main__`.

    Args:
        path: Of the script.
        arguments: What it finds in `sys.argv` behind its own name.

    Returns:
        The exit code: 0; 1 after an exception, whose traceback is printed; 2 where the file cannot be read.

    Raises:
        SystemExit: If the script exits.
    """
    file = os.path.abspath(path)  # noqa: PTH100  as Python makes it: links stay
    try:
        with io.open_code(file) as opened:
            source = opened.read()
    except OSError as error:
        sys.stderr.write(f"{sys.executable}: can't open file {file!r}: {error.strerror}\n")
        return 2
    _prepare([path, *arguments])
    if not sys.flags.safe_path:
        sys.path[0] = str(Path(file).resolve().parent)
    main = ModuleType("__main__")
    vars(main).update(
        __file__=file, __cached__=None, __builtins__=builtins, __loader__=SourceFileLoader("__main__", file)
    )
    sys.modules["__main__"] = main  # pickles of the script's functions, and new processes, look into this one
    return _exit_code(lambda: exec(compile(source, file, "exec", dont_inherit=True), vars(main)))  # noqa: S102  the point


def run_module(name: str, arguments: Sequence[str]) -> int:
    """Run a module, or the `__main__` of a package, as `python -m` does; otherwise as `run_script`."""
    _prepare([name, *arguments])
    return _exit_code(lambda: runpy.run_module(name, run_name="__main__", alter_sys=True))


def _prepare(argv: list[str]) -> None:
    sys.argv[:] = argv
    install()


def _exit_code(run: Callable[[], object]) -> int:
    try:
        run()
    except Exception as error:  # noqa: BLE001  it ends the script, as it would without us
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename in _OURS:
            trace = trace.tb_next  # the script's traceback begins with the script
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return 1
    return 0

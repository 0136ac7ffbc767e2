"""`python -m entrepot.compat`: run code that was written for Prefect, or see what it uses."""

import os
import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["main"]

_USAGE: Final = """\
Code that was written for Prefect, on Entrepot.

  python -m entrepot.compat SCRIPT [ARGUMENT]...       run a script
  python -m entrepot.compat -m MODULE [ARGUMENT]...    run a module, as `python -m` does
  python -m entrepot.compat --check [--json] PATH...   list the names of Prefect that files and folders use, and what
                                                       they are here; exit code 1 if some of them are not
"""


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say, and return the exit code."""
    first, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if first in {"-h", "--help"}:
        sys.stdout.write(_USAGE)
        return 0
    if first == "--check":
        return _check(rest)
    if first == "-m" and rest:
        from entrepot.compat.running import run_module  # noqa: PLC0415  a check runs nothing

        return run_module(rest[0], rest[1:])
    if not first or first.startswith("-"):
        sys.stderr.write(_USAGE)
        return 2
    from entrepot.compat.running import run_script  # noqa: PLC0415  a check runs nothing

    return run_script(first, rest)


def _check(arguments: Sequence[str]) -> int:
    from entrepot.compat.check import check  # noqa: PLC0415  a script that is run is not parsed
    from entrepot.compat.report import as_json, as_lines  # noqa: PLC0415

    paths = [argument for argument in arguments if argument != "--json"]
    if not paths:
        sys.stderr.write(_USAGE)
        return 2
    try:
        report = check(paths)
    except FileNotFoundError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    write = as_json if "--json" in arguments else as_lines
    try:
        sys.stdout.writelines(f"{line}\n" for line in write(report))
        sys.stdout.flush()  # here, where a closed pipe can still be noticed
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor does the interpreter complain at its end
    return 0 if report.fits else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

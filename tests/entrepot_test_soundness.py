"""One side of the soundness suite, in a process of its own: prints the cache key of every project as JSON.

Run as `python -m entrepot_test_soundness FOLDER`. The key is that of the policy `INPUTS + TASK_SOURCE`, of the
project's function as a task.
"""

import json
import sys
from pathlib import Path

from entrepot import task
from entrepot.errors import EntrepotError
from entrepot.results.keys import INPUTS, TASK_SOURCE, KeyContext
from entrepot_test_pairs import Loaded, loaded, observed

__all__ = ["key_of"]


def key_of(project: Loaded) -> str:
    """Return the key of a call; a second look at the same thing must find the same."""
    work = project.work if hasattr(project.work, "fn") else task(project.work)
    context = KeyContext(work.key, work.fn, project.inputs, version=work.version)
    key = (INPUTS + TASK_SOURCE).compute(context)
    assert key is not None
    assert (INPUTS + TASK_SOURCE).compute(context) == key, "two computations of one key differ"
    return key.key


def answer(folder: Path) -> dict[str, str]:
    """Return the key (or the refusal) of a project, and what its function returns."""
    for project in loaded(folder):
        try:
            found = {"key": key_of(project)}
        except EntrepotError as error:
            found = {"refused": str(error)}
        if (folder / "things.py").exists():  # a pair of values, whose function returns what it is given
            return found
        work = getattr(project.work, "fn", project.work)
        return found | {"result": observed(work(**project.inputs))}
    raise AssertionError(folder)


if __name__ == "__main__":
    json.dump({folder.name: answer(folder) for folder in sorted(Path(sys.argv[1]).iterdir())}, sys.stdout)

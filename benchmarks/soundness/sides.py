"""How each engine keys a call: one side of every pair, asked in the engine's own environment.

Run by `table.py` as `python sides.py ENGINE FOLDER STORE ANSWERS`: imports every project in FOLDER, asks the engine
about the call, and writes a token for each to the file ANSWERS. Two sides with equal tokens are one cache entry to the
engine. STORE is a folder that both sides share, for an engine that has to be run to see what it does.
"""
# ruff: noqa: PLC0415  an engine is only there in its own environment

import json
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from entrepot_test_pairs import Loaded, loaded

Ask = Callable[[Loaded, Path], str]


def entrepot() -> Ask:
    """Return the key of the policy `INPUTS + TASK_SOURCE`."""
    from entrepot_test_soundness import key_of

    return lambda project, _: key_of(project)


def prefect() -> Ask:
    """Return the key of the policy `INPUTS + TASK_SOURCE`, as its engine asks for it."""
    from prefect import task
    from prefect.cache_policies import INPUTS, TASK_SOURCE
    from prefect.context import TaskRunContext

    policy = INPUTS + TASK_SOURCE

    def ask(project: Loaded, _: Path) -> str:
        context = TaskRunContext.model_construct(task=task(project.work))
        key = policy.compute_key(task_ctx=context, inputs=dict(project.inputs), flow_parameters={})
        if key is None:
            raise ValueError("no key")
        return key

    return ask


def joblib() -> Ask:
    """Run the function through `Memory`: the first side is computed and kept, the second found or not."""
    from joblib import Memory

    def ask(project: Loaded, store: Path) -> str:
        is_first = not store.exists()
        function = Memory(store, verbose=0).cache(project.work)
        is_hit = not is_first and function.check_call_in_cache(**project.inputs)
        if is_first:
            function(**project.inputs)
            if not function.check_call_in_cache(**project.inputs):
                raise ValueError("the result was not kept")
        return "first" if is_first or is_hit else "second"

    return ask


def redun() -> Ask:
    """Return the hash that a call is looked up by: of the task and of the arguments."""
    from redun import task
    from redun.hashing import hash_eval
    from redun.value import get_type_registry

    def ask(project: Loaded, store: Path) -> str:
        made = task(name="work", namespace=f"pair{store.name}")(project.work)
        return str(hash_eval(get_type_registry(), made.get_hash(), (), dict(project.inputs)))

    return ask


def hamilton() -> Ask:
    """Return the key of a node: the version of its code, and the fingerprints of what it depends on."""
    from hamilton.caching.cache_key import create_cache_key
    from hamilton.caching.fingerprinting import hash_value
    from hamilton.graph_types import hash_source_code

    def ask(project: Loaded, _: Path) -> str:
        code = hash_source_code(project.work, strip=True)
        return create_cache_key("work", code, {name: hash_value(value) for name, value in project.inputs.items()})

    return ask


ENGINES: dict[str, tuple[Callable[[], Ask], str]] = {
    "entrepot": (entrepot, "entrepot"),
    "prefect": (prefect, "prefect"),
    "joblib": (joblib, "joblib"),
    "redun": (redun, "redun"),
    "hamilton": (hamilton, "sf-hamilton"),
}


def answer(ask: Ask, folder: Path, store: Path) -> dict[str, str]:
    """Return an engine's token for one project, or why there is none."""
    for project in loaded(folder):
        try:
            return {"token": ask(project, store)}
        except Exception as error:  # noqa: BLE001  whatever an engine raises is its answer
            return {"refused": f"{type(error).__name__}: {str(error)[:200]}"}
    raise AssertionError(folder)


def main(engine: str, folder: Path, store: Path) -> dict[str, Any]:
    """Return an engine's answers to one side of the whole suite."""
    warnings.simplefilter("ignore")
    make, distribution = ENGINES[engine]
    ask = make()
    answers = {}
    for project in sorted(folder.iterdir()):
        try:
            answers[project.name] = answer(ask, project, store / project.name)
        except ModuleNotFoundError as error:  # a project that is about Entrepot's own tasks
            answers[project.name] = {"skipped": str(error)}
    versions = {"python": sys.version.split()[0]} | {
        name: version(name) for name in (distribution, "numpy", "pandas", "pydantic", "attrs")
    }
    return {"versions": versions, "answers": answers}


if __name__ == "__main__":
    said = main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    Path(sys.argv[4]).write_text(json.dumps(said), encoding="utf-8")

"""What is loaded when: a flow that needs nothing loads nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "asyncio",
    "blake3",
    "cloudpickle",
    "cryptography",
    "fsspec",
    "http",
    "importlib.metadata",
    "multiprocessing",
    "numpy",
    "pydantic",
    "rich",
    "sqlite3",
    "tomlkit",
    "tomllib",
    "typer",
    "urllib.request",
    "zstandard",
}


def loaded(code: str, cwd: Path) -> set[str]:
    """Return which of the heavy modules a program has loaded at its end."""
    report = f"\nimport sys\nprint('LOADED', *(name for name in {sorted(HEAVY)!r} if name in sys.modules))\n"
    ran = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, timeout=60, cwd=cwd, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.rpartition("LOADED")[2].split())


def at_rest(cwd: Path) -> set[str]:
    """Return what an empty program has loaded already: editable installs and tools hook into the start."""
    return loaded("", cwd)


@pytest.mark.parametrize(
    "statement",
    [
        "import entrepot",
        "from entrepot import flow, task",
        "from entrepot import *",
        "from entrepot import Flow, State, Task, get_run_logger, unmapped",
        "from entrepot.states import State, Completed, Failed",
        "from entrepot.tasks import exponential_backoff",
        "from entrepot.task_runners import ConcurrentTaskRunner, SequentialTaskRunner",
        "from entrepot.logging import get_run_logger",
        "from entrepot.futures import wait, as_completed",
        "from entrepot.context import get_run_context",
        "from entrepot import pause_flow_run, resume_flow_run, runtime, suspend_flow_run",
    ],
)
def test_an_import_loads_nothing_heavy(statement: str, tmp_path: Path) -> None:
    assert loaded(statement, tmp_path) - at_rest(tmp_path) == set()


def test_decorating_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "from entrepot import flow, task\n"
        "@task(retries=3, result_storage='s3/prod', result_serializer='json', cache_key_fn=lambda: 'x')\n"
        "def t(a: int): ...\n"
        "@flow(log_prints=True, persist_result=True)\n"
        "def f(a: int): ...\n"
    )
    assert loaded(code, tmp_path) - at_rest(tmp_path) == set()


FLOW = (
    "from entrepot import flow, task\n"
    "@task\n"
    "def inc(n): return n + 1\n"
    "@flow\n"
    "def f(n: int = 1, names: list[str] = []): return sum(inc.map([n, 2]).result()) + inc(n)\n"
    "assert f(1, ['x']) == 7\n"
)


def test_a_first_flow_loads_its_history_and_nothing_else(tmp_path: Path) -> None:
    assert loaded(FLOW, tmp_path) - at_rest(tmp_path) == {"sqlite3"}


def test_a_flow_without_history_loads_nothing_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTREPOT_RUNS_RECORD", "false")
    assert loaded(FLOW, tmp_path) - at_rest(tmp_path) == set()


def test_keeping_results_on_the_disk_loads_no_fsspec_and_no_pydantic(tmp_path: Path) -> None:
    code = (
        "from entrepot import task\n"
        "from entrepot.cache_policies import INPUTS\n"
        "@task(cache_policy=INPUTS, result_serializer='json', result_storage='./kept')\n"
        "def inc(n): return n + 1\n"
        "assert inc(1) == inc(1) == 2\n"
    )
    assert not loaded(code, tmp_path) - at_rest(tmp_path) & {"fsspec", "pydantic", "asyncio", "rich", "typer"}


def test_the_facade_names_what_it_has(tmp_path: Path) -> None:
    code = (
        "import entrepot\n"
        "assert set(entrepot.__all__) <= set(dir(entrepot))\n"
        "assert entrepot.__version__\n"
        "from entrepot import flow, tasks, flows\n"
        "assert flow is flows.flow and entrepot.task is tasks.task\n"
        "try:\n"
        "    entrepot.nothing\n"
        "except AttributeError as error:\n"
        "    assert 'nothing' in str(error)\n"
        "else:\n"
        "    raise SystemExit('no error')\n"
    )
    loaded(code, tmp_path)

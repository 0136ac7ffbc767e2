"""What the history says of runs inside transactions."""

import subprocess
import sys
import threading
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.storage import MemoryStorage
from entrepot.task_runners import ThreadPoolTaskRunner
from entrepot.transactions import transaction


def test_a_task_that_was_rolled_back_did_complete(journal: Any) -> None:
    @task(persist_result=True, result_storage=MemoryStorage())
    def step() -> int:
        return 1

    @flow
    def main() -> None:
        with transaction():
            step()
            raise RuntimeError

    assert main(return_state=True).is_failed()
    assert journal.states("step") == ["Running", "Completed"]


def test_one_whose_commit_hook_raises_failed(journal: Any) -> None:
    @task(retries=1)
    def step() -> int:
        return 1

    @step.on_commit
    def refuse(_: Any) -> None:
        raise OSError("no")

    assert step(return_state=True).is_failed()
    assert journal.states("step") == ["Running", "Retrying", "Failed"]
    assert journal.epochs("step") == [1, 2, 2]


def test_what_did_not_start_since_its_transaction_failed_was_cancelled(journal: Any) -> None:
    started, go = threading.Event(), threading.Event()

    @task
    def block() -> None:
        started.set()
        assert go.wait(30)

    @task
    def late() -> None:
        """Never runs."""

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> None:
        with transaction():
            block.submit()
            late.submit()
            assert started.wait(30)
            threading.Timer(0.05, go.set).start()
            raise RuntimeError

    assert main(return_state=True).is_failed()
    assert journal.states("block") == ["Running", "Completed"]
    assert journal.states("late") == ["Cancelled"]


def test_a_result_staged_before_is_a_cached_one(journal: Any) -> None:
    storage = MemoryStorage()

    @task(cache_key_fn=lambda: "key", result_storage=storage)
    def once() -> int:
        return 1

    @flow
    def main() -> list[int]:
        with transaction():
            return [once(), once()]

    assert main() == [1, 1]
    states = [[change.state_name for change in changes] for changes in journal.transitions.values()]
    assert ["Cached"] in states
    keys = {changes[-1].cache_key for changes in journal.transitions.values()}
    assert len(keys - {None}) == 1


PLAIN = """
from entrepot import flow, task
@task(persist_result=True)
def step(): return 1
@flow
def main(): return step()
main()
"""


@pytest.mark.parametrize(
    ("program", "unwanted"),
    [
        (PLAIN, {"entrepot.engine.transactions", "entrepot.results.commit", "entrepot.results.staging"}),
        ("import entrepot.transactions", {"entrepot.results.store", "sqlite3", "pydantic", "cryptography", "asyncio"}),
    ],
    ids=["a flow without one", "the import"],
)
def test_nothing_is_loaded_that_is_not_used(program: str, unwanted: set[str], tmp_path: Any) -> None:
    check = f"{program}\nimport sys\nprint(sorted({unwanted!r} & sys.modules.keys()))\n"
    ran = subprocess.run([sys.executable, "-c", check], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.stdout == "[]\n", ran.stderr

"""Results of runs: whether, where, and under which key they are kept, and when they are used again."""

import asyncio
import json
import logging
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from entrepot import flow, home, settings, task
from entrepot._secrets import MASK, remember_secret
from entrepot.blocks.system import Secret
from entrepot.cache_policies import DEFAULT, FLOW_PARAMETERS, INPUTS, NO_CACHE, RUN_ID, TASK_SOURCE
from entrepot.context import TaskRunContext, get_run_context
from entrepot.engine import places
from entrepot.engine.world import World, use_world
from entrepot.errors import (
    BlockNotFoundError,
    CacheKeyError,
    ConfigurationError,
    SerializationError,
    StorageUnreachableError,
    UnhashableValueError,
    UnknownNameError,
)
from entrepot.filesystems import LocalFileSystem
from entrepot.results import keys
from entrepot.serializers import JSONSerializer
from entrepot.storage import MemoryStorage
from entrepot.testing import FaultyStorage, FrozenClock


def kept(storage: Any) -> list[dict[str, Any]]:
    """Return what the records of a storage say."""
    paths = [info.path for info in storage.list("records")]
    return [json.loads(bytes(storage.get(path)).partition(b"\n")[0]) for path in paths]


def counted(**options: Any) -> Any:
    """Return a task that doubles a number, and whose `.calls` are the numbers that it was really called with."""
    calls: list[Any] = []

    def double(x: Any, debug: int = 0) -> Any:
        calls.append(x)
        return x * 2

    made = task(double, **options)
    made.calls = calls
    return made


def endings(journal: Any, name: str) -> list[str]:
    """Return the last state of each run of a task, in the order in which they were made."""
    runs = [run for run in journal.created.values() if run.definition == name]
    return [journal.transitions[run.run_id][-1].state_name for run in runs]


class TestWhether:
    def test_nothing_is_kept_unless_asked_for(self, entrepot_home: Path) -> None:
        double = counted()
        assert flow(lambda: double(1) + double(1))() == 4
        assert double.calls == [1, 1]
        assert not entrepot_home.exists()

    @pytest.mark.parametrize(
        "options",
        [
            {"persist_result": True},
            {"cache_policy": INPUTS},
            {"cache_key_fn": lambda: "k"},
            {"cache_expiration": timedelta(1)},
            {"result_serializer": "json"},
            {"result_storage": "./here"},
        ],
        ids=lambda options: next(iter(options)),
    )
    def test_any_option_about_results_means_that_they_are_kept(
        self, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        counted(**options)(1)
        found = [*tmp_path.glob("entrepot-home/results/records/*/*"), *tmp_path.glob("here/records/*/*")]
        assert len(found) == 1

    @pytest.mark.parametrize(
        "options", [{"cache_policy": NO_CACHE}, {"persist_result": False}, {"refresh_cache": False}]
    )
    def test_these_do_not(self, options: dict[str, Any], entrepot_home: Path) -> None:
        counted(**options)(1)
        assert not entrepot_home.exists()

    def test_the_setting_decides_where_nothing_else_does(
        self, monkeypatch: pytest.MonkeyPatch, journal: Any, clock: FrozenClock
    ) -> None:
        monkeypatch.setenv("ENTREPOT_RESULTS_PERSIST", "true")
        monkeypatch.setenv("ENTREPOT_RESULTS_SERIALIZER", "json")
        with use_world(World(settings.current(), journal, clock)):
            counted()(1)
            counted(persist_result=False)(1)
            (record,) = kept(home.results_storage())
        assert record["serializer"] == "json"

    def test_a_secret_in_a_tag_is_masked_in_the_record(self) -> None:
        remember_secret("hunter2-horse")
        storage = MemoryStorage()
        counted(result_storage=storage, tags=["hunter2-horse", "nightly"])(1)
        (record,) = kept(storage)
        assert {name for name in record["about"] if name.startswith("tag:")} == {"tag:nightly", f"tag:{MASK}"}

    def test_what_a_flow_says_holds_for_what_runs_inside(self) -> None:
        storage, other = MemoryStorage(), MemoryStorage()

        @flow(persist_result=True, result_storage=storage, result_serializer="json")
        def outer() -> int:
            inner()
            return counted()(1) + counted(result_storage=other)(2) + counted(persist_result=False)(3)

        @flow
        def inner() -> int:
            return counted(result_serializer="pickle")(4)

        outer()
        assert sorted((one["task"]["name"], one["serializer"]) for one in kept(storage)) == [
            ("double", "json"),
            ("double", "pickle"),
            ("inner", "json"),
            ("outer", "json"),
        ]
        assert [one["serializer"] for one in kept(other)] == ["json"]

    def test_a_cache_option_of_a_flow_is_its_own(self) -> None:
        storage = MemoryStorage()

        @flow(cache_policy=INPUTS)
        def outer() -> int:
            return counted()(1)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(home, "results_storage", lambda: storage)
            outer()
        assert [one["task"]["name"] for one in kept(storage)] == ["outer"]

    def test_a_call_without_a_key_is_kept_only_where_keeping_was_asked_for(self) -> None:
        storage = MemoryStorage()
        counted(cache_key_fn=lambda: None)(1)
        counted(cache_key_fn=lambda: None, result_storage=storage)(1)
        counted(cache_policy=NO_CACHE, persist_result=True, result_storage=storage)(1)
        assert [one["key"].partition("/")[0] for one in kept(storage)] == ["run", "run"]
        assert kept(home.results_storage()) == []


class TestWhere:
    def test_a_path_a_url_a_block_a_storage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        specs: list[Any] = [
            str(tmp_path / "text"),
            tmp_path / "path",
            Path("relative"),
            "./dotted",
            "~/home",
            f"file://{tmp_path}/url",
            LocalFileSystem(basepath=str(tmp_path / "block")),
        ]
        for spec in specs:
            double = counted(cache_policy=INPUTS, result_storage=spec)
            assert (double(1), double(1), double.calls) == (2, 2, [1])
        for name in ("text", "path", "relative", "dotted", "home", "url", "block"):
            assert len(list(tmp_path.glob(f"{name}/records/*/*"))) == 1, name

    def test_a_block_by_its_name_is_loaded_when_the_task_runs(self, tmp_path: Path) -> None:
        double = counted(cache_policy=INPUTS, result_storage="local-file-system/results")
        with pytest.raises(BlockNotFoundError):
            double(1)
        assert double.calls == []
        LocalFileSystem(basepath=str(tmp_path / "kept")).save("results")
        assert (double(1), double(1), double.calls) == (2, 2, [1])
        assert len(list(tmp_path.glob("kept/records/*/*"))) == 1

    def test_a_block_that_is_no_storage_is_refused(self) -> None:
        Secret(value="x").save("token")
        with pytest.raises(ConfigurationError, match="storage block"):
            counted(result_storage="secret/token")(1)

    def test_nonsense_is_refused_when_the_task_runs(self) -> None:
        double = counted(result_storage="nonsense")
        with pytest.raises(ConfigurationError, match="names no result storage"):
            double(1)
        assert double.calls == []

    def test_the_setting_names_the_default(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, journal: Any, clock: FrozenClock
    ) -> None:
        monkeypatch.setenv("ENTREPOT_RESULTS_STORAGE", str(tmp_path / "elsewhere"))
        with use_world(World(settings.current(), journal, clock)):
            counted(persist_result=True)(1)
        assert len(list(tmp_path.glob("elsewhere/records/*/*"))) == 1

    def test_results_can_be_encrypted(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, journal: Any, clock: FrozenClock
    ) -> None:
        monkeypatch.setenv("ENTREPOT_RESULTS_ENCRYPT", "true")
        with use_world(World(settings.current(), journal, clock)):
            double = counted(cache_policy=INPUTS, result_storage=tmp_path / "kept", result_serializer="json")
            assert (double("plain text"), double("plain text"), double.calls) == (
                "plain text" * 2,
                "plain text" * 2,
                ["plain text"],
            )
        (file,) = tmp_path.glob("kept/records/*/*")
        assert b"plain" not in file.read_bytes()

    def test_the_history_says_where(self, journal: Any, tmp_path: Path) -> None:
        double = counted(cache_policy=INPUTS, result_storage=tmp_path / "kept")
        double(1)
        double(1)
        for said in journal.transitions.values():
            assert str(tmp_path / "kept") in said[-1].result_location
            assert said[-1].cache_key.startswith("e1-")

    def test_an_open_store_is_not_opened_again(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        opened: list[Any] = []
        real = places._opened
        monkeypatch.setattr(places, "_opened", lambda *args: opened.append(args) or real(*args))
        double = counted(cache_policy=INPUTS, result_storage=tmp_path / "kept")
        for number in range(5):
            double(number)
        assert len(opened) == 1

    def test_two_storages_are_never_taken_for_one(self) -> None:
        for number in range(50):
            storage = MemoryStorage()  # the id of the one before may come back
            counted(result_storage=storage)(number)
            assert len(kept(storage)) == 1
            del storage


class TestHow:
    @pytest.mark.parametrize("serializer", ["json", "pickle", "compressed/json", "compressed/pickle", JSONSerializer()])
    def test_by_the_serializer_that_was_named(self, serializer: Any) -> None:
        storage = MemoryStorage()
        double = counted(cache_policy=INPUTS, result_storage=storage, result_serializer=serializer)
        assert (double([1, None]), double([1, None]), len(double.calls)) == ([1, None] * 2, [1, None] * 2, 1)
        (record,) = kept(storage)
        assert record["serializer"] == getattr(serializer, "name", serializer)

    def test_an_unknown_serializer_is_refused_before_any_work(self) -> None:
        double = counted(result_serializer="jsn")
        with pytest.raises(UnknownNameError, match="jsn"):
            double(1)
        assert double.calls == []

    def test_a_result_that_cannot_be_written_fails_the_run_and_says_that_the_work_was_done(self, journal: Any) -> None:
        storage = MemoryStorage()

        @task(persist_result=True, result_storage=storage, result_serializer="json", retries=3)
        def f() -> object:
            return {"handle": object()}

        with pytest.raises(SerializationError, match="handle") as caught:
            f()
        assert caught.value.__notes__ == ["task 'f' did its work; only its result could not be kept"]
        assert journal.states("f") == ["Running", "Failed"]
        assert list(storage.list()) == []

    def test_the_record_tells_of_task_and_run(self, journal: Any) -> None:
        storage = MemoryStorage()

        @flow
        def f() -> None:
            counted(name="Double", version="7", persist_result=True, result_storage=storage)(1)

        f()
        (record,) = kept(storage)
        run = journal.run("Double")
        assert record["task"] == {
            "kind": "task",
            "name": "Double",
            "key": f"{__name__}.counted.<locals>.double",
            "version": "7",
        }
        assert record["run"] == {
            "id": run.run_id,
            "name": "Double-1",
            "root": run.flow_run_id,
            "flow_run_id": run.flow_run_id,
            "flow_run_name": journal.run("f").name,
        }


class TestKeys:
    def test_inputs_tell_values_and_types_apart(self) -> None:
        double = counted(cache_policy=INPUTS)
        for value in (1, 1.0, True, "1", (1,), [1], 1, "1"):
            double(value)
        assert len(double.calls) == 6

    def test_how_an_argument_is_given_makes_no_difference(self) -> None:
        double = counted(cache_policy=INPUTS)
        double(1)
        double(x=1)
        double(1, 0)
        double(1, debug=1)
        assert double.calls == [1, 1]
        double = counted(cache_policy=INPUTS - "debug")
        double(1)
        double(1, debug=1)
        assert double.calls == [1]

    def test_results_of_futures_count_by_value(self) -> None:
        double = counted(cache_policy=INPUTS)

        @flow
        def f() -> int:
            return double.submit(double.submit(1)).result() + double(2)

        assert f() == 8
        assert double.calls == [1, 2]

    def test_what_cannot_be_hashed_is_named_before_any_work(self, journal: Any) -> None:
        class Opaque:
            __slots__ = ()

        double = counted(cache_policy=INPUTS, retries=2)
        with pytest.raises(UnhashableValueError) as caught:
            double([Opaque()])
        assert caught.value.parameter == "x"
        assert double.calls == []
        assert journal.states("double") == ["Failed"]

    def test_a_flow_that_keeps_results_also_keeps_that_of_what_cannot_be_hashed(
        self, journal: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        @task
        def guarded(lock: Any) -> int:
            with lock:
                return 1

        assert flow(lambda: guarded(threading.Lock()), persist_result=True)() == 1
        assert journal.states("guarded") == ["Running", "Completed"]
        assert "not found again by its inputs: no cache key can be made of 'lock'" in caplog.text

    @pytest.mark.parametrize("policy", [None, DEFAULT, INPUTS + RUN_ID], ids=str)
    def test_default_and_run_id_hold_within_a_flow_run(self, policy: Any, journal: Any) -> None:
        double = task(lambda x: x * 2, name="double", persist_result=True, cache_policy=policy)

        @flow
        def f() -> int:
            return double(1) + double(1)

        assert f() + f() == 8
        assert endings(journal, "double") == ["Completed", "Cached"] * 2

    def test_a_retried_flow_takes_up_what_its_tasks_have_done(self, journal: Any) -> None:
        double = task(lambda x: x * 2, name="double", persist_result=True)

        @flow(retries=1)
        def f() -> int:
            value = double(1)
            if get_run_context().flow_run.run_count == 1:
                raise KeyError
            return value

        assert f() == 2
        assert endings(journal, "double") == ["Completed", "Cached"]

    def test_flow_parameters_count_where_asked_for(self) -> None:
        double = counted(cache_policy=FLOW_PARAMETERS)

        @flow
        def f(day: str) -> int:
            return double(1)

        f("monday")
        f("monday")
        f("tuesday")
        assert len(double.calls) == 2

    def test_a_method_is_cached_by_what_its_object_holds(self) -> None:
        calls: list[int] = []

        @dataclass(frozen=True)
        class Scale:
            factor: int

            @task(cache_policy=INPUTS)
            def scaled(self, number: int) -> int:
                calls.append(number)
                return self.factor * number

        assert (Scale(2).scaled(1), Scale(3).scaled(1), Scale(2).scaled(1)) == (2, 3, 2)
        assert calls == [1, 1]

    def test_a_cached_flow_runs_nothing(self, journal: Any) -> None:
        double = counted()

        @flow(cache_policy=INPUTS, name="f")
        def f(x: int) -> int:
            return double(x)

        assert (f(1), f("1"), f(2)) == (2, 2, 4)  # coerced first: "1" is 1
        assert double.calls == [1, 2]
        assert [said[-1].state_name for said in journal.transitions.values()].count("Cached") == 1

    def test_a_kept_flow_still_runs(self) -> None:
        double = counted()
        f = flow(lambda: double(1), name="f", persist_result=True)
        assert f() + f() == 4
        assert double.calls == [1, 1]

    def test_an_async_task_is_cached(self) -> None:
        calls: list[int] = []

        @task(cache_policy=INPUTS)
        async def double(x: int) -> int:
            calls.append(x)
            return 2 * x

        async def main() -> list[int]:
            return [await double(1), await double(1), *await asyncio.gather(double(2), double(3))]

        assert asyncio.run(main()) == [2, 2, 4, 6]
        assert sorted(calls) == [1, 2, 3]


class TestKeyFunctions:
    def test_may_take_nothing(self) -> None:
        double = counted(cache_key_fn=lambda: "static_key")
        assert (double(1), double(2), double.calls) == (2, 2, [1])

    def test_may_take_context_and_parameters(self) -> None:
        seen: list[Any] = []

        def key(context: Any, parameters: dict[str, Any]) -> str:
            seen.append((context, dict(parameters)))
            assert get_run_context() is context
            return f"x={parameters['x']}"

        double = counted(cache_key_fn=key)
        assert (double(1), double(1, debug=1), double(2)) == (2, 2, 4)
        context, parameters = seen[0]
        assert isinstance(context, TaskRunContext)
        assert (context.task, context.task_run.run_count) == (double, 1)
        assert parameters == {"x": 1, "debug": 0}
        assert double.calls == [1, 2]

    def test_belong_to_their_task(self) -> None:
        one = task(lambda: 1, cache_key_fn=lambda: "same")

        @task(cache_key_fn=lambda: "same")
        def two() -> int:
            return 2

        assert (one(), two(), one(), two()) == (1, 2, 1, 2)

    def test_that_raise_fail_the_run_before_any_work(self, journal: Any) -> None:
        error = ZeroDivisionError("x")

        def key() -> str:
            raise error

        double = counted(cache_key_fn=key, retries=2)
        with pytest.raises(CacheKeyError, match=r"cache_key_fn of task 'double' raised ZeroDivisionError") as caught:
            double(1)
        assert caught.value.__cause__ is error
        assert caught.value.task == "double"
        assert double.calls == []
        assert "Running" not in journal.states("double")

    @pytest.mark.parametrize("key", [5, "", b"x", ["x"]])
    def test_that_return_no_key_fail_too(self, key: Any) -> None:
        double = counted(cache_key_fn=lambda: key)
        with pytest.raises(CacheKeyError, match="returned"):
            double(1)
        assert double.calls == []


class TestOutages:
    def test_of_the_store_fail_the_run_before_any_work(self, journal: Any) -> None:
        double = counted(cache_policy=INPUTS, result_storage=FaultyStorage(MemoryStorage(), fail_at=1))
        with pytest.raises(StorageUnreachableError):
            double(1)
        assert double.calls == []
        assert journal.states("double") == ["Failed"]

    def test_are_retried(self, journal: Any) -> None:
        double = counted(cache_policy=INPUTS, retries=1, result_storage=FaultyStorage(MemoryStorage(), fail_at=1))
        assert double(1) == 2
        assert journal.states("double") == ["Retrying", "Completed"]
        assert journal.epochs("double") == [2, 2]

    @pytest.mark.parametrize("retries", [0, 1])
    def test_at_any_operation_lose_nothing_and_compute_once_where_retried(self, retries: int) -> None:
        for fail_at in range(1, 100):
            inner = MemoryStorage()
            faulty = FaultyStorage(inner, fail_at=fail_at)
            double = counted(cache_policy=INPUTS, retries=retries, result_storage=faulty)
            state = double(1, return_state=True)
            if not faulty.failed:
                assert fail_at > 2
                return
            assert state.is_completed() is bool(retries)
            if retries:
                assert len(double.calls) == 1
                assert double(1) == 2
                assert len(double.calls) == 1
            elif state.is_failed():
                assert isinstance(state.result(raise_on_failure=False), StorageUnreachableError)
        pytest.fail("no end to the operations of one write")

    def test_a_damaged_result_is_computed_again_with_a_warning(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        double = counted(cache_policy=INPUTS, result_storage=tmp_path)
        double(1)
        (file,) = tmp_path.glob("records/*/*")
        file.write_bytes(file.read_bytes().replace(b'"size":', b'"size": '))
        with caplog.at_level(logging.WARNING):
            assert double(1) == 2
        assert double.calls == [1, 1]
        assert "damaged" in caplog.text
        assert double(1) == 2
        assert double.calls == [1, 1]


SCRIPT = """
import sys
from entrepot import flow, task
from entrepot.blocks.system import Secret
from entrepot.cache_policies import INPUTS, TASK_SOURCE

def helper(x):
    return x + 1

@task(cache_policy=INPUTS + TASK_SOURCE, result_serializer="json")
def work(x):
    print("computed")
    return {"value": helper(x)}

@flow
def main(x):
    return work(x)

if __name__ == "__main__":
    print(main(int(sys.argv[1])))
"""


def test_results_are_used_again_by_other_processes_however_the_module_is_started(tmp_path: Path) -> None:
    script = tmp_path / "etl.py"
    script.write_text(SCRIPT)

    def run(*command: str) -> str:
        ran = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    assert run("etl.py", "1") == "computed\n{'value': 2}\n"
    assert run("etl.py", "1") == "{'value': 2}\n"
    assert run("-m", "etl", "1") == "{'value': 2}\n"
    assert run("-c", "import etl; print(etl.main(1))") == "{'value': 2}\n"
    assert run("etl.py", "2") == "computed\n{'value': 3}\n"
    script.write_text(SCRIPT.replace("x + 1", "x + 10"))
    assert run("etl.py", "1") == "computed\n{'value': 11}\n"
    script.write_text(SCRIPT.replace("def helper", "# a comment\ndef helper"))
    assert run("etl.py", "1") == "{'value': 2}\n"


def test_policies_are_those_of_the_result_store() -> None:
    assert (INPUTS, TASK_SOURCE, DEFAULT) == (keys.INPUTS, keys.TASK_SOURCE, keys.DEFAULT)


class TestArgumentsThatChange:
    """A result is never kept under the key of arguments that it was not computed from."""

    @pytest.mark.parametrize("policy", [INPUTS, FLOW_PARAMETERS, INPUTS + TASK_SOURCE, None])
    def test_a_caller_that_goes_on_changing_a_list(self, policy: Any, caplog: pytest.LogCaptureFixture) -> None:
        storage = MemoryStorage()
        begun, changed = threading.Event(), threading.Event()

        @task(cache_policy=policy, persist_result=True, result_storage=storage)
        def total(numbers: list[int]) -> int:
            begun.set()
            assert changed.wait(60)
            return sum(numbers)

        @flow
        def work(numbers: list[int]) -> Any:
            future = total.with_options(version="1").submit(numbers)
            assert begun.wait(60)
            numbers.append(100)
            changed.set()
            return future.result()

        assert work([1, 2]) == 103
        assert kept(storage) == []
        (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert "task 'total'" in warning
        assert "parameter 'numbers' changed" in warning
        assert "copy" in warning

    def test_a_task_that_changes_its_own_argument(self, caplog: pytest.LogCaptureFixture) -> None:
        storage = MemoryStorage()

        @task(cache_policy=INPUTS, result_storage=storage)
        def drain(numbers: list[int]) -> int:
            return numbers.pop()

        assert drain([1, 2]) == 2
        assert drain([1]) == 1, "what is left of the first call's list is not the second call's"
        assert kept(storage) == []
        assert caplog.text.count("is not kept") == 2

    def test_an_attempt_that_failed_and_left_its_mark(self) -> None:
        storage = MemoryStorage()

        @task(cache_policy=INPUTS, result_storage=storage, retries=1)
        def grow(numbers: list[int]) -> list[int]:
            numbers.append(10)
            if len(numbers) < 3:
                raise ValueError
            return list(numbers)

        assert grow([1]) == [1, 10, 10]
        assert kept(storage) == []

    def test_an_argument_that_has_no_key_any_more(self) -> None:
        storage = MemoryStorage()

        @task(cache_policy=INPUTS, result_storage=storage)
        def spoil(values: list[Any]) -> int:
            values.append(object())
            return 1

        assert spoil([]) == 1
        assert kept(storage) == []

    def test_an_argument_that_does_not_count_may_change(self) -> None:
        storage = MemoryStorage()

        @task(cache_policy=INPUTS - "log", result_storage=storage)
        def double(x: int, log: list[int]) -> int:
            log.append(x)
            return 2 * x

        assert double(1, []) == 2
        assert len(kept(storage)) == 1

    def test_arguments_that_stay_as_they_were_are_kept(self, caplog: pytest.LogCaptureFixture) -> None:
        storage = MemoryStorage()

        @task(cache_policy=INPUTS, result_storage=storage)
        def total(numbers: list[int], names: dict[str, set[int]]) -> int:
            return sum(numbers) + len(names)

        assert total([1, 2], {"a": {1}}) == 4
        assert len(kept(storage)) == 1
        assert caplog.text.count("is not kept") == 0


FLOW_FILE = """
import sys
from entrepot import task
from entrepot.cache_policies import INPUTS

@task(cache_policy=INPUTS)
def extract(x):
    return sys.argv[1]

@task(cache_key_fn=lambda context, parameters: str(parameters["x"]))
def load(x):
    return sys.argv[1]

class Later:
    def __call__(self, x):
        return sys.argv[1]

later = task(Later(), name="later", cache_policy=INPUTS)
print(extract.key, load.key, later.key, extract(1), load(1), later(1))
"""


class TestWhereATaskIsAtHome:
    """Which file a task is in is a part of its key, but not where that file's project lies."""

    def run(self, *command: str, folder: Path) -> list[str]:
        done = subprocess.run(
            [sys.executable, *command], cwd=folder, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.split()

    def test_two_projects_with_files_and_tasks_of_the_same_name_share_no_key(self, tmp_path: Path) -> None:
        for name in ("p1", "p2"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "flow.py").write_text(FLOW_FILE)
            keys, values = self.run("flow.py", name, folder=tmp_path / name)[:3], [name] * 3
            assert keys == [f"{name}/flow.extract", f"{name}/flow.load", f"{name}/flow.Later"]
            assert self.run("flow.py", "again", folder=tmp_path / name) == keys + values

    @pytest.mark.parametrize("marker", ["pyproject.toml", "setup.py", "setup.cfg", ".git", None])
    def test_a_project_is_the_folder_with_its_mark(self, marker: str | None, tmp_path: Path) -> None:
        folder = tmp_path / "shop" / "jobs" / "daily"
        folder.mkdir(parents=True)
        (folder / "flow.py").write_text(FLOW_FILE)
        if marker is not None:
            (tmp_path / "shop" / marker).touch()
        place = "daily/flow" if marker is None else "shop/jobs/daily/flow"
        assert self.run("flow.py", "1", folder=folder)[0] == f"{place}.extract"

    def test_a_script_that_is_run_imported_or_elsewhere_has_the_same_keys(self, tmp_path: Path) -> None:
        first, second = tmp_path / "shop", tmp_path / "another" / "shop"
        for folder in (first, second):
            folder.mkdir(parents=True)
            (folder / "flow.py").write_text(FLOW_FILE)
        told = self.run("flow.py", "first", folder=first)
        assert str(tmp_path) not in told[0]
        for command in (["flow.py"], ["-m", "flow"], [str(first / "flow.py")]):
            assert self.run(*command, "again", folder=first) == told
        assert self.run("-c", "import flow", "again", folder=first) == told
        assert self.run("flow.py", "again", folder=second) == told

    def test_what_belongs_to_a_package_has_the_name_that_it_is_imported_by(self, tmp_path: Path) -> None:
        package = tmp_path / "shop" / "jobs"
        package.mkdir(parents=True)
        for name in ("__init__", "flow", "__main__"):
            (package / f"{name}.py").write_text(FLOW_FILE if name == "flow" else "")
        assert self.run("-m", "jobs.flow", "1", folder=package.parent)[0] == "jobs.flow.extract"
        assert self.run("-c", "import jobs.flow", "1", folder=package.parent)[0] == "jobs.flow.extract"
        (package / "__init__.py").write_text(FLOW_FILE)
        assert self.run("-c", "import jobs", "1", folder=package.parent)[0] == "jobs.extract"

    def test_what_was_installed_and_what_has_no_file_have_their_module_s_name(self, tmp_path: Path) -> None:
        installed = tmp_path / "lib" / "site-packages"
        installed.mkdir(parents=True)
        (installed / "flow.py").write_text(FLOW_FILE)
        assert self.run("-c", "import flow", "1", folder=installed)[0] == "flow.extract"
        assert self.run("-c", FLOW_FILE, "1", folder=tmp_path)[0] == "__main__.extract"


def test_a_known_secret_does_not_stand_in_a_key(journal: Any) -> None:
    remember_secret("hunter2-correct-horse")
    storage = MemoryStorage()

    @task(
        cache_key_fn=lambda _, parameters: f"key-{parameters['text']}", result_storage=storage, result_serializer="json"
    )
    def ask(text: str) -> int:
        return len(text)

    assert (ask("hunter2-correct-horse"), ask("hunter2-correct-horse"), ask("plain")) == (21, 21, 5)
    ends = [journal.transitions[run.run_id][-1] for run in journal.created.values()]
    assert [end.state_name for end in ends] == ["Completed", "Cached", "Completed"]
    kept = b"".join(bytes(storage.get(info.path)) for info in storage.list())
    assert b"key-plain" in kept
    assert b"hunter2" not in kept
    assert "hunter2" not in "".join(str(end.cache_key) for end in ends)

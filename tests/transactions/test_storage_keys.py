"""`result_storage_key`: the key that a person gives a result."""

import asyncio
import json
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from entrepot import flow, task
from entrepot.blocks.system import Secret
from entrepot.cli.app import app
from entrepot.context import FlowRunContext, get_run_context
from entrepot.errors import CacheKeyError, OptionError
from entrepot.storage import LocalStorage, MemoryStorage
from entrepot.transactions import transaction


def keys(storage: Any) -> list[str]:
    """Return what the user called the results of a storage."""
    lines = [json.loads(bytes(storage.get(info.path)).partition(b"\n")[0]) for info in storage.list("records")]
    return sorted(line["parts"]["result_storage_key"] for line in lines)


def kept(template: str, storage: Any, **options: Any) -> Any:
    """Return a task that returns its argument, kept under a template."""

    def step(x: Any = None, secret: Any = None) -> Any:
        step.calls += 1  # type: ignore[attr-defined]
        return x

    step.calls = 0  # type: ignore[attr-defined]
    return task(step, result_storage_key=template, result_storage=storage, result_serializer="pickle", **options)


@pytest.mark.parametrize(
    ("template", "x", "text"),
    [
        ("report", None, "report"),
        ("report-{parameters[x]}", "2026-01-02", "report-2026-01-02"),
        ("{parameters[x]:%Y/%m}", date(2026, 1, 2), "2026/01"),
        ("{parameters[x][city]}", {"city": "서울"}, "서울"),
        ("{parameters[x][1]}", [1, 2], "2"),
        ("{parameters[x]!r:>6}", "a", "   'a'"),
        ("{parameters[x]:{parameters[x]}}", 7, "      7"),
        ("{task_run.task_name}-{task_run.run_count}", None, "step-1"),
        ("{task_run.parameters[x]}", 3, "3"),
        ("{{x}}", None, "{x}"),
    ],
)
def test_it_is_filled_in(template: str, x: object, text: str, storage: MemoryStorage) -> None:
    step = kept(template, storage)
    assert step(x) == x
    assert keys(storage) == [text]


def test_what_is_kept_under_it_is_used_again(storage: MemoryStorage) -> None:
    step = kept("report-{parameters[x]}", storage)
    assert [step(1), step(1), step(2)] == [1, 1, 2]
    assert step.fn.calls == 2
    assert step(1, return_state=True).is_cached()


def test_refresh_replaces_it(storage: MemoryStorage) -> None:
    step = kept("report", storage, refresh_cache=True)
    assert [step(1), step(2)] == [1, 2]
    assert keys(storage) == ["report"]
    assert kept("report", storage)(3) == 2


def test_tasks_do_not_share_it(storage: MemoryStorage) -> None:
    """In Prefect the key is a place, and the second task would get the first one's result."""

    @task(result_storage_key="report", result_storage=storage)
    def one() -> str:
        return "one"

    @task(result_storage_key="report", result_storage=storage)
    def two() -> str:
        return "two"

    assert [one(), two(), one()] == ["one", "two", "one"]
    assert keys(storage) == ["report", "report"]


def test_facts_of_the_runs_can_stand_in_it(storage: MemoryStorage) -> None:
    step = kept("{flow_run.flow_name}/{flow_run.parameters[day]}/{parameters[x]}/{flow_run.flow_version}", storage)

    @flow(version="7")
    def nightly(day: str) -> None:
        step.map([1, 2])

    nightly("monday")
    assert keys(storage) == ["nightly/monday/1/7", "nightly/monday/2/7"]


def test_names_and_ids_can_stand_in_it(storage: MemoryStorage) -> None:
    step = kept("{flow_run.name} {flow_run.id} {task_run.name} {task_run.id} {flow_run.root_flow_run_id}", storage)

    @flow
    def nightly() -> list[str]:
        context = get_run_context()
        step()
        assert isinstance(context, FlowRunContext)
        return [context.flow_run.name, context.flow_run.id]

    name, id_ = nightly()
    (text,) = keys(storage)
    assert text.startswith(f"{name} {id_} step-1 ")
    assert text.endswith(f" {id_}")


def test_flows_have_it_too(storage: MemoryStorage) -> None:
    calls = []

    @flow(result_storage_key="{flow_run.flow_name}-{parameters[day]}", result_storage=storage)
    def report(day: str) -> str:
        calls.append(day)
        return day

    assert [report("a"), report("a"), report("b")] == ["a", "a", "b"]
    assert calls == ["a", "b"]
    assert keys(storage) == ["report-a", "report-b"]


def test_async_tasks_have_it_too(storage: MemoryStorage) -> None:
    @task(result_storage_key="report-{parameters[x]}", result_storage=storage)
    async def step(x: int) -> int:
        return x

    assert asyncio.run(step(1)) == 1
    assert keys(storage) == ["report-1"]


def test_futures_stand_for_their_results(storage: MemoryStorage) -> None:
    step = kept("report-{parameters[x]}", storage)
    step.submit(task(lambda: "upstream").submit()).wait()
    assert keys(storage) == ["report-upstream"]


def test_inside_a_transaction_it_is_visible_at_its_end(storage: MemoryStorage) -> None:
    with transaction():
        kept("a-{parameters[x]}", storage)(1)
        kept("b-{parameters[x]}", storage)(1)
        assert list(storage.list("records")) == []
    assert keys(storage) == ["a-1", "b-1"]


@dataclass
class Plain:
    """Has a text of its own."""

    a: int


class Opaque:
    """Has none."""


class Broken:
    """Cannot be written."""

    def __str__(self) -> str:
        raise ZeroDivisionError("no text")


@pytest.mark.parametrize(
    ("template", "x", "why"),
    [
        ("{parameters[day]}", 1, "KeyError"),
        ("{parameters[x][day]}", {}, "KeyError"),
        ("{parameters[x].year}", 1, "AttributeError"),
        ("{parameters[x][0]}", [], "IndexError"),
        ("{parameters[x]:%Q9}", 1, "ValueError"),
        ("{parameters[x]!q}", 1, "ValueError"),
        ("{flow_run.name}", 1, "no flow around"),
        ("{task_run.colour}", 1, "AttributeError"),
        ("{parameters[x]}", Opaque(), "its address in memory"),
        ("{parameters[x]}", [Opaque()], "its address in memory"),
        ("{parameters[x]}", Broken(), "no text"),
        ("{parameters[x]}", SecretStr("hunter2"), "is a secret"),
        ("{parameters[x]!r}", [SecretStr("hunter2")], "is a secret"),
        ("{parameters[x][password]}", {"password": "hunter2"}, "is a secret"),
        ("{parameters[x]}", {"api_key": "hunter2"}, "is a secret"),
        ("{parameters[secret]}", 1, "is a secret"),
        ("{parameters}", 1, "is a secret"),
    ],
)
def test_a_field_that_cannot_be_filled_in_fails_the_run_before_its_work(
    template: str, x: object, why: str, storage: MemoryStorage
) -> None:
    step = kept(template, storage)
    with pytest.raises(CacheKeyError, match="nothing was run") as caught:
        step(x, "hunter2")
    field = template.strip("{}").split("!")[0].split(":")[0]
    message = str(caught.value)
    assert why in message
    assert repr(field) in message
    assert "hunter2" not in message
    assert step.fn.calls == 0
    assert list(storage.list()) == []


def test_a_parameter_that_is_annotated_as_a_secret_is_one(storage: MemoryStorage) -> None:
    @task(result_storage_key="{parameters[who]}", result_storage=storage)
    def step(who: SecretStr) -> int:
        return 1

    with pytest.raises(CacheKeyError, match="is a secret"):
        step("hunter2")  # type: ignore[arg-type]

    @flow
    def outer(who: SecretStr) -> None:
        kept("{flow_run.parameters[who]}", storage)()

    with pytest.raises(CacheKeyError, match="is a secret"):
        outer("hunter2")  # type: ignore[arg-type]


def test_of_a_flow_in_a_flow_its_own_secrets_count(storage: MemoryStorage) -> None:
    @flow(result_storage_key="{flow_run.parameters[who]}", result_storage=storage)
    def inner(who: str) -> str:
        return who

    @flow
    def outer(who: SecretStr) -> str:
        return inner("me")

    assert outer("hunter2") == "me"  # type: ignore[arg-type]
    assert keys(storage) == ["me"]

    @flow(result_storage_key="{flow_run.parameters[who]}", result_storage=storage)
    def secretive(who: SecretStr) -> None:
        pytest.fail("it ran")

    with pytest.raises(CacheKeyError, match="is a secret"):
        flow(lambda: secretive("hunter2"))()  # type: ignore[arg-type]


def test_the_value_of_a_secret_block_that_was_loaded_is_one_whatever_it_is_called(storage: MemoryStorage) -> None:
    Secret(value="hunter2-hunter2").save("password")
    loaded = Secret.load("password").get()
    with pytest.raises(CacheKeyError, match="is a secret") as caught:
        kept("report-{parameters[x]}", storage)(f"of {loaded}")
    assert "hunter2" not in str(caught.value)


def test_an_object_with_a_text_of_its_own_can_stand_in_it(storage: MemoryStorage) -> None:
    kept("{parameters[x]}", storage)(Plain(1))
    assert keys(storage) == ["Plain(a=1)"]


@pytest.mark.parametrize("x", ["", "\ud800"])
def test_a_key_that_is_none_is_refused(x: str, storage: MemoryStorage) -> None:
    with pytest.raises(CacheKeyError, match=r"result_storage_key of .* makes"):
        kept("{parameters[x]}", storage)(x)


@pytest.mark.parametrize("x", ["x" * 5000, "a\nb", "../../etc/passwd", "sha256:" + "0" * 64, " "])
def test_any_other_text_is_a_key(x: str, storage: MemoryStorage) -> None:
    step = kept("{parameters[x]}", storage)
    assert [step(x), step(x)] == [x, x]
    assert step.fn.calls == 1


def test_a_template_that_never_fits_is_refused_when_the_decorator_runs() -> None:
    with pytest.raises(OptionError, match="deployment"):
        task(lambda: 1, result_storage_key="{deployment.name}")


class TestForPeople:
    @pytest.fixture
    def folder(self, tmp_path: Any) -> str:
        storage = LocalStorage(tmp_path / "store")
        for template in ("report-2026", "report-2026-07", "other/thing"):
            task(lambda x: x, result_storage_key=template, result_storage=storage, result_serializer="json")(template)
        with transaction("load", storage) as txn:
            txn.stage("loaded")
        return str(tmp_path / "store")

    @pytest.mark.parametrize("wanted", ["report-2026", "report-2026-07", "other", "load"])
    def test_show_finds_it_by_what_they_called_it(self, folder: str, wanted: str) -> None:
        ran = CliRunner().invoke(app, ["result", "show", wanted, "--storage", folder, "--value"])
        assert ran.exit_code == 0, ran.output
        assert ran.stdout.strip("\n'\"").startswith(wanted)

    def test_more_than_one_is_said(self, folder: str) -> None:
        ran = CliRunner().invoke(app, ["result", "show", "report", "--storage", folder])
        assert ran.exit_code != 0

    def test_ls_lists_it(self, folder: str) -> None:
        ran = CliRunner().invoke(app, ["result", "ls", "--storage", folder, "--json"])
        assert "report-2026-07" in ran.stdout
        assert "transaction/load" in ran.stdout

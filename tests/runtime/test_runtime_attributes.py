"""`entrepot.runtime`: what code can read of the run that it is part of."""

import asyncio
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from entrepot import runtime
from entrepot.errors import ConfigurationError
from entrepot.flows import flow
from entrepot.runtime import deployment, flow_run, task_run
from entrepot.tasks import task

EMPTY: dict[str, dict[str, Any]] = {
    "flow_run": {
        "id": None,
        "name": None,
        "tags": [],
        "parameters": {},
        "flow_name": None,
        "flow_version": None,
        "run_count": 0,
        "parent_flow_run_id": None,
        "root_flow_run_id": None,
        "parent_deployment_id": None,
        "job_variables": {},
        "api_url": None,
        "ui_url": None,
    },
    "task_run": {
        "id": None,
        "name": None,
        "tags": [],
        "parameters": {},
        "task_name": None,
        "run_count": 0,
        "api_url": None,
        "ui_url": None,
    },
    "deployment": {"id": None, "name": None, "version": None, "flow_run_id": None, "parameters": {}},
}


def seen(module: ModuleType) -> dict[str, Any]:
    """Return all attributes of a module, as they are now."""
    return {name: getattr(module, name) for name in dir(module)}


@pytest.mark.parametrize("module", [flow_run, task_run, deployment], ids=lambda module: module.__name__)
def test_outside_runs_everything_is_empty(module: ModuleType) -> None:
    found = seen(module)
    found.pop("scheduled_start_time", None)
    assert found == EMPTY[module.__name__.rpartition(".")[2]]
    assert sorted(module.__all__) == dir(module)


def test_outside_flows_the_start_time_is_now() -> None:
    before = datetime.now(UTC)
    assert before <= flow_run.scheduled_start_time <= datetime.now(UTC)


class TestInAFlow:
    def test_it_sees_its_own_run_with_validated_parameters(self) -> None:
        @flow(name="etl", version="1.2", tags=["b", "a"])
        def etl(n: int, city: str = "Oslo") -> dict[str, Any]:
            return seen(flow_run)

        found = etl("3")  # type: ignore[arg-type]
        assert found["parameters"] == {"n": 3, "city": "Oslo"}
        assert (found["flow_name"], found["flow_version"], found["run_count"]) == ("etl", "1.2", 1)
        assert found["tags"] == ["a", "b"]
        assert found["root_flow_run_id"] == found["id"]
        assert found["parent_flow_run_id"] is None
        assert found["name"]
        assert found["scheduled_start_time"].tzinfo is not None

    def test_an_async_flow_sees_its_own(self) -> None:
        @flow
        async def one(n: int) -> tuple[str | None, Any]:
            await asyncio.sleep(0)
            return flow_run.name, flow_run.parameters["n"]

        async def both() -> list[tuple[str | None, Any]]:
            return list(await asyncio.gather(one(1), one(2)))

        (first, n), (second, m) = asyncio.run(both())
        assert first != second
        assert (n, m) == (1, 2)

    def test_it_counts_attempts(self) -> None:
        counts = []

        @flow(retries=1)
        def flaky() -> None:
            counts.append(flow_run.run_count)
            if len(counts) == 1:
                raise ValueError

        flaky()
        assert counts == [1, 2]

    def test_what_it_gives_away_cannot_change_the_run(self) -> None:
        @flow(tags=["x"])
        def own(n: int) -> tuple[Any, Any]:
            flow_run.parameters.clear()  # type: ignore[attr-defined]
            flow_run.tags.clear()  # type: ignore[attr-defined]
            return flow_run.parameters, flow_run.tags

        assert own(1) == ({"n": 1}, ["x"])

    def test_a_subflow_knows_what_is_around_it(self) -> None:
        @flow
        def leaf() -> dict[str, Any]:
            return seen(flow_run)

        @task
        def between() -> dict[str, Any]:
            return leaf()

        @flow
        def middle() -> tuple[Any, ...]:
            return flow_run.id, flow_run.parent_flow_run_id, flow_run.root_flow_run_id, between()

        @flow
        def top() -> tuple[Any, ...]:
            return flow_run.id, middle(), flow_run.id

        own, (middle_id, parent, root, inner), after = top()
        assert own == parent == root == after
        assert inner["parent_flow_run_id"] == middle_id
        assert inner["root_flow_run_id"] == own


class TestInATask:
    def test_it_sees_its_own_run_and_the_flow_around_it(self) -> None:
        @task(tags=["slow"])
        def work(n: int, m: int = 2) -> tuple[dict[str, Any], dict[str, Any]]:
            return seen(task_run), seen(flow_run)

        @flow
        def around() -> Any:
            return work.submit(1).result(), flow_run.id

        (own, outer), flow_id = around()
        assert own["name"] == "work-1"
        assert own["task_name"] == "work"
        assert own["parameters"] == {"n": 1, "m": 2}
        assert (own["tags"], own["run_count"]) == (["slow"], 1)
        assert outer["id"] == flow_id

    def test_outside_flows_there_is_no_flow_run(self) -> None:
        @task
        async def work() -> tuple[str | None, str | None]:
            return task_run.task_name, flow_run.id

        assert asyncio.run(work()) == ("work", None)

    def test_a_flow_inside_a_task_is_in_no_task(self) -> None:
        @flow
        def inner() -> str | None:
            return task_run.id

        @task
        def outer() -> tuple[str | None, str | None]:
            return task_run.id, inner()

        own, inside = outer()
        assert own is not None
        assert inside is None


class TestVariables:
    @pytest.mark.parametrize(
        ("module", "name", "text", "value"),
        [
            ("flow_run", "name", "nightly", "nightly"),
            ("flow_run", "run_count", "7", 7),
            ("flow_run", "tags", "b, a,,", ["a", "b"]),
            ("flow_run", "parameters", '{"n": 1}', {"n": 1}),
            ("flow_run", "scheduled_start_time", "2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
            (
                "flow_run",
                "scheduled_start_time",
                "2026-01-02T03:04:05+02:00",
                datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC),
            ),
            ("task_run", "id", "x", "x"),
            ("deployment", "name", "prod", "prod"),
        ],
    )
    def test_one_stands_in_with_the_right_type(
        self, module: str, name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(f"ENTREPOT__RUNTIME__{module.upper()}__{name.upper()}", text)
        assert getattr(getattr(runtime, module), name) == value

        @flow
        def inside() -> Any:
            return getattr(getattr(runtime, module), name)

        assert inside() == value

    @pytest.mark.parametrize(
        ("name", "text"),
        [("run_count", "many"), ("parameters", "[1]"), ("parameters", "{"), ("scheduled_start_time", "soon")],
    )
    def test_one_of_another_type_is_refused(self, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        variable = f"ENTREPOT__RUNTIME__FLOW_RUN__{name.upper()}"
        monkeypatch.setenv(variable, text)
        with pytest.raises(ConfigurationError, match=variable):
            getattr(flow_run, name)


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(AttributeError, match="did you mean 'flow_name'"):
        flow_run.flow_nme  # noqa: B018
    with pytest.raises(ImportError):
        from entrepot.runtime.task_run import flow_name  # noqa: F401, PLC0415


def test_a_name_can_be_imported() -> None:
    @flow
    def own() -> tuple[Any, Any]:
        from entrepot.runtime.flow_run import id as imported  # noqa: PLC0415

        return imported, flow_run.id

    imported, now = own()
    assert imported == now is not None

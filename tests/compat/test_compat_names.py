"""The table of Prefect's names: it judges every one of them, what it promises is there, and the page says the same."""

import json
from collections.abc import Iterator

import migration_page
import pytest
from prefect_names import NAMES

from entrepot.compat.names import Names, Verdict, names, resolve
from entrepot.flows import FlowOptions
from entrepot.settings import SETTINGS
from entrepot.tasks import TaskOptions

LISTED: dict[str, dict[str, str]] = json.loads(NAMES.read_text(encoding="utf-8"))


def verdicts() -> Iterator[Verdict]:
    for table in names().tables().values():
        yield from table.values()


TARGETS = sorted({verdict.target for verdict in verdicts() if verdict.target})


def test_the_versions_are_those_of_the_list() -> None:
    assert tuple(LISTED) == names().versions


@pytest.mark.parametrize("version", LISTED)
def test_every_public_name_is_judged(version: str) -> None:
    tables = names().tables()
    missing = [
        f"{module}.{name}"
        for module, found in LISTED[version].items()
        for name in found.split()
        if name not in tables.get(module, ())
        and names().rest_of(module) is None
        and not names().serves(f"{module}.{name}")
    ]
    assert missing == []


def test_the_table_names_nothing_that_prefect_does_not_have() -> None:
    """But for a few names that much code takes from a module that has only imported them."""
    known = {
        f"{module}.{name}" for modules in LISTED.values() for module, found in modules.items() for name in found.split()
    }
    imported = {
        "prefect.concurrency.asyncio": {"AcquireConcurrencySlotTimeoutError", "ConcurrencySlotAcquisitionError"},
        "prefect.concurrency.sync": {"AcquireConcurrencySlotTimeoutError", "ConcurrencySlotAcquisitionError"},
        "prefect.deployments": {"Deployment", "RunnerDeployment"},
        "prefect.server.schemas.schedules": {"CronSchedule", "IntervalSchedule", "RRuleSchedule"},
        "prefect.results": {"ResultRecord", "ResultRecordMetadata"},
        "prefect.states": {"State", "StateType"},
    }
    strange = {
        verdict.name
        for verdict in verdicts()
        if verdict.name not in known
        and verdict.name.rpartition(".")[2] not in imported.get(verdict.name.rpartition(".")[0], ())
    }
    assert strange == set()


@pytest.mark.parametrize("target", TARGETS)
def test_what_stands_for_a_name_is_there(target: str) -> None:
    resolve(target)


@pytest.mark.parametrize(("decorator", "options"), [("flow", FlowOptions), ("task", TaskOptions)])
def test_options_that_are_the_same_are_options(decorator: str, options: type) -> None:
    table = names().tables()[f"prefect.{decorator}()"]
    ours = options.__optional_keys__  # type: ignore[attr-defined]
    assert {name for name, verdict in table.items() if verdict.works} <= ours
    assert not {name for name, verdict in table.items() if not verdict.works} & ours


@pytest.mark.parametrize(
    ("table", "ours"),
    [
        ("prefect.flows.Flow", "entrepot.flows:Flow"),
        ("prefect.tasks.Task", "entrepot.tasks:Task"),
        ("prefect.futures.PrefectFuture", "entrepot.futures:EntrepotFuture"),
        ("prefect.futures.PrefectFutureList", "entrepot.futures:FutureList"),
        ("prefect.client.schemas.objects.State", "entrepot.states:State"),
        ("prefect.blocks.core.Block", "entrepot.blocks.core:Block"),
        ("prefect.transactions.Transaction", "entrepot.transactions:Transaction"),
        ("prefect.variables.Variable", "entrepot.variables:Variable"),
    ],
)
def test_members_that_are_the_same_are_members(table: str, ours: str) -> None:
    cls = resolve(ours)
    same = {name for name, verdict in names().tables()[table].items() if verdict.status == "same"}
    assert {name for name in same if not hasattr(cls, name) and name not in cls.__annotations__} == set()


def test_variables_have_counterparts_that_are_settings() -> None:
    assert set(names().variables.values()) <= {setting.variable for setting in SETTINGS.values()}


def test_every_note_says_something_for_people() -> None:
    for verdict in verdicts():
        assert verdict.note or verdict.status == "same", verdict
        assert not verdict.note.endswith("."), verdict


def test_the_page_is_what_the_table_says() -> None:
    assert migration_page.PAGE.read_text(encoding="utf-8") == migration_page.page(), (
        "the table has changed: run python tools/migration_page.py"
    )


# --- what is said of a name -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name", "status", "target"),
    [
        ("prefect", "flow", "same", "entrepot:flow"),
        ("prefect.futures", "PrefectFuture", "different", "entrepot.futures:EntrepotFuture"),
        ("prefect.exceptions", "ObjectNotFound", "different", "builtins:LookupError"),
        ("prefect.runtime", "flow_run", "same", "entrepot.runtime:flow_run"),
        ("prefect", "serve", "absent", ""),
        ("prefect.server.api.server", "create_app", "absent", ""),
        ("prefect", "workers", "absent", ""),
        ("prefect.workers", "base", "absent", ""),
        ("prefect._internal.concurrency", "api", "absent", ""),
        ("prefect.blocks", "_private", "absent", ""),
    ],
)
def test_a_name_is_judged(module: str, name: str, status: str, target: str) -> None:
    verdict = names().judge(module, name)
    assert (verdict.name, verdict.status, verdict.target) == (f"{module}.{name}", status, target)


def test_a_name_that_a_module_has_only_imported_is_that_of_its_home() -> None:
    assert names().judge("prefect.task_runners", "PrefectFuture").target == "entrepot.futures:EntrepotFuture"
    assert names().judge("prefect.flows", "State").target == "entrepot:State"
    assert names().judge("prefect.tasks", "get_client").status == "absent"
    assert names().judge("prefect.tasks", "get").status == "different"  # of one module only


def test_what_prefect_does_not_have_is_unknown_and_the_nearest_name_is_given() -> None:
    verdict = names().judge("prefect.states", "Complete")
    assert (verdict.status, verdict.works) == ("unknown", False)
    assert verdict.note == "Prefect 2.20.27 and 3.7.2 have no such name; did you mean 'Completed'?"
    assert "'states'" in names().judge("prefect", "state_s").note


@pytest.mark.parametrize(
    ("path", "name", "status"),
    [
        ("prefect.runtime", "prefect.runtime", "same"),
        ("prefect.runtime.flow_run.id", "prefect.runtime.flow_run.id", "same"),
        ("prefect.flow.from_source", "prefect.flows.Flow.from_source", "absent"),
        ("prefect.flow.name.upper", "prefect.flows.Flow.name", "same"),
        ("prefect.states.Completed.anything", "prefect.states.Completed", "same"),
        ("prefect.server.api.runs", "prefect.server.api", "absent"),
        ("prefects.flow", "prefects.flow", "unknown"),
    ],
)
def test_a_path_is_judged_by_its_first_part_that_says_something(path: str, name: str, status: str) -> None:
    verdict = names().judge_path(path)
    assert (verdict.name, verdict.status) == (name, status)


def test_a_small_table() -> None:
    table = Names(
        {
            "versions": ["1"],
            "reasons": {"why": ["it is so", "later"], "never": ["it is so", ""]},
            "packages": {},
            "variables": {},
            "p": {"ours": "q", "same": "a b", "different": {"c": ["q:d", "a note"]}, "absent": {"why": "e"}},
            "p.x": {"instead": {"f": "`g`"}, "rest": "never"},
            "p.y": {"rest": "why"},
        }
    )
    assert table.working("p") == ["a", "b", "c"]
    assert [table.serves(module) for module in ("p", "p.x", "p.y", "p.z", "q")] == [True, True, False, False, False]
    assert table.inside("p") == ["x"]
    assert table.judge("p", "e").note == "it is so; later"
    assert table.judge("p.x", "f").note == "instead: `g`"
    assert table.judge("p.x", "other").note == table.judge("p.x.y", "other").note == "it is so; not planned"
    assert table.judge("p.y.z", "other").note == "it is so; later"
    assert table.judge("p", "nothing").status == "unknown"

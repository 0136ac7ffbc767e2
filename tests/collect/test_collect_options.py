"""`keep=` and `keep_last=` on flows and tasks: what records say, and what happens when a run ends."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from entrepot import Lazy, flow, home, task
from entrepot._amounts import SPANS, seconds_of
from entrepot.cache_policies import INPUTS
from entrepot.errors import DamagedResultError, MissingResultError, OptionError
from entrepot.results.store import ResultStore
from entrepot.storage import LocalStorage
from entrepot.testing import FaultyStorage


def store() -> ResultStore:
    return ResultStore(home.results_storage(), ring=home.ring)


def notes() -> dict[str, dict[str, str]]:
    """Return what the record of each task says of how long it is kept."""
    found = {}
    for one in store().records():
        assert one.record is not None
        about = one.record.about
        found[one.record.task["name"]] = {name: about[name] for name in ("keep", "keep_last") if name in about}
    return found


def payloads() -> list[str]:
    return [info.path for info in home.results_storage().list("payloads")]


def test_records_say_how_long_they_are_kept() -> None:
    @task(keep="7d", keep_last=20)
    def week() -> int:
        return 1

    @task(keep=timedelta(hours=2))
    def hours() -> int:
        return 2

    @task(persist_result=True)
    def ever() -> int:
        return 3

    week()
    hours()
    ever()
    assert notes() == {"week": {"keep": "604800", "keep_last": "20"}, "hours": {"keep": "7200"}, "ever": {}}


def test_what_a_flow_says_holds_for_what_is_inside_and_does_not_say_otherwise() -> None:
    @task
    def silent() -> int:
        return 1

    @task(keep="1h")
    def own() -> int:
        return 2

    @task(persist_result=False)
    def unkept() -> int:
        return 3

    @flow(keep_last=5)
    def inner() -> int:
        return silent()

    @flow(keep="7d")
    def outer() -> int:
        return inner() + own() + unkept()

    assert outer() == 6
    assert notes() == {
        "silent": {"keep": "604800", "keep_last": "5"},
        "inner": {"keep": "604800", "keep_last": "5"},
        "own": {"keep": "3600"},
        "outer": {"keep": "604800"},
    }


@pytest.mark.parametrize("keep", ["", "soon", "7", "-1d", "0s", 7, True, timedelta(0), timedelta(-1)])
def test_a_keep_that_is_no_span_is_refused_when_the_task_is_made(keep: Any) -> None:
    with pytest.raises(OptionError, match=f"keep is how long results are kept, longer than nothing: {SPANS};"):
        task(keep=keep)(print)


@pytest.mark.parametrize("span", SPANS.split(", "))
def test_a_keep_is_any_span_that_commands_take(span: str) -> None:
    task(keep=span, name="kept")(lambda: 1)()
    assert notes()["kept"] == {"keep": str(seconds_of(span))}


@pytest.mark.parametrize("last", [0, -1, True, "3", 1.5])
def test_a_keep_last_that_is_no_number_is_refused(last: Any) -> None:
    with pytest.raises(OptionError, match="keep_last is how many"):
        flow(keep_last=last)(print)


@pytest.mark.parametrize("options", [{"keep": "7d"}, {"keep_last": 2}])
def test_keeping_for_long_and_not_keeping_contradict_each_other(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="persist_result=False"):
        task(persist_result=False, **options)(print)

    @task(**options)
    def made() -> int:
        return 1

    made.with_options(persist_result=False)()
    assert notes() == {}


def test_results_that_are_kept_until_the_run_ends_are_gone_when_it_is_completed() -> None:
    seen: list[int] = []

    @task
    def part(number: int) -> str:
        return str(number) * 20_000

    @flow(keep="run")
    def inner(number: int) -> str:
        return part(number)

    @flow(keep="run")
    def outer() -> int:
        size = sum(len(inner(number)) for number in range(3))
        seen.extend([len(notes()), len(payloads())])
        return size

    assert outer() == 60_000
    assert seen == [2, 6]
    assert (notes(), payloads()) == ({}, [])


def test_one_that_the_flow_returns_is_read_before_it_is_removed() -> None:
    @task
    def part(number: int) -> str:
        return str(number) * 20_000

    @flow(keep="run")
    def whole() -> Lazy[str]:
        return part.submit(1).result(lazy=True)

    assert whole(return_state=True).result() == "1" * 20_000
    assert (notes(), payloads()) == ({}, [])


def test_a_handle_that_outlives_the_flow_says_that_it_was_kept_until_then() -> None:
    handles: list[Lazy[str]] = []

    @task
    def part(number: int) -> str:
        return str(number) * 20_000

    @flow(keep="run")
    def whole() -> None:
        handles.append(part.submit(1).result(lazy=True))
        assert handles[0].get() == "1" * 20_000

    whole()
    (found,) = handles
    with pytest.raises(MissingResultError, match=r"'part' \(run .*keep=\"run\"\), and was removed then"):
        found.get()


def test_where_it_was_altered_it_is_damaged_all_the_same(tmp_path: Path) -> None:
    @task
    def part() -> str:
        return "1" * 20_000

    @flow(keep="run", result_storage=LocalStorage(tmp_path))
    def whole() -> None:
        found: Lazy[str] = part.submit().result(lazy=True)
        (payload,) = tmp_path.glob("payloads/*/*")
        payload.write_bytes(b"2" * payload.stat().st_size)
        with pytest.raises(DamagedResultError):
            found.get()

    whole()


def test_a_failed_run_keeps_them_for_who_resumes_it_and_the_completed_one_removes_them() -> None:
    calls: list[int] = []
    broken = [True]

    @task(cache_policy=INPUTS)
    def part(number: int) -> int:
        calls.append(number)
        return number

    @flow(keep="run")
    def whole() -> int:
        total = part(1) + part(2)
        if broken:
            raise RuntimeError("later")
        return total

    state = whole(return_state=True)
    assert state.is_failed()
    assert len(list(store().records())) == 2
    broken.clear()
    assert whole() == 3
    assert (calls, notes()) == ([1, 2], {})  # they were found, and are not needed any more


def test_what_others_keep_of_the_same_value_stays() -> None:
    @task
    def passing() -> str:
        return "v" * 20_000

    @task(keep="7d")
    def lasting() -> str:
        return "v" * 20_000

    @flow(keep="run")
    def whole() -> None:
        lasting()
        passing()

    whole()
    assert list(notes()) == ["lasting"]
    assert lasting() == "v" * 20_000
    assert len(payloads()) == 1


def test_where_they_cannot_be_removed_the_run_is_completed_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Stubborn(FaultyStorage):
        pass

    storage = Stubborn(LocalStorage(tmp_path), fail_at=1, on={"delete"})

    @task(result_storage=storage)
    def part() -> int:
        return 1

    @flow(keep="run", result_storage=storage)
    def whole() -> int:
        return part()

    assert whole() == 1
    assert storage.failed
    assert "a collection removes them after a week" in caplog.text

"""What the state of a run says of its look-up: a hit and whose, a miss and why, and what was not kept."""

import copy
import gc
import pickle
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from entrepot import flow, home, settings, task
from entrepot.cache_policies import INPUTS, NO_CACHE
from entrepot.crypto.keyring import Keyring
from entrepot.engine.world import World, use_world
from entrepot.results.store import ResultStore
from entrepot.runs import NULL_RECORDER
from entrepot.serializers import get_serializer
from entrepot.storage import LocalStorage, MemoryStorage
from entrepot.testing import FaultyStorage, FrozenClock


@pytest.fixture
def clock() -> Iterator[FrozenClock]:
    clock = FrozenClock()
    with use_world(World(settings.current(), NULL_RECORDER, clock)):
        yield clock


def double(x: Any) -> Any:
    return x * 2


def test_a_hit_names_the_run_that_computed_it(entrepot_home: Path) -> None:
    work = task(double, cache_policy=INPUTS)
    flow(name="nightly")(lambda: work(1))()
    told = work(1, return_state=True).cache_explanation
    assert told is not None
    assert told.outcome == "hit"
    assert told.run["name"] == "double-1"
    assert told.run["id"] in told.why
    assert told.run["flow_run_name"]
    assert told.created is not None
    assert told.location.startswith(str(entrepot_home / "results" / "records"))
    assert told.nearest is None


def test_the_first_run_of_all_has_nothing_to_be_compared_with() -> None:
    told = task(double, cache_policy=INPUTS)(1, return_state=True).cache_explanation
    assert told is not None
    assert (told.outcome, told.nearest, told.differences) == ("miss", None, ())


def test_without_a_history_the_store_is_looked_through(clock: FrozenClock) -> None:
    work = task(double, cache_policy=INPUTS)
    work(1)
    clock.advance(1)
    told = work(2, return_state=True).cache_explanation
    assert told is not None
    assert [str(one) for one in told.differences] == ["input x differs"]


def test_an_expired_result_says_since_when(clock: FrozenClock) -> None:
    work = task(double, cache_policy=INPUTS, cache_expiration=timedelta(hours=1))
    work(1)
    clock.advance(timedelta(hours=2))
    told = work(1, return_state=True).cache_explanation
    assert told is not None
    assert (told.outcome, told.why) == ("expired", "expired at 2026-01-01T01:00:00+00:00")


@pytest.mark.parametrize("folder", ["records", "payloads"])
def test_a_damaged_result_says_where_the_evidence_is(entrepot_home: Path, folder: str) -> None:
    work = task(double, cache_policy=INPUTS)
    work("a" * 10_000)
    (spoilt,) = (entrepot_home / "results" / folder).rglob("*.*")
    spoilt.write_bytes(b"spoilt" + spoilt.read_bytes()[6:])
    told = work("a" * 10_000, return_state=True).cache_explanation
    assert told is not None
    assert told.outcome == "damaged"
    kept = Path(told.why.rpartition(" kept in ")[2])
    assert kept.read_bytes().startswith(b"spoilt")


def test_a_refresh_says_so() -> None:
    work = task(double, cache_policy=INPUTS)
    work(1)
    told = work.with_options(refresh_cache=True)(1, return_state=True).cache_explanation
    assert told is not None
    assert (told.outcome, told.why) == ("refreshed", "refresh_cache asks for a new result")


def test_a_result_under_a_foreign_key_says_which() -> None:
    storage, other = MemoryStorage(), Keyring.generate()
    work = task(double, cache_policy=INPUTS, result_storage=storage)
    key = work(1, return_state=True).cache_explanation.key
    for info in list(storage.list()):
        storage.delete(info.path)
    ResultStore(storage, ring=other).write(key, 2, serializer=get_serializer("json"), parts={}, task={}, run={})
    told = work(1, return_state=True).cache_explanation
    assert told is not None
    assert told.outcome == "unknown key"
    assert other.primary("result").id in told.why


def test_an_outage_says_so() -> None:
    work = task(double, cache_policy=INPUTS, result_storage=FaultyStorage(MemoryStorage(), fail_at=1))
    told = work(1, return_state=True).cache_explanation
    assert told is not None
    assert told.outcome == "unreachable"


def test_an_argument_without_an_identity_says_so() -> None:
    told = task(double, cache_policy=INPUTS)(iter("a"), return_state=True).cache_explanation
    assert told is not None
    assert told.outcome == "failed"
    assert "'x'" in told.why


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"cache_policy": NO_CACHE}, "its cache policy is NO_CACHE, so no other run may use its result"),
        ({"cache_key_fn": lambda: None}, "its cache_key_fn returned None, so no other run may use its result"),
    ],
)
def test_a_call_without_a_key_says_why_it_has_none(options: dict[str, Any], expected: str) -> None:
    told = task(double, persist_result=True, **options)(1, return_state=True).cache_explanation
    assert told is not None
    assert (told.outcome, told.why) == ("not cached", expected)


def test_a_result_whose_input_changed_says_that_it_is_not_kept() -> None:
    @task(cache_policy=INPUTS)
    def work(rows: list[int]) -> int:
        rows.append(1)
        return 1

    told = work([], return_state=True).cache_explanation
    assert told is not None
    assert (told.outcome, told.why) == ("not kept", "its parameter 'rows' changed after the cache key was computed")


def test_a_failed_run_is_explained_by_its_key_though_no_record_holds_it() -> None:
    @task(cache_policy=INPUTS)
    def work(x: int) -> int:
        return 1 // x

    work(1)
    told = work(0, return_state=True).cache_explanation
    assert told is not None
    assert told.outcome == "miss"
    assert [one.path for one in told.differences] == ["x"]


def test_where_nothing_is_kept_there_is_nothing_to_explain() -> None:
    assert task(double)(1, return_state=True).cache_explanation is None


def test_an_explanation_stays_in_its_process_and_with_its_state() -> None:
    state = task(double, cache_policy=INPUTS)(1, return_state=True)
    assert state.cache_explanation is not None
    assert pickle.loads(pickle.dumps(state)).cache_explanation is None
    assert copy.copy(state) == state


def test_what_a_state_holds_for_it_leads_to_no_argument_and_no_result() -> None:
    class Rows(list[int]):
        pass

    work = task(lambda rows: rows * 2, cache_policy=INPUTS, result_serializer="pickle")
    given = [Rows([1])]
    state = work(Rows(given[0]), return_state=True)
    held = state._account
    seen: set[int] = set()
    rest: list[Any] = [held.parts, held.hit, held.why, held.key, held.task]
    while rest:
        one = rest.pop()
        if id(one) not in seen:
            seen.add(id(one))
            assert not isinstance(one, Rows)
            rest.extend(gc.get_referents(one))
    assert held.parts is None
    assert sys.getsizeof(held) < 200


def test_a_long_reason_is_kept_short_and_readable(tmp_path: Path) -> None:
    folder = tmp_path / ("long-" * 40) / ("long-" * 40)
    work = task(double, cache_policy=INPUTS, result_storage=str(folder))
    work(1)
    (spoilt,) = (folder / "records").rglob("*.json")
    spoilt.write_bytes(b"spoilt")
    work(1)
    (found,) = ResultStore(LocalStorage(folder), ring=home.ring).records()
    assert found.record is not None
    assert found.record.about["because"].startswith("damaged: ")
    assert found.record.about["because"].endswith("...")


def test_what_is_kept_says_flow_tags_and_why_it_was_computed() -> None:
    work = task(double, cache_policy=INPUTS, tags=["a", "b"])
    flow(name="nightly")(lambda: work(1))()
    work.with_options(refresh_cache=True)(2)
    store = ResultStore(home.results_storage(), ring=home.ring)
    records = [found.record for found in store.records() if found.record is not None]
    assert [record.about for record in sorted(records, key=lambda record: "flow" in record.about)] == [
        {"because": "refreshed: refresh_cache asks for a new result", "tag:a": "", "tag:b": ""},
        {"flow": "nightly", "tag:a": "", "tag:b": ""},
    ]


def test_a_result_that_nobody_asked_to_be_found_says_that_an_input_has_no_identity() -> None:
    told: list[Any] = []

    @flow(persist_result=True)
    def around() -> None:
        told.append(task(lambda x: 1)(iter("a"), return_state=True).cache_explanation)

    around()
    assert told[0].outcome == "not cached"
    assert "one of its inputs has no stable identity" in told[0].why

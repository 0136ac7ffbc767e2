"""A store that allows only some serializers: for writing and for reading."""

import threading
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest

from entrepot import task
from entrepot.errors import OptionError, RefusedSerializerError, SerializationError, UnknownNameError
from entrepot.results.lookup import Outcome
from entrepot.results.store import ResultStore
from entrepot.storage.memory import MemoryStorage
from entrepot_test_results import RING, Kept, Wrapped

SAFE = frozenset({"json", "parquet", "npy"})


@pytest.mark.parametrize(
    ("value", "name", "ending"),
    [
        ([1, {"a": None}], "json", None),
        (list(range(5000)), "json", "json"),
        (bytes(10_000), "bytes", "bin"),
        (np.arange(5000), "npy", "npy"),
        (pd.DataFrame({"a": np.random.default_rng(0).random(5000)}), "parquet", "parquet"),
        ({1, 2}, "pickle", None),
        (OrderedDict.fromkeys(range(5000)), "pickle", "pkl"),
    ],
)
def test_the_record_names_what_was_picked_and_the_payload_ends_so(value: object, name: str, ending: str | None) -> None:
    kept = Kept()
    record = kept.write("key", value, "auto")
    assert record.serializer == name
    assert (None if record.payload is None else record.payload.rpartition(".")[2]) == ending
    found = kept.store.fetch("key")
    assert found.outcome is Outcome.HIT
    assert type(found.value) is type(value)


def test_a_small_value_stays_readable_inside_the_record() -> None:
    kept = Kept()
    assert kept.write("key", {"city": "서울"}, "auto").value == '{"city":"서울"}'


def test_compressed_auto_names_both() -> None:
    kept = Kept()
    record = kept.write("key", list(range(50_000)), "compressed/auto")
    assert (record.serializer, record.payload and record.payload[-9:]) == ("compressed/json", ".json.zst")
    assert kept.store.fetch("key").value == list(range(50_000))


def test_nothing_is_pickled_where_pickle_is_not_allowed() -> None:
    kept = Kept(allow=SAFE)
    assert kept.write("shared", [[1]] * 2, "auto").serializer == "json"
    assert kept.write("set", {1, 2}, "auto").serializer == "json"
    assert kept.write("array", np.arange(3), "auto").serializer == "npy"
    assert kept.store.fetch("set").value == {1, 2}


@pytest.mark.parametrize("value", [{"a": [1, threading.Lock()]}, {"a": [1, OrderedDict()]}])
def test_what_only_pickle_could_write_is_refused_by_path_and_type_before_the_store_is_touched(value: object) -> None:
    storage = Wrapped(MemoryStorage())
    with pytest.raises(
        SerializationError, match=r"value\['a'\]\[1\], a (_thread.lock|collections.OrderedDict)"
    ) as caught:
        Kept(storage, allow=SAFE).write("key", value, "auto")
    assert caught.value.__notes__ == ["results here may only be written as json, npy, parquet"]
    assert not storage.calls


@pytest.mark.parametrize("name", ["pickle", "compressed/pickle", "arrow"])
def test_a_serializer_that_is_named_and_not_allowed_writes_nothing(name: str) -> None:
    storage = Wrapped(MemoryStorage())
    with pytest.raises(RefusedSerializerError, match="not one that this store allows; allowed: json, npy, parquet"):
        Kept(storage, allow=SAFE).write("key", [1], name)
    assert not storage.calls


@pytest.mark.parametrize("name", ["pickle", "compressed/pickle"])
def test_what_others_pickled_is_not_read(name: str) -> None:
    storage = MemoryStorage()
    Kept(storage).write("key", [1], name)
    with pytest.raises(RefusedSerializerError, match="which this reader does not allow"):
        Kept(storage, allow=SAFE).store.fetch("key")


def test_the_compressed_form_of_what_is_allowed_is_allowed() -> None:
    kept = Kept(allow=SAFE)
    kept.write("key", [1], "compressed/json")
    assert kept.store.fetch("key").value == [1]


@pytest.mark.parametrize("allow", ["json", [1], {"json", None}])
def test_what_is_no_set_of_names_is_refused(allow: object) -> None:
    with pytest.raises(OptionError, match="no set of names"):
        ResultStore(MemoryStorage(), ring=RING, allow=allow)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("jsn", "did you mean 'json'"), ("compressed/parket", "did you mean 'parquet'"), ("Pickle", "'pickle'")],
)
def test_a_name_that_no_serializer_has_is_refused_with_the_nearest_before_anything_is_written(
    name: str, nearest: str
) -> None:
    storage = Wrapped(MemoryStorage())
    with pytest.raises(UnknownNameError, match=f"'{name}' is allowed for results .*{nearest}"):
        Kept(storage, allow=frozenset({"npy", name})).write("key", [1], "auto")
    assert not storage.calls


def test_auto_is_no_format_that_could_be_allowed() -> None:
    with pytest.raises(UnknownNameError, match="picks among those that are allowed"):
        Kept(allow=frozenset({"auto"})).write("key", [1], "auto")


def test_a_misspelt_name_is_found_before_the_work_and_where_nothing_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = MemoryStorage()
    Kept(storage).write("key", [1], "json")
    with pytest.raises(UnknownNameError, match="did you mean 'json'"):
        Kept(storage, allow=frozenset({"jsn"})).store.fetch("key")
    monkeypatch.setenv("ENTREPOT_RESULTS_ALLOW", "jsn,parquet")
    ran = []

    @task(persist_result=True)
    def work() -> int:
        ran.append(1)
        return 1

    with pytest.raises(UnknownNameError, match="results_allow"):
        work()
    assert not ran


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (pd.DataFrame({"a": [1], "b": [object()]}), r"value\.columns\[1\]"),
        (pd.DataFrame({"a": [1]}, index=[object()]), r"value\.index"),
        (np.array([None]), "value, an array of object"),
        ({"a": [np.array([1])]}, r"value\['a'\]\[0\], a numpy.ndarray"),
        ([1, {2, object()}], r"value\[1\]"),
    ],
)
@pytest.mark.parametrize("allow", [SAFE, SAFE | {"arrow"}])
def test_errors_name_the_part_and_advise_only_what_is_allowed(value: object, place: str, allow: frozenset[str]) -> None:
    with pytest.raises(SerializationError, match=place) as caught:
        Kept(allow=allow).write("key", value, "auto")
    assert "pickle" not in str(caught.value)


def test_where_pickle_is_allowed_it_is_advised() -> None:
    with pytest.raises(SerializationError, match="or use result_serializer='pickle'"):
        Kept(allow=SAFE | {"pickle"}).write("key", [object()], "json")

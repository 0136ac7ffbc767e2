"""Variables: JSON values by name that come back as they were given."""

import asyncio
import subprocess
import sys
import threading
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot import flow, task
from entrepot.coordination.database import default_path
from entrepot.errors import InvalidNameError, OptionError, SerializationError, StorageError, VariableExistsError
from entrepot.variables import MAX_VALUE_BYTES, Variable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class TestSetAndGet:
    def test_what_was_set_comes_back(self) -> None:
        kept = Variable.set("region", "eu-west-1", tags=["b", "a", "b"])
        assert Variable.get("region") == "eu-west-1"
        assert (kept.name, kept.value, kept.tags) == ("region", "eu-west-1", ("a", "b"))
        assert kept.created == kept.updated
        assert abs((datetime.now(UTC) - kept.created).total_seconds()) < 60

    def test_where_there_is_none_the_default_is_given(self) -> None:
        assert Variable.get("region") is None
        assert Variable.get("region", "here") == "here"
        assert not default_path().exists()
        Variable.set("region", None)
        assert Variable.get("region", "here") is None  # it is set, to nothing

    def test_another_value_has_to_be_asked_for(self) -> None:
        first = Variable.set("region", "eu", ["a"])
        with pytest.raises(VariableExistsError, match=r"'region' is set already; .*overwrite=True") as caught:
            Variable.set("region", "us")
        assert isinstance(caught.value, FileExistsError)
        assert caught.value.name == "region"
        assert Variable.get("region") == "eu"
        second = Variable.set("region", "us", overwrite=True)
        assert Variable.get("region") == "us"
        assert second.created == first.created
        assert second.updated > first.updated
        assert second.tags == ("a",)
        assert Variable.set("region", "us", [], True).tags == ()  # noqa: FBT003  as in Prefect

    def test_unset_says_whether_there_was_one(self) -> None:
        assert not Variable.unset("region")
        assert not default_path().exists()
        Variable.set("region", "eu")
        assert Variable.unset("region")
        assert not Variable.unset("region")
        assert Variable.get("region") is None

    def test_the_asynchronous_twins(self) -> None:
        async def main() -> None:
            assert (await Variable.aset("region", {"a": 1}, ["t"])).tags == ("t",)
            assert await Variable.aget("region") == {"a": 1}
            with pytest.raises(VariableExistsError):
                await Variable.aset("region", 2)
            await Variable.aset("region", 2, overwrite=True)
            assert await Variable.aget("region") == 2
            assert await Variable.aunset("region")
            assert await Variable.aget("region", 3) == 3

        asyncio.run(main())

    def test_they_can_be_used_in_flows_and_tasks(self) -> None:
        @task
        def load() -> Any:
            return Variable.get("region")

        @flow
        def etl() -> Any:
            Variable.set("region", "eu")
            return load.submit().result()

        assert etl() == "eu"

    def test_other_processes_see_them(self) -> None:
        code = "from entrepot.variables import Variable; Variable.set('n', Variable.get('n', 0) + 1, overwrite=True)"
        for _ in range(2):
            subprocess.run([sys.executable, "-c", code], check=True)
        assert Variable.get("n") == 2

    def test_of_many_who_set_it_first_one_wins(self) -> None:
        won = []

        def work(number: int) -> None:
            try:
                Variable.set("leader", number)
            except VariableExistsError:
                return
            won.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [Variable.get("leader")]


class TestValues:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(value=JSON)
    def test_every_value_that_json_can_say_comes_back_the_same(self, value: Any) -> None:
        kept = Variable.set("value", value, overwrite=True)
        for found in (kept.value, Variable.get("value")):
            assert found == value
            assert repr(found) == repr(value)  # also 1, 1.0 and True, and the order of a dict

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ((1, 2), "value is of type tuple"),
            ({"a": [1, {2}]}, r"value\['a'\]\[1\] is of type set"),
            ({1: "a"}, "value is a dict with keys that are no texts"),
            (float("nan"), "nan, which is no number in JSON"),
            ([float("inf")], r"value\[0\] is inf"),
            (b"bytes", "of type bytes"),
            (StrEnum("Color", "RED").RED, "of type Color"),
            (object, "of type type"),
            pytest.param(10**5000, "is no JSON", id="a number of 5001 digits"),
        ],
    )
    def test_others_are_refused_and_it_says_where(self, value: Any, message: str) -> None:
        with pytest.raises(SerializationError, match=message):
            Variable.set("value", value)
        assert not default_path().exists()

    def test_a_value_that_contains_itself_is_refused(self) -> None:
        value: list[Any] = []
        value.append(value)
        with pytest.raises(SerializationError, match="too deep"):
            Variable.set("value", value)

    def test_they_are_small(self) -> None:
        Variable.set("value", "x" * (MAX_VALUE_BYTES - 2))
        with pytest.raises(SerializationError, match=f"is {MAX_VALUE_BYTES + 1} bytes of JSON, and {MAX_VALUE_BYTES}"):
            Variable.set("other", "x" * (MAX_VALUE_BYTES - 1))

    @pytest.mark.parametrize("name", ["", "Region", "a b", "ä", "-a", "a_", "x" * 101, "a/b", 5, None])
    def test_names_are_plain(self, name: Any) -> None:
        for act in (lambda: Variable.set(name, 1), lambda: Variable.get(name), lambda: Variable.unset(name)):
            with pytest.raises(InvalidNameError, match="variable name"):
                act()

    @pytest.mark.parametrize("name", ["a", "my-region", "my_region_2", "0", "x" * 100])
    def test_but_may_have_digits_dashes_and_underscores(self, name: str) -> None:
        Variable.set(name, 1)
        assert Variable.get(name) == 1

    @pytest.mark.parametrize("tags", ["nightly", [1], [""], 5])
    def test_tags_are_texts(self, tags: Any) -> None:
        with pytest.raises(OptionError, match="tags are a list of texts"):
            Variable.set("region", 1, tags)


def test_a_damaged_file_is_one_clear_error() -> None:
    default_path().parent.mkdir()
    default_path().write_bytes(b"this is no database at all, " * 200)
    for act in (lambda: Variable.get("a"), lambda: Variable.set("a", 1), lambda: Variable.unset("a")):
        with pytest.raises(StorageError, match="move it away"):
            act()


def test_importing_it_loads_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys; from entrepot.variables import Variable; assert not {'sqlite3', 'asyncio'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)

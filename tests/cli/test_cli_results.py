"""`entrepot result`: results are listed, found and shown; no pickle is opened unasked."""

import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from entrepot import home
from entrepot.filesystems import LocalFileSystem
from entrepot.protocols.storage import Storage
from entrepot.results.record import Record
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer
from entrepot.storage import LocalStorage

from .conftest import Invoke

FIELDS = [
    "state",
    "path",
    "detail",
    "key",
    "parts",
    "task",
    "run",
    "serializer",
    "size",
    "digest",
    "created",
    "expires",
    "kept_until",
    "location",
]

opened: list[object] = []


def trip(word: str) -> str:
    opened.append(word)
    return word


class Trap:
    """Notes that it was made from a pickle."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return trip, ("boo",)


def keep(
    key: str,
    value: object,
    *,
    serializer: str = "json",
    storage: Storage | None = None,
    expires: datetime | None = None,
) -> Record:
    store = ResultStore(storage or home.results_storage(), ring=home.ring)
    return store.write(
        key,
        value,
        serializer=get_serializer(serializer),
        parts={"input:n": "1"},
        task={"kind": "task", "name": "extract", "key": "m.extract"},
        run={"id": "run-1", "name": "extract-1"},
        expires=expires,
    )


class TestList:
    def test_an_empty_store_says_so(self, invoke: Invoke, entrepot_home: Path) -> None:
        found = invoke("result", "ls")
        assert found.stdout == ""
        assert f"no results in {entrepot_home / 'results'}" in found.stderr

    def test_the_newest_comes_first(self, invoke: Invoke) -> None:
        for number in range(5):
            keep(f"key-{number}", number)
        text = invoke("result", "ls").stdout
        assert [line.split()[0] for line in text.splitlines()[1:]] == [f"key-{number}" for number in (4, 3, 2, 1, 0)]
        assert [row["key"] for row in invoke("result", "ls", "--limit", "2", "--json").data] == ["key-4", "key-3"]
        assert len(invoke("result", "ls", "--limit", "0", "--json").data) == 5

    def test_for_programs(self, invoke: Invoke, entrepot_home: Path) -> None:
        keep("key", [1, 2], expires=datetime.now(UTC) - timedelta(hours=1))
        (row,) = invoke("result", "ls", "--json").data
        assert list(row) == FIELDS
        assert row["state"] == "expired"
        assert row["task"]["name"] == "extract"
        assert row["parts"] == {"input:n": "1"}
        assert row["location"].startswith(str(entrepot_home / "results"))

    def test_what_is_damaged_is_listed_as_that(self, invoke: Invoke, entrepot_home: Path) -> None:
        keep("good", 1)
        record = keep("bad", 2)
        path = entrepot_home / "results" / record.path
        path.write_bytes(path.read_bytes().replace(b"extract", b"extrakt"))
        assert "damaged" in invoke("result", "ls").stdout
        states = {row["path"]: row["state"] for row in invoke("result", "ls", "--json").data}
        assert states[record.path] == "damaged"
        assert sorted(states.values()) == ["damaged", "hit"]

    @pytest.mark.parametrize("way", ["path", "url", "block", "setting"])
    def test_other_stores_are_named(
        self, way: str, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "elsewhere"
        keep("there", 1, storage=LocalStorage(folder))
        LocalFileSystem(basepath=str(folder)).save("mine")
        spec = {"path": str(folder), "url": f"file://{folder}", "block": "local-file-system/mine"}.get(way)
        if spec is None:
            monkeypatch.setenv("ENTREPOT_RESULTS_STORAGE", str(folder))
        args = [] if spec is None else ["--storage", spec]
        assert [row["key"] for row in invoke("result", "ls", "--json", *args).data] == ["there"]

    def test_a_store_that_is_none_is_one_clear_error(self, invoke: Invoke) -> None:
        assert "names no result storage" in invoke("result", "ls", "--storage", "nonsense", exit_code=1).stderr
        assert "no s3 block named 'nothing'" in invoke("result", "ls", "--storage", "s3/nothing", exit_code=1).stderr


class TestShow:
    def test_json_is_shown_as_a_person_reads_it(self, invoke: Invoke) -> None:
        keep("key", {"rows": [1, 2], "city": "Z\u00fcrich"})
        text = invoke("result", "show", "key").stdout
        assert "task extract" in text
        assert "extract-1 run-1" in text
        assert '{\n  "rows": [\n    1,\n    2\n  ],\n  "city": "Z\u00fcrich"\n}' in text

    def test_for_programs(self, invoke: Invoke) -> None:
        keep("key", {"rows": [1, 2]})
        data = invoke("result", "show", "key", "--json").data
        assert list(data) == [*FIELDS, "value"]
        assert data["value"] == {"rows": [1, 2]}

    def test_value_prints_the_value_and_nothing_else(self, invoke: Invoke) -> None:
        keep("key", {"rows": [1, 2]})
        found = invoke("result", "show", "key", "--value")
        assert found.stdout == '{"rows":[1,2]}\n'
        assert found.stderr == ""

    def test_a_large_value_comes_from_its_payload(self, invoke: Invoke) -> None:
        record = keep("key", ["x" * 10] * 10_000)
        assert record.payload is not None
        found = invoke("result", "show", "key")
        assert "characters more; --value prints all" in found.stderr
        assert len(found.stdout) < 40_000
        assert invoke("result", "show", "key", "--value").stdout.count("xxxxxxxxxx") == 10_000

    def test_a_pickle_stays_closed_until_its_value_is_asked_for(self, invoke: Invoke) -> None:
        opened.clear()
        keep("key", Trap(), serializer="pickle")
        found = invoke("result", "show", "key")
        assert "--value opens it" in found.stderr
        assert invoke("result", "show", "key", "--json").data["value"] is None
        invoke("result", "ls")
        assert opened == []
        assert invoke("result", "show", "key", "--value").stdout == "'boo'\n"
        assert opened == ["boo"]

    def test_compressed_json_is_shown(self, invoke: Invoke) -> None:
        keep("key", {"a": [1, 2]}, serializer="compressed/json")
        assert "{'a': [1, 2]}" in invoke("result", "show", "key").stdout

    @pytest.mark.parametrize("way", ["prefix", "file"])
    def test_a_beginning_is_enough_if_it_is_the_only_one(self, way: str, invoke: Invoke) -> None:
        record = keep("alpha/one", 1)
        keep("alpine/two", 2)
        wanted = "alpha" if way == "prefix" else record.path.rpartition("/")[2][:12]
        assert invoke("result", "show", wanted, "--json").data["key"] == "alpha/one"
        found = invoke("result", "show", "alp", exit_code=1)
        assert "2 results" in found.stderr
        assert "'alpha/one', 'alpine/two'" in found.stderr

    def test_a_whole_key_is_not_taken_for_a_beginning(self, invoke: Invoke) -> None:
        keep("key", 1)
        keep("key2", 2)
        assert invoke("result", "show", "key", "--json").data["key"] == "key"

    def test_a_long_key_is_found_by_itself(self, invoke: Invoke) -> None:
        keep("long" * 1000, 1)
        assert invoke("result", "show", "long" * 1000, "--value").stdout == "1\n"

    def test_an_unknown_key_is_one_clear_error(self, invoke: Invoke) -> None:
        keep("key", 1)
        assert "no result with the key 'nope'" in invoke("result", "show", "nope", exit_code=1).stderr

    @pytest.mark.parametrize("value", [["--value"], []])
    def test_a_planted_pickle_is_refused_and_never_opened(
        self, value: list[str], invoke: Invoke, entrepot_home: Path
    ) -> None:
        opened.clear()
        record = keep("key", "x" * 10_000, serializer="pickle")
        assert record.payload is not None
        path = entrepot_home / "results" / record.payload
        path.chmod(0o600)
        path.write_bytes(pickle.dumps(Trap()))
        found = invoke("result", "show", "key", *value, exit_code=1 if value else 0)
        assert not value or record.payload in found.stderr
        assert opened == []

    def test_a_damaged_record_is_one_clear_error(self, invoke: Invoke, entrepot_home: Path) -> None:
        record = keep("key", 1)
        path = entrepot_home / "results" / record.path
        path.write_bytes(path.read_bytes()[:-5])
        name = record.path.rpartition("/")[2]
        for wanted in ("key", name):
            assert "cut short" in invoke("result", "show", wanted, exit_code=1).stderr

    def test_a_serializer_that_is_gone_leaves_the_rest(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        from entrepot.serializers import SERIALIZERS, register_serializer  # noqa: PLC0415  for this test only

        @register_serializer
        class Upper:
            name = "upper"
            extension = "up"
            is_text = True
            reads_code = False

            def dumps(self, value: object) -> list[bytes]:
                return [str(value).upper().encode()]

            def loads(self, data: memoryview) -> str:
                return bytes(data).decode()

        keep("key", "abc", serializer="upper")
        assert "ABC" in invoke("result", "show", "key").stdout
        SERIALIZERS.forget("upper")
        found = invoke("result", "show", "key")
        assert "task extract" in found.stdout
        assert "no serializer named 'upper'" in found.stderr

    def test_control_characters_of_a_value_do_not_reach_the_terminal(self, invoke: Invoke) -> None:
        keep("key", {"a": "\x9b31m\u202e"})
        text = invoke("result", "show", "key", "--value").stdout
        assert "\x9b" in text  # a program gets the value as it is
        shown = invoke("result", "show", "key").stdout
        assert "\x9b" not in shown
        assert "\u202e" not in shown

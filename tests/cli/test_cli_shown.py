"""`entrepot cache show`: values of every kind, how long they are kept, files behind them, and what else opens them."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from entrepot import File, home, task
from entrepot.cache_policies import INPUTS
from entrepot.results.record import Record
from entrepot.results.store import ResultStore
from entrepot.results.streams import Stream
from entrepot.serializers import get_serializer
from entrepot.storage import EncryptedStorage, LocalStorage
from entrepot_test_terminals import Terminal

from .conftest import Invoke

FRAME = pd.DataFrame({"number": range(4000), "half": np.arange(4000) / 2})
ARRAY = np.arange(4000.0).reshape(40, 100)


def keep(key: str, value: object, serializer: str = "auto", **about: str) -> Record:
    return ResultStore(home.results_storage(), ring=home.ring).write(
        key,
        value,
        serializer=get_serializer(serializer),
        parts={"input:n": "5" * 64},
        task={"kind": "task", "name": "extract", "key": "m.extract"},
        run={"id": "run-1", "name": "extract-1"},
        about=about,
    )


def key_of(work: Any) -> str:
    (found,) = list(ResultStore(home.results_storage(), ring=home.ring).records())
    assert found.record is not None
    assert found.record.task["name"] == work.name
    return found.record.key


class TestStreams:
    def test_the_first_items_are_shown_and_all_of_them_on_request(self, invoke: Invoke) -> None:
        @task(cache_policy=INPUTS, result_serializer="json")
        def rows() -> Stream[dict[str, int]]:
            return Stream({"row": number} for number in range(30))

        rows()
        found = invoke("cache", "show", key_of(rows))
        assert found.stdout.endswith("\n\n" + "".join(f'{{"row":{number}}}\n' for number in range(10)))
        assert found.stderr == "... and 20 of 30 items more; --value prints all\n"
        values = invoke("cache", "show", key_of(rows), "--value").stdout.splitlines()
        assert [json.loads(line) for line in values] == [{"row": number} for number in range(30)]

    def test_pickled_items_stay_closed_until_they_are_asked_for(self, invoke: Invoke) -> None:
        @task(cache_policy=INPUTS, result_serializer="pickle")
        def rows() -> Stream[int]:
            return Stream(iter([1, 2]))

        rows()
        assert "the items are kept as pickle" in invoke("cache", "show", key_of(rows)).stderr
        assert invoke("cache", "show", key_of(rows), "--value").stdout == "1\n2\n"

    def test_one_without_items_says_so(self, invoke: Invoke) -> None:
        @task(cache_policy=INPUTS, result_serializer="json")
        def nothing() -> Stream[int]:
            return Stream(iter(()))

        nothing()
        assert "(a stream of no items)" in invoke("cache", "show", key_of(nothing)).stdout


def test_of_a_task_the_newest_result_is_shown(invoke: Invoke) -> None:
    for key in ("one", "two", "three"):
        keep(key, key)
    found = invoke("cache", "show", "extract")
    assert "Key          three\n" in found.stdout
    assert "the newest of 3 results of the task 'extract'; `entrepot cache ls` lists them\n" in found.stderr
    assert json.loads(invoke("result", "show", "extract", "--json").stdout)["key"] == "three"
    keep("extract", 0)
    assert invoke("cache", "show", "extract", "--json").data["key"] == "extract"


class TestRecord:
    @pytest.mark.parametrize(
        ("about", "said"),
        [
            ({}, "Expires      never"),
            ({"keep": "604800"}, "Kept         until 2"),
            ({"keep": "run"}, "Kept         until the flow run that it is part of is completed"),
            ({"keep_last": "3"}, "Kept         as long as it is among the latest 3 of its task"),
        ],
    )
    def test_it_says_how_long_a_result_is_kept(self, invoke: Invoke, about: dict[str, str], said: str) -> None:
        record = keep("key", 1, **about)
        text = invoke("cache", "show", "key").stdout
        assert f"\n{said}" in text
        assert ("Expires" in text) is not about
        if "604800" in about.values():
            assert f"until {(record.created.astimezone()).year}" in text
        assert "604800" not in text

    def test_digests_are_short_for_people_and_whole_for_programs(self, invoke: Invoke) -> None:
        keep("key", 1)
        assert "  input:n    555555555555...\n" in invoke("cache", "show", "key").stdout
        assert invoke("cache", "show", "key", "--json").data["parts"] == {"input:n": "5" * 64}

    def test_files_are_listed_with_what_became_of_them(self, invoke: Invoke, tmp_path: Path) -> None:
        same, other, gone = (tmp_path / name for name in ("same", "other", "gone"))

        @task(cache_policy=INPUTS)
        def write() -> list[File]:
            for path in (same, other, gone):
                path.write_text("before")
            return [File(path) for path in (same, other, gone)]

        write()
        other.write_text("after")
        gone.unlink()
        key = key_of(write)
        text = invoke("cache", "show", key).stdout
        states = {line.split()[1]: line.split()[2] for line in text.splitlines() if line.startswith("file ")}
        assert states == {str(same): "unchanged", str(other): "changed", str(gone): "gone"}
        assert "files.000" not in text
        shortened = invoke("cache", "show", key[:20], "--json").data
        assert shortened["state"] == "expired"
        assert "that it refers to has changed since" in shortened["detail"]

    def test_a_damaged_payload_is_told_beside_the_record(self, invoke: Invoke, entrepot_home: Path) -> None:
        keep("key", ARRAY)
        (file,) = (entrepot_home / "results" / "payloads").rglob("*.npy")
        file.chmod(0o600)
        file.write_bytes(file.read_bytes()[:-1] + b"?")
        found = invoke("cache", "show", "key", exit_code=1)
        assert "State        damaged\n" in found.stdout
        assert "Run          extract-1 run-1\n" in found.stdout
        assert "its digest does not match" in found.stderr


class TestPayload:
    def test_bytes_are_written_as_they_are_kept(self, invoke: Invoke, tmp_path: Path, entrepot_home: Path) -> None:
        keep("key", FRAME)
        (file,) = (entrepot_home / "results" / "payloads").rglob("*.parquet")
        command = [sys.executable, "-m", "entrepot", "cache", "show", "key", "--payload"]
        piped = subprocess.run(command, capture_output=True, check=True, timeout=60, env={**os.environ})
        assert piped.stdout == file.read_bytes()
        target = tmp_path / "value.parquet"
        target.write_text("older")
        invoke("cache", "show", "key", "--payload", "-o", str(target))
        assert target.read_bytes() == file.read_bytes()
        assert [one.name for one in tmp_path.glob(".value*")] == []

    def test_what_stands_in_the_record_is_written_too(self, invoke: Invoke, tmp_path: Path) -> None:
        keep("key", {"a": [1, 2]})
        assert invoke("result", "show", "key", "--payload").stdout == '{"a":[1,2]}'
        invoke("result", "show", "key", "--payload", "--output", str(tmp_path / "value.json"))
        assert (tmp_path / "value.json").read_text() == '{"a":[1,2]}'

    def test_damaged_bytes_are_not_written_anywhere(self, invoke: Invoke, tmp_path: Path, entrepot_home: Path) -> None:
        keep("key", ARRAY)
        (file,) = (entrepot_home / "results" / "payloads").rglob("*.npy")
        file.chmod(0o600)
        file.write_bytes(file.read_bytes()[:-1] + b"?")
        found = invoke("cache", "show", "key", "--payload", "-o", str(tmp_path / "value.npy"), exit_code=1)
        assert "its digest does not match" in found.stderr
        assert not (tmp_path / "value.npy").exists()

    def test_a_terminal_gets_no_binary(self, terminal: Callable[..., Terminal]) -> None:
        keep("array", ARRAY)
        refused = terminal(["cache", "show", "array", "--payload"])
        assert refused.end() == 1
        assert "nothing for a terminal: give --output FILE" in refused.seen

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--payload", "--value"], "give one of them"),
            (["--output", "x"], "--output says where --payload writes to"),
            (["--payload", "-o", "/nowhere/x"], "/nowhere/x cannot be written: No such file or directory"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, invoke: Invoke, options: list[str], said: str) -> None:
        keep("key", 1)
        assert said in invoke("cache", "show", "key", *options, exit_code=1).stderr


def opened_by(invoke: Invoke, key: str = "key") -> str:
    (line,) = [line for line in invoke("cache", "show", key).stdout.splitlines() if line.startswith("Opened by")]
    return line.removeprefix("Opened by").strip()


def run_in_shell(line: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # so that python is this one
    done = subprocess.run(
        ["sh", "-c", line],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=folder,
        env={**os.environ, "PATH": path},
    )
    return done.stdout


class TestOpening:
    @pytest.mark.parametrize(
        ("value", "serializer", "expected"),
        [(FRAME, "arrow", "[4000 rows x 2 columns]"), (ARRAY, "npy", "3.999e+03]")],
    )
    def test_the_line_that_is_shown_opens_the_payload(
        self, invoke: Invoke, value: object, serializer: str, expected: str, tmp_path: Path
    ) -> None:
        keep("key", value, serializer)
        assert expected in run_in_shell(opened_by(invoke), tmp_path)

    @pytest.mark.parametrize(("serializer", "begin"), [("json", "jq . /"), ("compressed/json", "zstd -dc /")])
    def test_json_goes_through_jq(self, invoke: Invoke, serializer: str, begin: str, tmp_path: Path) -> None:
        value = [os.urandom(50).hex() for _ in range(300)]  # compressed, it is still too large for its record
        keep("key", value, serializer)
        line = opened_by(invoke)
        assert line.startswith(begin)
        if shutil.which("jq") and shutil.which("zstd"):  # else the text has to do
            assert json.loads(run_in_shell(line, tmp_path)) == value

    def test_duckdb_opens_parquet_by_the_query_that_is_shown(self, invoke: Invoke) -> None:
        duckdb = pytest.importorskip("duckdb")
        keep("key", FRAME)
        program, _, query = shlex.split(opened_by(invoke))
        assert program == "duckdb"
        assert len(duckdb.sql(query).fetchall()) == 4000

    def test_what_has_no_file_of_its_own_is_written_out_first(
        self, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep("key", {"a": 1})
        assert opened_by(invoke) == "entrepot cache show key --payload -o value.json && jq . value.json"
        sealed = EncryptedStorage(LocalStorage(tmp_path / "sealed"), home.ring)
        store = ResultStore(sealed, ring=home.ring)
        store.write("key", ARRAY, serializer=get_serializer("npy"), parts={}, task={}, run={})
        monkeypatch.setenv("ENTREPOT_RESULTS_ENCRYPT", "true")
        text = invoke("cache", "show", "key", "--storage", str(tmp_path / "sealed")).stdout
        assert f"key --storage {tmp_path / 'sealed'} --payload -o value.npy && python -c" in text

    @pytest.mark.parametrize("value", [{1, 2}, b"x" * 20_000])
    def test_what_no_other_program_opens_has_no_such_line(self, invoke: Invoke, value: object) -> None:
        keep("key", value)
        assert "Opened by" not in invoke("cache", "show", "key").stdout

"""A result that refers to files is used again only as long as they are what they were when it was kept."""

import dataclasses
import logging
import os
import random
import shutil
from pathlib import Path

import pytest

from entrepot import Dir, File, flow, task
from entrepot.cache_policies import INPUTS
from entrepot.errors import SerializationError
from entrepot.hashing.files import collected_references, recorded_state
from entrepot.home import results_storage, ring
from entrepot.results.lookup import Outcome
from entrepot.results.references import changed_reference, reference_notes
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer
from entrepot.transactions import transaction

TEXT = "x" * 300_000


@dataclasses.dataclass
class Report:
    table: File
    pictures: list[Dir]


def export(runs: list[str], out: Path, *, wrap=File, **options):
    @task(cache_policy=INPUTS, persist_result=True, **options)
    def export(text: str):
        runs.append(text)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
        return wrap(out)

    return export


@pytest.mark.parametrize("serializer", ["pickle", "json", "compressed/json"])
def test_a_hit_gives_the_file_back_and_a_changed_or_lost_one_is_a_miss(tmp_path, caplog, serializer):
    runs: list[str] = []
    out = tmp_path / "out.csv"
    work = export(runs, out, result_serializer=serializer)
    assert work(TEXT) == work(TEXT) == File(out)
    assert len(runs) == 1

    out.write_text("changed")
    with caplog.at_level(logging.INFO):
        assert work(TEXT) == File(out)
    assert out.read_text() == TEXT
    assert len(runs) == 2
    assert f"the file {out} that it refers to has changed since" in caplog.text

    out.unlink()
    assert work(TEXT) == File(out)
    assert len(runs) == 3
    assert work(TEXT) == File(out)
    assert len(runs) == 3  # what was kept took the place of the older one


def test_a_file_that_was_written_again_with_the_same_content_is_a_hit(tmp_path):
    runs: list[str] = []
    out = tmp_path / "out.csv"
    work = export(runs, out)
    work(TEXT)
    out.unlink()
    out.write_text(TEXT)
    work(TEXT)
    assert len(runs) == 1


@pytest.mark.parametrize(
    "wrap",
    [
        lambda path: [1, File(path)],
        lambda path: {"a": (File(path),)},
        lambda path: {File(path)},
        lambda path: Report(File(path), []),
        lambda path: Report(File(path.parent / "other"), [Dir(path.parent)]),
        lambda path: Dir(path.parent),
        lambda path: type("Made", (), {"__init__": lambda self: setattr(self, "file", File(path))})(),
    ],
)
def test_files_are_checked_wherever_they_are_in_the_result(tmp_path, wrap):
    runs: list[str] = []
    out = tmp_path / "out" / "out.csv"
    work = export(runs, out, wrap=wrap)
    work("a")
    work("a")
    assert len(runs) == 1
    out.write_text("b")
    work("a")
    assert len(runs) == 2


def test_folders_are_checked_down_to_their_last_file(tmp_path):
    runs: list[str] = []
    out = tmp_path / "out" / "out.csv"
    work = export(runs, out, wrap=lambda path: Dir(path.parent))
    work("a")
    (out.parent / "more").write_text("")
    work("b")
    work("b")
    assert runs == ["a", "b"]
    shutil.rmtree(out.parent)
    work("b")
    assert runs == ["a", "b", "b"]


def test_results_with_no_key_that_a_later_run_would_use_are_checked_too(tmp_path):
    """What a first attempt of a flow kept is used in the second, unless its file is another one by then."""
    runs: list[str] = []
    out = tmp_path / "out.csv"

    @task(persist_result=True)
    def write() -> File:
        runs.append("write")
        out.write_text("right")
        return File(out)

    @flow(retries=1)
    def whole() -> str:
        write()
        if len(runs) == 1:
            out.write_text("wrong")
            raise OSError("the first time")
        return out.read_text()

    assert whole() == "right"
    assert len(runs) == 2


def test_what_is_staged_in_a_transaction_is_checked_too(tmp_path):
    runs: list[str] = []
    out = tmp_path / "out.csv"
    work = export(runs, out)
    with transaction():
        work("a")
        work("a")
        assert runs == ["a"]
        out.write_text("changed")
        work("a")
        assert runs == ["a", "a"]
    work("a")
    assert runs == ["a", "a"]


def test_a_changed_input_file_is_a_miss_and_an_equal_one_a_hit(tmp_path):
    runs: list[str] = []

    @task(cache_policy=INPUTS)
    def length(source: File) -> int:
        runs.append("x")
        return source.path.stat().st_size

    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("abc")
    two.write_text("abc")
    assert length(File(one)) == length(File(two)) == 3
    assert len(runs) == 1
    one.write_text("abcd")
    assert length(File(one)) == 4


def test_a_task_that_changes_its_input_file_keeps_no_result(tmp_path, caplog):
    runs: list[str] = []
    path = tmp_path / "log"
    path.write_text("")

    @task(cache_policy=INPUTS)
    def append(log: File) -> int:
        runs.append("x")
        with log.path.open("a") as opened:
            opened.write("line\n")
        return len(runs)

    append(File(path))
    assert "'log' changed after the cache key was computed" in caplog.text
    path.write_text("")
    append(File(path))
    assert len(runs) == 2


def test_a_store_says_that_such_a_result_is_expired_and_why(tmp_path):
    path = tmp_path / "out"
    path.write_text("1")
    store = ResultStore(results_storage(), ring=ring)
    serializer = get_serializer("json")

    def write() -> None:
        store.write("k", File(path), serializer=serializer, parts={}, task={"name": "t"}, run={"id": "1"})

    write()
    assert store.lookup("k").value == File(path)
    path.write_text("2")
    for found in (store.lookup("k"), store.describe("k"), store.fetch("k")):
        assert found.outcome is Outcome.EXPIRED
        assert found.is_outdated
        assert str(path) in found.detail
    write()  # takes its place, though it was not asked to replace one
    assert store.lookup("k").outcome is Outcome.HIT


def test_a_file_that_was_not_there_is_the_same_as_long_as_it_is_not(tmp_path):
    runs: list[str] = []
    out = tmp_path / "out"
    work = export(runs, out, wrap=lambda path: File(path.parent / "never"))
    work("a")
    work("a")
    assert len(runs) == 1
    (tmp_path / "never").write_text("")
    work("a")
    assert len(runs) == 2


def test_values_without_files_have_no_notes(tmp_path):
    store = ResultStore(results_storage(), ring=ring)
    record = store.write(
        "k", [Path("a")], serializer=get_serializer("pickle"), parts={}, task={}, run={"id": "1"}, about={"tags": "x"}
    )
    assert record.about == {"tags": "x"}
    assert reference_notes({}) == {}
    assert changed_reference({"tags": "x"}) == ""


def test_many_files_with_long_names_are_noted_in_pieces_that_records_keep_whole(tmp_path):
    folder = tmp_path.joinpath(*["ü" * 60] * 8)
    folder.mkdir(parents=True)
    files = []
    for n in range(100):
        files.append(File(folder / f"{n}"))
        files[-1].path.write_text(str(n))
    store = ResultStore(results_storage(), ring=ring)
    store.write("k", files, serializer=get_serializer("pickle"), parts={}, task={}, run={"id": "1"})
    assert store.lookup("k").value == files
    files[99].path.write_text("x")
    assert store.lookup("k").outcome is Outcome.EXPIRED


def test_more_files_than_a_record_can_note_are_refused_with_a_way_out():
    names = {f"File:/x/{random.Random(n).randbytes(40).hex()}": None for n in range(4000)}
    with pytest.raises(SerializationError, match=r"4,000 files.*return a Dir"):
        reference_notes(names)


def test_only_what_is_written_inside_is_collected(tmp_path):
    serializer = get_serializer("pickle")
    serializer.dumps(File("outside"))
    with collected_references() as found:
        serializer.dumps([File("a"), Dir("a"), File("a")])
    assert sorted(found) == ["Dir:a", "File:a"]
    serializer.dumps(File("after"))
    assert len(found) == 2


def test_relative_paths_are_relative_to_whoever_reads(tmp_path):
    os.chdir(tmp_path)
    Path("a").write_text("1")
    assert recorded_state("File:a") == recorded_state(f"File:{tmp_path / 'a'}")
    assert recorded_state("File:b") == "absent"

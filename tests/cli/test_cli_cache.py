"""`entrepot cache`: hits and misses are explained, results are listed by filters, and taken back."""

import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from entrepot import File, flow, home, settings, task
from entrepot.cache_policies import INPUTS, NO_CACHE, RUN_ID, TASK_SOURCE
from entrepot.engine.world import World, use_world
from entrepot.filesystems import S3
from entrepot.results.lookup import Outcome as Found
from entrepot.results.store import ResultStore
from entrepot.runs import RunHistory, default_path, default_recorder
from entrepot.serializers import get_serializer
from entrepot.storage import LocalStorage
from entrepot.testing import FrozenClock
from entrepot_test_terminals import Terminal

from .conftest import Invoke


def opened() -> ResultStore:
    return ResultStore(home.results_storage(), ring=home.ring)


def keys(*found: Any) -> set[str]:
    return {look.record.key for look in opened().records()}


def keep(
    key: str, *, days: float = 0, size: int = 2, about: dict[str, str] | None = None, name: str = "extract"
) -> None:
    clock = FrozenClock(datetime.now(UTC) - timedelta(days=days))
    ResultStore(home.results_storage(), ring=home.ring, clock=clock).write(
        key,
        "x" * (size - 2),
        serializer=get_serializer("json"),
        parts={"input:n": "1"},
        task={"kind": "task", "name": name, "key": f"m.{name}"},
        run={"id": "run-1", "name": f"{name}-1"},
        about=about or {},
    )


@task(cache_policy=INPUTS)
def add(rows: list[int], other: int = 0) -> int:
    return sum(rows) + other


def run_of(number: int) -> str:
    """Return the id of the newest run but so many."""
    default_recorder().flush()
    return RunHistory(default_path()).list(kind="task", limit=None)[number].run_id


class TestExplain:
    def test_a_miss_names_the_part_and_the_nearest_run(self, invoke: Invoke) -> None:
        add([1, 2, 3])
        add([1, 5, 3])
        text = invoke("cache", "explain", run_of(0)).stdout
        assert "Outcome   miss: there was no result under this key" in text
        assert run_of(1) in text
        assert "  input rows[1] differs\n" in text

    def test_a_hit_names_its_run(self, invoke: Invoke) -> None:
        add([1])
        add([1])
        found = invoke("cache", "explain", run_of(0), "--json").data
        assert found["outcome"] == "hit"
        assert found["run"]["id"] == run_of(1)
        assert found["nearest"] is None

    def test_of_a_flow_run_every_run_inside_is_explained(self, invoke: Invoke) -> None:
        @task
        def plain(x: int) -> int:
            return x

        @flow
        def shop(n: int) -> int:
            return plain(add([1, n]))

        shop(2)
        shop(3)
        shop(3)
        runs = [run.name for run in RunHistory(default_path()).list(limit=3)]
        hit, other, first = (invoke("cache", "explain", run).stdout for run in runs)
        assert "hit: computed by" in hit
        assert "miss: input rows[1] differs" in other
        assert "miss: there was no result under this key" in first
        assert all("not kept: its result was not kept\n" in text for text in (hit, other, first))
        found = invoke("cache", "explain", runs[0], "--json").data
        assert [(one["name"], one["outcome"]) for one in found] == [("add-1", "hit"), ("plain-1", "not kept")]

    def test_what_a_failed_call_differs_by_is_not_said_to_be_gone(self) -> None:
        @task(cache_policy=INPUTS)
        def picky(x: dict[str, int]) -> int:
            return x["a"]

        picky({"a": 1})
        state = picky({"b": 2, "c": 3}, return_state=True)
        assert state.is_failed()
        assert [str(one) for one in state.cache_explanation.differences] == ["input x differs"]

    def test_a_run_can_be_named_by_the_beginning_of_its_key(self, invoke: Invoke) -> None:
        add([1])
        (key,) = keys()
        assert invoke("cache", "explain", key[:20], "--json").data["key"] == key
        assert invoke("cache", "explain", key, "--json").data["outcome"] == "hit"

    def test_an_edited_function_is_shown_as_a_diff(
        self, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        for body in ("return x + 1", "return x + 200"):
            (tmp_path / "explained_here.py").write_text(f"def work(x):\n    {body}\n")
            monkeypatch.delitem(sys.modules, "explained_here", raising=False)
            module = __import__("explained_here")
            task(module.work, cache_policy=INPUTS + TASK_SOURCE)(1)
        text = invoke("cache", "explain", run_of(0)).stdout
        assert "function work differs" in text
        assert "    -    return x + 1\n    +    return x + 200\n" in text
        (difference,) = invoke("cache", "explain", run_of(0), "--json").data["nearest"]["differences"]
        assert "+    return x + 200" in difference["diff"]
        for file in (home.home_path() / "sources").iterdir():
            file.unlink()
        assert "neither source is kept on this machine" in invoke("cache", "explain", run_of(0)).stdout

    def test_damage_says_where_the_evidence_is(self, invoke: Invoke, entrepot_home: Path) -> None:
        add([1])
        (file,) = (entrepot_home / "results" / "records").rglob("*.json")
        file.write_bytes(file.read_bytes().replace(b'"add"', b'"bad"'))
        (key,) = [json.loads(file.read_bytes().split(b"\n")[0])["key"]]
        assert "evidence" not in invoke("cache", "explain", key).stdout
        assert opened().fetch(key).outcome is Found.DAMAGED
        text = invoke("cache", "explain", key).stdout
        assert "Outcome   damaged" in text
        assert f"is kept in {entrepot_home / 'results' / 'damaged'}" in text

    def test_a_damaged_payload_is_noticed(self, invoke: Invoke, entrepot_home: Path) -> None:
        keep("large", size=10_000)
        (file,) = (entrepot_home / "results" / "payloads").rglob("*.json")
        file.write_bytes(file.read_bytes().replace(b"x", b"y"))
        found = invoke("cache", "explain", "large", "--json").data
        assert found["outcome"] == "damaged"
        assert "its bytes are not those that were written" in found["why"]

    def test_an_expired_result_says_since_when_and_a_later_run_that_it_was(self, invoke: Invoke) -> None:
        clock = FrozenClock(datetime.now(UTC) - timedelta(days=9))
        timed = add.with_options(cache_expiration=timedelta(days=1))
        with use_world(World(settings.current(), default_recorder(), clock)):
            timed([1])
        (key,) = keys()
        found = invoke("cache", "explain", key, "--json").data
        assert found["outcome"] == "expired"
        timed([1])
        later = invoke("cache", "explain", run_of(0), "--json").data
        assert later["outcome"] == "expired"
        assert later["why"] == found["why"]

    def test_a_refresh_says_so(self, invoke: Invoke) -> None:
        add.with_options(refresh_cache=True)([1])
        assert "refreshed: refresh_cache asks for a new result" in invoke("cache", "explain", run_of(0)).stdout

    def test_a_run_whose_result_is_gone_says_so(self, invoke: Invoke) -> None:
        add([1])
        invoke("cache", "invalidate", "--all", "--yes")
        text = invoke("cache", "explain", run_of(0)).stdout
        assert "its result can no longer be read; by now it is miss: no result is kept under this key" in text

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"persist_result": False}, "not kept"),
            ({"cache_policy": NO_CACHE}, "not kept"),
        ],
    )
    def test_a_run_that_kept_nothing_says_so(self, invoke: Invoke, options: dict[str, Any], expected: str) -> None:
        task(lambda: 1, name="plain", **options)()
        assert invoke("cache", "explain", run_of(0), "--json").data["outcome"] == expected

    def test_a_failed_run_says_that_nothing_was_kept(self, invoke: Invoke) -> None:
        task(lambda: 1 / 0, name="bad", cache_policy=INPUTS)(return_state=True)
        assert (
            "the run is Failed: only what a completed run returns is kept"
            in invoke("cache", "explain", run_of(0)).stdout
        )

    def test_the_store_of_a_run_is_found_by_where_its_result_was(self, invoke: Invoke, tmp_path: Path) -> None:
        elsewhere = add.with_options(result_storage=str(tmp_path / "elsewhere"))
        elsewhere([1])
        elsewhere([2])
        assert "  input rows[0] differs\n" in invoke("cache", "explain", run_of(0)).stdout

    def test_a_scan_finds_records_that_the_history_does_not_know(self, invoke: Invoke) -> None:
        add([1, 1], 5)
        add([1, 2], 6)
        newest = run_of(0)
        default_path().unlink()
        (key,) = [one for one in keys() if opened().describe(one).record.run["id"] == newest]  # type: ignore[union-attr]
        found = invoke("cache", "explain", key, "--scan", "--json").data
        assert found["scanned"] == 1
        assert [one["path"] for one in found["nearest"]["differences"]] == ["other", "rows[1]"]

    def test_what_is_no_run_and_no_key_is_refused_with_a_hint(self, invoke: Invoke) -> None:
        add([1])
        run_of(0)
        assert "no run 'nothing'" in invoke("cache", "explain", "nothing", exit_code=1).stderr
        assert "did you mean 'add'? (a task)" in invoke("cache", "explain", "ad", exit_code=1).stderr
        assert "no result with the key 'e1-00000'" in invoke("cache", "explain", "e1-00000", exit_code=1).stderr

    def test_of_a_task_the_newest_run_is_explained(self, invoke: Invoke) -> None:
        add([1])
        add([2])
        newest = run_of(0)
        assert invoke("cache", "explain", "add", "--json").data["run_id"] == newest

    def test_a_run_and_those_inside_a_flow_are_named_with_their_task(self, invoke: Invoke) -> None:
        flow(name="nightly")(lambda: add.with_options(task_run_name="of monday")([1]))()
        run = run_of(0)
        assert f"Run       of monday ({run}) of add\n" in invoke("cache", "explain", run).stdout
        found = invoke("cache", "explain", run, "--json").data
        assert (found["name"], found["run_id"], found["definition"]) == ("of monday", run, "add")
        nightly = RunHistory(default_path()).list(limit=1)[0].name
        assert f"add: of monday ({run[:8]})  miss: " in invoke("cache", "explain", nightly).stdout

    def test_an_early_refresh_is_said_to_be_one(self, invoke: Invoke) -> None:
        early = add.with_options(cache_expiration=timedelta(days=2), refresh_early=timedelta(days=1))
        clock = FrozenClock(datetime.now(UTC) - timedelta(days=1.5))
        with use_world(World(settings.current(), default_recorder(), clock)):
            early([1])
        state = early([1], return_state=True)
        assert str(state.cache_explanation).startswith("refreshed: refreshed before its expiry at ")
        text = invoke("cache", "explain", run_of(0)).stdout
        assert "Outcome   refreshed: before its expiry at " in text
        assert "as refresh_early asks" in text
        (key,) = keys()
        assert "it was computed because of this: refreshed before its expiry" in invoke("cache", "explain", key).stdout

    def test_a_hit_that_was_refreshed_since_says_so(self, invoke: Invoke) -> None:
        add([1])
        add([1])
        hit = run_of(0)
        add.with_options(refresh_cache=True)([1])
        text = invoke("cache", "explain", hit, "--json").data["why"]
        assert text.startswith("what it used was replaced since, by what was computed by add-")
        assert run_of(0) in text

    def test_a_result_whose_file_changed_names_the_file(self, invoke: Invoke, tmp_path: Path) -> None:
        out = tmp_path / "out.txt"

        @task(cache_policy=INPUTS)
        def write(text: str) -> File:
            out.write_text(text)
            return File(out)

        write("a")
        out.write_text("b")
        (key,) = keys()
        changed = f"the file {out} that it refers to has changed since"
        assert f"Outcome   expired: {changed}" in invoke("cache", "explain", key[:20]).stdout
        write("a")  # leaves what the record says, so that it counts again
        why = invoke("cache", "explain", run_of(0), "--json").data
        assert why["outcome"] == "expired"
        assert f"refers to the file {out}, which had changed when this run began" in why["why"]

    def test_a_store_with_credentials_is_found_through_its_block(self, invoke: Invoke, s3_server: Any) -> None:
        bucket = s3_server.bucket()
        for name, secret in (("wrong-place", "x"), ("prod", s3_server.secret_key)):
            S3(
                bucket_path=bucket if name == "prod" else f"{bucket}-other",
                aws_access_key_id=s3_server.access_key,
                aws_secret_access_key=secret,
                region_name=s3_server.region,
                endpoint_url=s3_server.endpoint_url,
                addressing_style="path",
            ).save(name)
        cloudy = add.with_options(result_storage="s3/prod")
        cloudy([1])
        cloudy([2])
        found = invoke("cache", "explain", run_of(0))
        assert "Outcome   miss: " in found.stdout
        assert "  input rows[0] differs\n" in found.stdout
        assert "found through the block s3/prod: s3://" in found.stderr
        S3.delete("prod")
        assert "(no saved block leads to s3://" in invoke("cache", "explain", run_of(0), exit_code=1).stderr


class TestWhy:
    def test_two_runs_differ_in_one_line_a_part(self, invoke: Invoke) -> None:
        add([1, 2], 1)
        add([1, 3], 2)
        assert invoke("cache", "why", run_of(0), run_of(1)).stdout == "input other differs\ninput rows[1] differs\n"
        assert invoke("cache", "why", run_of(0), run_of(0)).stderr == "they do not differ: the same call\n"

    def test_of_a_task_the_last_two_keys_are_compared(self, invoke: Invoke) -> None:
        for number in (1, 2, 3, 3):
            add([number])
        run_of(0)
        found = invoke("cache", "why", "add")
        assert found.stdout == "input rows[0] differs\n"
        run = r"add-\d+ \([0-9a-f]{8}\), [0-9: -]{19}"
        said = rf"the newest run, add-\d+, was a hit; compared: the last two keys of add: {run}, with the older {run}\n"
        assert re.fullmatch(said, found.stderr)
        assert found.stderr.index(run_of(1)[:8]) < found.stderr.index(run_of(2)[:8])
        (line,) = invoke("cache", "why", "add", "--json").data
        assert (line["kind"], line["path"], line["text"]) == ("input", "rows[0]", "input rows[0] differs")

    def test_of_one_run_the_nearest_record_is_compared(self, invoke: Invoke) -> None:
        add([1])
        add([2])
        found = invoke("cache", "why", run_of(0))
        assert found.stdout == "input rows[0] differs\n"
        assert found.stderr.startswith("compared with the nearest record, add-")
        assert run_of(1)[:8] in found.stderr
        add([2])
        assert invoke("cache", "why", run_of(0)).stderr.startswith("hit: computed by")

    def test_a_task_with_one_key_cannot_be_compared(self, invoke: Invoke) -> None:
        add([1])
        run_of(0)
        assert "no two records of the task 'add'" in invoke("cache", "why", "add", exit_code=1).stderr

    def test_another_flow_run_is_named(self, invoke: Invoke) -> None:
        around = flow(name="nightly")(lambda: add.with_options(cache_policy=INPUTS + RUN_ID)([1]))
        around()
        add.with_options(cache_policy=INPUTS + RUN_ID)([2])
        around()
        found = invoke("cache", "why", "add")
        first, second = found.stdout.splitlines()
        assert first.startswith("flow run is ")
        assert second == "input rows[0] differs"
        assert "never hits across flow runs; cache_policy=INPUTS + TASK_SOURCE does" in found.stderr
        assert "(a policy with RUN_ID" in invoke("cache", "explain", "add").stdout

    def test_calls_in_one_flow_run_are_said_to_be_that(self, invoke: Invoke) -> None:
        nightly = flow(name="nightly", flow_run_name="of monday")(lambda: add.map([[1], [2]]).result())
        nightly()
        run_of(0)
        assert "; both are calls in the flow run of monday\n" in invoke("cache", "why", "add").stderr


def test_a_list_says_until_when_a_result_is_kept_as_show_does(invoke: Invoke) -> None:
    keep("week", about={"keep": "604800"})
    keep("run", about={"keep": "run"})
    lines = [json.loads(line) for line in invoke("cache", "ls", "--json").stdout.splitlines()]
    kept = {line["key"]: line["kept_until"] for line in lines}
    record = opened().describe("week").record
    assert record is not None
    until = record.created + timedelta(days=7)
    assert datetime.fromisoformat(kept["week"]) == until
    assert kept["run"] is None
    text = invoke("cache", "ls").stdout
    date = until.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert f" kept {date} " in text
    assert f"until {date}" in invoke("cache", "show", "week").stdout
    assert " with its run " in text


class TestList:
    @pytest.fixture(autouse=True)
    def some(self) -> None:
        keep("old", days=10, about={"flow": "nightly", "tag:a": "", "tag:b": ""})
        keep("large", size=5000, about={"flow": "daily", "tag:a": ""})
        keep("other", days=1, name="load")

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ([], {"old", "large", "other"}),
            (["--task", "extract"], {"old", "large"}),
            (["--task", "m.load"], {"other"}),
            (["--flow", "nightly"], {"old"}),
            (["--tag", "a"], {"old", "large"}),
            (["--tag", "a", "--tag", "b"], {"old"}),
            (["--older-than", "12h"], {"old", "other"}),
            (["--newer-than", "2d"], {"large", "other"}),
            (["--older-than", "12h", "--newer-than", "2d"], {"other"}),
            (["--larger-than", "4KB"], {"large"}),
            (["--smaller-than", "4KB", "--tag", "a"], {"old"}),
            (["--newest", "2"], {"large", "other"}),
            (["--task", "nobody"], set()),
        ],
    )
    def test_filters_choose(self, invoke: Invoke, options: list[str], expected: set[str]) -> None:
        lines = invoke("cache", "ls", *options, "--json").stdout.splitlines()
        assert {json.loads(line)["key"] for line in lines} == expected
        text = invoke("cache", "ls", *options).stdout
        assert {line.split()[0] for line in text.splitlines()[1:]} == expected

    def test_the_newest_come_first(self, invoke: Invoke) -> None:
        lines = invoke("cache", "ls", "--newest", "9", "--json").stdout.splitlines()
        assert [json.loads(line)["key"] for line in lines] == ["large", "other", "old"]

    def test_records_are_printed_as_they_are_read(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[str] = []
        real = ResultStore.records

        def slow(store: ResultStore) -> Any:
            for found in real(store):
                seen.append("read")
                yield found

        monkeypatch.setattr(ResultStore, "records", slow)
        monkeypatch.setattr("entrepot.cli.cache.listing.print_json_line", lambda _: seen.append("printed"))
        invoke("cache", "ls", "--json")
        assert seen == ["read", "printed"] * 3

    def test_what_is_no_span_and_no_size_is_refused(self, invoke: Invoke) -> None:
        assert "'soon' is no span of time" in invoke("cache", "ls", "--older-than", "soon", exit_code=1).stderr
        assert "'big' is no number of bytes" in invoke("cache", "ls", "--larger-than", "big", exit_code=1).stderr

    def test_show_says_what_the_record_notes(self, invoke: Invoke) -> None:
        text = invoke("cache", "show", "old").stdout
        assert "tag:a" in text
        assert "nightly" in text
        found = invoke("cache", "show", "old", "--json").data
        assert found["about"] == {"flow": "nightly", "tag:a": "", "tag:b": ""}
        assert found["details"] == {}

    def test_nothing_is_said_to_be_there_where_nothing_is(self, invoke: Invoke, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert "no results in" in invoke("cache", "ls", "--storage", str(tmp_path / "empty")).stderr
        said = invoke("cache", "ls", "--storage", str(tmp_path / "none"), exit_code=1).stderr
        assert f"there is no folder {tmp_path / 'none'}" in said
        assert "no such results in" in invoke("cache", "ls", "--task", "nobody").stderr

    def test_names_that_are_mistyped_are_said_with_the_nearest(self, invoke: Invoke) -> None:
        said = invoke("cache", "ls", "--flow", "Night", "--tag", "c").stderr
        assert "no result is of the flow 'Night'; did you mean 'nightly'?" in said
        assert "no result is of a tag 'c'; known: a, b" in said
        for args in (["--dry-run"], [], ["--yes"]):
            hint = invoke("cache", "invalidate", "--task", "extrcat", *args).stderr
            assert "no result is of the task 'extrcat'; did you mean 'extract'?" in hint

    def test_a_key_that_is_none_is_said_with_what_leads_to_one(self, invoke: Invoke) -> None:
        said = invoke("cache", "show", "nosuch", exit_code=1).stderr
        assert "no result with the key 'nosuch' in" in said
        assert "`entrepot cache ls` lists them" in said
        assert "`entrepot result ls` lists them" in invoke("result", "show", "nosuch", exit_code=1).stderr
        said = invoke("cache", "invalidate", "load", "--yes", exit_code=1).stderr
        assert "there is a result of the task 'load': entrepot cache ls --task load" in said


class TestInvalidate:
    def test_a_key_is_computed_again_by_everybody(self, invoke: Invoke) -> None:
        calls: list[int] = []

        @task(cache_policy=INPUTS)
        def work(x: int) -> int:
            calls.append(x)
            return x

        for number in (1, 2, 1, 2):
            work(number)
        assert calls == [1, 2]
        (first,) = [key for key in keys() if opened().lookup(key).value == 1]
        assert "took back 1 result in" in invoke("cache", "invalidate", first, "--yes").stderr
        work(1)
        work(2)
        assert calls == [1, 2, 1]

    def test_filters_choose(self, invoke: Invoke) -> None:
        keep("old", days=10)
        keep("new")
        assert invoke("cache", "invalidate", "--older-than", "1w", "--dry-run").stdout == "old\n"
        assert keys() == {"old", "new"}
        assert "took back 1 result in" in invoke("cache", "invalidate", "--older-than", "1w", "--yes").stderr
        assert keys() == {"new"}

    def test_what_is_kept_after_it_began_is_left_alone(self, invoke: Invoke) -> None:
        keep("future", days=-1)
        keep("now")
        invoke("cache", "invalidate", "--task", "extract", "--yes")
        assert keys() == {"future"}

    def test_a_damaged_record_can_be_taken_back(self, invoke: Invoke, entrepot_home: Path) -> None:
        keep("key")
        (file,) = (entrepot_home / "results" / "records").rglob("*.json")
        file.write_bytes(b"spoilt")
        invoke("cache", "invalidate", "key", "--yes")
        assert opened().describe("key").outcome is Found.MISS

    def test_payloads_stay_for_the_collection(self, invoke: Invoke, entrepot_home: Path) -> None:
        keep("key", size=20_000)
        invoke("cache", "invalidate", "key", "--yes")
        assert len([one for one in (entrepot_home / "results" / "payloads").rglob("*") if one.is_file()]) == 1

    def test_without_a_terminal_nobody_can_be_asked(self, invoke: Invoke) -> None:
        keep("key")
        refused = invoke("cache", "invalidate", "key", exit_code=1)
        assert "1 result would be taken back, but there is nobody to ask; --yes says so" in refused.stderr
        assert keys() == {"key"}

    @pytest.mark.parametrize(
        "options", [[], ["key", "--all"], ["key", "--task", "extract"], ["--all", "--task", "extract"]]
    )
    def test_what_is_meant_has_to_be_clear(self, invoke: Invoke, options: list[str]) -> None:
        keep("key")
        assert "say which results" in invoke("cache", "invalidate", *options, "--yes", exit_code=1).stderr
        assert keys() == {"key"}

    def test_at_a_terminal_it_says_how_many_and_asks(self, terminal: Callable[..., Terminal]) -> None:
        keep("one")
        keep("two")
        for answer, left in (("n", {"one", "two"}), ("y", set())):
            screen = terminal(["cache", "invalidate", "--all"])
            screen.wait_for("Take back 2 results in")
            screen.type(f"{answer}\n")
            screen.end()
            assert keys() == left


def test_another_store_is_looked_at_where_it_is_named(invoke: Invoke, tmp_path: Path) -> None:
    store = ResultStore(LocalStorage(tmp_path / "there"), ring=home.ring)
    store.write("key", 1, serializer=get_serializer("json"), parts={}, task={}, run={})
    (line,) = invoke("cache", "ls", "--storage", str(tmp_path / "there"), "--json").stdout.splitlines()
    assert json.loads(line)["key"] == "key"
    invoke("cache", "invalidate", "key", "--storage", str(tmp_path / "there"), "--yes")
    assert store.describe("key").outcome is Found.MISS

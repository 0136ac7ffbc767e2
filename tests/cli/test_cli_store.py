"""`entrepot store`: frees room, reports damage with an exit code, counts."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from entrepot import home
from entrepot.cli.store import topic
from entrepot.results.record import Record
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer
from entrepot.storage import LocalStorage
from entrepot_test_terminals import Terminal

from .conftest import Invoke

BIG = "x" * 20_000


def keep(
    key: str,
    value: object,
    *,
    folder: Path | None = None,
    task: str = "extract",
    expires: datetime | None = None,
    **about: str,
) -> Record:
    store = ResultStore(home.results_storage() if folder is None else LocalStorage(folder), ring=home.ring)
    return store.write(
        key,
        value,
        serializer=get_serializer("json"),
        parts={},
        task={"name": task, "key": f"m.{task}"},
        run={"id": "r"},
        expires=expires,
        about=about,
    )


def keys(invoke: Invoke) -> set[str]:
    return {one["key"] for one in invoke("result", "ls", "--json").data}


def test_gc_says_by_task_what_it_would_free_and_frees_that(invoke: Invoke) -> None:
    for number in range(3):
        keep(f"a{number}", BIG + str(number), task="load")
    keep("b", 1, task="clean")
    keep("c", 2, task="clean", keep="604800")
    dry = invoke("store", "gc", "--dry-run", "--older-than", "0s", "--task", "load", "--grace", "0s")
    assert "load" in dry.stdout
    assert "older" in dry.stdout
    assert "clean" not in dry.stdout
    assert dry.stderr.startswith("would free ")
    assert "3 results, 3 payloads" in dry.stderr
    assert len(keys(invoke)) == 5
    report = invoke("store", "gc", "--older-than", "0s", "--task", "load", "--grace", "0s", "--json").data
    assert (report["records"], report["payloads"], report["kept"], report["is_dry"]) == (3, 3, 2, False)
    assert [(share["task"], share["reason"], share["records"]) for share in report["shares"]] == [("load", "older", 3)]
    assert keys(invoke) == {"b", "c"}


def test_gc_without_options_takes_what_has_expired_for_long_and_nothing_else(invoke: Invoke) -> None:
    keep("gone", 1, expires=datetime.now(UTC) - timedelta(days=2))
    keep("fresh", 2, expires=datetime.now(UTC) - timedelta(hours=1))
    keep("good", 3)
    assert "1 result," in invoke("store", "gc").stderr
    assert keys(invoke) == {"fresh", "good"}


def test_gc_says_what_waits_for_its_grace(invoke: Invoke) -> None:
    keep("a", BIG)
    said = invoke("store", "gc", "--older-than", "0s").stderr
    assert "1 result, 0 payloads" in said
    assert "younger than the grace" in said


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [
        ("--older-than", "soon", "12h, 7d"),
        ("--max-size", "lots", "512MiB, 50GB"),
        ("--grace", "1", "12h, 7d"),
    ],
)
def test_gc_refuses_what_is_no_amount(invoke: Invoke, option: str, value: str, hint: str) -> None:
    said = invoke("store", "gc", option, value, exit_code=1).stderr
    assert option in said
    assert value in said
    assert hint in said


def test_gc_goes_by_the_settings_of_the_store(invoke: Invoke) -> None:
    invoke("config", "set", "results_max_size", "30KB")
    invoke("config", "set", "results_keep", "7d")
    for number in range(3):
        keep(f"k{number}", BIG + str(number))
    report = invoke("store", "gc", "--json").data
    assert [(share["reason"], share["records"]) for share in report["shares"]] == [("least used", 2)]
    assert keys(invoke) == {"k2"}
    assert "7d" in invoke("config", "set", "results_keep", "often", exit_code=1).stderr


def test_gc_collects_in_the_storage_that_is_named(invoke: Invoke, tmp_path: Path) -> None:
    keep("here", 1)
    keep("there", 2, folder=tmp_path / "there")
    invoke("store", "gc", "--storage", str(tmp_path / "there"), "--older-than", "0s")
    assert invoke("result", "ls", "--storage", str(tmp_path / "there"), "--json").data == []
    assert keys(invoke) == {"here"}


def test_verify_ends_with_1_and_names_what_is_damaged(invoke: Invoke) -> None:
    keep("good", 1)
    record = keep("bad", BIG)
    assert "all is well" in invoke("store", "verify").stderr
    assert record.payload is not None
    home.results_storage().put(record.payload, b"something else")
    said = invoke("store", "verify", exit_code=1)
    assert record.payload in said.stdout
    assert "1 with a damaged payload" in said.stderr
    report = invoke("store", "verify", "--json", exit_code=1).data
    assert (report["results"], report["counts"]) == (2, {"damaged payload": 1})
    assert [(one["kind"], one["task"], one["key"]) for one in report["problems"]] == [
        ("damaged payload", "extract", "bad")
    ]


def test_stats_counts_by_task_and_names_the_largest(invoke: Invoke) -> None:
    keep("a", BIG, task="load")
    keep("b", BIG, task="load")
    keep("c", 1, task="clean")
    shown = invoke("store", "stats").stdout
    assert "load" in shown
    assert "saved by sharing" in shown
    found = invoke("store", "stats", "--json").data
    assert (found["records"], found["payloads"], found["saved"]) == (3, 1, 20_002)
    assert [(one["name"], one["records"]) for one in found["tasks"]] == [("load", 2), ("clean", 1)]


@pytest.mark.parametrize("command", ["gc", "verify", "stats"])
def test_the_help_has_examples(invoke: Invoke, command: str) -> None:
    assert f"entrepot store {command}" in invoke("store", command, "--help").stdout.partition("Examples:")[2]


@pytest.mark.parametrize("command", ["gc", "verify", "stats"])
def test_a_terminal_sees_how_far_it_is_and_nothing_of_that_stays(
    terminal: Callable[..., Terminal], command: str
) -> None:
    for number in range(3):
        keep(f"k{number}", number)
    shown = terminal(["store", command])
    assert shown.end() == 0
    told = "verifying" if command == "verify" else "records"
    assert f" {told} ━" not in shown.picture().text


@pytest.mark.parametrize(("after", "is_shown"), [(0, True), (3600, False)])
def test_a_bar_is_shown_of_what_takes_long_only(
    monkeypatch: pytest.MonkeyPatch, after: float, *, is_shown: bool
) -> None:
    seen = io.StringIO()
    monkeypatch.setattr(topic, "Console", lambda **_: Console(file=seen, force_terminal=True))
    with topic.progress_bar(after) as tell:
        tell("verifying", 3)
    assert ("verifying" in seen.getvalue()) is is_shown
    assert bool(seen.getvalue()) is is_shown


def test_gc_says_what_payloads_take_now_and_after_the_grace(invoke: Invoke) -> None:
    keep("a", BIG, task="load")
    keep("b", 1, task="clean")
    lines = invoke("store", "gc", "--dry-run", "--older-than", "0s").stdout.splitlines()
    assert lines[0].split() == ["Task", "Why", "Results", "Payloads", "In", "all", "After", "grace"]
    rows = {line.split()[0]: line.split()[3:] for line in lines[2:]}
    assert rows["load"][:2] == ["0", "B"]
    assert rows["load"][-2:] == ["19.5", "KiB"]
    assert rows["clean"][-2:] == ["0", "B"]
    freed = invoke("store", "gc", "--older-than", "0s", "--grace", "0s", "--json").data["shares"]
    sizes = {share["task"]: (share["payload_size"], share["waiting_size"]) for share in freed}
    assert sizes == {"load": (len(BIG) + 2, 0), "clean": (0, 0)}


def test_gc_asks_at_a_terminal_and_nowhere_else(terminal: Callable[..., Terminal], invoke: Invoke) -> None:
    keep("a", 1)
    refused = terminal(["store", "gc", "--older-than", "0s"])
    refused.wait_for("Remove this? [y/N]")
    refused.type("\n")
    assert refused.end() == 1
    assert "nothing was removed" in refused.seen
    assert keys(invoke) == {"a"}
    agreed = terminal(["store", "gc", "--older-than", "0s"])
    agreed.wait_for("Remove this? [y/N]")
    assert keys(invoke) == {"a"}
    agreed.type("y\n")
    assert agreed.end() == 0
    assert "freed" in agreed.seen
    assert keys(invoke) == set()
    keep("b", 1)
    unasked = terminal(["store", "gc", "--older-than", "0s", "--yes"])
    assert unasked.end() == 0
    assert "Remove" not in unasked.seen
    assert keys(invoke) == set()


def test_a_task_that_gc_does_not_find_is_said_with_the_nearest_name(invoke: Invoke) -> None:
    keep("a", 1, task="load_orders", flow="nightly")
    said = invoke("store", "gc", "--task", "load_order", "--flow", "nigtly").stderr
    assert "no result is of the task 'load_order'; did you mean 'load_orders'?" in said
    assert "no result is of the flow 'nigtly'; did you mean 'nightly'?" in said
    assert "no result is" not in invoke("store", "gc", "--task", "load_orders").stderr


def test_verify_names_the_key_and_the_path_of_what_is_damaged(invoke: Invoke, entrepot_home: Path) -> None:
    record = keep("a", BIG)
    assert record.payload is not None
    file = entrepot_home / "results" / record.payload
    file.chmod(0o600)
    file.write_bytes(b"short")
    lines = invoke("store", "verify", exit_code=1).stdout.splitlines()
    assert lines[:3] == ["damaged payload of extract", "  Key    a", f"  Path   {record.payload}"]


def test_verify_says_what_removes_a_damaged_record_and_stats_counts_it_apart(
    invoke: Invoke, entrepot_home: Path
) -> None:
    keep("a", 1)
    keep("b", BIG)
    (file, _) = sorted(
        (entrepot_home / "results" / "records").rglob("*.json"), key=lambda one: b'"b"' in one.read_bytes()
    )
    file.chmod(0o600)
    file.write_bytes(file.read_bytes().replace(b'"a"', b'"x"'))
    shown = invoke("store", "stats").stdout
    assert "(cannot be read)" in shown
    (line,) = (line for line in invoke("store", "verify", exit_code=1).stdout.splitlines() if "Next" in line)
    assert line.startswith("  Next   the next call computes it again; or remove it: entrepot ")
    invoke(*line.partition("entrepot ")[2].split(), "--yes")
    assert "1 results" in invoke("store", "verify").stderr
    assert "(cannot be read)" not in invoke("store", "stats").stdout

"""At a terminal of 80 columns: lists fit, and what they show short is what other commands take."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from entrepot import flow, home, task
from entrepot.blocks import Secret
from entrepot.cache_policies import INPUTS
from entrepot.cli.listed import Lines, short_key
from entrepot.results.store import ResultStore
from entrepot.runs import default_recorder
from entrepot_test_terminals import Terminal

from .conftest import Invoke


@task(cache_policy=INPUTS)
def load_orders_of_a_whole_day_from_the_warehouse(day: str) -> str:
    return day


@task(persist_result=True, result_storage_key="report-{parameters[day]}")
def report(day: str) -> str:
    return day


@task(cache_key_fn=lambda _, given: f"a-model-with-a-name-that-is-longer-than-its-column-{given['day']}")
def train(day: str) -> str:
    return day


@flow
def nightly(day: str) -> None:
    load_orders_of_a_whole_day_from_the_warehouse(day)
    report(day)
    train(day)


@pytest.fixture(autouse=True)
def some(entrepot_home: Path) -> None:
    nightly("monday")
    default_recorder().flush()


def test_a_list_fits_and_its_keys_open_what_they_stand_for(terminal: Callable[..., Terminal], invoke: Invoke) -> None:
    screen = terminal(["cache", "ls"], COLUMNS="80", NO_COLOR="1")
    assert screen.end() == 0, screen.seen
    heading, *lines = screen.seen.replace("\r\n", "\n").splitlines()
    assert heading.split() == ["Key", "Of", "Created", "Size", "State"]
    assert max(len(line.rstrip()) for line in lines) <= 80
    keys = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert len(keys) == 3
    of = {key: invoke("cache", "show", key, "--json").data["task"]["name"] for key in keys}
    assert set(of.values()) == {"load_orders_of_a_whole_day_from_the_warehouse", "report", "train"}
    assert of["report/report-monday"] == "report"
    assert invoke("cache", "explain", "report/report-monday", "--json").data["task"].endswith("report")


def test_tasks_that_make_the_same_text_are_told_apart(invoke: Invoke) -> None:
    @task(cache_key_fn=lambda *_: "2026-01-02")
    def load() -> int:
        return 1

    @task(cache_key_fn=lambda *_: "2026-01-02")
    def clean() -> int:
        return 2

    load()
    clean()
    assert "2 results" in invoke("cache", "show", "2026-01-02", exit_code=1).stderr
    for found in ResultStore(home.results_storage(), ring=home.ring).records():
        assert found.record is not None
        assert invoke("cache", "show", short_key(found), "--json").data["key"] == found.record.key


@pytest.mark.parametrize("topic", ["cache", "result"])
def test_wide_terminals_and_pipes_get_whole_keys(topic: str, invoke: Invoke) -> None:
    results = list(ResultStore(home.results_storage(), ring=home.ring).records())
    whole = {found.record.key for found in results if found.record}
    wide = [Lines(200).heading().plain, *(Lines(200).line(found).plain for found in results)]
    for lines in (wide, invoke(topic, "ls").stdout.splitlines()):
        assert lines[0].split() == ["Key", "Of", "Created", "Expires", "Size", "Serializer", "State"]
        assert {line.split()[0] for line in lines[1:]} == whole


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    for found in ResultStore(home.results_storage(), ring=home.ring).records():
        assert all(len(line) <= columns for line in Lines(columns).line(found).plain.splitlines())


def test_a_text_of_a_user_cannot_look_like_lines_of_the_list() -> None:
    @task(cache_key_fn=lambda *_: "forged\ne1-0123456789ab  payroll", name="forger")
    def forge() -> int:
        return 1

    forge()
    for found in ResultStore(home.results_storage(), ring=home.ring).records():
        if found.record is not None and found.record.task["name"] == "forger":
            assert not any(line.startswith("e1-0123456789ab") for line in Lines(80).line(found).plain.splitlines())
            assert short_key(found) == found.record.key
            return
    raise AssertionError("it was not kept")


def test_what_is_damaged_is_listed_by_what_shows_it(invoke: Invoke, entrepot_home: Path) -> None:
    for file in (entrepot_home / "results" / "records").rglob("*.json"):
        file.chmod(0o600)
        file.write_bytes(file.read_bytes().replace(b"monday", b"sunday"))
    found = list(ResultStore(home.results_storage(), ring=home.ring).records())
    assert len(found) == 3
    for line in [Lines(80).line(one).plain for one in found]:
        assert line.endswith(" damaged")
        assert "does not verify" in invoke("cache", "show", line.split()[0], exit_code=1).stderr


def test_the_ids_in_the_tree_of_a_run_are_taken_by_other_commands(invoke: Invoke) -> None:
    tree = invoke("runs", "show", invoke("runs", "--json").data[0]["name"]).stdout.splitlines()
    for name in ("load_orders_of_a_whole_day_from_the_warehouse-1", "report-1", "train-1"):
        (line,) = [line for line in tree if f" {name} " in line]
        short = line.partition(" (")[2].partition(")")[0]
        assert invoke("runs", "show", short, "--json").data["name"] == name
        assert invoke("cache", "explain", short, "--json").data["run_id"].startswith(short)


@pytest.mark.parametrize(
    ("command", "headings"),
    [
        (["plugins", "ls"], ["Group", "Name", "Distribution", "State"]),
        (["keys", "status"], ["Key", "Purpose", "State", "Blocks", "Answers", "Results"]),
        (["block", "history", "secret/one"], ["Version", "When", "What", "By"]),
    ],
)
def test_other_lists_leave_columns_out_before_they_break_lines(
    command: list[str], headings: list[str], terminal: Callable[..., Terminal]
) -> None:
    for word in ("a", "b"):
        Secret(value=word).save("one", overwrite=True)
    screen = terminal(command, COLUMNS="80", NO_COLOR="1")
    assert screen.end() == 0, screen.seen
    lines = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", screen.seen.replace("\r\n", "\n")).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("──"))
    assert set(headings) <= set(lines[at - 1].split())
    # A process too: here are the plugins of other tests.
    piped = subprocess.run(
        [sys.executable, "-m", "entrepot", *command], capture_output=True, text=True, check=True, timeout=120
    )
    whole = piped.stdout.splitlines()
    assert max(map(len, lines[at - 1 : at + len(whole) - 1])) <= 80
    rows = [row.split()[:2] for row in lines[at + 1 :] if row.strip()][: len(whole) - 2]
    assert [row.split()[0].removeprefix("entrepot.") for row in whole[2:]] == [row[0] for row in rows], "a line each"


def test_types_of_one_package_have_no_column_that_says_so(terminal: Callable[..., Terminal]) -> None:
    screen = terminal(["block", "types"], COLUMNS="80", NO_COLOR="1")
    assert screen.end() == 0, screen.seen
    heading, *lines = [line.rstrip() for line in screen.seen.replace("\r\n", "\n").splitlines()]
    types = [line for line in lines[1:] if line and not line.startswith(" ")]
    assert "What it is for" in heading
    assert len(lines) <= 2 * len(types) + 2, "two lines a type"
    assert max(map(len, lines)) <= 80


def test_the_check_of_a_program_puts_what_is_wrong_on_wide_lines(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    file = tmp_path / "a_program_of_some_name.py"
    file.write_text("from entrepot.blocks import Secret\ndef f():\n    Secret.load('one')\n")
    Secret(value="file:///no/such/folder/of/secrets/one.txt").save("one")
    screen = terminal(["check", str(file)], COLUMNS="80", NO_COLOR="1")
    assert screen.end() == 1, screen.seen
    lines = [line.rstrip() for line in screen.seen.replace("\r\n", "\n").splitlines()]
    assert any("named in a_program_of_some_name.py:3" in line for line in lines)
    assert any("/no/such/folder/of/secrets/one.txt" in line for line in lines)


def test_the_help_of_a_topic_has_the_whole_first_sentence_of_each_command(invoke: Invoke) -> None:
    said = invoke("block", "--help").stdout
    assert "..." not in said.partition("Commands:")[2].partition("Examples:")[0]
    assert "show      Show a saved block; secrets are masked, references to them are" in said

"""`entrepot artifact`: what runs left is listed and drawn, and cannot steer the terminal."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from entrepot.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
)
from entrepot.cli.artifacts import artifacts_of
from entrepot.flows import flow
from entrepot.runs import RunHistory, default_path, default_recorder

from .conftest import Invoke

FIELDS = ["artifact_id", "type", "key", "description", "run_id", "flow_run_id", "created", "updated", "data"]


@pytest.fixture
def report() -> str:
    """A flow run with one artifact of each type; its id."""

    @flow(name="report")
    def report() -> None:
        create_table_artifact([{"city": "Oslo", "mean": 6.25}, {"city": "Rome", "n": [1]}], "means", "Of **March**")
        create_table_artifact({"a": [1, 2], "b\x1b[31m": [3]}, "columns")
        create_markdown_artifact("# Title\n\n* one \x1b[31mred\n", "note")
        create_link_artifact("https://example.org/x", "the report", "link")
        create_image_artifact("https://example.org/x.png", "image")
        create_progress_artifact(42, "load")

    report()
    return RunHistory(default_path()).list()[0].run_id


class TestList:
    def test_without_artifacts_it_says_so(self, invoke: Invoke, entrepot_home: Path) -> None:
        assert "no artifacts in" in invoke("artifact", "ls").stderr
        assert not entrepot_home.exists()

    def test_the_one_that_changed_last_comes_first(self, invoke: Invoke, report: str) -> None:
        lines = invoke("artifact", "ls").stdout.splitlines()[2:]
        assert [line.split()[1:3] for line in lines] == [
            ["progress", "load"],
            ["image", "image"],
            ["link", "link"],
            ["markdown", "note"],
            ["table", "columns"],
            ["table", "means"],
        ]
        assert [line.rstrip().split("  ")[-1].strip() for line in lines][:4] == [
            "42 %",
            "https://example.org/x.png",
            "the report",
            "# Title * one \\x1b[31mred",
        ]
        assert "2 rows: a, b" in lines[4]
        assert "Of **March**" in lines[5]

    def test_they_are_chosen(self, invoke: Invoke, report: str) -> None:
        create_markdown_artifact("elsewhere", "note")
        default_recorder().flush()

        def keys(*args: str) -> list[str]:
            return [one["key"] for one in invoke("artifact", "ls", *args, "--json").data]

        assert keys("--run", report[:8], "--type", "markdown") == ["note"]
        assert keys("--key", "note") == ["note", "note"]
        assert keys("-n", "1") == ["note"]
        assert "like that" in invoke("artifact", "ls", "--key", "none").stderr

    def test_a_run_that_is_none_is_an_error(self, invoke: Invoke, report: str) -> None:
        assert "no run 'nothing'" in invoke("artifact", "ls", "--run", "nothing", exit_code=1).stderr

    def test_the_fields_for_programs_are_these(self, invoke: Invoke, report: str) -> None:
        one = invoke("artifact", "ls", "--key", "means", "--json").data[0]
        assert list(one) == FIELDS
        assert one["run_id"] == one["flow_run_id"] == report
        assert one["data"] == [{"city": "Oslo", "mean": 6.25}, {"city": "Rome", "n": [1]}]


class TestShow:
    @pytest.mark.parametrize(
        ("key", "drawn"),
        [
            ("means", ["city   mean   n", "────", "Oslo   6.25", "Rome          [1]"]),
            ("columns", ["a   b\\x1b[31m", "────", "1   3", "2"]),
            ("note", ["# Title", "", "* one \\x1b[31mred"]),
            ("link", ["the report: https://example.org/x"]),
            ("image", ["https://example.org/x.png"]),
            ("load", ["━━━"]),
        ],
    )
    def test_each_is_drawn_by_its_type(self, key: str, drawn: list[str], invoke: Invoke, report: str) -> None:
        lines = invoke("artifact", "show", key).stdout.rstrip().splitlines()[-len(drawn) :]
        assert [line[: len(start)] for line, start in zip(lines, drawn, strict=True)] == drawn

    def test_the_description_is_shown(self, invoke: Invoke, report: str) -> None:
        assert "\nOf **March**\n" in invoke("artifact", "show", "means").stdout

    def test_at_a_terminal_markdown_is_rendered_and_cannot_steer_it(self, terminal: Any, report: str) -> None:
        shown = terminal(["artifact", "show", "note"])
        assert shown.end() == 0
        assert "# Title" not in shown.seen
        assert "Title" in shown.seen
        assert "\\x1b[31mred" in shown.seen

    def test_a_long_table_is_cut_for_people_only(self, invoke: Invoke) -> None:
        create_table_artifact([[number] for number in range(300)], "long")
        default_recorder().flush()
        found = invoke("artifact", "ls").stdout
        text = invoke("artifact", "show", "long").stdout
        assert "300 rows" in found
        assert text.rstrip().endswith("... and 100 rows more; --json has all")
        assert len(invoke("artifact", "show", "long", "--json").data["data"]) == 300

    def test_a_slip_offers_the_near_keys(self, invoke: Invoke, report: str) -> None:
        assert "near: means" in invoke("artifact", "show", "mean", exit_code=1).stderr

    def test_data_that_is_not_as_its_type_wants_it_is_shown_as_json(
        self, invoke: Invoke, report: str, entrepot_home: Path
    ) -> None:
        connection = sqlite3.connect(entrepot_home / "runs.db")
        for key, data in {"note": [1], "link": "x", "image": 3, "load": [], "means": {"a": 1}, "columns": 5}.items():
            connection.execute("UPDATE artifacts SET data = ? WHERE key = ?", (json.dumps(data), key))
        connection.commit()
        connection.close()
        invoke("artifact", "ls")
        for key in ("note", "link", "image", "load", "means", "columns"):
            invoke("artifact", "show", key)


def test_a_run_has_a_list_of_its_own(report: str) -> None:
    found = artifacts_of(report)
    assert found is not None
    assert found.row_count == 6
    assert artifacts_of("none") is None

"""Artifacts: what is kept with a run, from where, and that it is always valid JSON of a bounded size."""

import asyncio
import json
import math
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from entrepot import artifacts, settings
from entrepot.artifacts import (
    MAX_DATA,
    Artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from entrepot.artifacts.plain import plain, plain_table
from entrepot.engine.world import World, use_world
from entrepot.errors import ArtifactNotFoundError, InvalidNameError, ParameterError
from entrepot.flows import flow
from entrepot.protocols.recorder import ArtifactKept, RunEvent
from entrepot.runs import RunHistory, default_path, default_recorder
from entrepot.runs.artifacts import ArtifactHistory
from entrepot.tasks import task
from entrepot.testing.fakes import FrozenClock


class Notes:
    """A recorder that keeps events in a list."""

    def __init__(self) -> None:
        self.events: list[RunEvent] = []

    def record(self, event: RunEvent) -> None:
        self.events.append(event)

    def flush(self) -> bool:
        return True

    def close(self) -> None:
        pass

    @property
    def artifacts(self) -> list[ArtifactKept]:
        return [event for event in self.events if isinstance(event, ArtifactKept)]


@contextmanager
def told() -> Iterator[Notes]:
    notes = Notes()
    with use_world(World(settings.current(), notes, FrozenClock())):
        yield notes


class TestFromRuns:
    def test_each_kind_is_told_once_with_its_data(self) -> None:
        @flow
        def report() -> list[UUID]:
            return [
                create_table_artifact([{"a": 1}], key="t", description="of **March**"),
                create_markdown_artifact("# Hello", "note"),
                create_link_artifact("https://example.org/x", "the report", "l"),
                create_link_artifact("s3://bucket/key"),
                create_image_artifact("https://example.org/x.png", "i"),
                create_progress_artifact(12.5, "p"),
            ]

        with told() as notes:
            ids = report()
        assert [str(one) for one in ids] == [event.artifact_id for event in notes.artifacts]
        assert [(event.type, event.key, json.loads(event.data)) for event in notes.artifacts] == [
            ("table", "t", [{"a": 1}]),
            ("markdown", "note", "# Hello"),
            ("link", "l", {"link": "https://example.org/x", "text": "the report"}),
            ("link", None, {"link": "s3://bucket/key", "text": "s3://bucket/key"}),
            ("image", "i", {"url": "https://example.org/x.png"}),
            ("progress", "p", {"progress": 12.5}),
        ]
        assert [event.description for event in notes.artifacts] == ["of **March**", "", "", "", "", ""]
        assert {event.timestamp for event in notes.artifacts} == {FrozenClock().now()}

    def test_it_belongs_to_the_run_whose_code_made_it_and_to_the_flow_around(self) -> None:
        @task
        def work() -> None:
            create_markdown_artifact("from the task")

        @flow
        def outer() -> None:
            create_markdown_artifact("from the flow")
            work.submit().result()
            inner()

        @flow
        def inner() -> None:
            create_markdown_artifact("from the subflow")

        with told() as notes:
            outer()
        flow_id, inner_id = (event.run_id for event in notes.events if getattr(event, "kind", "") == "flow")
        task_id = next(event.run_id for event in notes.events if getattr(event, "kind", "") == "task")
        assert [(event.run_id, event.flow_run_id) for event in notes.artifacts] == [
            (flow_id, flow_id),
            (task_id, flow_id),
            (inner_id, inner_id),
        ]

    def test_outside_runs_it_goes_to_the_history_of_the_home(self) -> None:
        made = create_markdown_artifact("by hand", "hand")
        (found,) = Artifact.list()
        assert (found.artifact_id, found.run_id, found.data) == (str(made), None, "by hand")

    def test_without_a_history_there_is_still_an_id(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_RUNS_RECORD", "0")
        assert isinstance(create_markdown_artifact("lost"), UUID)
        assert Artifact.list() == []

    def test_the_id_is_a_uuid_that_can_be_awaited_and_pickled(self) -> None:
        @flow
        async def report() -> tuple[UUID, UUID, UUID]:
            first = await create_table_artifact([])  # type: ignore[misc]
            second = await artifacts.acreate_table_artifact([])
            return first, second, create_table_artifact([])

        with told() as notes:
            ids = asyncio.run(report())
        assert [str(one) for one in ids] == [event.artifact_id for event in notes.artifacts]
        assert len({*ids}) == 3
        assert all(isinstance(one, UUID) and pickle.loads(pickle.dumps(one)) == UUID(str(one)) for one in ids)

    def test_each_async_twin_makes_the_same(self) -> None:
        async def both() -> None:
            await artifacts.acreate_table_artifact([{"a": 1}], "k", "d")
            await artifacts.acreate_markdown_artifact("m", "k", "d")
            await artifacts.acreate_link_artifact("l", "t", "k", "d")
            await artifacts.acreate_image_artifact("i", "k", "d")
            made = await artifacts.acreate_progress_artifact(1, "k", "d")
            await artifacts.aupdate_progress_artifact(made, 2)

        @flow
        async def twins() -> None:
            await both()

        @flow
        def plain_ones() -> None:
            create_table_artifact([{"a": 1}], "k", "d")
            create_markdown_artifact("m", "k", "d")
            create_link_artifact("l", "t", "k", "d")
            create_image_artifact("i", "k", "d")
            update_progress_artifact(create_progress_artifact(1, "k", "d"), 2)

        with told() as one:
            asyncio.run(twins())
        with told() as other:
            plain_ones()

        def facts(notes: Notes) -> list[object]:
            return [(event.type, event.data, event.key, event.description) for event in notes.artifacts]

        assert facts(one) == facts(other)
        assert len(facts(one)) == 6


class Colour(Enum):
    RED = "red"


LOOP: list[Any] = []
LOOP.append(LOOP)


class TestTables:
    @pytest.mark.parametrize(
        ("table", "kept"),
        [
            ([], []),
            ({}, {}),
            ([{"a": 1, "b": None}, {"a": 2}], [{"a": 1, "b": None}, {"a": 2}]),
            ([["x", 1], ["y", 2]], [["x", 1], ["y", 2]]),
            ([("x", 1)], [["x", 1]]),
            ({"a": [1, 2], "b": (3, 4)}, {"a": [1, 2], "b": [3, 4]}),
            ({"a": np.array([1, 2]), "b": pd.Series([0.5, math.nan])}, {"a": [1, 2], "b": [0.5, None]}),
            (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ],
        ids=str,
    )
    def test_every_shape_is_taken(self, table: Any, kept: Any) -> None:
        assert plain_table(table) == kept

    def test_frames_are_taken_without_loading_their_library(self) -> None:
        frame = pd.DataFrame(
            {
                "n": [1, 2],
                "x": [0.5, math.nan],
                "day": [pd.Timestamp("2026-01-02"), pd.NaT],
                "who": pd.array(["a", pd.NA], dtype="string"),
            }
        )
        rows = [
            {"n": 1, "x": 0.5, "day": "2026-01-02T00:00:00", "who": "a"},
            {"n": 2, "x": None, "day": None, "who": None},
        ]
        assert plain_table(frame) == rows
        assert plain_table(frame.set_index("n")) == rows

    def test_frames_of_other_libraries_are_taken_by_what_they_offer(self) -> None:
        class Polars:
            def to_dicts(self) -> list[dict[str, int]]:
                return [{"a": 1}]

        class Arrow:
            def to_pylist(self) -> list[dict[str, int]]:
                return [{"a": 2}]

        assert plain_table(Polars()) == [{"a": 1}]
        assert plain_table(Arrow()) == [{"a": 2}]

    @pytest.mark.parametrize(
        ("table", "words"),
        [
            (3, "not a int"),
            ("a,b", "not a str"),
            ([1, 2], "a list of int"),
            ([{"a": 1}, [2]], "a list of dict, list"),
            ({"a": 1}, "a dict of int"),
            (iter([]), "not a list_iterator"),
        ],
    )
    def test_anything_else_is_refused(self, table: Any, words: str) -> None:
        with pytest.raises(ParameterError, match=words):
            create_table_artifact(table)

    @pytest.mark.parametrize(
        ("value", "kept"),
        [
            (math.nan, None),
            (math.inf, "Infinity"),
            (-math.inf, "-Infinity"),
            (np.float64("nan"), None),
            (np.float32(0.5), 0.5),
            (np.int64(3), 3),
            (np.bool_(1), True),
            (np.array([1.0, math.nan]), [1.0, None]),
            (np.datetime64("2026-01-02"), "2026-01-02"),
            (np.datetime64("NaT"), None),
            (pd.NA, None),
            (Decimal("1.10"), "1.10"),
            (date(2026, 1, 2), "2026-01-02"),
            (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
            (Colour.RED, "red"),
            ({3, 1}, [1, 3]),
            ({1: {None: "x"}}, {"1": {"None": "x"}}),
            (b"\xff", "b'\\xff'"),
            (Path("a/b"), "a/b"),
            ("bad \udcff name", "bad \\udcff name"),
            (SecretStr("hunter2"), "**********"),
            (10**5000, hex(10**5000)),
            (LOOP, [[[[[[[["..."]]]]]]]]),
        ],
        ids=lambda value: str(value)[:20] if not isinstance(value, int) else "",
    )
    def test_what_json_lacks_is_null_or_text(self, value: Any, kept: Any) -> None:
        found = plain(value)
        assert found == kept
        assert type(found) is type(kept)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.binary() | st.datetimes(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
            max_leaves=20,
        )
    )
    def test_what_comes_out_is_always_valid_json(self, value: Any) -> None:
        text = json.dumps(plain_table([[value]]), allow_nan=False)
        assert json.loads(text.encode().decode()) == plain_table([[value]])


class TestBounds:
    def test_what_is_too_large_is_refused_with_advice(self) -> None:
        with told() as notes, pytest.raises(ParameterError, match="keep the whole as a result"):
            create_markdown_artifact("x" * MAX_DATA)
        assert notes.artifacts == []
        with pytest.raises(ParameterError, match="4,194,304"):
            create_table_artifact([["x" * 1000] * 5000])

    @pytest.mark.parametrize("key", ["", "Big", "a_b", "a b", "é", "x" * 201, 3])
    def test_a_key_is_of_small_letters_digits_and_dashes(self, key: Any) -> None:
        with pytest.raises(InvalidNameError, match="a-z, 0-9 and -"):
            create_markdown_artifact("x", key)

    def test_a_wrong_key_offers_the_nearest(self) -> None:
        with pytest.raises(InvalidNameError, match="'my-report-2'"):
            create_markdown_artifact("x", "My Report_2")

    @pytest.mark.parametrize("link", ["javascript:alert(1)", " JaVaScript:x", "java\nscript:x", "data:text/html,x", ""])
    def test_a_link_that_a_browser_would_run_is_refused(self, link: str) -> None:
        with pytest.raises(ParameterError):
            create_link_artifact(link)
        with pytest.raises(ParameterError):
            create_image_artifact(link)

    def test_an_image_may_be_in_its_url(self) -> None:
        create_image_artifact("data:image/png;base64,AAAA", "dot")
        found = Artifact.get("dot")
        assert found is not None
        assert found.data == {"url": "data:image/png;base64,AAAA"}

    @pytest.mark.parametrize("wrong", [3, None, b"x"])
    def test_a_text_is_a_text(self, wrong: Any) -> None:
        with pytest.raises(ParameterError, match="is a text"):
            create_markdown_artifact(wrong)


class TestProgress:
    @pytest.mark.parametrize(
        ("given", "kept"), [(0, 0.0), (100.0000001, 100.0), (-1, 0.0), (np.float32(50), 50.0), (math.inf, 100.0)]
    )
    def test_it_is_from_0_to_100(self, given: Any, kept: float) -> None:
        with told() as notes:

            @flow
            def report() -> None:
                create_progress_artifact(given)

            report()
        assert json.loads(notes.artifacts[0].data) == {"progress": kept}

    @pytest.mark.parametrize("wrong", ["50", None, math.nan, [1]])
    def test_anything_else_is_refused(self, wrong: Any) -> None:
        with pytest.raises(ParameterError, match="number from 0 to 100"):
            create_progress_artifact(wrong)

    def test_it_grows_and_keeps_what_is_not_said_again(self) -> None:
        made = create_progress_artifact(1, "load", "loading")
        assert update_progress_artifact(made, 50) == made
        update_progress_artifact(str(made), 99)
        (found,) = Artifact.list(key="load")
        assert (found.data, found.description) == ({"progress": 99.0}, "loading")
        assert found.updated >= found.created
        update_progress_artifact(made, 100, "loaded")
        assert Artifact.list(key="load")[0].description == "loaded"

    def test_an_id_that_is_none_is_refused(self) -> None:
        with pytest.raises(ParameterError, match="UUID"):
            update_progress_artifact("load", 1)


class TestReading:
    def test_the_newest_of_a_key_is_found(self) -> None:
        create_markdown_artifact("old", "note")
        newest = create_markdown_artifact("new", "note")
        found = Artifact.get("note")
        assert found is not None
        assert (found.artifact_id, found.data) == (str(newest), "new")
        assert Artifact.get("other") is None
        assert asyncio.run(Artifact.aget("note")) == found
        assert len(asyncio.run(Artifact.alist(key="note"))) == 2

    def test_a_flow_run_has_those_of_its_tasks_too(self) -> None:
        @task
        def work() -> None:
            create_markdown_artifact("task")

        @flow
        def outer() -> None:
            create_table_artifact([])
            work()

        outer()
        create_markdown_artifact("elsewhere")
        run = RunHistory(default_path()).list()[0]
        history = ArtifactHistory(default_path())
        assert {one.data for one in Artifact.list(run_id=run.run_id) if one.type == "markdown"} == {"task"}
        assert [one.type for one in history.list(run_id=run.run_id)] == ["markdown", "table"]
        assert [one.type for one in history.list(run_id=run.run_id, type="table")] == ["table"]
        assert len(history.list(limit=1)) == 1
        assert len(history.list(limit=None)) == 3

    def test_one_is_found_by_the_beginning_of_its_id(self) -> None:
        made = str(create_markdown_artifact("x", "first-note"))
        default_recorder().flush()
        history = ArtifactHistory(default_path())
        assert history.get(made).artifact_id == history.get(made[:4]).artifact_id == made
        with pytest.raises(ArtifactNotFoundError, match="near: first-note"):
            history.get("first-not")
        with pytest.raises(ArtifactNotFoundError):
            history.get(made[:3])

    def test_without_a_history_there_are_none(self, tmp_path: Path) -> None:
        history = ArtifactHistory(tmp_path / "none.db")
        assert history.list() == []
        with pytest.raises(ArtifactNotFoundError, match="no run was recorded"):
            history.get("x")

"""What the history is told: who runs, with what, in which states; nothing secret, nothing slow."""

import os
import threading
import time
import tracemalloc
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

from entrepot import State, flow, runtime, tags, task
from entrepot._secrets import remember_secret
from entrepot.engine.names import Counter, flow_run_name
from entrepot.engine.rendering import LIMIT, MASK, render, render_all
from entrepot.engine.world import World, use_world
from entrepot.runs import RunHistory, default_path, default_recorder


class TestEvents:
    def test_of_a_run_whose_tags_and_version_have_a_secret_that_is_masked(self, journal: Any) -> None:
        @task(tags=["plain", "for hunter2-horse"])
        def work() -> tuple[str, ...]:
            return tuple(runtime.task_run.tags)

        @flow(version="1-hunter2-horse")
        def main() -> tuple[str, ...]:
            remember_secret("hunter2-horse")
            with tags("hunter2-horse"):
                return work()

        remember_secret("hunter2-horse")
        assert set(main()) == {"plain", "for hunter2-horse", "hunter2-horse"}, "the run itself has them as they are"
        outer, inner = journal.created.values()
        assert outer.version == f"1-{MASK}"
        assert inner.tags == (MASK, f"for {MASK}", "plain")

    def test_of_runs_and_states_whose_names_have_a_secret_that_is_masked(self, journal: Any) -> None:
        @task
        def work() -> State[None]:
            return State("COMPLETED", "Logged in with hunter2-horse")

        @flow(name="for hunter2-horse")
        def main() -> None:
            work.with_options(name="with hunter2-horse")(return_state=True)

        remember_secret("hunter2-horse")
        main()
        assert [run.definition for run in journal.created.values()] == [f"for {MASK}", f"with {MASK}"]
        assert "hunter2" not in repr((journal.created, journal.transitions))
        assert f"Logged in with {MASK}" in repr(journal.transitions)

    def test_of_a_flow_with_a_task(self, journal: Any, clock: Any) -> None:
        @task(tags=["b", "a"])
        def step(number: int, extra: str = "x") -> int:
            clock.advance(5)
            return number

        @flow(name="My Flow", tags=["etl"])
        def f(number: int) -> int:
            return step(number + 1)

        began = clock.now()
        f("1")
        above, below = journal.run("My Flow"), journal.run("step")
        assert (above.kind, above.definition, above.key) == ("flow", "My Flow", f"{__name__}.{f.__qualname__}")
        assert (above.parameters, list(above.tags), above.created) == ({"number": "1"}, ["etl"], began)
        assert above.process_id == os.getpid()
        assert (below.kind, below.name, below.definition) == ("task", "step-1", "step")
        assert (below.parameters, list(below.tags)) == ({"number": "2", "extra": "'x'"}, ["a", "b"])
        assert (below.flow_run_id, below.parent_run_id) == (above.run_id, above.run_id)
        running, completed = journal.transitions[below.run_id]
        assert (running.state_type, running.state_name, running.epoch) == ("RUNNING", "Running", 1)
        assert (completed.timestamp - running.timestamp).total_seconds() == 5
        assert running.transition_id != completed.transition_id

    def test_a_submitted_task_is_there_before_it_runs(self, journal: Any) -> None:
        seen: list[bool] = []

        @flow
        def f() -> None:
            future = task(lambda: time.sleep(0.01), name="slow").submit()
            waiting = task(lambda _: 1, name="waiting").submit(future)
            seen.append("waiting-1" in {run.name for run in journal.created.values()})
            assert journal.run("waiting").parameters == {"_": "<result of slow-1>"}
            waiting.wait()

        f()
        assert seen == [True]

    def test_a_failure_is_told_with_its_message(self, journal: Any) -> None:
        task(lambda: 1 // 0, name="f")(return_state=True)
        (*_, last) = journal.transitions[journal.run("f").run_id]
        assert (
            last.message == "Task run encountered an exception: ZeroDivisionError: integer division or modulo by zero"
        )

    def test_reach_the_real_history_before_a_flow_returns(self, world: World) -> None:
        step = task(lambda n: n + 1, name="step", tags=["x"])
        recorder = default_recorder()
        with use_world(World(world.settings, recorder)):
            flow(lambda: step.map([1, 2]).result(), name="f")()
            with pytest.raises(ZeroDivisionError):
                flow(lambda: 1 // 0, name="bad", retries=1)()
        history = RunHistory(default_path())
        runs = {run.definition: run for run in history.list(kind=None)}
        steps = [run for run in history.list(kind="task") if run.state_name == "Completed"]
        recorder.close()
        assert (runs["f"].state_name, runs["bad"].state_name, runs["bad"].epoch) == ("Completed", "Failed", 2)
        assert sorted(run.name for run in steps) == ["step-1", "step-2"]
        assert {run.parent_run_id for run in steps} == {runs["f"].run_id}
        assert all(list(run.tags) == ["x"] and run.duration is not None for run in steps)

    def test_nothing_is_told_where_nobody_listens(self, world: World) -> None:
        with use_world(World(world.settings)):
            assert flow(lambda: task(lambda: 1)() + 1)() == 2

    def test_of_a_history_that_is_not_safe_the_recorder_speaks_not_the_flow(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken:
            def record(self, event: object) -> None: ...

            def flush(self) -> bool:
                return False

            def close(self) -> None: ...

        with use_world(World(world.settings, Broken())):
            assert flow(lambda: 1)() == 1
        assert "history" not in caplog.text


class Colour(Enum):
    RED = 1


class ApiKey(SecretStr):
    pass


class Keeper:
    """Not pydantic's: whatever has this method is a secret."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __len__(self) -> int:
        return len(self._text)

    def get_secret_value(self) -> str:
        return self._text


@dataclass
class Login:
    user: str
    password: str
    hidden: str = field(repr=False, default="hunter2")


class Model(BaseModel):
    user: str
    key: SecretStr
    hidden: str = Field(repr=False, default="hunter2")
    inner: dict[str, Any] = {}


class Guarded(BaseModel):
    value: str

    def __repr__(self) -> str:
        return "Guarded()"


class Broken:
    def __len__(self) -> int:
        raise ValueError


class TestRendering:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (1, "1"),
            (True, "True"),
            (None, "None"),
            ("x", "'x'"),
            (1.5, "1.5"),
            ([1, "a"], "[1, 'a']"),
            ((1,), "(1)"),
            ({"a": [1]}, "{'a': [1]}"),
            ([[[[1]]]], "[[[[...]]]]"[:11]),
            (list(range(100)), "[0, 1, 2, 3, 4, 5, ... 100 in all]"),
            (Colour.RED, "<Colour.RED: 1>"),
            (Path("/a"), f"{Path('/a')!r}"),
            (datetime(2026, 1, 1, tzinfo=UTC), "datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)"),
            (UUID(int=0), "UUID('00000000-0000-0000-0000-000000000000')"),
            (np.zeros((2, 3)), "<ndarray 2x3 float64>"),
            (pd.DataFrame({"a": [1]}), "<DataFrame 1x1>"),
            (object(), "<object>"),
            (Broken(), "<Broken>"),
            (Colour, "<Colour>"),
            (len, "<len>"),
            (Login("me", "hunter2"), f"Login(user='me', password={MASK})"),
            (Model(user="me", key="hunter2"), f"Model(user='me', key={MASK}, inner={{}})"),
            (Guarded(value="hunter2"), "Guarded()"),
            (SecretStr("hunter2"), MASK),
            (ApiKey("hunter2"), MASK),
            ([ApiKey("hunter2"), {ApiKey("x"): 1}], f"[{MASK}, {{{MASK}: 1}}]"),
            (Keeper("hunter2"), MASK),
            (
                {"db": {"api_key": "hunter2", "x-access-token": "hunter2"}},
                f"{{'db': {{'api_key': {MASK}, 'x-access-token': {MASK}}}}}",
            ),
        ],
    )
    def test_shows_what_is_short_and_plain(self, value: Any, shown: str) -> None:
        assert render(value) == shown

    @pytest.mark.parametrize(
        "make",
        [
            lambda: "x" * 10**7,
            lambda: list(range(10**6)),
            lambda: 10**20_000,
            lambda: dict.fromkeys(range(10**5), "y" * 100),
        ],
    )
    def test_is_short_and_quick_whatever_the_size(self, make: Any) -> None:
        value = make()
        tracemalloc.start()
        try:
            assert len(render(value)) <= LIMIT
            assert tracemalloc.get_traced_memory()[1] < 100_000  # bytes: it looks at little of it
        finally:
            tracemalloc.stop()

    @given(
        st.recursive(
            st.text() | st.binary() | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
        )
    )
    @hypothesis_settings(max_examples=50)
    def test_is_always_short(self, value: Any) -> None:
        assert len(render(value)) <= LIMIT

    def test_what_is_called_a_secret_is_masked(self) -> None:
        names = [
            "password",
            "db_password",
            "api_key",
            "TOKEN",
            "secret",
            "aws_access_key",
            "credentials",
            "client_secret",
            "db_pass",
            "pass",
            "pw",
            "PWD",
            "authToken",
            "apiToken",
            "APIKey",
            "APIkey",
            "apiKey2",
            "x-api-key",
            "awsAccessKeyId",
            "account_key",
            "auth",
            "auth_header",
            "Authorization",
            "sas",
            "sasUrl",
            "X-Amz-Signature",
            "userCredential",
            "dbpassword",
            "password1",
        ]
        assert set(render_all(dict.fromkeys(names, "hunter2")).values()) == {MASK}
        plain = ["keyboard", "tokenizer", "secretary", "key", "path", "author", "passenger", "compass", "bypassed"]
        assert MASK not in render_all(dict.fromkeys(plain, "x")).values()

    def test_what_a_task_calls_a_secret_is_told_by_its_type(self, journal: Any) -> None:
        @task
        def f(value: SecretStr, others: "dict[str, SecretStr]") -> None:
            pass

        f("hunter2", {"a": "hunter2"})
        assert journal.run("f").parameters == {"value": "<str>", "others": "<dict>"}

    def test_what_a_flow_wraps_up_is_told_wrapped_up(self, journal: Any) -> None:
        @flow
        def f(value: SecretStr, login: Model) -> str:
            return value.get_secret_value()

        assert f("hunter2", {"user": "me", "key": "hunter2"}) == "hunter2"
        assert "hunter2" not in repr(journal.created)


class TestNames:
    def test_of_flow_runs_are_two_words(self) -> None:
        names = {flow_run_name() for _ in range(500)}
        assert all(len(name.split("-")) == 2 and name.isascii() and name.islower() for name in names)
        assert len(names) > 450

    def test_of_task_runs_are_counted_without_a_repeat(self) -> None:
        counter, names = Counter(), []
        threads = [
            threading.Thread(target=lambda: names.extend(counter.name("t") for _ in range(500))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(names, key=lambda name: int(name[2:])) == [f"t-{number}" for number in range(1, 4001)]

"""What is kept of logs: every line of a run, in order, whatever happens to it on its way."""

# ruff: noqa: TRY301  errors are raised to be caught and logged

import asyncio
import json
import logging
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from entrepot import flow, get_run_logger, task
from entrepot._secrets import MASK, forget_secrets, remember_secret
from entrepot.artifacts import create_markdown_artifact, create_table_artifact
from entrepot.blocks.system import Secret
from entrepot.engine.world import World, use_world
from entrepot.errors import MissingContextError
from entrepot.logging import (
    FLOW_RUNS,
    TASK_RUNS,
    HistoryHandler,
    disable_run_logger,
    flow_run_logger,
    get_logger,
    task_run_logger,
)
from entrepot.logging.history import LONGEST_LINE
from entrepot.runs import LocalRecorder, RunHistory, RunLogs, default_path
from entrepot.runs.batch import LONGEST_TEXT
from entrepot.settings import current
from entrepot_test_secrets import leaks

from .conftest import Kept


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[LocalRecorder]:
    recorder = LocalRecorder(tmp_path / "runs.db")
    with use_world(World(current(), recorder)):
        yield recorder
    recorder.close()


def everything(recorder: LocalRecorder) -> bytes:
    """Return the raw bytes of the history, also of what is not in the main file yet."""
    folder = recorder._path.parent
    return b"".join(path.read_bytes() for path in sorted(folder.glob("runs.db*")))


class TestLines:
    def test_say_which_run_when_and_how_bad(self, kept: Kept) -> None:
        @task
        def step() -> None:
            get_run_logger().warning("from the %s", "task")

        @flow
        def f() -> None:
            get_run_logger().info("from the flow")
            step()

        before = datetime.now(UTC) - timedelta(seconds=1)
        f()
        whole, part = kept.created
        assert [(line.run_id, line.flow_run_id, line.level, line.logger, line.message) for line in kept.lines] == [
            (whole.run_id, whole.run_id, 20, FLOW_RUNS.name, f"Beginning flow run {whole.name!r} for flow 'f'"),
            (whole.run_id, whole.run_id, 20, FLOW_RUNS.name, "from the flow"),
            (part.run_id, whole.run_id, 30, TASK_RUNS.name, "from the task"),
            (part.run_id, whole.run_id, 20, TASK_RUNS.name, "Finished in state Completed()"),
            (whole.run_id, whole.run_id, 20, FLOW_RUNS.name, "Finished in state Completed()"),
        ]
        assert all(before < line.timestamp < datetime.now(UTC) for line in kept.lines)

    def test_of_submitted_mapped_and_async_tasks_and_subflows_are_theirs(self, kept: Kept) -> None:
        @task
        def step(text: str) -> None:
            get_run_logger().info(text)

        @task
        async def astep(text: str) -> None:
            await asyncio.sleep(0)
            get_run_logger().info(text)

        @flow
        async def inner() -> None:
            get_run_logger().info("inner")
            await asyncio.gather(astep("async 1"), astep("async 2"))

        @flow
        async def outer() -> None:
            step.submit("submitted").wait()
            for future in step.map(["mapped 1", "mapped 2"]):
                future.wait()
            await inner()

        asyncio.run(outer())
        names = {text: kept.by(text) for text in ("submitted", "mapped 1", "mapped 2", "async 1", "async 2")}
        assert names["submitted"] == "step-1"
        assert {names["mapped 1"], names["mapped 2"]} == {"step-2", "step-3"}
        assert {names["async 1"], names["async 2"]} == {"astep-1", "astep-2"}
        assert kept.by("inner") == next(run.name for run in kept.created if run.definition == "inner")

    def test_hold_tracebacks_with_their_causes(self, kept: Kept) -> None:
        @flow
        def f() -> None:
            try:
                try:
                    {}["first"]
                except KeyError as error:
                    raise ValueError("second") from error
            except ValueError:
                get_run_logger().exception("it broke", stack_info=True)

        f()
        (line,) = [line.message for line in kept.lines if line.message.startswith("it broke")]
        assert line.index("KeyError: 'first'") < line.index("direct cause") < line.index("ValueError: second")
        assert "Stack (most recent call last)" in line

    @pytest.mark.parametrize(("level", "count"), [("DEBUG", 5), ("INFO", 3), ("ERROR", 0)])
    def test_are_of_the_level_that_is_set(self, level: str, count: int, kept: Kept) -> None:
        logging.getLogger("entrepot").setLevel(level)

        @flow
        def f() -> None:
            task(lambda: None, name="t")()

        f()
        assert len(kept.lines) == count

    def test_that_are_too_long_are_cut_as_the_recorder_would(self, kept: Kept, recorder: LocalRecorder) -> None:
        assert LONGEST_LINE == LONGEST_TEXT
        with use_world(World(current(), kept)):
            flow(lambda: get_run_logger().info("x" * 1_000_000), name="long")()
        flow(lambda: get_run_logger().info("x" * 1_000_000), name="long")()
        assert kept.lines[1].message == "x" * LONGEST_LINE + "..."
        recorder.flush()
        with sqlite3.connect(recorder._path) as connection:
            assert connection.execute("SELECT max(length(message)) FROM logs").fetchone() == (LONGEST_LINE + 3,)

    def test_whose_arguments_do_not_fit_are_kept_as_they_were_written(
        self, kept: Kept, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logging, "raiseExceptions", False)
        monkeypatch.setattr(logging.root, "handlers", [])  # pytest's raises
        flow(lambda: get_run_logger().info("%d of %s", "x"), name="f")()
        assert kept.lines[1].message == "%d of %s"

    def test_of_loggers_below_ours_are_kept_inside_runs(self, kept: Kept) -> None:
        get_logger("mine").warning("outside")

        @task
        def step() -> None:
            get_logger("mine").warning("inside")

        step()
        (line,) = [line for line in kept.lines if line.logger == "entrepot.mine"]
        assert (line.run_id, line.message) == (kept.created[0].run_id, "inside")

    def test_ten_thousand_keep_their_order(self, recorder: LocalRecorder) -> None:
        threads = 4

        @task
        def step(thread: int) -> None:
            logger = get_run_logger()
            for number in range(10_000 // threads):
                logger.info("%d %d", thread, number)

        @flow
        def f() -> None:
            for future in step.map(range(threads)):
                future.wait()

        f()
        recorder.flush()
        history = RunHistory(recorder._path)
        (run,) = history.list()
        seen: dict[int, int] = {}
        for line in RunLogs(history, run.run_id).read():
            if line.message[0].isdigit():
                thread, number = map(int, line.message.split())
                assert number == seen.get(thread, -1) + 1
                seen[thread] = number
        assert seen == dict.fromkeys(range(threads), 10_000 // threads - 1)

    def test_are_of_their_run_whatever_the_caller_adds(self, kept: Kept) -> None:
        @flow
        def f() -> None:
            get_run_logger(run_id="mine").info("one", extra={"run_id": "mine", "run_kind": "other", "shape": "round"})
            get_logger("mine").info("two", extra={"run_id": "another library's"})

        f()
        assert [kept.by("one"), kept.by("two")] == [kept.created[0].name] * 2


class TestWhereTheyGo:
    def test_is_the_recorder_of_the_runs_world(self, kept: Kept) -> None:
        other = Kept()
        outer = get_run_logger

        @flow
        def f() -> Any:
            return [outer()]

        (logger,) = f()
        with use_world(World(current(), other)):
            flow(lambda: logger.info("of the first"), name="g")()
        logger.info("later")
        assert [message for _, message in kept.said()][-2:] == ["of the first", "later"]
        assert "of the first" not in [line.message for line in other.lines]

    def test_is_nowhere_without_a_recorder(self, entrepot_home: Path) -> None:
        with use_world(World(current(), None)):
            flow(lambda: get_run_logger().info("x"), name="f")()
        assert not entrepot_home.exists()

    @pytest.mark.parametrize("variable", ["ENTREPOT_RUNS_RECORD", "ENTREPOT_LOGGING_TO_HISTORY"])
    def test_is_nowhere_where_the_settings_say_so(self, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(variable, "false")
        flow(lambda: get_run_logger().info("x"), name="f")()
        path = default_path()
        assert path.exists() is (variable == "ENTREPOT_LOGGING_TO_HISTORY")
        if path.exists():
            with sqlite3.connect(path) as connection:
                assert connection.execute("SELECT count(*) FROM logs").fetchone() == (0,)
        monkeypatch.setenv(variable, "true")
        flow(lambda: get_run_logger().info("x"), name="f")()
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT count(*) FROM logs").fetchone() == (3,)

    def test_is_the_default_one_for_a_logger_that_came_from_another_process(self, kept: Kept) -> None:
        @flow
        def f() -> Any:
            return [get_run_logger(shape="round")]

        logger = pickle.loads(pickle.dumps(f()[0]))
        thread = threading.Thread(target=logger.info, args=("from afar",))  # a thread that has said nothing yet
        thread.start()
        thread.join()
        run = kept.created[0]
        assert "from afar" not in [line.message for line in kept.lines]
        from entrepot.runs import default_recorder  # noqa: PLC0415  it opens the file

        default_recorder().flush()
        with sqlite3.connect(default_path()) as connection:
            assert connection.execute("SELECT run_id, message FROM logs").fetchall() == [(run.run_id, "from afar")]

    def test_is_the_history_from_a_process_that_was_given_a_logger(self, entrepot_home: Path, tmp_path: Path) -> None:
        script = tmp_path / "spawns.py"
        script.write_text(
            "import multiprocessing\n"
            "from entrepot import flow, get_run_logger\n"
            "def work(logger):\n"
            "    logger.info('from a process')\n"
            "@flow\n"
            "def f():\n"
            "    process = multiprocessing.get_context('spawn').Process(target=work, args=(get_run_logger(),))\n"
            "    process.start()\n"
            "    process.join()\n"
            "if __name__ == '__main__':\n"
            "    f()\n"
        )
        ran = subprocess.run([sys.executable, script], check=True, timeout=60, capture_output=True, text=True)
        (run,) = RunHistory(default_path()).list()
        said = [line.message for line in RunLogs(RunHistory(default_path()), run.run_id).read()]
        assert said.count("from a process") == 1
        assert ran.stderr.count(f"Flow run {run.name!r} ({run.run_id[:8]}) - from a process") == 1

    def test_lines_of_the_recorder_go_in_no_circle(self) -> None:
        class Chatty(Kept):
            def record(self, event: Any) -> None:
                logging.getLogger("entrepot.runs").warning("of the local one")
                get_logger("elsewhere").warning("of another about %s", type(event).__name__)
                super().record(event)

        @flow
        def f() -> None:
            task(lambda: get_run_logger().info("said"), name="t")()

        chatty = Chatty()
        with use_world(World(current(), chatty)):
            f()
        messages = [line.message for line in chatty.lines]
        assert "said" in messages
        assert "of the local one" not in messages
        assert "of another about LogLine" not in messages

    def test_a_recorder_that_raises_breaks_no_flow(self, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        real = Kept.record

        def record(self: Kept, event: Any) -> None:
            if type(event).__name__ == "LogLine":
                raise RuntimeError("full")
            real(self, event)

        monkeypatch.setattr(Kept, "record", record)
        monkeypatch.setattr(logging, "raiseExceptions", False)
        assert flow(lambda: 1, name="f")() == 1

    def test_a_program_that_configures_logging_anew_loses_no_lines_of_later_runs(self, kept: Kept) -> None:
        f = flow(lambda: get_run_logger().info("said"), name="f")
        f()
        logger = logging.getLogger("entrepot")
        ours = [handler for handler in logger.handlers if isinstance(handler, HistoryHandler)]
        for handler in ours:
            logger.removeHandler(handler)
        f()
        assert [line.message for line in kept.lines].count("said") == 2

    def test_a_forked_child_keeps_its_own(self, entrepot_home: Path, tmp_path: Path) -> None:
        script = tmp_path / "forks.py"
        script.write_text(
            "import os\n"
            "from entrepot import flow, get_run_logger\n"
            "@flow\n"
            "def f():\n"
            "    get_run_logger().info('parent')\n"
            "    child = os.fork()\n"
            "    if not child:\n"
            "        get_run_logger().info('child')\n"
            "        from entrepot.runs import default_recorder\n"
            "        default_recorder().flush()\n"
            "        os._exit(0)\n"
            "    os.waitpid(child, 0)\n"
            "f()\n"
        )
        subprocess.run([sys.executable, script], check=True, timeout=60, capture_output=True)
        (run,) = RunHistory(default_path()).list()
        said = {line.message for line in RunLogs(RunHistory(default_path()), run.run_id).read()}
        assert {"parent", "child"} <= said


class TestSecrets:
    @settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        secret=st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=5),
        before=st.text(max_size=5),
        after=st.text(max_size=5),
    )
    def test_are_nowhere_in_the_file(
        self, secret: str, before: str, after: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        secret = secret.strip()
        assume(len(secret) >= 5)
        assume(not secret.isascii() or len(secret) > 20)  # else it may be a word of the file's own: "index"
        said = before + secret + after
        forget_secrets()
        block = Secret(value=secret)

        @task
        def step(harmless: str) -> None:
            get_run_logger().info("%s and %r", said, said.encode("utf-8", "replace"))
            try:
                raise KeyError(said)
            except KeyError as error:
                raise ValueError(block.get(), secret.encode().hex()) from error

        @flow(log_prints=True)
        def f(harmless: dict[str, str]) -> None:
            print(said)  # noqa: T201  it is a line
            step.submit(said).wait()
            step(said, return_state=True)

        # A file of its own: what is harmless in one example is the secret of another.
        recorder = LocalRecorder(tmp_path_factory.mktemp("history") / "runs.db")
        with use_world(World(current(), recorder)):
            f({"x": said}, return_state=True)
        recorder.flush()
        raw = everything(recorder)
        recorder.close()
        assert MASK.encode() in raw
        assert [form for form in leaks(raw, secret) if len(form) >= 5] == []

    def test_are_masked_where_a_line_is_cut(self, kept: Kept) -> None:
        secret = Secret(value="hunter2-hunter2-hunter2")
        padding = "x" * (LONGEST_LINE - 8)
        flow(lambda: get_run_logger().info("%s%s%s", padding, secret.get(), "y" * 200_000), name="f")()
        message = kept.lines[1].message
        assert "hunter2" not in message
        assert message.endswith("x********...")

    def test_are_no_longer_in_the_state_that_repeats_them(self, kept: Kept) -> None:
        secret = Secret(value="hunter2-hunter2")

        @task
        def bad() -> None:
            raise RuntimeError(f"no answer of https://x/?key={secret.get()}")

        state = bad(return_state=True)
        assert (
            state.message == "Task run encountered an exception: RuntimeError: no answer of https://x/?key=**********"
        )
        assert [said.message for said in kept.transitions][-1] == state.message
        assert "hunter2" in str(state.data)  # the program's own exception is its own

    def test_are_masked_in_artifacts(self, entrepot_home: Path) -> None:
        secret = Secret(value='12345"quoted').get()
        remember_secret("98765")

        @flow
        def f() -> None:
            create_table_artifact([{"name": secret, "number": 98765}], description=f"of {secret}")
            create_markdown_artifact(f"# {secret}\n{secret.encode().hex()}")

        f()
        with sqlite3.connect(default_path()) as connection:
            rows = connection.execute("SELECT type, data, description FROM artifacts ORDER BY number").fetchall()
        (_, table, description), (_, markdown, _) = rows
        assert json.loads(table)[0] == {"name": MASK, "number": 98765}
        assert (description, json.loads(markdown)) == (f"of {MASK}", f"# {MASK}\n{MASK}")


class TestOtherLoggers:
    def test_of_runs_from_outside(self, kept: Kept) -> None:
        got: list[Any] = []

        @task
        def step() -> None:
            from entrepot.context import get_run_context  # noqa: PLC0415  for one test

            got.append(get_run_context().task_run)  # type: ignore[union-attr]
            got.append(get_run_context().flow_run_context.flow_run)  # type: ignore[union-attr]

        @flow
        def f() -> None:
            step()

        f()
        task_run, flow_run = got

        @flow
        def hooked() -> None:
            task_run_logger(task_run).info("of the task")
            flow_run_logger(flow_run, why="hook").info("of the flow")

        hooked()
        assert kept.by("of the task") == task_run.name
        assert kept.by("of the flow") == flow_run.name

    def test_can_be_silenced(self, kept: Kept) -> None:
        @task
        def step() -> str:
            get_run_logger().error("not heard")
            return "done"

        with disable_run_logger():
            assert step.fn() == "done"
            assert step() == "done"
        assert kept.lines == []
        step()
        assert "not heard" in [line.message for line in kept.lines]

    def test_is_silent_until_the_last_who_wanted_it(self, kept: Kept) -> None:
        first, second = disable_run_logger(), disable_run_logger()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert FLOW_RUNS.disabled
        get_run_logger().info("outside of runs, and silent")
        second.__exit__(None, None, None)
        assert not FLOW_RUNS.disabled
        with pytest.raises(MissingContextError):
            get_run_logger()

    def test_the_log_of_a_run_costs_no_lock(self) -> None:
        handler = HistoryHandler()
        assert handler.lock is None

    def test_many_threads_at_once(self, kept: Kept) -> None:
        gate = threading.Barrier(8)

        @flow
        def f() -> None:
            def work(number: int) -> None:
                gate.wait(30)
                for count in range(50):
                    get_run_logger().info("%d-%d", number, count)

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(work, range(8)))

        f()
        said = [line.message for line in kept.lines if line.message[0].isdigit()]
        assert sorted(said) == sorted(f"{number}-{count}" for number in range(8) for count in range(50))
        assert os.getpid() == kept.created[0].process_id

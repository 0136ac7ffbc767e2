"""Mapping over very much: read as it goes, with few under way at a time, and let go when it is done."""

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entrepot import flow, task, unmapped
from entrepot.engine import children
from entrepot.engine.world import World, use_world
from entrepot.errors import ParameterError
from entrepot.task_runners import SequentialTaskRunner, ThreadPoolTaskRunner


@task
def same(value: Any, other: Any = None) -> Any:
    return value


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_ROOM", 20)
    monkeypatch.setattr(children, "_STALL", 0.05)


class TestBackPressure:
    def test_a_generator_is_read_no_further_than_there_is_room(
        self, little_room: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(children, "_STALL", 600)  # or it goes on where the threads come to nothing for so long
        read, done, ahead = 0, 0, 0
        lock = threading.Lock()

        def numbers() -> Iterator[int]:
            nonlocal read, ahead
            for number in range(500):
                read += 1
                ahead = max(ahead, read - done)
                yield number

        @task
        def count(_: int) -> None:
            nonlocal done
            time.sleep(0.0005)
            with lock:
                done += 1

        @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
        def f() -> int:
            return len(count.map(numbers()).result())

        assert f() == 500
        assert ahead <= 25

    def test_it_never_waits_for_what_the_flow_does_next(self, little_room: None) -> None:
        gate = threading.Event()

        @task
        def waits(_: int) -> bool:
            return gate.wait(120)

        @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
        def f() -> list[bool]:
            futures = waits.map(range(100))
            gate.set()
            return futures.result(timeout=120)

        assert f() == [True] * 100

    def test_there_is_room_for_several_times_as_many_as_run_at_a_time(self, little_room: None) -> None:
        together = threading.Barrier(40)

        @flow(task_runner=ThreadPoolTaskRunner(max_workers=40))
        def f() -> int:
            return len(task(lambda _: together.wait(120)).map(range(40)).result())

        assert f() == 40

    def test_a_timeout_ends_the_wait(self, little_room: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(children, "_STALL", 600)

        @flow(timeout_seconds=0.2, task_runner=ThreadPoolTaskRunner(max_workers=1))
        def f() -> None:
            task(lambda _: threading.Event().wait(600)).map(range(100))

        with pytest.raises(TimeoutError):
            f()

    def test_an_endless_generator_is_read_as_long_as_the_flow_may_run(self, little_room: None) -> None:
        def forever() -> Iterator[int]:
            number = 0
            while True:
                yield number
                number += 1

        with pytest.raises(TimeoutError):
            flow(lambda: same.map(forever()), timeout_seconds=0.3)()

    @pytest.mark.parametrize("runner", [ThreadPoolTaskRunner(), SequentialTaskRunner()], ids=str)
    def test_ten_thousand(self, runner: Any, world: World) -> None:
        with use_world(World(world.settings)):
            assert flow(lambda: sum(same.map(range(10_000)).result()), task_runner=runner)() == 49_995_000


class TestColumns:
    def test_iterators_of_one_length_go_together(self) -> None:
        @task
        def pair(a: Any, b: Any, c: Any) -> Any:
            return a, b, c

        @flow
        def f() -> Any:
            return pair.map(iter([1, 2]), (c for c in "xy"), unmapped([3])).result()

        assert f() == [(1, "x", [3]), (2, "y", [3])]

    @pytest.mark.parametrize(
        ("first", "second", "words"),
        [
            (lambda: iter([1, 2]), lambda: iter([1, 2, 3]), "argument 1 has 2, other has more than 2"),
            (lambda: [1, 2], lambda: iter([1]), "argument 1 has more than 1, other has 1"),
            (lambda: [1, 2], lambda: [1, 2, 3], "argument 1 has 2, other has 3"),
        ],
    )
    def test_other_lengths_are_seen_at_the_latest_at_the_end(self, first: Any, second: Any, words: str) -> None:
        @flow
        def f() -> None:
            with pytest.raises(ParameterError, match=words):
                same.map(first(), other=second())

        f()

    def test_a_set_and_the_keys_of_a_dict(self) -> None:
        assert flow(lambda: sorted(same.map({3, 1}).result() + same.map({5: 6}.keys()).result()))() == [1, 3, 5]


class Thing:
    pass


class TestMemory:
    @pytest.fixture(autouse=True)
    def quiet(self, world: World) -> Iterator[None]:
        with use_world(World(world.settings)):
            yield

    def test_a_result_is_let_go_when_its_last_reader_is_done(self) -> None:
        watched: list[weakref.ref[Thing]] = []
        seen: list[bool] = []

        @task
        def make() -> Thing:
            thing = Thing()
            watched.append(weakref.ref(thing))
            return thing

        @task
        def read(_: Thing) -> int:
            return 1

        @task
        def look(_: int) -> None:
            for _attempt in range(100):  # the thread that read it may still be on its way out
                gc.collect()
                if watched[0]() is None:
                    break
                time.sleep(0.01)
            seen.append(watched[0]() is None)

        @flow
        def f() -> None:
            look.submit(read.submit(make.submit())).wait()

        f()
        assert seen == [True]

    def test_finished_tasks_cost_little_while_their_futures_are_kept(self, tmp_path: Path) -> None:
        code = (
            "import gc, os\n"
            "from entrepot import flow, task\n"
            "inc = task(lambda n: n + 1, name='inc')\n"
            "def resident():\n"
            "    gc.collect()\n"
            "    return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
            "@flow\n"
            "def f():\n"
            "    inc.map(range(2000)).wait()\n"
            "    before = resident()\n"
            "    futures = inc.map(range(20_000))\n"
            "    futures.wait()\n"
            "    print((resident() - before) / 20_000)\n"
            "f()\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            check=True,
            env={**os.environ, "ENTREPOT_LOGGING_LEVEL": "ERROR"},
        )
        assert float(ran.stdout) < 3000

"""Secrets that many ask for at once, and sources that hang, fail, or say too much."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ClassVar

import pytest

from entrepot import flow
from entrepot.blocks import Secret, SecretReference, _lookups
from entrepot.errors import SecretReferenceError
from entrepot.plugins import SECRET_SOURCES
from entrepot_test_processes import until

HUNTER = "hunter2-of-the-lookups"
LONG = 120  # seconds: what should come does, and what should not is not waited for


class Door:
    """A source that answers when it is told to."""

    asked: ClassVar[list[str]] = []
    waiting: ClassVar[threading.Event] = threading.Event()
    open: ClassVar[threading.Event] = threading.Event()
    behaviour: ClassVar[str] = "answer"

    def get(self, rest: str) -> str | bytes:
        self.asked.append(rest)
        self.waiting.set()
        assert self.open.wait(LONG)
        if self.behaviour == "fail":
            raise SecretReferenceError("the door is shut; knock")
        if self.behaviour == "stop":
            raise KeyboardInterrupt
        return "x" * ((1 << 20) + 1) if self.behaviour == "long" else HUNTER


@pytest.fixture(autouse=True)
def door() -> Iterator[type[Door]]:
    Door.asked.clear()
    Door.waiting.clear()
    Door.open.clear()
    Door.behaviour = "answer"
    SECRET_SOURCES.register("door", Door)
    yield Door
    Door.open.set()
    SECRET_SOURCES.forget("door")


def ask() -> str:
    try:
        return SecretReference("door://x").get_secret_value()
    except SecretReferenceError as error:
        return str(error)


def ask_at_once(pool: ThreadPoolExecutor, number: int) -> list[str]:
    """Ask in many threads of a run, and open the door when all of them wait."""
    futures = [pool.submit(copy_context().run, ask) for _ in range(number)]
    assert Door.waiting.wait(LONG)
    kept = _lookups._kept()
    assert kept is not None
    (flight,) = kept.flights.values()
    until(lambda: len(flight.done._cond._waiters) == number - 1)  # type: ignore[attr-defined]  each waits for the first
    Door.open.set()
    return [future.result(LONG) for future in futures]


@pytest.mark.parametrize(("behaviour", "said"), [("answer", HUNTER), ("fail", "the door is shut; knock")])
def test_threads_of_a_run_that_wait_have_one_answer_an_error_too(behaviour: str, said: str) -> None:
    Door.behaviour = behaviour

    @flow
    def main() -> list[str]:
        with ThreadPoolExecutor(8) as pool:
            return ask_at_once(pool, 8)

    answers = main()
    assert len(answers) == 8
    assert all(said in answer for answer in answers)
    assert Door.asked == ["x"]


def test_a_failure_is_not_kept_for_who_comes_later() -> None:
    Door.open.set()

    @flow
    def main() -> str:
        Door.behaviour = "fail"
        assert "knock" in ask()
        Door.behaviour = "answer"
        return ask() + ask()

    assert main() == HUNTER * 2
    assert Door.asked == ["x", "x"]


def test_who_is_stopped_while_asking_leaves_it_to_the_next() -> None:
    @flow
    def main() -> str:
        with ThreadPoolExecutor(2) as pool:
            Door.behaviour = "stop"
            first = pool.submit(copy_context().run, ask)
            assert Door.waiting.wait(LONG)
            second = pool.submit(copy_context().run, ask)
            kept = _lookups._kept()
            assert kept is not None
            (flight,) = kept.flights.values()
            until(lambda: bool(flight.done._cond._waiters))  # type: ignore[attr-defined]
            Door.open.set()
            assert isinstance(first.exception(LONG), KeyboardInterrupt)
            with pytest.raises(KeyboardInterrupt):
                second.result(LONG)
            Door.behaviour = "answer"
            return ask()

    assert main() == HUNTER
    assert Door.asked == ["x"] * 3


def test_a_source_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lookups, "_DEADLINE", 0.05)
    with pytest.raises(SecretReferenceError, match=r"Secret: value: .* gave no answer in 0.05 seconds; see that"):
        Secret(value="door://x").get()


def test_a_source_that_says_more_than_a_secret_is_refused() -> None:
    Door.behaviour = "long"
    Door.open.set()
    with pytest.raises(SecretReferenceError, match="more than 1048576 characters"):
        Secret(value="door://x").get()


FORKS = """
import os, signal, threading
from contextvars import copy_context

from entrepot import flow
from entrepot.blocks import SecretReference
from entrepot.plugins import SECRET_SOURCES

signal.alarm(200)
inside, go_on = threading.Event(), threading.Event()
parent = os.getpid()


class Slow:
    def get(self, rest):
        if os.getpid() == parent:
            inside.set()
            assert go_on.wait(120)
        return "found"


SECRET_SOURCES.register("slow", Slow)


@flow
def main():
    ask = SecretReference("slow://x").get_secret_value
    thread = threading.Thread(target=copy_context().run, args=(ask,))
    thread.start()
    assert inside.wait(120)
    child = os.fork()
    if not child:
        signal.alarm(200)
        os._exit(0 if ask() == "found" else 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    go_on.set()
    thread.join()
    return status


print("child ended with", main())
"""


def test_a_process_that_is_forked_meanwhile_asks_itself() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=False, timeout=240)
    assert done.stdout == "child ended with 0\n", done.stderr

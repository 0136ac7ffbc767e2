"""Somebody who answers flow runs that wait, from another thread; and what tests of that ask for."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import Field, SecretStr, field_validator

from entrepot.flow_runs import resume_flow_run
from entrepot.flow_runs.answering import Waiting, waiting
from entrepot.input import RunInput
from entrepot.runs import RunDetails, RunHistory, default_path, default_recorder

__all__ = ["HUNTER", "SOON", "Approval", "Point", "answering", "run_of", "says", "states", "wait_until"]

SOON = 0.01  # seconds between looks
HUNTER = "hunter2-correct-horse"


class Approval(RunInput):
    ok: bool
    reason: str = Field("", max_length=20)
    token: SecretStr = SecretStr("")

    @field_validator("reason")
    @classmethod
    def _check(cls, value: str) -> str:
        if value == "because":
            raise ValueError("that is no reason")
        return value


@dataclass
class Point:
    x: int
    y: int = 0


def says(answer: Any = None) -> Callable[[Waiting], None]:
    """Return an act of somebody who answers so."""
    return lambda one: resume_flow_run(one.pause.run_id, answer)


def run_of(name: str) -> RunDetails:
    default_recorder().flush()
    history = RunHistory(default_path())
    return history.get(history.list(flow=name)[0].run_id)


def states(name: str) -> list[str]:
    return [one.state_name for one in run_of(name).transitions]


def wait_until(look: Callable[[], Any], seconds: float = 120) -> Any:
    """Return what `look` returns as soon as that is something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
    return found


@contextmanager
def answering(*acts: Callable[[Waiting], object]) -> Iterator[list[Waiting]]:
    """Let somebody act on the next question, one act after the other, while the body runs; give what they saw."""
    seen: list[Waiting] = []
    errors: list[BaseException] = []

    def answer() -> None:
        try:
            for act in acts:
                (one,) = wait_until(lambda: [one for one in waiting() if one.pause not in [old.pause for old in seen]])
                seen.append(one)
                act(one)
        except BaseException as error:  # noqa: BLE001  it is raised below, in the thread of the test
            errors.append(error)

    person = threading.Thread(target=answer, daemon=True)
    person.start()
    yield seen
    person.join(180)
    assert not person.is_alive()
    if errors:
        raise errors[0]

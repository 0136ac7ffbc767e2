"""Tasks in a module that other processes can import, with what cannot be pickled beside them."""

import threading
import time
from pathlib import Path
from typing import Any

from entrepot import flow, task

LOCK = threading.Lock()  # cannot be pickled: who uses it has to be imported, not copied
CALLS: list[int] = []


class UnpicklableError(Exception):
    """Holds what cannot be pickled, and is made of what its pickle does not tell."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.lock = threading.Lock()


class Shop:
    """Has tasks as methods."""

    def __init__(self, name: str) -> None:
        self.name = name

    @task(isolation="process")
    def sell(self, what: str) -> str:
        return f"{self.name} sells {what}"

    @task(isolation="process")
    @staticmethod
    def price(n: int) -> int:
        return 2 * n


@task(isolation="process")
def uses_a_lock(n: int) -> int:
    with LOCK:
        CALLS.append(n)
        return len(CALLS)


@task
def square(n: int) -> int:
    return n * n


@task
async def square_later(n: int) -> int:
    return n * n


@flow
def squares(n: int) -> int:
    return sum(square.map(range(n)).result())


@task(isolation="process")
def recursive(n: int) -> int:
    return 0 if n == 0 else 1 + recursive.with_options(isolation=None)(n - 1)


@task
def sleeps(begun: Path) -> None:
    begun.touch()
    time.sleep(600)


def compute(n: int) -> Any:
    """Take long in C, with the lock of the interpreter held."""
    return sum(range(n))

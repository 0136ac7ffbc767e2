"""What type checkers make of flows and tasks: the types of their functions, arguments included."""

from pathlib import Path

import pytest

SAMPLE = """
from typing import Any, assert_type

from entrepot import State, flow, task, unmapped
from entrepot.futures import EntrepotFuture, FutureList


@task
def plain(x: int, y: str = "") -> float:
    return 1.0


@task(retries=3, tags=["a"], result_serializer="json")
def with_options(x: int) -> list[int]:
    return [x]


@task
async def later(x: int) -> str:
    return ""


@flow(name="f")
def sync_flow(n: int) -> dict[str, int]:
    assert_type(plain(1), float)
    assert_type(plain(1, return_state=True), State[float])
    assert_type(plain.submit(1), EntrepotFuture[float])
    assert_type(later.submit(1).result(), str)
    assert_type(with_options.map([1, 2]), FutureList[list[int]])
    assert_type(plain.map([1], unmapped(2), return_state=True), list[State[Any]])
    assert_type(plain.with_options(name="x")(1), float)
    return {}


@flow
async def async_flow(n: int) -> int:
    assert_type(await later(1), str)
    assert_type(await later(1, return_state=True), State[str])
    return 1


class Thing:
    @task
    def method(self, x: int) -> bytes:
        return b""


assert_type(Thing().method(1), bytes)
assert_type(sync_flow(1, return_state=True).result(), dict[str, int])
"""
WRONG = ['plain("x")', "plain(1, z=2)", "sync_flow()", "Thing().method()", "task(retrys=3)", 'flow(retries="x")']


def test_types_are_those_of_the_functions(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api", reason="mypy is not installed")
    sample = tmp_path / "sample.py"
    sample.write_text(SAMPLE + "".join(f"{line}  # wrong\n" for line in WRONG))
    cache = Path(__file__).parents[2] / ".mypy_cache"
    report, errors, _ = api.run(
        ["--strict", "--no-error-summary", "--hide-error-context", f"--cache-dir={cache}", str(sample)]
    )
    assert errors == ""
    first = SAMPLE.count("\n") + 1
    blamed = {int(line.split(":")[1]) for line in report.splitlines() if ": error:" in line}
    assert blamed == set(range(first, first + len(WRONG))), report

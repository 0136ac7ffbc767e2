"""A law: however often and wherever a flow is ended, each call in it completes once, with a result of its own."""

import itertools
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot import flow, task
from entrepot.cache_policies import NO_CACHE
from entrepot.errors import CrashedRunError
from entrepot.runs import RunHistory, default_path, default_recorder
from entrepot.storage import MemoryStorage


class Ended(BaseException):
    """What ends a flow from outside, as Ctrl-C would."""


class Workshop:
    """A flow that makes the calls that it is told, and can be ended when work begins, or is done."""

    def __init__(self, plan: list[tuple[str, int]]) -> None:  # noqa: C901  one function for each kind of call
        self.plan = plan
        self.completed: list[str] = []  # work that was done to its end
        self.until_the_end = 0  # beginnings and ends of work until the flow is ended; 0 for never
        self.to_fail: Counter[str] = Counter()
        tokens = itertools.count(1)

        def moment() -> None:
            self.until_the_end -= 1
            if self.until_the_end == 0:
                raise Ended

        def work(name: str) -> str:
            moment()
            token = f"{name}:{next(tokens)}"
            self.completed.append(name)
            return token

        # A version of their own, since their code is what they are closed over, which changes.
        kept: dict[str, Any] = {"persist_result": True, "result_storage": MemoryStorage(), "version": "1"}

        @task(**kept)
        def keyed(n: int) -> str:
            return work(f"keyed-{n}")

        @task(**kept, cache_policy=NO_CACHE)
        def plain(n: int) -> str:
            return work(f"plain-{n}")

        @task(**kept, refresh_cache=True)
        def fresh(n: int) -> str:
            return work(f"fresh-{n}")

        @task(**kept, cache_policy=NO_CACHE)
        def outer(n: int) -> list[str]:
            inner = plain(n)
            moment()
            return [inner, plain(n), work(f"outer-{n}")]

        @task(version="1")
        def passing(n: int) -> list[str]:  # its own result is not kept
            inner = plain(n)
            moment()
            return [inner, keyed(n)]

        @task(**kept, cache_policy=NO_CACHE)
        def shaky(n: int) -> list[str]:
            inner = plain(n)
            if self.to_fail[f"shaky-{n}"]:
                self.to_fail[f"shaky-{n}"] -= 1
                raise ValueError("not the first time")
            return [inner, work(f"shaky-{n}")]

        @flow(**kept)
        def sub(n: int) -> list[str]:
            first = keyed(n)
            moment()
            return [first, plain(n), *outer(n)]

        @flow(version="1")
        def loose(n: int) -> list[str]:
            return [keyed(n), plain(n), *sub(n)]

        calls = {
            "keyed": lambda n: [keyed(n)],
            "plain": lambda n: [plain(n)],
            "fresh": lambda n: [fresh(n)],
            "many": lambda n: plain.map([n, n, 3 - n]).result(),
            "outer": outer,
            "passing": passing,
            "shaky": shaky,
            "sub": sub,
            "loose": loose,
        }

        @flow(version="1")
        def main() -> list[list[str]]:
            found = []
            for what, n in self.plan:
                try:
                    found.append(calls[what](n))
                except ValueError:
                    found.append(calls[what](n))
                moment()
            return found

        self.main = main

    def run(self, ends: list[int]) -> list[list[str]]:
        """Run to completion: end it after so many moments, and resume it."""
        wanted = None
        for self.until_the_end in ends:
            try:
                return self.main(resume=wanted)
            except (Ended, CrashedRunError):  # the second, where it ended a task in another thread
                default_recorder().flush()
                wanted = RunHistory(default_path()).list(limit=1, flow="main")[0].run_id
        self.until_the_end = 0
        return self.main(resume=wanted)


WHAT = ["keyed", "plain", "fresh", "many", "outer", "passing", "sub", "loose"]
PLANS = st.lists(st.tuples(st.sampled_from(WHAT), st.sampled_from([1, 2])), min_size=1, max_size=7)
ENDS = st.lists(st.integers(1, 25), max_size=5)
HOW = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@HOW
@given(plan=PLANS, ends=ENDS)
def test_each_call_is_completed_once_and_its_result_serves_one_call(
    plan: list[tuple[str, int]], ends: list[int]
) -> None:
    whole, ended = Workshop(plan), Workshop(plan)
    expected, value = whole.run([]), ended.run(ends)
    assert Counter(ended.completed) == Counter(whole.completed)
    assert [[one.partition(":")[0] for one in some] for some in value] == [
        [one.partition(":")[0] for one in some] for some in expected
    ]
    alone = [one for some in value for one in some if not one.startswith("keyed")]
    assert len(set(alone)) == len(alone)


@HOW
@given(
    plan=st.lists(st.tuples(st.sampled_from(["plain", "shaky", "keyed"]), st.sampled_from([1, 2])), min_size=1),
    failures=st.lists(st.sampled_from(["shaky-1", "shaky-2"]), max_size=2, unique=True),
    ends=ENDS,
)
def test_a_call_that_failed_leaves_no_gap(plan: list[tuple[str, int]], failures: list[str], ends: list[int]) -> None:
    shop = Workshop(plan)
    shop.to_fail.update(failures)
    value = shop.run(ends)
    needed = Counter(f"{what}-{n}" for what, n in plan)
    done = Counter(shop.completed)
    assert {name: done[name] for name in needed if "shaky" in name} == {
        name: count for name, count in needed.items() if "shaky" in name
    }
    alone = [one for some in value for one in some if not one.startswith("keyed")]
    assert len(set(alone)) == len(alone)

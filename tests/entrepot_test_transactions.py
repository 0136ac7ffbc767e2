"""For tests about transactions: tasks that say what happens to them, and what others find in a store."""

import json
from typing import Any

from entrepot import home, task
from entrepot.cache_policies import INPUTS
from entrepot.results.lookup import Outcome
from entrepot.results.store import ResultStore


def visible(storage: Any) -> dict[str, Any]:
    """Return the values that a new reader of a storage finds, by the arguments of the calls, or by the user's key."""
    store = ResultStore(storage, ring=home.ring)
    found = {}
    for one in store.records():
        if one.outcome is Outcome.HIT and one.record is not None:
            value = store.lookup(one.record.key).value
            parts = one.record.parts
            found[parts.get("transaction") or parts.get("cache_key_fn") or json.dumps(value)] = value
    return found


class Diary:
    """What happened, in order, and tasks that write in it."""

    def __init__(self, storage: Any) -> None:
        self.storage = storage
        self.lines: list[str] = []

    def task(self, name: str = "step", **options: Any) -> Any:
        """Return a task that returns its argument, kept under it; with both hooks."""

        def call(x: Any) -> Any:
            self.lines.append(f"{name} {x}")
            if isinstance(x, str) and x.startswith("bad"):
                raise ValueError(x)
            return x

        made = task(
            call,
            **{
                "name": name,
                "cache_policy": INPUTS,
                "result_storage": self.storage,
                "result_serializer": "json",
                **options,
            },
        )

        def noting(what: str) -> Any:
            def hook(txn: Any) -> None:
                self.lines.append(f"{what} {name} {txn.get('x', '')}".rstrip())

            return hook

        made.on_commit(noting("commit"))
        made.on_rollback(noting("rollback"))
        return made

    @property
    def visible(self) -> list[Any]:
        """What others find, sorted."""
        return sorted(visible(self.storage).values(), key=str)

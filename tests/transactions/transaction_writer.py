"""For test_transaction_crash: starts processes that commit transactions until they are killed, and others that look."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import entrepot.engine.persistence
import entrepot.serializers.pickle
import entrepot.transactions  # noqa: F401  loaded once, before the forks, with the two above
from entrepot import settings, task
from entrepot.engine.world import World, use_world
from entrepot.results.lookup import Outcome
from entrepot.storage.local import LocalStorage
from entrepot_test_commits import commit
from entrepot_test_crashes import serve
from entrepot_test_results import Kept

MEMBERS = 5  # results of each transaction


def value_of(name: str, number: int, size: int) -> dict[str, Any]:
    return {"by": name, "number": number, "rest": f"{name}{number}" * size}


def key_of(task: dict[str, Any], name: str, number: int, member: int) -> str:
    """Return the key of a result: in the mode "replace", all transactions of all writers have the same ones."""
    return f"{member}" if task["mode"] == "replace" else f"{name}-{number}-{member}"


def write(task: dict[str, Any]) -> None:
    """Commit for ever; say after each transaction that it is done."""
    logging.disable()
    said = os.open(task["acknowledged"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    write_one = by_engine(task) if task["how"] == "engine" else directly(task)
    number = 0
    while True:
        write_one(number)
        os.write(said, b"%d\n" % number)
        number += 1


def directly(job: dict[str, Any]) -> Any:
    kept = Kept(LocalStorage(job["folder"]), inline_limit=job["inline_limit"])

    def write_one(number: int) -> None:
        value = value_of(job["name"], number, job["size"])
        values = {key_of(job, job["name"], number, member): value for member in range(MEMBERS)}
        commit(kept, values, replace=job["mode"] == "replace", patience=0.1)

    return write_one


def by_engine(job: dict[str, Any]) -> Any:
    from entrepot.transactions import transaction  # noqa: PLC0415  where it is used

    @task(
        cache_key_fn=lambda _, given: key_of(job, job["name"], given["number"], given["member"]),
        refresh_cache=job["mode"] == "replace",
        result_storage=LocalStorage(job["folder"]),
        result_serializer="json",
    )
    def step(number: int, member: int) -> dict[str, Any]:
        return value_of(job["name"], number, job["size"])

    world = World(settings.current(), None)

    def write_one(number: int) -> None:
        with use_world(world), transaction():
            for member in range(MEMBERS):
                step(number, member)

    return write_one


def read(task: dict[str, Any]) -> dict[str, int]:
    """Count what is wrong with what the writers of one store left."""
    look = looking(task)
    counts = {"half": 0, "lost": 0, "seen": 0, "damaged": 0}
    groups: list[tuple[list[Any], bool]] = []
    if task["mode"] == "replace":
        groups.append(([look("", 0, member) for member in range(MEMBERS)], any(task["writers"].values())))
    else:
        for name, acknowledged in task["writers"].items():
            for number in range(acknowledged + 1):
                found = [look(name, number, member) for member in range(MEMBERS)]
                groups.append((found, number < acknowledged))
    for found, must_be_there in groups:
        counts["damaged"] += any(one == "damaged" for one in found)
        counts["half"] += any(one != found[0] for one in found)
        counts["seen"] += found[0] is not None
        counts["lost"] += must_be_there and found[0] is None
        if isinstance(found[0], dict) and task["mode"] == "replace":
            # At least the last that its writer said was done; of those of others, nobody knows the order.
            counts["lost"] += found[0]["number"] < task["writers"][found[0]["by"]] - 1
            counts["damaged"] += found[0] != value_of(found[0]["by"], found[0]["number"], task["size"])
    return counts


def looking(task: dict[str, Any]) -> Any:
    """Return what looks up one member: a value, None where there is none, or "damaged"."""
    if task["how"] == "engine":
        from entrepot import home  # noqa: PLC0415  where it is used

        store = Kept(LocalStorage(task["folder"]), ring=home.ring).store
        keys = {one.record.parts["cache_key_fn"]: one.record.key for one in store.records() if one.record is not None}
    else:
        store = Kept(LocalStorage(task["folder"]), inline_limit=task["inline_limit"]).store
        keys = {}

    def look(name: str, number: int, member: int) -> Any:
        key = key_of(task, name, number, member)
        found = store.lookup(keys.get(key, key))
        if found.outcome is Outcome.HIT:
            return found.value
        return None if found.outcome is Outcome.MISS else "damaged"

    return look


def poll(task: dict[str, Any]) -> dict[str, int]:
    """Look all the time while one writer replaces the same results: never a newer one and then an older one."""
    look = looking(task)
    counts = {"half": 0, "polls": 0, "changes": 0, "damaged": 0}
    last = -1
    while not Path(task["stop"]).exists():
        for member in range(MEMBERS):
            found = look("", 0, member)
            counts["damaged"] += found == "damaged"
            number = found["number"] if isinstance(found, dict) else -1
            counts["half"] += number < last
            counts["changes"] += number > last
            last = max(last, number)
        counts["polls"] += 1
        if counts["changes"] > 1:
            Path(f"{task['report']}.seen").touch()  # there was something to see: the writer may end
    return counts


def poll_and_report(task: dict[str, Any]) -> None:
    Path(task["report"]).write_text(json.dumps(poll(task)), encoding="utf-8")


if __name__ == "__main__":
    serve({"write": write, "read": read, "poll": poll_and_report}, endless={"write", "poll"})

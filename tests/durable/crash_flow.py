"""A flow to be killed: `python crash_flow.py sync|async JOURNAL [--resume ID]`.

Each task notes in the journal when its work starts and ends, with a token that no other call has. What is printed is
what was reported to somebody: `flushed ID N` when the history has N completed runs of `load` in the flow run ID, and
`value JSON` at last.
"""

import argparse
import asyncio
import json
import os
import time
import uuid

from entrepot import flow, task
from entrepot.cache_policies import INPUTS, NO_CACHE
from entrepot.context import get_run_context
from entrepot.runs import default_recorder

PAUSE = 0.012  # seconds that the work of a task takes


def note(journal: str, what: str, name: str) -> None:
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{what} {name}\n".encode())
    os.close(descriptor)


def say(*words: str) -> None:
    os.write(1, (" ".join(words) + "\n").encode())


def work(journal: str, name: str) -> str:
    if get_run_context().task_run.run_count == 1:
        note(journal, "start", name)
    time.sleep(PAUSE)
    token = uuid.uuid4().hex
    note(journal, "end", f"{name} {token}")
    return f"{name} {token}"


@task(persist_result=True)
def load(journal: str, n: int) -> str:
    return work(journal, f"load-{n}")


@task(persist_result=True)
async def fetch(journal: str, n: int) -> str:
    note(journal, "start", f"fetch-{n}")
    await asyncio.sleep(PAUSE)
    token = uuid.uuid4().hex
    note(journal, "end", f"fetch-{n} {token}")
    return f"fetch-{n} {token}"


@task(persist_result=True, cache_policy=INPUTS)
def scale(journal: str, n: int, of: str) -> str:
    return work(journal, f"scale-{n}-{of.split()[1][:6]}")


@task(persist_result=True, cache_policy=NO_CACHE)
def charge(journal: str, amount: int) -> str:
    return work(journal, f"charge-{amount}")


@task(persist_result=True, cache_policy=NO_CACHE)
def order(journal: str, amount: int) -> list[str]:
    return [charge(journal, amount), work(journal, f"order-{amount}")]


@task(persist_result=True, refresh_cache=True)
def fresh(journal: str, n: int) -> str:
    return work(journal, f"fresh-{n}")


@task(persist_result=True, retries=2, retry_delay_seconds=0.005)
def flaky(journal: str, n: int) -> str:
    if get_run_context().task_run.run_count == 1:
        note(journal, "start", f"flaky-{n}")
        raise ConnectionError("the first try fails")
    return work(journal, f"flaky-{n}")


@flow(persist_result=True)
def shop(journal: str, amount: int) -> list[str]:
    return [load(journal, amount), charge(journal, amount)]


@flow
def plain(journal: str, n: int) -> list[str]:
    return [load(journal, n), *order(journal, n)]


def report(count: int) -> None:
    flow_run_id = get_run_context().flow_run.id
    if default_recorder().flush():
        say("flushed", flow_run_id, str(count))


@flow
def pipeline(journal: str, numbers: list[int]) -> list[str]:
    found = [load(journal, n) for n in numbers]
    report(len(numbers))
    futures = [load.submit(journal, n + 10) for n in numbers]
    scaled = scale.map(journal, numbers, found)
    found += [charge(journal, 5), charge(journal, 5)]
    found += shop(journal, 20)
    found += plain(journal, 30) + plain(journal, 30)
    found += order(journal, 5)
    found += order(journal, 5)
    found += [future.result() for future in futures] + scaled.result()
    found += [fresh(journal, 1), fresh(journal, 1), flaky(journal, 7), charge(journal, 5)]
    found += asyncio.run(fetch_all(journal, numbers))
    return found


@flow
async def fetch_all(journal: str, numbers: list[int]) -> list[str]:
    return list(await asyncio.gather(*[fetch(journal, n) for n in numbers]))


@flow
async def pipeline_async(journal: str, numbers: list[int]) -> list[str]:
    found = list(await asyncio.gather(*[fetch(journal, n) for n in numbers]))
    found += [load(journal, n) for n in numbers]
    report(len(numbers))
    futures = [load.submit(journal, n + 10) for n in numbers]
    found += [charge(journal, 5), charge(journal, 5), charge(journal, 5)]
    found += shop(journal, 20)
    found += plain(journal, 30) + plain(journal, 30)
    found += order(journal, 5)
    found += order(journal, 5)
    found += await fetch_all(journal, [n + 50 for n in numbers])
    found += [future.result() for future in futures]
    found += [fresh(journal, 1), fresh(journal, 1), flaky(journal, 7)]
    return found


NUMBERS = [1, 2, 3]

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("mode")
    parser.add_argument("journal")
    parser.add_argument("--resume")
    given = parser.parse_args()
    if given.mode == "sync":
        value = pipeline(given.journal, NUMBERS, resume=given.resume)
    else:
        value = asyncio.run(pipeline_async(given.journal, NUMBERS, resume=given.resume))
    say("value", json.dumps(value))

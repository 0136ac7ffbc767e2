"""The checking mode (`ENTREPOT_CHECK=1`): what the cache takes on trust is looked at, for the price of time.

Every key that a policy makes is made again in a second process, which loads the same code under another hash seed. And
what a run returned must still be that when another run takes it from its future: the engine may know large results by
the digest that they were stored with (`lineage.py`).
"""

import atexit
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from entrepot._sentinels import MISSING
from entrepot.engine.definition import Definition
from entrepot.engine.entrypoints import Entrypoint, entrypoint_of
from entrepot.errors import ChangedResultError, EntrepotError, UnhashableValueError, UnstableKeyError
from entrepot.futures import EntrepotFuture
from entrepot.hashing.values import hash_value
from entrepot.results.keys import CacheKey, CachePolicy, KeyContext
from entrepot.serializers import get_serializer
from entrepot.states import State

__all__ = ["Question", "check_key", "check_passed", "note_result"]

_LIMIT: Final = 100_000  # results that are remembered

_log = logging.getLogger("entrepot.checking")
_digests: dict[str, str] = {}  # of results, by the id of the state that holds them
_unchecked: set[str] = set()  # tasks of which it was said that they cannot be checked


# --- results that change in place -------------------------------------------------------------------------------------


def note_result(state: State[Any]) -> None:
    """Remember what a run returned, as it is now."""
    if not state.is_completed() or state.data is MISSING:
        return
    while len(_digests) >= _LIMIT:
        _digests.pop(next(iter(_digests)), None)
    try:
        _digests[state.id] = hash_value(state.data)
    except UnhashableValueError:
        return  # nothing tells it from what it was


def check_passed(upstream: Iterable[object]) -> None:
    """See that results are still what was returned.

    Args:
        upstream: Futures and states among the arguments of a run.

    Raises:
        ChangedResultError: If one is not.
    """
    for one in upstream:
        state = one.peek() if isinstance(one, EntrepotFuture) else one
        known = _digests.get(state.id) if isinstance(state, State) else None
        if known is None or not isinstance(state, State):
            continue
        try:
            now = hash_value(state.data)
        except UnhashableValueError:
            now = ""
        if now != known:
            who = f"task run {one.task_run_name!r}" if isinstance(one, EntrepotFuture) else "a run"
            raise ChangedResultError(
                f"what {who} returned was changed in place afterwards, by the flow or by a task that took it: who takes"
                " it now gets something else than what was kept. Change a copy, and return that"
            )


# --- keys in a second process -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Question:
    """A call whose key is made again, as the second process is asked for it.

    Attributes:
        entrypoint: Where the task is found.
        folder: The working directory.
        arguments: As `sys.argv`.
        path: As `sys.path`.
        covers: Of the policy.
        without: Of the policy.
        values: The inputs and the flow's parameters, pickled: they may be of classes of the task's own module.
        run_id: As of `KeyContext`.
        version: As of `KeyContext`.
    """

    entrypoint: Entrypoint
    folder: str
    arguments: tuple[str, ...]
    path: tuple[str, ...]
    covers: frozenset[str]
    without: frozenset[str]
    values: bytes
    run_id: str
    version: str | None


def check_key(definition: Definition, policy: CachePolicy, context: KeyContext, key: CacheKey) -> None:
    """Make a key again in a second process, under another hash seed.

    Where that cannot be done (a task made inside a function, an argument that cannot be pickled), it is said once.

    Args:
        definition: Of the task or flow.
        policy: What the key is made of.
        context: The call.
        key: As it was made here.

    Raises:
        UnstableKeyError: If it is another one there.
    """
    entrypoint = entrypoint_of(definition)
    if entrypoint is None:
        _cannot(definition, "it is made inside a function, or in no file")
        return
    try:
        values = pickle.dumps([bytes(part) for part in get_serializer("pickle").dumps(_values(context))])
    except EntrepotError as error:
        _cannot(definition, str(error))
        return
    question = Question(
        entrypoint,
        os.getcwd(),  # noqa: PTH109  a text
        tuple(sys.argv),
        tuple(sys.path),
        policy.covers,
        policy.without,
        values,
        context.run_id,
        context.version,
    )
    there = _second.ask(question)
    if isinstance(there, str):
        _cannot(definition, there)
        return
    here = key.parts
    differing = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
    if differing:
        raise UnstableKeyError(
            f"the cache key of {definition.label} is another one in another process, by {', '.join(differing)}: what"
            " that is made of depends on the process (the hash seed, an id, the time, the environment). Mend the"
            " `__entrepot_key__` or hasher that it comes from; if none of yours is in it, please report the type",
            parts=tuple(differing),
        )


def _values(context: KeyContext) -> Mapping[str, Any]:
    return {"inputs": dict(context.inputs), "flow_parameters": context.flow_parameters}


def _cannot(definition: Definition, why: str) -> None:
    if definition.key not in _unchecked:
        _unchecked.add(definition.key)
        _log.warning("The cache keys of %s cannot be checked in a second process: %s", definition.label, why)


class _Second:
    """The second process, started when it is first asked, and ended with this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, question: Question) -> Mapping[str, str] | str:
        """Return the parts of a key as they are there, or why there are none."""
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                self._process = process = self._start()
            assert process.stdin is not None  # noqa: S101  it has pipes
            assert process.stdout is not None  # noqa: S101  the same
            try:
                pickle.dump(question, process.stdin)
                process.stdin.flush()
                answer: Mapping[str, str] | str = pickle.load(process.stdout)  # noqa: S301  of a child of our own
            except (OSError, EOFError, pickle.UnpicklingError):
                process.kill()
                return "the second process ended"
            return answer

    def _start(self) -> subprocess.Popen[bytes]:
        seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
        process = subprocess.Popen(
            [sys.executable, "-c", "from entrepot.engine.checking_there import answer_all; answer_all()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        atexit.register(process.kill)
        return process


_second = _Second()


def _after_fork_in_child() -> None:
    global _second  # noqa: PLW0603  the pipes are the parent's
    _second = _Second()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

"""What another process needs to resume a flow run: where its flow is found, and its parameters. Encrypted, and sealed.

A snapshot lies under `snapshots/<run id>` in the home: facts as JSON, then the pickled parameters, encrypted under the
keyring and bound to its place. It decides which code is run and what is unpickled, so that nothing in it is looked
at before it has verified. It is made before the user's code runs where the flow keeps its result, and else when
the first result inside it is about to be kept; a flow that keeps nothing has none.
"""

import json
import logging
import os
import pickle
import re
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from entrepot import home
from entrepot.engine.entrypoints import Entrypoint, entrypoint_of
from entrepot.engine.past import SNAPSHOTS
from entrepot.engine.run import Run
from entrepot.errors import EntrepotError, NotResumableError, ObjectNotFoundError
from entrepot.runs import RunHistory, process_token
from entrepot.runs.default import DATABASE_NAME
from entrepot.runs.lines import line_of
from entrepot.settings import Settings
from entrepot.states import State, StateType
from entrepot.storage import EncryptedStorage, LocalStorage

__all__ = ["Snapshot", "forget", "has_snapshot", "keep", "keep_for", "load", "settle"]

_FORMAT: Final = "entrepot-snapshot/1"
_ENOUGH: Final = 8  # digits of an id that people type
_SMALL: Final = 64 << 10  # bytes; that of a run that completed is kept, so that it can be run again
_LARGEST: Final = 16 << 20  # bytes of parameters
_LENGTH: Final = 8  # bytes that say how long the facts are
_RUN_ID: Final = re.compile(r"[0-9a-f-]{36}\Z", re.ASCII)

_SETTINGS: Final = tuple(
    field.name
    for field in fields(Settings)
    if field.name.startswith("results_") and field.name != "results_allow"  # what is read, its reader decides
)

_making = threading.Lock()


def _after_fork_in_child() -> None:
    global _making  # noqa: PLW0603  another thread may have held it, and is not here to give it back
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of a run without its history.

    Attributes:
        run_id: The run.
        root_id: The first of the line of runs that resume one another.
        name: The run's own name.
        key: The stable identity of its flow.
        process: The process that ran it.
        entrypoint: Where its flow is found.
        reuses: The task run from which on it does another run again, or None.
        path: Where modules were looked for: `sys.path`.
        folder: The working directory.
        arguments: Of the program: `sys.argv`.
        settings: Those about results, by name: where they were kept is where they are found.
        pickled: The parameters.
    """

    run_id: str
    root_id: str
    name: str
    key: str
    process: str
    entrypoint: Entrypoint
    reuses: str | None
    path: tuple[str, ...]
    folder: str
    arguments: tuple[str, ...]
    settings: Mapping[str, Any]
    pickled: memoryview

    def parameters(self) -> dict[str, Any]:
        """Return the parameters; the flow's own module must be loaded.

        Raises:
            NotResumableError: If a class of one of them is not where it was.
        """
        try:
            return dict(pickle.loads(self.pickled))  # noqa: S301  it was sealed under our keys, and has verified
        except Exception as error:
            raise NotResumableError(
                f"the parameters of {self.name} ({self.run_id}) cannot be read any more ({type(error).__name__}):"
                " something that they are made of has moved or changed; call the flow with resume=... and give them"
                " anew",
                run_id=self.run_id,
            ) from error


def keep_for(run: Run) -> None:
    """Keep a snapshot of the top-level flow run around a run whose result is about to be kept; once."""
    top = run
    while top.enclosing is not None:
        top = top.enclosing.engine
    if top.snapshot is None and top.definition.kind == "flow":
        keep(top, top.remembered)


def keep(top: Run, parameters: Mapping[str, Any] | None) -> None:
    """Keep a snapshot of a top-level flow run; when this returns, the run is in the history, too. Nothing is raised.

    Args:
        top: The run.
        parameters: As they were when it began; None where that is not known.
    """
    with _making:
        if top.snapshot is not None:
            return
        kept = False
        try:
            kept = _keep(top, parameters)
        except Exception as error:  # noqa: BLE001  whatever is the matter, the flow itself goes on
            top.log(logging.DEBUG, "What `entrepot runs resume` needs of it is not kept: %s", error)
        if top.world.recorder is not None:
            top.world.recorder.flush()  # a result that survives is of no use if nobody knows of its run
        top.snapshot = kept


def _keep(top: Run, parameters: Mapping[str, Any] | None) -> bool:
    entrypoint = entrypoint_of(top.definition)
    if entrypoint is None:
        top.log(logging.DEBUG, "Its flow is in no file that `entrepot runs resume` could load")
        return False
    if parameters is None:
        top.log(
            logging.DEBUG,
            "Its parameters can change while it runs, and were not kept before: use persist_result=True to let"
            " `entrepot runs resume` have them",
        )
        return False
    facts = {
        "format": _FORMAT,
        "root_id": top.root_id,
        "name": top.name,
        "key": top.definition.key,
        "process": process_token(),
        "entrypoint": asdict(entrypoint),
        "reuses": None if top.past is None or top.past.reuse is None else top.past.reuse.task_run_id,
        "path": [os.path.abspath(place) for place in sys.path],  # noqa: PTH100  links stay
        "folder": os.getcwd(),  # noqa: PTH109  a text
        "arguments": sys.argv,
        "settings": {name: getattr(top.world.settings, name) for name in _SETTINGS},
    }
    head = json.dumps(facts).encode()
    pickled = _Bounded()
    pickle.Pickler(pickled, 5).dump(dict(parameters))
    parts = [len(head).to_bytes(_LENGTH, "big"), head, *pickled.parts]
    _storage(top.world.settings.home).put(f"{SNAPSHOTS}/{top.id}", parts)
    return True


class _Bounded:
    """Takes what is pickled, up to a limit: parameters may be gigabytes."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._left = _LARGEST

    def write(self, data: bytes | memoryview) -> int:
        """Take some bytes."""
        size = memoryview(data).nbytes
        self._left -= size
        if self._left < 0:
            raise ValueError(f"its parameters are more than {_LARGEST >> 20} MiB")
        self.parts.append(bytes(data))
        return size


def settle(top: Run, state: State[Any]) -> None:
    """Remove what nobody needs any more once a run has ended; where it can be resumed, say how."""
    folder = top.world.settings.home
    if state.type is StateType.COMPLETED:
        forget(folder, top.id, large_only=True)
        if top.past is not None and top.past.resumes is not None:
            with suppress(EntrepotError):
                for earlier in line_of(RunHistory(folder / DATABASE_NAME), top.root_id):
                    if earlier.run_id != top.id:
                        forget(folder, earlier.run_id)
    elif top.snapshot:
        top.log(logging.INFO, "To resume it: entrepot runs resume %s", top.id[:_ENOUGH])
    else:
        top.log(logging.INFO, "To resume it, call it again with resume=%r", top.id)


def load(folder: Path, run_id: str) -> Snapshot | None:
    """Return what was kept of a run, or None.

    Args:
        folder: The home.
        run_id: The whole of it.

    Raises:
        EntrepotError: If it does not verify, or cannot be read.
    """
    if not has_snapshot(folder, run_id):
        return None
    try:
        data = memoryview(_storage(folder).get(f"{SNAPSHOTS}/{run_id}"))
    except ObjectNotFoundError:
        return None
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
    facts = json.loads(bytes(data[_LENGTH:end]))
    if facts.pop("format") != _FORMAT:
        raise NotResumableError(f"what was kept of run {run_id} is of a newer Entrepot; update this one", run_id=run_id)
    return Snapshot(
        run_id=run_id,
        entrypoint=Entrypoint(**facts.pop("entrypoint")),
        path=tuple(facts.pop("path")),
        arguments=tuple(facts.pop("arguments")),
        pickled=data[end:],
        **facts,
    )


def has_snapshot(folder: Path, run_id: str) -> bool:
    """Return whether something was kept of a run."""
    return bool(_RUN_ID.match(run_id)) and (folder / SNAPSHOTS / run_id).is_file()


def forget(folder: Path, run_id: str, *, large_only: bool = False) -> None:
    """Remove what was kept of a run; if `large_only`, only where it takes much space."""
    with suppress(OSError):
        path = folder / SNAPSHOTS / run_id
        if has_snapshot(folder, run_id) and (not large_only or path.stat().st_size > _SMALL):
            path.unlink()


def _storage(folder: Path) -> EncryptedStorage:
    # Below the home, so that nothing that lies elsewhere under our keys could be put in the place of one of these.
    return EncryptedStorage(LocalStorage(folder), home.ring)

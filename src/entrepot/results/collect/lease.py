"""One collection at a time in a store. Writers do not depend on it: two at once would only undo each other's care.

Each says that it is there (`collected/runs/<id>.json`), looks whether another one is, and goes away if so. One that is
killed is noticed at once on its own machine, else after ten minutes. A sign of life that is dated in the future (the
store's clock was set back since, or somebody set the time) is given the present time: so it gets ten minutes, too.
"""

import json
import os
import socket
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from entrepot._clock import Clock
from entrepot.errors import CollectionError, EntrepotError, ObjectNotFoundError
from entrepot.protocols.storage import Storage, Touches
from entrepot.results.condemned import COLLECTED

__all__ = ["Lease", "store_time"]

_RUNS: Final = f"{COLLECTED}/runs"
_RENEWED: Final = 60.0  # seconds between two signs of life
_PAUSED: Final = 300.0  # a collection that gave none for so long has to give up: it may be taken for dead
_DEAD: Final = 600.0

_running: set[str] = set()  # ids of collections in this process


class Lease:
    """The right to collect in one store; used in a `with`.

    Args:
        storage: Where.
        clock: Tells when to give the next sign of life.

    Attributes:
        id: Of this collection.
        began: The store's own time when it began, as a timestamp; None if it tells none.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._renewed = 0.0
        self.id = uuid.uuid4().hex
        self.began: float | None = None

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            CollectionError: If another collection is at work in the store.
            StorageError: If the store cannot be written.
        """
        _running.add(self.id)
        try:
            self.began = self._say()
            self._refuse_second()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """End; what it cannot remove any more, a later collection does."""
        _running.discard(self.id)
        with suppress(EntrepotError):
            self._storage.delete(self._path(self.id))

    def _refuse_second(self) -> None:
        for other, owner in self._others():
            raise CollectionError(
                f"another collection ({owner}) is at work in {self._storage.location}; wait until it is done. If it"
                f" was killed on another machine, that is known {_DEAD / 60:.0f} minutes after its last sign of life",
                location=self._storage.location,
                id=other,
            )

    def renew(self) -> None:
        """Give a sign of life if it is time; called before everything that is deleted.

        Raises:
            CollectionError: If this process was held up so long that it may be taken for dead.
            StorageError: If the store cannot be written.
        """
        silent = self._clock.monotonic() - self._renewed
        if silent < _RENEWED:
            return
        if silent > _PAUSED:
            raise CollectionError(
                f"the collection in {self._storage.location} was held up for {silent:.0f} seconds, and gives up;"
                " nothing is lost by that: run it again",
                location=self._storage.location,
                id=self.id,
            )
        self._say()

    def is_over(self, collection: str) -> bool:
        """Return whether a collection, of which something is still there, is certainly not at work.

        Raises:
            StorageError: If the store cannot be read.
        """
        return collection != self.id and all(other != collection for other, _ in self._others())

    def _say(self) -> float | None:
        path = self._path(self.id)
        owner = {"host": socket.gethostname(), "boot": _boot(), "pid": os.getpid(), "pids": _namespace()}
        self._storage.put(path, json.dumps(owner).encode())
        self._renewed = self._clock.monotonic()
        return store_time(self._storage, path)

    def _others(self) -> list[tuple[str, str]]:
        """Return id and owner of all other collections that may be at work; forget those that are not."""
        path = self._path(self.id)
        now = store_time(self._storage, path)
        found = []
        for info in list(self._storage.list(_RUNS)):
            other = info.path.rpartition("/")[2].removesuffix(".json")
            if other == self.id:
                continue
            age = None if now is None or info.modified is None else now - info.modified.timestamp()
            try:
                owner = json.loads(bytes(self._storage.get(info.path, length=4096)))
            except ObjectNotFoundError:
                continue
            except (ValueError, LookupError, RecursionError):
                owner = {}
            if not isinstance(owner, dict):
                owner = {}
            if _is_dead(other, owner) or (age is not None and age > _DEAD):
                self._storage.delete(info.path)
                continue
            who = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
            if age is not None and age < -_DEAD:  # those who live differ by a minute or so
                who += ", whose last sign of life was dated in the future, and counts as of now"
                self._date(info.path)
            found.append((other, who))
        return found

    def _date(self, path: str) -> None:
        """Give a sign of life of another collection the store's present time."""
        with suppress(ObjectNotFoundError):  # it has just ended
            if isinstance(self._storage, Touches):
                self._storage.touch(path)
            else:
                self._storage.put(path, bytes(self._storage.get(path, length=4096)))

    @staticmethod
    def _path(collection: str) -> str:
        return f"{_RUNS}/{collection}.json"


def store_time(storage: Storage, path: str) -> float | None:
    """Return a store's own time, from an object that was just written; None if it tells none.

    Raises:
        StorageError: If the store cannot be read.
    """
    modified = storage.stat(path).modified
    return None if modified is None else modified.timestamp()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _namespace() -> str:
    """Return what tells the processes of one container from those of another on the same machine."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _is_dead(collection: str, owner: dict[str, object]) -> bool:
    """Return whether the process of a collection is certainly gone: as its machine, we can tell."""
    pid = owner.get("pid")
    here = (socket.gethostname(), _boot(), _namespace())
    if (owner.get("host"), owner.get("boot"), owner.get("pids")) != here or type(pid) is not int or pid < 1:
        return False
    if pid == os.getpid():
        return collection not in _running
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[:1]
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return state == ["Z"]  # killed, and not yet reaped by its parent

"""Which processes live: one that runs flows holds a lock on a file of its own, `processes/<token>` beside the history.

The kernel lets go of the lock when the process ends, however it ends, and only then: a process that is stopped, slow or
swapped out keeps it, and a new process that happens to get the same number does not have it. Where the lock says
nothing (another machine), the time of the last heartbeat does.
"""

import contextlib
import enum
import errno
import fcntl
import json
import logging
import os
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final
from weakref import WeakSet

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot._folders import make_folders
from entrepot.protocols.recorder import Heartbeat, RunCreated, RunEvent, RunTransition
from entrepot.runs.decide import TERMINAL
from entrepot.runs.process import process_token

__all__ = ["FOLDER", "Claim", "Life", "Presence", "claim", "life_of", "tokens_in"]

FOLDER: Final = "processes"
"""The folder beside the history that holds the locks."""

_BEAT: Final = 10.0  # seconds between two heartbeats of a process that runs flows
_SILENCE: Final = timedelta(seconds=60)  # after which a process of another machine is taken for dead
_SWEEP: Final = 60.0  # seconds between two looks of one process at the others
_TOKEN: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.ASCII)
_LONGEST: Final = 4096  # bytes of a file that says whose it is

_log = logging.getLogger("entrepot.runs")


@lru_cache(maxsize=1)
def _boot() -> str:
    """Return what tells this start of this machine from every other, or "" where that is not known."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _host() -> str:
    return os.uname().nodename


# --- this process -----------------------------------------------------------------------------------------------------


class Presence:
    """What shows others that this process lives, as long as it does. Used by one thread: the recorder's.

    Args:
        folder: Where the locks are.
        clock: Tells the time.
    """

    __slots__ = ("_active", "_clock", "_descriptor", "_folder", "_next_beat", "_next_sweep", "_started", "_sweeps")

    def __init__(self, folder: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self._folder = folder
        self._clock = clock
        self._descriptor: int | None = None
        self._started: datetime | None = None
        self._active: set[str] = set()  # top-level runs of this process that have not ended
        self._next_beat = self._next_sweep = 0.0
        self._sweeps = False

    @property
    def patience(self) -> float | None:
        """How many seconds may pass until the next heartbeat; None where nothing runs, and none is due."""
        return max(0.0, self._next_beat - self._clock.monotonic()) if self._active else None

    def attend(self, events: list[RunEvent]) -> None:
        """Take the lock before the first run of this process is written, and add a heartbeat where one is due."""
        begins = False
        for event in events:
            if type(event) is RunTransition:
                if self._active and (event.state_type in TERMINAL or event.state_name == "Suspended"):
                    self._active.discard(event.run_id)
            elif type(event) is RunCreated and event.process and event.process == process_token():
                begins = True
                if event.parent_run_id is None and event.flow_run_id is None:
                    self._active.add(event.run_id)
                    self._sweeps = True
        now = self._clock.monotonic()
        if begins and self._descriptor is None:
            self._next_beat = now
            self._hold()
        if (begins or self._active) and now >= self._next_beat:
            events.append(self.beat())

    def beat(self) -> Heartbeat:
        """Return a heartbeat, and see that the lock's file is still where others look for it."""
        now = self._clock.now()
        self._next_beat = self._clock.monotonic() + _BEAT
        self._started = self._started or now
        if self._descriptor is not None and not self._is_there():
            self._let_go()
            self._hold()
        return Heartbeat(process_token(), os.getpid(), _host(), self._started, now)

    def sweeps(self) -> bool:
        """Return whether it is time to look at the other processes: when a run began, and at most once a minute."""
        now = self._clock.monotonic()
        if not self._sweeps or now < self._next_sweep:
            return False
        self._sweeps = False
        self._next_sweep = now + _SWEEP
        return True

    def leave(self) -> None:
        """Let go, where nothing runs any more and everything is written. Another run takes the lock again."""
        if self._descriptor is not None and not self._active:
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._let_go()

    def abandon(self) -> None:
        """Forget it in a forked child, where it is the parent's."""
        self._let_go()
        self._active.clear()
        self._started = None

    @property
    def _path(self) -> Path:
        return self._folder / process_token()

    def _hold(self) -> None:
        token = process_token()
        temporary = self._folder / f".{token}"
        descriptor = None
        try:
            if not self._folder.is_dir():
                make_folders(os.path.abspath(self._folder))  # noqa: PTH100  as it was given: links stay
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            # Locked before it has its name: under that, a file without a lock is one of a dead process.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            facts = {"process_id": os.getpid(), "host": _host(), "boot": _boot()}
            os.write(descriptor, json.dumps(facts).encode())
            temporary.rename(self._path)
        except OSError as error:
            # Others then go by its number and its heartbeat.
            _log.debug("no lock can be held in %s: %s", self._folder, error)
            if descriptor is not None:
                os.close(descriptor)
        else:
            self._descriptor = descriptor

    def _is_there(self) -> bool:
        if self._descriptor is None:
            return False
        try:
            named, ours = self._path.stat(), os.fstat(self._descriptor)
        except OSError:
            return False
        return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)  # in a child this is no unlock: the parent has the lock as long as its own is open


# --- others -----------------------------------------------------------------------------------------------------------


class Life(enum.Enum):
    """What is known of a process."""

    LIVES = "lives"
    ENDED = "ended"
    UNKNOWN = "unknown"


def life_of(folder: Path, token: str, heard: Heartbeat | None, now: datetime) -> Life:
    """Return whether a process lives.

    Args:
        folder: Where the locks are.
        token: The process.
        heard: Its last heartbeat, or None where it has given none.
        now: In UTC.
    """
    if token == process_token():
        return Life.LIVES
    if not _TOKEN.match(token):
        return Life.UNKNOWN
    try:
        descriptor = os.open(folder / token, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return _life_without_file(heard, now)
    except OSError:
        return Life.UNKNOWN
    try:
        return _life_by_lock(descriptor, heard, now)
    finally:
        os.close(descriptor)


def _life_by_lock(descriptor: int, heard: Heartbeat | None, now: datetime) -> Life:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that look do not disturb each other
        facts = json.loads(os.read(descriptor, _LONGEST) or b"{}")
        written = datetime.fromtimestamp(os.fstat(descriptor).st_mtime, tz=now.tzinfo)
        boot, host = facts.get("boot"), facts.get("host")
    except BlockingIOError:
        return Life.LIVES
    except (OSError, ValueError, AttributeError):
        return Life.UNKNOWN
    if boot == _boot() and (boot or host == _host()):
        return Life.ENDED  # the lock is of this kernel, and nobody has it
    last = written if heard is None else max(written, heard.timestamp)
    return Life.ENDED if now - last > _SILENCE else Life.UNKNOWN


def _life_without_file(heard: Heartbeat | None, now: datetime) -> Life:
    """Judge by what it said last: somebody may have removed the file, or it could not be made."""
    if heard is None:
        return Life.UNKNOWN
    if heard.host != _host():
        return Life.ENDED if now - heard.timestamp > _SILENCE else Life.UNKNOWN
    try:
        os.kill(heard.process_id, 0)
    except ProcessLookupError:
        return Life.ENDED
    except OSError:
        return Life.LIVES
    return Life.ENDED if _began_after(heard.process_id, heard.started) else Life.LIVES


def _began_after(process_id: int, moment: datetime) -> bool:
    """Return whether what has this number now is another process, which began later; False where that is not known."""
    try:
        # Of Linux: field 22 of proc(5) is when it began, in ticks since the machine did.
        ticks = int(Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return False
    age = uptime - ticks / os.sysconf("SC_CLK_TCK")
    return SYSTEM_CLOCK.now() - timedelta(seconds=age) > moment + timedelta(seconds=2)


def tokens_in(folder: Path) -> Iterable[str]:
    """Return the processes that have a file in the folder: those that live, and those that ended without a word."""
    with contextlib.suppress(OSError):
        return [entry.name for entry in folder.iterdir() if _TOKEN.match(entry.name)]
    return []


# --- claims -----------------------------------------------------------------------------------------------------------


class Claim:
    """A name that only one holder has, in all processes of this machine; let go at the latest when the process ends.

    Args:
        path: Its file.
        descriptor: Open and locked.
    """

    __slots__ = ("__weakref__", "_descriptor", "_path")

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self._path = path
        self._descriptor = descriptor
        _claims.add(self)

    def release(self) -> None:
        """Let others have it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(descriptor)

    def abandon(self) -> None:
        """Forget it, and leave it to who else has it open: the parent of a forked child."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        """Let others have it, where that was forgotten."""
        self.release()


_claims: "WeakSet[Claim]" = WeakSet()


def _after_fork_in_child() -> None:
    for held in list(_claims):
        held.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def claim(folder: Path, name: str) -> Claim | None:
    """Return a claim to a name, or None if somebody has it.

    Where no file can be locked (a read-only folder), everybody gets it.
    """
    path = folder / f".{name}.claim"
    while True:
        try:
            make_folders(os.path.abspath(folder))  # noqa: PTH100  as it was given: links stay
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            _log.debug("nothing can be claimed in %s: %s", folder, error)
            return Claim(path, None)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                return None
            return Claim(path, None)
        held = Claim(path, descriptor)
        with contextlib.suppress(OSError):
            status, ours = path.stat(), os.fstat(descriptor)
            if (status.st_dev, status.st_ino) == (ours.st_dev, ours.st_ino):
                return held
        # Its holder let go between our opening and our locking, and removed what we have: once more.
        held.abandon()

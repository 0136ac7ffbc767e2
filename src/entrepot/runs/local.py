"""The local recorder: events go to a queue, and one thread writes them to SQLite in batches.

What the caller pays is a put on a queue. What fails (a locked, read-only, full or damaged disk) fails in the thread: it
says so once, keeps what it could not write, and tries again; `flush` tells the caller that it is not safe yet.
"""

import atexit
import logging
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final
from weakref import WeakSet

from entrepot._database import DATABASE_GUARD, NewerSchemaError, is_busy
from entrepot.protocols.recorder import RunCreated, RunEvent
from entrepot.runs.batch import write_batch
from entrepot.runs.database import open_for_writing
from entrepot.runs.liveness import FOLDER, Presence
from entrepot.runs.sweeping import transitions_of_the_dead

__all__ = ["LocalRecorder"]

_log = logging.getLogger("entrepot.runs")

_WINDOW: Final = 0.05  # seconds that a first event waits for company
_BATCH: Final = 4000  # events in one transaction
_AHEAD: Final = 20_000  # events that the program may be ahead of a writer that works: then it waits for it
_LIMIT: Final = 100_000  # events kept in memory while nothing can be written: some 60 MB
_MOMENT: Final = 0.002  # seconds between looks while the program waits for the writer
_TURN: Final = 0.1  # seconds that SQLite waits for a lock in one go; between turns a fork may happen
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between tries while nothing can be written

_SHOWN: Final = 5  # names of runs in a message

_recorders: "WeakSet[LocalRecorder]" = WeakSet()


class _Mark:
    """Stands in the queue behind what a flush waits for.

    Attributes:
        stops: Whether the thread ends here.
        answer: Whether everything before it is durable; None until that is known.
    """

    __slots__ = ("answer", "stops")

    def __init__(self, *, stops: bool = False) -> None:
        self.stops = stops
        self.answer: bool | None = None


class LocalRecorder:
    """A `Recorder` that keeps the history in a SQLite file, shared with other processes.

    Args:
        path: The file; it and its folder are made by the first event.
        patience: How many seconds a write waits for locks of others before it counts as failed. While writing fails,
            tries are shorter.
        limit: How many events are kept in memory while they cannot be written. Beyond it new ones are dropped, so that
            what is kept is whole from its beginning.
    """

    def __init__(self, path: Path, *, patience: float = 5.0, limit: int = _LIMIT) -> None:
        self._path = Path(path)
        self._patience = patience
        self._limit = limit
        self._ahead = min(_AHEAD, limit)
        self._presence = Presence(self._path.parent / FOLDER)
        self._begin()
        _recorders.add(self)

    def _begin(self) -> None:
        """Set the state of a recorder that has recorded nothing: at first, and in a forked child."""
        self._queue: SimpleQueue[RunEvent | _Mark] = SimpleQueue()
        self._batch: list[RunEvent] = []  # taken from the queue, not yet committed; only the writer touches it
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None  # which file the connection has
        self._full = False  # whether commits are durable
        self._dirty = False  # whether something was committed that is not durable
        self._presence.abandon()
        self._dropped = self._dropped_told = 0
        self._failing = False
        self._pause = _FIRST_PAUSE
        self._hurry = threading.Event()  # set while anybody waits for the writer
        self._closing = threading.Lock()
        self._changed = threading.Condition()  # guards the rest
        self._waiting = 0
        self._tries = 0  # how many were begun
        self._failed_try = 0  # the number of the last one that failed
        self._stopping = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"LocalRecorder({str(self._path)!r})"

    @property
    def unwritten(self) -> int:
        """How many events are in memory only."""
        return len(self._batch) + self._queue.qsize()

    def record(self, event: RunEvent) -> None:
        """Take note; the event is written within some 50 ms, in the order given.

        A program that makes events faster than they can be written waits for the writer; one whose history cannot be
        written at all goes on.
        """
        if self._queue.qsize() >= self._ahead:  # which is no more than the limit
            self._wait_for_the_writer()
            if self._queue.qsize() >= self._limit:
                if not self._dropped:
                    _log.warning("%d events wait for %s; new ones are dropped", self._limit, self._path)
                self._dropped += 1
                return
        self._queue.put(event)
        if self._thread is None:
            self._start()

    def _wait_for_the_writer(self) -> None:
        """Wait until it has caught up by some, as long as it gets on."""
        if threading.current_thread() is self._thread:
            return  # the writer itself has something to say
        left, looks = self._queue.qsize(), 0
        # Looks are counted, and not seconds: a process that was stopped meanwhile has a writer that was stopped, too.
        while left >= self._ahead and not self._failing and self._start() and looks * _MOMENT < self._patience:
            time.sleep(_MOMENT)
            now = self._queue.qsize()
            looks = 0 if now < left else looks + 1
            left = now

    def flush(self) -> bool:
        """Wait until every event recorded so far is durable; return whether it is. Never raises."""
        idle = self._thread is None and not self.unwritten and not self._dirty
        durable = idle or self._reach(_Mark())
        # An event that was dropped is told of once: what comes after it may well be kept.
        whole, self._dropped_told = self._dropped == self._dropped_told, self._dropped
        return durable and whole

    def close(self) -> None:
        """Flush and let go of the file and the thread. Events recorded afterwards open it again."""
        with self._closing:
            if self._thread is None:
                self.flush()  # starts the thread if there is something left to write
            thread = self._thread
            if thread is not None:
                self._stopping = True
                self._reach(_Mark(stops=True))
                thread.join()
                self._stopping = False
            self._let_go()
            if not self.unwritten:
                self._presence.leave()
        if not self._failing and not self._queue.empty():
            self._start()  # somebody recorded meanwhile

    def _reach(self, mark: _Mark) -> bool:
        """Wait until the writer has come to a mark, or has failed once; return whether all is durable up to it."""
        with self._changed:
            tries = self._tries
            self._waiting += 1
            self._hurry.set()
        self._queue.put(mark)
        try:
            if self._start():
                with self._changed:
                    # In an outage the mark is behind all that could not be written; one try from now on says enough.
                    self._changed.wait_for(lambda: mark.answer is not None or self._failed_try > tries)
            else:
                self._write_here(mark)
        finally:
            with self._changed:
                self._waiting -= 1
                if not self._waiting:
                    self._hurry.clear()
        return bool(mark.answer)

    # --- the thread -----------------------------------------------------------------------------------------------

    def _start(self) -> bool:
        """Make sure that the thread runs; return whether it does."""
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="entrepot-recorder", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # too late in the life of the process, or too many threads
                    return False
                self._thread = thread
                _close_with_child_process()
            return True

    def _work(self) -> None:
        while True:
            mark = self._gather()
            self._attempt(mark)
            if not self._failing and self._presence.sweeps():
                self._sweep()
            if self._stopping and (self._failing or (mark is not None and mark.stops)):
                break
        with self._changed:
            self._thread = None  # from here on, who flushes starts another
            if self._failing:  # and who waits is not answered by this one
                self._tries += 1
                self._failed_try = self._tries
                self._changed.notify_all()

    def _write_here(self, last: _Mark) -> None:
        """Do the thread's work where there can be no thread."""
        with DATABASE_GUARD:
            while last.answer is None and self._attempt(self._gather()):
                pass

    def _gather(self) -> _Mark | None:
        """Wait for events and take them into the batch; return the mark that ended it, if one did."""
        if self._batch:  # it could not be written: it comes first, at once if somebody waits
            self._hurry.wait(self._pause)
            return None
        try:
            item = self._queue.get(timeout=self._presence.patience)
        except Empty:
            item = self._presence.beat()
        if isinstance(item, _Mark):
            return item
        self._batch.append(item)
        if self._queue.qsize() < _BATCH:
            self._hurry.wait(_WINDOW)
        while len(self._batch) < _BATCH:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if isinstance(item, _Mark):
                return item
            self._batch.append(item)
        return None

    def _attempt(self, mark: _Mark | None) -> bool:
        """Write the batch, durably if a mark asks for it; return whether it is written. Nothing is raised."""
        with self._changed:
            self._tries += 1
            number = self._tries
        deadline = time.monotonic() + (min(self._patience, 2 * _TURN) if self._failing else self._patience)
        while True:
            try:
                with DATABASE_GUARD:
                    self._write(durable=mark is not None)
            except Exception as error:  # noqa: BLE001  the thread outlives whatever happens to one batch
                if is_busy(error) and time.monotonic() < deadline:
                    time.sleep(_TURN / 10)
                    continue
                self._failed(error)
                written = False
            else:
                self._succeeded()
                written = True
            with self._changed:
                if mark is not None:
                    mark.answer = written
                if not written:
                    self._failed_try = number
                self._changed.notify_all()
            return written

    def _sweep(self) -> None:
        """Say of runs whose process ended without a word that they crashed."""
        try:
            with DATABASE_GUARD:
                found = transitions_of_the_dead(self._open(), self._path.parent / FOLDER)
        except Exception as error:  # noqa: BLE001  the next look will see them
            _log.debug("other processes were not looked at: %s", error)
            return
        for event in found:
            self._queue.put(event)

    def _failed(self, error: Exception) -> None:
        with suppress(sqlite3.Error):
            self._let_go()
        if not self._failing:
            self._failing = True
            self._pause = _FIRST_PAUSE
            _log.warning(
                "the run history cannot be written to %s: %s; %s. Flows go on, and up to %d events wait in memory",
                self._path,
                error,
                _advice(error),
                self._limit,
            )
            return
        time.sleep(_TURN / 10)  # who waited for this try has left before the next one
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _say_what_is_lost(self) -> None:
        """Say at the end of the process what is not in the history, and never will be."""
        lost: list[RunEvent | _Mark] = list(self._batch)
        with suppress(Empty):
            while True:
                lost.append(self._queue.get_nowait())
        events = [event for event in lost if not isinstance(event, _Mark)]
        runs = [event.name for event in events if isinstance(event, RunCreated) and event.kind == "flow"]
        shown = ", ".join(runs[:_SHOWN]) + (", ..." if len(runs) > _SHOWN else "")
        named = f", among them the flow runs {shown}" if runs else ""
        _log.warning("not recorded in %s: %d events%s", self._path, len(events), named)

    def _succeeded(self) -> None:
        if self._failing:
            self._failing = False
            _log.warning("the run history is written to %s again; %d events were lost", self._path, self._dropped)

    # --- the file -------------------------------------------------------------------------------------------------

    def _write(self, *, durable: bool) -> None:
        """Commit the batch; if `durable`, it and all that was committed before survive a loss of power."""
        batch = self._batch
        self._presence.attend(batch)
        if not batch and not (durable and self._dirty):
            return
        try:
            self._commit(batch, durable=durable)
        except Exception as error:
            if _is_trouble(error):
                raise
            # One of the events is odd. One by one, all others are kept.
            while batch:
                try:
                    self._commit(batch[:1], durable=False)
                except Exception as odd:
                    if _is_trouble(odd):
                        raise
                    self._dropped += 1
                    _log.warning("an event cannot be kept in the run history: %s: %.200r", type(odd).__name__, batch[0])
                del batch[0]
            self._commit(batch, durable=durable)
        batch.clear()

    def _commit(self, events: Sequence[RunEvent], *, durable: bool) -> None:
        connection = self._open()
        if durable != self._full:
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._full = durable
        connection.execute("BEGIN IMMEDIATE")
        try:
            refused = write_batch(connection, events)
            if durable and self._dirty:
                # A commit that changes no byte syncs nothing, and what was committed before would not be durable.
                connection.execute("UPDATE flushes SET count = count + 1")
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        self._dirty = not durable
        if refused:
            _log.debug("%d transitions were refused: repeated, late or illegal", refused)

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._opened != self._look():
            self._let_go()  # the file was moved or removed: what is open is not what readers see
        if self._connection is None:
            self._connection = open_for_writing(self._path, patience=_TURN)
            self._opened = self._look()
            self._full = False
        return self._connection

    def _look(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_dev, status.st_ino)

    def _let_go(self) -> None:
        with DATABASE_GUARD:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()


def _is_trouble(error: Exception) -> bool:
    """Return whether this is about the file, and not about an event."""
    if isinstance(error, (sqlite3.OperationalError, sqlite3.InternalError, OSError, NewerSchemaError)):
        return True
    return type(error) is sqlite3.DatabaseError  # what SQLite says of damaged files; its subclasses are about values


def _advice(error: Exception) -> str:
    if is_busy(error):
        return "another program holds it locked: end that, or let it finish"
    if isinstance(error, NewerSchemaError):
        return "upgrade entrepot, or use another ENTREPOT_HOME"
    if type(error) is sqlite3.DatabaseError:
        return "move the file away, and a new one is made"
    return "see that its folder can be written and has space"


# --- the life of the process ----------------------------------------------------------------------------------------


def _at_exit() -> None:
    for recorder in list(_recorders):
        recorder.close()
        if recorder.unwritten:
            recorder._say_what_is_lost()  # noqa: SLF001


def _close_with_child_process() -> None:
    """See that a child made by `multiprocessing` writes before it ends: it leaves without the exit handlers."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None and util is not None and multiprocessing.parent_process() is not None:
        util.Finalize(None, _at_exit, exitpriority=0)


def _before_fork() -> None:
    """Wait until SQLite is at rest, and close: a child must not inherit an open connection (see `DATABASE_GUARD`)."""
    DATABASE_GUARD.acquire()
    for recorder in list(_recorders):
        with suppress(sqlite3.Error):
            recorder._let_go()  # noqa: SLF001


def _after_fork_in_child() -> None:
    """Begin anew: the thread stayed in the parent, and so did what it has to write."""
    DATABASE_GUARD.release()
    for recorder in list(_recorders):
        recorder._begin()  # noqa: SLF001


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=DATABASE_GUARD.release, after_in_child=_after_fork_in_child
    )

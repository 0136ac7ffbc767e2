"""Locks in a folder: for processes that see the same folder, on one machine or on several.

A lock is a small JSON file that says who holds it and until when. It is read and changed only by who has the folder's
guard, a file locked by the kernel for the moment.
"""

import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot._folders import make_folders
from entrepot.coordination.liveness import checked_token, forget, is_proven_dead, process_token
from entrepot.errors import StorageError, StorageUnreachableError
from entrepot.locking.polling import PollingLockManager

__all__ = ["FileSystemLockManager"]

_GUARD: Final = ".guard"
_PATIENCE: Final = 10.0  # seconds


class FileSystemLockManager(PollingLockManager):
    """A `LockManager` that keeps its locks as files in a folder.

    A lock without a `hold_timeout` is free when its process has ended. On other machines nobody can see that: give a
    `hold_timeout` where the folder is shared by several. Their clocks then have to agree.

    Args:
        lock_files_directory: The folder; it is made on first need.
        clock: Tells the time.
    """

    def __init__(self, lock_files_directory: str | os.PathLike[str], *, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(clock=clock)
        self.lock_files_directory = Path(lock_files_directory).expanduser().absolute()

    def __repr__(self) -> str:
        return f"FileSystemLockManager({str(self.lock_files_directory)!r})"

    def _try(self, key: str, holder: str, hold_timeout: float | None) -> bool:
        with self._guarded():
            if self._current(key) not in {None, holder}:
                return False
            ends = None if hold_timeout is None else self._clock.now() + timedelta(seconds=hold_timeout)
            self._write(
                key,
                {
                    "key": key,
                    "holder": holder,
                    "expires": None if ends is None else ends.isoformat(),
                    "process": process_token(self.lock_files_directory),
                    "process_id": os.getpid(),
                    "host": os.uname().nodename,
                },
            )
            return True

    def _release(self, key: str, holder: str) -> bool:
        with self._guarded():
            if self._current(key) != holder:
                return False
            self._file(key).unlink(missing_ok=True)
            return True

    def _holder(self, key: str) -> str | None:
        # Without the guard: a lock's file is replaced whole, and a folder that nobody made has no locks.
        with self._clear_errors():
            return self._current(key)

    def _current(self, key: str) -> str | None:
        file = self._file(key)
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        try:
            lock = json.loads(data)
            holder, expires = str(lock["holder"]), lock["expires"]
            is_over = expires is not None and datetime.fromisoformat(expires) <= self._clock.now()
            process, is_ours = checked_token(lock["process"]), lock["host"] == os.uname().nodename
        except (KeyError, TypeError, ValueError, RecursionError):
            raise StorageError(
                f"the lock in {file} is damaged; when nobody works under it, remove the file", location=str(file)
            ) from None
        return None if is_over or (is_ours and self._is_dead(process)) else holder

    def _is_dead(self, process: str) -> bool:
        home = self.lock_files_directory
        if is_proven_dead(home, process, unknown=True):
            forget(home, process)
            return True
        return False

    def _file(self, key: str) -> Path:
        # Keys hold slashes, and what else a file's name cannot.
        return self.lock_files_directory / (hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest() + ".lock")

    def _write(self, key: str, lock: dict[str, Any]) -> None:
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=self.lock_files_directory)  # 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(lock, file)
                file.flush()
                os.fsync(file.fileno())  # else a power cut may leave an empty lock, which nobody can read
            os.replace(temporary, self._file(key))  # noqa: PTH105  the twin of mkstemp
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108  the same
            raise

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Be the only one who changes locks here, for a moment."""
        with self._clear_errors():
            make_folders(str(self.lock_files_directory))
            guard = os.open(self.lock_files_directory / _GUARD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._lock(guard)
                yield
            finally:
                os.close(guard)

    def _lock(self, guard: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StorageUnreachableError(
                        f"another process keeps {self.lock_files_directory / _GUARD} locked: end that, or let it go on",
                        location=str(self.lock_files_directory),
                    ) from None
                time.sleep(0.001)
            else:
                return

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(
                f"locks cannot be kept in {self.lock_files_directory}: {error.strerror}; see that it is a folder that"
                " can be written, on a file system with locks",
                location=str(self.lock_files_directory),
            ) from error

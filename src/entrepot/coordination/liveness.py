"""Which processes of this machine live: each keeps a file locked as long as it does, however it ends.

The kernel lets go of the lock when the process is gone, so a lock that can be had proves a death: at once, without
signals, and across containers of one machine, where numbers of processes mean nothing. A stopped process lives.
"""

import atexit
import fcntl
import os
import re
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

from entrepot._folders import make_folders

__all__ = ["FOLDER_NAME", "checked_token", "forget", "is_proven_dead", "known_processes", "process_token"]

FOLDER_NAME: Final = "processes"
_TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z", re.ASCII)

_lock = Lock()
_ours: dict[Path, tuple[str, int | None]] = {}  # folder -> (token, descriptor of the locked file)


def process_token(home: Path) -> str:
    """Return what tells this process from every other that ever was; its file is made on first need.

    Where files cannot be locked, it has no file: then nobody can prove its death, and its leases end by themselves.

    Args:
        home: Where `processes/` is; a process has one token in each.
    """
    folder = home / FOLDER_NAME
    with _lock:
        token, descriptor = _ours.get(folder) or (uuid.uuid4().hex, None)
        if descriptor is None or not _is_in_place(folder / token, descriptor):  # new, or somebody removed it
            _ours[folder] = (token, _locked_file(folder, token))
            if descriptor is not None:
                os.close(descriptor)
        return token


def checked_token(token: object) -> str:
    """Return what may be the token of a process: the name of a file, and no way to another folder.

    Tokens are read from what others wrote, too: a lock in a shared folder, a claim in a shared store. The file of a
    process that is dead is removed.

    Raises:
        ValueError: If it may not.
    """
    if _is_token(token):
        return str(token)
    raise ValueError("it is no token of a process")


def _is_token(token: object) -> bool:
    return isinstance(token, str) and _TOKEN.match(token) is not None


def is_proven_dead(home: Path, token: str, *, unknown: bool = False) -> bool:
    """Return whether the process with this token is certainly gone.

    Args:
        home: As for `process_token`.
        token: Which process; nothing is proven of what is no token.
        unknown: What to say where it has no file: it had none, or its death was noticed before.
    """
    if not _is_token(token):
        return False
    try:  # without waiting, where somebody put a pipe
        descriptor = os.open(home / FOLDER_NAME / token, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return unknown
    except OSError:
        return False
    try:
        # Shared: two that look at the same time do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def forget(home: Path, token: str) -> None:
    """Remove what a process left that is proven dead and has nothing to give back any more."""
    if _is_token(token):
        with suppress(OSError):
            (home / FOLDER_NAME / token).unlink()


def known_processes(home: Path) -> list[str]:
    """Return the tokens of all processes with a file, dead or alive."""
    try:
        return [name for name in os.listdir(home / FOLDER_NAME) if not name.startswith(".")]  # noqa: PTH208  names will do
    except OSError:
        return []


def _locked_file(folder: Path, token: str) -> int | None:
    descriptor = None
    try:
        make_folders(str(folder))
        # Made aside, locked, and only then given its name: nobody ever sees the file of a living process unlocked.
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=folder)  # 0600
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            os.link(temporary, folder / token)
        finally:
            Path(temporary).unlink()
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    return descriptor


def _is_in_place(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(file), os.fstat(descriptor))  # noqa: PTH116  on every use
    except OSError:
        return False


def _at_exit() -> None:
    """Leave no file behind: what this process held was given back before (see `coordination.heartbeat`)."""
    for folder, (token, descriptor) in list(_ours.items()):
        if descriptor is not None:
            forget(folder.parent, token)


def _after_fork_in_child() -> None:
    """Be another process. Closing our copy of a descriptor leaves the parent's lock as it is; unlocking would not."""
    global _lock  # noqa: PLW0603  another thread may have held it
    _lock = Lock()
    for _, descriptor in _ours.values():
        if descriptor is not None:
            os.close(descriptor)
    _ours.clear()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

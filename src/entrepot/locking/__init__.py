"""Lock managers: in memory, in a folder, and in the file that the processes of this machine share."""

from typing import TYPE_CHECKING, Any

from entrepot.protocols.locking import LockManager

if TYPE_CHECKING:
    from entrepot.locking.filesystem import FileSystemLockManager
    from entrepot.locking.memory import MemoryLockManager
    from entrepot.locking.shared import SharedLockManager

__all__ = ["FileSystemLockManager", "LockManager", "MemoryLockManager", "SharedLockManager"]

_HOMES = {"FileSystemLockManager": "filesystem", "MemoryLockManager": "memory", "SharedLockManager": "shared"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  the lazy seam: one of them loads SQLite

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

"""The contract of lock managers: one holder at a time for each key."""

from typing import Protocol, runtime_checkable

__all__ = ["LockManager"]


@runtime_checkable
class LockManager(Protocol):
    """Keeps named locks.

    A holder is a name too: whoever gives it is that holder, in whatever thread. What a holder has locked it can lock
    again, and one release is then enough.
    """

    def acquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """Wait for a lock, and take it.

        Args:
            key: What is locked.
            holder: For whom.
            acquire_timeout: How many seconds to wait; None for as long as it takes, 0 to try once.
            hold_timeout: How many seconds it is held at most; None until it is released, or its process has ended.

        Returns:
            Whether the lock is the holder's now.
        """
        ...

    async def aacquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """As `acquire_lock`; the loop runs on meanwhile."""
        ...

    def release_lock(self, key: str, holder: str) -> None:
        """Give a lock back.

        Raises:
            LeaseLostError: If the holder does not have it (any more).
        """
        ...

    async def arelease_lock(self, key: str, holder: str) -> None:
        """As `release_lock`."""
        ...

    def is_locked(self, key: str) -> bool:
        """Return whether anybody holds a lock."""
        ...

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Return whether this holder holds a lock."""
        ...

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody holds a lock.

        Args:
            key: What is locked.
            timeout: How many seconds to wait; None for as long as it takes.

        Returns:
            Whether it is free.
        """
        ...

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:  # noqa: ASYNC109  as in Prefect
        """As `wait_for_lock`; the loop runs on meanwhile."""
        ...

"""A storage that can be stopped in the middle: what races and crashes of collections are made of."""

from collections.abc import Callable, Iterator
from typing import cast

from entrepot.protocols.storage import Buffer, DeletesIf, ObjectInfo, Storage, Touches
from entrepot_test_results import Wrapped

__all__ = ["Able", "AbleInterleaved", "Interleaved", "KilledError", "Mortal"]


class KilledError(BaseException):
    """The process is gone."""


class Mortal(Wrapped):
    """Does so many operations; then its process is gone, and does nothing any more.

    Args:
        inner: The storage.
        lives: How many operations are done; the one after raises, and so does every later one.
        late: Whether the last one still has its effect.
    """

    def __init__(self, inner: Storage, lives: int, *, late: bool) -> None:
        super().__init__(inner)
        self.lives = lives
        self.late = late
        self.dead = False

    def before(self, operation: str, path: str) -> None:
        super().before(operation, path)
        self.lives -= 1
        if self.lives < 0 and (self.dead or not self.late):
            self.dead = True
            raise KilledError

    def after(self, operation: str, path: str) -> None:
        if self.lives < 0:
            self.dead = True
            raise KilledError

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        found = super().list(prefix)
        self.after("list", prefix)
        return found


class Able(Wrapped):
    """Has what a folder can do besides."""

    def delete_if(self, path: str, data: Buffer) -> bool:
        self.before("delete_if", path)
        return cast("DeletesIf", self.inner).delete_if(path, data)

    def touch(self, path: str) -> None:
        self.before("touch", path)
        cast("Touches", self.inner).touch(path)


class Interleaved(Wrapped):
    """Calls something else before its n-th operation: another process that runs just then.

    Not before it deletes a record, which is where a store that cannot delete conditionally has to be fast enough.
    """

    def __init__(self, inner: Storage, at: int, other: Callable[[], object]) -> None:
        super().__init__(inner)
        self.left = at
        self.other = other
        self.fired = False

    def before(self, operation: str, path: str) -> None:
        super().before(operation, path)
        if operation == "delete" and path.startswith("records/"):
            return
        self.left -= 1
        if self.left == 0:
            self.fired = True
            self.other()


class AbleInterleaved(Able, Interleaved):
    """The same in a store that deletes conditionally: also before that."""

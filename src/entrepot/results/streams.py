"""Results that are too large to be one value: items that are kept as they come, and read as they are needed."""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from entrepot.errors import MissingResultError, SerializationError, UnhashableValueError

__all__ = ["Kept", "Stream"]

T = TypeVar("T")


class Kept(Iterable[T]):
    """Items in a store.

    Attributes:
        digest: The digest of them all, and how they are written.
        count: How many there are.
    """

    digest: str
    count: int


class Stream(Generic[T]):
    """Items that a task returns one by one.

    ::

        @task(persist_result=True)
        def rows():
            return Stream(read_rows())

    Where the result is kept, the items are written as they come, and never all in memory; whoever has the stream then
    reads them from the store, as often as needed, each part checked before anything of it is deserialised. Where it is
    not kept, the items come from `items` itself: of an iterator, once.

    Args:
        items: Any iterable.
    """

    def __init__(self, items: Iterable[T]) -> None:
        self._items = items
        self._begun = False

    def __iter__(self) -> Iterator[T]:
        """Go through the items.

        Raises:
            MissingResultError: If they were an iterator's, which somebody has gone through before.
            DamagedResultError: While it goes on, if a part in the store was altered.
        """
        items = self._items
        if isinstance(items, Iterator):
            if self._begun:
                raise MissingResultError(
                    "the items of this stream were read before, and they are not kept: keep the task's result"
                    " (persist_result=True) to read them again"
                )
            self._begun = True
        return iter(items)

    def __length_hint__(self) -> int:
        """Return how many items there are, where that is known: they are kept, or a list's."""
        items = self._items
        if isinstance(items, Kept):
            return items.count
        return len(items) if isinstance(items, list | tuple) else NotImplemented

    def __repr__(self) -> str:
        items = self._items
        return f"Stream(<{items.count} kept items>)" if isinstance(items, Kept) else f"Stream({type(items).__name__})"

    def __entrepot_key__(self) -> object:
        """Return what stands for it in cache keys: the digest of what is kept, or the items of a list.

        Raises:
            UnhashableValueError: If the items would be used up by looking at them.
        """
        items = self._items
        if isinstance(items, Kept):
            return items.digest
        if isinstance(items, list | tuple):
            return items
        raise UnhashableValueError(
            "no cache key can be made of a Stream that is not kept: keep the result of the task that returns it"
            " (persist_result=True), or leave the parameter out of the key (INPUTS - 'name')",
            parameter="",
            path="",
        )

    def __reduce__(self) -> str:
        raise SerializationError(
            "a Stream is written only as the whole result of a task that is kept in its own process: return it by"
            " itself, not inside another value, and hand its items to other processes, not the stream",
            serializer="",
            path="value",
        )

    def moved_to(self, kept: object) -> None:
        """From now on, take the items from where another stream does; the engine calls this once they are kept.

        Args:
            kept: What is in the store for this: a stream, unless something else was there first.
        """
        if isinstance(kept, Stream):
            self._items = kept._items  # noqa: SLF001  the same class

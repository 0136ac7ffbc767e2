"""The contract of stores, as tests to inherit: every promise of `entrepot.protocols.storage.Storage`.

::

    class TestMyStorage(StorageContract):
        @pytest.fixture
        def storage(self, tmp_path):
            return MyStorage(tmp_path)
"""
# ruff: noqa: S101, D102  these are tests: they assert, their names say what, and numbers are expectations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from entrepot.errors import (
    IntegrityError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
)
from entrepot.protocols.storage import (
    Buffer,
    Buffers,
    DeletesIf,
    StagesObjects,
    Storage,
    SwapsConditionally,
    Touches,
)
from entrepot.testing.readable_storage import (
    BAD_PATHS,
    ODD_PATHS,
    ReadableStorageContract,
    content_of,
    paths_of,
    refuses_path,
)

__all__ = ["BAD_PATHS", "ODD_PATHS", "ReadableStorageContract", "StorageContract"]

_MIB = 1024 * 1024


class StorageContract(ReadableStorageContract):
    """What every store that can be written to promises. Override `storage`.

    Attributes:
        exclusive: What `creates_exclusively` has to say.
        swaps: Whether it must be able to swap.
        writers: How many threads race for one name.
    """

    exclusive: ClassVar[bool] = True
    swaps: ClassVar[bool] = False
    writers: ClassVar[int] = 8

    def test_a_second_put_replaces_the_first(self, storage: Storage) -> None:
        for content in (b"first", b"the second is longer", b"3", b""):
            storage.put("a/b", content)
            assert bytes(storage.get("a/b")) == content
        assert [info.path for info in storage.list()] == ["a/b"]

    def test_many_buffers_are_one_object(self, storage: Storage) -> None:
        parts: list[Buffer] = [
            b"",
            b"a",
            bytearray(b"bc"),
            memoryview(b"xdefx")[1:4],
            b"",
            *(b"%d;" % i for i in range(2500)),
            b"",
        ]
        whole = b"".join(parts)
        storage.put("put", parts)
        storage.create("create", tuple(parts))
        assert bytes(storage.get("put")) == whole
        assert bytes(storage.get("create")) == whole

    def test_no_buffers_are_an_empty_object(self, storage: Storage) -> None:
        empties: list[Buffers] = [b"", [], [b""], [b"", memoryview(b""), bytearray()]]
        for number, empty in enumerate(empties):
            storage.create(f"a/{number}", empty)
            storage.put(f"b/{number}", empty)
            assert bytes(storage.get(f"a/{number}")) == bytes(storage.get(f"b/{number}")) == b""
        assert {info.size for info in storage.list()} == {0}

    def test_a_view_of_other_items_is_written_as_its_bytes(self, storage: Storage) -> None:
        numbers: Any = memoryview(bytes(range(64))).cast("d")
        grid = memoryview(bytes(range(64))).cast("B", (8, 8))
        storage.put("a", [numbers, grid])
        assert bytes(storage.get("a")) == bytes(range(64)) * 2

    def test_a_large_object_in_pieces_is_whole(self, storage: Storage) -> None:
        piece = content_of(_MIB + 17)
        parts: list[Buffer] = [piece, memoryview(piece), bytearray(piece)] * 3
        storage.put("large", parts)
        assert storage.stat("large").size == 9 * (_MIB + 17)
        assert bytes(storage.get("large")) == piece * 9
        assert bytes(storage.get("large", start=5 * _MIB, length=70_000)) == (piece * 9)[5 * _MIB : 5 * _MIB + 70_000]

    def test_what_was_written_does_not_change_with_the_callers_memory(self, storage: Storage) -> None:
        memory = bytearray(b"before")
        storage.put("a", memory)
        storage.create("b", [memory])
        memory[:] = b"after!"
        assert bytes(storage.get("a")) == bytes(storage.get("b")) == b"before"

    def test_what_is_no_buffer_is_refused_before_anything_is_written(self, storage: Storage) -> None:
        wrong: tuple[Any, ...] = ("text", ["text"], 5, None, [b"bytes", 5])
        for data in wrong:
            for write in (storage.put, storage.create):
                with pytest.raises(TypeError):
                    write("a", data)
        assert list(storage.list()) == []

    def test_a_staged_object_is_there_when_it_is_committed_and_not_before(self, storage: Storage) -> None:
        if not isinstance(storage, StagesObjects):
            pytest.skip("this store does not stage objects, which is optional")
        pieces: list[Buffer] = [b"", content_of(7), memoryview(content_of(300_000)), bytearray(b"x")]
        stage = storage.stage()
        for piece in pieces:
            stage.write(piece)
        assert [*storage.list()] == []
        stage.commit("a/b", replace=False)
        stage.close()
        stage.close()
        assert bytes(storage.get("a/b")) == b"".join(pieces)
        other = storage.stage()
        other.write(b"another")
        with pytest.raises(ObjectExistsError):
            other.commit("a/b", replace=False)
        assert bytes(storage.get("a/b")) == b"".join(pieces)
        other.commit("a/b", replace=True)
        other.close()
        dropped = storage.stage()
        dropped.write(b"dropped")
        dropped.close()
        empty = storage.stage()
        empty.commit("empty", replace=False)
        empty.close()
        assert paths_of(storage.list()) == {"a/b", "empty"}
        assert (bytes(storage.get("a/b")), bytes(storage.get("empty"))) == (b"another", b"")

    def test_create_writes_once(self, storage: Storage) -> None:
        storage.create("a/b", b"first")
        for content in (b"second", b"", b"first"):
            with pytest.raises(ObjectExistsError) as caught:
                storage.create("a/b", content)
            assert isinstance(caught.value, FileExistsError)
        assert bytes(storage.get("a/b")) == b"first"
        assert [info.path for info in storage.list()] == ["a/b"]

    def test_create_refuses_what_put_wrote_and_takes_what_delete_freed(self, storage: Storage) -> None:
        storage.put("a", b"")
        with pytest.raises(ObjectExistsError):
            storage.create("a", b"1")
        storage.delete("a")
        storage.create("a", b"2")
        storage.put("a", b"3")
        assert bytes(storage.get("a")) == b"3"

    def test_a_deleted_object_is_gone(self, storage: Storage) -> None:
        storage.put("a/b", b"1")
        storage.put("a/c", b"2")
        storage.delete("a/b")
        with pytest.raises(ObjectNotFoundError):
            storage.get("a/b")
        assert paths_of(storage.list()) == {"a/c"}

    def test_deleting_nothing_does_nothing(self, storage: Storage) -> None:
        storage.delete("a")
        storage.delete("a/b/c")
        storage.put("a/b", b"1")
        storage.delete("a")
        storage.delete("a/b/c")
        assert bytes(storage.get("a/b")) == b"1"

    def test_a_bad_path_is_not_written(self, storage: Storage) -> None:
        for path in BAD_PATHS:
            for write in (storage.put, storage.create):
                refuses_path(write, path, b"1")
            refuses_path(storage.delete, path)
        assert list(storage.list()) == []

    def test_it_says_whether_it_creates_exclusively(self, storage: Storage) -> None:
        assert storage.creates_exclusively is self.exclusive
        assert list(storage.list()) == []

    def test_of_many_writers_one_wins(self, storage: Storage) -> None:
        if not self.exclusive:
            pytest.skip("this store says that it cannot promise this")
        start = threading.Barrier(self.writers)

        def write(number: int) -> bool:
            start.wait()
            try:
                storage.create("a/b", b"%d" % number * 1000)
            except ObjectExistsError:
                return False
            return True

        with ThreadPoolExecutor(self.writers) as pool:
            won = list(pool.map(write, range(self.writers)))
        assert won.count(True) == 1
        assert bytes(storage.get("a/b")) == b"%d" % won.index(True) * 1000
        assert [info.path for info in storage.list()] == ["a/b"]

    def test_a_conditional_delete_spares_what_is_not_what_was_seen(self, storage: Storage) -> None:
        if not isinstance(storage, DeletesIf):
            pytest.skip("this store does not delete by content, which is optional")
        storage.put("a/b", b"12")
        for other in (b"", b"1", b"123", b"13"):
            assert not storage.delete_if("a/b", other)
            assert bytes(storage.get("a/b")) == b"12"
        assert storage.delete_if("a/b", b"12")
        assert list(storage.list()) == []
        assert storage.delete_if("a/b", b"12"), "it is gone already"

    def test_a_touch_changes_nothing_but_the_time(self, storage: Storage) -> None:
        if not isinstance(storage, Touches):
            pytest.skip("this store does not touch, which is optional")
        storage.put("a/b", b"12")
        before = storage.stat("a/b").modified
        storage.touch("a/b")
        after = storage.stat("a/b")
        assert (bytes(storage.get("a/b")), after.size) == (b"12", 2)
        assert before is None or (after.modified is not None and after.modified >= before)
        for path in ("a", "a/c", "x/y"):
            storage.touch(path)
        assert [info.path for info in storage.list()] == ["a/b"]

    @pytest.fixture
    def swapping(self, storage: Storage) -> Any:
        """Return the store, if it swaps."""
        if not isinstance(storage, SwapsConditionally) or not storage.can_swap():
            assert not self.swaps, "it was said to swap"
            pytest.skip("this store does not swap, which is optional")
        return storage

    def test_a_swap_replaces_what_was_read(self, swapping: Any) -> None:
        tag = swapping.swap("a/b", b"first", None)
        for number in range(3):
            content, read = swapping.get_tagged("a/b")
            assert bytes(content) == (b"second %d" % (number - 1) if number else b"first")
            assert read == tag
            tag = swapping.swap("a/b", [b"second ", b"%d" % number], read)
        swapping.put("a/b", b"put")
        tag = swapping.swap("a/b", b"", swapping.get_tagged("a/b")[1])
        assert bytes(swapping.get("a/b")) == bytes(swapping.get_tagged("a/b")[0]) == b""
        assert [info.path for info in swapping.list()] == ["a/b"]

    def test_a_swap_that_comes_too_late_changes_nothing(self, swapping: Any) -> None:
        old = swapping.swap("a/b", b"first", None)
        swapping.put("a/b", b"second")
        with pytest.raises(ObjectChangedError) as caught:
            swapping.swap("a/b", b"late", old)
        assert caught.value.path.endswith("a/b")
        assert bytes(swapping.get("a/b")) == b"second"
        swapping.delete("a/b")
        for path in ("a/b", "x/y"):
            with pytest.raises(ObjectChangedError):
                swapping.swap(path, b"late", old)
            with pytest.raises(ObjectNotFoundError):
                swapping.get_tagged(path)
        assert list(swapping.list()) == []

    def test_a_swap_for_nothing_creates(self, swapping: Any) -> None:
        swapping.swap("a/b", b"first", None)
        with pytest.raises(ObjectExistsError):
            swapping.swap("a/b", b"second", None)
        assert bytes(swapping.get("a/b")) == b"first"

    def test_what_is_larger_than_its_reader_allows_is_not_read(self, swapping: Any) -> None:
        tag = swapping.swap("a/b", b"12345", None)
        content, read = swapping.get_tagged("a/b", limit=5)
        assert (bytes(content), read) == (b"12345", tag)
        with pytest.raises(IntegrityError):
            swapping.get_tagged("a/b", limit=4)
        swapping.put("a/b", b"")
        assert bytes(swapping.get_tagged("a/b", limit=5)[0]) == b""
        with pytest.raises(ObjectNotFoundError):
            swapping.get_tagged("x/y", limit=5)

    def test_a_bad_path_is_not_swapped(self, swapping: Any) -> None:
        for path in BAD_PATHS:
            refuses_path(swapping.get_tagged, path)
            for tag in (None, "1"):
                refuses_path(swapping.swap, path, b"1", tag)
        assert list(swapping.list()) == []

    def test_of_many_that_swap_for_one_tag_one_wins(self, swapping: Any) -> None:
        tag = swapping.swap("a/b", b"first", None)
        for turn in range(3):
            start = threading.Barrier(self.writers)

            def swap(number: int, turn: int = turn, tag: str = tag, start: threading.Barrier = start) -> str | None:
                start.wait()
                try:
                    found: str = swapping.swap("a/b", b"%d of %d" % (number, turn), tag)
                except ObjectChangedError:
                    return None
                return found

            with ThreadPoolExecutor(self.writers) as pool:
                tags = list(pool.map(swap, range(self.writers)))
            (tag,) = [each for each in tags if each is not None]
            content, read = swapping.get_tagged("a/b")
            assert bytes(content) == b"%d of %d" % (tags.index(tag), turn)
            assert read == tag
        assert [info.path for info in swapping.list()] == ["a/b"]

    def test_a_reader_sees_the_old_object_or_the_new_one(self, storage: Storage) -> None:
        versions = [letter * 200_000 for letter in (b"a", b"b", b"c")]
        storage.put("a", versions[0])
        done = threading.Event()

        def write() -> None:
            try:
                for turn in range(12):
                    storage.put("a", [versions[turn % 3][:150_000], versions[turn % 3][150_000:]])
            finally:
                done.set()

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            reads = 0
            while not done.is_set() or reads == 0:
                assert bytes(storage.get("a")) in versions
                reads += 1
            writing.result()

    def test_threads_share_it(self, storage: Storage) -> None:
        def use(number: int) -> None:
            path = f"{number % 3}/{number}"
            for turn in range(3):
                storage.put(path, b"%d %d" % (number, turn))
                assert bytes(storage.get(path)) == b"%d %d" % (number, turn)
            assert path in paths_of(storage.list(str(number % 3)))
            if number % 2:
                storage.delete(path)

        with ThreadPoolExecutor(self.writers) as pool:
            list(pool.map(use, range(2 * self.writers)))
        assert paths_of(storage.list()) == {f"{n % 3}/{n}" for n in range(0, 2 * self.writers, 2)}

    def test_a_listing_survives_what_happens_meanwhile(self, storage: Storage) -> None:
        for number in range(30):
            storage.put(f"{number % 3}/{number}", b"")
        listing = storage.list()
        first = next(listing).path
        for number in range(30):
            storage.delete(f"{number % 3}/{number}")
        storage.put("new/object", b"")
        rest = paths_of(listing)
        assert first not in rest
        assert rest <= {"new/object", *(f"{number % 3}/{number}" for number in range(30))}
        assert paths_of(storage.list()) == {"new/object"}

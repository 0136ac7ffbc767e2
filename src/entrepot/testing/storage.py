"""The contract of stores, as tests to inherit: every promise of `entrepot.protocols.storage.Storage`.

::

    class TestMyStorage(StorageContract):
        @pytest.fixture
        def storage(self, tmp_path):
            return MyStorage(tmp_path)
"""
# ruff: noqa: S101, D102, PLR2004  these are tests: they assert, their names say what, and numbers are expectations

import pickle
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from entrepot.errors import (
    EntrepotError,
    IntegrityError,
    InvalidPathError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from entrepot.protocols.storage import (
    Buffer,
    Buffers,
    MapsObjects,
    ObjectInfo,
    ReadsInto,
    StagesObjects,
    Storage,
    SwapsConditionally,
)

__all__ = ["BAD_PATHS", "ODD_PATHS", "ReadableStorageContract", "StorageContract"]

BAD_PATHS: tuple[Any, ...] = (
    *("", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a/..", "./a"),
    *("a\0b", "a\nb", "a\x7fb", "a\x85b", "a\\b", "..\\a", "a" * 256, "é" * 128, "/".join(["a" * 200] * 6)),
    *(".tmp-a", "a/.tmp-b/c", "a\ud800b", b"a", 1, None),
)
ODD_PATHS = (
    *("a", "a/b/c/d/e/f/g", "a.b..c", ".hidden/...", "-", "~", "a b/c d", "A/a", "/".join(["ab"] * 20)),
    *(
        "ünï/日本語.json",
        "x" * 255,
        "名" * 85,
        "\N{GRINNING FACE}",
        "e\N{COMBINING ACUTE ACCENT}",
        "İı",
        "a\N{NO-BREAK SPACE}b",
    ),
    *(
        "a+b",
        "100%",
        "%2e%2e/%2F",
        "a#b",
        "a?b=c&d",
        "*[a]{b}",
        "a'b\"c`d",
        "<a>&amp;",
        "$HOME",
        "a:b|c;d,e=f@g!",
        "::",
        "a^b",
    ),
)
_SIZES = (0, 1, 2, 4095, 4096, 65536, 262143, 262144, 262145)
_MIB = 1024 * 1024


def content_of(size: int) -> bytes:
    """Return bytes that differ from place to place."""
    block = bytes(range(251))
    return (block * (size // 251 + 1))[:size]


class ReadableStorageContract:
    """What can be read from any store. Override `storage`, and `seed` if `storage` itself cannot be written to.

    Attributes:
        picklable: Whether the store can be sent to another process.
    """

    picklable: ClassVar[bool] = True

    @pytest.fixture
    def storage(self) -> Storage:
        """Return the store under test, empty."""
        pytest.fail("override the fixture 'storage': it returns an empty store")

    @pytest.fixture
    def seed(self, storage: Storage) -> Storage:
        """Return the store by which the tests put objects where `storage` finds them."""
        return storage

    @pytest.mark.parametrize("size", _SIZES)
    def test_an_object_is_read_as_it_was_written(self, storage: Storage, seed: Storage, size: int) -> None:
        seed.put("folder/object", content_of(size))
        assert bytes(storage.get("folder/object")) == content_of(size)
        assert storage.stat("folder/object").size == size

    def test_what_is_not_there_is_not_found(self, storage: Storage, seed: Storage) -> None:
        seed.put("a/b", b"1")
        for path in ("x", "a/x", "x/y/z", "a", "a/b/c"):
            for read in (
                storage.get,
                storage.stat,
                lambda p: storage.get(p, length=0),
                lambda p: storage.get(p, start=9),
            ):
                with pytest.raises(ObjectNotFoundError) as caught:
                    read(path)
                assert isinstance(caught.value, FileNotFoundError)
                assert caught.value.location

    @pytest.mark.parametrize("size", [0, 1, 10, 300_000])
    def test_a_range_is_a_slice(self, storage: Storage, seed: Storage, size: int) -> None:
        content = content_of(size)
        seed.put("object", content)
        for start in sorted({0, 1, 7, size // 2, max(size - 1, 0), size, size + 1, size + 1_000_000}):
            for length in (None, 0, 1, 5, size, size + 1, 10**9):
                stop = None if length is None else start + length
                assert bytes(storage.get("object", start=start, length=length)) == content[start:stop], (start, length)

    def test_a_negative_range_is_refused(self, storage: Storage, seed: Storage) -> None:
        seed.put("object", b"0123456789")
        for start, length in ((-1, None), (0, -1), (-5, 3)):
            with pytest.raises(StorageError):
                storage.get("object", start=start, length=length)

    def test_an_object_is_read_into_the_callers_memory(self, storage: Storage, seed: Storage) -> None:
        if not isinstance(storage, ReadsInto):
            pytest.skip("this store does not read into memory, which is optional")
        content = content_of(600_000)
        seed.put("object", content)
        for start, size in ((0, 600_000), (0, 700_000), (1, 10), (599_999, 5), (600_000, 5), (900_000, 5), (0, 0)):
            memory = bytearray(b"\xff" * size)
            count = storage.read_into("object", memoryview(memory), start=start)
            expected = content[start : start + size]
            assert count == len(expected)
            assert memory == expected + b"\xff" * (size - count)
        with pytest.raises(ObjectNotFoundError):
            storage.read_into("absent", memoryview(bytearray(5)))

    def test_a_mapping_is_the_callers_own(self, storage: Storage, seed: Storage) -> None:
        if not isinstance(storage, MapsObjects):
            pytest.skip("this store does not map objects, which is optional")
        content = content_of(600_000)
        seed.put("object", content)
        memory = storage.map("object")
        if memory is None:
            pytest.skip("this store maps objects, but not here")
        assert memory == content
        assert (memory.format, memory.ndim, memory.readonly) == ("B", 1, False)
        memory[:] = bytes(600_000)
        assert bytes(storage.get("object")) == content
        again = storage.map("object")
        assert again is not None
        assert again == content
        seed.put("object", b"another")
        seed.delete("object")
        assert memory == bytes(600_000)
        with pytest.raises(ObjectNotFoundError):
            storage.map("absent")

    @pytest.mark.parametrize("path", ODD_PATHS, ids=ascii)
    def test_an_odd_name_is_a_name_like_any_other(self, storage: Storage, seed: Storage, path: str) -> None:
        seed.put(path, path.encode())
        assert bytes(storage.get(path)) == path.encode()
        assert storage.stat(path).path == path
        assert _paths(storage.list()) == {path}

    def test_a_bad_path_is_refused(self, storage: Storage) -> None:
        for path in BAD_PATHS:
            reads: list[Callable[[str], object]] = [storage.get, storage.stat]
            if path != "":
                reads.append(lambda p: list(storage.list(p)))
            for read in reads:
                _refused(read, path)
        with pytest.raises(InvalidPathError):
            storage.list("../a")  # at the call, not at the first object

    def test_a_listing_has_what_is_below_a_folder(self, storage: Storage, seed: Storage) -> None:
        for path in ("a/b", "a/c/d", "ab", "a-b/c", "b/a/b"):
            seed.put(path, path.encode())
        assert _paths(storage.list()) == {"a/b", "a/c/d", "ab", "a-b/c", "b/a/b"}
        assert _paths(storage.list("a")) == {"a/b", "a/c/d"}
        assert _paths(storage.list("a/c")) == {"a/c/d"}
        assert _paths(storage.list("b/a")) == {"b/a/b"}
        for absent in ("c", "a/b", "a/c/d", "a/x", "x/y"):
            assert _paths(storage.list(absent)) == set(), absent

    def test_a_listing_of_nothing_is_empty(self, storage: Storage) -> None:
        assert list(storage.list()) == []
        assert list(storage.list("a/b")) == []

    def test_a_listing_knows_sizes_and_times(self, storage: Storage, seed: Storage) -> None:
        seed.put("a/object", content_of(1234))
        (listed,) = storage.list()
        for info in (listed, storage.stat("a/object")):
            assert (info.path, info.size) == ("a/object", 1234)
            if info.modified is not None:
                assert abs(datetime.now(UTC) - info.modified) < timedelta(minutes=5)

    def test_a_listing_is_fresh(self, storage: Storage, seed: Storage) -> None:
        for number in range(5):
            seed.put(f"a/{number}", b"")
            assert _paths(storage.list("a")) == {f"a/{i}" for i in range(number + 1)}
            assert storage.stat(f"a/{number}").size == 0
        seed.put("a/0", b"longer")
        assert storage.stat("a/0").size == 6
        assert {info.size for info in storage.list("a") if info.path == "a/0"} == {6}
        seed.delete("a/3")
        assert _paths(storage.list("a")) == {"a/0", "a/1", "a/2", "a/4"}
        with pytest.raises(ObjectNotFoundError):
            storage.stat("a/3")

    def test_reading_makes_nothing(self, storage: Storage) -> None:
        for read in (storage.get, storage.stat):
            with pytest.raises(ObjectNotFoundError):
                read("a/b")
        assert list(storage.list()) == []

    def test_it_says_where_it_is(self, storage: Storage) -> None:
        assert isinstance(storage.location, str)
        assert storage.location
        assert isinstance(storage.creates_exclusively, bool)

    def test_a_copy_in_another_process_reads_the_same(self, storage: Storage, seed: Storage) -> None:
        seed.put("a/b", b"bytes")
        if not self.picklable:
            with pytest.raises((EntrepotError, TypeError)):
                pickle.dumps(storage)
            return
        copy: Storage = pickle.loads(pickle.dumps(storage))  # noqa: S301  ours
        assert copy.location == storage.location
        assert bytes(copy.get("a/b")) == b"bytes"


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
        assert _paths(storage.list()) == {"a/b", "empty"}
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
        assert _paths(storage.list()) == {"a/c"}

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
                _refused(write, path, b"1")
            _refused(storage.delete, path)
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
            _refused(swapping.get_tagged, path)
            for tag in (None, "1"):
                _refused(swapping.swap, path, b"1", tag)
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
            assert path in _paths(storage.list(str(number % 3)))
            if number % 2:
                storage.delete(path)

        with ThreadPoolExecutor(self.writers) as pool:
            list(pool.map(use, range(2 * self.writers)))
        assert _paths(storage.list()) == {f"{n % 3}/{n}" for n in range(0, 2 * self.writers, 2)}

    def test_a_listing_survives_what_happens_meanwhile(self, storage: Storage) -> None:
        for number in range(30):
            storage.put(f"{number % 3}/{number}", b"")
        listing = storage.list()
        first = next(listing).path
        for number in range(30):
            storage.delete(f"{number % 3}/{number}")
        storage.put("new/object", b"")
        rest = _paths(listing)
        assert first not in rest
        assert rest <= {"new/object", *(f"{number % 3}/{number}" for number in range(30))}
        assert _paths(storage.list()) == {"new/object"}


def _refused(act: Callable[..., object], path: object, *more: object) -> None:
    with pytest.raises(InvalidPathError) as caught:
        act(path, *more)
    assert isinstance(caught.value, ValueError)


def _paths(found: Iterable[ObjectInfo]) -> set[str]:
    """Return the paths of a listing, each of which it has once."""
    paths = [info.path for info in found]
    assert len(paths) == len(set(paths))
    return set(paths)

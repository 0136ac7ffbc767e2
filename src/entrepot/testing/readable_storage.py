"""The contract of stores that can be read, as tests to inherit; `storage` has that of those that are written to."""
# ruff: noqa: S101, D102, PLR2004  these are tests: they assert, their names say what, and numbers are expectations

import pickle
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from entrepot.errors import (
    EntrepotError,
    InvalidPathError,
    ObjectNotFoundError,
    StorageError,
)
from entrepot.protocols.storage import (
    MapsObjects,
    ObjectInfo,
    ReadsInto,
    Storage,
)

__all__ = ["BAD_PATHS", "ODD_PATHS", "ReadableStorageContract", "content_of", "paths_of", "refuses_path"]

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


def content_of(size: int) -> bytes:
    """Return bytes that differ from place to place."""
    block = bytes(range(251))
    return (block * (size // 251 + 1))[:size]


def refuses_path(act: Callable[..., object], path: object, *more: object) -> None:
    """See that a path is refused as what it is."""
    with pytest.raises(InvalidPathError) as caught:
        act(path, *more)
    assert isinstance(caught.value, ValueError)


def paths_of(found: Iterable[ObjectInfo]) -> set[str]:
    """Return the paths of a listing, each of which it has once."""
    paths = [info.path for info in found]
    assert len(paths) == len(set(paths))
    return set(paths)


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
        assert paths_of(storage.list()) == {path}

    def test_a_bad_path_is_refused(self, storage: Storage) -> None:
        for path in BAD_PATHS:
            reads: list[Callable[[str], object]] = [storage.get, storage.stat]
            if path != "":
                reads.append(lambda p: list(storage.list(p)))
            for read in reads:
                refuses_path(read, path)
        with pytest.raises(InvalidPathError):
            storage.list("../a")  # at the call, not at the first object

    def test_a_listing_has_what_is_below_a_folder(self, storage: Storage, seed: Storage) -> None:
        for path in ("a/b", "a/c/d", "ab", "a-b/c", "b/a/b"):
            seed.put(path, path.encode())
        assert paths_of(storage.list()) == {"a/b", "a/c/d", "ab", "a-b/c", "b/a/b"}
        assert paths_of(storage.list("a")) == {"a/b", "a/c/d"}
        assert paths_of(storage.list("a/c")) == {"a/c/d"}
        assert paths_of(storage.list("b/a")) == {"b/a/b"}
        for absent in ("c", "a/b", "a/c/d", "a/x", "x/y"):
            assert paths_of(storage.list(absent)) == set(), absent

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
            assert paths_of(storage.list("a")) == {f"a/{i}" for i in range(number + 1)}
            assert storage.stat(f"a/{number}").size == 0
        seed.put("a/0", b"longer")
        assert storage.stat("a/0").size == 6
        assert {info.size for info in storage.list("a") if info.path == "a/0"} == {6}
        seed.delete("a/3")
        assert paths_of(storage.list("a")) == {"a/0", "a/1", "a/2", "a/4"}
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

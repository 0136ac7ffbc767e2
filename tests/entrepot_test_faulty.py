"""Stores, key providers and task runners with one fault each, as tests of their contracts: `FAULTS` says which fail.

`test_contracts_catch_more.py` runs them in a pytest of its own; no other collects this file.
"""

import contextvars
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, ClassVar, Self

import pytest

from entrepot.crypto.keyring import Keyring
from entrepot.errors import (
    IntegrityError,
    KeyringChangedError,
    KeyringError,
    KeyringExistsError,
    ObjectExistsError,
    ObjectNotFoundError,
)
from entrepot.protocols.storage import ObjectInfo
from entrepot.storage import MemoryStorage
from entrepot.storage._buffers import joined
from entrepot.task_runners import ThreadPoolTaskRunner
from entrepot.testing import KeyProviderContract, StorageContract, TaskRunnerContract

FAULTS: list[tuple[str, str]] = []
"""Names of classes here, and the test of each that has to fail."""


def catches(*tests: str) -> Callable[[type], type]:
    """Make the test class of a fault, beside it."""

    def decorate(wrong: type) -> type:
        base = next(made for kind, made in KINDS.items() if issubclass(wrong, kind))
        name = f"Test{wrong.__name__}"
        globals()[name] = type(name, (base,), {"wrong": staticmethod(wrong), "__module__": __name__})
        FAULTS.extend((name, f"test_{test}") for test in tests)
        return wrong

    return decorate


# --- stores -------------------------------------------------------------------------------------------------------


class OfStorage(StorageContract):
    picklable: ClassVar[bool] = False
    wrong: Any

    @pytest.fixture
    def storage(self) -> Any:
        return self.wrong()


class Store(MemoryStorage):
    """One that is right, in the two parts that the faults below change."""

    def content(self, path: str) -> bytes:
        return bytes(super().get(path))


KINDS: dict[type, type] = {Store: OfStorage}


@catches("an_object_is_read_as_it_was_written", "a_large_object_in_pieces_is_whole")
class Short(Store):
    def put(self, path: str, data: Any) -> None:
        content = joined(data)
        super().put(path, content[:-1] if len(content) > 4096 else content)


@catches("what_is_not_there_is_not_found", "reading_makes_nothing", "a_deleted_object_is_gone")
class EmptyForAbsent(Store):
    def get(self, path: str, *, start: int = 0, length: int | None = None) -> bytes:
        try:
            return super().get(path, start=start, length=length)
        except ObjectNotFoundError:
            self.put(path, b"")
            return b""


@catches("a_range_is_a_slice")
class Unbounded(Store):
    def get(self, path: str, *, start: int = 0, length: int | None = None) -> bytes:
        return super().get(path, start=start, length=None if length == 5 else length)


@catches("a_negative_range_is_refused")
class FromTheEnd(Store):
    def get(self, path: str, *, start: int = 0, length: int | None = None) -> bytes:
        content = self.content(path) if start < 0 else b""
        return content[start:] if start < 0 else super().get(path, start=start, length=length)

    def content(self, path: str) -> bytes:
        return super().get(path)


@catches("an_object_is_read_into_the_callers_memory")
class CountsTheRoom(Store):
    def read_into(self, path: str, buffer: memoryview, *, start: int = 0) -> int:
        super().read_into(path, buffer, start=start)
        return buffer.nbytes


@catches("an_odd_name_is_a_name_like_any_other")
class Lowering(Store):
    def put(self, path: str, data: Any) -> None:
        super().put(path.lower() if isinstance(path, str) else path, data)


@catches("a_bad_path_is_refused", "a_bad_path_is_not_written")
class Trusting(Store):
    def get(self, path: str, *, start: int = 0, length: int | None = None) -> bytes:
        return super().get(str(path).strip("/") or "x", start=start, length=length)

    def put(self, path: str, data: Any) -> None:
        super().put(path.replace("..", "x") if isinstance(path, str) else path, data)


@catches("a_listing_has_what_is_below_a_folder")
class ByPrefix(Store):
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        list(super().list(prefix))
        return iter([info for info in super().list() if info.path.startswith(prefix)])


@catches("a_listing_knows_sizes_and_times")
class Sizeless(Store):
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return iter([ObjectInfo(info.path, 0, None) for info in super().list(prefix)])


@catches("a_listing_is_fresh")
class Stale(Store):
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        kept: dict[str, Any] = self.__dict__.setdefault("kept", {})
        return iter(kept.setdefault(prefix, [*super().list(prefix)]))


@catches("a_listing_of_nothing_is_empty")
class Marked(Store):
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        yield ObjectInfo(".marker", 0, None)
        yield from super().list(prefix)


@catches("it_says_where_it_is")
class Nowhere(Store):
    location = ""


@catches("a_copy_in_another_process_reads_the_same")
class Copied(Store):
    def __reduce__(self) -> Any:
        return type(self), ()


@catches("a_second_put_replaces_the_first")
class Appending(Store):
    def put(self, path: str, data: Any) -> None:
        more = joined(data)
        try:
            super().put(path, bytes(super().get(path)) + more)
        except ObjectNotFoundError:
            super().put(path, more)


@catches("many_buffers_are_one_object")
class FirstBuffers(Store):
    def put(self, path: str, data: Any) -> None:
        super().put(path, data[:1024] if isinstance(data, list | tuple) else data)


@catches("no_buffers_are_an_empty_object")
class NeedsBytes(Store):
    def create(self, path: str, data: Any) -> None:
        if len(data) == 0:
            raise IntegrityError("there is nothing to write", path=path, location=self.location)
        super().create(path, data)


@catches("a_view_of_other_items_is_written_as_its_bytes")
class CountsItems(Store):
    def put(self, path: str, data: Any) -> None:
        parts = data if isinstance(data, list) else [data]
        super().put(path, [bytes(part)[: len(part)] if isinstance(part, memoryview) else part for part in parts])


@catches("what_was_written_does_not_change_with_the_callers_memory")
class Keeping(Store):
    def put(self, path: str, data: Any) -> None:
        super().put(path, data)
        if isinstance(data, bytearray):
            self.__dict__.setdefault("lent", {})[path] = data

    def get(self, path: str, *, start: int = 0, length: int | None = None) -> bytes:
        lent = self.__dict__.get("lent", {})
        return bytes(lent[path]) if path in lent else super().get(path, start=start, length=length)


@catches("what_is_no_buffer_is_refused_before_anything_is_written")
class Piecemeal(Store):
    def put(self, path: str, data: Any) -> None:
        if isinstance(data, list) and data:
            super().put(path, data[0])
        super().put(path, data)


@catches("a_staged_object_is_there_when_it_is_committed_and_not_before")
class EarlyStage(Store):
    def stage(self) -> Any:
        stage = super().stage()
        self.put("staged", b"")
        return stage


@catches("create_writes_once", "create_refuses_what_put_wrote_and_takes_what_delete_freed")
class Overwriting(Store):
    def create(self, path: str, data: Any) -> None:
        self.put(path, data)


@catches("create_writes_once")
class SameIsFine(Store):
    def create(self, path: str, data: Any) -> None:
        try:
            super().create(path, data)
        except ObjectExistsError:
            if super().get(path) != joined(data):
                raise


@catches("create_refuses_what_put_wrote_and_takes_what_delete_freed")
class Gravestones(Store):
    def delete(self, path: str) -> None:
        super().delete(path)
        self.__dict__.setdefault("dead", set()).add(path)

    def create(self, path: str, data: Any) -> None:
        if path in self.__dict__.get("dead", ()):
            raise ObjectExistsError("it was there", path=path, location=self.location)
        super().create(path, data)


@catches("a_conditional_delete_spares_what_is_not_what_was_seen")
class DeletesAnything(Store):
    def delete_if(self, path: str, data: Any) -> bool:
        self.delete(path)
        return True


@catches("a_touch_changes_nothing_but_the_time")
class TouchesAbsentOnes(Store):
    def touch(self, path: str) -> None:
        if "/" in path and not any(info.path == path for info in self.list()):
            self.put(path, b"")
        super().touch(path)


@catches("a_deleted_object_is_gone")
class Undying(Store):
    def delete(self, path: str) -> None:
        super().get_tagged("x") if not isinstance(path, str) else None


@catches("deleting_nothing_does_nothing")
class Strict(Store):
    def delete(self, path: str) -> None:
        super().get(path)
        super().delete(path)


@catches("it_says_whether_it_creates_exclusively")
class Modest(Store):
    creates_exclusively = False


@catches("of_many_writers_one_wins")
class LooksFirst(Store):
    def create(self, path: str, data: Any) -> None:
        try:
            super().get(path)
        except ObjectNotFoundError:
            time.sleep(0.02)
            self.put(path, data)
        else:
            raise ObjectExistsError("it is there", path=path, location=self.location)


@catches("a_swap_that_comes_too_late_changes_nothing", "of_many_that_swap_for_one_tag_one_wins")
class Tagless(Store):
    def swap(self, path: str, data: Any, tag: str | None) -> str:
        if tag is not None:
            tag = super().get_tagged(path)[1]
        return super().swap(path, data, tag)


@catches("a_swap_for_nothing_creates")
class SwapsOver(Store):
    def swap(self, path: str, data: Any, tag: str | None) -> str:
        if tag is None:
            self.put(path, data)
            return super().get_tagged(path)[1]
        return super().swap(path, data, tag)


@catches("a_swap_replaces_what_was_read")
class OldTag(Store):
    def swap(self, path: str, data: Any, tag: str | None) -> str:
        new = super().swap(path, data, tag)
        return new if tag is None else tag


@catches("what_is_larger_than_its_reader_allows_is_not_read")
class Limitless(Store):
    def get_tagged(self, path: str, *, limit: int | None = None) -> tuple[bytes, str]:
        return super().get_tagged(path)


@catches("a_bad_path_is_not_swapped")
class SwapsAnywhere(Store):
    def swap(self, path: str, data: Any, tag: str | None) -> str:
        return super().swap("x" if path == "../a" else path, data, tag)


@catches("a_reader_sees_the_old_object_or_the_new_one")
class Torn(Store):
    def put(self, path: str, data: Any) -> None:
        content = joined(data)
        if len(content) > 100_000:
            super().put(path, content[:1000])
            time.sleep(0.01)
        super().put(path, content)


@catches("threads_share_it")
class OneThread(Store):
    def put(self, path: str, data: Any) -> None:
        self.path = path
        time.sleep(0.005)
        super().put(self.path, data)


@catches("a_listing_survives_what_happens_meanwhile")
class Snapshot(Store):
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        paths = [info.path for info in super().list(prefix)]
        return (self.stat(path) for path in paths)


# --- key providers ------------------------------------------------------------------------------------------------


class Provider:
    """One that is right: the place is a dict that several may open."""

    def __init__(self, place: dict[str, Any]) -> None:
        self.place = place
        place.setdefault("lock", threading.Lock())

    location = "memory"

    def __repr__(self) -> str:
        return "Provider()"

    def __getattribute__(self, name: str) -> Any:
        return {} if name == "__dict__" else super().__getattribute__(name)  # nobody looks in there by chance

    def read(self) -> bytes | None:
        found: bytes | None = self.place.get("document")
        return found

    def look(self) -> object | None:
        document = self.read()
        return None if document is None else hash(document)

    def create(self, document: bytes) -> None:
        with self.place["lock"]:
            if "document" in self.place:
                raise KeyringExistsError("there is one", location=self.location)
            self.place["document"] = bytes(document)

    def replace(self, document: bytes, *, old: bytes) -> None:
        with self.place["lock"]:
            if self.place.get("document") != bytes(old):
                raise KeyringChangedError("it is another", location=self.location)
            self.place["document"] = bytes(document)


class OfProvider(KeyProviderContract):
    wrong: Any = Provider

    @pytest.fixture
    def place(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def provider(self, place: dict[str, Any]) -> Any:
        return self.wrong(place)

    @pytest.fixture
    def same(self, place: dict[str, Any]) -> Any:
        return lambda: self.wrong(place)


class RightProvider(OfProvider):
    pass


KINDS[Provider] = OfProvider


@catches("there_is_nothing_at_first")
class ReadyMade(Provider):
    def read(self) -> bytes | None:
        return super().read() or bytes(Keyring.generate().to_document())


@catches("what_is_kept_is_read_again")
class Narrow(Provider):
    def create(self, document: bytes) -> None:
        super().create(bytes(document)[:4096])


@catches("it_says_where_it_is_without_a_key")
class Showing(Provider):
    def __repr__(self) -> str:
        return f"Showing({self.read()!r})"


@catches("it_says_where_it_is_without_a_key")
class Printing(Provider):
    def read(self) -> bytes | None:
        found = super().read()
        sys.stdout.write(repr(found))
        return found


@catches("it_says_where_it_is_without_a_key")
class Unplaced(Provider):
    location = ""


@catches("a_look_tells_one_state_from_another")
class Blind(Provider):
    def look(self) -> object | None:
        return None if self.read() is None else 1


@catches("a_look_tells_one_state_from_another")
class LooksAtKeys(Provider):
    def look(self) -> object | None:
        document = self.read()
        return None if document is None else json.loads(document)["keys"]


@catches("a_second_first_document_is_refused")
class CreatesOver(Provider):
    def create(self, document: bytes) -> None:
        self.place["document"] = bytes(document)


@catches("of_several_first_documents_one_wins")
class CreatesLate(Provider):
    def create(self, document: bytes) -> None:
        if self.read() is not None:
            raise KeyringExistsError("there is one", location=self.location)
        time.sleep(0.05)
        self.place["document"] = bytes(document)


@catches("another_document_takes_the_place_of_the_one_that_was_read")
class Idle(Provider):
    def replace(self, document: bytes, *, old: bytes) -> None:
        pass


@catches("what_another_program_changed_is_not_written_over", "where_nothing_is_kept_nothing_is_replaced")
class ReplacesAny(Provider):
    def replace(self, document: bytes, *, old: bytes) -> None:
        self.place["document"] = bytes(document)


@catches("changes_of_the_same_moment_are_all_kept")
class ReplacesLate(Provider):
    def replace(self, document: bytes, *, old: bytes) -> None:
        if self.read() != bytes(old):
            raise KeyringChangedError("it is another", location=self.location)
        time.sleep(0.02)
        self.place["document"] = bytes(document)


class OfReader(OfProvider):
    writes: ClassVar[bool] = False

    def put(self, provider: Any, document: bytes) -> None:
        provider.place["document"] = bytes(document)


class Reader(Provider):
    """One that is right, and cannot keep a keyring."""

    def create(self, document: bytes) -> None:
        raise KeyringError("it cannot be kept here", location=self.location)

    def replace(self, document: bytes, *, old: bytes) -> None:
        raise KeyringError("it cannot be kept here", location=self.location)


class RightReader(OfReader):
    wrong = Reader


KINDS = {Reader: OfReader, **KINDS}


@catches("one_that_cannot_keep_says_so")
class Silent(Reader):
    def create(self, document: bytes) -> None:
        pass


# --- task runners -------------------------------------------------------------------------------------------------


class Runner(ThreadPoolTaskRunner):
    """One that is right."""

    def __init__(self, max_workers: int | None = 8) -> None:
        super().__init__(max_workers)


class OfRunner(TaskRunnerContract):
    wrong: Any

    @pytest.fixture
    def task_runner(self) -> Any:
        return self.wrong()


KINDS[Runner] = OfRunner


@catches("it_runs_calls_and_returns_their_results")
class FalseForNone(Runner):
    def submit(self, call: Any, /) -> Any:
        return super().submit(lambda: call() or False)


@catches("entering_returns_the_runner")
class EntersAnother(Runner):
    def __enter__(self) -> Self:
        super().__enter__()
        other = self.duplicate()
        other._pool = self._pool
        return other


@catches("an_error_stays_in_its_future")
class Raising(Runner):
    def submit(self, call: Any, /) -> Any:
        future = super().submit(call)
        if error := future.exception(30):
            raise error
        return future


@catches("an_error_stays_in_its_future")
class Wrapping(Runner):
    def submit(self, call: Any, /) -> Any:
        def wrapped() -> Any:
            try:
                return call()
            except Exception as error:
                raise RuntimeError("a task failed") from error

        return super().submit(wrapped)


@catches("a_call_sees_the_context_variables_of_its_submitter")
class WithoutContext(Runner):
    def submit(self, call: Any, /) -> Any:
        empty = contextvars.Context()
        return super().submit(lambda: empty.copy().run(call))


@catches("a_call_cannot_change_its_submitters_context_variables", "a_call_sees_the_context_variables_of_its_submitter")
class LateInOneContext(Runner):
    """Runs calls when their results are asked for, as part of who asks."""

    def submit(self, call: Any, /) -> Any:
        super().submit(lambda: None)
        return Lazy(call)


class Lazy(Future):  # type: ignore[type-arg]  of anything
    def __init__(self, call: Any) -> None:
        super().__init__()
        self.call = call

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            try:
                self.set_result(self.call())
            except Exception as error:  # noqa: BLE001  it is to be the future's
                self.set_exception(error)
        return super().result(timeout)


@catches("leaving_waits_for_what_was_submitted")
class LeavesAtOnce(Runner):
    def submit(self, call: Any, /) -> Any:
        return super().submit(lambda: (time.sleep(0.1), call())[1])

    def __exit__(self, *error: object) -> None:
        pool, self._pool = self._pool, None
        if pool is not None and error[0] is None:
            threading.Thread(target=pool.close, kwargs={"cancel": False}).start()
        elif pool is not None:
            pool.close(cancel=True)


@catches("leaving_with_an_error_ends_every_future")
class Forgets(Runner):
    def submit(self, call: Any, /) -> Any:
        super().submit(call)
        return Future()


@catches("it_takes_nothing_before_it_is_entered_and_after_it_was_left")
class RunsAnyway(Runner):
    def submit(self, call: Any, /) -> Any:
        if self._pool is None:
            call()
        return super().submit(call)


@catches("a_duplicate_is_fresh_and_its_own")
class OwnDuplicate(Runner):
    def duplicate(self) -> Self:
        return self


@catches("it_can_be_entered_again_after_it_was_left")
class OnlyOnce(Runner):
    def __enter__(self) -> Self:
        if self.__dict__.get("used"):
            raise RuntimeError("used up")
        self.used = True
        return super().__enter__()


@catches("it_is_not_entered_twice_at_a_time")
class EntersTwice(Runner):
    def __enter__(self) -> Self:
        return super().__enter__() if self._pool is None else self


@catches("calls_may_be_submitted_from_many_threads", "it_runs_thousands")
class Doubling(Runner):
    def submit(self, call: Any, /) -> Any:
        super().submit(call)
        return super().submit(call)


@catches("it_has_a_name")
class Unnamed(Runner):
    name = ""


@catches("an_exit_in_a_call_ends_no_more_than_that_call")
class Softening(Runner):
    def submit(self, call: Any, /) -> Any:
        def softened() -> Any:
            try:
                return call()
            except SystemExit as error:
                raise RuntimeError("it wanted to exit") from error

        return super().submit(softened)


RIGHT = ("RightProvider", "RightReader")  # MemoryStorage and ThreadPoolTaskRunner meet theirs in tests of their own

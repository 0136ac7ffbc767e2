"""A write that fails at any step leaves the old or the new, never a half; and the next one succeeds."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from entrepot.errors import StorageError, StorageFullError, StorageUnreachableError
from entrepot.protocols.storage import Storage
from entrepot.results.lookup import Outcome
from entrepot.storage.local import LocalStorage
from entrepot.storage.memory import MemoryStorage
from entrepot_test_results import Faulty, Kept, NotExclusive

OLD = ["old"] * 50
NEW = ["new"] * 60
ERRORS: list[BaseException] = [
    StorageUnreachableError("no answer", location="s3://bucket"),
    StorageFullError("no space left", location="disk"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("late", [False, True], ids=["before it happens", "after it happened"])
@pytest.mark.parametrize("inline_limit", [0, 8192], ids=["payload", "inline"])
@pytest.mark.parametrize("before", ["nothing", "old", "expired", "damaged", "planted payload"])
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("wrap", [lambda storage: storage, NotExclusive], ids=["exclusive", "not exclusive"])
def test_a_write_that_fails_at_any_operation_leaves_old_or_new(
    error: BaseException,
    late: bool,  # noqa: FBT001  pytest passes by name
    inline_limit: int,
    before: str,
    replace: bool,  # noqa: FBT001  the same
    wrap: Callable[[Storage], Storage],
) -> None:
    fired = 0
    for at in range(1, 30):
        storage = MemoryStorage()
        kept = Kept(wrap(storage), inline_limit=inline_limit)
        prepare(kept, before)
        faulty = Faulty(kept.storage, at=at, error=error, late=late)
        writer = Kept(faulty, inline_limit=inline_limit)
        writer.clock.time = kept.clock.time
        try:
            record = writer.write("key", NEW, replace=replace)
        except type(error):
            record = None
        else:
            assert kept.store.lookup("key").record == record
        fired += faulty.fired
        found = kept.store.lookup("key")
        allowed: dict[str, set[Outcome]] = {
            "nothing": {Outcome.MISS, Outcome.HIT},
            "old": {Outcome.HIT},
            "expired": {Outcome.EXPIRED, Outcome.HIT},
            "damaged": {Outcome.DAMAGED, Outcome.HIT},
            "planted payload": {Outcome.MISS, Outcome.HIT},
        }
        assert found.outcome in allowed[before], (at, found)
        if found.outcome is Outcome.HIT:
            assert found.value in (OLD, NEW)
            assert found.value == NEW or before == "old"
        kept.write("key", NEW)
        assert kept.store.fetch("key").value == (found.value if found.outcome is Outcome.HIT else NEW)
        if faulty.left > 0:
            break
    assert fired >= 1
    assert faulty.left > 0  # every operation had its turn


def prepare(kept: Kept, before: str) -> None:
    if before in {"old", "damaged"}:
        record = kept.write("key", OLD)
        if before == "damaged":
            path = record.payload or record.path
            kept.storage.put(path, kept.bytes_at(path)[:-1])
    elif before == "expired":
        kept.write("key", OLD, expires=kept.clock.time)
    elif before == "planted payload":
        record = kept.write("key", NEW)
        kept.storage.delete(record.path)
        if record.payload is not None:
            kept.storage.put(record.payload, bytes(record.size))


@pytest.mark.parametrize("late", [False, True])
def test_a_read_that_fails_at_any_operation_is_an_outage_never_a_miss_or_a_value(late: bool) -> None:  # noqa: FBT001  by name
    storage = MemoryStorage()
    Kept(storage, inline_limit=0).write("key", OLD)
    error = StorageUnreachableError("no answer", location="s3://bucket")
    for at in range(1, 10):
        faulty = Faulty(storage, at=at, error=error, late=late)
        found = Kept(faulty).store.lookup("key")
        if faulty.left > 0:
            assert found.value == OLD
            break
        assert found.outcome is Outcome.UNREACHABLE
    assert at > 2


CALLS = ("open", "mkdir", "writev", "write", "fsync", "link", "rename", "replace", "close", "unlink", "stat", "fstat")


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("replace", [False, True])
def test_a_system_call_that_fails_anywhere_leaves_old_or_new_on_disk(
    name: str,
    code: int,
    replace: bool,  # noqa: FBT001  by name
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = getattr(os, name)
    for at in range(1, 60):
        kept = Kept(LocalStorage(tmp_path / str(at)), inline_limit=0)
        if replace:
            kept.write("key", OLD)
        left = at

        def failing(*args: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                if name == "close":
                    real(*args, **options)  # a failed close has closed
                raise OSError(code, os.strerror(code))
            return real(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, name, failing)
            try:
                kept.write("key", NEW, replace=replace)
                failed = False
            except StorageError:  # anything else, an OSError say, fails the test
                failed = True
        found = kept.store.lookup("key")
        if found.outcome is Outcome.HIT:
            assert found.value == NEW or (failed and replace and found.value == OLD)
        else:
            assert failed
            assert found.outcome is Outcome.MISS
            assert not replace
        kept.write("key", NEW, replace=replace)
        assert kept.store.fetch("key").value == NEW
        if left > 0:
            break
    assert left > 0

"""Commits on real object stores, over HTTP."""

import threading
from typing import Any

import pytest

from entrepot import flow, task
from entrepot.results.commit import Commit
from entrepot.results.markers import Fate
from entrepot.results.store import ResultStore
from entrepot.storage.encrypted import EncryptedStorage
from entrepot.storage.files import FileStorage
from entrepot.transactions import transaction
from entrepot_test_commits import ABSENT, Between, Died, Dying, commit, prepared, seen
from entrepot_test_results import RING, Kept

NEW: dict[str, object] = {"a": "new a", "b": ["new"] * 9000, "c": "new c"}


@pytest.fixture(params=["s3_server", "moto_server", "rclone_server", "gcs_server"])
def bucket(request: pytest.FixtureRequest) -> FileStorage:
    server: Any = request.getfixturevalue(request.param)
    scheme = "gs" if request.param == "gcs_server" else "s3"
    return FileStorage.from_url(f"{scheme}://{server.bucket()}/results", **server.storage_options())


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_all_of_a_transaction_is_visible_at_once(bucket: FileStorage, encrypted: bool) -> None:  # noqa: FBT001  by name
    storage = EncryptedStorage(bucket, RING) if encrypted else bucket
    kept = Kept(storage)
    kept.write("a", "old a")
    before = {"a": "old a", "b": ABSENT, "c": ABSENT}
    views: list[dict[str, object]] = []
    commit(Kept(Between(storage, lambda: views.append(seen(storage, NEW)))), NEW, replace=True)
    assert seen(storage, NEW) == NEW
    assert all(view in (before, NEW) for view in views)
    again = dict.fromkeys(NEW, "again")
    commit(kept, again, replace=True)
    assert seen(storage, NEW) == again


def test_one_that_dies_leaves_what_was_there(s3_server: Any) -> None:
    storage = FileStorage.from_url(f"s3://{s3_server.bucket()}", **s3_server.storage_options())
    Kept(storage).write("a", "old a")
    for after in (3, 7, 11):
        with pytest.raises(Died):
            commit(Kept(Dying(storage, after=after)), NEW, replace=True)
        assert seen(storage, NEW) == {"a": "old a", "b": ABSENT, "c": ABSENT}
    commit(Kept(storage), NEW, replace=True)
    assert seen(storage, NEW) == NEW


def test_of_several_that_keep_the_same_keys_at_once_one_is_seen_whole(s3_server: Any) -> None:
    storage = FileStorage.from_url(f"s3://{s3_server.bucket()}", **s3_server.storage_options())
    start = threading.Barrier(3)
    fates = []

    def work(number: int) -> None:
        kept = Kept(storage)
        kept.store = ResultStore(storage, ring=RING)  # by the real time: else their patience is over in some requests
        one = Commit(kept.store, prepared(kept, dict.fromkeys("abcdef", number), replace=True), patience=120)
        start.wait(60)
        one.run()
        fates.append(one.fate)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert fates == [Fate.COMMITTED] * 3
    assert len(set(seen(storage, list("abcdef")).values())) == 1


def test_a_flow_with_a_transaction_keeps_its_results_in_a_bucket(s3_server: Any) -> None:
    storage = FileStorage.from_url(f"s3://{s3_server.bucket()}", **s3_server.storage_options())
    step = task(lambda x: x, name="step", persist_result=True, result_serializer="json")

    @flow(result_storage=storage, persist_result=False)
    def main(fail: bool) -> None:  # noqa: FBT001  by name
        with transaction("load") as txn:
            step.with_options(result_storage=storage).map(range(5))
            txn.stage("done")
            if fail:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        main(fail=True)
    assert list(storage.list("records")) == []
    main(fail=False)
    assert len(list(storage.list("records"))) == 6
    with transaction("load", storage) as txn:
        assert txn.is_committed()

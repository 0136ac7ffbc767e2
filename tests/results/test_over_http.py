"""The result store on real object stores, over HTTP."""

import threading
from typing import Any

import numpy as np
import pytest

from entrepot.errors import StorageAccessError, StorageError, StorageUnreachableError
from entrepot.results.lookup import Outcome
from entrepot.storage.encrypted import EncryptedStorage
from entrepot.storage.files import FileStorage
from entrepot_test_results import RING, Kept


@pytest.fixture(params=["s3_server", "moto_server", "rclone_server"])
def bucket(request: pytest.FixtureRequest) -> FileStorage:
    server: Any = request.getfixturevalue(request.param)
    return FileStorage.from_url(f"s3://{server.bucket()}/results", **server.storage_options())


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_results_are_kept_given_back_and_distrusted_when_altered(bucket: FileStorage, encrypted: bool) -> None:  # noqa: FBT001  by name
    kept = Kept(EncryptedStorage(bucket, RING) if encrypted else bucket)
    assert kept.store.fetch("small").outcome is Outcome.MISS
    kept.write("small", {"city": "서울"})
    array = np.arange(1_500_000)
    record = kept.write("large", array, "pickle")
    assert kept.store.fetch("small").value == {"city": "서울"}
    np.testing.assert_array_equal(kept.store.fetch("large").value, array)
    assert kept.write("small", "second writer") == kept.store.lookup("small").record
    assert {found.outcome for found in kept.store.records()} == {Outcome.HIT}
    assert record.payload is not None
    spoilt = bytearray(bucket.get(record.payload))
    spoilt[-1] ^= 1
    bucket.put(record.payload, bytes(spoilt))
    assert kept.store.fetch("large").outcome is Outcome.DAMAGED
    kept.write("large", array, "pickle")
    np.testing.assert_array_equal(kept.store.fetch("large").value, array)


def test_of_several_writers_at_once_all_are_told_of_one_record(s3_server: Any) -> None:
    storage = FileStorage.from_url(f"s3://{s3_server.bucket()}", **s3_server.storage_options())
    kept = Kept(storage)
    assert storage.creates_exclusively
    start = threading.Barrier(4)
    records = []

    def write(number: int) -> None:
        start.wait()
        records.append(kept.write("key", number))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({record.digest for record in records}) == 1


def test_a_store_that_ignores_conditions_is_warned_about(rclone_server: Any, caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(FileStorage.from_url(f"s3://{rclone_server.bucket()}", **rclone_server.storage_options()))
    kept.write("key", 1)
    assert "cannot create an object only if there is none" in caplog.text


def test_a_missing_bucket_is_an_outage_not_a_miss(s3_server: Any) -> None:
    kept = Kept(FileStorage.from_url("s3://there-is-no-such-bucket/results", **s3_server.storage_options()))
    with pytest.raises(StorageUnreachableError, match="there-is-no-such-bucket"):
        kept.store.fetch("key")
    with pytest.raises(StorageError, match="there-is-no-such-bucket"):
        kept.write("key", 1)


def test_wrong_credentials_are_an_error_not_a_miss(s3_server: Any) -> None:
    options = {**s3_server.storage_options(), "secret": "wrong-secret"}
    kept = Kept(FileStorage.from_url(f"s3://{s3_server.bucket()}/results", **options))
    with pytest.raises(StorageAccessError) as caught:
        kept.store.fetch("key")
    assert "wrong-secret" not in str(caught.value)
    with pytest.raises(StorageAccessError):
        kept.write("key", 1)

"""Bad input, as a user meets it: one clear error of our tree that says what to do, and nothing lost."""

import re
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from servers import S3Server

from entrepot import flow, task
from entrepot.blocks.core import Block
from entrepot.blocks.system import Secret
from entrepot.cache_policies import INPUTS
from entrepot.errors import (
    CacheKeyError,
    ConfigurationError,
    EntrepotError,
    InvalidNameError,
    OptionError,
    SerializationError,
    StorageAccessError,
    StorageFullError,
    StorageUnreachableError,
    UnhashableValueError,
    UnknownBlockTypeError,
    UnknownNameError,
)
from entrepot.filesystems import S3
from entrepot.storage import LocalStorage

BAD_NAMES = {
    "climbs out": "../../etc/passwd",
    "NUL": "key\0",
    "5,000 characters": "a" * 5000,
    "mixed case": "My-Key",
    "Cyrillic look-alike": "my-kеy",  # noqa: RUF001  that is the point
    "full-width": "ｍy-key",  # noqa: RUF001  that is the point
    "zero-width": "my\u200bkey",
    "empty": "",
    "dots": "..",
    "newline": "key\n",
    "slash at the end": "key/",
    "option-like": "-rf",
}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
class TestNames:
    def test_saving_is_refused_and_leaves_nothing(self, name: str, entrepot_home: Path) -> None:
        with pytest.raises(InvalidNameError, match=r"a-z, 0-9, - and _|slug/name") as raised:
            Secret(value="hunter2").save(name)
        assert len(str(raised.value)) < 500
        assert not [path for path in entrepot_home.rglob("*") if path.is_file() and path.name != "keyring.json"]

    def test_loading_is_refused(self, name: str) -> None:
        with pytest.raises((InvalidNameError, UnknownBlockTypeError)):
            Secret.load(name)

    def test_deleting_is_refused(self, name: str) -> None:
        with pytest.raises((InvalidNameError, UnknownBlockTypeError)):
            Secret.delete(name)


def outcome(call: Callable[[], object]) -> EntrepotError:
    """Return the one error of ours that a call ends in."""
    with pytest.raises(EntrepotError) as raised:
        call()
    return raised.value


class TestResults:
    def test_a_result_that_cannot_be_written_leaves_nothing_and_says_which(self, tmp_path: Path) -> None:
        worked = []

        store = tmp_path / "store"

        @task(result_storage=store, result_serializer="pickle", retries=2)
        def lock() -> dict[str, object]:
            worked.append(1)
            return {"rows": [threading.Lock()]}

        error = outcome(lock)
        assert isinstance(error, SerializationError)
        assert "lock" in str(error)
        assert worked == [1], "what no serializer can write now, none can write at a second try"
        assert not [path for path in store.rglob("*") if path.is_file()]

    def test_an_unhashable_input_names_the_parameter_before_any_work(self, tmp_path: Path) -> None:
        worked = []

        @task(cache_policy=INPUTS, result_storage=tmp_path)
        def use(table: str, connection: object) -> int:
            worked.append(table)
            return 1

        error = outcome(lambda: use("t", {"pool": threading.Lock()}))
        assert isinstance(error, UnhashableValueError)
        assert "connection" in str(error)
        assert "INPUTS" in str(error)
        assert not worked

    def test_the_way_out_that_the_message_names_works(self, tmp_path: Path) -> None:
        @task(cache_policy=INPUTS - "connection", result_storage=tmp_path)
        def use(table: str, connection: object) -> str:
            return table

        assert use("t", threading.Lock()) == "t"
        assert use("t", threading.Lock(), return_state=True).name == "Cached"

    def test_an_unknown_serializer_lists_those_that_are_known(self, tmp_path: Path) -> None:
        def make() -> None:
            @task(result_storage=tmp_path, result_serializer="jsn")
            def work() -> int:
                return 1

            work()

        error = outcome(make)
        assert isinstance(error, UnknownNameError)
        assert re.search(r"'jsn'.*json.*pickle", str(error))

    @pytest.mark.parametrize("made", [ZeroDivisionError("division by zero"), None], ids=["raises", "returns no text"])
    def test_a_broken_cache_key_fn_stops_the_run_before_the_work(self, made: Exception | None, tmp_path: Path) -> None:
        worked = []

        def key(context: object, parameters: object) -> object:
            if made:
                raise made
            return 42

        @task(cache_key_fn=key, result_storage=tmp_path)
        def work() -> None:
            worked.append(1)

        error = outcome(work)
        assert isinstance(error, CacheKeyError)
        assert "work" in str(error)
        assert error.__cause__ is made
        assert not worked

    def test_a_storage_that_names_nothing_says_what_could_be_named(self) -> None:
        @task(result_storage="results")
        def work() -> int:
            return 1

        error = outcome(work)
        assert isinstance(error, ConfigurationError | OptionError)
        assert "s3/prod" in str(error)

    def test_a_full_disk_is_said_and_the_next_try_works(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        @task(cache_policy=INPUTS, result_storage=tmp_path, result_serializer="json")
        def work(n: int) -> list[int]:
            return [n] * 5

        def full(*args: object, **kwargs: object) -> None:
            raise StorageFullError("no space left", location=str(tmp_path))

        with monkeypatch.context() as broken:
            broken.setattr(LocalStorage, "create", full)
            assert isinstance(outcome(lambda: work(1)), StorageFullError)
        assert work(1) == [1] * 5
        assert work(1, return_state=True).name == "Cached"

    def test_an_expiration_of_no_time_is_refused_at_the_decorator(self) -> None:
        with pytest.raises(OptionError, match="cache_expiration"):
            task(cache_key_fn=lambda: "k", cache_expiration=timedelta(seconds=-1))(lambda: 1)


class TestStores:
    def bucket(self, server: S3Server, **changes: object) -> S3:
        facts = {
            "bucket_path": "no-such-bucket-here/results",
            "aws_access_key_id": server.access_key,
            "aws_secret_access_key": server.secret_key,
            "endpoint_url": server.endpoint_url,
        }
        return S3(**(facts | changes))

    def test_a_missing_bucket_is_an_outage_not_a_miss(self, s3_server: S3Server) -> None:
        worked = []

        @task(cache_policy=INPUTS, result_storage=self.bucket(s3_server))
        def work() -> None:
            worked.append(1)

        error = outcome(work)
        assert isinstance(error, StorageUnreachableError)
        assert "no-such-bucket-here" in str(error)
        assert not worked

    def test_wrong_credentials_are_said_without_showing_them(self, s3_server: S3Server) -> None:
        bucket = s3_server.bucket()
        block = self.bucket(s3_server, bucket_path=f"{bucket}/r", aws_secret_access_key="wrong-secret-value")

        @task(cache_policy=INPUTS, result_storage=block)
        def work() -> int:
            return 1

        error = outcome(work)
        assert isinstance(error, StorageAccessError)
        assert "credentials" in str(error) or "key" in str(error)
        assert "wrong-secret-value" not in repr(error)

    def test_a_dead_endpoint_is_an_outage_not_a_miss(self, s3_server: S3Server) -> None:
        block = self.bucket(s3_server, endpoint_url="http://127.0.0.1:9")

        @task(cache_policy=INPUTS, result_storage=block)
        def work() -> int:
            return 1

        error = outcome(work)
        assert isinstance(error, StorageUnreachableError)
        assert "127.0.0.1:9" in str(error)

    def test_a_saved_block_that_is_no_store_is_refused_by_name(self) -> None:
        Secret(value="x").save("prod")

        @task(result_storage="secret/prod")
        def work() -> int:
            return 1

        assert "secret/prod" in str(outcome(work))


def test_a_block_type_that_nobody_has_says_so() -> None:
    error = outcome(lambda: Block.load("kubernetes-job/prod"))
    assert isinstance(error, UnknownBlockTypeError)
    assert "kubernetes-job" in str(error)


def test_a_failing_flow_keeps_what_its_tasks_finished(tmp_path: Path) -> None:
    @task(cache_policy=INPUTS, result_storage=tmp_path)
    def good(n: int) -> int:
        return n

    @task(result_storage=tmp_path)
    def bad() -> object:
        return (n for n in range(3))

    @flow
    def both() -> None:
        good(1)
        bad()

    assert isinstance(outcome(both), SerializationError)
    assert good(1, return_state=True).name == "Cached"

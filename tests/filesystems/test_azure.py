"""The `Azure` block: its options, and a real server where `azurite-blob` is installed (`npm install azurite`)."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from entrepot import errors
from entrepot.filesystems import Azure
from entrepot_test_servers import azure_connection_string

pytestmark = pytest.mark.one_python

SECRET = "SFVTSEhVU0hIVVNI"  # base64, as account keys are


@pytest.fixture
def container(azurite_server: int, request: pytest.FixtureRequest) -> str:
    blob = pytest.importorskip("azure.storage.blob")
    name = f"c-{abs(hash(request.node.name)):x}"
    blob.BlobServiceClient.from_connection_string(azure_connection_string(azurite_server)).create_container(name)
    return name


def test_keeps_objects_below_its_folder_in_the_container(azurite_server: int, container: str) -> None:
    block = Azure(
        bucket_path=f"{container}/results", azure_storage_connection_string=azure_connection_string(azurite_server)
    )
    block.write_path("a/b.txt", "text")
    assert block.read_path("a/b.txt") == b"text"
    assert block.list_paths() == ["a/b.txt"]
    whole = Azure(bucket_path=container, azure_storage_connection_string=azure_connection_string(azurite_server))
    assert whole.list_paths() == ["results/a/b.txt"]
    assert block.as_storage().location == f"abfs://{container}/results"


def test_check_writes_reads_and_deletes(azurite_server: int, container: str) -> None:
    block = Azure(bucket_path=container, azure_storage_connection_string=azure_connection_string(azurite_server))
    assert block.check().creates_exclusively
    assert block.list_paths() == []


def test_a_missing_container_and_a_wrong_key_say_what_to_do(azurite_server: int, container: str) -> None:
    missing = Azure(bucket_path="nothing-here", azure_storage_connection_string=azure_connection_string(azurite_server))
    with pytest.raises(errors.StorageUnreachableError, match="no such bucket or container"):
        missing.check()
    wrong = Azure(
        bucket_path=container, azure_storage_connection_string=azure_connection_string(azurite_server, SECRET)
    )
    with pytest.raises(errors.StorageAccessError, match="check the credentials") as caught:
        wrong.check()
    assert SECRET not in str(caught.value)


def test_a_closed_port_is_an_error_within_seconds(closed_port: int, waits: list[float]) -> None:
    block = Azure(bucket_path="nothing-here", azure_storage_connection_string=azure_connection_string(closed_port))
    with pytest.raises(errors.StorageUnreachableError, match="check the endpoint and the network"):
        block.check()
    assert 0 < sum(waits) < 20


@pytest.mark.parametrize(
    ("options", "arrive"),
    [
        (
            {"azure_storage_connection_string": "a=b"},
            {"connection_string": "a=b"},
        ),
        (
            {"azure_storage_account_name": "acc", "azure_storage_account_key": SECRET},
            {"account_name": "acc", "account_key": SECRET},
        ),
        (
            {"azure_storage_account_name": "acc", "azure_storage_sas_token": SECRET},
            {"account_name": "acc", "sas_token": SECRET},
        ),
        (
            {
                "azure_storage_account_name": "acc",
                "azure_storage_tenant_id": "t",
                "azure_storage_client_id": "c",
                "azure_storage_client_secret": SECRET,
            },
            {"account_name": "acc", "tenant_id": "t", "client_id": "c", "client_secret": SECRET},
        ),
        ({"azure_storage_account_name": "acc", "anonymous": True}, {"account_name": "acc", "anon": True}),
    ],
)
def test_options_arrive_at_the_client_and_do_not_show(options: dict[str, Any], arrive: dict[str, Any]) -> None:
    block = Azure(bucket_path="abfs://container/x", **options)
    assert block._options() == {"anon": False} | arrive
    assert SECRET not in f"{block!r} {block} {block.model_dump()} {block.model_dump_json()}"


def test_an_account_key_makes_a_storage_with_bounded_waiting() -> None:
    block = Azure(bucket_path="container/x", azure_storage_account_name="acc", azure_storage_account_key=SECRET)
    storage = block.as_storage()
    assert storage.location == "abfs://container/x"
    fs: Any = storage._dialect.fs  # type: ignore[attr-defined]
    assert fs.service_client.account_name == "acc"
    assert not fs.dircache.use_listings_cache
    policy = fs.service_client._config.retry_policy
    assert (policy.total_retries, policy.initial_backoff) == (2, 1)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "azure_storage_connection_string or azure_storage_account_name"),
        ({"azure_storage_account_key": SECRET}, "azure_storage_connection_string or azure_storage_account_name"),
        (
            {
                "azure_storage_account_name": "acc",
                "azure_storage_account_key": SECRET,
                "azure_storage_sas_token": SECRET,
            },
            "give one kind of credentials",
        ),
        ({"azure_storage_account_name": "acc", "azure_storage_client_secret": SECRET}, "give all three"),
        ({"azure_storage_account_name": "acc", "bucket_path": "s3://container"}, "its scheme is not az://"),
        ({"azure_storage_account_name": "acc", "bucket_path": "container/../x"}, "'..'"),
    ],
)
def test_what_contradicts_itself_is_refused_without_showing_a_value(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why) as caught:
        Azure(**{"bucket_path": "container"} | options)
    assert SECRET not in f"{caught.value} {caught.value.errors()} {caught.value.json()}"


def test_a_connection_string_that_is_none_is_one_clear_error() -> None:
    block = Azure(bucket_path="container", azure_storage_connection_string=SECRET)
    with pytest.raises(errors.ConfigurationError, match="check the connection string") as caught:
        block.as_storage()
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_without_adlfs_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    monkeypatch.delitem(sys.modules, "entrepot.filesystems._adlfs", raising=False)
    connect: Callable[[], Any] = Azure(bucket_path="container", azure_storage_account_name="acc").as_storage
    with pytest.raises(
        errors.ConfigurationError, match=r'adlfs is not installed; run: pip install "entrepot\[azure\]"'
    ):
        connect()

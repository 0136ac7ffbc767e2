"""The `GCS` block, mostly against a real server."""

import json
import sys
import urllib.request
from typing import Any

import pytest
from pydantic import ValidationError

from entrepot import errors
from entrepot.filesystems import GCS

pytestmark = pytest.mark.one_python

SECRET = "HUSH-private-key"
ACCOUNT = {
    "type": "service_account",
    "client_email": "a@b.iam.gserviceaccount.com",
    "private_key": SECRET,
    "token_uri": "https://oauth2.googleapis.com/token",
}


def block_for(server: Any, path: str | None = None) -> GCS:
    return GCS(bucket_path=path or server.bucket(), endpoint_url=server.endpoint_url, project="test")


def test_keeps_objects_below_its_folder_in_the_bucket(gcs_server: Any) -> None:
    bucket = gcs_server.bucket()
    block = block_for(gcs_server, f"gs://{bucket}/results")
    block.write_path("a/b.txt", "text")
    with urllib.request.urlopen(
        f"{gcs_server.endpoint_url}/storage/v1/b/{bucket}/o/results%2Fa%2Fb.txt?alt=media", timeout=10
    ) as answer:
        assert answer.read() == b"text"
    assert block.read_path("a/b.txt") == b"text"
    assert block.list_paths() == ["a/b.txt"]
    assert block.as_storage().location == f"gs://{bucket}/results"


def test_check_writes_reads_and_deletes(gcs_server: Any) -> None:
    block = block_for(gcs_server)
    found = block.check()
    assert found.creates_exclusively
    assert found.location == f"gs://{block.bucket_path}"
    assert block.list_paths() == []


def test_a_missing_bucket_says_to_create_it(gcs_server: Any) -> None:
    with pytest.raises(errors.StorageUnreachableError, match=r"no such bucket .*create it, or check its name"):
        block_for(gcs_server, "there-is-no-such-bucket-here").check()


def test_a_closed_port_is_an_error_within_seconds(closed_port: int, waits: list[float]) -> None:
    with pytest.raises(errors.StorageUnreachableError, match="check the endpoint and the network"):
        GCS(bucket_path="some-bucket", endpoint_url=f"http://127.0.0.1:{closed_port}").check()
    assert 0 < sum(waits) < 15


def test_credentials_arrive_at_the_client() -> None:
    for info in (ACCOUNT, json.dumps(ACCOUNT)):
        block = GCS(bucket_path="b12", service_account_info=info, project="p")
        assert block._options() == {"project": "p", "token": ACCOUNT}
        assert SECRET not in f"{block!r} {block} {block.model_dump()} {block.model_dump_json()}"


def test_a_server_of_ones_own_is_asked_without_credentials_unless_they_are_given() -> None:
    assert GCS(bucket_path="b12")._options() == {}
    assert GCS(bucket_path="b12", anonymous=True)._options() == {"token": "anon"}
    assert GCS(bucket_path="b12", endpoint_url="http://h:1")._options() == {
        "endpoint_url": "http://h:1",
        "token": "anon",
    }
    owned = GCS(bucket_path="b12", endpoint_url="http://h:1", service_account_info=ACCOUNT)
    assert owned._options()["token"] == ACCOUNT


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"service_account_info": "/home/me/key.json"}, "the file's content, not its path"),
        ({"service_account_info": f'["{SECRET}"]'}, "the file's content"),
        ({"service_account_info": {"private_key": SECRET}}, "client_email, token_uri missing"),
        ({"service_account_info": ACCOUNT, "anonymous": True}, "anonymous means"),
        ({"bucket_path": "s3://my-bucket"}, "its scheme is not gs://"),
        ({"bucket_path": "my-bucket/../x"}, "'..'"),
    ],
)
def test_what_cannot_be_used_is_refused_without_showing_a_value(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why) as caught:
        GCS(**{"bucket_path": "my-bucket"} | options)
    assert SECRET not in f"{caught.value} {caught.value.errors()} {caught.value.json()}"


def test_without_gcsfs_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "gcsfs"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    monkeypatch.delitem(sys.modules, "entrepot.filesystems._gcsfs", raising=False)
    with pytest.raises(errors.ConfigurationError, match=r'gcsfs is not installed; run: pip install "entrepot\[gcp\]"'):
        GCS(bucket_path="b12").as_storage()

"""A storage block chooses the server; it must not choose who gets the login of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from entrepot import errors
from entrepot.filesystems import Azure, RemoteFileSystem
from entrepot_test_http import serving

pytestmark = pytest.mark.one_python

KEY = "SFVTSEhVU0hIVVNI"  # base64, as account keys are
OF_ENVIRONMENT = "sv=1&sig=of-the-environment"


@contextmanager
def listening() -> Iterator[tuple[str, list[str | None]]]:
    """Give the address of a server, and what it was sent as `Authorization`."""
    sent: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append(self.headers.get("Authorization"))
            self.send_response(400)  # which is not asked again
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as url:
        yield url, sent


def test_another_host_for_azure_gets_no_login_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", OF_ENVIRONMENT)
    settings = {"account_name": "acc", "account_host": "evil.example"}
    with pytest.raises(errors.ConfigurationError, match="account_host names a server of one's own"):
        RemoteFileSystem(basepath="abfs://container/x", settings=settings).as_storage()
    for own, query in (({"anon": True}, ""), ({"sas_token": "sig=own"}, "?sig=own")):
        storage: Any = RemoteFileSystem(basepath="abfs://container/x", settings=settings | own).as_storage()
        assert storage._dialect.fs.service_client.url == f"https://evil.example/{query}"


@pytest.mark.parametrize(
    ("own", "url"),
    [
        ({"azure_storage_account_key": KEY}, "https://mine.blob.core.windows.net/"),
        ({"azure_storage_sas_token": "sig=own"}, "https://mine.blob.core.windows.net/?sig=own"),
        ({"anonymous": True}, "https://mine.blob.core.windows.net/"),
        (
            {
                "azure_storage_tenant_id": "t",
                "azure_storage_client_id": "c",
                "azure_storage_client_secret": "s",
            },
            "https://mine.blob.core.windows.net/",
        ),
    ],
    ids=["key", "signature", "anonymous", "principal"],
)
def test_the_credentials_of_an_azure_block_go_before_those_of_the_environment(
    own: dict[str, Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = f"DefaultEndpointsProtocol=https;AccountName=other;AccountKey={KEY};EndpointSuffix=core.windows.net"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", elsewhere)
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", OF_ENVIRONMENT)
    storage: Any = Azure(bucket_path="container", azure_storage_account_name="mine", **own).as_storage()
    fs = storage._dialect.fs
    assert fs.service_client.url == url
    assert (fs.credential is not None) == ("azure_storage_client_id" in own)
    again = type(fs)(*fs.storage_args, skip_instance_cache=True, **fs.storage_options)  # as after a fork
    assert again.service_client.url == url
    assert storage.can_swap()  # the dialect is Azure's


def test_a_name_alone_is_asked_for_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    storage: Any = Azure(bucket_path="container", azure_storage_account_name="named").as_storage()
    assert storage._dialect.fs.account_key == KEY


def test_a_server_of_ones_own_gets_no_login_for_google(monkeypatch: pytest.MonkeyPatch) -> None:
    google = pytest.importorskip("google.auth")
    credentials = pytest.importorskip("google.oauth2.credentials")
    monkeypatch.setattr(google, "default", lambda **_: (credentials.Credentials("of-this-machine"), None))
    with listening() as (url, sent):
        block = RemoteFileSystem(basepath="gs://bucket/x", settings={"endpoint_url": url})
        with pytest.raises(errors.StorageError):
            block.read_path("y")
    assert set(sent) == {None}

"""What says of itself that it is compressed is read as it is stored: unpacked, a few bytes would fill the memory."""

import gzip
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from entrepot.filesystems import GCS, S3, Azure, RemoteFileSystem
from entrepot.storage import open_storage
from entrepot.storage.files import FileStorage
from entrepot_test_http import serving

pytestmark = pytest.mark.one_python

STORED = gzip.compress(b"\0" * (4 << 20), 9)
FIRST = 100
KEY = "SFVTSEhVU0hIVVNI"


@pytest.fixture
def server() -> Iterator[str]:
    """Give the address of a server that has one object, with `Content-Encoding: gzip`, and knows no ranges."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(206 if self.headers.get("Range") else 200)
            facts = {
                "Content-Encoding": "gzip",
                "Content-Length": str(len(STORED)),
                "Content-Range": f"bytes 0-{len(STORED) - 1}/{len(STORED)}",
                "ETag": '"1"',
                "Last-Modified": "Thu, 26 Nov 2026 12:00:00 GMT",
                "x-goog-generation": "1",
                "x-ms-blob-type": "BlockBlob",
            }
            for name, value in facts.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(STORED)

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as url:
        yield url


def store(kind: str, url: str) -> Any:
    """Return a store on that server, as blocks and URLs open it."""
    azure = f"DefaultEndpointsProtocol=http;AccountName=acc;AccountKey={KEY};BlobEndpoint={url}/acc;"
    if kind == "gs":
        return GCS(bucket_path="bucket/x", endpoint_url=url).as_storage()
    if kind == "gs by its URL":
        return open_storage("gs://bucket/x", endpoint_url=url, token="anon")
    if kind == "azure":
        return Azure(bucket_path="container/x", azure_storage_connection_string=azure).as_storage()
    if kind == "azure by its URL":
        return open_storage("abfs://container/x", connection_string=azure)
    if kind == "http":
        return RemoteFileSystem(basepath=f"{url}/x", settings={"client_kwargs": {"headers": {"X": "1"}}}).as_storage()
    return S3(bucket_path="bucket/x", endpoint_url=url, aws_access_key_id="k", aws_secret_access_key="s").as_storage()


@pytest.mark.parametrize("kind", ["gs", "gs by its URL", "azure", "azure by its URL", "http", "s3"])
def test_nothing_is_unpacked_that_says_it_is_compressed(kind: str, server: str) -> None:
    storage = store(kind, server)
    assert isinstance(storage, FileStorage)
    assert bytes(storage.get("object", length=FIRST)) == STORED[:FIRST]
    assert bytes(storage.get("object")) == STORED


@pytest.mark.parametrize("kind", ["gs", "azure"])
def test_nor_where_it_is_read_with_its_tag(kind: str, server: str) -> None:
    dialect = store(kind, server)._dialect
    assert bytes(dialect.read_tagged("object", FIRST)[0])[:FIRST] == STORED[:FIRST]

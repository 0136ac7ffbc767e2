"""The dialects of S3, Google Cloud Storage and Azure."""

import functools
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from fsspec.asyn import sync

from entrepot.errors import InvalidPathError
from entrepot.protocols.storage import Buffer, ObjectInfo
from entrepot.storage._buffers import Rope, joined
from entrepot.storage._dialect import SwappingDialect, is_absence
from entrepot.storage.outage import Trouble, diagnose
from entrepot.storage.paths import is_path

__all__ = ["AS_STORED", "S3", "S3_RETRIES", "AzureStorage", "GoogleStorage", "s3_config"]

AS_STORED: Mapping[str, Any] = {"auto_decompress": False, "headers": {"Accept-Encoding": "identity"}}
"""Options of a session of aiohttp that unpacks nothing.

Who writes an object can say that it is compressed, and a client that believes it makes a thousand bytes of each: of an
object of 64 MiB all the memory there is, whatever part of it was asked for. What we write never says so.
"""

S3_RETRIES = 1
"""Tries of s3fs itself, around those of botocore; its own 5, one inside the other, make minutes of a silent server."""

_CONFLICT_TRIES = 5
_AZURE = (".blob.core.windows.net", ".blob.core.chinacloudapi.cn", ".blob.core.usgovcloudapi.net")
_MIB = 1024 * 1024
_FIRST_RAW = (12, 28)

# A refusal is told by our error; without handlers, gcsfs's traceback would be printed as well, with the server's words.
logging.getLogger("gcsfs").addHandler(logging.NullHandler())


class S3(SwappingDialect):
    """S3 and its many lookalikes, by s3fs."""

    _PART = 8 * _MIB
    _PARTS = 10_000
    _AT_ONCE = 4
    _WHOLE = 5 * 1024 * _MIB - 1

    @property
    def endpoint(self) -> str:
        """The address that was given; "" for AWS's own."""
        return str(self.fs.endpoint_url or self.fs.client_kwargs.get("endpoint_url") or "")

    @property
    def claims(self) -> bool | None:  # type: ignore[override]  # a property where the base has a constant
        """True for AWS itself, which documents it; every other server is asked."""
        host = urlsplit(self.fs.s3.meta.endpoint_url).hostname or ""
        return True if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else None

    def check(self, path: str) -> None:
        """Refuse what s3fs cuts off a key, even where it is told that nothing is versioned."""
        if "?versionId=" in path:
            raise InvalidPathError(
                f"{path!r} cannot be the path of an object on S3: s3fs takes '?versionId=' for a version",
                path=path,
                location=self.root,
            )

    def read(self, path: str, start: int, end: int | None) -> Buffer:
        """Return the bytes from `start` up to `end`, always as a range.

        Without one s3fs asks for the size first and then for several parts at once, which may be of two objects if
        the first is replaced meanwhile.
        """
        content: bytes = self.fs.cat_file(self._key(path), start=start, end=end)
        return content

    def write(self, path: str, views: Sequence[memoryview], *, exclusive: bool) -> None:
        """Write an object: small ones in one request, others in parts that are never all in memory.

        The last request of an upload in parts carries the condition, too; but only of AWS is it known that it decides
        between two that come at once. SeaweedFS 4.48, for one, let both win, and did not with whole uploads. So
        everyone else is sent whole objects where they must be new, up to the 5 GiB that one request may have.
        """
        size = sum(view.nbytes for view in views)
        part = max(self._PART, -(-size // self._PARTS))
        whole = exclusive and size <= self._WHOLE and not self.claims
        if size < 2 * part:
            data: bytes | Rope = joined(views)
        else:
            data = Rope(views)
            part = size if whole else part
        options = {"chunksize": part, "max_concurrency": self._AT_ONCE, "mode": "create" if exclusive else "overwrite"}
        for pause in range(_CONFLICT_TRIES):
            try:
                self._ask("pipe_file", self._key(path), data, size=size, **options)
            except OSError as error:
                # AWS says 409 where two conditional writes meet before either is decided: neither has won yet.
                if diagnose(error).trouble is not Trouble.CONFLICT or pause == _CONFLICT_TRIES - 1:
                    raise
                time.sleep(0.1 * 2**pause)
            else:
                return

    @property
    def swaps(self) -> bool | None:  # type: ignore[override]  # a property where the base has a constant
        """True for AWS itself, which documents it; every other server is asked."""
        return self.claims

    def read_tagged(self, path: str, most: int | None) -> tuple[Buffer, str]:
        """Return an object's bytes, at most so many of them, and its e-tag, of one answer."""
        part = {} if most is None else {"Range": f"bytes=0-{most - 1}"}

        async def ask() -> tuple[bytes, str]:
            answer = await self.fs._call_s3("get_object", **self._at(path), **part)  # noqa: SLF001  cat_file drops the tag
            async with answer["Body"] as body:
                return await body.read(), answer["ETag"]

        found: tuple[bytes, str] = self._await(ask())
        return found

    def swap(self, path: str, data: bytes, tag: str | None) -> str:
        """Write an object in one request, on a condition."""
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        for pause in range(_CONFLICT_TRIES):
            try:
                answer = self._ask("call_s3", "put_object", **self._at(path), Body=data, **condition, size=len(data))
            except OSError as error:
                if diagnose(error).trouble is not Trouble.CONFLICT or pause == _CONFLICT_TRIES - 1:
                    raise
                time.sleep(0.1 * 2**pause)
            else:
                return str(answer["ETag"])
        raise AssertionError

    def stat(self, path: str) -> ObjectInfo:
        """Return what the store says of an object: one request, where s3fs would go on to look for a folder."""
        answer = self._ask("call_s3", "head_object", **self._at(path))
        return ObjectInfo(path, answer["ContentLength"], answer["LastModified"])

    def has_root(self) -> bool:
        """Whether the bucket is there."""
        try:
            self._ask("call_s3", "head_bucket", Bucket=self.bucket)
        except Exception as error:  # noqa: BLE001  any library's errors
            return not is_absence(error)
        return True

    def _at(self, path: str) -> dict[str, Any]:
        return {"Bucket": self.bucket, "Key": self._key(path).removeprefix(f"{self.bucket}/")}


class GoogleStorage(SwappingDialect):
    """Google Cloud Storage, by gcsfs."""

    _WHOLE = 64 * _MIB
    _CHUNK = 32 * _MIB  # a multiple of 256 KiB, as resumable uploads must be

    @property
    def endpoint(self) -> str:
        """The address that was given; "" for Google's own."""
        location = str(getattr(self.fs, "_location", ""))
        return "" if "googleapis.com" in location else location

    @property
    def claims(self) -> bool | None:  # type: ignore[override]  # a property where the base has a constant
        """True for Google itself, which documents it; every other server is asked."""
        return None if self.endpoint else True

    def write(self, path: str, views: Sequence[memoryview], *, exclusive: bool) -> None:
        """Write an object, in one request unless it is large.

        Not by gcsfs's own way for small ones: it sends them as one part of a MIME message with a fixed boundary, and
        does not look for that in the content, which would then end there; ours is random. A large one goes up in
        chunks that can be repeated, of one joined copy; Google heeds the condition there, the emulator does not.
        """
        size = sum(view.nbytes for view in views)
        if size > self._WHOLE and (self.claims or not exclusive):
            mode = "create" if exclusive else "overwrite"
            data = joined(views)
            self._ask("pipe_file", self._key(path), data, size=size, chunksize=self._CHUNK, mode=mode)
            return
        self._upload(path, views, size, **({"ifGenerationMatch": "0"} if exclusive else {}))

    @property
    def swaps(self) -> bool | None:  # type: ignore[override]  # a property where the base has a constant
        """True for Google itself, which documents it; every other server is asked."""
        return self.claims

    def read(self, path: str, start: int, end: int | None) -> Buffer:
        """Return the bytes from `start` up to `end`, as they are stored."""
        content: bytes = self.fs.call("GET", self.fs.url(self._key(path)), headers=_raw(start, end))[1]
        return content

    def read_tagged(self, path: str, most: int | None) -> tuple[Buffer, str]:
        """Return an object's bytes, at most so many of them, and its generation, of one answer."""
        headers, content = self._ask("call", "GET", self.fs.url(self._key(path)), headers=_raw(0, most))
        return content, next(value for name, value in headers.items() if name.lower() == "x-goog-generation")

    def swap(self, path: str, data: bytes, tag: str | None) -> str:
        """Write an object in one request, on a condition."""
        answer = self._upload(path, [memoryview(data)], len(data), ifGenerationMatch=tag or "0")
        return str(answer["generation"])

    def _upload(self, path: str, views: Sequence[memoryview], size: int, **condition: str) -> Mapping[str, Any]:
        # The "multipart" upload of the JSON API: https://cloud.google.com/storage/docs/uploading-objects
        boundary = os.urandom(16).hex()
        name = json.dumps({"name": self._key(path).removeprefix(f"{self.bucket}/")})
        head = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{name}\r\n"
            f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        body = [memoryview(head.encode()), *views, memoryview(f"\r\n--{boundary}--\r\n".encode())]
        answer: Mapping[str, Any] = self._ask(
            "call",
            "POST",
            f"{self.fs._location}/upload/storage/v1/b/{{}}/o",  # noqa: SLF001  as gcsfs itself makes this address
            self.bucket,
            uploadType="multipart",
            headers={"Content-Type": f'multipart/related; boundary="{boundary}"'},
            data=Rope(body) if size > _MIB else joined(body),
            json_out=True,
            size=size,
            **condition,
        )
        return answer

    def has_root(self) -> bool:
        """Whether the bucket is there."""
        try:
            self._ask("call", "GET", "b/{}", self.bucket, json_out=True)
        except Exception as error:  # noqa: BLE001  any library's errors
            return not is_absence(error)
        return True


class AzureStorage(SwappingDialect):
    """Azure's blobs, by adlfs; it passes no conditions on, and so swaps go to the client that it holds."""

    @property
    def endpoint(self) -> str:
        """The address that was given; "" for Azure's own."""
        address = urlsplit(self.fs.service_client.url)
        return "" if (address.hostname or "").endswith(_AZURE) else f"{address.scheme}://{address.netloc}"

    @property
    def swaps(self) -> bool | None:  # type: ignore[override]  # a property where the base has a constant
        """True for Azure itself, which documents it; every other server is asked."""
        return None if self.endpoint else True

    def read(self, path: str, start: int, end: int | None) -> Buffer:
        """Return the bytes from `start` up to `end`, as they are stored; adlfs has no way to ask for them so."""
        bounds = getattr(self.fs, "_timeout_kwargs", {})

        async def ask() -> bytes:
            async with self._blob(path) as blob:
                answer = await blob.download_blob(
                    offset=start,
                    length=None if end is None else end - start,
                    max_concurrency=getattr(self.fs, "max_concurrency", None) or 1,
                    **bounds,
                    **_not_unpacked(),
                )
                content: bytes = await answer.readall()
                return content

        found: bytes = sync(self.fs.loop, ask)
        return found

    def read_tagged(self, path: str, most: int | None) -> tuple[Buffer, str]:
        """Return an object's bytes, at most so many of them, and its e-tag, of one answer."""
        part: dict[str, Any] = {} if most is None else {"offset": 0, "length": most}

        async def ask() -> tuple[bytes, str]:
            async with self._blob(path) as blob:
                answer = await blob.download_blob(**part, **_not_unpacked())
                return await answer.readall(), answer.properties.etag

        found: tuple[bytes, str] = self._await(ask())
        return found

    def swap(self, path: str, data: bytes, tag: str | None) -> str:
        """Write an object on a condition; in one request up to 64 MiB."""
        from azure.core import MatchConditions  # noqa: PLC0415  comes with adlfs only

        condition: dict[str, Any] = {"overwrite": False}
        if tag is not None:
            condition = {"overwrite": True, "etag": tag, "match_condition": MatchConditions.IfNotModified}

        async def ask() -> str:
            async with self._blob(path) as blob:
                answer = await blob.upload_blob(data, metadata={"is_directory": "false"}, **condition)  # as adlfs says
                return str(answer["etag"])

        written: str = self._await(ask(), len(data))
        return written

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects below a folder, page by page: adlfs shows nothing below what is an object as well."""
        inside = f"{self._key('')}/".removeprefix(f"{self.bucket}/")
        below = f"{inside}{prefix}/" if prefix else inside
        container = self.fs.service_client.get_container_client(self.bucket)
        pages = container.list_blobs(name_starts_with=below, include=["metadata"]).by_page()

        async def following() -> Sequence[ObjectInfo] | None:
            try:
                page = await anext(pages)
            except StopAsyncIteration:
                return None
            return [
                ObjectInfo(blob.name.removeprefix(inside), blob.size, blob.last_modified)
                async for blob in page
                if is_path(blob.name.removeprefix(inside)) and (blob.metadata or {}).get("hdi_isfolder") != "true"
            ]

        while (found := self._await(following())) is not None:
            yield from found

    def _blob(self, path: str) -> Any:
        return self.fs.service_client.get_blob_client(self.bucket, self._key(path).removeprefix(f"{self.bucket}/"))


def _raw(start: int, end: int | None) -> dict[str, str]:
    """Return the headers by which Google sends a range of an object as it is stored, be it compressed or not."""
    whole = start == 0 and end is None
    return {"Accept-Encoding": "gzip"} | ({} if whole else {"Range": f"bytes={start}-{'' if end is None else end - 1}"})


@functools.cache
def _not_unpacked() -> Mapping[str, bool]:
    """Return what tells Azure's client to unpack nothing; from version 12.28, older ones always unpack."""
    from azure.storage.blob import __version__ as version  # noqa: PLC0415  comes with adlfs only

    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    return {"decompress": False} if numbers >= _FIRST_RAW else {}


def s3_config(storage_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings for botocore.

    A dead endpoint is an error within about ten seconds: three tries, three seconds each to connect. Checksums beyond
    the protocol's own are left to AWS: many other servers refuse them, or send those of the whole object with a part.

    Args:
        storage_options: What s3fs is given.

    Raises:
        ImportError: If botocore is not installed.
    """
    from botocore.config import Config  # noqa: PLC0415  comes with s3fs only

    config: dict[str, Any] = {
        "connect_timeout": 3,
        "read_timeout": 15,
        "retries": {"mode": "standard", "total_max_attempts": 3},
    }
    endpoint = storage_options.get("endpoint_url") or (storage_options.get("client_kwargs") or {}).get("endpoint_url")
    if endpoint:
        checksums = ("request_checksum_calculation", "response_checksum_validation")
        config |= {name: "when_required" for name in checksums if name in Config.OPTION_DEFAULTS}
    return config

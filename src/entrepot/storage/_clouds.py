"""The dialects of S3 and Google Cloud Storage."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from entrepot.errors import InvalidPathError
from entrepot.protocols.storage import Buffer, ObjectInfo
from entrepot.storage._buffers import Rope, joined
from entrepot.storage._dialect import Dialect, is_absence
from entrepot.storage.outage import Trouble, diagnose

__all__ = ["S3", "S3_RETRIES", "GoogleStorage", "s3_config"]

S3_RETRIES = 2
"""Tries of s3fs itself, around those of botocore; its own 5 make minutes of a server that says nothing."""

_CONFLICT_TRIES = 5
_MIB = 1024 * 1024


class S3(Dialect):
    """S3 and its many lookalikes, by s3fs."""

    _PART = 8 * _MIB
    _PARTS = 10_000
    _AT_ONCE = 4

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
        """Write an object: small ones in one request, others in parts that are never all in memory."""
        size = sum(view.nbytes for view in views)
        part = max(self._PART, -(-size // self._PARTS))
        data = joined(views) if size < 2 * part else Rope(views)
        mode = "create" if exclusive else "overwrite"
        for pause in range(_CONFLICT_TRIES):
            try:
                self.fs.pipe_file(self._key(path), data, chunksize=part, max_concurrency=self._AT_ONCE, mode=mode)
            except OSError as error:
                # AWS says 409 where two conditional writes meet before either is decided: neither has won yet.
                if diagnose(error).trouble is not Trouble.CONFLICT or pause == _CONFLICT_TRIES - 1:
                    raise
                time.sleep(0.1 * 2**pause)
            else:
                return

    def stat(self, path: str) -> ObjectInfo:
        """Return what the store says of an object: one request, where s3fs would go on to look for a folder."""
        answer = self.fs.call_s3("head_object", **self._at(path))
        return ObjectInfo(path, answer["ContentLength"], answer["LastModified"])

    def has_root(self) -> bool:
        """Whether the bucket is there."""
        try:
            self.fs.call_s3("head_bucket", Bucket=self.bucket)
        except Exception as error:  # noqa: BLE001  any library's errors
            return not is_absence(error)
        return True

    def holds_for_large(self, path: str) -> bool:
        """Complete a small upload in parts over an object, on the condition that there is none."""
        at = self._at(path)
        upload = {**at, "UploadId": self.fs.call_s3("create_multipart_upload", **at)["UploadId"]}
        try:
            part = self.fs.call_s3("upload_part", **upload, PartNumber=1, Body=b"3")
            parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
            self.fs.call_s3("complete_multipart_upload", **upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
        except OSError as error:
            with contextlib.suppress(OSError):
                self.fs.call_s3("abort_multipart_upload", **upload)
            trouble = diagnose(error).trouble
            if trouble not in {Trouble.EXISTS, Trouble.OTHER}:
                raise
            return trouble is Trouble.EXISTS
        return False

    def _at(self, path: str) -> dict[str, Any]:
        return {"Bucket": self.bucket, "Key": self._key(path).removeprefix(f"{self.bucket}/")}


class GoogleStorage(Dialect):
    """Google Cloud Storage, by gcsfs."""

    _CHUNK = 32 * _MIB  # a multiple of 256 KiB, as resumable uploads must be
    _BOUNDARY = b"--==0=="

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
        """Write an object, in one request unless it is large or holds what gcsfs parts its requests with."""
        data = joined(views)
        chunk = self._CHUNK
        if len(data) < chunk and self._BOUNDARY in data:
            # gcsfs sends small objects as one part of a MIME message with this fixed boundary, and does not look
            # for it in the content, which would then end there. A resumable upload has no boundary.
            chunk = len(data)
        self.fs.pipe_file(self._key(path), data, chunksize=chunk, mode="create" if exclusive else "overwrite")

    def has_root(self) -> bool:
        """Whether the bucket is there."""
        try:
            self.fs.call("GET", "b/{}", self.bucket, json_out=True)
        except Exception as error:  # noqa: BLE001  any library's errors
            return not is_absence(error)
        return True


def s3_config(storage_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings for botocore.

    A dead endpoint is an error within about ten seconds: three tries, three seconds each to connect. Checksums beyond
    the protocol's own are left to AWS: many other servers refuse them, or send those of the whole object with a part.

    Args:
        storage_options: What s3fs is given.

    Raises:
        ImportError: If botocore is not installed.
    """
    from botocore.config import Config  # type: ignore[import-untyped]  # noqa: PLC0415  comes with s3fs only

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

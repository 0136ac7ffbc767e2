"""Errors of client libraries, as those libraries make them, and what they become."""

import errno
import socket
import ssl

import aiohttp
import azure.core.exceptions as azure
import botocore.exceptions as botocore
import google.auth.exceptions as google
import pytest
import requests
from fsspec.exceptions import FSTimeoutError
from gcsfs.retry import HttpError

from entrepot.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    StorageAccessError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
)
from entrepot.storage.outage import Trouble, diagnose, from_diagnosis, from_os_error


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def client_error(code: str, status: int = 400) -> botocore.ClientError:
    answer = {"Error": {"Code": code, "Message": "words"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.ClientError(answer, "PutObject")  # type: ignore[arg-type]


def azure_error(kind: type[azure.HttpResponseError], status: int, code: str) -> azure.HttpResponseError:
    error = kind(message="words")
    error.status_code = status
    error.error_code = code  # type: ignore[attr-defined]
    return error


CASES: list[tuple[Exception, Trouble]] = [
    # S3
    (caused(FileNotFoundError("x"), client_error("NoSuchBucket", 404)), Trouble.NO_ROOT),
    (caused(FileNotFoundError("x"), client_error("NoSuchKey", 404)), Trouble.ABSENT),
    (caused(FileNotFoundError("x"), client_error("404", 404)), Trouble.ABSENT),
    (caused(FileExistsError("x"), client_error("PreconditionFailed", 412)), Trouble.EXISTS),
    (caused(OSError(errno.EINVAL, "pre-conditions"), client_error("PreconditionFailed", 412)), Trouble.EXISTS),
    (caused(OSError(errno.EIO, "x"), client_error("ConditionalRequestConflict", 409)), Trouble.CONFLICT),
    (caused(PermissionError("x"), client_error("SignatureDoesNotMatch", 403)), Trouble.REFUSED),
    (caused(OSError(errno.EIO, "x"), client_error("SomethingNew", 403)), Trouble.REFUSED),
    (caused(OSError(errno.EBUSY, "x"), client_error("SlowDown", 503)), Trouble.SILENT),
    (caused(OSError(errno.EIO, "x"), client_error("SomethingNew", 503)), Trouble.SILENT),
    (caused(OSError(errno.EINVAL, "x"), client_error("InvalidRange", 416)), Trouble.RANGE),
    (caused(OSError(errno.EIO, "x"), client_error("XMinioStorageFull", 507)), Trouble.FULL),
    (caused(OSError(errno.ENOSYS, "x"), client_error("NotImplemented", 501)), Trouble.OTHER),
    (caused(OSError(errno.EINVAL, "x"), client_error("EntityTooLarge", 400)), Trouble.OTHER),
    (botocore.EndpointConnectionError(endpoint_url="http://user:secret@host"), Trouble.SILENT),
    (botocore.ConnectTimeoutError(endpoint_url="http://host"), Trouble.SILENT),
    (botocore.ReadTimeoutError(endpoint_url="http://host"), Trouble.SILENT),
    (botocore.ConnectionClosedError(endpoint_url="http://host"), Trouble.SILENT),
    (botocore.SSLError(endpoint_url="http://host", error="x"), Trouble.SILENT),
    (botocore.NoCredentialsError(), Trouble.REFUSED),
    (botocore.PartialCredentialsError(provider="x", cred_var="y"), Trouble.REFUSED),
    (botocore.ProfileNotFound(profile="x"), Trouble.REFUSED),
    (botocore.ParamValidationError(report='Invalid bucket name "A_b!"'), Trouble.NO_ROOT),
    (OSError(errno.EREMOTEIO, "Internal Error"), Trouble.SILENT),
    (OSError(errno.EBUSY, "Please reduce your request rate"), Trouble.SILENT),
    # Google
    (FileNotFoundError("b/x/o/y"), Trouble.ABSENT),
    (FileExistsError("b/x/o/y"), Trouble.EXISTS),
    (OSError("Forbidden: https://storage.googleapis.com/x\nwords"), Trouble.REFUSED),
    (HttpError({"code": 401, "message": "Invalid Credentials"}), Trouble.REFUSED),
    (HttpError({"code": 412, "message": "x"}), Trouble.EXISTS),
    (HttpError({"code": 416, "message": "x"}), Trouble.RANGE),
    (HttpError({"code": 429, "message": "x"}), Trouble.SILENT),
    (HttpError({"code": 503, "message": "x"}), Trouble.SILENT),
    (HttpError({"code": 507, "message": "x"}), Trouble.FULL),
    (google.DefaultCredentialsError("x"), Trouble.REFUSED),
    (google.RefreshError("x"), Trouble.REFUSED),
    (google.TransportError("x"), Trouble.SILENT),
    (caused(google.DefaultCredentialsError("x"), FileNotFoundError("credentials.json")), Trouble.REFUSED),
    (requests.exceptions.ProxyError("x"), Trouble.SILENT),
    # Azure
    (azure_error(azure.ResourceNotFoundError, 404, "ContainerNotFound"), Trouble.NO_ROOT),
    (azure_error(azure.ResourceNotFoundError, 404, "BlobNotFound"), Trouble.ABSENT),
    (caused(FileNotFoundError("x"), azure_error(azure.ResourceNotFoundError, 404, "BlobNotFound")), Trouble.ABSENT),
    (azure_error(azure.ResourceExistsError, 409, "BlobAlreadyExists"), Trouble.EXISTS),
    (azure_error(azure.HttpResponseError, 412, "ConditionNotMet"), Trouble.EXISTS),
    (azure_error(azure.HttpResponseError, 403, "AuthorizationFailure"), Trouble.REFUSED),
    (azure_error(azure.ClientAuthenticationError, 403, "InvalidAuthenticationInfo"), Trouble.REFUSED),
    (azure_error(azure.HttpResponseError, 416, "InvalidRange"), Trouble.RANGE),
    (azure_error(azure.HttpResponseError, 503, "ServerBusy"), Trouble.SILENT),
    (azure.ServiceRequestError(message="x"), Trouble.SILENT),
    (azure.ServiceResponseTimeoutError(message="x"), Trouble.SILENT),
    # below them all
    (aiohttp.ServerDisconnectedError(), Trouble.SILENT),
    (aiohttp.ClientPayloadError("x"), Trouble.SILENT),
    (FSTimeoutError(), Trouble.SILENT),
    (TimeoutError(), Trouble.SILENT),
    (ConnectionResetError(errno.ECONNRESET, "x"), Trouble.SILENT),
    (ConnectionRefusedError(errno.ECONNREFUSED, "x"), Trouble.SILENT),
    (socket.gaierror(-2, "Name or service not known"), Trouble.SILENT),
    (OSError(errno.EHOSTUNREACH, "x"), Trouble.SILENT),
    (OSError(errno.ENOSPC, "x"), Trouble.FULL),
    (OSError(errno.EDQUOT, "x"), Trouble.FULL),
    (PermissionError(errno.EACCES, "x"), Trouble.REFUSED),
    (OSError(errno.EROFS, "x"), Trouble.REFUSED),
    (NotADirectoryError(errno.ENOTDIR, "x"), Trouble.ABSENT),
    (OSError(errno.EIO, "x"), Trouble.OTHER),
    (ValueError("x"), Trouble.OTHER),
    (NotImplementedError("x"), Trouble.OTHER),
]


@pytest.mark.parametrize(("error", "trouble"), CASES, ids=lambda case: repr(case)[:60])
def test_an_error_is_told_by_what_the_store_said(error: Exception, trouble: Trouble) -> None:
    assert diagnose(error).trouble is trouble


@pytest.mark.parametrize(
    ("error", "certain"),
    [
        (caused(FileNotFoundError("x"), client_error("NoSuchKey", 404)), True),
        (caused(FileNotFoundError("x"), client_error("NoSuchBucket", 404)), True),
        (caused(FileNotFoundError("x"), client_error("404", 404)), False),
        (FileNotFoundError("x"), False),
    ],
)
def test_a_bare_absence_may_be_that_of_the_bucket(error: Exception, certain: bool) -> None:  # noqa: FBT001  parametrised
    assert diagnose(error).certain is certain


@pytest.mark.parametrize(("code", "todo"), [("RequestTimeTooSkewed", "clock"), ("ExpiredToken", "renew them")])
def test_a_refusal_says_what_to_do_where_the_store_said_why(code: str, todo: str) -> None:
    found = from_diagnosis(diagnose(client_error(code, 403)), location="s3://bucket", path="a", doing="read")
    assert isinstance(found, StorageAccessError)
    assert todo in str(found)


def test_what_the_caller_was_handling_is_not_taken_for_a_cause() -> None:
    error = OSError(errno.ENOSPC, "no room")
    error.__context__ = caused(FileNotFoundError("x"), client_error("NoSuchBucket", 404))
    assert diagnose(error).trouble is Trouble.FULL


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    assert diagnose(first).trouble is Trouble.OTHER


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (Trouble.ABSENT, ObjectNotFoundError),
        (Trouble.EXISTS, ObjectExistsError),
        (Trouble.NO_ROOT, StorageUnreachableError),
        (Trouble.SILENT, StorageUnreachableError),
        (Trouble.CONFLICT, StorageUnreachableError),
        (Trouble.REFUSED, StorageAccessError),
        (Trouble.FULL, StorageFullError),
        (Trouble.RANGE, StorageError),
        (Trouble.OTHER, StorageError),
    ],
)
def test_each_trouble_has_its_error_and_none_repeats_what_a_library_wrote(
    trouble: Trouble, kind: type[StorageError]
) -> None:
    secret = "http://key:secret@host/x?X-Amz-Signature=abc"
    for source, _ in CASES:
        source.args = (*source.args, secret)
        said = diagnose(source)
        error = from_diagnosis(
            type(said)(trouble, said.said, said.certain),
            location="s3://bucket/x",
            path="a/b",
            doing="read",
            endpoint="http://key:secret@host?token=abc",
        )
        assert type(error) is kind
        assert error.location == "s3://bucket/x"
        for hidden in ("secret", "abc", "words"):
            assert hidden not in str(error)
        assert "at http://host" in str(error)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, StorageFullError),
        (errno.EDQUOT, StorageFullError),
        (errno.EFBIG, StorageFullError),
        (errno.EACCES, StorageAccessError),
        (errno.EROFS, StorageAccessError),
        (errno.ESTALE, StorageUnreachableError),
        (errno.ENOTCONN, StorageUnreachableError),
        (errno.ELOOP, StorageError),
        (errno.EIO, StorageError),
    ],
)
def test_an_error_of_the_system_has_its_error(code: int, kind: type[StorageError]) -> None:
    error = from_os_error(OSError(code, "x"), location="/store", path="a", doing="write")
    assert type(error) is kind
    assert "cannot write 'a' in /store" in str(error)
    assert type(from_os_error(ssl.SSLError("x"), location="/store", path="", doing="list")) is StorageError

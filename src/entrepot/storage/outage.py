"""What a failing store said, in our words: an outage, a refusal, no room, or no such object.

Errors of client libraries are told by the name of their class, its module and the code that they carry, so that none
of those libraries is imported here. Their texts are never repeated: they may hold addresses with credentials in them.
"""

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import urlsplit, urlunsplit

from entrepot.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    StorageAccessError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
)

__all__ = [
    "Diagnosis",
    "Trouble",
    "diagnose",
    "from_diagnosis",
    "from_opening",
    "from_os_error",
    "without_frames",
    "without_userinfo",
]


class Trouble(Enum):
    """What kind of trouble an error is."""

    ABSENT = auto()  # there is no such object, as far as this error can tell
    NO_ROOT = auto()  # there is no such bucket or container
    EXISTS = auto()  # a condition was not met: the object is there
    CONFLICT = auto()  # two conditional writes met, and neither was decided
    RANGE = auto()  # the object ends before the range that was asked for
    REFUSED = auto()
    SILENT = auto()  # no answer, or an answer that says "not now"
    FULL = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known of an error.

    Attributes:
        trouble: The kind.
        said: A code or the name of a class, for the message.
        certain: Whether the store itself named the trouble; a bare `FileNotFoundError` may also mean the bucket.
        tries: How often the library asked, where it says so; else 0.
    """

    trouble: Trouble
    said: str
    certain: bool
    tries: int = 0


_CODES: dict[str, Trouble] = {
    **dict.fromkeys(("NoSuchKey", "BlobNotFound", "PathNotFound", "ObjectNotFound"), Trouble.ABSENT),
    **dict.fromkeys(
        (
            *("NoSuchBucket", "InvalidBucketName", "ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"),
            *("FilesystemNotFound", "FilesystemBeingDeleted", "AccountBeingCreated"),
        ),
        Trouble.NO_ROOT,
    ),
    **dict.fromkeys(
        ("PreconditionFailed", "BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet", "PathAlreadyExists"),
        Trouble.EXISTS,
    ),
    **dict.fromkeys(("ConditionalRequestConflict", "OperationAborted"), Trouble.CONFLICT),
    **dict.fromkeys(("InvalidRange", "RequestedRangeNotSatisfiable"), Trouble.RANGE),
    **dict.fromkeys(
        (
            *("AccessDenied", "AccountProblem", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId"),
            *("InvalidSecurity", "InvalidToken", "NotSignedUp", "RequestTimeTooSkewed", "SignatureDoesNotMatch"),
            *("TokenRefreshRequired", "AuthorizationHeaderMalformed", "UnauthorizedAccess", "Unauthorized"),
            *("AuthenticationFailed", "AuthorizationFailure", "AuthorizationPermissionMismatch", "Forbidden"),
            *("InsufficientAccountPermissions", "InvalidAuthenticationInfo", "NoAuthenticationInformation"),
            *("AccountIsDisabled", "AuthorizationProtocolMismatch", "AuthorizationResourceTypeMismatch"),
        ),
        Trouble.REFUSED,
    ),
    **dict.fromkeys(
        (
            *("InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "Throttling", "TooManyRequests"),
            *("ThrottlingException", "RequestLimitExceeded", "ServerBusy", "OperationTimedOut", "PermanentRedirect"),
            *("TemporaryRedirect", "Redirect", "IllegalLocationConstraintException", "XMinioServerNotInitialized"),
        ),
        Trouble.SILENT,
    ),
    **dict.fromkeys(
        ("InsufficientStorage", "QuotaExceeded", "StorageFull", "XMinioStorageFull", "AccountQuotaExceeded"),
        Trouble.FULL,
    ),
}
_STATUSES: dict[int, Trouble] = {
    **dict.fromkeys((301, 307, 308, 408, 429), Trouble.SILENT),
    **dict.fromkeys((401, 403, 407), Trouble.REFUSED),
    404: Trouble.ABSENT,
    409: Trouble.CONFLICT,
    412: Trouble.EXISTS,
    416: Trouble.RANGE,
    507: Trouble.FULL,
}
_SERVER_ERRORS = range(500, 600)
_NOT_IMPLEMENTED = 501

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9.]{0,63}\Z")  # a code worth showing; anything else may be anything

# Errors without an answer from the store: (start of the class's module, part of its name).
_CLASSES: tuple[tuple[str, str, Trouble], ...] = (
    *(("botocore.", name, Trouble.REFUSED) for name in ("Credential", "ProfileNotFound", "TokenRetrieval", "SSOToken")),
    *(
        ("botocore.", name, Trouble.SILENT)
        for name in ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ConnectionClosed", "HTTPClientError")
    ),
    *(("botocore.", name, Trouble.SILENT) for name in ("SSLError", "EndpointConnection", "ResponseStreaming")),
    ("aiohttp.", "Client", Trouble.SILENT),
    ("aiohttp.", "Server", Trouble.SILENT),
    ("google.auth.", "TransportError", Trouble.SILENT),
    ("google.auth.", "", Trouble.REFUSED),
    ("azure.core.", "ClientAuthentication", Trouble.REFUSED),
    *(("azure.core.", name, Trouble.SILENT) for name in ("ServiceRequest", "ServiceResponse", "IncompleteRead")),
    ("azure.identity.", "", Trouble.REFUSED),
    ("requests.", "", Trouble.SILENT),
    ("httpx.", "", Trouble.SILENT),
    ("urllib3.", "", Trouble.SILENT),
    ("fsspec.", "Timeout", Trouble.SILENT),
    ("paramiko.", "Authentication", Trouble.REFUSED),
    ("paramiko.", "", Trouble.SILENT),
)
_BUILT_INS: tuple[tuple[type[BaseException], Trouble], ...] = (
    *((kind, Trouble.ABSENT) for kind in (FileNotFoundError, NotADirectoryError, IsADirectoryError)),
    (FileExistsError, Trouble.EXISTS),
    (PermissionError, Trouble.REFUSED),
    (ConnectionError, Trouble.SILENT),
    (TimeoutError, Trouble.SILENT),
)
_ERRNOS: dict[int, Trouble] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), Trouble.FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), Trouble.REFUSED),
    **dict.fromkeys(
        (
            # A mount or a server that lost its other end; the last two are how s3fs puts a 5xx answer.
            *(errno.ENOTCONN, errno.ESTALE, errno.ENODEV, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH),
            *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ENETUNREACH, errno.ENETDOWN),
            *(errno.EBUSY, getattr(errno, "EREMOTEIO", errno.ENODEV)),
        ),
        Trouble.SILENT,
    ),
}
_ERRNO_ADVICE = {
    errno.ELOOP: "it or a folder on the way is a symbolic link, and links inside a store are not followed: "
    "put the file or folder itself there",
    errno.EISDIR: "a folder has that name: use another path",
    errno.ENOTDIR: "something on the way to it is an object: use another path",
    errno.ENOSYS: "this file system lacks hard links and exclusive renames: use another one",
    errno.EINVAL: "this file system may lack hard links and exclusive renames: use another one",
}


_MEANINGS: dict[Trouble, tuple[type[StorageError], str]] = {
    Trouble.NO_ROOT: (
        StorageUnreachableError,
        "there is no such bucket or container ({said}); create it, or check its name and region",
    ),
    Trouble.REFUSED: (
        StorageAccessError,
        "refused ({said}); check the credentials and their rights (to read takes the right to list, too)",
    ),
    Trouble.SILENT: (
        StorageUnreachableError,
        "no usable answer ({said}); check the endpoint and the network, and try again",
    ),
    Trouble.CONFLICT: (StorageUnreachableError, "other writers were in the way ({said}); try again"),
    Trouble.FULL: (StorageFullError, "no room ({said}); free some, or raise the quota"),
}


_REFUSALS = {  # what to do, where the store says why
    "ExpiredToken": "refused ({said}); the credentials have expired: renew them",
    "TokenRefreshRequired": "refused ({said}); the credentials have expired: renew them",
    "RequestTimeTooSkewed": "refused ({said}); the clock of this machine is wrong: set it",
}


def diagnose(error: BaseException) -> Diagnosis:
    """Tell what kind of trouble an error of a client library or of the system is.

    What the store itself said (a code or status, anywhere in the chain of causes) goes before what Python made of it:
    s3fs says `FileNotFoundError` of a missing key and of a missing bucket alike.
    """
    for each in _chain(error):
        found = _vendor(each)
        if found is not None:
            return found
    for kind, trouble in _BUILT_INS:
        if isinstance(error, kind):
            return Diagnosis(trouble, kind.__name__, certain=False)
    if isinstance(error, OSError):
        if error.errno in _ERRNOS:
            return Diagnosis(_ERRNOS[error.errno], os.strerror(error.errno), certain=True)
        if type(error).__name__ == "gaierror":
            return Diagnosis(Trouble.SILENT, "the name of the host is unknown", certain=True)
        if str(error).startswith("Forbidden: "):  # gcsfs keeps nothing else of a 403
            return Diagnosis(Trouble.REFUSED, "403 Forbidden", certain=True)
    said = type(error).__name__
    if isinstance(error, OSError) and error.errno is not None:
        said = os.strerror(error.errno)
    return Diagnosis(Trouble.OTHER, said, certain=False)


def from_diagnosis(diagnosis: Diagnosis, *, location: str, path: str, doing: str, endpoint: str = "") -> StorageError:
    """Return the error of our tree for a diagnosis.

    Args:
        diagnosis: What is known.
        location: The root of the store, without credentials.
        path: The object, or the folder that was listed, or "".
        doing: What was tried: "read", "write", "create", "delete", "list".
        endpoint: The address of the server, where it is not implied by the location.
    """
    at = f"{location} (at {without_userinfo(endpoint)})" if endpoint else location
    what = f"cannot {doing} {path!r} in {at}" if path else f"cannot {doing} {at}"
    if diagnosis.trouble is Trouble.ABSENT:
        return ObjectNotFoundError(f"{at} has no object {path!r}", path=path, location=location)
    if diagnosis.trouble is Trouble.EXISTS:
        return ObjectExistsError(f"{at} has an object {path!r} already", path=path, location=location)
    kind, text = _MEANINGS.get(diagnosis.trouble, (StorageError, "{said}"))
    if diagnosis.trouble is Trouble.REFUSED:
        text = _REFUSALS.get(diagnosis.said, text)
    said = f"{diagnosis.said}, after {diagnosis.tries} tries" if diagnosis.tries > 1 else diagnosis.said
    return kind(f"{what}: {text.format(said=said)}", location=location)


def from_opening(error: BaseException, *, location: str) -> StorageError:
    """Return the error of our tree for an error while a store was opened: nothing was asked for that could be absent.

    Args:
        error: What the library raised.
        location: The root of the store, without credentials.
    """
    diagnosis = diagnose(error)
    if diagnosis.trouble in {Trouble.ABSENT, Trouble.EXISTS, Trouble.RANGE}:  # of a file of keys, say
        diagnosis = Diagnosis(Trouble.OTHER, diagnosis.said, certain=False)
    return from_diagnosis(diagnosis, location=location, path="", doing="open")


def from_os_error(error: OSError, *, location: str, path: str, doing: str) -> StorageError:
    """Return the error of our tree for an error of the local file system while `doing` something to `path`."""
    what = f"cannot {doing} {path!r} in {location}" if path else f"cannot {doing} {location}"
    code = error.errno
    said = os.strerror(code) if code is not None else type(error).__name__
    match _ERRNOS.get(code or 0):
        case Trouble.FULL:
            return StorageFullError(f"{what}: {said}; free some room, or raise the limit", location=location)
        case Trouble.REFUSED:
            return StorageAccessError(
                f"{what}: {said}; give this user access to it, or use another folder", location=location
            )
        case Trouble.SILENT:
            return StorageUnreachableError(f"{what}: {said}; check the mount and the network", location=location)
        case _:
            advice = _ERRNO_ADVICE.get(code or 0)
            return StorageError(f"{what}: {said}; {advice}" if advice else f"{what}: {said}", location=location)


def without_frames(error: BaseException) -> BaseException:
    """Return an error with its chain, but without their frames: those of a client hold the keys that it signs with."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            pending += [one.__cause__, one.__context__]
    return error


def without_userinfo(url: str) -> str:
    """Return a URL without user name and password, and without query and fragment: tokens hide there too."""
    parts = urlsplit(url)
    if not parts.scheme or not parts.netloc:
        return url.partition("?")[0] if parts.query else url
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes. Not its contexts: those may be what the caller was handling, and not ours."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__


def _vendor(error: BaseException) -> Diagnosis | None:
    """Tell what an error of a client library says, or None if it is not one or says nothing."""
    module = f"{type(error).__module__}."
    if module.startswith("builtins."):
        return None
    codes = list(_codes(error))
    for code in codes:
        if code in _CODES:
            return Diagnosis(_CODES[code], code, certain=True, tries=_tries(error))
    for code in codes:
        trouble = _of_status(code)
        if trouble is not None:
            # A bare 404 does not tell the object from the bucket: answers to HEAD have no body to say it in.
            return Diagnosis(trouble, f"status {code}", certain=trouble is not Trouble.ABSENT, tries=_tries(error))
    if type(error).__name__ == "ParamValidationError" and "bucket name" in str(error):
        return Diagnosis(Trouble.NO_ROOT, "not a valid bucket name", certain=True)
    for start, part, kind in _CLASSES:
        if module.startswith(start) and part in type(error).__name__:
            return Diagnosis(kind, type(error).__name__, certain=True)
    word = next((code for code in codes if _WORD.match(code)), None)
    return None if word is None else Diagnosis(Trouble.OTHER, word, certain=True)


def _tries(error: BaseException) -> int:
    """Return how often botocore asked before it gave up, or 0."""
    response = getattr(error, "response", None)
    metadata = response.get("ResponseMetadata") if isinstance(response, dict) else None
    retries = metadata.get("RetryAttempts") if isinstance(metadata, dict) else None
    return retries + 1 if isinstance(retries, int) else 0


def _of_status(code: str) -> Trouble | None:
    status = int(code) if code.isdigit() else 0
    if status in _SERVER_ERRORS and status not in _STATUSES and status != _NOT_IMPLEMENTED:
        return Trouble.SILENT
    return _STATUSES.get(status)


def _codes(error: BaseException) -> Iterator[str]:
    """Yield the error codes and HTTP statuses that an error carries: botocore's, gcsfs's, Azure's and aiohttp's."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        details = response.get("Error")
        if isinstance(details, dict) and "Code" in details:
            yield str(details["Code"])
        metadata = response.get("ResponseMetadata")
        if isinstance(metadata, dict) and "HTTPStatusCode" in metadata:
            yield str(metadata["HTTPStatusCode"])
    for attribute in ("error_code", "code", "status_code", "status"):
        code = getattr(error, attribute, None)
        if isinstance(code, Enum):
            code = code.value
        if isinstance(code, str | int):
            yield str(code)

"""Where a storage block points: buckets and paths in them, addresses of servers, and what may not stand there."""

import re
from typing import Final
from urllib.parse import urlsplit

__all__ = ["check_account", "check_endpoint", "check_folder", "split_bucket_path"]

# Generous on purpose: each store has rules of its own and explains them better. This keeps out what is no name at all.
_BUCKET: Final = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._-]{1,254}\Z", re.ASCII)
_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:s3(?:-outposts|-object-lambda)?:[a-z0-9-]*:[0-9]*:[A-Za-z0-9._/:-]+\Z", re.ASCII
)
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def split_bucket_path(value: str, *, schemes: tuple[str, ...], example: str) -> str:
    """Return `bucket` or `bucket/folder`, without a scheme and outer slashes.

    Args:
        value: As the user wrote it: `bucket/folder` or `s3://bucket/folder`.
        schemes: The URL schemes of this kind of store.
        example: What a good one looks like, for messages.

    Raises:
        ValueError: If it is something else. The value is not repeated: people put keys into such URLs.
    """
    scheme, colon, rest = value.strip().partition("://")
    if colon and scheme.lower() not in schemes:
        raise ValueError(f"its scheme is not {schemes[0]}://; write {example!r}")
    path = (rest if colon else value.strip()).strip("/")
    if "@" in path.partition("/")[0]:
        raise ValueError(f"it has credentials in it; write {example!r}, and put the credentials into their own fields")
    if "?" in path or "#" in path:
        raise ValueError(f"it has a '?' or '#', which a bucket path cannot have; write {example!r}")
    bucket = path if _ARN.match(path) else path.partition("/")[0]
    if not (_ARN.match(bucket) or _BUCKET.match(bucket)):
        raise ValueError(f"it does not start with the name of a bucket or container; write {example!r}")
    check_folder(path.partition("/")[2])
    return path


def check_folder(folder: str) -> str:
    """Return a folder inside a store: "" or components between single slashes.

    Raises:
        ValueError: If it has empty, `.` or `..` components, backslashes or control characters.
    """
    parts = folder.split("/") if folder else []
    if "" in parts:
        raise ValueError("its path has an empty component ('//')")
    if "." in parts or ".." in parts:
        raise ValueError("its path has a '.' or '..' component: write where it really points")
    if "\\" in folder or _CONTROL.search(folder):
        raise ValueError("its path has a backslash or a control character")
    return folder


def check_endpoint(value: str | None) -> str | None:
    """Return the address of a server, without a slash at the end.

    Raises:
        ValueError: If it is no http or https address, or has credentials, a query or a fragment in it.
    """
    if value is None:
        return None
    try:
        parts = urlsplit(value.strip())
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or _CONTROL.search(value):
        raise ValueError("it is no address of a server; write 'https://host' or 'http://host:port'")
    if "@" in parts.netloc:
        raise ValueError("it has credentials in it; put them into their own fields")
    if parts.query or parts.fragment:
        raise ValueError("it has a query or a fragment; write 'https://host' or 'http://host:port'")
    return value.strip().rstrip("/")


def check_account(value: str | None) -> str | None:
    """Return the name of an account of Azure: one label of a host name.

    It is put before `.blob.core.windows.net`: with a slash or a `#` in it, what comes before would be the server, and
    get the login of this machine.

    Raises:
        ValueError: If it is something else.
    """
    if value is not None and not (isinstance(value, str) and _ACCOUNT.match(value)):
        raise ValueError("it is the name of a storage account alone, letters and digits, and no address")
    return value

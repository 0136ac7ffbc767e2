"""The one place that knows gcsfs: file systems whose waiting has a bound."""

import types
from typing import Any

import aiohttp
from gcsfs.core import GCSFileSystem
from gcsfs.retry import retry_request

from entrepot.storage._clouds import AS_STORED
from entrepot.storage.files import FileStorage

__all__ = ["connect"]

_CONNECT_SECONDS = 3
_READ_SECONDS = 15
_ATTEMPTS = 3  # gcsfs makes 6, with pauses that add up to half a minute; three take about 4 s


def connect(root: str, **options: Any) -> FileStorage:
    """Return the store at `bucket/folder`.

    The class is the one of `gcsfs.core`: the one that the package itself exports also asks another service of Google's
    about each bucket, which no other server has, and waits a minute for its answer.

    Args:
        root: Bucket and folder.
        **options: What gcsfs takes. A server of one's own (`endpoint_url`) is asked without credentials, unless some
            are given: the login of this machine is for Google.
    """
    if options.get("endpoint_url") and options.get("token") is None:
        options["token"] = "anon"  # noqa: S105  gcsfs's word for "no token"
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS)
    defaults: dict[str, Any] = {
        "requests_timeout": timeout,
        "session_kwargs": AS_STORED,
        "use_listings_cache": False,
        "skip_instance_cache": True,
    }
    fs = GCSFileSystem(**{**defaults, **options})
    request = getattr(GCSFileSystem._request, "__wrapped__", None)  # noqa: SLF001  no public way to bound the retries
    if request is not None:
        fs._request = types.MethodType(retry_request(retries=_ATTEMPTS)(request), fs)  # noqa: SLF001  as above
    return FileStorage(fs, root, location=f"gs://{root}")

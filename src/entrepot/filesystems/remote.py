"""Any file system that fsspec knows, by URL."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from entrepot.filesystems._hiding import hidden, revealed
from entrepot.filesystems._locations import check_folder
from entrepot.filesystems._s3 import open_s3
from entrepot.filesystems.base import StorageBlock, import_adapter, shared
from entrepot.protocols.storage import Storage
from entrepot.storage import open_storage
from entrepot.storage.outage import without_userinfo

__all__ = ["RemoteFileSystem"]

_KEY_SCHEMES: Final = frozenset({"s3", "s3a"})
_NO_STORES: Final = frozenset(
    {
        *("blockcache", "cached", "filecache", "simplecache"),
        *("libarchive", "tar", "zip"),
        *("dvc", "git"),
        *("async_wrapper", "asynclocal", "asyncwrapper", "block", "chained", "dask", "data", "dir", "generic", "lazy"),
        "reference",
    }
)
"""Protocols of fsspec that are no place but open others, by URLs and options of any kind, files of this machine too.

Whoever can save a block would choose what runs here: `reference` fills in templates, which are code before fsspec
sandboxed them; `dask` connects to a scheduler, and unpickles what that says.
"""

_PROTOCOL: Final = "protocol"
_ADAPTERS: Final = {
    **dict.fromkeys(("gs", "gcs"), ("entrepot.filesystems._gcsfs", "gcsfs", "gcp")),
    **dict.fromkeys(("az", "abfs", "abfss"), ("entrepot.filesystems._adlfs", "adlfs", "azure")),
    **dict.fromkeys(("s3", "s3a"), ("s3fs", "s3fs", "aws")),
}


class RemoteFileSystem(StorageBlock):
    """A folder on any file system that fsspec knows: SFTP, SMB, WebDAV, S3, and many more.

    A user name and password in the URL move into `settings`, where they are secrets, as is every value there whose name
    sounds like one (`key`, `secret`, `token`, `password`, ...).
    """

    _block_type_name: ClassVar[str] = "Remote File System"
    _block_type_slug: ClassVar[str] = "remote-file-system"
    _description: ClassVar[str] = "Keep results and files on any file system that fsspec knows."

    basepath: str = Field(description="The URL of a folder: 'smb://host/share/folder', 's3://bucket/folder'.")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="Options of that file system; secrets in it are kept as secrets."
    )

    @model_validator(mode="before")
    @classmethod
    def _move_credentials(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("basepath"), str):
            return data
        settings = data.get("settings")
        if settings is not None and not isinstance(settings, dict):
            return data
        basepath, found = _without_userinfo(data["basepath"])
        return {**data, "basepath": basepath, "settings": {**found, **(settings or {})}}

    @field_validator("basepath")
    @classmethod
    def _check_basepath(cls, value: str) -> str:
        # What is assigned later comes here only.
        url, found = _without_userinfo(value)
        if found:
            raise ValueError("it has credentials in it: put them into settings")
        return url

    @field_validator("settings")
    @classmethod
    def _check_settings(cls, value: dict[str, Any]) -> dict[str, Any]:
        if _PROTOCOL in value:  # which fsspec takes in the place of that in the URL
            raise ValueError("the protocol is that of the URL: write it there")
        return hidden(value)

    def as_storage(self) -> Storage:
        """Return the folder as a storage. It connects when it is first used.

        Raises:
            ConfigurationError: If what that file system needs is not installed, or the settings make no client.
            StorageUnreachableError: If it is one that connects at once, and there is no answer.
        """
        scheme, _, place = self.basepath.partition("://")
        location = without_userinfo(self.basepath)
        connect: Callable[..., Storage] = functools.partial(open_storage, self.basepath)
        if scheme in _ADAPTERS:
            module, needs, extra = _ADAPTERS[scheme]
            adapter = import_adapter(module, needs=needs, extra=extra, slug=self._block_type_slug)
            if scheme in _KEY_SCHEMES:
                connect = functools.partial(open_s3, self.basepath)
            else:
                place = place.strip("/")
                connect = functools.partial(adapter.connect, place)
        return shared(scheme, place, self._options, connect, location=location)

    def _options(self) -> dict[str, Any]:
        """Return what the file system takes."""
        options: dict[str, Any] = revealed(self.settings)
        return options


def _without_userinfo(url: str) -> tuple[str, dict[str, Any]]:
    """Return a checked URL without user name and password, and these as settings.

    Raises:
        ValueError: If it is no URL of a folder. It is not repeated: it may hold a password.
    """
    try:
        parts = urlsplit(url.strip())
        user, password, host, port = parts.username, parts.password, parts.hostname, parts.port
    except ValueError:
        raise ValueError("it cannot be understood as a URL; write 'protocol://host/folder'") from None
    if "://" not in url or not parts.scheme:
        raise ValueError("it is no URL; write 'protocol://host/folder', or use LocalFileSystem for a folder here")
    if parts.scheme in {"file", "local"}:
        raise ValueError("it is a folder on this machine: use LocalFileSystem")
    if "::" in url.partition("://")[0]:
        raise ValueError("it is a chain of file systems: name the store itself")
    if parts.scheme in _NO_STORES:
        raise ValueError(
            f"{parts.scheme}:// is no store: it opens another one, which a stored block must not choose; name that"
            " itself, or open it in your program"
        )
    if parts.query or parts.fragment:
        raise ValueError("it has a query or a fragment, which the URL of a folder cannot have; use settings")
    check_folder(parts.path.strip("/"))
    if user is None and password is None:
        return url.strip().rstrip("/"), {}
    names = ("key", "secret") if parts.scheme in _KEY_SCHEMES else ("username", "password")
    found: dict[str, Any] = {
        name: SecretStr(unquote(value)) for name, value in zip(names, (user, password), strict=True) if value
    }
    # The host as it was written, since bucket names may be in mixed case.
    netloc = parts.netloc.rpartition("@")[2] if host is not None or port is not None else ""
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", "")), found

"""Any file system that fsspec knows, by URL."""

import re
from typing import Any, ClassVar, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from entrepot.filesystems._locations import check_folder
from entrepot.filesystems.base import StorageBlock, import_adapter, revealed, shared
from entrepot.protocols.storage import Storage
from entrepot.storage import open_storage

__all__ = ["RemoteFileSystem"]

# Names under which people keep secrets in the options of file systems: a value there never shows.
_SOUNDS_SECRET: Final = re.compile(r"secret|token|passw|passphrase|credential|connection_string|(?:^|_)key(?:$|_)|pkey")
_NOT_SECRET: Final = frozenset({"key_filename"})
_KEY_SCHEMES: Final = frozenset({"s3", "s3a"})
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

    basepath: str = Field(description="The URL of a folder: 'sftp://host/folder', 's3://bucket/folder'.")
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
        return _hidden(value)

    def as_storage(self) -> Storage:
        """Return the folder as a storage. It connects when it is first used.

        Raises:
            ConfigurationError: If what that file system needs is not installed, or the settings make no client.
        """
        scheme, _, place = self.basepath.partition("://")
        options: dict[str, Any] = revealed(self.settings)
        if scheme not in _ADAPTERS:
            return shared(scheme, place, options, lambda: open_storage(self.basepath, **options))
        module, needs, extra = _ADAPTERS[scheme]
        adapter = import_adapter(module, needs=needs, extra=extra, slug=self._block_type_slug)
        if scheme in _KEY_SCHEMES:
            return shared(scheme, place, options, lambda: open_storage(self.basepath, **options))
        root = place.strip("/")
        return shared(scheme, root, options, lambda: adapter.connect(root, **options))


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


def _hidden(settings: dict[Any, Any]) -> dict[Any, Any]:
    """Return settings with every text whose name sounds like a secret made one, at any depth."""
    return {name: _hidden_value(str(name), value) for name, value in settings.items()}


def _hidden_value(name: str, value: Any) -> Any:
    sounds = _SOUNDS_SECRET.search(name.lower()) is not None and name not in _NOT_SECRET
    match value:
        case str() if sounds:
            return SecretStr(value)
        case dict():
            # All of what a secret's name covers: a service account is a dict under "token".
            return {key: _hidden_value(name if sounds else str(key), item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(_hidden_value(name, item) for item in value)
        case _:
            return value

"""From a path or a URL to a store."""

import os
from typing import Any
from urllib.parse import unquote, urlsplit

from entrepot.errors import ConfigurationError
from entrepot.protocols.storage import Storage
from entrepot.storage.local import LocalStorage
from entrepot.storage.memory import MemoryStorage
from entrepot.storage.outage import without_userinfo

__all__ = ["open_storage"]


def open_storage(spec: str | os.PathLike[str], **options: Any) -> Storage:
    """Return the store that a path or URL names.

    Args:
        spec: A folder (`results`, `~/results`, `file:///data`), `memory://name` (one store for each name in this
            process), or the URL of any fsspec file system (`s3://bucket/folder`).
        **options: For folders `create`; for URLs what `FileStorage.from_url` takes.

    Raises:
        ConfigurationError: If it names nothing that can be opened, or an option is not one.
    """
    if not isinstance(spec, str | os.PathLike) or not os.fspath(spec):
        raise ConfigurationError(
            f"a store is named by a path or a URL such as 's3://bucket/folder', not by {spec!r}", setting="storage"
        )
    text = os.fspath(spec)
    protocol, found, rest = text.partition("://")
    if not found or isinstance(spec, os.PathLike):
        return _folder(text, text, options)
    if protocol in {"file", "local"}:
        return _folder(_path_of(text), text, options)
    if protocol == "memory":
        _only((), options, text)
        return MemoryStorage.named(rest.strip("/"))
    from entrepot.storage.files import FileStorage  # noqa: PLC0415  fsspec, only for those who use it

    return FileStorage.from_url(text, **options)


def _folder(path: str, shown: str, options: dict[str, Any]) -> LocalStorage:
    _only(("create",), options, shown)
    return LocalStorage(path, **options)


def _path_of(url: str) -> str:
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"} or not parts.path:
        raise ConfigurationError(
            f"{without_userinfo(url)} names another machine: a file URL has three slashes, as in file:///data",
            setting="storage",
        )
    return unquote(parts.path)


def _only(allowed: tuple[str, ...], options: dict[str, Any], shown: str) -> None:
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        known = f"known: {', '.join(allowed)}" if allowed else "it takes none"
        raise ConfigurationError(f"{shown} has no option {unknown[0]!r}; {known}", setting=unknown[0])

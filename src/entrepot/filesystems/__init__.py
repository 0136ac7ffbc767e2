"""Storage blocks: configuration that `as_storage()` turns into a `Storage`.

Each class is imported when it is first asked for, so that looking up one of them imports only that one.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entrepot.filesystems.azure import Azure as Azure
    from entrepot.filesystems.base import StorageCheck as StorageCheck
    from entrepot.filesystems.gcs import GCS as GCS
    from entrepot.filesystems.local import LocalFileSystem as LocalFileSystem
    from entrepot.filesystems.remote import RemoteFileSystem as RemoteFileSystem
    from entrepot.filesystems.s3 import S3 as S3
    from entrepot.filesystems.sftp import SFTP as SFTP

_HOMES = {
    "GCS": "gcs",
    "S3": "s3",
    "SFTP": "sftp",
    "Azure": "azure",
    "LocalFileSystem": "local",
    "RemoteFileSystem": "remote",
    "StorageCheck": "base",
}

__all__ = ["GCS", "S3", "SFTP", "Azure", "LocalFileSystem", "RemoteFileSystem", "StorageCheck"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

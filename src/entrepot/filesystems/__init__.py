"""Storage blocks: configuration that `as_storage()` turns into a `Storage`.

Each class is imported when it is first asked for, so that looking up one of them imports only that one.
"""

from typing import TYPE_CHECKING

from entrepot._lazy import lazy_names

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

__getattr__, __dir__ = lazy_names(__name__, _HOMES)

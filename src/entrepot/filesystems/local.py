"""A folder on this machine."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from entrepot.filesystems.base import StorageBlock
from entrepot.protocols.storage import Storage
from entrepot.storage import LocalStorage

__all__ = ["LocalFileSystem"]


class LocalFileSystem(StorageBlock):
    """A folder on this machine, or on a mount that it has."""

    _block_type_name: ClassVar[str] = "Local File System"
    _block_type_slug: ClassVar[str] = "local-file-system"
    _description: ClassVar[str] = "Keep results and files in a folder on this machine."

    basepath: Path | None = Field(
        default=None,
        description="The folder; '~' is the home folder. By default the current folder of whoever uses the block.",
    )

    def as_storage(self) -> Storage:
        """Return the folder as a storage; it is made when something is first written."""
        return LocalStorage(Path.cwd() if self.basepath is None else self.basepath.expanduser())

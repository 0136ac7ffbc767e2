"""Rename that refuses to replace (Linux `renameat2` with `RENAME_NOREPLACE`), which Python does not offer."""

import ctypes
import errno
import os

__all__ = ["rename_exclusively"]

_NOREPLACE = 1


def rename_exclusively(source: int, old: str, folder: int, new: str) -> None:
    """Rename a file of one open folder into another, in one step, unless `new` is taken.

    Raises:
        FileExistsError: If `new` is taken.
        OSError: ENOSYS or EINVAL where the system or the file system cannot do this, and whatever else.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), new)
    if call(source, os.fsencode(old), folder, os.fsencode(new), ctypes.c_uint(_NOREPLACE)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), new)

"""A disk of its own that can be filled to the last page: a small tmpfs, where this process may mount one."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["Disk", "small_disk"]

PAGE = 4096


class Disk:
    """A small disk.

    Args:
        path: Where it is mounted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, *, pages_left: int = 0) -> None:
        """Leave only so many pages free."""
        with self._filler.open("ab", buffering=0) as file:
            while self.pages_free() > pages_left:
                file.write(bytes(PAGE))
        assert self.pages_free() == pages_left

    def free(self) -> None:
        """Make room again."""
        self._filler.unlink()

    def pages_free(self) -> int:
        """Return how many pages are free."""
        return os.statvfs(self.path).f_bavail


@contextmanager
def small_disk(path: Path, *, pages: int = 128) -> Iterator[Disk]:
    """Mount a disk of so many pages; skip the test where nobody may."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={pages * PAGE},mode=700", "tmpfs", str(path)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("only root can mount a small disk")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], timeout=60, check=True)

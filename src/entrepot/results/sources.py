"""The source of functions by the digest that keys have of them: what `entrepot cache explain` makes diffs of.

It is kept in the home folder, readable to its owner only, and never in a result store: a store may be shared, and
source may say things that are not for everybody who shares it. What is lost here costs a diff, and nothing else; so
nothing here is durable, and no error stops a run.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from entrepot._folders import make_folders
from entrepot._secrets import mask

__all__ = ["KeptSources"]

_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_LONGEST: Final = 64 << 10  # characters of one text; the rest is cut off
_MOST: Final = 4000  # texts; beyond that the oldest quarter goes
_KNOWN: Final = 20_000


class KeptSources:
    """The texts in one folder.

    Args:
        folder: Where. It is made by the first text, 0700.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = set()  # what this process has seen there

    def read(self, digest: str) -> str | None:
        """Return the text that a digest stands for, or None if it is not here."""
        if not _DIGEST.match(digest):
            return None
        try:
            return (self._folder / f"{digest}.py").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def keep(self, digests: Iterable[str], texts: Callable[[], Mapping[str, str]]) -> None:
        """Keep the texts of digests that are not here yet.

        Args:
            digests: What a key says.
            texts: Returns the texts by digest; it is only asked if some are missing.
        """
        new = [digest for digest in digests if digest not in self._known and _DIGEST.match(digest)]
        if not new:
            return
        if len(self._known) > _KNOWN:
            self._known.clear()
        self._known.update(new)  # whatever comes of it: one try is enough for a process
        missing = [digest for digest in new if not self._is_here(digest)]
        if not missing:
            return
        found = texts()
        make_folders(str(self._folder))
        for digest in missing:
            if digest in found:
                # More is looked at than is kept: a secret that lies across the end is masked, not cut.
                self._write(digest, mask(found[digest][: 2 * _LONGEST])[:_LONGEST])
        self._thin_out()

    def _is_here(self, digest: str) -> bool:
        try:
            os.utime(self._folder / f"{digest}.py")  # it is in use: others are older now
        except OSError:
            return False
        return True

    def _write(self, digest: str, text: str) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=".", suffix=".tmp")  # 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            Path(name).replace(self._folder / f"{digest}.py")
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise

    def _thin_out(self) -> None:
        """Remove the oldest texts where there are too many."""
        with os.scandir(self._folder) as entries:
            files = [entry for entry in entries if entry.name.endswith((".py", ".tmp"))]
        if len(files) <= _MOST:
            return
        ages = []
        for entry in files:
            with contextlib.suppress(FileNotFoundError):
                ages.append((entry.stat().st_mtime, entry.path))
        for _, path in sorted(ages)[: len(ages) // 4]:
            with contextlib.suppress(FileNotFoundError):
                Path(path).unlink()

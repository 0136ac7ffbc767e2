"""The highest version of each block that was seen from here, so that a newest version that went away is noticed.

A mark is a file without content, `<folder>/<store>/<type>/<name>/00000005`: its name is all that it says. To raise one,
the higher file is made before the lower ones are removed, so that no lock is needed and no crash lowers it. Marks are
no evidence: they are neither sealed nor durable, and where they cannot be read or written there are none.
"""

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from entrepot.protocols.documents import DocumentRef

__all__ = ["Marks"]

_NAME: Final = re.compile(r"[0-9]{8}\Z", re.ASCII)


class Marks:
    """Marks of the blocks of one store.

    Args:
        folder: Where marks of all stores lie; made when there is something to mark.
        location: Which store this is.
        fixed: Whether they are only read.
    """

    def __init__(self, folder: Path, location: str, *, fixed: bool = False) -> None:
        self._given = folder, location
        self._fixed = fixed
        self._known: dict[tuple[str, str], int] = {}  # marks that were read here: they only rise
        self._folder = os.path.join(folder, hashlib.sha256(location.encode()).hexdigest()[:16])  # noqa: PTH118  text: it is read on every load

    def as_they_are(self) -> Self:
        """Return the same marks, for somebody who changes nothing."""
        return type(self)(*self._given, fixed=True)

    def highest(self, slug: str, name: str) -> int:
        """Return the highest version that was seen, or 0."""
        highest = self._known[slug, name] = max(map(int, self._found(slug, name)), default=0)
        return highest

    def slugs(self, name: str) -> list[str]:
        """Return the types of which a block of this name was seen, in no order."""
        try:
            kinds = os.listdir(self._folder)  # noqa: PTH208  as below
        except OSError:
            return []
        return [slug for slug in kinds if self._found(slug, name)]

    def any(self) -> bool:
        """Return whether any block of this store was seen."""
        return any(files for _, _, files in os.walk(self._folder))

    def raise_to(self, ref: DocumentRef) -> None:
        """Remember that this version was seen; a lower one than before changes nothing."""
        if self._fixed or self._known.get((ref.slug, ref.name), 0) >= ref.version:
            return
        found = self._found(ref.slug, ref.name)
        if max(map(int, found), default=0) >= ref.version:
            return
        place = Path(self._folder, ref.slug, ref.name)
        with suppress(OSError):
            for folder in (*reversed(place.parents), place):
                if not folder.is_dir():
                    folder.mkdir(mode=0o700, exist_ok=True)
            (place / f"{ref.version:08d}").touch(mode=0o600)
            for lower in found:
                (place / lower).unlink(missing_ok=True)

    def forget(self, slug: str, name: str) -> None:
        """Forget a block, whose numbers will start again."""
        self._known.pop((slug, name), None)
        for each in self._found(slug, name):
            with suppress(OSError):
                Path(self._folder, slug, name, each).unlink(missing_ok=True)

    def _found(self, slug: str, name: str) -> list[str]:
        try:
            return [each for each in os.listdir(f"{self._folder}/{slug}/{name}") if _NAME.match(each)]  # noqa: PTH208  half the time of pathlib's
        except OSError:
            return []

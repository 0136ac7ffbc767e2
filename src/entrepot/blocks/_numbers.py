"""Which number the next version of a block has, also where somebody plants high ones to use them up."""

from collections.abc import Callable
from typing import Final

from entrepot.errors import IntegrityError, UnknownKeyError
from entrepot.protocols.documents import DocumentRef

__all__ = ["next_version"]

_LAST: Final = 99_999_999
_USUAL: Final = 10_000_000  # nobody saves that often: what is above has to verify, or is not counted on from


def next_version(
    latest: DocumentRef | None, seen: DocumentRef, check: Callable[[DocumentRef], object], *, location: str
) -> DocumentRef:
    """Return the next version: no number is used twice, also where the newest ones were taken away.

    To start again with 1 where the numbers are used up would let old versions be put back, and be the newest.

    Args:
        latest: The newest version in the store, or None.
        seen: The newest that was ever seen from here, version 0 for none.
        check: Opens a version, and raises if it does not verify.
        location: The store, for people.

    Raises:
        IntegrityError: If the newest version was planted to use the numbers up.
    """
    number = max(0 if latest is None else latest.version, seen.version) + 1
    is_planted = number > _LAST
    if number > _USUAL and latest is not None:
        try:
            check(latest)
        except (IntegrityError, UnknownKeyError):
            is_planted = True
    if not is_planted:
        return DocumentRef(seen.slug, seen.name, number)
    address, tail = f"{seen.slug}/{seen.name}", ".deleted.json" if latest is not None and latest.deleted else ".json"
    raise IntegrityError(
        f"the block {address} was not changed: version {number - 1} has so high a number that somebody planted it, to"
        f" use the numbers up; it is {address}/{number - 1:08d}{tail} in {location}: remove it, and see who can write"
        " there",
        location=location,
    )

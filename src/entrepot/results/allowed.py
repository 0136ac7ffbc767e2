"""Which serializers a store allows: the names that it was given, and whether there are such."""

from collections.abc import Collection
from typing import Final

from entrepot.errors import OptionError
from entrepot.serializers import check_allowed

__all__ = ["allowed_names", "check_once"]

_checked: Final[set[frozenset[str]]] = set()


def allowed_names(allow: Collection[str] | None) -> frozenset[str] | None:
    """Return the names as a set; None, which allows all, as it is.

    Raises:
        OptionError: If it is no set of names.
    """
    if allow is None:
        return None
    if isinstance(allow, str) or not all(isinstance(name, str) for name in allow):
        raise OptionError(
            f"allow={allow!r} is no set of names of serializers; write {{'json', 'parquet'}}", option="allow"
        )
    return frozenset(allow)


def check_once(allow: frozenset[str] | None) -> None:
    """See that allowed names are those of serializers, once for each set.

    To be called before something is written, or where nothing may be read, and not when a store is opened: tools that
    only look at one have not imported what registers a program's own serializers.

    Raises:
        UnknownNameError: If one is not.
    """
    if allow is not None and allow not in _checked:
        check_allowed(allow)
        _checked.add(allow)

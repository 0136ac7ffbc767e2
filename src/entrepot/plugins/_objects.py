"""Objects that claim names: where they come from, and when two of them are the same thing defined twice."""

from __future__ import annotations

import sys
import weakref

from entrepot.plugins._claims import OWN_DISTRIBUTION, Claim

TYPE_CHECKING = False  # `typing` takes longer to import than a look-up among 300 distributions
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final, TypeVar

    T = TypeVar("T")

__all__ = [
    "both",
    "file",
    "is_imported",
    "is_own",
    "module",
    "origin",
    "owner",
    "reference",
    "same_definition",
    "target",
]

_MAIN_MODULES: Final = frozenset({"__main__", "__mp_main__"})  # the second is what spawned processes call the first


def reference(obj: T, earlier: T | None = None) -> Callable[[], T | None]:
    """Return what gives an object for as long as something keeps it, and then an earlier one, if there is any.

    To unpickle a class of a program makes it once more, only to find that it is here; what was made for that is gone
    in a moment.
    """
    try:
        now: Callable[[], T | None] = weakref.ref(obj)  # a class is known while something keeps it, not for ever
    except TypeError:
        return lambda: obj
    if earlier is None or earlier is obj:
        return now
    then = reference(earlier)
    return lambda: then() if (found := now()) is None else found


def module(obj: object) -> str:
    """Return the name of the module that an object is of."""
    return str(getattr(obj, "__module__", None) or type(obj).__module__)


def target(obj: object) -> str:
    """Return where an object is, as entry points say it: `module:attribute`."""
    return f"{module(obj)}:{getattr(obj, '__qualname__', None) or type(obj).__qualname__}"


def origin(obj: object) -> str:
    """Return where an object is, for messages."""
    return f"{getattr(obj, '__qualname__', None) or type(obj).__qualname__} in module {module(obj)}"


def owner(claim: Claim) -> str:
    """Return whose a claim is, for messages."""
    return str(claim) if claim.distribution else f"this program ({claim.target})"


def both(owners: Iterable[str]) -> str:
    """Return owners in one line."""
    return " and ".join(repr(owner) for owner in owners)


def is_own(obj: object) -> bool:
    """Return whether an object is of this distribution."""
    return module(obj).partition(".")[0] == OWN_DISTRIBUTION


def is_imported(obj: object) -> bool:
    """Return whether the module of an object is there."""
    return module(obj) in sys.modules


def same_definition(one: object, other: object) -> bool:
    """Return whether two objects are one, or one definition that ran twice."""
    if one is other:
        return True
    modules = module(one), module(other)
    if target(one).partition(":")[2] != target(other).partition(":")[2]:
        return False
    # A script that runs as __main__ may be imported under its own name as well.
    return modules[0] == modules[1] or (
        bool(_MAIN_MODULES.intersection(modules))
        and file(modules[0]) is not None
        and file(modules[0]) == file(modules[1])
    )


def file(module: str) -> str | None:
    """Return the file of an imported module, or None."""
    return getattr(sys.modules.get(module), "__file__", None)

"""Functions that say what values of a type stand for in cache keys, where the type does not say so itself.

    @hasher(sqlite3.Connection)
    def database(connection):
        return connection.execute("PRAGMA database_list").fetchall()

What the function returns is hashed in the value's place, under the name of the value's class. The function's own code
counts as well, whatever the cache policy covers: a hasher that was changed may tell apart what it took for the same
before, so no result is found that was kept under the old one.

A package offers hashers as entry points of the group `entrepot.hashers`. Their names are those of the types,
`module.QualName`: nothing is imported before a value of such a type is met that nobody else knows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from entrepot.errors import OptionError, PluginConflictError
from entrepot.hashing._encoder import ENCODERS, Encoder, Encoding, Refused
from entrepot.hashing._labels import class_label, with_article
from entrepot.plugins import HASHERS

__all__ = ["FOUND", "Hasher", "hasher", "hasher_encoding", "installed_hasher", "registered_hasher"]

F = TypeVar("F", bound=Callable[[Any], object])

FOUND: Final[WeakKeyDictionary[type, Encoding]] = WeakKeyDictionary()
"""How values are written, as far as it was found out, by class; a class that is gone leaves no trace."""


@dataclass(frozen=True, slots=True)
class Hasher:
    """What was registered for a type.

    Attributes:
        fn: Takes a value, and returns what it stands for.
        subclasses: Whether it takes instances of subclasses too.
    """

    fn: Callable[[Any], object]
    subclasses: bool = False


_registered: Final[WeakKeyDictionary[type, Hasher]] = WeakKeyDictionary()


def hasher(*types: type, subclasses: bool = False, replace: bool = False) -> Callable[[F], F]:
    """Register a function that says what values of a type stand for in cache keys; for use as a decorator.

    The function takes a value and returns another one that can be hashed: a text, a tuple of fields, an array. Two
    values for which it returns the same (and whose classes are the same) are taken for the same.

    Args:
        *types: The classes. One that registers here goes before what the class says itself (`__entrepot_key__`).
        subclasses: Whether instances of subclasses are given to it too. They count under the name of their own class.
            Without this, a subclass is another type, of which nothing is known.
        replace: Take the place of another function that was registered for the type.

    Raises:
        OptionError: If something is no class, or is plain data, which is hashed as it is.
        PluginConflictError: If another function is registered for the type.
    """
    if not types:
        raise OptionError(
            "hasher() takes the types that the function is for, as in @hasher(Connection)", option="types"
        )
    for cls in types:
        if not isinstance(cls, type):
            raise OptionError(
                f"hasher() takes classes, as in @hasher(Connection), not {with_article(type(cls))}", option="types"
            )
        if cls in ENCODERS or cls in (object, type):
            why = "plain data is hashed as it is" if cls in ENCODERS else "it would take everything"
            raise OptionError(f"no hasher can be registered for {cls.__name__}: {why}", option="types")

    def register(fn: F) -> F:
        if not callable(fn):
            raise OptionError(f"a hasher is a function of one value, not {with_article(type(fn))}", option="fn")
        for cls in types:
            held = _registered.get(cls)
            if held is not None and not replace and _name(held.fn) != _name(fn):
                raise PluginConflictError(
                    f"the hasher for {class_label(cls)} is {_name(held.fn)} already, and {_name(fn)} would be a second "
                    f"one; keep one of them, or register it with replace=True",
                    group=HASHERS.group,
                    name=f"{cls.__module__}.{cls.__qualname__}",
                    distributions=[_name(held.fn), _name(fn)],
                )
            _registered[cls] = Hasher(fn, subclasses)
        FOUND.clear()  # a class that was known otherwise, or a subclass
        return fn

    return register


def registered_hasher(cls: type, base: type) -> Hasher | None:
    """Return what this program registered for `base`, one of the bases of `cls` or `cls` itself, if it takes `cls`."""
    found = _registered.get(base)
    return found if found is not None and (base is cls or found.subclasses) else None


def installed_hasher(cls: type) -> Hasher | None:
    """Return the hasher that an installed package offers for a class or, if it takes subclasses, for one of its bases.

    Raises:
        PluginConflictError: If two packages offer one.
        PluginLoadError: If it cannot be imported.
    """
    claimed = frozenset(HASHERS.names())
    for base in cls.__mro__:
        name = f"{base.__module__}.{base.__qualname__}"
        if name not in claimed:
            continue
        fn = HASHERS.get(name)
        known = _registered.get(base)  # the import may have registered it, and said more than its name does
        found = Hasher(fn) if known is None else known
        if base is cls or found.subclasses:
            return found
    return None


def hasher_encoding(found: Hasher) -> Encoding:
    """Return how to write the values that a hasher takes."""
    fn = found.fn

    def form(encoder: Encoder, value: Any) -> bytes:
        cls = type(value)
        try:
            stands_for = fn(value)
        except Exception as error:  # noqa: BLE001  of any class: the function is the user's
            why = f"whose hasher {_name(fn)} raised {type(error).__name__} (mend it)"
            raise Refused(with_article(cls), why, cause=error) from None
        if stands_for is value:
            raise Refused(with_article(cls), f"which its hasher {_name(fn)} gave back as it is (return a part of it)")
        key = encoder.part(f".<{_name(fn)}>", stands_for)
        return encoder.named("hasher", encoder.instance_of(cls), encoder.code(fn), key)

    def encoding(encoder: Encoder, value: Any) -> bytes:
        return encoder.container(value, form)

    return encoding


def _name(fn: Callable[..., object]) -> str:
    name = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    return f"{getattr(fn, '__module__', None) or type(fn).__module__}.{name}"


def _check(name: str, claimed: object) -> None:  # noqa: ARG001  the signature of every check
    if isinstance(claimed, type) or not callable(claimed):
        raise TypeError(f"it is {with_article(type(claimed))}, and a hasher is a function of one value")


HASHERS.set_check(_check)

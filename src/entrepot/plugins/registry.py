"""From a name to the object behind it, importing only that one.

A name has one owner: a built-in, a class that the user's program defined, or the entry point of one installed
distribution. Two owners are an error that names both, whichever was there first.
"""

import gc
import importlib
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Literal, NoReturn, TypeAlias, TypeVar, cast

from entrepot._sentinels import MISSING, Missing
from entrepot._version import __version__
from entrepot.errors import EntrepotError, PluginConflictError, PluginLoadError, UnknownNameError
from entrepot.plugins import discovery
from entrepot.plugins.builtin import BUILTINS, KNOWN_ELSEWHERE
from entrepot.plugins.discovery import OWN_DISTRIBUTION, Claim

__all__ = ["PluginEntry", "PluginRegistry", "PluginStatus"]

T = TypeVar("T")

PluginStatus: TypeAlias = Literal["built-in", "available", "loaded", "conflict", "broken"]

_LONGEST_REASON: Final = 500
_MAIN_MODULES: Final = frozenset({"__main__", "__mp_main__"})  # the second is what spawned processes call the first


@dataclass(frozen=True, slots=True)
class PluginEntry:
    """What a registry knows of one claim to one name.

    Attributes:
        group: The entry point group.
        name: The name that is claimed.
        target: Where the object is: `module:attribute`.
        distribution: Whose it is; "" for a class that this program defined itself.
        version: The distribution's version; "" where there is none.
        status: "built-in"; "available" (not imported yet); "loaded"; "conflict" (claimed twice); "broken".
        detail: For "broken" and "conflict", why; else "".
    """

    group: str
    name: str
    target: str
    distribution: str
    version: str
    status: PluginStatus
    detail: str = ""


class PluginRegistry(Generic[T]):
    """Names of one kind of plugin.

    Look-ups may come from any thread. No lock is held while a plugin is imported, since its import may come back here.

    Args:
        group: The entry point group.
        kind: What a name is a name of, for messages: `serializer`.
        check: Called with a name and the object that was loaded for it; raises if the object is not one of this kind.
        known_elsewhere: What to do about names that are not here but that people ask for, by name.
        builtins: Our own names, as `module:attribute`; by default those of the group in `entrepot.plugins.builtin`.
        unknown: The error for unknown names.
    """

    def __init__(
        self,
        group: str,
        *,
        kind: str,
        check: Callable[[str, object], None] | None = None,
        known_elsewhere: Mapping[str, str] | None = None,
        builtins: Mapping[str, str] | None = None,
        unknown: type[UnknownNameError] = UnknownNameError,
    ) -> None:
        self.group = group
        self.kind = kind
        self._check = check
        self._known_elsewhere = KNOWN_ELSEWHERE.get(group, {}) if known_elsewhere is None else known_elsewhere
        self._builtins = BUILTINS.get(group, {}) if builtins is None else builtins
        self._unknown = unknown
        self._lock = threading.RLock()
        self._resolved: dict[str, T] = {}
        self._registered: dict[str, Callable[[], T | None]] = {}
        self._failures: dict[str, str] = {}

    def __repr__(self) -> str:
        """Return the group, and nothing that would need a scan."""
        return f"<{type(self).__name__} {self.group}>"

    def set_check(self, check: Callable[[str, object], None]) -> None:
        """Set what says whether a loaded object is one of this kind; the layer that defines the kind calls this."""
        self._check = check

    def get(self, name: str) -> T:
        """Return the object behind a name; the first time, import it, and it alone.

        Raises:
            UnknownNameError: If nothing claims the name; the message lists what is known.
            PluginConflictError: If two distributions (or one and this program) claim it.
            PluginLoadError: If what claims it cannot be imported or is not of this kind. Asking again tries again.
        """
        if not isinstance(name, str):
            self._raise_unknown(f"an object of type {type(name).__name__}")
        found = self._resolved.get(name, MISSING)
        return self._resolve(name) if found is MISSING else found

    def register(self, name: str, obj: T, *, replace: bool = False) -> None:
        """Make an object of this program known, for as long as it lives.

        Defining the same class again (the same qualified name in the same module or file: a notebook cell run twice,
        a reload) replaces it. What an entry point names may register itself too, while it is imported or before.

        Args:
            name: Its name.
            obj: Usually a class.
            replace: Take the name from another class of this program.

        Raises:
            PluginConflictError: If the name is a built-in's or another class's.
        """
        if name in self._builtins and not _is_own(obj):
            self._raise_conflict(name, [f"{OWN_DISTRIBUTION} {__version__}", _origin(obj)])
        held = self._registration(name)
        if held is not MISSING and not replace and not _same_definition(held, obj):
            # A class that nothing refers to any more may still wait for the collector: it holds no name.
            del held
            gc.collect()
            held = self._registration(name)
            if held is not MISSING and not _same_definition(held, obj):
                self._raise_conflict(name, [_origin(held), _origin(obj)])
        with self._lock:
            self._registered[name] = _reference(obj)
            self._resolved.pop(name, None)

    def forget(self, name: str) -> None:
        """Undo `register`, and let the next look-up start afresh; an unknown name is fine."""
        with self._lock:
            self._registered.pop(name, None)
            self._resolved.pop(name, None)
            self._failures.pop(name, None)

    def check(self, name: str) -> None:
        """See that something claims a name; imports nothing.

        Raises:
            UnknownNameError: If nothing does; the message has the nearest name, and what is known.
        """
        if name not in self._resolved and name not in self.names():
            self._raise_unknown(name)

    def names(self) -> list[str]:
        """Return every name that something claims, sorted; imports nothing."""
        registered = [name for name in list(self._registered) if self._registration(name) is not MISSING]
        return sorted({*self._builtins, *registered, *discovery.entry_points_of(self.group).claims})

    def report(self, *, load: bool = False) -> list[PluginEntry]:
        """Return every claim to every name, sorted by name; for `entrepot plugins`.

        Args:
            load: Import each plugin first, to find the broken ones; without it only failures so far are known.
        """
        scan = discovery.entry_points_of(self.group)
        names = self.names()
        if load:
            for name in names:
                try:
                    self.get(name)
                except (PluginConflictError, PluginLoadError) as error:
                    with self._lock:
                        self._failures[name] = str(error)
        entries = [entry for name in names for entry in self._entries(name, scan.claims.get(name, ()))]
        entries += [PluginEntry(self.group, "", "", whose, "", "broken", why) for whose, why in scan.unreadable]
        return entries

    # --- finding ----------------------------------------------------------------------------------------------------

    def _resolve(self, name: str) -> T:
        claims = discovery.entry_points_of(self.group).claims.get(name, ())
        builtin = self._builtins.get(name)
        if builtin is not None:
            claims = (Claim(name, builtin, OWN_DISTRIBUTION, __version__), *claims)
        if len(claims) > 1:
            self._raise_conflict(name, [str(claim) for claim in claims])
        registered = self._registration(name)
        if not claims:
            if registered is MISSING:
                self._raise_unknown(name)
            return registered  # not kept: it is known for as long as the program keeps it
        claim = claims[0]
        if registered is not MISSING and _target(registered) == claim.target and _is_imported(registered):
            return registered  # its module was imported before anyone asked by name
        loaded = self._load(claim)
        registered = self._registration(name)  # the import may have registered it
        if builtin is None and registered is not MISSING and not _same_definition(registered, loaded):
            self._raise_conflict(name, [str(claim), _origin(registered)])
        with self._lock:
            self._failures.pop(name, None)
            self._resolved[name] = loaded
        return loaded

    def _load(self, claim: Claim) -> T:
        before = dict(self._registered)
        if claim.name in self._failures:
            importlib.invalidate_caches()  # it may have been repaired a moment ago
        try:
            module, colon, path = claim.target.partition(":")
            if not colon or not module or not path:
                raise ValueError(f"{claim.target!r} is not of the form module:attribute")  # noqa: TRY301  one way out
            loaded: object = importlib.import_module(module.strip())
            for attribute in path.partition("[")[0].strip().split("."):
                loaded = getattr(loaded, attribute)
            if self._check is not None:
                self._check(claim.name, loaded)
        except BaseException as error:  # whatever a plugin raises, SystemExit too, breaks only its own name
            self._drop_half_imported(before)
            if isinstance(error, KeyboardInterrupt):
                raise
            self._raise_broken(claim, error)
        return cast("T", loaded)

    def _drop_half_imported(self, before: Mapping[str, Callable[[], T | None]]) -> None:
        """Forget what a failed import registered: such a class belongs to a module that does not exist."""
        with self._lock:
            for name, reference in list(self._registered.items()):
                obj = reference()
                if before.get(name) is not reference and (obj is None or not _is_imported(obj)):
                    del self._registered[name]

    def _registration(self, name: str) -> T | Missing:
        reference = self._registered.get(name)
        if reference is None:
            return MISSING
        obj = reference()
        return MISSING if obj is None else obj

    def _entries(self, name: str, claims: Iterable[Claim]) -> list[PluginEntry]:
        owners = list(claims)
        if name in self._builtins:
            owners.insert(0, Claim(name, self._builtins[name], OWN_DISTRIBUTION, __version__))
        registered = self._registration(name)
        if registered is not MISSING and (not owners or not self._is_claimed(name, registered, owners)):
            owners.append(Claim(name, _target(registered), "", ""))
        failure = self._failures.get(name, "")
        entries = []
        for claim in owners:
            status: PluginStatus
            detail = ""
            if len(owners) > 1:
                status, detail = "conflict", _both(_owner(other) for other in owners)
            elif failure:
                status, detail = "broken", failure
            elif claim.distribution == OWN_DISTRIBUTION:
                status = "built-in"
            elif name in self._resolved or registered is not MISSING:
                status = "loaded"
            else:
                status = "available"
            entries.append(
                PluginEntry(self.group, name, claim.target, claim.distribution, claim.version, status, detail)
            )
        return entries

    def _is_claimed(self, name: str, registered: T, owners: list[Claim]) -> bool:
        """Return whether a registered object is what an owner of its name points at, as far as that is known."""
        if self._resolved.get(name) is registered:
            return True
        if name in self._builtins:
            return _is_own(registered)
        # An entry point may name a class by a shorter path than where it is defined.
        modules = {claim.target.partition(":")[0].partition(".")[0] for claim in owners}
        return _module(registered).partition(".")[0] in modules

    # --- saying what is wrong -----------------------------------------------------------------------------------------

    def _raise_unknown(self, name: str) -> NoReturn:
        from difflib import get_close_matches  # noqa: PLC0415  only a failure needs it

        known = self.names()
        scan = discovery.entry_points_of(self.group)
        near = get_close_matches(name, known, n=1)
        parts = [f"no {self.kind} named {name[:100]!r}"]
        if name in self._known_elsewhere:
            parts.append(self._known_elsewhere[name])
        elif near:
            whose = scan.claims.get(near[0])
            parts.append(f"did you mean {near[0]!r}" + (f" of {whose[0]}" if whose else ""))
        parts.append(f"known: {', '.join(known) or 'none'}")
        parts += [f"the entry points of {whose} cannot be read ({why})" for whose, why in scan.unreadable]
        if name not in self._known_elsewhere:
            parts.append("if a plugin provides it, install that; if your program defines it, import its module first")
        raise self._unknown("; ".join(parts), group=self.group, name=name, known=known)

    def _raise_conflict(self, name: str, owners: list[str]) -> NoReturn:
        raise PluginConflictError(
            f"the {self.kind} {name!r} is claimed by {_both(owners)}; "
            "uninstall one of them, or give the class another name",
            group=self.group,
            name=name,
            distributions=owners,
        )

    def _raise_broken(self, claim: Claim, error: BaseException) -> NoReturn:
        kind = "" if isinstance(error, EntrepotError) else type(error).__name__
        why = ": ".join(filter(None, [kind, str(error)[:_LONGEST_REASON]]))
        todo = (
            "reinstall entrepot"
            if claim.distribution == OWN_DISTRIBUTION
            else f"upgrade, repair or uninstall {claim.distribution}; nothing else is affected"
        )
        message = f"the {self.kind} {claim.name!r} of {claim} ({claim.target}) cannot be loaded: {why}; {todo}"
        with self._lock:
            self._failures[claim.name] = message
        raise PluginLoadError(message, group=self.group, name=claim.name, distribution=claim.distribution) from error


# --- objects and where they come from ---------------------------------------------------------------------------------


def _reference(obj: T) -> Callable[[], T | None]:
    try:
        return weakref.ref(obj)  # a class is known while something keeps it, not for ever
    except TypeError:
        return lambda: obj


def _module(obj: object) -> str:
    return str(getattr(obj, "__module__", None) or type(obj).__module__)


def _target(obj: object) -> str:
    return f"{_module(obj)}:{getattr(obj, '__qualname__', None) or type(obj).__qualname__}"


def _origin(obj: object) -> str:
    return f"{getattr(obj, '__qualname__', None) or type(obj).__qualname__} in module {_module(obj)}"


def _owner(claim: Claim) -> str:
    return str(claim) if claim.distribution else f"this program ({claim.target})"


def _both(owners: Iterable[str]) -> str:
    return " and ".join(repr(owner) for owner in owners)


def _is_own(obj: object) -> bool:
    return _module(obj).partition(".")[0] == OWN_DISTRIBUTION


def _is_imported(obj: object) -> bool:
    return _module(obj) in sys.modules


def _same_definition(one: object, other: object) -> bool:
    if one is other:
        return True
    modules = _module(one), _module(other)
    if _target(one).partition(":")[2] != _target(other).partition(":")[2]:
        return False
    # A script that runs as __main__ may be imported under its own name as well.
    return modules[0] == modules[1] or (
        bool(_MAIN_MODULES.intersection(modules))
        and _file(modules[0]) is not None
        and _file(modules[0]) == _file(modules[1])
    )


def _file(module: str) -> str | None:
    return getattr(sys.modules.get(module), "__file__", None)

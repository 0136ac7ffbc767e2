"""From a name to the object behind it, importing only that one.

A name has one owner: a built-in, a class that the user's program defined, or the entry point of one installed
distribution. Two owners are an error that names both, whichever was there first.
"""

from __future__ import annotations

import gc
import importlib
from _thread import RLock  # what `threading.RLock` is, without the milliseconds of that import

from entrepot._version import __version__
from entrepot.errors import (
    ConfigurationError,
    EntrepotError,
    PluginConflictError,
    PluginDeniedError,
    PluginLoadError,
    UnknownNameError,
)
from entrepot.plugins import discovery
from entrepot.plugins._claims import OWN, OWN_DISTRIBUTION, PROGRAM, Claim
from entrepot.plugins._objects import (
    both,
    is_imported,
    is_own,
    module,
    origin,
    owner,
    reference,
    same_definition,
    target,
)
from entrepot.plugins._standing import allowed, policy, refusal, spoken_against
from entrepot.plugins.builtin import BUILTINS, EXTRAS, KNOWN_ELSEWHERE

TYPE_CHECKING = False  # `typing` and `dataclasses` take longer to import than a look-up among 300 distributions
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Final, Generic, NoReturn, TypeVar

    from entrepot.plugins.entry import PluginEntry, PluginStatus

    T = TypeVar("T")

    class _Of(Generic[T]):
        """What is generic: a registry of objects of one type."""

else:

    class _Of:
        """The same without `typing`: `PluginRegistry[type]` is `PluginRegistry`."""

        def __class_getitem__(cls, _: object) -> type:
            return cls


__all__ = ["IMPORT_FIRST", "PluginRegistry"]

IMPORT_FIRST: Final = "if your program defines it, import its module first"
"""What the message for an unknown name advises; the command line puts its own option there."""

_LONGEST_REASON: Final = 500


class PluginRegistry(_Of["T"]):
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
        self._lock = RLock()
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
            PluginLoadError: If what claims it cannot be imported, is not of this kind, or needs another version of our
                API. Asking again tries again.
            PluginDeniedError: If the settings do not allow the distribution; what was loaded before stays.
        """
        if not isinstance(name, str):
            self._raise_unknown(f"an object of type {type(name).__name__}")
        found = self._resolved.get(name)
        return self._resolve(name) if found is None else found

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
        if name in self._builtins and not is_own(obj):
            self._raise_conflict(name, [f"{OWN_DISTRIBUTION} {__version__}", origin(obj)])
        held = self._registration(name)
        if held is not None and not replace and not same_definition(held, obj):
            # A class that nothing refers to any more may still wait for the collector: it holds no name.
            del held
            gc.collect()
            held = self._registration(name)
            if held is not None and not same_definition(held, obj):
                self._raise_conflict(name, [origin(held), origin(obj)])
        with self._lock:
            self._registered[name] = reference(obj, None if replace else held)
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
        """Return every name that something claims and the settings allow, sorted; imports nothing."""
        registered = [name for name in list(self._registered) if self._registration(name) is not None]
        claims = discovery.entry_points_of(self.group).claims
        free = not claims or policy() is None  # then no distribution has to be asked for its name
        open_: Iterable[str] = claims if free else [name for name in claims if self._is_open(claims[name])]
        return sorted({*self._builtins, *registered, *open_})

    def report(self, *, load: bool = False) -> list[PluginEntry]:
        """Return every claim to every name, sorted by name; for `entrepot plugins`.

        Args:
            load: Import each plugin first, to find the broken ones; without it only failures so far are known.
        """
        scan = discovery.entry_points_of(self.group)
        names = sorted({*self.names(), *scan.claims})
        if load:
            for name in names:
                try:
                    self.get(name)
                except PluginDeniedError:
                    continue  # as the entry itself says
                except UnknownNameError:
                    continue  # a class of this program that nothing refers to any more: it ended a moment ago
                except (PluginConflictError, PluginLoadError) as error:
                    with self._lock:
                        self._failures[name] = str(error)
        from entrepot.plugins.entry import PluginEntry  # noqa: PLC0415  a dataclass, which no look-up needs

        entries = [
            PluginEntry(self.group, name, claim.target, claim.distribution, claim.version, status, detail)
            for name in names
            for claim, status, detail in self._standing_of(name, scan.claims.get(name, ()))
        ]
        entries += [PluginEntry(self.group, "", "", whose, "", "broken", why) for whose, why in scan.unreadable]
        return entries

    def _is_open(self, claims: Iterable[Claim]) -> bool:
        """Return whether the settings allow a claim, in strict mode by its manifest, too."""
        standing = (spoken_against(self.group, claim) for claim in allowed(claims))
        return any(state is None or state[0] != "denied" for state in standing)

    # --- finding ----------------------------------------------------------------------------------------------------

    def _resolve(self, name: str) -> T:
        claimed = discovery.entry_points_of(self.group).claims.get(name, ())
        claims = allowed(claimed)  # what is denied has no say, and is in nobody's way
        builtin = self._builtins.get(name)
        if builtin is not None:
            claims = (Claim(name, builtin, OWN), *claims)
        if len(claims) > 1:
            self._raise_conflict(name, [str(claim) for claim in claims])
        registered = self._registration(name)
        if not claims:
            if claimed and (registered is None or self._is_claimed(name, registered, claimed)):
                self._raise_denied(claimed[0])
            if registered is None:
                self._raise_unknown(name)
            return registered  # not kept: it is known for as long as the program keeps it
        claim = claims[0]
        self._check_manifest(claim)
        if registered is not None and target(registered) == claim.target and is_imported(registered):
            return registered  # its module was imported before anyone asked by name
        loaded = self._load(claim)
        registered = self._registration(name)  # the import may have registered it
        if builtin is None and registered is not None and not same_definition(registered, loaded):
            self._raise_conflict(name, [str(claim), origin(registered)])
        with self._lock:
            self._failures.pop(name, None)
            self._resolved[name] = loaded
        return loaded

    def _check_manifest(self, claim: Claim) -> None:
        """Refuse what a distribution's own manifest, or the lack of one, speaks against; imports nothing."""
        state, why = spoken_against(self.group, claim) or ("", "")
        if state == "denied":
            self._raise_denied(claim, why)
        if state:
            self._raise_broken(claim, ConfigurationError(why, setting="manifest"))

    def _load(self, claim: Claim) -> T:
        before = dict(self._registered)
        loaded: Any
        if claim.name in self._failures:
            importlib.invalidate_caches()  # it may have been repaired a moment ago
        try:
            module, colon, path = claim.target.partition(":")
            if not colon or not module or not path:
                raise ValueError(f"{claim.target!r} is not of the form module:attribute")  # noqa: TRY301  one way out
            loaded = importlib.import_module(module.strip())
            for attribute in path.partition("[")[0].strip().split("."):
                loaded = getattr(loaded, attribute)
            if loaded is None:
                raise TypeError(f"{claim.target} is None")  # noqa: TRY301  the same
            if self._check is not None:
                self._check(claim.name, loaded)
        except BaseException as error:  # whatever a plugin raises, SystemExit too, breaks only its own name
            self._drop_half_imported(before)
            if isinstance(error, KeyboardInterrupt):
                raise
            self._raise_broken(claim, error)
        found: T = loaded
        return found

    def _drop_half_imported(self, before: Mapping[str, Callable[[], T | None]]) -> None:
        """Forget what a failed import registered: such a class belongs to a module that does not exist."""
        with self._lock:
            for name, reference in list(self._registered.items()):
                obj = reference()
                if before.get(name) is not reference and (obj is None or not is_imported(obj)):
                    del self._registered[name]

    def _registration(self, name: str) -> T | None:
        reference = self._registered.get(name)
        return None if reference is None else reference()

    def _standing_of(self, name: str, claims: Iterable[Claim]) -> list[tuple[Claim, PluginStatus, str]]:
        """Return every claim to a name with its status, and why it cannot be used."""
        owners = list(claims)
        if name in self._builtins:
            owners.insert(0, Claim(name, self._builtins[name], OWN))
        registered = self._registration(name)
        if registered is not None and (not owners or not self._is_claimed(name, registered, owners)):
            owners.append(Claim(name, target(registered), PROGRAM))
        failure = self._failures.get(name, "")
        entries: list[tuple[Claim, PluginStatus, str]] = []
        rivals = [*allowed(owners)]
        for claim in owners:
            status: PluginStatus
            detail = ""
            if claim not in rivals:
                status, detail = "denied", refusal(claim)
            elif len(rivals) > 1:
                status, detail = "conflict", both(owner(other) for other in rivals)
            elif (found := spoken_against(self.group, claim)) is not None:
                status, detail = found
            elif failure:
                status, detail = "broken", failure
            elif claim.is_own:
                status = "built-in"
            elif name in self._resolved or registered is not None:
                status = "loaded"
            else:
                status = "available"
            entries.append((claim, status, detail))
        return entries

    def _is_claimed(self, name: str, registered: T, owners: Iterable[Claim]) -> bool:
        """Return whether a registered object is what an owner of its name points at, as far as that is known."""
        if self._resolved.get(name) is registered:
            return True
        if name in self._builtins:
            return is_own(registered)
        # An entry point may name a class by a shorter path than where it is defined.
        modules = {claim.target.partition(":")[0].partition(".")[0] for claim in owners}
        return module(registered).partition(".")[0] in modules

    # --- saying what is wrong -----------------------------------------------------------------------------------------

    def _raise_unknown(self, name: str) -> NoReturn:
        from difflib import get_close_matches  # noqa: PLC0415  only a failure needs it

        known = self.names()
        scan = discovery.entry_points_of(self.group)
        near = get_close_matches(name, known, n=1) or get_close_matches(name.lower(), known, n=1)
        parts = [f"no {self.kind} named {name[:100]!r}"]
        if name in self._known_elsewhere:
            parts.append(self._known_elsewhere[name])
        elif near:
            whose = scan.claims.get(near[0])
            parts.append(f"did you mean {near[0]!r}" + (f" of {whose[0]}" if whose else ""))
        if name not in self._known_elsewhere:
            parts.append(f"{IMPORT_FIRST}; if a plugin provides it, install that")
        parts += [f"the entry points of {whose} cannot be read ({why})" for whose, why in scan.unreadable]
        parts.append(f"known: {', '.join(known) or 'none'}")  # last: it is long
        raise self._unknown("; ".join(parts), group=self.group, name=name, known=known)

    def _raise_conflict(self, name: str, owners: list[str]) -> NoReturn:
        raise PluginConflictError(
            f"the {self.kind} {name!r} is claimed by {both(owners)}; "
            "uninstall one of them, or give the class another name",
            group=self.group,
            name=name,
            distributions=owners,
        )

    def _raise_denied(self, claim: Claim, why: str = "") -> NoReturn:
        why = why or refusal(claim)
        raise PluginDeniedError(
            f"the {self.kind} {claim.name!r} of {claim} is not allowed here, and nothing of it was imported: {why}",
            group=self.group,
            name=claim.name,
            distribution=claim.distribution,
        )

    def _raise_broken(self, claim: Claim, error: BaseException) -> NoReturn:
        kind = "" if isinstance(error, EntrepotError) else type(error).__name__
        why = ": ".join(filter(None, [kind, str(error)[:_LONGEST_REASON]]))
        needed = EXTRAS.get((error.name or "").partition(".")[0]) if isinstance(error, ModuleNotFoundError) else None
        if not claim.is_own:
            todo = f"upgrade, repair or uninstall {claim.distribution}; nothing else is affected"
        else:
            todo = "reinstall entrepot" if needed is None else f'run: pip install "{needed}"'
        message = f"the {self.kind} {claim.name!r} of {claim} ({claim.target}) cannot be loaded: {why}; {todo}"
        with self._lock:
            self._failures[claim.name] = message
        raise PluginLoadError(message, group=self.group, name=claim.name, distribution=claim.distribution) from error

"""Where and when results are kept, as options say it; nothing is looked up or opened here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

__all__ = ["NOTHING_SAID", "Inherited", "KeepingOptions", "keep_notes"]


@dataclass(frozen=True, slots=True, eq=False)
class KeepingOptions:
    """What a flow or task says of its results; None where it does not say.

    Attributes:
        persist: Whether they are kept.
        storage: Where: a path, a URL, the name of a saved block, a block, or a `Storage`.
        serializer: How they become bytes: a name or a serializer.
        policy: What the cache key is made of.
        key_fn: The user's own function for the cache key.
        expiration: How long they are used.
        refresh: Whether to compute again whatever is kept.
        key_fn_asks: Whether `key_fn` takes (context, parameters), or nothing.
        no_cache: Whether the policy was `NO_CACHE`; `policy` is None then.
        result_key: The template of the key that the user gives results (`result_storage_key`).
        keep: How long they are kept, as their records say it: seconds, or "run" for until the run ends.
        keep_last: How many of them are kept.
        single_flight: Whether equal calls at one moment compute once.
        refresh_early: How long before a result expires one run computes it again: as a time, or a part of its life.
    """

    persist: bool | None = None
    storage: Any = None
    serializer: Any = None
    policy: Any = None
    key_fn: Callable[..., Any] | None = None
    expiration: timedelta | None = None
    refresh: bool | None = None
    key_fn_asks: bool = True
    no_cache: bool = False
    result_key: str | None = None
    keep: str | None = None
    keep_last: int | None = None
    single_flight: bool | None = None
    refresh_early: timedelta | float | None = None

    @property
    def caches(self) -> bool:
        """Whether an option was given that only makes sense for results that are used again."""
        keyed = self.policy is not None or self.key_fn is not None or self.result_key is not None
        return keyed or self.expiration is not None or bool(self.refresh)

    @property
    def places(self) -> bool:
        """Whether an option was given that says where, how, or how long results are kept."""
        return not (self.storage is None and self.serializer is None and self.keep is None and self.keep_last is None)


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a flow run says of the results of the runs inside it; None where it does not say.

    Attributes:
        persist: Whether they are kept.
        storage: Where.
        serializer: How they become bytes.
        keep: How long they are kept.
        keep_last: How many of them are kept.
    """

    persist: bool | None = None
    storage: Any = None
    serializer: Any = None
    keep: str | None = None
    keep_last: int | None = None

    def with_options(self, options: KeepingOptions) -> "Inherited":
        """Return what a flow with these options says, inside a flow that says this."""
        persist = options.persist
        if persist is None and options.places:
            persist = True
        if persist is None:
            return self
        return Inherited(
            persist,
            self.storage if options.storage is None else options.storage,
            self.serializer if options.serializer is None else options.serializer,
            self.keep if options.keep is None else options.keep,
            self.keep_last if options.keep_last is None else options.keep_last,
        )


def keep_notes(options: KeepingOptions, around: Inherited) -> Mapping[str, str]:
    """Return what the record of a result says of how long it is kept, which a collection goes by.

    Args:
        options: Of the flow or task.
        around: What the flow around it says.
    """
    keep = around.keep if options.keep is None else options.keep
    last = around.keep_last if options.keep_last is None else options.keep_last
    notes = {"keep": keep, "keep_last": None if last is None else str(last)}
    return {name: note for name, note in notes.items() if note is not None}


NOTHING_SAID = Inherited()

"""What a version of a block says of its own making: when, by whom, where, with what. It is sealed with the rest.

In a body it stands beside the fields, as `about`; what was saved before there was such a thing has none. It says what
the program that saved it believed: who holds the keys can write what they like there.
"""

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias, cast, get_args

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot._version import __version__
from entrepot.plugins import BLOCKS
from entrepot.plugins.builtin import BUILTINS
from entrepot.plugins.discovery import OWN_DISTRIBUTION, entry_points_of

__all__ = ["UNKNOWN", "About", "Action", "about_now", "read_about"]

Action: TypeAlias = Literal["save", "rollback", "migrate", "delete"]

_LONGEST: Final = 200  # characters of a name of a user or host that are kept


@dataclass(frozen=True, slots=True)
class About:
    """How one version came to be; what is not known is None.

    Attributes:
        saved: When, in UTC.
        by: Which user of the operating system.
        host: On which machine.
        entrepot: With which version of Entrepot.
        distribution: Whose class it was, with its version: `acme-blocks 1.2`; "" for a class of the program itself.
        action: What was done.
        source: For a rollback, the version whose content it took; for a migration, the version that it made anew.
    """

    saved: datetime | None = None
    by: str | None = None
    host: str | None = None
    entrepot: str | None = None
    distribution: str | None = None
    action: Action | None = None
    source: int | None = None

    def to_plain(self) -> dict[str, object]:
        """Return it as JSON, without what is not known."""
        facts = {
            "at": None if self.saved is None else self.saved.isoformat(),
            "by": self.by,
            "host": self.host,
            "entrepot": self.entrepot,
            "distribution": self.distribution,
            "action": self.action,
            "source": self.source,
        }
        return {name: fact for name, fact in facts.items() if fact is not None}


UNKNOWN: Final = About()


def about_now(slug: str, action: Action, *, source: int | None = None, clock: Clock = SYSTEM_CLOCK) -> About:
    """Return what a version says that is made here and now.

    Args:
        slug: The block type.
        action: What is being done.
        source: The version that it was made from, if any.
        clock: Tells the time.
    """
    return About(
        saved=clock.now().replace(microsecond=0),
        by=_user()[:_LONGEST],
        host=os.uname().nodename[:_LONGEST],
        entrepot=__version__,
        distribution=_distribution(slug),
        action=action,
        source=source,
    )


def read_about(plain: object) -> About:
    """Return what a body says; what is missing or of another form is not known."""
    if not isinstance(plain, Mapping):
        return UNKNOWN
    texts = {name: plain[name] for name in ("by", "host", "entrepot", "distribution") if _is(plain.get(name), str)}
    return About(
        saved=_time(plain.get("at")),
        action=cast("Action", plain["action"]) if plain.get("action") in get_args(Action) else None,
        source=plain["source"] if _is(plain.get("source"), int) else None,
        **texts,
    )


def _is(value: object, kind: type) -> bool:
    return type(value) is kind


def _time(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return None if found is None or found.tzinfo is None else found.astimezone(UTC)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return str(os.getuid())


def _distribution(slug: str) -> str:
    if slug in BUILTINS.get(BLOCKS.group, {}):
        return f"{OWN_DISTRIBUTION} {__version__}"
    claims = entry_points_of(BLOCKS.group).claims.get(slug, ())
    return str(claims[0]) if claims else ""

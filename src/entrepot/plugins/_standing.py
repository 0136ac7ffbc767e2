"""Whether a claim may be followed: what the settings and its distribution's manifest say; nothing is imported."""

from __future__ import annotations

import os

from entrepot.errors import ConfigurationError
from entrepot.plugins import discovery
from entrepot.plugins.api import MANIFEST_GROUP, api_needed
from entrepot.plugins.discovery import Claim

TYPE_CHECKING = False  # `typing` takes longer to import than a look-up among 300 distributions
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final, Literal

    from entrepot.plugins.policy import PluginPolicy

__all__ = ["allowed", "policy", "refusal", "spoken_against"]

# What `settings` knows, and a test holds equal: where nothing is set, no look-up pays for reading settings.
_VARIABLES: Final = ("ENTREPOT_PLUGINS_ALLOW", "ENTREPOT_PLUGINS_DENY", "ENTREPOT_PLUGINS_STRICT")
_HOME: Final = "ENTREPOT_HOME"
_DEFAULT_HOME: Final = "~/.entrepot"
_FILE: Final = "config.toml"


def policy() -> PluginPolicy | None:
    """Return what the settings say; None where they refuse nothing.

    Raises:
        ConfigurationError: If they cannot be read.
    """
    if _nothing_is_set():
        return None
    from entrepot.plugins.policy import current_policy  # noqa: PLC0415  settings, which most programs do not set

    said = current_policy()
    return None if said.allows_all else said


def _nothing_is_set() -> bool:
    """Return whether no variable and no file can say anything; in doubt they can."""
    if any(map(os.environ.get, _VARIABLES)):
        return False
    home = (os.environ.get(_HOME) or _DEFAULT_HOME).strip()
    try:
        os.stat(os.path.join(os.path.expanduser(home), _FILE))  # noqa: PTH111, PTH116, PTH118  no time for pathlib
    except FileNotFoundError:
        return bool(home)
    except (OSError, ValueError):
        pass
    return False


def refusal(claim: Claim) -> str:
    """Return why the settings do not allow a claim; "" if they do."""
    said = policy()
    return "" if said is None else said.refusal_of(claim)


def allowed(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Return those claims whose distributions the settings allow; a class of this program is nobody's."""
    claims = tuple(claims)
    said = policy() if claims else None
    return claims if said is None else tuple(claim for claim in claims if not said.refusal_of(claim))


def _manifest_of(claim: Claim) -> dict[str, Any] | None:
    """Return what the manifest of a claim's distribution says, as `_manifest_file` reads it, or None.

    Raises:
        ConfigurationError: If it has one that cannot be read.
    """
    where = discovery.entry_points_of(MANIFEST_GROUP).of(claim.key)
    if where is None:
        return None
    from entrepot.plugins._manifest_file import content_of, file_of  # noqa: PLC0415  a parser, which few names need

    return content_of(file_of(where))


def _undeclared_in(group: str, claim: Claim, manifest: dict[str, Any] | None) -> str:
    """Return why strict mode refuses a claim of an allowed distribution; "" if it does not."""
    said = policy()
    if said is None or not said.strict:
        return ""
    entry = {} if manifest is None else manifest["plugins"].get(group, {}).get(claim.name, {})
    return (
        "" if entry.get("target") == claim.target else "plugins_strict is set, and no manifest of it declares the name"
    )


def spoken_against(group: str, claim: Claim) -> tuple[Literal["broken", "denied", "other API"], str] | None:
    """Return the state of a claim that its distribution's manifest, or the lack of one, speaks against."""
    if claim.is_own or not claim.key:  # of this program; the name of a distribution would be read from its metadata
        return None
    try:
        manifest = _manifest_of(claim)
    except ConfigurationError as error:
        return "broken", str(error)
    if manifest is not None and (why := api_needed(manifest["api"], group)):
        return "other API", why
    undeclared = _undeclared_in(group, claim, manifest)
    return ("denied", undeclared) if undeclared else None

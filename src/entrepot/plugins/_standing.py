"""Whether a claim may be followed: what the settings and its distribution's manifest say; nothing is imported."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from entrepot.errors import ConfigurationError
from entrepot.plugins import discovery
from entrepot.plugins.api import MANIFEST_GROUP
from entrepot.plugins.discovery import OWN_DISTRIBUTION, Claim
from entrepot.plugins.policy import current_policy

if TYPE_CHECKING:
    from entrepot.plugins.manifest import Manifest

__all__ = ["allowed", "manifest_of_claim", "spoken_against", "undeclared_in"]


def allowed(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Return those claims whose distributions the settings allow; a class of this program is nobody's."""
    claims = tuple(claims)
    if not claims:
        return ()
    policy = current_policy()
    return tuple(claim for claim in claims if not claim.distribution or not policy.refusal(claim.distribution))


def manifest_of_claim(claim: Claim) -> "Manifest | None":
    """Return the manifest of a claim's distribution, or None.

    Raises:
        ConfigurationError: If it has one that cannot be read.
    """
    if not discovery.entry_points_of(MANIFEST_GROUP).claims:
        return None  # nobody has one
    from entrepot.plugins.manifest import manifest_of  # noqa: PLC0415  a parser, which built-in names do not need

    return manifest_of(claim.distribution)


def undeclared_in(group: str, claim: Claim, manifest: "Manifest | None") -> str:
    """Return why strict mode refuses a claim of an allowed distribution; "" if it does not."""
    if not current_policy().strict:
        return ""
    entry = None if manifest is None else manifest.entry(group, claim.name)
    declared = entry is not None and entry.target == claim.target
    return "" if declared else "plugins_strict is set, and no manifest of it declares the name"


def spoken_against(group: str, claim: Claim) -> tuple[Literal["broken", "denied", "other API"], str] | None:
    """Return the state of a claim that its distribution's manifest, or the lack of one, speaks against."""
    if claim.distribution in {"", OWN_DISTRIBUTION}:
        return None
    try:
        manifest = manifest_of_claim(claim)
    except ConfigurationError as error:
        return "broken", str(error)
    if manifest is not None and (why := manifest.needs(group)):
        return "other API", why
    undeclared = undeclared_in(group, claim, manifest)
    return ("denied", undeclared) if undeclared else None

"""Whose plugins may be loaded: the settings `plugins_allow`, `plugins_deny` and `plugins_strict`.

The question is asked before anything of a distribution is imported, so that a document in a shared store, whatever type
it names, makes nobody import what is not allowed here.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from entrepot import settings
from entrepot.plugins.discovery import Claim, normalise

__all__ = ["PluginPolicy", "current_policy"]


@dataclass(frozen=True, slots=True)
class PluginPolicy:
    """What the settings say.

    Attributes:
        allow: Names of distributions, with `*` for anything; empty for all.
        deny: The same, for those that are not; it goes before `allow`.
        strict: Whether nothing is allowed that `allow` does not name, and that no manifest declares.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    strict: bool = False

    @property
    def allows_all(self) -> bool:
        """Whether no distribution is refused, whatever it is called."""
        return not (self.allow or self.deny or self.strict)

    def refusal_of(self, claim: Claim) -> str:
        """Return why what claims a name is not allowed, for a message; "" if it is.

        Where the metadata has another name than its folder, both have to be allowed: installers know a distribution by
        the one, and people by the other.
        """
        if claim.is_own or not claim.distribution:
            return ""  # ours, or a class of this program: the program chose it
        if claim.key == normalise(claim.distribution):
            return self.refusal(claim.key)
        why = self.refusal(claim.distribution) or self.refusal(claim.key)
        return why and f"{why} (its metadata calls it {claim.distribution[:100]!r}, and its folder {claim.key!r})"

    def refusal(self, distribution: str) -> str:
        """Return why a distribution is not allowed, for a message; "" if it is."""
        name = normalise(distribution)
        if _is_among(name, self.deny):
            return "the setting plugins_deny names it; take it out there to use it"
        if (self.allow or self.strict) and not _is_among(name, self.allow):
            why = "plugins_strict is set and" if self.strict and not self.allow else ""
            return f"{why} the setting plugins_allow does not name it; add it there to use it".lstrip()
        return ""


def current_policy() -> PluginPolicy:
    """Return what the settings say now.

    Raises:
        ConfigurationError: If they cannot be read.
    """
    now = settings.current()
    return PluginPolicy(now.plugins_allow, now.plugins_deny, now.plugins_strict)


def _is_among(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, "*".join(normalise(part) for part in pattern.split("*"))) for pattern in patterns)

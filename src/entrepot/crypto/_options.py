"""Which options the setting `key_provider` may give to a provider."""

from collections.abc import Mapping

from entrepot.errors import ConfigurationError

__all__ = ["check_options"]


def check_options(name: str, given: Mapping[str, str], *known: str) -> None:
    """Refuse options that a key provider does not know.

    Raises:
        ConfigurationError: If there is one.
    """
    unknown = sorted(given.keys() - set(known))
    if unknown:
        offer = f"it knows {', '.join(known)}" if known else "it takes none"
        raise ConfigurationError(
            f"the key provider {name} has no option {unknown[0]!r}; {offer}", setting="key_provider"
        )
